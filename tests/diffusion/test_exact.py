"""Exact denoisers against quadrature, derivatives and an integrated flow."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.stats import multivariate_normal, norm

from autophage.diffusion.exact import ExactGaussian, ExactMixture
from autophage.errors import SpecError

MEAN = [0.5, -1.0, 2.0]
ROOT = np.array([[1.0, 0.4, 0.1], [0.0, 0.6, -0.2], [0.3, 0.0, 0.15]])
COV = ROOT @ ROOT.T
GAUSSIAN = ExactGaussian(MEAN, torch.tensor(COV))
MIXTURE = ExactMixture(
    [0.2, 0.5, 0.3],
    [[-1.0, 0.0], [1.5, 0.5], [0.0, 2.0]],
    [0.04, [[0.3, 0.1], [0.1, 0.2]], [0.25, 0.01]],
)
LEVELS = [0.05, 0.7, 6.0]


def level(sigma: float) -> torch.Tensor:
    return torch.tensor(sigma, dtype=torch.float64)


def points(dim: int, n: int = 7) -> torch.Tensor:
    return 2 * torch.randn(n, dim, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.mark.parametrize("sigma", LEVELS)
def test_gaussian_denoiser_is_the_regression_formula(sigma):
    y = points(3)
    gain = COV @ np.linalg.inv(COV + sigma**2 * np.eye(3))
    expected = MEAN + (y.numpy() - MEAN) @ gain.T
    np.testing.assert_allclose(GAUSSIAN(y, level(sigma)), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("sigma", LEVELS)
def test_gaussian_log_density_is_scipys(sigma):
    y = points(3)
    expected = multivariate_normal(MEAN, COV + sigma**2 * np.eye(3)).logpdf(y.numpy())
    np.testing.assert_allclose(GAUSSIAN.log_prob(y, level(sigma)), expected, rtol=1e-11)


@pytest.mark.parametrize("sigma", LEVELS)
@pytest.mark.parametrize("label", [None, 0, 2, 3], ids=["none", "first", "last", "null"])
def test_score_is_the_gradient_of_the_log_density_and_gives_the_denoiser(sigma, label):
    y = points(2).requires_grad_()
    labels = None if label is None else torch.full((len(y),), label)
    (gradient,) = torch.autograd.grad(MIXTURE.log_prob(y, level(sigma), labels).sum(), y)
    y = y.detach()
    torch.testing.assert_close(MIXTURE.score(y, level(sigma), labels), gradient, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(
        MIXTURE(y, level(sigma), labels), y + sigma**2 * gradient, rtol=1e-9, atol=1e-9
    )


def test_gaussian_score_gives_the_denoiser():
    y = points(3)
    torch.testing.assert_close(GAUSSIAN(y, level(0.7)), y + 0.49 * GAUSSIAN.score(y, level(0.7)))


@pytest.mark.parametrize("sigma", LEVELS)
def test_mixture_denoiser_is_the_posterior_mean_by_quadrature(sigma):
    """E[x0 | y] of a line's mixture, from the prior and the noise alone."""
    law = ExactMixture([0.3, 0.7], [[-1.0], [1.5]], [0.04, 0.25])
    x = np.linspace(-6, 7, 40001)
    prior = 0.3 * norm.pdf(x, -1, 0.2) + 0.7 * norm.pdf(x, 1.5, 0.5)
    y = np.array([-2.0, -0.4, 0.1, 1.0, 3.0])
    log_noise = -0.5 * ((y[:, None] - x) / sigma) ** 2
    weight = prior * np.exp(log_noise - log_noise.max(1, keepdims=True))
    expected = (weight * x).sum(1) / weight.sum(1)
    np.testing.assert_allclose(law(torch.tensor(y)[:, None], level(sigma))[:, 0], expected, rtol=1e-8)


def test_a_label_picks_its_component_and_null_the_mixture():
    y, sigma = points(2), level(0.7)
    for k, component in enumerate(MIXTURE.components):
        torch.testing.assert_close(MIXTURE(y, sigma, torch.full((7,), k)), component(y, sigma))
    assert torch.equal(MIXTURE(y, sigma, torch.full((7,), MIXTURE.null)), MIXTURE(y, sigma))
    mixed = torch.tensor([0, 1, 2, 3, 0, 3, 1])
    rows = [MIXTURE(y[i : i + 1], sigma, mixed[i : i + 1]) for i in range(7)]
    torch.testing.assert_close(MIXTURE(y, sigma, mixed), torch.cat(rows))


def test_shares_are_bayes_rule():
    y, sigma = points(2), 0.4
    joint = np.stack(
        [
            w * multivariate_normal(c.mean.numpy(), c.cov.numpy() + sigma**2 * np.eye(2)).pdf(y.numpy())
            for w, c in zip(MIXTURE.weights.tolist(), MIXTURE.components, strict=True)
        ],
        -1,
    )
    np.testing.assert_allclose(
        MIXTURE.shares(y, level(sigma)), joint / joint.sum(1, keepdims=True), rtol=1e-9
    )
    np.testing.assert_allclose(MIXTURE.log_prob(y, level(sigma)), np.log(joint.sum(1)), rtol=1e-9)
    np.testing.assert_allclose(MIXTURE.shares(y, level(sigma), torch.ones(7, dtype=torch.long))[:, 1], 1)


