"""The sheets' checks of curated and corrected loops, run by the engine. Round t is generation t."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from autophage.loop import Loop
from autophage.theory import corrected, curated

P, R = [0.5, 0.3, 0.2], [0.0, 0.7, 1.5]
Q_LAW, Q_REWARD = [0.4, 0.3, 0.2, 0.1], [0.0, 0.5, 1.0, 2.0]
INF = float("inf")


def symbols(p, reward, choices, n, **more):
    return {
        "data": {"kind": "categorical", "probabilities": p},
        "learner": {"kind": "categorical"},
        "workflow": {"kind": "replace", "sample_size": n},
        "initial_model": {"probabilities": p},
        "curation": [{"kind": "preference", "reward": reward, "choices": choices}],
        "replicates": 1,
        **more,
    }


def probabilities(model):
    return model.probabilities


def within(found, expected, tolerance, n, choices=2):
    """The frequencies (S,) of n kept records are right, and n suffices to tell."""
    p = np.asarray(expected)
    error = np.sqrt(p * (1 - p) / n).max() * (1 if choices < INF else 2)  # weights have a spread of their own
    assert 4 * error <= tolerance
    np.testing.assert_allclose(found, p, atol=tolerance)


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        (2, (0.386029, 0.327659, 0.286312)),
        (4, (0.316612, 0.325746, 0.357642)),
        (8, (0.281633, 0.316486, 0.401880)),
        (INF, (0.249942, 0.301993, 0.448065)),
    ],
    ids=["f1-K2", "f2-K4", "f2-K8", "f2-inf"],
)
def test_f1_f2_one_round(course, choices, expected):
    n = 450_000 if choices < INF else 1_800_000
    found = course(probabilities, [1], **symbols(P, R, choices, n))[1]
    within(found[0], expected, 0.003, n, choices)


@pytest.mark.parametrize(
    ("choices", "mean", "variance"),
    [(4, 0.606, None), (16, 0.868, None), pytest.param(256, 0.989, 0.991, marks=pytest.mark.slow)],
    ids=["f8-K4", "f8-K16", "f8-K256"],
)
def test_f8_normal_with_a_linear_reward(course, close, choices, mean, variance):
    """Replicates of a few hundred records, whose moments are averaged."""
    spec = {
        "data": {"kind": "gaussian"},
        "learner": {"kind": "gaussian", "ddof": 1},
        "workflow": {"kind": "replace", "sample_size": 400},
        "initial_model": {"mean": 0, "var": 1},
        "curation": [{"kind": "preference", "reward": "linear", "choices": choices}],
        "replicates": 215 if choices == 256 else 400,
    }
    found = course(lambda m: np.hstack([m.mean, m.variances]), [1], **spec)[1]
    close(found[:, 0], mean, 0.02, relative=False)
    if variance is not None:
        close(found[:, 1], variance, 0.02, relative=False)


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        (2, (0.30318, 0.29564, 0.24242, 0.15876)),
        (4, (0.246, 0.273, 0.259, 0.221)),
        (INF, (0.1837, 0.2272, 0.2497, 0.3394)),
    ],
    ids=["q1", "q2-K4", "q2-inf"],
)
def test_q1_q2_one_round(course, choices, expected):
    n = 400_000 if choices < INF else 1_600_000
    found = course(probabilities, [1], **symbols(Q_LAW, Q_REWARD, choices, n))[1]
    within(found[0], expected, 0.003, n, choices)


def test_q3_mean_exponential_reward_over_rounds(course, close):
    found = course(
        lambda m: m.probabilities @ np.exp(Q_REWARD),
        [0, 1, 2, 3, 4],
        **symbols(Q_LAW, Q_REWARD, 2, 10_000, replicates=20),
    )
    for t, expected in enumerate((2.1772, 2.6227, 3.2024, 3.9105, 4.7004)):
        close(found[t], expected, 0.02)


def test_q4_malicious_users_hold_the_balance(course, close):
    """At the critical share, K = inf, E e^r stays; above it falls."""
    share = 0.696664
    for phi, expected in (
        (share, 2.1772),
        (0.9, 2.1772 + curated.attack(Q_LAW, Q_REWARD, [0, -0.5, -1, -2], 0.9)),
    ):
        users = {"malicious_share": phi, "malicious_reward": "opposite"}
        spec = symbols(Q_LAW, Q_REWARD, INF, 20_000, replicates=40)
        spec["curation"][0] |= users
        found = course(lambda m: m.probabilities @ np.exp(Q_REWARD), [1], **spec)[1]
        close(found, expected, 0.01)


@pytest.mark.parametrize("phi", [0.3, 1.0])
def test_malicious_users_choose_among_k(course, phi):
    spec = symbols(Q_LAW, Q_REWARD, 3, 200_000)
    spec["curation"][0] |= {"malicious_share": phi, "malicious_reward": [0.0, 2.0, 0.0, -1.0]}
    found = course(probabilities, [1], **spec)[1]
    users = {"malicious_share": phi, "malicious_reward": [0.0, 2.0, 0.0, -1.0]}
    within(found[0], curated.kept(Q_LAW, Q_REWARD, 3, **users), 0.005, 200_000)


def test_q5_fixed_point_with_real_data(course, close):
    """lambda = 2, many choices: 25 rounds on large samples reach the fixed point."""
    spec = symbols(Q_LAW, Q_REWARD, INF, 0, replicates=8)
    spec["workflow"] = {"kind": "mix", "real": 10_000, "synthetic_ratio": 2}
    found = course(
        lambda m: np.hstack([m.probabilities, m.probabilities @ np.exp(Q_REWARD)[:, None]]), [25], **spec
    )[25]
    for i, expected in enumerate((0.1529, 0.1268, 0.1023, 0.6181)):
        close(found[:, i], expected, 0.01, relative=False)
    close(found[:, 4], 5.2068, 0.02)


# Corrected loops


def corrected_mean(n, ratio, strength, replicates, dim=64):
    return {
        "data": {"kind": "gaussian", "dim": dim},
        "learner": {"kind": "gaussian", "covariance": "known"},
        "workflow": {"kind": "mix", "real": n, "synthetic_ratio": ratio},
        "curation": [{"kind": "correction", "strength": strength}],
        "replicates": replicates,
    }


AT_LENGTH = pytest.mark.slow
G3_G4 = [
    pytest.param(
        50, 0.5, 0, 0.0250000, 8, id="g3-0"
    ),  # a correction of strength 0 leaves the exact law of the refit
    pytest.param(50, 0.5, 0.3, 0.0208509, 5, id="g3-0.3", marks=AT_LENGTH),
    pytest.param(50, 0.5, 1, 0.0173913, 4, id="g3-1", marks=AT_LENGTH),
    pytest.param(50, 0.5, 5, 0.0144325, 3, id="g3-5", marks=AT_LENGTH),
    pytest.param(20, 1, 0.5, 0.0423197, 5, id="g4"),
]


@pytest.mark.parametrize(("n", "ratio", "strength", "expected", "rounds"), G3_G4)
def test_g3_g4_gaussian_mean(course, close, n, ratio, strength, expected, rounds):
    """1 % on 430,000 chains, 64 of them the coordinates of one; after so many rounds the mean error stands still."""
    theory = corrected.gaussian_mean_error(n, ratio * n, strength, rounds + 1)[-1]
    assert theory == pytest.approx(expected, rel=2e-3)
    found = course(
        lambda m: np.square(m.mean).mean(axis=1), [rounds], **corrected_mean(n, ratio, strength, 6700)
    )
    close(found[rounds], expected, 0.01)


def toy(strength, workflow, replicates):
    return {
        "data": {"kind": "gaussian", "dim": 2},
        "learner": {"kind": "gaussian", "ddof": 0},
        "workflow": workflow,
        "curation": [{"kind": "correction", "strength": strength}],
        "replicates": replicates,
    }


def distance(model):
    """The 2-Wasserstein distance to N(0, I)."""
    roots = np.linalg.svd(model.factor, compute_uv=False) if model.factor is not None else model.scale
    return np.sqrt(np.square(model.mean).sum(axis=1) + np.square(roots - 1).sum(axis=1))


FADING = {"kind": "fading", "initial_size": 50, "sample_size": 25}


@pytest.mark.slow
def test_g5_gaussian_toy_with_fading_batches(course, close):
    means = []
    for strength, expected in ((0, 0.33), (0.1, 0.22), (0.3, 0.105), (1, 0.046), (5, 0.034)):
        found = course(distance, [300], **toy(strength, FADING, 80))[300]
        close(found, expected, 0.25)
        means.append(found.mean())
    assert (np.diff(means) < 0).all()


@pytest.mark.slow
@pytest.mark.parametrize(("strength", "expected"), [(0, 0.27), (5, 0.22)], ids=["g6-0", "g6-5"])
def test_g6_gaussian_toy_on_the_latest_batch(course, close, strength, expected):
    latest = {"kind": "mix", "real": 50, "synthetic_ratio": 0.5}
    close(course(distance, [300], **toy(strength, latest, 80))[300], expected, 0.25)


def test_a_quick_look_at_the_toy(course):
    """Forty generations of G5's protocol: stronger corrections end nearer to the truth."""
    means = [course(distance, [40], **toy(g, FADING, 60))[40] for g in (0, 0.3, 5)]
    for weak, strong in pairwise(means):
        error = np.hypot(weak.std(), strong.std()) / np.sqrt(60)
        assert weak.mean() - strong.mean() > 4 * error


