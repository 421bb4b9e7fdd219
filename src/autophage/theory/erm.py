"""Mean estimation when a share of every round's records came from one's own last answer (Amin et al. 2026).

Round t = 1, 2, ... brings a mean of fresh records; round 1 is all natural, and in every later round a share a
(the contamination) was produced by the answer that the learner published last, provenance hidden:

    X_1 = mu + U_1,   X_t = a Y_{t-1} + (1 - a) mu + U_t,   Y_t = Y_{t-1} + K_t (X_t - Y_{t-1}),   K_1 = 1.

U_t are independent with mean zero and covariance Sigma. Every answer is unbiased, its covariance v_t Sigma;
the functions give v_t. Plain empirical risk minimisation (ERM), one weight for every round, is K_t = 1/t.
Round t is generation t - 1 of a loop.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.special import poch, zeta

from autophage.errors import SpecError
from autophage.theory.arguments import unit_interval

NO_INFORMATION = "no information arrives after round 1"
"""What is said of a course whose every later record is synthetic."""


def variance(t: Any, contamination: float) -> Any:
    """v_t of ERM, in closed form; t a round or an array of rounds, the answer of its shape.

        v_t = 1/t^2 + (Gamma(t+a)/Gamma(t+1))^2 sum_{k=1}^{t-1} (Gamma(k)/Gamma(k+a))^2

    Raises `SpecError` for a round below 1 or a contamination outside [0, 1]. Status: exact. Source: Amin et al.
    (2026, theorem 1).

    >>> [round(variance(100, a), 5) for a in (0, 0.3, 0.5, 0.7)], round(variance(200, 1), 5)
    ([0.01, 0.0227, 0.05611, 0.18903], 1.63995)
    """
    rounds = _rounds(t)
    found = variance_course(int(rounds.max()), contamination)[rounds - 1]
    return float(found) if np.ndim(t) == 0 else found


def variance_course(rounds: int, contamination: float) -> np.ndarray:
    """v_1, ..., v_T of ERM, shape (T,): the closed form of `variance`, all rounds at the cost of the last one.

    >>> variance_course(3, 1).round(4).tolist()
    [1.0, 1.25, 1.3611]
    """
    a = unit_interval(contamination, "contamination")
    t = np.arange(1.0, _rounds(rounds).max() + 1)
    # Gamma(t+a)/Gamma(t). Two log-gammas of a million differ by too few digits; poch expands the quotient itself.
    quotient = poch(t, a)
    before = np.concatenate([[0.0], np.cumsum(quotient[:-1] ** -2.0)])
    return t**-2.0 + (quotient / t) ** 2 * before


def optimal_gain(t: Any, contamination: float) -> Any:
    """The K_t of the best linear unbiased learner that knows a, whose provenance is hidden all the same:

        K_t = (1-a) / (1 + (t-1)(1-a)^2)   for t >= 2,   K_1 = 1.

    (X_t - a Y_{t-1})/(1-a) is unbiased with variance 1/(1-a)^2, and inverse variances pool. t a round or an
    array. Status: exact. Source: derived for autophage; Amin et al. (2026) prove that such weights beat ERM.

    >>> optimal_gain([1, 2, 3], 0).round(4).tolist(), optimal_gain(2, 0.5)
    ([1.0, 0.5, 0.3333], 0.4)
    """
    b = 1 - unit_interval(contamination, "contamination")
    rounds = _rounds(t)
    gain = np.where(rounds == 1, 1.0, b / (1 + (rounds - 1) * b**2))
    return float(gain) if np.ndim(t) == 0 else gain


def optimal_variance(t: Any, contamination: float) -> Any:
    """v_t = 1/(1 + (t-1)(1-a)^2) of the best linear unbiased learner. For a < 1/2 ERM's variance tends to
    (1-a)^2/(1-2a) times this. Status: exact. Source: derived for autophage.

    >>> [round(optimal_variance(100, a), 5) for a in (0.3, 0.5, 0.7)]
    [0.0202, 0.03883, 0.10091]
    """
    b = 1 - unit_interval(contamination, "contamination")
    found = 1 / (1 + (_rounds(t) - 1) * b**2)
    return found if np.ndim(t) else float(found)


def provenance_variance(t: Any, contamination: float) -> Any:
    """v_t = 1/(1 + (t-1)(1-a)) of a learner that is told which records are natural and pools those. Synthetic
    records tell it nothing: it knows what they were made from. Status: exact. Source: derived for autophage.

    >>> provenance_variance(3, 0.5), round(optimal_variance(3, 0.5), 4)
    (0.5, 0.6667)
    """
    b = 1 - unit_interval(contamination, "contamination")
    found = 1 / (1 + (_rounds(t) - 1) * b)
    return found if np.ndim(t) else float(found)


def variance_for_gains(
    gains: Any, contamination: Any, *, sizes: Any = 1.0, literal: bool = False
) -> np.ndarray:
    """v_1, ..., v_T, shape (T,), for any gains K_1 = 1, K_2, ..., K_T:

        v_t = (1 - K_t (1-a_t))^2 v_{t-1} + K_t^2 / n_t.

    gains (T,). contamination: one number or (T,), entry 0 ignored (round 1 is natural). sizes: n_t, one number or
    (T,), in the records whose variance is the unit; the default 1 makes the unit that of a whole round. Where
    n_t = 0, K_t must be 0. literal: each of the n_t records is synthetic with probability a_t, so that their
    number is drawn too, which adds K_t^2 a_t (1-a_t) v_{t-1} / n_t. Raises `SpecError`. Status: exact. Source:
    derived for autophage.

    >>> variance_for_gains([1, 1 / 2, 1 / 3], 1).round(4).tolist()
    [1.0, 1.25, 1.3611]
    """
    K = _gains(gains)
    a, n = contaminations(contamination, len(K)), round_sizes(sizes, len(K))
    if (K[n == 0] != 0).any():
        raise SpecError("a gain is not zero in a round without records")
    noise = K**2 / np.where(n > 0, n, 1.0)
    keep = (1 - K * (1 - a)) ** 2 + (noise * a * (1 - a) if literal else 0.0)
    v, course = 0.0, list[float]()
    for kept, added in zip(keep.tolist(), noise.tolist(), strict=True):
        v = kept * v + added if course else added
        course.append(v)
    return np.array(course)


def mismatched_variance(rounds: int, assumed: float, contamination: float) -> np.ndarray:
    """v_1, ..., v_T, shape (T,), of the learner that is optimal for `assumed` where the truth is `contamination`.

    With an upper bound assumed it is never above `optimal_variance(t, assumed)`: what the learner believes is then a
    guarantee. Status: exact. Source: derived for autophage.

    >>> mismatched_variance(100, 0.9, 0.5)[-1].round(4).item(), round(optimal_variance(100, 0.9), 4)
    (0.0572, 0.5025)
    """
    gains = optimal_gain(np.arange(1, int(_rounds(rounds).max()) + 1), unit_interval(assumed, "assumed"))
    return variance_for_gains(gains, unit_interval(contamination, "contamination"))


class Rate(NamedTuple):
    """How ERM's variance falls: v_t ~ constant x t^exponent, times ln t where `logarithm`."""

    regime: Literal["parametric", "critical", "slow", "stalled"]
    exponent: float
    constant: float
    logarithm: bool = False


