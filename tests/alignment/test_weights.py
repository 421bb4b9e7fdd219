"""The sheet's numbers of native, reshaped and proportionate weights, and the schedules that are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autophage.alignment.weights import (
    Weights,
    ddim,
    even,
    flow,
    full_noise_weight,
    least_weight,
    reshaped,
    shifted,
    spread_of_flow,
    stable_diffusion,
)
from autophage.errors import SpecError


def chain(first, last, steps):
    return np.cumprod(1 - np.linspace(first, last, steps))


def ten():
    """T = 10, beta linear .05 to .30, steps t = 10 .. 2 in the order they are taken."""
    kept = chain(0.05, 0.30, 10)
    return ddim(kept[1:][::-1], kept[:-1][::-1])


def test_q2_q3_stable_diffusion_in_both_conventions():
    w = Weights.of(stable_diffusion())
    assert np.allclose([w.std.min(), w.std.mean(), w.std.max()], [0.37415, 0.51690, 3.27479], atol=1e-4)
    assert w.dispersion == pytest.approx(1.64739, abs=1e-4)
    found = [w.var.min(), w.var.mean(), w.var.max()]
    assert np.allclose(found, [1.11727, 4.45593, 82.949], atol=[1e-4, 1e-4, 1e-3])
    assert "0.37415 / 0.5169 / 3.2748" in w.table() and "1.1173 / 4.4559 / 82.949" in w.table()


@given(st.lists(st.floats(0.01, 0.9), min_size=2, max_size=12))
def test_q4_full_noise_has_a_closed_form_which_is_the_least(betas):
    kept = np.cumprod(1 - np.array(betas))
    steps = ddim(kept[1:][::-1], kept[:-1][::-1])
    native = Weights.of(steps).std
    assert np.allclose(full_noise_weight(steps), native, rtol=1e-12, atol=1e-12)
    for share in (0.3, 0.7, 0.95):
        assert (Weights.of(ddim(steps.before, steps.after, share * steps.noise)).std >= native - 1e-12).all()


def test_q5_native_weights_of_ten_steps():
    sheet = [1.29875, 0.97600, 0.84323, 0.77367, 0.73569, 0.71710, 0.71210, 0.71754, 0.73149]
    assert np.allclose(Weights.of(ten()).std[::-1], sheet, atol=1e-5)


def test_q6_reshaped_noise_and_the_step_that_cannot():
    steps, possible = reshaped(ten(), 1.2, infeasible="keep-native")
    sheet = [0.14117, 0.13647, 0.13927, 0.14563, 0.15464, 0.16607, 0.17994, 0.19642]
    assert np.allclose(steps.noise[::-1][1:], sheet, atol=1e-5)
    assert possible[::-1].tolist() == [False] + [True] * 8
    w = Weights.of(steps).std
    assert np.allclose(w[possible], 1.2) and w[~possible] == pytest.approx(1.29875, abs=1e-5)
    assert steps.noise[~possible] == ten().noise[~possible]
    with pytest.raises(SpecError, match=r"step t = 1 of 9 the weight 1\.2 .* is 1\.29875"):
        reshaped(ten(), 1.2)


@pytest.mark.parametrize(("convention", "solved"), [("std", 43), ("var", 46)])
def test_the_mean_weight_is_out_of_reach_of_some_steps(convention, solved):
    """Sheet 2.5: seven of fifty steps fail for C/sigma, four for C/sigma^2."""
    native = stable_diffusion()
    steps, possible = reshaped(native, None, convention, "keep-native")
    assert possible.sum() == solved
    w = Weights.of(steps).read(convention)
    assert np.allclose(w[possible], Weights.of(native).read(convention).mean(), rtol=1e-10)
    with pytest.raises(SpecError, match="the smallest that all steps can have"):
        reshaped(native, None, convention)


@pytest.mark.parametrize("convention", ["std", "var"])
def test_the_bound_is_where_feasibility_ends(convention):
    least = least_weight(ten(), convention).max()
    found, possible = reshaped(ten(), least * 1.000001, convention)
    assert possible.all() and np.ptp(Weights.of(found).read(convention)) < 1e-6
    with pytest.raises(SpecError, match="no noise gives step"):
        reshaped(ten(), least * 0.9999, convention)
    # The same bound by brute force over all noises of one step.
    sigma = np.linspace(1e-3, 1, 20001) * np.sqrt(1 - ten().after[0])
    one = [Weights.of(ddim(ten().before[:1], ten().after[:1], [s])).read(convention)[0] for s in sigma[::20]]
    assert least_weight(ten(), convention)[0] == pytest.approx(min(one), rel=1e-4)


def test_a_last_step_may_be_reshaped_to_any_weight():
    kept = chain(0.03, 0.45, 12)
    steps = ddim(kept[::-1], np.append(kept[:-1][::-1], 1), last=0.005)
    assert Weights.of(steps).std[-1] == pytest.approx(35.17, abs=0.01)
    for convention in ("std", "var"):
        found, _ = reshaped(steps, None, convention, "keep-native")
        wanted = Weights.of(steps).read(convention).mean()
        assert Weights.of(found).read(convention)[-1] == pytest.approx(wanted)


def test_q7_a_flow_keeps_its_total_weight():
    steps = flow(shifted(16, 3), 0.3)
    native = Weights.of(steps)
    assert native.ratio == pytest.approx(3.392, abs=1e-3)
    assert native.std.sum() == pytest.approx(13.343, abs=1e-3)
    new = even(steps)
    assert new.sum() == pytest.approx(13.343, abs=1e-3)
    assert np.allclose(new / steps.lengths, native.std.sum())


def test_q8_a_noise_that_grows_towards_the_start_is_held_there():
    times = shifted(16, 3)
    assert Weights.of(flow(times, spread_of_flow(times, 0.3))).ratio == pytest.approx(31.70, abs=1e-2)
    with np.errstate(divide="ignore"), pytest.raises(SpecError, match="finite"):
        flow(times, spread_of_flow(times, 0.3, most=1.0))


def test_even_weights_are_the_mean_in_their_convention():
    steps = ten()
    native = Weights.of(steps)
    assert np.allclose(even(steps), native.std.mean())
    assert np.allclose(even(steps, convention="var") / steps.noise, native.var.mean())
    assert np.allclose(even(steps, 2.0), 2.0)


def test_even_weights_have_the_least_kl_at_their_mean():
    """Sheet 2.8: sum w^2 = T mean^2 (1 + CV^2)."""
    w = Weights.of(ten())
    assert (w.std**2).sum() == pytest.approx(9 * w.std.mean() ** 2 * w.dispersion)
    assert (even(ten()) ** 2).sum() < (w.std**2).sum()


def test_a_digest_is_that_of_the_schedule():
    assert ten().digest == ten().digest
    assert ten().digest != ddim(ten().before, ten().after, 0.9 * ten().noise).digest
    assert flow(shifted(4), 0.3).digest != flow(shifted(4, 2), 0.3).digest


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Weights.of(ddim([0.5, 0.9], [0.9, 1.0])), r"step t = 1 of 2 adds no noise"),
        (lambda: Weights.of(ddim([0.3, 0.5], [0.5, 0.9], [0.0, 0.0])), r"step t = 2, t = 1 of 2"),
        (lambda: ddim([0.5, 0.9], [0.9, 0.95], [0.1, 0.3]), r"at the end of step t = 1:"),
        (lambda: ddim([0.5, 0.4], [0.4, 0.3]), "must rise"),
        (lambda: ddim([0.5], [0.9], [np.nan]), "sigma must be a finite number"),
        (lambda: ddim([0.5], [0.9, 0.95]), "one length"),
        (lambda: flow([1, 0.5, 0.1], 0.3), "sum to 0.9"),
        (lambda: flow([1, 0.5, 0.6, 0.0], 0.3), "must fall"),
        (lambda: flow([1, 0], [np.inf]), "sigma must be a finite number"),
        (lambda: reshaped(flow([1, 0], 0.3)), "pcpo-loss"),
        (lambda: Weights.of(ten()).read("sd"), "one of: std, var"),
        (lambda: reshaped(ten(), 3.0, infeasible="clip"), "error, keep-native"),
    ],
)
def test_what_cannot_be_is_refused_by_name(make, words):
    with pytest.raises(SpecError, match=words):
        make()
