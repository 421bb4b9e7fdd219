"""ODE solvers against flows that are known."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from autophage.diffusion.ode import DIFFERENCE, DORMAND_PRINCE, METHODS, RULES, Rule, integrate
from autophage.errors import FitFailed, SpecError
from autophage.keys import Key

MEAN = torch.tensor([1.5, -0.5], dtype=torch.float64)
COVARIANCE = torch.tensor([[0.5, 0.3], [0.3, 2.0]], dtype=torch.float64)


def velocity(x: Tensor, t: Tensor) -> Tensor:
    """E[x0 - n | x_t = x] for x0 ~ N(m, S): m + (t S - (1 - t) I) (t^2 S + (1 - t)^2 I)^-1 (x - t m)."""
    one = torch.eye(2, dtype=torch.float64)
    joint, spread = t * COVARIANCE - (1 - t) * one, t**2 * COVARIANCE + (1 - t) ** 2 * one
    return MEAN + (x.double() - t * MEAN) @ (joint @ torch.linalg.inv(spread)).T


def arrived(z: Tensor) -> Tensor:
    """Where its flow takes z: m + S^(1/2) z."""
    values, axes = torch.linalg.eigh(COVARIANCE)
    return MEAN + z @ (axes * values.sqrt()) @ axes.T


@pytest.fixture(scope="module")
def z() -> Tensor:
    return torch.randn((64, 2), generator=(Key(0) / "z").torch(), dtype=torch.float64)


def slope(steps: list[int], errors: list[float]) -> float:
    """The exponent of the step size in the error."""
    return -float(np.polyfit(np.log(steps), np.log(errors), 1)[0])


@pytest.mark.parametrize(
    ("method", "order", "steps"),
    [
        ("euler", 1, [80, 160, 320]),
        # With a(t) the velocity's slope along an axis of S, the midpoint rule's term of order 2 is [a'/24 + a^2/8] from 0 to 1
        # plus the integral of a^3/6, and that vanishes for every variance.
        ("midpoint", 3, [40, 80, 160]),
        ("heun", 2, [40, 80, 160]),
        ("rk4", 4, [20, 40, 80]),
    ],
)
def test_the_flow_of_a_gaussian_is_reached_with_the_methods_order(
    method: str, order: int, steps: list[int], z: Tensor
) -> None:
    exact = arrived(z)
    errors = [float((integrate(velocity, z, method, steps=n).x - exact).abs().max()) for n in steps]
    assert slope(steps, errors) == pytest.approx(order, abs=0.15)
    assert errors[-1] < {1: 3e-2, 2: 1e-3, 3: 1e-5, 4: 1e-6}[order]


@pytest.mark.parametrize(
    ("method", "order", "steps"),
    [
        ("euler", 1, [80, 160, 320]),
        ("midpoint", 2, [40, 80, 160]),
        ("heun", 2, [40, 80, 160]),
        ("rk4", 4, [40, 80, 160]),
    ],
)
def test_a_flow_that_is_not_affine_is_reached_with_the_methods_order(
    method: str, order: int, steps: list[int]
) -> None:
    """dx/dt = x^2 cos t leads from z to 1 / (1/z - sin t)."""
    z = torch.linspace(-0.5, 0.5, 5, dtype=torch.float64)[:, None]
    exact = z / (1 - z * math.sin(1))
    errors = [
        float((integrate(lambda x, t: t.cos() * x**2, z, method, steps=n).x - exact).abs().max())
        for n in steps
    ]
    assert slope(steps, errors) == pytest.approx(order, abs=0.15)


def test_the_error_of_dopri5_follows_its_tolerance(z: Tensor) -> None:
    exact, tolerances = arrived(z), [1e-4, 1e-6, 1e-8, 1e-10]
    found = [integrate(velocity, z, "dopri5", tolerance=each) for each in tolerances]
    errors = [float((each.x - exact).abs().max()) for each in found]
    assert all(error < 100 * tolerance for error, tolerance in zip(errors, tolerances, strict=True))
    assert -slope([1 / each for each in tolerances], errors) == pytest.approx(-1, abs=0.25)  # type: ignore[list-item]
    asked = [each.evaluations for each in found]
    assert asked == sorted(asked) and all((n - 2) % 6 == 0 for n in asked)
    # Of order 5: a tolerance of a hundredth takes 100^(1/5) = 2.5 times the steps in the limit.
    assert 1.5 < asked[-1] / asked[-2] < 3.5


@pytest.mark.parametrize("method", METHODS)
def test_every_method_reproduces_the_moments_of_a_gaussian(method: str) -> None:
    # Noise whose first two moments are exactly those of N(0, I); the flow is affine, so those of the records are exact too.
    n = torch.randn((50, 2), generator=(Key(1) / "noise").torch(), dtype=torch.float64)
    n = n - n.mean(0)
    n = n @ torch.linalg.inv(torch.linalg.cholesky(n.T @ n / len(n))).T
    x = integrate(velocity, n, method, steps=200 if method != "euler" else 1000, tolerance=1e-8).x
    tolerance = {"euler": 2e-2, "midpoint": 1e-6, "heun": 2e-4, "rk4": 1e-7, "dopri5": 1e-6}[method]
    assert (x.mean(0) - MEAN).abs().max() < tolerance
    assert (torch.cov(x.T, correction=0) - COVARIANCE).abs().max() < tolerance


@pytest.mark.parametrize("rule", [*RULES.values(), DORMAND_PRINCE], ids=[*RULES, "dopri5"])
def test_rules_satisfy_the_conditions_of_their_order(rule: Rule) -> None:
    """sum_i b_i c_i^(k-1) = 1/k for k up to the order, and sum_j a_ij = c_i (Hairer, Norsett and Wanner 1993, II.1)."""
    b, c = np.array(rule.weights), np.array(rule.nodes)
    for k in range(1, rule.order + 1):
        assert (b * c ** (k - 1)).sum() == pytest.approx(1 / k, abs=1e-14)
    for node, row in zip(rule.nodes, rule.matrix, strict=True):
        assert sum(row) == pytest.approx(node, abs=1e-14)


def test_the_rule_inside_dopri5_is_of_order_four() -> None:
    b, c = np.array([*DORMAND_PRINCE.weights, 0.0]), np.array([*DORMAND_PRINCE.nodes, 1.0])
    inside = b - np.array(DIFFERENCE)
    for k in range(1, 5):
        assert (inside * c ** (k - 1)).sum() == pytest.approx(1 / k, abs=1e-14)
    assert abs((inside * c**4).sum() - 1 / 5) > 1e-4


@pytest.mark.parametrize("tolerance", [1e-3, 1e-5, 1e-8])
def test_dopri5_takes_the_steps_that_scipy_takes(tolerance: float, z: Tensor) -> None:
    from scipy.integrate import solve_ivp

    def flat(t: float, x: np.ndarray) -> np.ndarray:
        return velocity(torch.from_numpy(x).view(64, 2), torch.tensor(t, dtype=torch.float64)).numpy().ravel()

    ours = integrate(velocity, z, "dopri5", tolerance=tolerance)
    theirs = solve_ivp(flat, (0, 1), z.numpy().ravel(), method="RK45", rtol=tolerance, atol=tolerance)
    assert ours.evaluations == theirs.nfev
    np.testing.assert_allclose(ours.x.numpy().ravel(), theirs.y[:, -1], atol=1e-9)


@pytest.mark.parametrize(("method", "each"), [("euler", 1), ("midpoint", 2), ("heun", 2), ("rk4", 4)])
def test_evaluations_are_counted_and_times_lie_in_the_unit_interval(method: str, each: int) -> None:
    times: list[float] = []

    def still(x: Tensor, t: Tensor) -> Tensor:
        times.append(float(t))
        return torch.zeros_like(x)

    found = integrate(still, torch.ones(3, 2), method, steps=7)
    assert found.evaluations == len(times) == 7 * each
    assert torch.equal(found.x, torch.ones(3, 2))
    assert min(times) == 0 and max(times) <= 1


def test_straight_paths_need_one_step() -> None:
    z = torch.ones(2, 3)
    for method in METHODS:
        found = integrate(lambda x, t: torch.full_like(x, 2.0), z, method, steps=1)
        assert torch.allclose(found.x, z + 2)
    assert integrate(lambda x, t: torch.full_like(x, 2.0), z, "dopri5").evaluations <= 2 + 3 * 6


def test_the_state_keeps_its_float_type_and_shape() -> None:
    z = torch.ones(2, 1, 3, 3)
    for method in METHODS:
        found = integrate(lambda x, t: x * t, z, method, steps=20)
        assert found.x.dtype == torch.float32 and found.x.shape == z.shape
        assert float(found.x.mean()) == pytest.approx(math.exp(0.5), rel=0.04 if method == "euler" else 2e-3)
    assert integrate(lambda x, t: x, torch.empty(0, 3), "dopri5").x.shape == (0, 3)


def test_fixed_steps_leave_a_record_independent_of_the_others_and_dopri5_within_its_tolerance(
    z: Tensor,
) -> None:
    for method in METHODS:
        whole, part = (integrate(velocity, each, method).x for each in (z, z[:3]))
        assert (whole[:3] - part).abs().max() < (1e-3 if method == "dopri5" else 1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_velocity_that_is_not_finite_fails_and_says_when(method: str, value: float) -> None:
    def breaks(x: Tensor, t: Tensor) -> Tensor:
        return torch.full_like(x, value if t > 0.5 else 1.0)

    with pytest.raises(FitFailed, match=r"sampling broke off.* t = 0\.\d"):
        integrate(breaks, torch.ones(2, 2), method, steps=10)
    with pytest.raises(FitFailed, match="sampling broke off"):
        integrate(lambda x, t: x * value, torch.ones(2, 2), method, steps=10)


def test_dopri5_gives_up_on_what_is_too_rough_for_it() -> None:
    def rough(x: Tensor, t: Tensor) -> Tensor:
        return torch.sin(1e6 * t) * 1e3 + torch.zeros_like(x)

    with pytest.raises(FitFailed, match="dopri5 took 1000 steps and came to t = 0"):
        integrate(rough, torch.zeros(1, 1, dtype=torch.float64), "dopri5", tolerance=1e-12)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"method": "huen"}, "no method called 'huen' to integrate with; did you mean 'heun'"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": 2.5}, "steps is 2.5"),
        ({"method": "dopri5", "tolerance": 0.0}, "tolerance is 0.0"),
        ({"method": "dopri5", "tolerance": math.nan}, "tolerance is nan"),
    ],
    ids=["method", "no_step", "half_a_step", "no_tolerance", "tolerance_nan"],
)
def test_settings_that_are_none_are_refused(settings: dict, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        integrate(lambda x, t: x, torch.ones(1, 1), **settings)


def test_a_velocity_of_another_shape_is_refused() -> None:
    wrong: Callable[[Tensor, Tensor], Tensor] = lambda x, t: x[:, :1]  # noqa: E731
    with pytest.raises(SpecError, match=r"the velocity has shape \(2, 1\) for records of shape \(2, 2\)"):
        integrate(wrong, torch.ones(2, 2))