# G7: nothing is done, bit for bit

NOTHING = {
    "one choice": {"kind": "preference", "reward": "linear", "choices": 1},
    "no strength": {"kind": "correction", "strength": 0},
}
LEARNERS = {
    "gaussian": {"kind": "gaussian"},
    "records": {"kind": "gaussian", "path": "samples"},
    "kde": {"kind": "kde", "bandwidth": 0.3},
    "estimator": {"kind": "estimator", "object": "sklearn.mixture:GaussianMixture"},
    "diffusion": {
        "kind": "diffusion",
        "network": {"kind": "mlp", "width": 8, "blocks": 1},
        "records": 128,
        "batch_size": 64,
        "warmup": 0,
        "device": "cpu",
    },
}
WORKFLOWS = {
    "mix": {"kind": "mix", "real": 40, "synthetic_ratio": 0.5},
    "accumulate": {"kind": "accumulate", "initial_size": 40, "sample_size": 20},
    "window": {"kind": "window", "size": 2, "initial_size": 40, "sample_size": 20},
    "fading": {"kind": "fading", "initial_size": 40, "sample_size": 20},
}


@pytest.mark.parametrize("curation", NOTHING)
@pytest.mark.parametrize("workflow", WORKFLOWS)
@pytest.mark.parametrize("learner", LEARNERS)
def test_g7_nothing_done_is_the_plain_loop(curation, workflow, learner):
    plain, same = done(learner, workflow), done(learner, workflow, curation)
    assert plain == same and len(plain[1]) == 6


@cache
def done(learner, workflow, curation=None):
    deep = learner in ("estimator", "diffusion")
    spec = {
        "seed": 3,
        "generations": 3,
        "replicates": 1 if deep else 5,
        "data": {"kind": "gaussian", "dim": 2},
        "learner": LEARNERS[learner],
        "workflow": WORKFLOWS[workflow],
        "metrics": ["sample_variance", "real_share"],
        "evaluation_size": 50,
    }
    if learner == "diffusion":
        spec["sampling"] = {"steps": 3}
    return measured(Loop(**spec, curation=[NOTHING[curation]] if curation else []))


def measured(loop):
    state, rows = loop.start(loop.blocks()[0]), []
    while state.generation < loop.spec.generations:
        state, records = loop.step(state)
        rows += [(r.number, m.metric, m.value.tolist()) for r in records for m in r.measurements]
    return loop.paths, rows
