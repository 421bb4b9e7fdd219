"""The laws against their closed forms, and their truths against scipy."""

import numpy as np
import pytest

from autophage.data.bernoulli import BernoulliSource
from autophage.data.blobs import BlobsSource
from autophage.data.categorical import CategoricalSource, Zipf
from autophage.data.circles import CirclesSource
from autophage.data.eight_gaussians import EightGaussiansSource
from autophage.data.exponential import ExponentialSource
from autophage.data.gaussian import GaussianSource
from autophage.data.poisson import PoissonSource
from autophage.data.swiss_roll import SwissRollSource
from autophage.data.two_moons import TwoMoonsSource
from autophage.errors import SpecError
from autophage.keys import Key

N = 200_000
P_VALUE = 1e-6
"""A test of law fails by chance once in a million."""


def drawn(source, n=N):
    return source.draw(n, key=Key(0) / "law").x[0]


def assert_moments(x, mean, cov):
    """Means and covariances within five standard errors, estimated from the records themselves."""
    n = len(x)
    assert np.all(np.abs(x.mean(0) - mean) < 5 * x.std(0) / np.sqrt(n))
    centred = x - mean
    products = centred[:, :, None] * centred[:, None, :]
    assert np.all(np.abs(products.mean(0) - cov) < 5 * products.std(0) / np.sqrt(n))


@pytest.mark.parametrize(
    ("settings", "mean", "cov"),
    [
        ({}, [0], [[1]]),
        ({"dim": 3}, np.zeros(3), np.eye(3)),
        ({"dim": 2, "mean": 5, "cov": 4}, [5, 5], 4 * np.eye(2)),
        ({"mean": [1, -2], "cov": [0.25, 9]}, [1, -2], np.diag([0.25, 9])),
        ({"cov": [[4]]}, [0], [[4]]),
        ({"mean": [1, 2], "cov": [[2, 0.5], [0.5, 1]]}, [1, 2], [[2, 0.5], [0.5, 1]]),
    ],
)
def test_gaussian(settings, mean, cov):
    from scipy.stats import multivariate_normal

    source = GaussianSource(**settings)
    assert source.dim == len(mean)
    assert_moments(drawn(source), np.asarray(mean), np.asarray(cov))
    x = source.reference().x[:20]
    expected = multivariate_normal(mean, cov).logpdf(x)
    assert np.allclose(source.truth.log_prob(x), expected, atol=1e-10)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"cov": [[1, 2], [2, 1]]}, r"data\.cov is not positive definite \(its smallest eigenvalue is -1\)"),
        ({"cov": 0}, "not positive definite"),
        ({"cov": [1, -1]}, "not positive definite"),
        ({"cov": [[1, 0.5], [0.2, 1]]}, "not symmetric"),
        ({"cov": [[1, 0]]}, r"data\.cov is 1 x 2"),
        ({"cov": [[1, 0], [0]]}, "rows of different lengths"),
        ({"dim": 2, "mean": [1, 2, 3]}, r"data\.mean is for 3 coordinates but the records have 2"),
        ({"mean": [1, 2], "cov": np.eye(3)}, "make them agree"),
        ({"dim": 3, "cov": [[2]]}, r"data\.cov is 1 x 1; records of 3 numbers"),
        ({"dim": 0}, r"data\.dim is 0"),
        ({"dim": 1.5}, r"data\.dim is 1\.5"),
        ({"mean": [0, float("nan")]}, r"data\.mean holds a value that is not finite"),
        ({"cov": float("inf")}, r"data\.cov holds a value that is not finite"),
        ({"mean": "zero"}, r"data\.mean is 'zero'"),
        ({"mean": []}, r"data\.mean is empty"),
        ({"mean": [[1, 2]]}, r"data\.mean has 2 axes"),
    ],
)
def test_gaussian_refuses(settings, match):
    with pytest.raises(SpecError, match=match):
        GaussianSource(**settings)


def test_zipf_and_its_relatives():
    zipf = Zipf(symbols=5, exponent=2, shift=0.5).probabilities()
    weights = np.array([1.5, 2.5, 3.5, 4.5, 5.5]) ** -2
    assert np.allclose(zipf, weights / weights.sum(), rtol=1e-14)
    # Seddik et al. 2024: after one refit on n = 50 records of Zipf(1), K = 10, E sum p^2 = 0.19704.
    start = (Zipf(symbols=10).probabilities() ** 2).sum()
    assert 1 - (1 - 1 / 50) * (1 - start) == pytest.approx(0.19704, abs=5e-6)
    steep = Zipf(symbols=1000, exponent=400).probabilities()
    assert steep.sum() == pytest.approx(1) and np.isfinite(steep).all()
    assert CategoricalSource(zipf={"symbols": 4}) == CategoricalSource(zipf=Zipf(symbols=4))


