"""Foreign objects as learners: scikit-learn's, a stranger's, and those that will not do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.neighbors import KernelDensity

from autophage import laws
from autophage.errors import FitFailed, SpecError
from autophage.keys import Key
from autophage.learners.estimator import Estimator
from autophage.samples import Samples


def blobs(n: int = 200) -> np.ndarray:
    rng = (Key(2) / "blobs").generator()
    return rng.normal(size=(n, 2)) + np.where(rng.random((n, 1)) < 0.5, -4.0, 4.0)


class Bootstrap:
    """A stranger's: nine lines, of which it has never heard of autophage."""

    def fit(self, x):
        self.x = x
        return self

    def sample(self, n):
        return self.x[np.random.randint(len(self.x), size=n)]  # noqa: NPY002


class OwnGenerator(Bootstrap):
    def __init__(self) -> None:
        self.rng = np.random.default_rng()

    def sample(self, n):
        return self.x[self.rng.integers(len(self.x), size=n)]


class Answers(Bootstrap):
    """Samples whatever it is told to."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def sample(self, n):
        return self.answer(self.x, n)


class Frame:
    def __init__(self, x: np.ndarray) -> None:
        self.x = x

    def to_numpy(self) -> np.ndarray:
        return self.x


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        ("sklearn.mixture:GaussianMixture", {"n_components": 2}),
        ("sklearn.neighbors:KernelDensity", {"bandwidth": 0.3}),
        (BayesianGaussianMixture, {"n_components": 2}),
        (GaussianMixture(n_components=2, random_state=0), {}),
        (lambda: KernelDensity(bandwidth=0.3), {}),
        (Bootstrap, {}),
        (Bootstrap(), {}),
        (OwnGenerator, {}),
        (OwnGenerator(), {}),
    ],
    # Names, not reprs: an object's address differs from one worker to the next.
    ids=[
        "path",
        "path kde",
        "class",
        "instance",
        "factory",
        "own class",
        "own",
        "own generator",
        "own generated",
    ],
)
def test_laws_of_learners_hold(given: Any, arguments: dict[str, Any]) -> None:
    laws.learner(Estimator(object=given, arguments=arguments), blobs())


def test_a_mixture_is_scikit_learns_own() -> None:
    x = blobs()
    model = Estimator(object=GaussianMixture, arguments={"n_components": 2}).fit(Samples.of(x), key=Key(0))
    oracle = GaussianMixture(n_components=2, random_state=(Key(0)).integer(32)).fit(x)
    assert np.allclose(model.log_prob(x), oracle.score_samples(x))
    drawn = model.sample(2000, key=Key(1)).x
    # Four standard errors of a share of 2,000.
    share = (oracle.means_[:, 0] > 0) @ oracle.weights_
    assert (drawn[:, 0] > 0).mean() == pytest.approx(share, abs=4 * 0.5 / np.sqrt(2000))


def test_every_fit_has_an_object_of_its_own() -> None:
    mine = GaussianMixture(n_components=1)
    learner = Estimator(object=mine)
    one, two = (learner.fit(Samples.of(blobs() + shift), key=Key(0)) for shift in (0.0, 9.0))
    assert not hasattr(mine, "means_")
    assert two.fitted.means_ == pytest.approx(one.fitted.means_ + 9.0)


def test_arguments_are_set_on_a_clone_and_the_original_stays() -> None:
    mine = GaussianMixture(n_components=1)
    model = Estimator(object=mine, arguments={"n_components": 3}).fit(Samples.of(blobs()), key=Key(0))
    assert len(model.fitted.means_) == 3 and mine.n_components == 1


def test_fit_gets_flat_floats_and_samples_get_the_records_shape() -> None:
    seen = []

    class Looks(Bootstrap):
        def fit(self, x):
            seen.append((x.shape, x.dtype))
            super().fit(x)

    x = np.arange(120, dtype=np.float32).reshape(10, 3, 4)
    drawn = Estimator(object=Looks).fit(Samples.of(x), key=Key(0)).sample(5, key=Key(1)).x
    assert seen == [((10, 12), np.dtype(np.float64))]
    assert drawn.shape == (5, 3, 4) and drawn.dtype == np.float32
    assert all((x == d).all(axis=(1, 2)).any() for d in drawn)


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda x, n: (x[:n], "labels"),
        lambda x, n: Frame(x[:n]),
        lambda x, n: x[:n].tolist(),
        lambda x, n: x[:n].reshape(n, 2, 1),
        lambda x, n: pytest.importorskip("polars").DataFrame(x[:n], schema=["a", "b"]),
        lambda x, n: pytest.importorskip("torch").tensor(x[:n], requires_grad=True),
    ],
    ids=["tuple", "to_numpy", "lists", "record shape", "polars", "torch"],
)
def test_samples_may_come_in_many_wrappings(wrapped: Any) -> None:
    x = blobs(20)
    data = Samples.of(x.reshape(20, 2, 1))
    drawn = Estimator(object=Answers(wrapped)).fit(data, key=Key(0)).sample(4, key=Key(1)).x
    assert np.array_equal(np.sort(drawn, axis=0), np.sort(x[:4].reshape(4, 2, 1), axis=0))


def test_one_number_records_may_come_flat() -> None:
    learner = Estimator(object=Answers(lambda x, n: x[:n, 0]))
    model = learner.fit(Samples.of(np.arange(9.0)[:, None]), key=Key(0))
    assert sorted(model.sample(3, key=Key(1)).x.tolist()) == [[0.0], [1.0], [2.0]]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda x, n: x[: n - 1], r"Answers\.sample\(4\) gave shape \(3, 2\); \(4, 2\) would be right"),
        (lambda x, n: x[:n, :1], r"gave shape \(4, 1\)"),
        (lambda x, n: x[:n] * np.nan, "gave values that are not finite"),
        (lambda x, n: None, "gave shape|no array of numbers|not finite"),
        (lambda x, n: [["a", "b"]] * n, "gave list that is no array of numbers"),
        (lambda x, n: 1 / 0, r"Answers\.sample fails: ZeroDivisionError"),
    ],
)
def test_unusable_samples_fail_with_the_objects_name(answer: Any, reason: str) -> None:
    model = Estimator(object=Answers(answer)).fit(Samples.of(blobs(20)), key=Key(0))
    with pytest.raises(FitFailed, match=reason):
        model.sample(4, key=Key(1))


def test_fits_that_cannot_be_fail_with_the_objects_name() -> None:
    learner = Estimator(object=GaussianMixture, arguments={"n_components": 8})
    with pytest.raises(FitFailed, match=r"GaussianMixture\.fit fails: ValueError"):
        learner.fit(Samples.of(blobs(5)), key=Key(0))
    with pytest.raises(FitFailed, match="training set of GaussianMixture is not finite"):
        learner.fit(Samples.of(blobs(20) * np.nan), key=Key(0))
    with pytest.raises(FitFailed, match="GaussianMixture got no record"):
        learner.fit(Samples.of(blobs(20)[:0]), key=Key(0))


def test_a_density_is_there_where_the_object_scores() -> None:
    assert Estimator(object=KernelDensity).has_log_prob and not Estimator(object=Bootstrap).has_log_prob
    model = Estimator(object=Bootstrap).fit(Samples.of(blobs()), key=Key(0))
    with pytest.raises(NotImplementedError, match="Bootstrap has no score_samples"):
        model.log_prob(blobs())


def test_a_foreign_model_is_not_stored() -> None:
    with pytest.raises(NotImplementedError):
        Estimator(object=Bootstrap).fit(Samples.of(blobs()), key=Key(0)).arrays()


def test_global_generators_are_left_alone() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    Estimator(object=Bootstrap).fit(Samples.of(blobs()), key=Key(0)).sample(5, key=Key(1))
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_what_a_fit_returns_is_the_model_where_it_samples() -> None:
    class Trainer(Bootstrap):
        def fit(self, x):
            return Bootstrap().fit(x + 100.0)

    model = Estimator(object=Trainer).fit(Samples.of(blobs()), key=Key(0))
    assert model.sample(20, key=Key(1)).x.min() > 50


@pytest.mark.parametrize(
    ("given", "arguments", "message"),
    [
        ("sklearn.mixture.GaussianMixture", {}, "did you mean 'sklearn.mixture:GaussianMixture'"),
        ("GaussianMixture", {}, "must be written module:object"),
        ("sklearn.mixtur:GaussianMixture", {}, "no module called 'sklearn.mixtur'"),
        ("sklearn.mixture:GausianMixture", {}, "did you mean 'GaussianMixture'"),
        ("sklearn.linear_model:LinearRegression", {}, "LinearRegression has no method 'sample'"),
        (GaussianMixture, {"n_component": 3}, "making GaussianMixture fails: TypeError.*n_component"),
        (GaussianMixture(), {"n_component": 3}, "making GaussianMixture fails: ValueError"),
        (GaussianMixture, [3], "arguments is .* must be a mapping"),
        (Bootstrap(), {"size": 3}, "cannot be set on a ready Bootstrap; give its class"),
        (lambda: 3, {}, "int has no method 'fit'"),
        (3, {}, "int without fit and sample"),
        ("collections:OrderedDict", {}, "OrderedDict has no method 'fit'"),
    ],
)
def test_objects_that_will_not_do_are_refused_at_once(given: Any, arguments: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Estimator(object=given, arguments=arguments)


def test_a_foreign_object_has_no_warm_start() -> None:
    with pytest.raises(SpecError, match="always fits from scratch"):
        Estimator(object=Bootstrap, start="previous")


def test_the_first_records_are_as_good_as_any() -> None:
    """scikit-learn's mixture samples component by component; a workflow may take the first few records only."""
    model = Estimator(object=GaussianMixture, arguments={"n_components": 2}).fit(
        Samples.of(blobs()), key=Key(0)
    )
    right = [(model.sample(400, key=Key(seed)).x[:100, 0] > 0).mean() for seed in range(20)]
    share = (model.fitted.means_[:, 0] > 0) @ model.fitted.weights_
    assert abs(np.mean(right) - share) < 4 * np.sqrt(0.25 / 2000)