def rate(contamination: float) -> Rate:
    """The long-run course of ERM, with its transition at a = 1/2:

        a < 1/2  parametric   v_t ~ 1/((1-2a) t)
        a = 1/2  critical     v_t ~ ln(t)/t
        a > 1/2  slow         v_t ~ C(a) t^{-2(1-a)},  C(a) = sum_k (Gamma(k)/Gamma(k+a))^2
        a = 1    stalled      v_t -> pi^2/6

    Status: asymptotic. Source: Amin et al. (2026) for the transition and pi^2/6; constants derived for autophage.

    >>> rate(0.3).constant, rate(0.5).logarithm, rate(0.7).regime, round(rate(1).constant, 6)
    (2.5, True, 'slow', 1.644934)
    """
    a = unit_interval(contamination, "contamination")
    if a < 0.5:
        return Rate("parametric", -1.0, 1 / (1 - 2 * a))
    if a == 0.5:
        return Rate("critical", -1.0, 1.0, True)
    return Rate("slow" if a < 1 else "stalled", -2 * (1 - a), _constant(a))


def _constant(a: float, terms: int = 1000) -> float:
    """C(a): a thousand terms and the rest from Gamma(k+a)/Gamma(k) = w^a (1 + a(1-a^2)/(24 w^2) + O(w^-4)) with
    w = k - (1-a)/2, whose powers sum to Hurwitz zetas. Good to about 1e-12 relative."""
    k = np.arange(1.0, terms + 1)
    w = terms + 1 - (1 - a) / 2
    rest = zeta(2 * a, w) - a * (1 - a**2) / 12 * zeta(2 * a + 2, w)
    return float((poch(k, a) ** -2.0).sum() + rest)


class UnequalRounds(NamedTuple):
    """Best weights for rounds of unequal size, each field (T,)."""

    gains: np.ndarray
    precisions: np.ndarray
    """1/v_t, in records: what the answer is worth in natural ones."""
    capped: np.ndarray
    """True where the best gain was above 1 and 1 was taken."""


