"""Retraining maps: R10-R13 and R24, the fixed-point derivative, and what must be refused."""

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.theory.population import contraction_factor, gaussian, mean_parameters
from autophage.theory.ppca import eigenvalue_course
from autophage.theory.stability import contraction, jacobian, parameter_error_bound, stability


def test_r10_population_map():
    course = gaussian(0.0, 1.0, 1.0, 1.0, 0.5, 11)
    assert course.mean[10, 0] == pytest.approx(1.693509e-5, rel=5e-7)
    assert mean_parameters(3.0, 7.0, 0.5, 7)[-1] == pytest.approx(3.005486968, abs=5e-10)


def test_gaussian_map_is_the_mixture_of_moments():
    m, S = np.array([1.0, -2.0]), np.array([[2.0, 0.3], [0.3, 1.0]])
    mu, C = np.array([4.0, 0.0]), np.array([[0.5, 0.1], [0.1, 3.0]])
    ratio = 0.8
    w = contraction_factor(ratio)
    course = gaussian(m, S, mu, C, ratio, 6)
    for t in range(6):
        np.testing.assert_allclose(course.mean[t], mu, rtol=1e-12)
        np.testing.assert_allclose(course.covariance[t], C, rtol=1e-12)
        new = (1 - w) * m + w * mu
        C = (1 - w) * (S + np.outer(m, m)) + w * (C + np.outer(mu, mu)) - np.outer(new, new)
        mu = new


def test_r11_stability():
    found = stability(0.3, 0.1, 2.0, 1.0)
    assert found.guarantee and found.sharper_guarantee
    assert found.condition == pytest.approx(0.36, abs=1e-12)
    assert found.rate == pytest.approx(0.5625, abs=1e-12)
    assert found.sharper_rate == pytest.approx(0.2903226, abs=5e-8)
    assert found.largest_ratio == pytest.approx(0.4166667, abs=5e-8)
    assert found.sharper_largest_ratio == pytest.approx(2.5)


def test_r12_no_guarantee_is_not_a_rate():
    found = stability(1.0, 0.1, 2.0, 1.0)
    assert found.condition == pytest.approx(1.2)
    assert not found.guarantee and found.rate is None
    assert found.sharper_rate == pytest.approx(0.6666667, abs=5e-8)
    assert np.isinf(parameter_error_bound(found, 5, start=0.5, n=1000)).all()


@pytest.mark.parametrize("ratio", [0.0, 0.2, 0.49, 0.5, 0.9, 3.0])
@pytest.mark.parametrize("eps", [0.0, 0.1, 0.6, 5.0])
def test_a_rate_is_always_a_contraction(ratio, eps):
    found = stability(ratio, eps, 2.0, 1.0)
    for holds, rate in [(found.guarantee, found.rate), (found.sharper_guarantee, found.sharper_rate)]:
        assert holds == (rate is not None)
        assert rate is None or 0 <= rate < 1
    assert found.guarantee == (ratio < found.largest_ratio)
    assert found.largest_ratio <= 0.5
    if found.guarantee and found.sharper_guarantee:
        assert found.sharper_rate <= found.rate
    if eps == 0:
        assert found.sharper_rate == pytest.approx(contraction_factor(ratio))


def test_r13_finite_sample_bound():
    bound = parameter_error_bound(stability(0.3, 0.1, 2.0, 1.0), 51, start=0.5, n=1000, optimisation=0.001)
    assert bound[5] == pytest.approx(0.164798, abs=5e-7)
    assert bound[50] == pytest.approx(0.141111, abs=5e-7)