@pytest.mark.parametrize(
    ("source", "p"),
    [
        (CategoricalSource(probabilities=[0.5, 0, 0.3, 0.2, 0]), [0.5, 0, 0.3, 0.2, 0]),
        (
            CategoricalSource(zipf=Zipf(symbols=30, exponent=1.5)),
            Zipf(symbols=30, exponent=1.5).probabilities(),
        ),
        (CategoricalSource(uniform=7), np.full(7, 1 / 7)),
    ],
)
def test_categorical(source, p):
    from scipy.stats import chisquare

    p = np.asarray(p)
    counts = np.bincount(drawn(source), minlength=len(p))
    assert counts[p == 0].sum() == 0
    assert chisquare(counts[p > 0], N * p[p > 0]).pvalue > P_VALUE
    assert source.dim == len(p)
    assert np.allclose(source.truth.probabilities, p[None])


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({}, "exactly one of probabilities, zipf and uniform.*got none"),
        ({"uniform": 3, "probabilities": [0.5, 0.5]}, "got probabilities and uniform"),
        ({"probabilities": [0.5, 0.4]}, "sum to 0.9; they must sum to 1"),
        ({"probabilities": [1.5, -0.5]}, r"data\.probabilities\[1\] is -0\.5"),
        ({"probabilities": [0.5, float("nan"), 0.5]}, "not finite"),
        ({"probabilities": []}, "empty"),
        ({"probabilities": [1.0]}, "at least two must be possible"),
        ({"probabilities": [1.0, 0.0]}, "at least two must be possible"),
        ({"uniform": 1}, r"data\.uniform is 1"),
        ({"uniform": 2.5}, r"data\.uniform is 2\.5"),
        ({"zipf": {"symbols": 1}}, r"data\.zipf\.symbols is 1"),
        ({"zipf": {"symbols": 3, "exponent": -1}}, r"data\.zipf\.exponent is -1"),
        ({"zipf": {"symbols": 3, "shift": -1}}, r"data\.zipf\.shift is -1"),
        ({"zipf": {"symbols": 3, "shift": float("nan")}}, r"data\.zipf\.shift is nan"),
        ({"zipf": {"symbols": 3, "power": 1}}, r"data\.zipf has the keys symbols, power"),
        ({"zipf": {"exponent": 1}}, r"symbols \(required\)"),
        ({"zipf": 20}, r"data\.zipf is 20"),
    ],
)
def test_categorical_refuses(settings, match):
    with pytest.raises(SpecError, match=match):
        CategoricalSource(**settings)


def test_bernoulli():
    p = np.array([0.2, 0.7])
    source = BernoulliSource(probability=p)
    assert_moments(drawn(source), p, np.diag(p * (1 - p)))
    assert np.array_equal(source.truth.mean, p[None])
    assert source.value_range == (0, 1)


def test_poisson():
    rate = np.array([1.0, 30.0])
    source = PoissonSource(rate=rate)
    assert_moments(drawn(source), rate, np.diag(rate))
    assert np.array_equal(source.truth.mean, rate[None])
    share = (drawn(source)[:, 0] == 0).mean()
    assert abs(share - np.exp(-1)) < 5 * np.sqrt(np.exp(-1) * (1 - np.exp(-1)) / N)


def test_exponential():
    from scipy.stats import kstest

    mean = np.array([1.0, 5.0])
    source = ExponentialSource(mean=mean)
    x = drawn(source)
    for j in range(2):
        assert kstest(x[:, j] / mean[j], "expon").pvalue > P_VALUE
    assert abs(np.corrcoef(x.T)[0, 1]) < 5 / np.sqrt(N)
    assert np.array_equal(source.truth.mean, mean[None])


@pytest.mark.parametrize(
    ("cls", "key", "wrong"),
    [
        (BernoulliSource, "probability", [-0.1, 0, 1, 1.2]),
        (PoissonSource, "rate", [-1, 0, 1e16]),
        (ExponentialSource, "mean", [-1, 0]),
    ],
)
def test_one_parameter_laws_refuse(cls, key, wrong):
    for value in [*wrong, float("nan"), float("inf"), "much", [], None]:
        with pytest.raises(SpecError, match=rf"data\.{key}"):
            cls(**{key: value})
        if not isinstance(value, list):
            with pytest.raises(SpecError, match=rf"data\.{key}"):
                cls(**{key: [0.5, value]})


@pytest.mark.parametrize(
    ("source", "centres", "deviation"),
    [
        (
            EightGaussiansSource(radius=3, deviation=0.1),
            [(3 * np.cos(k * np.pi / 4), 3 * np.sin(k * np.pi / 4)) for k in range(8)],
            0.1,
        ),
        (BlobsSource(centres=[[0, 0, 0], [9, 0, 3]], deviation=0.5), [[0, 0, 0], [9, 0, 3]], 0.5),
    ],
)
def test_mixtures(source, centres, deviation):
    from scipy.special import logsumexp
    from scipy.stats import kstest, multivariate_normal

    centres = np.asarray(centres)
    k, d = centres.shape
    x = drawn(source)
    nearest = ((x[:, None] - centres) ** 2).sum(-1).argmin(1)
    share = np.bincount(nearest, minlength=k) / N
    assert np.all(np.abs(share - 1 / k) < 5 * np.sqrt((1 / k) * (1 - 1 / k) / N))
    residual = (x - centres[nearest]) / deviation
    assert kstest(residual[:, 0], "norm").pvalue > P_VALUE
    assert_moments(residual, np.zeros(d), np.eye(d))
    reference = source.reference()
    assert np.array_equal(((reference.x[:, None] - centres) ** 2).sum(-1).argmin(1), reference.label)
    points = reference.x[:20]
    parts = [multivariate_normal(c, deviation**2 * np.eye(d)).logpdf(points) for c in centres]
    assert np.allclose(source.truth.log_prob(points), logsumexp(parts, axis=0) - np.log(k), atol=1e-9)