def test_far_from_every_component_nothing_underflows():
    y = torch.full((1, 2), 1e4, dtype=torch.float64)
    assert torch.isfinite(MIXTURE(y, level(0.1))).all()
    assert float(MIXTURE.shares(y, level(0.1)).sum()) == pytest.approx(1)


@pytest.mark.parametrize("law", [GAUSSIAN, MIXTURE], ids=["gaussian", "mixture"])
def test_each_record_may_have_its_own_level(law):
    dim = 3 if law is GAUSSIAN else 2
    y, sigma = points(dim), torch.logspace(-1, 1, 7, dtype=torch.float64)
    rows = torch.cat([law(y[i : i + 1], sigma[i]) for i in range(7)])
    torch.testing.assert_close(law(y, sigma), rows)


@pytest.mark.parametrize(
    "law", [ExactGaussian(torch.zeros(12), 0.5), ExactMixture([1.0], [[0.0] * 12], [0.5])]
)
def test_records_keep_their_shape_and_type(law):
    y = torch.randn(4, 3, 2, 2)
    found = law(y, level(2.0))
    assert found.shape == y.shape and found.dtype == torch.float32
    torch.testing.assert_close(found, y * 0.5 / 4.5)


def test_limits_of_the_noise():
    y = points(3)
    torch.testing.assert_close(GAUSSIAN(y, level(1e-9)), y)
    torch.testing.assert_close(GAUSSIAN(y, level(1e9)), GAUSSIAN.mean.expand(7, 3))


def test_data_on_a_line_are_denoised_onto_it():
    law = ExactGaussian([0.0, 0.0], [[1.0, 2.0], [2.0, 4.0]])
    found = law(points(2), level(0.3))
    torch.testing.assert_close(found[:, 1], 2 * found[:, 0])


# The flow


def test_flow_is_the_integrated_ode():
    y, t, s = points(3, 2), 5.0, 0.01

    def slope(sigma, flat):
        now = torch.tensor(flat.reshape(2, 3))
        return ((now - GAUSSIAN(now, level(sigma))) / sigma).numpy().ravel()

    solved = solve_ivp(slope, (t, s), y.numpy().ravel(), rtol=1e-10, atol=1e-12, method="DOP853")
    np.testing.assert_allclose(GAUSSIAN.flow(y, t, s).numpy().ravel(), solved.y[:, -1], rtol=1e-7)


def test_flow_carries_the_law_of_one_level_into_that_of_another():
    jacobian = GAUSSIAN.flow(torch.eye(3, dtype=torch.float64) + GAUSSIAN.mean, 3.0, 0.2) - GAUSSIAN.mean
    pushed = jacobian.T @ (GAUSSIAN.cov + 9 * torch.eye(3)) @ jacobian
    torch.testing.assert_close(pushed, GAUSSIAN.cov + 0.04 * torch.eye(3, dtype=torch.float64))


def test_flows_compose_and_turn_back():
    y = points(3)
    torch.testing.assert_close(
        GAUSSIAN.flow(GAUSSIAN.flow(y, 4.0, 1.0), 1.0, 0.0), GAUSSIAN.flow(y, 4.0, 0.0)
    )
    torch.testing.assert_close(GAUSSIAN.flow(GAUSSIAN.flow(y, 4.0, 0.0), 0.0, 4.0), y)


# Refusals

BAD = {
    "shape": (lambda: ExactGaussian([0.0, 0.0], torch.eye(3)), r"a mean of 2 entries asks for \(2, 2\)"),
    "variances": (lambda: ExactGaussian([0.0, 0.0], [1.0, 1.0, 1.0]), r"cov has shape \(3,\)"),
    "nan": (lambda: ExactGaussian([math.nan], 1.0), "not finite"),
    "infinite": (lambda: ExactGaussian([0.0], math.inf), "not finite"),
    "negative": (lambda: ExactGaussian([0.0], -1.0), "without a negative eigenvalue"),
    "lopsided": (lambda: ExactGaussian([0.0, 0.0], [[1.0, 0.5], [0.0, 1.0]]), "must be symmetric"),
    "lengths": (lambda: ExactMixture([1.0], [[0.0], [1.0]], [1.0]), "1, 2 and 1 entries"),
    "sum": (lambda: ExactMixture([0.5, 0.6], [[0.0], [1.0]], [1.0, 1.0]), "sum to 1"),
    "zero": (lambda: ExactMixture([1.0, 0.0], [[0.0], [1.0]], [1.0, 1.0]), "above 0"),
    "weight_nan": (lambda: ExactMixture([math.nan, 1.0], [[0.0], [1.0]], [1.0, 1.0]), "above 0"),
    "label": (lambda: MIXTURE(points(2), level(1.0), torch.full((7,), 4)), "outside 0 to 3"),
    "below": (lambda: MIXTURE(points(2), level(1.0), torch.full((7,), -1)), "outside 0 to 3"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_law_is_refused(name):
    make, words = BAD[name]
    with pytest.raises(SpecError, match=words):
        make()
