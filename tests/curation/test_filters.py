"""Filters with an anchor: their pulls in every family, what they keep and count, and what they refuse."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from scipy.special import expit

from autophage.curation.anchor import KnownAnchor, lean, resolve
from autophage.curation.anchored_filter import AcceptingFilter
from autophage.curation.certificate import by_quadrature
from autophage.curation.interval_verifier import IntervalVerifier
from autophage.curation.keeping import dropped, filled, weighed
from autophage.curation.logistic import Logistic
from autophage.curation.tilt import Tilt
from autophage.curation.truncation import Truncation
from autophage.errors import FilterStarved, FitFailed, SpecError, UnusableWeights
from autophage.keys import Key
from autophage.learners.bernoulli import BernoulliModel
from autophage.learners.categorical import CategoricalModel
from autophage.learners.exponential import ExponentialModel
from autophage.learners.gaussian import Gaussian, GaussianMeanModel, GaussianModel
from autophage.learners.poisson import PoissonModel
from autophage.loop import Loop
from autophage.parts import Learner
from autophage.samples import Batch, Samples
from autophage.theory.filter_pulls import largest_pull, logistic_pull

sys.path.append(str(Path(__file__).parents[1]))

from strangers import NormalModel

KEY = Key(0) / "test_filters"
HERE = KnownAnchor(mean=0.0)


class Bench:
    """A `interventions.Curating` of one model."""

    def __init__(self, model, n=50, real=None, key=KEY):
        self.generation, self.agent, self.model, self.real = 2, "main", model, real
        self.replicates, self.key, self.memo = model.replicates, key / "curation", {}
        self.proposals = np.full(self.replicates, float(n))
        self.noted, self.draws, self.root = {}, 0, key

    def draw(self, n):
        self.draws += 1
        self.proposals = self.proposals + n
        return self.stamped(self.model.sample(n, key=self.root / "draw" / self.draws))

    def note(self, name, values):
        self.noted[name] = np.broadcast_to(np.asarray(values, float), (self.replicates,))

    def stamped(self, samples):
        if isinstance(samples, Batch):
            return Batch.of(samples.x, generation=2, agent="main")
        return samples.stamped(generation=2, agent="main")


def curated(part, model, n=50, real=None, key=KEY):
    context = Bench(model, n, real, key)
    return part.apply(context.stamped(model.sample(n, key=key / "sample")), context=context), context


def gaussian(mean, replicates=200, d=1):
    return GaussianMeanModel(np.full((replicates, d), float(mean)), scale=np.ones((replicates, d)))


def weighted_mean(samples, model):
    statistics = model.sufficient(samples.x)
    w = samples.weights()
    return np.einsum("rn,rnk->rk", w, statistics) / w.sum(axis=1)[:, None]


def near(values, expected, slack=0.0):
    """Means over replicates are right to four standard errors (and a bias of order 1/n)."""
    error = values.std(axis=0) / np.sqrt(len(values))
    assert (np.abs(values.mean(axis=0) - expected) <= 4 * error + slack).all(), (
        values.mean(axis=0),
        expected,
        error,
    )


# What records are measured by

MODELS = {
    "gaussian": GaussianModel(np.array([[1.0, -0.5]]), factor=np.linalg.cholesky([[[1.0, 0.4], [0.4, 0.5]]])),
    "gaussian_diagonal": GaussianModel(np.array([[1.0, -0.5]]), scale=np.array([[1.0, 0.3]])),
    "gaussian_mean": GaussianMeanModel(np.array([[1.0, -0.5]]), scale=np.array([[1.0, 0.3]])),
    "poisson": PoissonModel(np.array([[3.0, 0.5]])),
    "bernoulli": BernoulliModel(np.array([[0.2, 0.7]])),
    "exponential": ExponentialModel(np.array([[2.0, 0.5]])),
    "categorical": CategoricalModel(np.array([[0.5, 0.3, 0.2, 0.0]])),
}
SIZE = {"gaussian": 4, "gaussian_diagonal": 4, "categorical": 4}


@pytest.mark.parametrize("name", list(MODELS))
def test_moments_of_sufficient_statistics(name):
    """Mean and covariance against many draws; for symbols diag(1/p) inverts the covariance on its range."""
    model = MODELS[name]
    x = model.sample(400_000, key=KEY / name).x
    statistics = model.sufficient(x)
    mean, scatter = model.moments_of_sufficient()
    assert statistics.shape == (1, 400_000, SIZE.get(name, 2)) and mean.shape == (1, SIZE.get(name, 2))
    found = np.cov(statistics[0].T, bias=True)
    np.testing.assert_allclose(
        statistics[0].mean(axis=0), mean[0], atol=4 * np.sqrt(np.diag(found).max() / 4e5)
    )
    if name == "categorical":
        v = np.array([0.1, -0.15, 0.05, 0.0])
        inverse = np.divide(v, scatter[0], out=np.zeros(4), where=scatter[0] > 0)
        np.testing.assert_allclose((np.diag(mean[0]) - np.outer(mean[0], mean[0])) @ inverse, v, atol=1e-12)
        return
    whole = scatter[0] if scatter.ndim == 3 else np.diag(scatter[0])
    np.testing.assert_allclose(found, whole, atol=0.03 * np.abs(whole).max())


@pytest.mark.parametrize("name", list(MODELS))
def test_z_is_standardised_under_the_model(name):
    model = MODELS[name]
    mean, _ = model.moments_of_sufficient()
    shift = np.array([0.05, -0.05, 0, 0]) if name == "categorical" else 0.1
    anchor = resolve(KnownAnchor(mean=tuple(np.broadcast_to(mean[0] - shift, mean[0].shape))), Bench(model))
    z, delta = lean(model, model.sample(300_000, key=KEY / name).x, anchor)
    assert z.shape == (1, 300_000) and delta.shape == (1, 1) and delta[0, 0] > 0.05
    assert abs(z.mean()) < 4 / np.sqrt(3e5) and abs(z.var() - 1) < 4 * np.sqrt((z**4).mean() / 3e5)


def test_a_point_mass_leans_nowhere():
    for model in (GaussianModel(np.zeros((2, 1)), scale=np.zeros((2, 1))), PoissonModel(np.zeros((2, 1)))):
        samples, context = curated(
            Tilt(anchor=KnownAnchor(mean=1.0), pull=0.5, require_contraction=False), model
        )
        assert (samples.weight == 1).all() and (context.noted["effective_size"] == 50).all()


# The pulls


def test_tilt_is_exact_for_a_gaussian_mean():
    model = gaussian(1.5, 3000)
    samples, context = curated(Tilt(anchor=HERE, pull=0.4), model, n=400)
    near(weighted_mean(samples, model), 0.9, slack=0.01)
    np.testing.assert_allclose(samples.weight.mean(axis=1), 1.0, rtol=1e-12)
    assert abs(context.noted["effective_size"].mean() / 400 - np.exp(-0.36)) < 0.02


def test_a_matrix_tilt_moves_each_direction_by_its_own_pull():
    B = ((0.2, -0.3), (0.0, 0.3))
    model = GaussianMeanModel(np.tile([1.0, 0.5], (3000, 1)), scale=np.tile([1.0, 0.5], (3000, 1)))
    samples, _ = curated(Tilt(anchor=HERE, pull=B), model, n=400)
    near(weighted_mean(samples, model), (np.eye(2) - np.array(B)) @ [1.0, 0.5], slack=0.01)


@pytest.mark.parametrize(
    "name, shift",
    [
        ("poisson", 0.05),
        ("bernoulli", 0.02),
        ("exponential", 0.03),
        ("categorical", [0.02, -0.01, -0.01, 0.0]),
    ],
)
def test_tilt_is_linear_to_first_order_in_every_family(name, shift):
    model = MODELS[name].spread(1500)
    mean, _ = model.moments_of_sufficient()
    anchor = KnownAnchor(mean=tuple(mean[0] - shift))
    samples, _ = curated(Tilt(anchor=anchor, pull=0.5), model, n=1000)
    plain = model.sufficient(samples.x).mean(axis=1)  # the same draws unweighted: most noise cancels
    near(weighted_mean(samples, model) - plain, -0.5 * np.broadcast_to(shift, mean[0].shape), slack=0.002)


def test_tilt_moves_mean_and_variance_of_a_gaussian():
    """T = (x, x^2): both statistics are pulled."""
    model = MODELS["gaussian_diagonal"].spread(1500)
    mean, _ = model.moments_of_sufficient()
    shift = np.array([0.03, 0.0, 0.1, 0.0])
    samples, _ = curated(Tilt(anchor=KnownAnchor(mean=tuple(mean[0] - shift)), pull=0.5), model, n=1000)
    plain = model.sufficient(samples.x).mean(axis=1)
    near(weighted_mean(samples, model) - plain, -0.5 * shift, slack=0.003)


@pytest.mark.parametrize("keep", ["weights", "n", "proposals"])
def test_logistic_pull_and_acceptance(keep):
    model = gaussian(2.0, 1500)
    samples, context = curated(Logistic(anchor=HERE, slope=0.5, keep=keep), model, n=400)
    near(weighted_mean(samples, model)[:, 0] - 2.0, float(logistic_pull(1.0)), slack=0.001)
    near(context.noted["acceptance"], 0.5, slack=0.001)  # n/used of a stopped search is biased by 1/n
    if keep == "n":
        assert samples.x.shape == (1500, 400, 1) and samples.weight is None
        near(context.proposals, 800.0, slack=1.0)
    else:
        assert (context.proposals == 400).all()


def test_logistic_sees_the_length_of_the_error_in_several_dimensions():
    """The mean moves along the error by S(k |delta|), and not across it."""
    model = GaussianMeanModel(np.tile([1.2, -1.6], (1500, 1)), scale=np.ones((1500, 2)))
    samples, _ = curated(Logistic(anchor=HERE, slope=0.5, keep="weights"), model, n=400)
    near(weighted_mean(samples, model), np.array([0.6, -0.8]) * (2 + float(logistic_pull(1.0))), slack=0.001)


@pytest.mark.parametrize("keep", ["n", "proposals"])
@pytest.mark.parametrize("side", [1, -1])
def test_f8_truncation_is_the_strongest_pull(keep, side):
    part = Truncation(anchor=HERE, share=0.3, keep=keep, require_contraction=False)
    model = gaussian(2.0 * side, 1500)
    samples, context = curated(part, model, n=400)
    near(weighted_mean(samples, model)[:, 0], side * (2.0 - 1.15898), slack=0.005)
    kept = 400 if keep == "n" else 120
    assert (np.count_nonzero(samples.weights(), axis=1) == kept).all()
    assert (context.proposals == (1334 if keep == "n" else 400)).all()
    near(context.noted["acceptance"], 0.3, slack=0.001)


def test_truncation_keeps_the_lowest_and_their_order():
    part = Truncation(anchor=HERE, share=0.5, keep="proposals", require_contraction=False)
    samples, _ = curated(part, gaussian(1.0, 3), n=10)
    for x, w in zip(samples.x[..., 0], samples.weight, strict=True):
        assert set(np.flatnonzero(w)) == set(np.argsort(x)[:5])


def test_interval_verifier_keeps_what_lies_near_its_centre():
    part = IntervalVerifier(centre=(0.5, 0.0), radius=1.0, keep="n")
    samples, context = curated(part, gaussian(0.0, 50, d=2), n=30)
    assert (np.hypot(samples.x[..., 0] - 0.5, samples.x[..., 1]) < 1).all() and len(samples) == 30
    np.testing.assert_allclose(context.noted["acceptance"], 30 / context.proposals)


# What is kept, and what is counted


def test_the_first_n_accepted_in_order_whoever_else_waits():
    """Against a plain loop over proposals, replicate by replicate."""
    model = gaussian(0.0, 6)
    part = IntervalVerifier(centre=0.0, radius=0.2, keep="n")
    samples, context = curated(part, model, n=20)
    again = Bench(model, 20)
    rounds = [model.sample(20, key=KEY / "sample").x] + [again.draw(20).x for _ in range(context.draws)]
    stream = np.concatenate(rounds, axis=1)[..., 0]
    for r in range(6):
        places = np.flatnonzero(np.abs(stream[r]) < 0.2)[:20]
        np.testing.assert_array_equal(samples.x[r, :, 0], stream[r, places])
        assert context.proposals[r] == places[-1] + 1
    assert len(set(context.proposals)) > 1


def test_b8_a_starved_filter_names_its_acceptance_rate():
    part = IntervalVerifier(centre=9.0, radius=0.1)
    with pytest.raises(
        FilterStarved, match=r"kept 0 of 1500 proposals, an acceptance rate of 0; to keep 30"
    ) as told:
        curated(part, gaussian(0.0, 2), n=30)
    assert isinstance(told.value, FitFailed)
    with pytest.raises(FilterStarved, match=r"acceptance rate of 0\.0\d+"):
        curated(IntervalVerifier(centre=2.6, radius=0.4), gaussian(0.0, 2), n=200, key=KEY / "rare")
    with pytest.raises(FilterStarved, match="acceptance rate"):
        curated(Truncation(anchor=HERE, share=0.01, require_contraction=False), gaussian(1.0, 2))


def test_a_filter_may_look_at_fifty_proposals_for_one():
    """Draws stop as soon as everybody has enough, and never before the fiftieth."""
    part, model = IntervalVerifier(centre=0.0, radius=0.05), gaussian(0.0, 2)  # accepts 4 %
    _, context = curated(part, model, n=100)
    assert context.draws <= 49 and (context.noted["acceptance"] > 1 / 50).all()


def test_a_starved_filter_ends_the_replicate_with_its_reason():
    from autophage.runs.run import run

    done = run(
        {
            "seed": 1,
            "generations": 3,
            "replicates": 4,
            "data": {"kind": "gaussian"},
            "learner": {"kind": "gaussian", "covariance": "known"},
            "workflow": {"kind": "replace", "sample_size": 20},
            "curation": [{"kind": "interval_verifier", "centre": 30, "radius": 1}],
            "metrics": ["squared_mean_error"],
        },
        pictures=False,
    )
    assert len(done.failures) == 4 and all("acceptance rate" in f["reason"] for f in done.failures.values())


@pytest.mark.parametrize(
    "weight",
    [np.zeros((2, 5)), np.full((2, 5), np.nan), [[1] * 5, [0] * 5], [[1] * 5, [1, 1, -1, 1, 1]]],
    ids=str,
)
def test_b8_weights_of_nothing_are_an_error(weight):
    batch = Batch.of(np.zeros((2, 5, 1)))
    with pytest.raises(UnusableWeights, match="nothing goes on unfiltered") as told:
        weighed(batch, np.asarray(weight, float), "mine")
    assert isinstance(told.value, ValueError) and isinstance(told.value, FitFailed)


@dataclass(frozen=True, kw_only=True)
class Broken(AcceptingFilter):
    """Gives no record a usable weight."""

    value: float = 0.0

    def response(self, delta, law):
        return by_quadrature(lambda z, d: expit(-d * z))(delta, law)

    def acceptance(self, context):
        return lambda found: np.full(found.z.shape, self.value)


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_b8_unusable_weights_reach_the_run(value):
    with pytest.raises(UnusableWeights):
        curated(Broken(anchor=HERE, keep="weights", value=value), gaussian(1.0, 3))


def test_dropping_leaves_weights_of_zero_in_a_batch_and_fewer_samples():
    batch = Batch.of(np.arange(6.0).reshape(2, 3, 1))
    mask = np.array([[True, False, True], [False, False, True]])
    assert dropped(batch, mask).weight.tolist() == [[1, 0, 1], [0, 0, 1]]
    assert dropped(batch.replicate(0), mask[:1]).x.ravel().tolist() == [0.0, 2.0]


def test_weights_multiply_those_of_an_earlier_curation():
    model = gaussian(1.0, 4)
    context = Bench(model, 20)
    samples = context.stamped(model.sample(20, key=KEY))
    half = IntervalVerifier(centre=1.0, radius=1.0, keep="proposals").apply(samples, context=context)
    both = Tilt(anchor=HERE, pull=0.5).apply(half, context=context)
    assert ((both.weight > 0) == (half.weight > 0)).all() and len(np.unique(both.weight[0])) > 2
    for part in (
        IntervalVerifier(centre=1.0, radius=1.0),
        Truncation(anchor=HERE, share=0.5, require_contraction=False),
    ):
        with pytest.raises(SpecError, match="past the curation before it"):
            part.apply(half, context=context)


# Deep scale


class ExposedModel(NormalModel):
    """A stranger's model that says what its sufficient statistics are."""

    def sufficient(self, x):
        return np.asarray(x, float).reshape(*x.shape[:2], -1)

    def moments_of_sufficient(self):
        return self.mean[None].astype(float), (self.scale**2)[None].astype(float)


