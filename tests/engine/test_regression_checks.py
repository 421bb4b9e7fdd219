"""The engine against the regression sheet: chains of fake labels (R1-R5, R7, R8, R10) and one design labelled for ever (G1-G6,
B.3), literal closed forms, and `predict` beside the runs.

A chain of n generators and a downstream fit is generation n of one learner: its sizes, penalties and label noises follow
schedules. The sheet's n-th fit of part B is generation n - 1.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from autophage.data.regression import RegressionSource
from autophage.errors import SpecError
from autophage.loop import Loop
from autophage.spec import Spec
from autophage.theory.predict import predict

HARMONIC = (1 / np.arange(1.0, 101.0)).tolist()
PI2_OVER_6 = math.pi**2 / 6


def chain(data, rows, ridges=0.0, noises=None, replicates=1, **keys):
    """Spec of a chain: `rows` of every stage; penalties and label noises of every stage, or one for all."""
    G = len(rows)
    ridges = np.broadcast_to(ridges, G).tolist()
    noises = np.broadcast_to(data.get("noise", 0.0) if noises is None else noises, G).tolist()
    learner = {"kind": "regression"}
    if G > 1:
        assert ridges[0] == ridges[1], "generation 0 takes the penalty of t = 1"
        learner |= {"ridge": {"values": ridges[1:]}, "noise": {"values": noises[1:]}}
    else:
        learner |= {"ridge": ridges[0]}
    sizes = {"initial_size": rows[0]} | ({"sample_size": {"values": list(rows[1:])}} if G > 1 else {})
    return {
        "data": {"kind": "regression", **data, "noise": noises[0]},
        "learner": learner,
        "workflow": {"kind": "replace", **sizes},
        "replicates": replicates,
        "generations": G,
        **keys,
    }


def risk(spec):
    """Reader of the noise-free error on real inputs, from its definition."""
    s, w0 = RegressionSource(**{k: v for k, v in spec["data"].items() if k != "kind"}).directions
    return lambda model: ((model.weights - w0) ** 2 * s).sum(axis=1)


def after(course, spec):
    """Errors of the last generation, one for each replicate."""
    last = spec["generations"] - 1
    return course(risk(spec), [last], **{k: v for k, v in spec.items() if k != "generations"})[last]


# A. Chains of fake-data generators


@pytest.mark.parametrize(("n", "error"), [(0, 0.03034), (1, 0.15746), (5, 0.66593), (10, 1.30152)])
def test_r1_isotropic_least_squares(n, error, course, close):
    spec = chain({"dim": 30}, [90] * n + [120], noises=[0.5] * n + [0.3], replicates=1200)
    exact = 0.09 * 30 / (120 - 31) + n * 0.25 * 30 / (90 - 31)
    assert exact == pytest.approx(error, abs=5e-6)
    close(after(course, spec), exact, 0.04)


def test_r2_the_spectrum_does_not_matter_to_least_squares(course, close):
    spec = chain({"spectrum": HARMONIC[:30]}, [90] * 5 + [120], noises=[0.5] * 5 + [0.3], replicates=1200)
    close(after(course, spec), 0.66593, 0.04)


@pytest.mark.parametrize(("n", "error"), [(0, 0.51034), (1, 0.69963), (3, 0.94807), (6, 1.13273)])
def test_r3_the_signal_is_lost_below_the_threshold(n, error, course, close):
    spec = chain({"dim": 60}, [45] * n + [30], noises=[0.2] * n + [0.1], replicates=700)
    eta0, eta = 45 / 60, 30 / 60
    exact = 1 - eta0**n * eta + 0.01 * 30 / (60 - 31)
    exact += 0.04 * 45 / (60 - 46) * eta * sum(eta0**m for m in range(n))
    assert exact == pytest.approx(error, abs=5e-6)
    close(after(course, spec), exact, 0.03)


def test_r4_the_signal_is_lost_without_noise(course, close):
    spec = chain({"dim": 60}, [45] * 4 + [30], noises=0.0, replicates=600)
    exact = 1 - (45 / 60) ** 4 * (30 / 60)
    assert exact == pytest.approx(0.841797, abs=5e-7)
    close(after(course, spec), exact, 0.02)


def recursion(s, w0, stages):
    """A.2 as the sheet has it, backwards: stages (T, lambda, sigma), the downstream one last."""
    A, g, N = s.copy(), np.ones_like(s), 0.0
    for T, ridge, sigma in reversed(stages):
        low, high = -80.0, 80.0
        for _ in range(200):  # kappa - lambda = kappa df1/T, by bisection on log kappa
            middle = (low + high) / 2
            k = math.exp(middle)
            if k - ridge - k * (s / (s + k)).sum() / T > 0:
                high = middle
            else:
                low = middle
        kappa = 0.0 if not ridge and len(s) < T else math.exp(low)
        G = 1 / (s + kappa)
        df2 = ((s * G) ** 2).sum()
        c = (A * s * G**2).sum() / T / (1 - df2 / T)
        N += sigma**2 * c
        A = A * (s * G) ** 2 + c * kappa**2 * s * G**2
        g = g * s * G
    return float((w0**2 * (A - 2 * s * g + s)).sum() + N)


@pytest.mark.parametrize(("n", "replicates"), [(0, 450), pytest.param(4, 700, marks=pytest.mark.slow)])
def test_r5_ridge_after_least_squares(n, replicates, close):
    """The generators are run once, and every penalty is given to the downstream fit in turn."""
    rows, penalties = [200] * n + [150], (1e-3, 1e-2, 1e-1)
    specs = []
    for ridge in penalties:
        spec = chain({"spectrum": HARMONIC}, rows, noises=0.3, replicates=replicates)
        spec["learner"]["ridge"] = {"values": [0.0] * (n - 1) + [ridge]} if n else ridge
        specs.append(spec)
    loops = [Loop(seed=5, metrics=[], **spec) for spec in specs]
    state = loops[0].start(loops[0].blocks()[0])
    for _ in range(n):
        state, _ = loops[0].step(state)
    s, w0 = loops[0].source.directions
    for spec, loop, ridge in zip(specs, loops, penalties, strict=True):
        _, (done,) = loop.step(state)
        stages = [(200, 0.0, 0.3)] * n + [(150, ridge, 0.3)]
        close(risk(spec)(done.model), recursion(s, w0, stages), 0.04)


def test_r7_over_parametrised_generators(course, close):
    spec = chain({"spectrum": HARMONIC}, [60, 60, 60, 50], ridges=[0, 0, 0, 0.01], noises=0.1, replicates=900)
    s, w0 = RegressionSource(spectrum=HARMONIC).directions
    expected = recursion(s, w0, [(60, 0.0, 0.1)] * 3 + [(50, 0.01, 0.1)])
    close(after(course, spec), expected, 0.04)


def test_r8_ridge_generators(course, close):
    spec = chain({"spectrum": HARMONIC}, [150] * 4, ridges=0.02, noises=0.1, replicates=400)
    s, w0 = RegressionSource(spectrum=HARMONIC).directions
    close(after(course, spec), recursion(s, w0, [(150, 0.02, 0.1)] * 4), 0.04)


@pytest.mark.parametrize(
    ("n", "ridge", "error", "replicates"),
    [(0, 0.063, 0.1258, 1400), (2, 0.112, 0.2573, 1000), (8, 0.5, 0.5311, 1000)],
)
def test_r10_error_at_the_best_penalty(n, ridge, error, replicates, course, close):
    spec = chain({"dim": 60}, [120] * n + [90], noises=0.3, replicates=replicates)
    spec["learner"]["ridge"] = {"values": [0.0] * (n - 1) + [ridge]} if n else ridge
    close(after(course, spec), error, 0.03)


def test_a3_the_adaptive_rule_errs_less_than_the_clean_penalty(course, close):
    """Every generation regularised for where it stands, against the penalty that is best on real labels."""
    common = {
        "data": {"kind": "regression", "dim": 40, "noise": 0.6},
        "workflow": {"kind": "replace", "sample_size": 80},
        "generations": 8,
        "replicates": 400,
    }
    clean = {"ridge": 0.36 * 40 / 80}
    errors = {
        name: after(course, {**common, "learner": {"kind": "regression", **learner}})
        for name, learner in (("adaptive", {"ridge": "adaptive"}), ("clean", clean))
    }
    gap = errors["clean"] - errors["adaptive"]
    assert gap.mean() > 4 * gap.std() / np.sqrt(len(gap))
    (found,) = [
        p
        for p in predict({"seed": 0, **common, "learner": {"kind": "regression", "ridge": "adaptive"}})
        if p.metric == "excess_risk"
    ]
    close(errors["adaptive"], found.values[-1], 0.04)


# B. One design, labelled again and again


BASE = 10 / 49
"""sigma^2 d/(T-d-1) of d = 10, T = 60, sigma = 1."""


def relabelled(workflow, design="fixed", replicates=4000, generations=12, noise=1.0, **learner):
    return {
        "data": {"kind": "regression", "dim": 10, "noise": noise},
        "learner": {"kind": "regression", "design": design, **learner},
        "workflow": {"sample_size": 60, **workflow},
        "generations": generations,
        "replicates": replicates,
    }


def errors_at(course, spec, fits):
    """{n: errors of the n-th fit}."""
    found = course(risk(spec), [n - 1 for n in fits], **{k: v for k, v in spec.items() if k != "generations"})
    return {n: found[n - 1] for n in fits}


def test_g1_g2_replace_grows_with_every_fit(course, close):
    assert pytest.approx(0.204082, abs=5e-7) == BASE
    found = errors_at(course, relabelled({"kind": "replace"}), [2, 5, 12])
    for n, literal in ((2, 0.4082), (5, 1.0204), (12, 2.4490)):
        assert n * BASE == pytest.approx(literal, abs=5e-5)
        close(found[n], n * BASE, 0.05)


def test_g3_accumulate_grows_as_a_convergent_series(course, close):
    found = errors_at(course, relabelled({"kind": "accumulate"}), [2, 5, 12])
    for n, literal in ((2, 0.2551), (5, 0.2987), (12, 0.3194)):
        exact = BASE * sum(1 / i**2 for i in range(1, n + 1))
        assert exact == pytest.approx(literal, abs=5e-5)
        close(found[n], exact, 0.05)


def test_g4_accumulate_never_exceeds_its_bound(course):
    fits = list(range(1, 61))
    found = errors_at(course, relabelled({"kind": "accumulate"}, generations=60), fits)
    means = np.array([found[n].mean() for n in fits])
    bound = PI2_OVER_6 * BASE
    assert bound == pytest.approx(0.335701, abs=5e-7)
    assert means.max() < bound + 4 * found[60].std() / np.sqrt(len(found[60]))
    assert means.max() > 0.9 * bound  # and comes near it


def test_g5_accumulate_on_new_inputs(course):
    errors = errors_at(course, relabelled({"kind": "accumulate"}, design="fresh", replicates=3000), [12])[12]
    assert 4 * errors.std() / np.sqrt(len(errors)) < 0.015
    assert 0.29 < errors.mean() < 0.32


def test_g6_accumulate_subsample_lies_between_and_flattens(course):
    spec = relabelled({"kind": "accumulate_subsample"}, replicates=1200)
    found = errors_at(course, spec, [1, 4, 8, 12])
    means = {n: v.mean() for n, v in found.items()}
    error = found[12].std() / np.sqrt(len(found[12]))
    assert 4 * error < 0.06 and 0.55 < means[12] < 0.70
    assert means[1] < means[4] < means[8] < means[12]
    assert means[12] - means[8] < means[8] - means[4] < means[4] - means[1]
    assert BASE * sum(1 / i**2 for i in range(1, 13)) < means[12] < 12 * BASE


def test_b2_pathwise_identity():
    """w_n = w_{n-1} + X^+ E_n (replace), w_n = w_{n-1} + X^+ E_n / n (accumulate): with the noise of the same streams, the
    steps of one course are those of the other, n times as long."""
    steps = {}
    for kind in ("replace", "accumulate"):
        loop = Loop(seed=2, metrics=[], **relabelled({"kind": kind}, replicates=3, generations=6))
        state, weights = loop.start(loop.blocks()[0]), []
        for _ in range(6):
            state, (done,) = loop.step(state)
            weights.append(done.model.weights)
        steps[kind] = np.diff(weights, axis=0)
    n = np.arange(2, 7)[:, None, None]
    assert np.allclose(n * steps["accumulate"], steps["replace"])


MODES = {
    "replace": {"kind": "replace"},
    "accumulate": {"kind": "accumulate"},
    "accumulate_subsample": {"kind": "accumulate_subsample"},
    "window": {"kind": "window", "size": 3},
    "keep_real+newest": {"kind": "window", "size": 1, "keep_real": True},
}


@pytest.mark.parametrize("design", ["fixed", "fresh"])
@pytest.mark.parametrize("mode", MODES)
def test_b3_without_noise_every_mode_stays_right(mode, design, course):
    spec = relabelled(MODES[mode], design=design, replicates=20, noise=0.0, generations=8)
    found = errors_at(course, spec, range(1, 9))
    assert max(v.max() for v in found.values()) < 1e-20


@pytest.mark.parametrize(("mode", "at"), [("window", 12), ("keep_real+newest", 8)])
def test_b3_windows_of_label_sets(mode, at, course, close):
    """The n-th fit is w0 plus X^+ times a mean of label sets: each new one's mean is that of its window."""
    spec = relabelled(MODES[mode], replicates=6000)
    means = sets = np.eye(1, at)  # the weights of E_1, E_2, ... in each fit, and in each label set
    for n in range(2, at + 1):
        newest = means[-1] + np.eye(at)[n - 1]
        sets = np.vstack([sets, newest])
        window = sets[-3:] if mode == "window" else np.vstack([sets[0], newest])
        means = np.vstack([means, window.mean(axis=0)])
    close(errors_at(course, spec, [at])[at], BASE * (means[-1] ** 2).sum(), 0.05)


