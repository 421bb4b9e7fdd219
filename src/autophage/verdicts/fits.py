"""Growth laws fitted to the mean curve of several replicates, compared by AICc.

Generations of one loop are not independent: in a loop without real data the noise is a random walk, and a
random walk looks like any smooth law one likes. Residuals are therefore whitened with what the replicates
themselves show: an autoregressive correlation from one generation to the next, and a variance per
generation (smoothed by a power of the generation). The residual variance may come out larger than the
replicates' spread, never smaller. With identical replicates (an exact law) this is the ordinary AICc with a
free residual variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TINY = 1e-14
MOST = 240
"""Generations a fit looks at: beyond that an even choice of them says the same."""


@dataclass(frozen=True)
class Noise:
    """Correlation and standard deviation of the mean curve's errors; `scale` is None for an exact law."""

    correlation: float
    scale: np.ndarray | None

    def whiten(self, x: np.ndarray) -> np.ndarray:
        """x (..., n) with independent errors of unit variance."""
        if self.scale is None:
            return x
        out = np.array(x, dtype=np.float64)
        out[..., 1:] -= self.correlation * x[..., :-1]
        return out / self.scale

    @property
    def floor(self) -> float:
        """The smallest residual variance that can be believed."""
        return 0.0 if self.scale is None else 1.0


def noise_of(curves: np.ndarray) -> Noise:
    """The noise of the mean of curves (S, n), from how the replicates differ."""
    seeds, n = curves.shape
    error = curves - curves.mean(0)
    total = float((error**2).sum())
    if seeds < 2 or n < 4 or total <= TINY * float((curves**2).sum()):
        return Noise(0.0, None)
    before, after = error[:, :-1], error[:, 1:]
    base = float((before**2).sum())
    correlation = float(np.clip((before * after).sum() / base, 0.0, 1.0)) if base > 0 else 0.0
    variance = ((after - correlation * before) ** 2).sum(0) / (seeds - 1)
    first = float((error[:, 0] ** 2).sum() / (seeds - 1))
    design = np.stack([np.ones(n - 1), np.log(np.arange(2, n + 1))], axis=1)
    floored = np.log(np.maximum(variance, max(float(variance.max()), total / (seeds * n)) * 1e-9))
    smooth = np.exp(design @ np.linalg.lstsq(design, floored, rcond=None)[0])
    smooth *= float((variance / smooth).mean())
    smallest = total / (seeds * n) * 1e-9
    return Noise(correlation, np.sqrt(np.maximum(np.append(first, smooth), smallest) / seeds))


def thinned(generations: np.ndarray, curves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most `MOST` of the generations (n,) and columns of curves (S, n), evenly chosen, first and last
    among them."""
    n = len(generations)
    if n <= MOST:
        return generations, curves
    chosen = np.unique(np.linspace(0, n - 1, MOST).round().astype(int))
    return generations[chosen], curves[:, chosen]


def aicc(rss: float, n: int, parameters: int, floor: float) -> float:
    """Akaike's criterion with the small-sample correction, of n whitened residuals with sum of squares rss.

    `parameters` counts the variance. Infinite where n is too small for that many.
    """
    if n - parameters - 1 <= 0:
        return np.inf
    variance = max(rss / n, floor, 1e-300)
    penalty = 2 * parameters + 2 * parameters * (parameters + 1) / (n - parameters - 1)
    return float(n * np.log(variance) + rss / variance + penalty)


@dataclass(frozen=True)
class Fit:
    """One law, fitted: `shape` is its non-linear parameter (a rate or an exponent), `limit` a + b for a law
    that levels off, else infinite."""

    law: str
    aicc: float
    shape: float
    scale: float
    limit: float


def _best(law: str, rows: np.ndarray, shapes: np.ndarray, free: int, y: np.ndarray, noise: Noise) -> Fit:
    """The best a + b * rows[i] over i: linear in a and b, searched over the shape."""
    one, target, basis = noise.whiten(np.ones(len(y))), noise.whiten(y), noise.whiten(rows)
    unit = one / np.sqrt(one @ one)
    centred = basis - np.outer(basis @ unit, unit)
    rest = target - (target @ unit) * unit
    size = np.maximum((centred**2).sum(1), 1e-300)
    slopes = centred @ rest / size
    left = rest @ rest - slopes**2 * size
    best = int(left.argmin())
    rss = max(float(left[best]), TINY * float(rest @ rest))
    slope = float(slopes[best])
    intercept = float((target - slope * basis[best]) @ unit / np.sqrt(one @ one))
    return Fit(law, aicc(rss, len(y), 2 + free, noise.floor), float(shapes[best]), slope, intercept + slope)


def growth_fits(generations: np.ndarray, curves: np.ndarray, levelled: float) -> dict[str, Fit]:
    """Six laws for the mean of curves (S, n) over generations (n,) >= 1.

    exponential  a + b (1 - exp(-k g)), at least the share `levelled` of its limit reached at the horizon
    slow         the same law, its limit still ahead (not a family of its own: it only warns)
    inverse      a - b / (g + 1)
    linear       a + b g
    power        a + b g^c, 0 < c <= 3
    logarithm    a + b ln(1 + g), the power law of exponent zero
    """
    generations, curves = thinned(generations, curves)
    g, y, noise = generations.astype(np.float64), curves.mean(0), noise_of(curves)
    slowest = -np.log1p(-levelled) / g[-1]
    ahead = np.geomspace(0.05 / g[-1], slowest, 150)
    rates = np.geomspace(slowest, max(5.0, 2 * slowest), 250)
    powers = np.linspace(0.02, 3.0, 300)
    none = np.array([np.nan])
    fits = [
        _best("exponential", 1 - np.exp(-np.outer(rates, g)), rates, 2, y, noise),
        _best("slow", 1 - np.exp(-np.outer(ahead, g)), ahead, 2, y, noise),
        _best("inverse", 1 - 1 / (g[None] + 1), none, 1, y, noise),
        _best("linear", g[None], none, 1, y, noise),
        _best("power", g[None] ** powers[:, None], powers, 2, y, noise),
        _best("logarithm", np.log1p(g)[None], none, 1, y, noise),
    ]
    return {f.law: f for f in fits}


def decay_evidence(generations: np.ndarray, curves: np.ndarray, lowest: float) -> float:
    """AICc of a decay that stops at a floor, less AICc of one that goes to zero.

    curves (S, n) are log V_g - log V_0 at generations (n,) >= 1: -k g against ln(f + (1 - f) exp(-k g))
    with a floor f of at least `lowest`. Above zero speaks for zero. The correction for the floor's extra
    parameter is left out when it would favour zero: a bonus for brevity is no evidence of collapse.
    """
    generations, curves = thinned(generations, curves)
    g, y, noise = generations.astype(np.float64), curves.mean(0), noise_of(curves)
    n, target, line = len(g), noise.whiten(y), noise.whiten(-g)
    rate = max(float(target @ line / (line @ line)), 0.0)
    zero = aicc(float(((target - rate * line) ** 2).sum()), n, 2, noise.floor)
    rates = np.geomspace(0.01 / g[-1], 20.0, 120)[:, None, None]
    floors = np.append(np.geomspace(lowest, 0.999, 60), 1.0)[:, None]
    models = noise.whiten(np.log(floors + (1 - floors) * np.exp(-rates * g)))
    rss = float(((target - models) ** 2).sum(-1).min())
    rest, fair = aicc(rss, n, 3, noise.floor), aicc(rss, n, 2, noise.floor)
    return rest - zero if rest < zero else max(fair - zero, 0.0)
