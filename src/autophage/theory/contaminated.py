"""Training on a contaminated mixture (Bakshi & Chakraborty 2026): every round refits frequencies to n_t draws from

    Q_t = alpha_t P* + (1 - alpha_t) P_{t-1},

alpha_t the real weight, and the learner is not told which draw is real. With V = 1 - sum P*^2 and R_t = E ||P_t -
P*||^2, the law of total variance gives

    R_0 = V/n_0,    R_t = (1 - alpha_t)^2 (1 - 1/n_t) R_{t-1} + V/n_t.

The same numbers, as the course of a general learner's first two moments, are `moments_mixed.fresh`, which also has
the Gaussian's (maximum likelihood, V = tr Sigma: R_t is then the squared error of its mean). Here are the one-number
recursion, its limits, and the long run of polynomial schedules; `contexts` has the version for several contexts.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from autophage.errors import SpecError
from autophage.theory.arguments import at_least, probabilities, unit_interval


def gini(p: Any) -> float:
    """V = 1 - sum p^2 of a probability vector.

    >>> gini([0.5, 0.5])
    0.5
    """
    return float(1 - (probabilities(p) ** 2).sum())


def rounds(real_weights: Any, sizes: Any) -> tuple[np.ndarray, np.ndarray]:
    """The schedules as float arrays: alpha_1..alpha_{G-1}, and n_0..n_{G-1}.

    real_weights: (G,), entry 0 ignored, or one number; sizes: (G,). Raises `SpecError`, naming the round and the
    value, for a size that is not a whole number of at least 1, a weight outside [0, 1], or too few of them.
    """
    n = np.atleast_1d(np.asarray(sizes, dtype=np.float64))
    if n.ndim != 1 or not len(n):
        raise SpecError("sizes must be a list with one number of records per round, n_0 first")
    wrong = ~(np.isfinite(n) & (n >= 1) & (n == np.floor(n)))
    if wrong.any():
        t = int(np.argmax(wrong))
        raise SpecError(
            f"the size of round {t} is {n[t]:g}; it must be a whole number of records of at least 1"
        )
    alpha = np.asarray(real_weights, dtype=np.float64)
    if alpha.ndim == 1 and len(alpha) != len(n):
        raise SpecError(
            f"real_weights has {len(alpha)} entries but there are {len(n)} rounds; give one for each (the first is ignored)"
        )
    if alpha.ndim > 1:
        raise SpecError("real_weights must be a number, or a list with one share per round")
    alpha = np.broadcast_to(alpha, n.shape)[1:]
    wrong = ~((alpha >= 0) & (alpha <= 1))
    if wrong.any():
        t = int(np.argmax(wrong)) + 1
        raise SpecError(f"the real weight of round {t} is {alpha[t - 1]:g}; it must lie in [0, 1]")
    return alpha, n


def predict_risk(p: Any, real_weights: Any, sizes: Any) -> np.ndarray:
    """R_t = E ||P_t - P*||^2, shape (G,).

    p: (K,) the target. real_weights: alpha_t, (G,) with entry 0 ignored, or one number. sizes: (G,) n_0 real
    records, then n_t. Raises `SpecError`. Status: exact. Source: Bakshi & Chakraborty (2026, theorem 3.1);
    constants derived for autophage.

    >>> zipf = 1 / np.arange(1, 21); zipf /= zipf.sum()
    >>> predict_risk(zipf, 0.1, [200] * 61)[-1].round(6).item()
    0.022589
    """
    alpha, n = rounds(real_weights, sizes)
    return risk_course(gini(p), alpha, n)


def risk_course(spread: float, alpha: np.ndarray, n: np.ndarray) -> np.ndarray:
    """The recursion itself, for V = `spread`, alpha_1.. and n_0.. as `rounds` gives them."""
    risk = [float(spread / n[0])]
    factors, added = (1 - alpha) ** 2 * (1 - 1 / n[1:]), spread / n[1:]
    for factor, new in zip(factors.tolist(), added.tolist(), strict=True):
        risk.append(factor * risk[-1] + new)
    return np.array(risk)


def limit_risk(p: Any, real_weight: float, size: float) -> float:
    """R_inf = V / (n [1 - (1-alpha)^2] + (1-alpha)^2) of constant schedules; V at alpha = 0, where every symbol
    but one dies. Status: exact. Source: derived for autophage.

    >>> zipf = 1 / np.arange(1, 51); zipf /= zipf.sum()
    >>> round(limit_risk(zipf, 0.1, 100) / (gini(zipf) / 100), 3)
    5.048
    """
    return gini(p) / effective_sample_size(real_weight, size)


def effective_sample_size(real_weight: float, size: float) -> float:
    """n_eff = V/R_inf = n (2 alpha - alpha^2) + (1-alpha)^2: as many real records alone would do as well in the
    long run. About 2 alpha n for small alpha, twice the real records of a round, and never above n. Status: exact.
    Source: derived for autophage.

    >>> round(effective_sample_size(0.1, 10_000) / (0.1 * 10_000), 5)
    1.90081
    """
    a = unit_interval(real_weight, "the real weight")
    return at_least(size, 1, "the size") * (2 * a - a**2) + (1 - a) ** 2


def fully_synthetic_risk(p: Any, sizes: Any) -> np.ndarray:
    """R_t = V [1 - prod_{s=0..t} (1 - 1/n_s)], shape (G,), without any real record after round 0: goes to V, total
    collapse to one symbol, if and only if sum 1/n_t diverges. Status: exact. Source: derived for autophage.

    >>> zipf = 1 / np.arange(1, 21); zipf /= zipf.sum()
    >>> fully_synthetic_risk(zipf, [100] * 201)[-1].round(6).item()
    0.760401
    """
    _, n = rounds(0.0, sizes)
    with np.errstate(divide="ignore"):
        return -gini(p) * np.expm1(np.cumsum(np.log1p(-1 / n)))


class Turning(NamedTuple):
    """When a course leaves the level of its first round."""

    deterioration: int | None
    """The first round with R_t > R_0, or None."""
    improvement: int | None
    """The last round with R_t >= R_0: after it R_t < R_0 stays true. None when it is not so at the end."""


def turning_points(risk: Any) -> Turning:
    """Where a course of risks (G,) rises above R_0 for the first time, and from where on it stays below. Differences
    of a relative 1e-12 are rounding, and count as none.

    >>> turning_points([1, 2, 1.5, 0.9, 0.5]), turning_points([1, 1, 1])
    (Turning(deterioration=1, improvement=2), Turning(deterioration=None, improvement=None))
    """
    course = np.asarray(risk, dtype=np.float64)
    if course.ndim != 1 or not len(course) or np.isnan(course).any():
        raise SpecError("a course of risks must be a list of numbers, one per round")
    slack = 1e-12 * abs(course[0])
    above = np.flatnonzero(course > course[0] + slack)
    back = int(np.flatnonzero(course >= course[0] - slack)[-1])
    return Turning(int(above[0]) if len(above) else None, back if back < len(course) - 1 else None)


RegimeName = Literal["recovers", "plateaus", "stalls", "collapses"]


@dataclass(frozen=True, kw_only=True)
class Regime:
    """Where a contaminated loop ends: R_t ~ coefficient x t^exponent x (ln t)^log_power."""

    name: RegimeName
    row: str
    """The case, in words."""
    exponent: float
    """Of t in the leading term of R_t; 0 where R_t goes to a constant above zero."""
    level: float | None
    """What R_t tends to; None where that depends on numbers that were not given."""
    coefficient: float | None = None
    """Of the leading term; None where it depends on the whole course."""
    log_power: int = 0
    """1 on the border where a logarithm appears."""
    status: Literal["exact", "asymptotic"] = "asymptotic"
    """Of `level` and `coefficient`."""
    source: str = "Bakshi & Chakraborty 2026; constants derived for autophage"

    def to_dict(self) -> dict[str, Any]:
        """Safe to write as JSON."""
        return asdict(self)

    def sentence(self) -> str:
        """The regime in one sentence."""
        at = "above zero" if self.level is None else f"at {self.level:.3g}"
        end = {
            "recovers": f"the error goes to zero like {_power(self.exponent)}{' ln t' * self.log_power}",
            "plateaus": f"the error settles {at}, where fresh real records and sampling noise balance",
            "stalls": f"the error settles {at}, real records having become too rare to correct it",
            "collapses": f"the error climbs to {self.level or 0:.3g}, that of total collapse",
        }[self.name]
        return f"In theory this loop {self.name}: {self.row}; {end}."


def _power(exponent: float) -> str:
    return "t" if exponent == 1 else f"t^{exponent:.3g}"


def _size(exponent: float) -> str:
    return f"the size grows like {_power(exponent)}" if exponent else "the size stays the same"


def classify_schedule(
    p: float,
    c: float,
    b: float,
    n0: float | None = None,
    *,
    spread: float = 1.0,
    initial_size: float | None = None,
) -> Regime:
    """The long run of alpha_t = c t^-p and n_t = n0 t^b (t >= 1; sizes rounded up).

    spread: V, by default 1, so that levels and coefficients are shares of V. n0 and initial_size (n_0, by default n0)
    are only needed for levels and coefficients. Status: the names and exponents are asymptotic, the level exact where
    both schedules are constant; where the loop stalls, the level is the recursion's own, summed up numerically (good
    to 1e-4). Source: Bakshi & Chakraborty (2026, corollary 3.2 and proposition 3.4) for recovery; all rows derived for
    autophage. Raises `SpecError` for c outside [0, 1], p below 0 (a share that grows past 1), b below 0 (sizes that
    fall below one record), n0 below 1.

    >>> classify_schedule(0.5, 1, 1, 20).name, classify_schedule(0.5, 1, 1).exponent
    ('recovers', -0.5)
    >>> round(classify_schedule(1, 1, 1, 10).level, 6)   # V/(2 c n0 + 1)
    0.047619
    """
    unit_interval(c, "the real weight's factor c")
    at_least(p, 0, "the exponent p of the real weight c t^-p")
    at_least(b, 0, "the exponent b of the size n0 t^b")
    at_least(spread, 0, "V")
    if n0 is not None:
        at_least(n0, 1, "the size n0")
    if initial_size is not None:
        at_least(initial_size, 1, "the size of round 0")
    if c == 0 or p > 1:
        return _rare(p, c, b, n0, spread, initial_size)
    if p == 0:
        return _constant_share(c, b, n0, spread)
    if b < p:
        row = f"{_size(b)} while the real weight falls faster, like {_power(-p)}"
        return Regime(name="collapses", row=row, exponent=0.0, level=spread, coefficient=spread)
    if b == p:
        level = None if n0 is None else spread / (2 * c * n0 + 1)
        row = f"{_size(b)}, just as fast as the real weight falls"
        return Regime(name="plateaus", row=row, exponent=0.0, level=level, coefficient=level)
    if p < 1:
        row = f"{_size(b)}, faster than the real weight falls, {_power(-p)}"
        return _recovering(row, p - b, None if n0 is None else spread / (2 * c * n0))
    pace = 2 * c - (b - 1)
    if pace > 0:
        row = f"the real weight falls like 1/t and the size, growing like {_power(b)}, is the bottleneck"
        return _recovering(row, 1 - b, None if n0 is None else spread / (n0 * pace))
    if pace < 0:
        row = f"the real weight {c:g}/t is the bottleneck, however fast the size grows"
        return _recovering(row, -2 * c, None)
    row = f"the real weight {c:g}/t and the size, growing like {_power(b)}, are bottlenecks alike"
    return _recovering(row, 1 - b, None if n0 is None else spread / n0, log_power=1)


def recovers(p: float, c: float, b: float) -> str | None:
    """Which published sufficient condition makes R_t -> 0 for alpha_t = c t^-p, n_t = n0 t^b, as a sentence; None where
    neither applies. Source: Bakshi & Chakraborty (2026, corollary 3.2, proposition 3.4).

    >>> recovers(0.5, 1, 1)
    'the real weights sum to infinity and their product with the size grows without bound'
    """
    if c > 0 and p == 0 and b > 0:
        return "the real weight stays above a positive number and the size grows without bound"
    if c > 0 and 0 < p <= 1 and b > p:
        return "the real weights sum to infinity and their product with the size grows without bound"
    return None


def _recovering(row: str, exponent: float, coefficient: float | None, log_power: int = 0) -> Regime:
    return Regime(
        name="recovers", row=row, exponent=exponent, level=0.0, coefficient=coefficient, log_power=log_power
    )


def _constant_share(c: float, b: float, n0: float | None, spread: float) -> Regime:
    if b > 0:
        row = f"the real weight stays at {c:g} and {_size(b)}"
        return _recovering(row, -b, None if n0 is None else spread / (n0 * (2 * c - c**2)))
    level = None if n0 is None else spread / effective_sample_size(c, n0)
    row = f"the real weight stays at {c:g} and {_size(b)}"
    return Regime(name="plateaus", row=row, exponent=0.0, level=level, coefficient=level, status="exact")


def _rare(
    p: float, c: float, b: float, n0: float | None, spread: float, initial_size: float | None
) -> Regime:
    """The real weights sum to a finite number, or are zero."""
    what = (
        "there is no real record after round 0" if c == 0 else f"the real weight dies out like {_power(-p)}"
    )
    if b <= 1:
        row = f"{what} and {_size(b)}" + (", no faster than t" if b else "")
        return Regime(name="collapses", row=row, exponent=0.0, level=spread, coefficient=spread)
    level = None if n0 is None else _stalled(p, c, b, n0, spread, initial_size or n0)
    row = f"{what}, but {_size(b)} and keeps what is left"
    return Regime(name="stalls", row=row, exponent=0.0, level=level, coefficient=level)


def _stalled(p: float, c: float, b: float, n0: float, spread: float, initial: float) -> float:
    """lim R_t: the recursion up to round T, and the differential equation it follows from there on,

        dR/dt = (V - R) t^-b/n0 - 2 c t^-p R,

    solved in g(t) = int_t^inf s^-b/n0 ds, with h(t) = int_t^inf 2 c s^-p ds the real weight still to come.
    """
    T = 20_000
    t = np.arange(1, T + 1, dtype=np.float64)
    sizes = np.concatenate([[initial], np.ceil(n0 * t**b * (1 - 1e-12))])
    reached = risk_course(spread, c * t**-p, sizes)[-1]
    T_half = T + 0.5
    g = T_half ** (1 - b) / (n0 * (b - 1))
    nodes, weights = np.polynomial.legendre.leggauss(64)
    left = g * (1 + nodes) / 2
    later = (left * n0 * (b - 1)) ** (-1 / (b - 1))
    h = 2 * c * later ** (1 - p) / (p - 1) if c else np.zeros_like(later)
    gone = 2 * c * T_half ** (1 - p) / (p - 1) if c else 0.0
    gained = spread * g / 2 * (weights * np.exp(-left - h)).sum()
    return float(reached * np.exp(-g - gone) + gained)