def test_b3_order_of_the_modes(course):
    """After twelve fits: replace worst, then the window, the subsample, the kept real labels, the pile."""
    last = {}
    for name in ("replace", "window", "accumulate_subsample", "accumulate"):
        last[name] = errors_at(course, relabelled(MODES[name], replicates=600), [12])[12]
    for worse, better in itertools.pairwise(last):
        error = np.hypot(last[worse].std(), last[better].std()) / np.sqrt(600)
        assert last[worse].mean() - last[better].mean() > 4 * error


@pytest.mark.parametrize("rows", [10, 11])
def test_b5_bad_input_too_few_rows(rows):
    with pytest.raises(SpecError, match="interpolation threshold"):
        Loop(
            seed=0,
            **{**relabelled({"kind": "replace"}), "workflow": {"kind": "replace", "sample_size": rows}},
        )


# `predict` beside the runs


POWER = {"dim": 50, "spectrum": {"power_law": {"capacity": 1.5, "source": 0.375}}, "noise": 0.3}
SPECS = {
    "fresh design": (relabelled({"kind": "replace"}, design="fresh"), "exact", 0.05),
    "sizes and noises that change": (
        chain({"dim": 10}, [60, 40, 80, 50], noises=[1.0, 0.5, 0.7, 0.2], replicates=3000),
        "exact",
        0.05,
    ),
    "least norm": (chain({"dim": 20, "noise": 0.2}, [12, 15, 9, 40], replicates=3000), "exact", 0.05),
    "ridge chain": (chain(POWER, [70] * 4, ridges=0.02, replicates=500), "asymptotic", 0.05),
    "penalties that change": (
        chain(POWER, [90] * 4, ridges=[0.01, 0.01, 0.05, 0.1], replicates=500),
        "asymptotic",
        0.05,
    ),
    "one design, accumulate": (relabelled({"kind": "accumulate"}), "exact", 0.05),
    "one design, window": (relabelled(MODES["window"]), "exact", 0.05),
    "one design, few rows": (
        {**relabelled({"kind": "replace", "sample_size": 6}, noise=0.2), "generations": 5},
        "exact",
        0.05,
    ),
    "mix": (
        relabelled({"kind": "mix", "initial_size": 400, "sample_size": None}, replicates=2500),
        "asymptotic",
        0.06,
    ),
    "window of new inputs": (
        {
            **relabelled(MODES["window"], design="fresh", replicates=2500),
            "data": {"kind": "regression", "dim": 3},
        },
        "asymptotic",
        0.07,
    ),
}


