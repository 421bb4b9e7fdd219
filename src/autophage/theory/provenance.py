"""Real and synthetic records mixed without labels: what the loop can still learn of a law (Kanabar & Gastpar).

Batch t has n_t records of which a share a_t is real, the rest samples of the last estimate; the shares are
known, the provenance of a record is not. Generation 0 sees real records only (a_0 = 1). The best linear
estimator moves from its last estimate towards the newest batch's frequencies,

    P_t = P_{t-1} + K_t (emp_t - P_{t-1}),   K_t = n_t a_t / I_t,   I_t = sum_{i<=t} n_i a_i^2,

which is the treatment `gain: optimal` of a `fresh` workflow.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from autophage.errors import SpecError
from autophage.theory.arguments import at_least, probabilities, sizes_course, unit_interval

Counts = Literal["mixture", "exact"]


def _batches(sizes: Any, real_shares: Any) -> tuple[np.ndarray, np.ndarray]:
    """Sizes (G,) and shares (G,) with a_0 = 1."""
    n = sizes_course(sizes)
    given = np.asarray(real_shares, dtype=np.float64)
    if given.ndim and given.shape != n.shape:
        raise SpecError(f"real_shares must be one number or one per generation: {len(n)}, got {given.size}")
    a = np.array(np.broadcast_to(given, n.shape))
    if not ((a[1:] >= 0) & (a[1:] <= 1)).all():
        raise SpecError("real shares must lie in [0, 1]")
    a[0] = 1.0
    return n, a


def information(sizes: Any, real_shares: Any, detector: Any = 1.0) -> np.ndarray:
    """I_t = sum_{i<=t} n_i a_i^2 g_i, shape (G,): the real records that provenance-free estimation is worth.

    sizes (G,): n_0 real, then n_t. real_shares: one number or (G,), entry 0 ignored. detector: g_i, the gain
    of a detector of synthetic records (see `detector_gain`), one number or (G,), entry 0 ignored; 1 without
    one. The minimax squared loss is of the order 1 / I_t. Status: bound (order). Source: Kanabar & Gastpar
    (2025).

    >>> information([100] + [100] * 30, 0.2)[-1].round(9).item()
    220.0
    """
    n, a = _batches(sizes, real_shares)
    gain = np.array(np.broadcast_to(np.asarray(detector, dtype=np.float64), n.shape))
    gain[0] = 1.0
    if not (np.isfinite(gain) & (gain >= 1)).all():
        raise SpecError("a detector's gain is a finite number of at least 1")
    return np.cumsum(n * a**2 * gain)


def oracle_information(sizes: Any, real_shares: Any) -> np.ndarray:
    """sum_{i<=t} n_i a_i, shape (G,): the real records seen, which is what there is to learn from when every
    record's provenance is known. The minimax squared loss is then of the order of its inverse. Status: bound
    (order). Source: Kanabar & Gastpar (2025).

    >>> oracle_information([100] + [100] * 30, 0.2)[-1].round(9).item()
    700.0
    """
    n, a = _batches(sizes, real_shares)
    return np.cumsum(n * a)


def optimal_gains(sizes: Any, real_shares: Any) -> np.ndarray:
    """K_t = n_t a_t / I_t, shape (G,), K_0 = 1. Above 1 the estimate may leave the simplex, see
    `stays_in_simplex`. Status: exact (best linear estimator at a fixed variance per record). Source: Kanabar &
    Gastpar (2025), recursive form derived for autophage.

    >>> optimal_gains([100, 100, 100], 0.2).round(4).tolist()
    [1.0, 0.1923, 0.1852]
    """
    n, a = _batches(sizes, real_shares)
    return n * a / np.cumsum(n * a**2)


def stays_in_simplex(sizes: Any, real_shares: Any) -> np.ndarray:
    """(G,) whether n_t a_t <= I_t: the estimate is then an average of probability vectors, else it may have
    negative entries. Status: exact. Source: Kanabar & Gastpar (2025).

    >>> stays_in_simplex([10, 1000], 0.2).tolist()
    [True, False]
    """
    return optimal_gains(sizes, real_shares) <= 1 + 1e-12


def gain_risk(p: Any, sizes: Any, real_shares: Any, gains: Any, counts: Counts = "mixture") -> np.ndarray:
    """E ||P_t - p||^2, shape (G,), for any gains K_t in [0, 1]:

        M_t = (1 - K a)^2 M_{t-1} + K^2 (1 - ||p||^2 - (1-a)^2 M_{t-1}) / n_t,   M_0 = (1 - ||p||^2) / n_0,

    with (1-a) in place of (1-a)^2 where the number of real records is fixed (`exact`: a_t n_t of them).
    gains: one number or (G,), entry 0 ignored. p (K,). Status: exact. Source: derived for autophage.

    The running mean of all batches, provenance ignored:

    >>> zipf = np.arange(1, 9) ** -0.5 / (np.arange(1, 9) ** -0.5).sum()
    >>> gain_risk(zipf, [100] * 31, 0.2, 1 / np.arange(1, 32))[-1].round(6).item()
    0.004903
    """
    if counts not in ("mixture", "exact"):
        raise SpecError(f"counts is {counts!r}; it must be mixture or exact")
    n, a = _batches(sizes, real_shares)
    K = np.array(np.broadcast_to(np.asarray(gains, dtype=np.float64), n.shape))
    if not ((K[1:] >= 0) & (K[1:] <= 1)).all():
        raise SpecError("gains must lie in [0, 1]")
    return _risk(1 - float((probabilities(p) ** 2).sum()), n, a, K, counts)


def _risk(variance: float, n: np.ndarray, a: np.ndarray, K: np.ndarray, counts: Counts) -> np.ndarray:
    M = np.empty(len(n))
    M[0] = variance / n[0]
    for t in range(1, len(n)):
        lost = (1 - a[t]) ** 2 if counts == "mixture" else 1 - a[t]
        M[t] = (1 - K[t] * a[t]) ** 2 * M[t - 1] + K[t] ** 2 * (variance - lost * M[t - 1]) / n[t]
    return M


def optimal_risk(p: Any, sizes: Any, real_shares: Any, counts: Counts = "mixture") -> np.ndarray:
    """E ||P_t - p||^2, shape (G,), of the estimator with the optimal gains:

        MSE_t = sum_{i<=t} w_i (1 - ||p||^2 - (1-a_i)^2 MSE_{i-1}) / I_t^2,   w_i = n_i a_i^2

    (with (1-a_i) in place of (1-a_i)^2 for `exact` counts). Gains above 1 are taken as they are: the formula
    is for the estimator that may leave the simplex. Status: exact. Source: derived for autophage; estimator of
    Kanabar & Gastpar (2025).

    >>> zipf = np.arange(1, 9) ** -0.5 / (np.arange(1, 9) ** -0.5).sum()
    >>> optimal_risk(zipf, [100] * 31, 0.2)[-1].round(7).item()
    0.0038899
    """
    if counts not in ("mixture", "exact"):
        raise SpecError(f"counts is {counts!r}; it must be mixture or exact")
    n, a = _batches(sizes, real_shares)
    return _risk(1 - float((probabilities(p) ** 2).sum()), n, a, optimal_gains(n, a), counts)


def oracle_risk(p: Any, sizes: Any, real_shares: Any, counts: Counts = "mixture") -> np.ndarray:
    """E ||P_t - p||^2, shape (G,), of the frequencies of all real records so far:

        (1 - ||p||^2) E[1 / R_t],   R_t = n_0 + sum Binomial(n_i, a_i)   (or sum n_i a_i for `exact` counts),

    where E[1/R] is the integral of E exp(-s R) over s > 0. Status: exact. Source: derived for autophage.

    >>> zipf = np.arange(1, 9) ** -0.5 / (np.arange(1, 9) ** -0.5).sum()
    >>> oracle_risk(zipf, [100] * 31, 0.2)[-1].round(6).item()
    0.001227
    """
    n, a = _batches(sizes, real_shares)
    variance = 1 - float((probabilities(p) ** 2).sum())
    if counts == "exact":
        return variance / np.cumsum(n * a)
    if counts != "mixture":
        raise SpecError(f"counts is {counts!r}; it must be mixture or exact")
    # The trapezium rule in log s: the integrand falls off faster than exponentially on one side and like s on
    # the other, so the error is far below rounding.
    x = np.arange(-45.0, 7.0, 0.05)
    inverse = np.empty(len(n))
    for t, total in enumerate(np.cumsum(n * a)):
        s = np.exp(x) / total
        shrink = -np.expm1(-s)
        logs = -n[0] * s + (n[1 : t + 1, None] * np.log1p(-a[1 : t + 1, None] * shrink)).sum(axis=0)
        inverse[t] = 0.05 * (s * np.exp(logs)).sum()
    return variance * inverse


def chi_square_gain(real_law: Any, synthetic_law: Any, real_share: float) -> float:
    """1 + chi^2(Q1 || a Q1 + (1-a) Q0) = sum_w Q1(w)^2 / (a Q1(w) + (1-a) Q0(w)): how many records without a
    detector a record with one is worth.

    real_law, synthetic_law (W,): Q1 and Q0, the laws of the detector's answer on a real and on a synthetic
    record. 1 for a detector that knows nothing, 1/a for one that knows all. Status: exact. Source: Kanabar &
    Gastpar (2025).

    >>> chi_square_gain([0.5, 0.5], [0.5, 0.5], 0.1), round(chi_square_gain([1, 0], [0, 1], 0.1), 9)
    (1.0, 10.0)
    """
    q1, q0, a = *_laws(real_law, synthetic_law), _share(real_share)
    seen = q1 > 0
    return float((q1[seen] ** 2 / (a * q1[seen] + (1 - a) * q0[seen])).sum())


def gain_bound(real_law: Any, synthetic_law: Any, real_share: float) -> float:
    """1 / max(a, min_w Q0(w)/Q1(w)), which no detector with these answers exceeds. Status: bound (upper).
    Source: Kanabar & Gastpar (2025).

    >>> round(gain_bound([0.95, 0.05], [0.05, 0.95], 0.01), 6)
    19.0
    """
    q1, q0, a = *_laws(real_law, synthetic_law), _share(real_share)
    seen = q1 > 0
    return float(1 / max(a, (q0[seen] / q1[seen]).min()))


def detector_gain(
    real_share: float, error: float, kind: Literal["symmetric", "erasure"] = "symmetric"
) -> float:
    """1 + chi^2 for two detectors of synthetic records: `symmetric` takes either kind for the other with
    probability e, `erasure` says nothing with probability e and is right otherwise:

        symmetric   (1-e)^2 / (a(1-e) + (1-a)e) + e^2 / (a e + (1-a)(1-e))
        erasure     (1-e)/a + e

    Status: exact. Source: derived for autophage from Kanabar & Gastpar (2025).

    >>> round(detector_gain(0.1, 0.05), 5), round(detector_gain(0.1, 0.05, "erasure"), 5)
    (6.44934, 9.55)
    """
    e = unit_interval(error, "the detector's error")
    if kind == "symmetric":
        return chi_square_gain([1 - e, e], [e, 1 - e], real_share)
    if kind == "erasure":
        return chi_square_gain([1 - e, e, 0.0], [0.0, e, 1 - e], real_share)
    raise SpecError(f"kind is {kind!r}; it must be symmetric or erasure")


def _laws(real_law: Any, synthetic_law: Any) -> tuple[np.ndarray, np.ndarray]:
    q1, q0 = probabilities(real_law), probabilities(synthetic_law)
    if q1.shape != q0.shape:
        raise SpecError(f"a detector's two laws need the same answers; got {len(q1)} and {len(q0)}")
    return q1, q0


def _share(real_share: float) -> float:
    if not 0 < real_share <= 1:
        raise SpecError(f"the real share is {real_share}; it must lie in (0, 1]")
    return float(real_share)


def masking_loss(risk: float, c: float) -> float:
    """2 (1 + c) sigma^2, where an estimator of risk at most 2 sigma^2 (sigma^2 = `risk`) publishes a point
    mass in its place with probability c sigma^2. No squared distance on the simplex exceeds 2.

    Status: bound (upper). Source: Kanabar & Gastpar (2025); that c counts the masks in units of sigma^2 is
    autophage's reading. What it buys: `labelled_risk`.

    >>> round(masking_loss(0.001, 0.5), 9)
    0.003
    """
    return 2 * (1 + at_least(c, 0, "c")) * at_least(risk, 0, "the risk")


def labelled_risk(p: Any, size: float, real_share: float, symbol: int) -> float:
    """E ||p_hat - p||^2 from one batch whose synthetic records all are `symbol`, because a point mass was
    published: any other symbol must be real, so p_j = N_j / (n a) for j other than k, p_k by the rest:

        [ (1-p_k) (2 - a (1-p_k)) - a sum_{j != k} p_j^2 ] / (n a),

    of the order 1/(n a) where an unmasked batch gives 1/(n a^2). Status: exact (mixture counts). Source:
    derived for autophage.

    >>> round(labelled_risk([0.5, 0.5], 100, 0.1, 0), 9)
    0.095
    """
    law, a = probabilities(p), _share(real_share)
    if not 0 <= symbol < len(law):
        raise SpecError(f"symbol is {symbol}; it must lie in 0..{len(law) - 1}")
    n = at_least(size, 1, "the size")
    others = 1 - law[symbol]
    squares = float((law**2).sum() - law[symbol] ** 2)
    return float((others * (2 - a * others) - a * squares) / (n * a))
