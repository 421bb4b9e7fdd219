"""The log ratio, the losses and the advantages: identities, closed forms and the law of clipping."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from autophage.alignment.credit import (
    METHODS,
    advantages,
    clipped_chance,
    hinge,
    log_ratio,
    losses,
    surrogate,
    taylor_error,
)
from autophage.alignment.weights import Weights, ddim, flow, shifted
from autophage.errors import FitFailed, SpecError
from autophage.keys import Key

KEPT = np.cumprod(1 - np.linspace(0.05, 0.3, 10))
CHAIN = ddim(KEPT[1:][::-1], KEPT[:-1][::-1])


@pytest.mark.parametrize("steps", [CHAIN, flow(shifted(9, 3), 0.3)], ids=["diffusion", "flow"])
def test_q1_the_difference_of_two_gaussian_log_densities(steps):
    rng = Key(1).generator()
    n, d = len(steps), 7
    x, z, old, new = (rng.standard_normal((n, d)) for _ in range(4))
    mean = [steps.carry[:, None] * x - steps.gain[:, None] * p for p in (old, new)]
    sigma = steps.noise[:, None]
    after = mean[0] + sigma * z
    wanted = (stats.norm.logpdf(after, mean[1], sigma) - stats.norm.logpdf(after, mean[0], sigma)).sum(1)
    w = torch.from_numpy(Weights.of(steps).std)
    found = log_ratio(torch.from_numpy(new - old), torch.from_numpy(z), w)
    assert np.abs(found.numpy() - wanted).max() < 1e-10 * max(1, np.abs(wanted).max())


def test_q9_the_law_of_clipping():
    s, clip, n = 0.1, 0.1, 4_000_000
    log_rho = -0.5 * s * s + s * Key(2).generator().standard_normal(n)
    law = clipped_chance(s, clip)
    assert law.rewarded == pytest.approx(0.14686, abs=1e-5)
    assert law.punished == pytest.approx(0.17106, abs=1e-5)
    assert np.mean(log_rho > clip) == pytest.approx(law.rewarded, abs=1e-3)
    assert np.mean(log_rho < -clip) == pytest.approx(law.punished, abs=1e-3)
    # What the loss itself counts is the same event.
    for sign, chance in ((1.0, law.rewarded), (-1.0, law.punished)):
        q = torch.from_numpy(log_rho)
        assert float(losses("base", q, torch.full_like(q, sign), clip)[1].double().mean()) == pytest.approx(
            chance, abs=1e-3
        )


def test_the_law_of_log_rho():
    """Sheet 2.7: N(-s^2/2, s^2), E rho = 1, KL = s^2/2."""
    n, d, w = 400_000, 3, 0.8
    change = torch.tensor([0.3, -0.2, 0.1]).double().expand(n, d)
    z = torch.from_numpy(Key(3).generator().standard_normal((n, d)))
    q = log_ratio(change, z, torch.full((n,), w).double()).numpy()
    s = w * np.sqrt(0.14)
    assert q.mean() == pytest.approx(-0.5 * s * s, abs=5 * s / np.sqrt(n))
    assert q.std() == pytest.approx(s, rel=0.01)
    assert np.exp(q).mean() == pytest.approx(1, abs=6 * s / np.sqrt(n))


def test_q10_the_surrogate_has_the_hinges_gradient():
    rng, clip = Key(4).generator(), 0.2
    rho = torch.from_numpy(rng.uniform(0.3, 1.9, 100_000)).requires_grad_(True)
    advantage = torch.from_numpy(rng.standard_normal(100_000))
    (ours,) = torch.autograd.grad(surrogate(rho.log(), advantage, clip).sum(), rho)
    (theirs,) = torch.autograd.grad(hinge(rho - 1, advantage, clip).sum(), rho)
    kink = ((rho - 1).abs() - clip).abs() < 1e-9
    assert not kink.any()
    assert float((ours - theirs).abs().max()) < 1e-12


def test_q11_half_precision_loses_rho_but_not_its_logarithm():
    q = torch.tensor(1e-4, dtype=torch.float16)
    assert float(q.exp() - 1) == 0
    change = torch.tensor([[1e-4]], dtype=torch.float16)
    z, w = -torch.ones(1, 1, dtype=torch.float16), torch.ones(1)
    found = log_ratio(change, z, w)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(change) - 0.5 * float(change) ** 2, rel=1e-6)


def test_q12_how_far_the_ratios_are_apart():
    assert taylor_error(0.024) == pytest.approx(0.0121, abs=1e-4)


def test_log_and_plain_losses_agree_to_first_order():
    q = torch.tensor([1e-5, -1e-5]).double()
    advantage = torch.tensor([1.0, -1.0]).double()
    assert torch.allclose(hinge(q, advantage, 0.1), hinge(torch.expm1(q), advantage, 0.1), atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_a_sample_without_advantage_pulls_nowhere(method):
    q = torch.tensor([-3.0, 0.0, 3.0], requires_grad=True)
    loss, stopped = losses(method, q, torch.zeros(3), 0.1)
    (gradient,) = torch.autograd.grad(loss.sum(), q)
    assert (gradient == 0).all() and not stopped.any()


@pytest.mark.parametrize("method", METHODS)
def test_a_clipped_step_has_no_gradient_and_is_counted(method):
    q = torch.tensor([0.5, 0.5, -0.5, -0.5, 0.01], requires_grad=True)
    advantage = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0])
    loss, stopped = losses(method, q, advantage, 0.1)
    (gradient,) = torch.autograd.grad(loss.sum(), q)
    assert stopped.tolist() == [True, False, False, True, False]
    assert ((gradient == 0) == stopped).all()


def test_advantages_are_normalised_within_their_group():
    rng = Key(5).generator()
    reward, group = rng.standard_normal(60) * 5, np.repeat(np.arange(6), 10)
    found = advantages(reward + 100 * group, group)
    parts = found.value.reshape(6, 10)
    assert np.allclose(parts.mean(1), 0) and np.allclose(parts.std(1), 1)
    assert np.allclose(found.value, advantages(reward, group).value)


def test_equal_rewards_have_no_advantage():
    assert (advantages(np.full(8, 3.0), np.zeros(8)).value == 0).all()


def test_rewards_that_are_no_numbers_are_dropped_and_counted_up_to_a_share():
    reward = np.arange(40.0)
    reward[[3, 7]] = np.nan, np.inf
    found = advantages(reward, np.zeros(40))
    assert found.dropped == 2 and len(found.value) == 38 and not {3, 7} & set(found.kept)
    assert found.value.mean() == pytest.approx(0)
    reward[9] = np.nan
    with pytest.raises(FitFailed, match="3 of 40 rewards are not finite; above 5%"):
        advantages(reward, np.zeros(40))


def test_a_group_of_one_is_refused():
    with pytest.raises(SpecError, match="group 2 has one sample"):
        advantages(np.arange(5.0), np.array([0, 0, 1, 1, 2]))


def test_an_unknown_method_is_refused():
    with pytest.raises(SpecError, match="pcpo-loss"):
        losses("dpo", torch.zeros(1), torch.zeros(1), 0.1)