@pytest.mark.parametrize("name", SPECS)
def test_predictions_are_what_comes_out(name, course, close):
    spec, status, tolerance = SPECS[name]
    spec = {**spec, "workflow": {k: v for k, v in spec["workflow"].items() if v is not None}}
    (found,) = [p for p in predict({"seed": 0, **spec}) if p.metric == "excess_risk"]
    assert found.status == status
    close(after(course, spec), found.values[-1], tolerance)


def test_theory_reads_what_the_spec_says():
    from autophage.theory.predict import setting_of

    spec = chain({"dim": 3, "signal": [1.0, 2.0, 3.0]}, [9, 8, 7], [0.1, 0.1, 0.2], [0.5, 0.6, 0.7])
    setting = setting_of(Spec.of({"seed": 0, **spec}))
    assert setting.dim == 3 and setting.sizes.tolist() == [9, 8, 7] and setting.design == "fresh"
    assert setting.data["noise"] == 0.5 and setting.ridge == 0.2
    assert setting.data["ridges"].tolist() == [0.1, 0.1, 0.2]
    assert setting.data["label_noises"].tolist() == [0.5, 0.6, 0.7]
    assert setting.data["signal"].tolist() == [1.0, 2.0, 3.0] and setting.data["spectrum"].tolist() == [
        1,
        1,
        1,
    ]


def test_theorems_on_least_squares_are_silent_about_kernels():
    spec = {"seed": 0, "data": {"kind": "regression", "dim": 3}, "workflow": "replace"}
    spec["learner"] = {"kind": "regression", "kernel": "rbf", "ridge": 0.1}
    assert not [p for p in predict(spec) if p.metric == "excess_risk" or p.status == "exact"]