@dataclass(frozen=True, kw_only=True)
class Exposed(Learner):
    """Means, and variance one."""

    weighted: ClassVar[bool] = True

    def fit(self, data, *, start=None, key):
        x, w = data.flat(), np.asarray(data.weight)
        return ExposedModel(np.average(x, axis=0, weights=w), np.ones(x.shape[1]))

    def sufficient_size(self, dim):
        return dim


@pytest.mark.parametrize(
    "part",
    [
        Tilt(anchor="real", pull=0.5),
        Logistic(anchor="real", keep="n"),
        Logistic(anchor="real", keep="proposals"),
        Logistic(anchor="real", keep="weights"),
        Truncation(anchor="real", share=0.5, require_contraction=False),
        IntervalVerifier(centre=(0.5, 0.25), radius=1.5),
    ],
    ids=lambda part: f"{type(part).__name__}-{getattr(part, 'keep', '')}",
)
def test_deep_scale_filters_samples(part):
    """Started away from the anchor, one filtered refit comes closer to it than the samples were."""
    real = Samples.of((KEY / "real").generator().normal([0.5, 0.25], 1.0, (400, 2)))
    model = ExposedModel(np.array([2.0, 1.0]), np.ones(2))
    samples, context = curated(part, model, n=400, real=real)
    assert isinstance(samples, Samples) and 0 < len(samples) <= 400
    assert (np.asarray(samples.generation) == 2).all() and set(samples.agent) == {"main"}
    fitted = Exposed().fit(samples, key=KEY).mean
    before = np.linalg.norm(np.array([2.0, 1.0]) - real.flat().mean(axis=0))
    assert np.linalg.norm(fitted - real.flat().mean(axis=0)) < before - 0.3
    assert context.proposals.shape == (1,)