def test_the_centres_of_blobs_never_move():
    x, reference = drawn(BlobsSource(), 30_000), BlobsSource(reference_size=30_000).reference().x
    spread = np.sqrt(x.var(0) / len(x) + reference.var(0) / len(reference))
    assert np.all(np.abs(x.mean(0) - reference.mean(0)) < 5 * spread)


def test_two_moons_without_noise_lie_on_their_curves():
    from scipy.stats import kstest

    x = drawn(TwoMoonsSource(noise=0))
    upper = np.abs((x**2).sum(1) - 1) < 1e-12
    lower = np.abs((x[:, 0] - 1) ** 2 + (x[:, 1] - 0.5) ** 2 - 1) < 1e-12
    assert (upper | lower).all() and (x[upper & ~lower, 1] >= 0).all() and (x[lower & ~upper, 1] <= 0.5).all()
    assert abs(upper.mean() - 0.5) < 5 * 0.5 / np.sqrt(N)
    assert kstest(np.arctan2(x[upper, 1], x[upper, 0]) / np.pi, "uniform").pvalue > P_VALUE
    # The mean is ((0 + 1) / 2, (2/pi + 1/2 - 2/pi) / 2), and the noise adds its variance to each coordinate.
    noisy = drawn(TwoMoonsSource(noise=0.3))
    assert_moments(noisy, np.array([0.5, 0.25]), np.cov(x.T, bias=True) + 0.09 * np.eye(2))


def test_circles_without_noise_lie_on_their_radii():
    from scipy.stats import kstest

    x = drawn(CirclesSource(noise=0, factor=0.3))
    radius = np.hypot(*x.T)
    inner = radius < 0.65
    assert np.allclose(radius, np.where(inner, 0.3, 1), atol=1e-12)
    assert abs(inner.mean() - 0.5) < 5 * 0.5 / np.sqrt(N)
    assert kstest((np.arctan2(x[:, 1], x[:, 0]) + np.pi) / (2 * np.pi), "uniform").pvalue > P_VALUE
    # E r^2 / 2 = (1 + 0.09) / 4 in each coordinate.
    assert_moments(drawn(CirclesSource(noise=0.1, factor=0.3)), np.zeros(2), (1.09 / 4 + 0.01) * np.eye(2))


def test_swiss_roll_without_noise_is_a_rolled_strip():
    from scipy.stats import kstest

    x = drawn(SwissRollSource(noise=0))
    angle = np.hypot(x[:, 0], x[:, 1])
    assert np.allclose(x[:, 0], angle * np.cos(angle), atol=1e-9)
    assert np.allclose(x[:, 1], angle * np.sin(angle), atol=1e-9)
    assert kstest((angle / np.pi - 1.5) / 3, "uniform").pvalue > P_VALUE
    assert kstest(x[:, 2] / 21, "uniform").pvalue > P_VALUE
    assert abs(np.corrcoef(angle, x[:, 2])[0, 1]) < 5 / np.sqrt(N)
    noise = drawn(SwissRollSource(noise=0.05)) - x
    assert_moments(noise, np.zeros(3), 0.0025 * np.eye(3))
    assert np.array_equal(drawn(SwissRollSource(noise=0, dim=2)), x[:, :2])


@pytest.mark.parametrize(
    ("cls", "settings", "match"),
    [
        (TwoMoonsSource, {"noise": -0.1}, r"data\.noise is -0\.1"),
        (CirclesSource, {"noise": float("nan")}, r"data\.noise is nan"),
        (CirclesSource, {"factor": 1}, r"data\.factor is 1"),
        (SwissRollSource, {"noise": float("inf")}, r"data\.noise is inf"),
        (SwissRollSource, {"dim": 4}, r"data\.dim is 4"),
        (EightGaussiansSource, {"radius": 0}, r"data\.radius is 0"),
        (EightGaussiansSource, {"deviation": "small"}, r"data\.deviation is 'small'"),
        (BlobsSource, {"deviation": 0}, r"data\.deviation is 0"),
        (BlobsSource, {"centres": [[0, 0]]}, "at least two different points"),
        (BlobsSource, {"centres": [[0, 0], [0, 0]]}, "at least two different points"),
        (BlobsSource, {"centres": [0, 1]}, "each a list of numbers"),
        (BlobsSource, {"centres": [[0, 0], [1]]}, "rows of different lengths"),
    ],
)
def test_shapes_refuse(cls, settings, match):
    with pytest.raises(SpecError, match=match):
        cls(**settings)