def test_jacobian_of_a_misspecified_location_model():
    """A Student-t likelihood fitted to Gaussian data: the derivative of the map, by finite differences.

    log p_theta(x) = -(nu+1)/2 log(1 + (x-theta)^2/nu); the best theta is 0.
    """
    nu, ratio = 3.0, 0.7
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    weights = weights / weights.sum()
    grid = np.linspace(-400, 400, 800_001)
    student = (1 + grid**2 / nu) ** (-(nu + 1) / 2)
    student /= student.sum()

    def slope(x, theta):
        r = x - theta
        return (nu + 1) * r / (nu + r**2)

    def hessian(x):
        return (nu + 1) * (x**2 - nu) / (nu + x**2) ** 2

    A = float(weights @ hessian(nodes))
    F = float(student @ slope(grid, 0.0) ** 2)
    step = 1e-4  # the synthetic part is the model moved to `step`
    low, high = 0.0, step
    for _ in range(60):
        middle = (low + high) / 2
        total = weights @ slope(nodes, middle) + ratio * (student @ slope(grid + step, middle))
        low, high = (middle, high) if total > 0 else (low, middle)
    assert low / step == pytest.approx(jacobian([[A]], [[F]], ratio).item(), rel=1e-4)
    assert (
        abs(contraction([[A]], [[F]], ratio) - contraction_factor(ratio)) > 1e-3
    )  # not an exponential family


def test_jacobian_well_specified():
    F = np.array([[2.0, 0.5], [0.5, 1.0]])
    np.testing.assert_allclose(jacobian(-F, F, 0.5), np.eye(2) / 3, atol=1e-15)
    assert contraction(-F, F, 4.0) == pytest.approx(0.8)


def test_r24_ppca():
    course = eigenvalue_course([4, 2, 1], 0.5, 2, 6)
    expected = [(4, 2), (3.5, 1.5), (3, 1), (2.5, 0.5), (2, 0), (1.5, 0)]
    np.testing.assert_allclose(course, expected, atol=1e-12)
    np.testing.assert_allclose(eigenvalue_course([1, 4, 2], 0.5, 2, 6, decoder_means=False), [[4, 2]] * 6)


def test_ppca_by_refitting():
    """The population fit, done: W W' = U (Lambda - s2) U' on the leading axes."""
    noise, latent = 0.3, 2
    rng = np.random.default_rng(0)
    U = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    S = U @ np.diag([2.0, 0.8, 0.4, 0.1]) @ U.T
    for found in eigenvalue_course([2.0, 0.8, 0.4, 0.1], noise, latent, 5):
        values, vectors = np.linalg.eigh(S)
        np.testing.assert_allclose(values[::-1][:latent], found, atol=1e-12)
        kept = np.maximum(values - noise, 0) * (np.arange(4) >= 4 - latent)
        S = (vectors * kept) @ vectors.T


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: stability(-0.1, 0.1, 2, 1), "synthetic ratio"),
        (lambda: stability(float("nan"), 0.1, 2, 1), "synthetic ratio"),
        (lambda: stability(float("inf"), 0.1, 2, 1), "synthetic ratio"),
        (lambda: stability(0.3, -0.1, 2, 1), "eps"),
        (lambda: stability(0.3, 0.1, 0, 1), "Lipschitz"),
        (lambda: stability(0.3, 0.1, 2, 0), "curvature"),
        (lambda: parameter_error_bound(stability(0.3, 0.1, 2, 1), 3, start=1, n=10, delta=2), "delta"),
        (lambda: parameter_error_bound(stability(0.3, 0.1, 2, 1), 3, start=-1, n=10), "start"),
        (lambda: parameter_error_bound(stability(0.3, 0.1, 2, 1), 3, start=1, n=0), "n is 0"),
        (lambda: jacobian([[1.0]], [[1.0]], 0.5), "negative definite"),
        (lambda: jacobian([[-1.0, 0.0]], [[1.0]], 0.5), "square"),
        (lambda: contraction_factor(-1), "synthetic ratio"),
        (lambda: eigenvalue_course([1.0], 0.1, 2, 3), "latent"),
        (lambda: eigenvalue_course([-1.0], 0.1, 1, 3), "zero or more"),
    ],
)
def test_what_cannot_be_is_refused(call, words):
    with pytest.raises(SpecError, match=words):
        call()