def test_a_stranger_at_deep_scale_runs_in_the_loop():
    loop = Loop(
        seed=3,
        generations=6,
        data={"kind": "two_moons"},
        learner=Exposed(),
        workflow={"kind": "replace", "sample_size": 60},
        curation=[Tilt(anchor="real", pull=0.5)],
        metrics=["proposals", "certified_contraction"],
    )
    state = loop.start(loop.blocks()[0])
    for _ in range(6):
        state, (record,) = loop.step(state)
        if record.number < 5:
            found = {m.metric: m.value[0] for m in record.measurements}
            assert found == {"proposals": 60, "certified_contraction": pytest.approx(0.75)}
    assert np.linalg.norm(record.model.mean - loop.source.reference().flat().mean(axis=0)) < 0.8


# Anchors


def test_an_anchor_of_real_records_has_a_mean_and_a_variance():
    model = gaussian(0.0, 3, d=2)
    real = Batch.of((KEY / "real").generator().standard_normal((3, 5000, 2)))
    anchor = resolve("real", Bench(model, real=real))
    np.testing.assert_allclose(anchor.mean, real.x.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(anchor.variance, real.x.var(axis=1, ddof=1).sum(axis=1) / 5000, rtol=1e-10)
    shared = resolve("real", Bench(model, real=Batch.of(real.x[:1])))
    assert shared.mean.shape == (1, 2)


def test_an_anchor_is_computed_once_a_block():
    model = gaussian(0.0, 3)
    context = Bench(model, real=Batch.of(np.ones((3, 8, 1))))
    assert resolve("real", context) is resolve("real", context)
    context.real = Batch.of(np.zeros((3, 8, 1)))
    assert (resolve("real", context).mean == 0).all()


def test_b8_a_missing_anchor_must_be_said_outright():
    for kind in (Tilt, Logistic, Truncation):
        settings = {Tilt: {"pull": 0.3}, Logistic: {}, Truncation: {"share": 0.9}}[kind]
        with pytest.raises(SpecError, match="curation.anchor is not given"):
            kind(**settings)
        part = kind(anchor=None, **settings)
        assert part.idle
        samples, _ = curated(part, gaussian(3.0, 3))
        assert samples.weight is None and len(samples) == 50  # B = 0: the weights are all one


def test_without_an_anchor_the_loop_is_the_plain_one():
    spec = {
        "seed": 3,
        "generations": 4,
        "replicates": 5,
        "data": {"kind": "gaussian"},
        "learner": {"kind": "gaussian"},
        "workflow": {"kind": "replace", "sample_size": 20},
        "metrics": [],
    }
    plain, null = Loop(**spec), Loop(**spec, curation=[{"kind": "tilt", "pull": 0.3, "anchor": None}])
    for loop in (plain, null):
        state = loop.start(loop.blocks()[0])
        for _ in range(4):
            state, (record,) = loop.step(state)
        loop.last = record.model.mean
    assert null.paths == plain.paths == {"main": "statistics"} and (plain.last == null.last).all()


EVERYTHING = {
    "truncation": {"kind": "truncation", "share": 1, "anchor": "real", "require_contraction": False},
    "interval": {"kind": "interval_verifier", "centre": 0, "radius": 1e9},
    "interval of proposals": {"kind": "interval_verifier", "centre": 0, "radius": 1e9, "keep": "proposals"},
}
CLOSED = {"gaussian": {"kind": "gaussian"}, "known": {"kind": "gaussian", "covariance": "known"}}
RECORDS = {
    "kde": {"kind": "kde", "bandwidth": 0.3},
    "estimator": {"kind": "estimator", "object": "sklearn.mixture:GaussianMixture"},
}


@pytest.mark.parametrize(
    ("curation", "learner"),
    [
        ("truncation", "gaussian"),
        ("truncation", "known"),
        ("interval", "kde"),
        ("interval", "estimator"),
        ("interval of proposals", "estimator"),
    ],
)
def test_a_filter_that_everything_passes_is_the_plain_loop(curation, learner):
    """Bit for bit."""
    plain, filtered = (variances((CLOSED | RECORDS)[learner], c) for c in ([], [EVERYTHING[curation]]))
    assert plain == filtered and len(plain) == 4


def test_an_endless_interval_is_the_plain_loop_in_law():
    """Where the plain loop needs no records."""
    plain, filtered = (
        np.asarray(variances(CLOSED["gaussian"], c, 600)[-1]) for c in ([], [EVERYTHING["interval"]])
    )
    error = np.hypot(plain.std(), filtered.std()) / np.sqrt(600)
    assert 0 < abs(plain.mean() - filtered.mean()) < 4 * error and error < 0.04


def variances(learner, curation, replicates=5):
    loop = Loop(
        seed=3,
        generations=4,
        replicates=1 if learner["kind"] == "estimator" else replicates,
        data={"kind": "gaussian"},
        learner=learner,
        workflow={"kind": "mix", "real": 30, "synthetic_ratio": 1},
        curation=curation,
        metrics=["sample_variance"],
        evaluation_size=30,
    )
    state, rows = loop.start(loop.blocks()[0]), []
    while state.generation < 4:
        state, (record,) = loop.step(state)
        rows += [m.value.tolist() for m in record.measurements]
    return rows


def test_a_share_of_one_keeps_the_law_of_the_refit():
    loop = looped(EVERYTHING["truncation"], learner={"kind": "gaussian", "covariance": "known"})
    assert loop.paths == {"main": "statistics"}


# Refusals


@pytest.mark.parametrize("pull", [0.0, 2.0, -0.5, 2.5, float("nan"), float("inf")])
def test_b8_a_linear_pull_outside_0_2_is_refused(pull):
    with pytest.raises(SpecError, match=r"curation\.pull"):
        Tilt(anchor=HERE, pull=pull)


@pytest.mark.parametrize(
    "build, words",
    [
        (lambda: Tilt(anchor=HERE, pull=((0.5, 5.0), (-5.0, 0.5))), "eigenvalue of modulus"),
        (lambda: Tilt(anchor=HERE, pull=((0.5, 0.1),)), "square matrix"),
        (lambda: Tilt(anchor=HERE, pull=0.3, region=(0.0, 1.0)), "curation.region"),
        (lambda: Tilt(anchor=HERE, pull=0.3, region=(2.0, 1.0)), "curation.region"),
        (lambda: Tilt(anchor=HERE, pull=0.3, region=(0.3, float("nan"))), "curation.region"),
        (lambda: KnownAnchor(mean=float("nan")), "curation.anchor.mean"),
        (lambda: Logistic(anchor=HERE, slope=0.0), "curation.slope"),
        (lambda: Logistic(anchor=HERE, slope=float("nan")), "curation.slope"),
        (lambda: Truncation(anchor=HERE, share=0.0), "curation.share"),
        (lambda: Truncation(anchor=HERE, share=float("nan")), "curation.share"),
        (lambda: IntervalVerifier(centre=0.0, radius=0.0), "curation.radius"),
        (lambda: IntervalVerifier(centre=float("inf"), radius=1.0), "curation.centre"),
    ],
    ids=[
        "matrix",
        "shape",
        "region0",
        "region",
        "region_nan",
        "anchor",
        "slope",
        "slope_nan",
        "share",
        "share_nan",
        "radius",
        "centre",
    ],
)
def test_settings_that_cannot_be_right_are_refused(build, words):
    with pytest.raises(SpecError, match=words):
        build()


def looped(curation, **more):
    spec = {
        "seed": 1,
        "generations": 3,
        "data": {"kind": "gaussian"},
        "learner": {"kind": "gaussian", "covariance": "known"},
        "workflow": {"kind": "replace", "sample_size": 30},
        "metrics": [],
    }
    return Loop(**{**spec, **more}, curation=[curation])


@pytest.mark.parametrize(
    "curation, more, words",
    [
        (
            {"kind": "tilt", "pull": 0.3, "anchor": "real"},
            {"learner": "kde"},
            "weights|sufficient statistics",
        ),
        (
            {"kind": "logistic", "anchor": "real"},
            {"learner": "kde"},
            "sufficient statistics.*interval_verifier",
        ),
        ({"kind": "logistic", "anchor": "real"}, {"learner": "strangers:Normal"}, "sufficient statistics"),
        ({"kind": "neural_filter", "anchor": "real"}, {"learner": "kde"}, "sufficient statistics"),
        ({"kind": "tilt", "pull": 0.3, "anchor": {"mean": [0, 1, 2]}}, {}, "3 numbers"),
        ({"kind": "tilt", "pull": [[0.3, 0], [0, 0.3]], "anchor": "real"}, {}, "matrix of 2 rows"),
        ({"kind": "tilt", "pull": 0.3}, {}, "anchor is not given"),
        ({"kind": "interval_verifier", "centre": [0, 0], "radius": 1}, {}, "centre has 2 numbers"),
        (
            {"kind": "interval_verifier", "centre": 0, "radius": 1},
            {"learner": "categorical", "data": {"kind": "categorical", "probabilities": [0.5, 0.5]}},
            "symbols",
        ),
        (
            {"kind": "interval_verifier", "centre": 0, "radius": 1, "keep": "proposals"},
            {"learner": "kde"},
            "keep: n",
        ),
    ],
    ids=[
        "kde_tilt",
        "kde",
        "stranger",
        "neural",
        "anchor",
        "matrix",
        "unsaid",
        "centre",
        "symbols",
        "dropping",
    ],
)
def test_what_does_not_fit_is_refused_before_the_start(curation, more, words):
    with pytest.raises(SpecError, match=words):
        looped(curation, **more)


def test_the_interval_verifier_goes_with_any_learner():
    loop = looped({"kind": "interval_verifier", "centre": 0, "radius": 1}, learner="kde")
    state = loop.start(loop.blocks()[0])
    _, (record,) = loop.step(state)
    assert (np.abs(record.kept.x) < 1).all()


def test_b8_a_filter_that_does_not_contract_is_refused_or_an_ablation():
    for steep in (
        {"kind": "logistic", "slope": 12, "anchor": "real"},
        {"kind": "truncation", "share": 0.5, "anchor": "real"},
    ):
        with pytest.raises(
            SpecError, match=r"not contractive on the requested region: c = -.*require_contraction: false"
        ):
            looped(steep)
        loop = looped({**steep, "require_contraction": False}, metrics=["certified_contraction"])
        assert len(loop.warnings) == 1 and "ablation: it is not contractive" in loop.warnings[0]
        _, (record,) = loop.step(loop.start(loop.blocks()[0]))
        assert record.measurements[0].value[0] < 0
    # The same truncation on distances where it does contract; a contractive filter warns of nothing.
    far = looped({"kind": "truncation", "share": 0.5, "anchor": "real", "region": [1.0, 3.0]})
    assert far.warnings == [] and 0.5 * float(largest_pull(0.5)) < 1.0


@pytest.mark.parametrize("keep", ["n", "proposals", "weights"])
def test_replicates_do_not_depend_on_how_many_follow(keep):
    def last(replicates):
        curation = {"kind": "logistic", "anchor": "real", "keep": keep}
        loop = looped(curation, replicates=replicates)
        state = loop.start(loop.blocks()[0])
        for _ in range(3):
            state, (record,) = loop.step(state)
        return record.model.mean

    assert (last(3) == last(40)[:3]).all()


def test_filled_counts_from_what_was_proposed_before():
    model = gaussian(0.0, 2)
    context = Bench(model, 10)
    samples = context.stamped(model.sample(10, key=KEY))
    everything = filled(samples, lambda batch, draw: np.ones(batch.x.shape[:2], bool), context, "mine")
    assert (context.proposals == 10).all() and (everything.x == samples.x).all()
    assert Gaussian(covariance="known").fit(everything, key=KEY).replicates == 2
