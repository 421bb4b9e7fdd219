"""The error of a chain of regressions that label each other's data, for any spectrum and any stages.

x ~ N(0, Sigma) in R^d with eigenvalues s_j, truth w0. A stage draws T new rows, has them labelled by the last stage's weights
(the first by w0) with noise sigma, and fits

    w' = argmin (1/T) |X w' - Y|^2 + lambda |w'|^2        (lambda = 0: the least squares fit of least norm).

As d, T -> infinity with bounded ratios a stage does two things to the weights along each direction. With kappa >= 0 the
effective penalty, kappa - lambda = kappa df1/T, where df_p = sum_j (s_j/(s_j+kappa))^p and G_j = 1/(s_j+kappa),

    mean       E w'_j   = s_j G_j E w_j
    variance   Var w'_j = (s_j G_j)^2 Var w_j + (kappa^2 sum_i s_i G_i^2 E w_i^2 + sigma^2) s_j G_j^2 / (T - df2)

and the error on real data, without label noise, is sum_j s_j [ (E w_j - w0_j)^2 + Var w_j ]. These are the transposed steps of
the backward recursion for the chain's quadratic form; going forward gives every stage's error in one pass, O(stages x d), and
adds only what is not negative. Stages may differ in rows, penalty and noise, below and above the interpolation threshold.
Status: asymptotic (1-3 % at d = 40). Source: derived for autophage; all special cases of Dohmatob, Feng & Kempe (2024).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from autophage.errors import SpecError
from autophage.theory.arguments import at_least
from autophage.theory.regression_spectra import Directions, directions

STEPS = 200
"""How many steps the search for an effective penalty may take."""
GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Stage:
    """One fit of a chain."""

    rows: float
    """T, the rows it is fitted to; at least one (theory does not need a whole number)."""
    ridge: float = 0.0
    """lambda, the penalty on the mean squared residual's scale."""
    noise: float = 0.0
    """sigma, the standard deviation of the noise on its labels."""

    def __post_init__(self) -> None:
        at_least(self.rows, 1, "a stage's number of rows")
        at_least(self.ridge, 0, "a stage's ridge")
        at_least(self.noise, 0, "a stage's noise")


class Weights(NamedTuple):
    """What a chain knows of a stage's weights along each direction."""

    lost: np.ndarray
    """(d,) the share of the signal that is gone, 1 - E w_j / w0_j."""
    variance: np.ndarray
    """(d,) Var w_j."""


def kappa(spectrum: Any, rows: float, ridge: float = 0.0) -> float:
    """The effective penalty: kappa - lambda = kappa df1(kappa)/T.

    Zero for least squares with more rows than directions; with fewer, the solution of df1(kappa) = T. Safeguarded Newton steps
    on log kappa. Raises `SpecError` at the interpolation threshold without a penalty, and where no solution is bracketed or
    found in `STEPS` steps. Status: exact solution of the asymptotic equation.

    >>> round(kappa([1.0] * 60, 30), 12), kappa([1.0, 1.0], 50)
    (1.0, 0.0)
    """
    s = directions(spectrum, 0.0).eigenvalues
    stage = Stage(rows, ridge)
    check_threshold(stage, len(s))
    return _kappa(s, stage.rows, stage.ridge)


def check_threshold(stage: Stage, dim: int) -> None:
    """Raises `SpecError` for an unpenalised fit within one row of the dimension: the finite-size error divides by |T - d| - 1."""
    if not stage.ridge and abs(stage.rows - dim) <= 1:
        raise SpecError(
            f"a fit of {stage.rows:g} rows in {dim} dimensions with ridge 0 has infinite variance at the interpolation "
            "threshold; take at least two rows more or fewer, or a ridge above zero"
        )


def _kappa(s: np.ndarray, T: float, ridge: float, guess: float | None = None) -> float:
    d = len(s)
    if not ridge and d < T:
        return 0.0
    low = max(ridge, float(s.min()) * (d / T - 1) * (1 - 1e-12))
    with np.errstate(over="ignore"):
        high = ridge + float(s.sum()) / T  # kappa s/(s + kappa) < s
    if not (low > 0 and np.isfinite(high)):
        raise SpecError(
            f"the effective penalty of {T:g} rows cannot be bracketed: the spectrum's scale is out of range"
        )
    # f(u) = 1 - ridge/kappa - df1/T at kappa = e^u rises from f <= 0 to f >= 0.
    u_low, u_high = math.log(low), math.log(high)
    u = math.log(guess) if guess is not None and low < guess < high else (u_low + u_high) / 2
    size = math.inf
    for _ in range(STEPS):
        k = math.exp(u)
        share = s / (s + k)
        df1, df2 = float(share.sum()), float(share @ share)
        f = 1 - ridge / k - df1 / T
        if f < 0:
            u_low = u
        else:
            u_high = u
        slope = ridge / k + (df1 - df2) / T
        step = -f / slope if slope > 0 else math.inf
        # A Newton step that leaves the bracket, or does not halve the last one, gives way to bisection.
        if not u_low <= u + step <= u_high or abs(step) > size / 2:
            step = (u_low + u_high) / 2 - u
        size = abs(step)
        u += step
        if size <= 1e-13 * max(1.0, abs(u)):
            return math.exp(u)
    raise SpecError(f"the effective penalty of {T:g} rows and ridge {ridge:g} was not found in {STEPS} steps")