def unequal_rounds(sizes: Any, contamination: Any) -> UnequalRounds:
    """Gains for rounds of n_t records with contamination a_t, in units of one record's covariance:

        P_1 = n_1,   P_t = P_{t-1} + n_t (1-a_t)^2,   K_t = n_t (1-a_t) / P_t.

    K_t can exceed 1 (a large, contaminated round after small ones): the answer would leave the segment between the
    last one and the new mean, with a negative weight on the past. It is then capped at 1 and reported, and P_t is
    what the capped answer has: 1 / (a_t^2/P_{t-1} + 1/n_t). A round without records has gain 0.

    sizes (T,): n_1 above zero. contamination: one number or (T,), entry 0 ignored. Raises `SpecError`. Status: exact.
    Source: derived for autophage.

    >>> r = unequal_rounds([10, 1000, 10], 0.5)
    >>> r.gains.round(4).tolist(), r.capped.tolist(), r.precisions.round(2).tolist()
    ([1.0, 1.0, 0.1221], [False, True, False], [10.0, 38.46, 40.96])
    """
    n = np.atleast_1d(np.asarray(sizes, dtype=np.float64))
    if n.ndim != 1 or not len(n):
        raise SpecError("sizes must be a list with one number of records per round")
    n, a = round_sizes(n, len(n)), contaminations(contamination, len(n))
    gains, precisions, capped = np.ones(len(n)), np.empty(len(n)), np.zeros(len(n), dtype=bool)
    precisions[0] = n[0]
    for t in range(1, len(n)):
        b = 1 - a[t]
        precisions[t] = precisions[t - 1] + n[t] * b**2
        gains[t] = n[t] * b / precisions[t]
        if gains[t] > 1:
            gains[t], capped[t] = 1.0, True
            precisions[t] = 1 / (a[t] ** 2 / precisions[t - 1] + 1 / n[t])
    return UnequalRounds(gains, precisions, capped)


def implied_weights(gains: Any) -> np.ndarray:
    """The weights on X_1, ..., X_T in Y_T, shape (T,): K_s prod_{r > s} (1 - K_r). They sum to one, and none is
    negative while every gain lies in [0, 1]; they depend on the contamination through the gains only. Status: exact.

    >>> implied_weights([1, 1 / 2, 1 / 3]).round(4).tolist()
    [0.3333, 0.3333, 0.3333]
    """
    K = _gains(gains)
    later = np.concatenate([np.cumprod((1 - K)[:0:-1])[::-1], [1.0]])
    return K * later


def contaminations(contamination: Any, rounds: int) -> np.ndarray:
    """a_1 = 0, a_2, ..., a_T from one number or (T,). Raises `SpecError`, naming the round, outside [0, 1]."""
    given = np.asarray(contamination, dtype=np.float64)
    if given.ndim > 1 or (given.ndim == 1 and len(given) != rounds):
        raise SpecError(f"contamination has shape {given.shape}; it must be one number or {rounds}")
    a = np.array(np.broadcast_to(given, (rounds,)))
    wrong = ~((a >= 0) & (a <= 1))
    if given.ndim == 1:
        wrong[0] = False
    if wrong.any():
        t = int(np.argmax(wrong))
        where = f" in round {t + 1}" if given.ndim else ""
        raise SpecError(f"contamination is {a[t]:g}{where}; it must lie in [0, 1]")
    a[0] = 0.0
    return a


def round_sizes(sizes: Any, rounds: int) -> np.ndarray:
    """n_1, ..., n_T from one number or (T,). Raises `SpecError` unless n_1 is above zero and no other is below."""
    n = np.asarray(sizes, dtype=np.float64)
    if n.ndim > 1 or (n.ndim == 1 and len(n) != rounds):
        raise SpecError(f"sizes has shape {n.shape}; it must be one number or {rounds}")
    n = np.array(np.broadcast_to(n, (rounds,)))
    wrong = ~(np.isfinite(n) & (n >= 0))
    wrong[0] |= n[0] == 0
    if wrong.any():
        t = int(np.argmax(wrong))
        least = "above zero" if t == 0 else "zero or more"
        raise SpecError(f"the size of round {t + 1} is {n[t]:g}; it must be finite and {least}")
    return n


def _rounds(t: Any) -> np.ndarray:
    rounds = np.asarray(t)
    if not rounds.size or not np.isfinite(rounds).all() or (rounds < 1).any() or (rounds % 1 != 0).any():
        raise SpecError(f"a round is {t}; rounds are whole numbers that count from 1")
    return rounds.astype(np.int64)


def _gains(gains: Any) -> np.ndarray:
    K = np.asarray(gains, dtype=np.float64)
    if K.ndim != 1 or not len(K) or not np.isfinite(K).all():
        raise SpecError("gains must be a list of finite numbers, one per round")
    if K[0] != 1:
        raise SpecError(f"the first gain is {K[0]:g}; it must be 1: the first answer is the first mean")
    return K