class _Chain:
    """A spectrum with its signal, and the effective penalties found so far."""

    def __init__(self, spectrum: Any, signal: Any) -> None:
        self.s, self.w0 = directions(spectrum, signal)
        self._known: dict[tuple[float, float], float] = {}
        self._last: float | None = None

    def start(self) -> Weights:
        return Weights(np.zeros_like(self.s), np.zeros_like(self.s))

    def refitted(self, weights: Weights, stage: Stage) -> Weights:
        s, k = self.s, self.penalty(stage)
        G = 1 / (s + k)
        kept = s * G
        shape = kept * G
        square = (self.w0 * (1 - weights.lost)) ** 2 + weights.variance
        scale = (k**2 * (square @ shape) + stage.noise**2) / (stage.rows - kept @ kept)
        return Weights(
            weights.lost + (1 - weights.lost) * (k * G), kept**2 * weights.variance + scale * shape
        )

    def penalty(self, stage: Stage) -> float:
        name = (stage.rows, stage.ridge)
        if name not in self._known:
            check_threshold(stage, len(self.s))
            self._known[name] = _kappa(self.s, stage.rows, stage.ridge, self._last)
            self._last = self._known[name] or None
        return self._known[name]

    def error(self, weights: Weights) -> float:
        return float(self.s @ (weights.variance + (self.w0 * weights.lost) ** 2))


def course(spectrum: Any, signal: Any, stages: Sequence[Stage]) -> np.ndarray:
    """Noise-free error on real data after every stage, shape (len(stages),). Status: asymptotic.

    >>> course([1.0] * 60, [0.1] * 60, [Stage(45)] * 3).round(4).tolist()
    [0.15, 0.2625, 0.3469]
    """
    chain = _Chain(spectrum, signal)
    return np.array([chain.error(w) for w in _passed(chain, stages)])


def test_error(spectrum: Any, signal: Any, stages: Sequence[Stage]) -> float:
    """Noise-free error on real data of the last stage, which is fitted to labels of the stage before it, and so on down to the
    truth. spectrum, signal (d,): eigenvalues of the inputs' covariance, true weights along them. Status: asymptotic.
    """
    return float(course(spectrum, signal, stages)[-1])


test_error.__test__ = False  # type: ignore[attr-defined]  # a test error, not a test


def _passed(chain: _Chain, stages: Sequence[Stage]) -> Iterator[Weights]:
    if not stages:
        raise SpecError("a chain needs at least one stage: the downstream fit")
    weights = chain.start()
    for stage in stages:
        weights = chain.refitted(weights, stage)
        yield weights


def generation_errors(
    spectrum: Any, signal: Any, generator: Stage, downstream: Stage, count: int
) -> np.ndarray:
    """The downstream fit's error after n = 0..count equal generators, shape (count + 1,); n = 0 is clean training.

    One pass: each generator's weights are asked for the downstream error before the next is fitted. Status: asymptotic.
    Source: Dohmatob, Feng & Kempe (2024), for the system.

    >>> generation_errors([1.0] * 50, [0.1] * 50, Stage(150, noise=1.0), Stage(100), 2).round(9).tolist()
    [0.0, 0.5, 1.0]
    """
    if not (count >= 0 and int(count) == count):
        raise SpecError(f"count is {count}; it must be a whole number of generators, zero or more")
    chain = _Chain(spectrum, signal)
    weights, errors = chain.start(), []
    for n in range(int(count) + 1):
        if n:
            weights = chain.refitted(weights, generator)
        errors.append(chain.error(chain.refitted(weights, downstream)))
    return np.array(errors)


class BestRidge(NamedTuple):
    """A penalty and what it achieves."""

    ridge: float
    error: float


def best_ridge(
    spectrum: Any, signal: Any, generators: Sequence[Stage], rows: float, noise: float
) -> BestRidge:
    """The downstream penalty with the least error after these generators, and that error.

    A grid over log lambda finds the valley (18 decades round the largest eigenvalue), golden sections its bottom; the chain
    before the downstream fit is gone through once. Zero where no penalty is better than any; infinite, with the error of a model
    that answers zero, where nothing of the signal is worth fitting. Status: asymptotic. Source: derived for autophage.

    >>> s, w = [1.0] * 60, [60**-0.5] * 60
    >>> round(best_ridge(s, w, [], 90, 0.3).ridge, 5)  # isotropic, clean: sigma^2 d / (T |w0|^2)
    0.06
    """
    chain = _Chain(spectrum, signal)
    weights = chain.start()
    for generator in generators:
        weights = chain.refitted(weights, generator)

    def error(log_ridge: float) -> float:
        return chain.error(chain.refitted(weights, Stage(rows, math.exp(log_ridge), noise)))

    grid = math.log(chain.s.max()) + np.log(10) * np.arange(-12, 6.25, 0.5)
    values = [error(u) for u in grid]
    best = int(np.argmin(values))
    silent = Directions(chain.s, chain.w0).energy
    if min(values) >= silent:
        return BestRidge(math.inf, silent)
    u, value = _golden(error, grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])
    if abs(rows - len(chain.s)) > 1:
        without = chain.error(chain.refitted(weights, Stage(rows, 0.0, noise)))
        if without <= value:
            return BestRidge(0.0, without)
    return BestRidge(math.exp(u), value)


def _golden(f: Callable[[float], float], a: float, b: float) -> tuple[float, float]:
    """The least value of a function with one valley in [a, b], to 1e-8 in its argument."""
    c, d = b - GOLDEN * (b - a), a + GOLDEN * (b - a)
    f_c, f_d = f(c), f(d)
    while b - a > 1e-8:
        if f_c < f_d:
            b, d, f_d = d, c, f_c
            c = b - GOLDEN * (b - a)
            f_c = f(c)
        else:
            a, c, f_c = c, d, f_d
            d = a + GOLDEN * (b - a)
            f_d = f(d)
    return (c, f_c) if f_c < f_d else (d, f_d)
