"""Loops in which a user picks one of K samples (Ferbach et al. 2024), honestly or not (Wei & Zhang 2025).

Notation: p (S,) a law over S outcomes, r (S,) their rewards, temperature folded in. Of K independent samples the user keeps
x_k with probability e^{r(x_k)} / sum_j e^{r(x_j)}, so that the kept record has the law p H_K with

    H_K(x) = E_{x_1..x_{K-1} ~ p} [ K e^{r(x)} / (e^{r(x)} + sum_i e^{r(x_i)}) ],   H_inf(x) = e^{r(x)} / E_p e^r.

A share phi of the users may be malicious and choose by another reward. The next model is the exact mixture

    p_{t+1} = ( p_ref + lambda p_t [(1-phi) H_K + phi H~_K] ) / (1 + lambda),

lambda curated records per reference record, inf for curated records only. All of it with infinite samples. A reward of -inf
is never chosen; a choice among K of them does not take place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from autophage.errors import SpecError
from autophage.theory.arguments import positive, probabilities, unit_interval

STEP = 0.2
"""Of the trapezium rule below, whose error is then beneath rounding,"""
CHUNK = 256
"""and the rewards that are worked off at once."""
CLOSE = 1e-14
"""Change of an entry in one round below which a fixed point counts as reached,"""
LONGEST = 100_000
"""and the rounds after which the search for it gives up."""


@dataclass(frozen=True)
class Bound:
    """A number that a theorem guarantees, or the reason why it guarantees none."""

    value: float | None
    """None: no guarantee, which is not a guarantee of the contrary."""
    why: str
    """What is claimed, or which condition fails."""


def checked_choices(choices: float) -> float:
    """K. Raises `SpecError` unless it is a whole number of at least 1, or inf."""
    whole = not isinstance(choices, bool) and choices >= 1 and (choices == np.inf or choices == int(choices))
    if not whole:
        raise SpecError(f"choices is {choices}; it must be a whole number of at least 1, or inf")
    return float(choices)


def checked_ratio(ratio: float) -> float:
    """lambda. Raises `SpecError` unless it is a number of at least 0, or inf (curated records only)."""
    if not ratio >= 0:
        raise SpecError(
            f"the synthetic ratio is {ratio}; it must be zero or more (inf: curated records only)"
        )
    return float(ratio)


def _law(p: Any, reward: Any) -> tuple[np.ndarray, np.ndarray]:
    law, r = probabilities(p), np.asarray(reward, dtype=np.float64)
    if r.shape != law.shape:
        raise SpecError(f"there must be one reward per outcome: {len(law)}, got {r.size}")
    if np.isnan(r).any() or (r == np.inf).any():
        raise SpecError("rewards must be numbers or -inf; NaN and +inf have no law of choice")
    if (r[law > 0] == -np.inf).all():
        raise SpecError("every possible outcome has the reward -inf, so nothing can be chosen")
    return law, r


def selection(p: Any, reward: Any, choices: float) -> np.ndarray:
    """H_K, shape (S,): how many times likelier each outcome is among the kept records than among the samples, 0 to K.

    By 1/(a + b) = int_0^inf e^{-s(a + b)} ds it is one integral for any K,

        H_K(x) = K a_x int_0^inf e^{-s a_x} phi(s)^{K-1} ds,   a = e^r,   phi(s) = sum_y p_y e^{-s a_y},

    taken by the trapezium rule in log s. With outcomes of reward -inf: given that a choice takes place. Status: exact (up to
    rounding). Source: Ferbach et al. (2024); integral derived for autophage.

    >>> selection([0.5, 0.3, 0.2], [0, 0.7, 1.5], 2).round(6).tolist()
    [0.772058, 1.092198, 1.431559]
    """
    law, r = _law(p, reward)
    K = checked_choices(choices)
    if K == 1:
        return np.where(r == -np.inf, 0.0, 1 / law[r > -np.inf].sum())
    top = r[law > 0].max()
    if np.isinf(K):
        with np.errstate(over="ignore"):
            a = np.exp(r - top)
        return a / (law[law > 0] @ a[law > 0])
    logs, place = np.unique(r, return_inverse=True)
    mass = np.bincount(place, law)
    logs = logs - top
    finite = logs[np.isfinite(logs)]
    # Below, the integrand falls like s; above, faster than exponentially as soon as s a > 1 for the least a.
    u = np.arange(-38 - np.log(K) - max(finite.max(), 0.0), 4 - finite.min(), STEP)
    gone = np.zeros(len(u))  # 1 - phi
    phi = np.zeros(len(u))
    for low in range(0, len(logs), CHUNK):
        some = slice(low, low + CHUNK)
        with np.errstate(over="ignore"):
            s = np.exp(u + logs[some, None])
        phi += mass[some] @ np.exp(-s)
        gone -= mass[some] @ np.expm1(-s)
    with np.errstate(
        divide="ignore"
    ):  # each form where it keeps its digits: many choices need those of 1 - phi
        weight = (K - 1) * np.where(phi < 0.5, np.log(phi), np.log1p(-np.minimum(gone, 0.75)))
    found = np.zeros(len(logs))
    for low in range(0, len(logs), CHUNK):
        some = slice(low, low + CHUNK)
        scaled = u + np.where(np.isfinite(logs[some]), logs[some], -np.inf)[:, None]
        with np.errstate(over="ignore", invalid="ignore"):
            found[some] = np.exp(scaled - np.exp(scaled) + weight).sum(axis=1)
    dead = mass[logs == -np.inf].sum()
    return (K * STEP / (1 - dead**K) * found)[place]


def kept(
    p: Any, reward: Any, choices: float, *, malicious_share: float = 0.0, malicious_reward: Any = None
) -> np.ndarray:
    """p [(1-phi) H_K + phi H~_K], shape (S,): the law of what users keep of samples of law p. Status: exact. Sources: Ferbach
    et al. (2024); Wei & Zhang (2025) for malicious users.

    >>> kept([0.4, 0.3, 0.2, 0.1], [0, 0.5, 1, 2], 2).round(5).tolist()
    [0.30318, 0.29564, 0.24242, 0.15876]
    """
    law, _ = _law(p, reward)
    phi = unit_interval(malicious_share, "the malicious share")
    honest = law * selection(law, reward, choices)
    if not phi:
        return honest
    if malicious_reward is None:
        raise SpecError("there are malicious users but no malicious_reward that they choose by")
    return (1 - phi) * honest + phi * law * selection(law, malicious_reward, choices)


def update(p: Any, reference: Any, reward: Any, choices: float, ratio: float, **malicious: Any) -> np.ndarray:
    """p_{t+1} from p_t = p, shape (S,): see the head of this page; ratio is lambda. Status: exact (infinite samples). Source:
    Ferbach et al. (2024)."""
    lam = checked_ratio(ratio)
    new = kept(p, reward, choices, **malicious)
    new /= new.sum()  # rounding would grow by a factor of K in each round
    if lam == np.inf:
        return new
    return (probabilities(reference) + lam * new) / (1 + lam)


def course(
    reference: Any,
    reward: Any,
    choices: float,
    generations: int,
    *,
    ratio: float = np.inf,
    malicious_share: Any = 0.0,
    malicious_reward: Any = None,
) -> np.ndarray:
    """p_t, shape (G, S), p_0 = the reference law. malicious_share: one number or (G,), entry t the share among the users who
    choose from p_t. Status: exact (infinite samples). Sources: Ferbach et al. (2024); Wei & Zhang (2025).

    >>> rounds = course([0.4, 0.3, 0.2, 0.1], [0, 0.5, 1, 2], 2, 5)
    >>> (rounds @ np.exp([0, 0.5, 1, 2])).round(4).tolist()
    [2.1772, 2.6227, 3.2024, 3.9105, 4.7004]
    """
    first = probabilities(reference)
    shares = np.asarray(malicious_share, dtype=np.float64)
    if shares.ndim and shares.shape != (generations,):
        raise SpecError(f"malicious_share must be one number or one per generation: {generations}")
    shares = np.broadcast_to(shares, (generations,))
    found = np.empty((generations, len(first)))
    law = first
    for t in range(generations):
        found[t] = law
        if t + 1 < generations:
            users = {"malicious_share": float(shares[t]), "malicious_reward": malicious_reward}
            law = update(law, first, reward, choices, ratio, **users)
    return found


def limit(p: Any, reward: Any) -> np.ndarray:
    """p restricted to the outcomes of the largest reward that has mass, normalised, shape (S,): where the loop without
    reference data ends. Status: exact. Source: Ferbach et al. (2024, theorem 2.1).

    >>> limit([0.5, 0.3, 0.2], [0, 1, 1]).round(9).tolist()
    [0.0, 0.6, 0.4]
    """
    law, r = _law(p, reward)
    best = np.where(r == r[law > 0].max(), law, 0.0)
    return best / best.sum()


def fixed_point(reference: Any, reward: Any, choices: float, ratio: float, **malicious: Any) -> np.ndarray:
    """Where the loop with reference data settles from p_0 = p_ref, shape (S,). Raises `SpecError` without reference data (see
    `limit`) and when it has not settled after `LONGEST` rounds. Status: exact (infinite samples). Source: Ferbach et al. (2024).

    >>> fixed_point([0.4, 0.3, 0.2, 0.1], [0, 0.5, 1, 2], np.inf, 2).round(4).tolist()
    [0.1529, 0.1268, 0.1023, 0.6181]
    """
    if checked_ratio(ratio) == np.inf:
        raise SpecError("without reference data the loop ends at `limit`; give a finite synthetic ratio")
    law = probabilities(reference)
    for _ in range(LONGEST):
        after = update(law, reference, reward, choices, ratio, **malicious)
        if np.abs(after - law).max() <= CLOSE:
            return after
        law = after
    raise SpecError(f"the loop with the ratio {ratio:g} had not settled after {LONGEST} rounds")


class RewardMoments(NamedTuple):
    """Of e^r under a law: what the theorems speak about."""

    mean: float
    variance: float
    best: float
    """r*: the largest reward that has mass."""


def reward_moments(p: Any, reward: Any) -> RewardMoments:
    """E e^r, Var e^r and r* of a law. Exact by definition."""
    law, r = _law(p, reward)
    a = np.exp(r[law > 0])
    mean = float(law[law > 0] @ a)
    return RewardMoments(mean, float(law[law > 0] @ (a - mean) ** 2), float(r[law > 0].max()))


def gain_bound(variance: float, choices: float, best: float | None) -> Bound:
    """((K-1)/K) Var_{p_t}(e^r) / e^{r*}: E e^r grows by at least this in a round without reference data.

    variance: of e^r under p_t; best: r*, None where nobody knows it. Status: bound (lower). Source: Ferbach et al. (2024, lemma
    2.2).
    """
    K = checked_choices(choices)
    if best is None or not np.isfinite(best):
        return Bound(None, "no guarantee: the bound needs the largest reward, which is unknown or infinite")
    share = 1.0 if np.isinf(K) else (K - 1) / K
    return Bound(
        share * _variance(variance) * float(np.exp(-best)), "E e^r grows by at least this in every round"
    )


def floor_bound(variance: float, choices: float, ratio: float, best: float | None) -> Bound:
    """(lambda/(1+lambda)^3) ((K-1)/K) Var_{p_ref}(e^r) / e^{r*}: by how much E e^r stays above the reference's for ever, from
    round 1 on, when the loop starts at the reference.

    variance: of e^r under p_ref. Status: bound (lower). Source: Ferbach et al. (2024, theorem 2.3).
    """
    lam, gain = checked_ratio(ratio), gain_bound(variance, choices, best)
    if gain.value is None:
        return gain
    factor = 0.0 if lam == np.inf else lam / (1 + lam) ** 3
    return Bound(factor * gain.value, "E e^r stays at least this far above the reference's, from round 1 on")


def divergence_bound(choices: float, ratio: float) -> Bound:
    """-log(1 - lambda (K-1)): KL(p_t || p_ref) never exceeds it when the loop starts at the reference and lambda < 1/(K-1).

    It constrains the loop but does not describe it: the divergence stays far below. Status: bound (upper). Source: Ferbach et al.
    (2024, theorem 2.4).

    >>> round(divergence_bound(2, 0.5).value, 6), divergence_bound(2, 3).value
    (0.693147, None)
    """
    K, lam = checked_choices(choices), checked_ratio(ratio)
    reach = 0.0 if K == 1 or lam == 0 else lam * (K - 1)
    if reach >= 1:
        return Bound(
            None,
            f"no guarantee: the bound asks for a ratio below 1/(choices - 1) = {1 / (K - 1):g}, and it is {lam:g}",
        )
    return Bound(float(-np.log1p(-reach)), "KL(p_t || reference) never exceeds this")


def _variance(variance: float) -> float:
    if not 0 <= variance < np.inf:
        raise SpecError(f"the variance of e^r is {variance}; it must be finite and not negative")
    return float(variance)


class TwoOutcomes(NamedTuple):
    """The mass p of the better of two outcomes, K = 2: course (G,) and where it settles."""

    course: np.ndarray
    settles: float


def two_outcomes(reference: float, gap: float, generations: int, *, ratio: float = np.inf) -> TwoOutcomes:
    """Two outcomes whose rewards differ by `gap`, K = 2, tau = tanh(gap/2), p_0 = a = `reference`:

        p' = (a + lambda (p + p(1-p) tau)) / (1 + lambda),    p* = 2a / (1-x + sqrt((1-x)^2 + 4 x a)),  x = lambda tau

    (without reference data p' = p + p(1-p) tau, which ends at 1 for a positive gap). Status: exact. Source: derived for autophage
    from Ferbach et al. (2024).

    >>> round(two_outcomes(0.1, 2, 1, ratio=0.5).settles, 7)
    0.1480232
    """
    a, lam = unit_interval(reference, "the reference mass"), checked_ratio(ratio)
    if not np.isfinite(gap):
        raise SpecError(f"the gap of the rewards is {gap}; it must be finite")
    tau = float(np.tanh(gap / 2))
    found, p = np.empty(generations), a
    for t in range(generations):
        found[t] = p
        new = p + p * (1 - p) * tau
        p = new if lam == np.inf else (a + lam * new) / (1 + lam)
    if lam == np.inf:
        moves = 0 < a < 1
        return TwoOutcomes(found, (1.0 if tau > 0 else 0.0) if moves and tau else a)
    x = lam * tau
    root = 1 - x + np.sqrt((1 - x) ** 2 + 4 * x * a)
    # a = 0 with x > 1: nothing of the better outcome is there to be chosen.
    return TwoOutcomes(found, float(2 * a / root) if a else 0.0)


def two_outcomes_limit(start: float, gap: float, generations: int) -> np.ndarray:
    """p_t, shape (G,), for K = inf without reference data: the odds are multiplied by e^gap in each round. Status: exact. Source:
    derived for autophage from Ferbach et al. (2024, lemma 2.1).

    >>> two_outcomes_limit(0.1, 1, 11)[[1, 5, 10]].round(7).tolist()
    [0.2319693, 0.9428256, 0.9995916]
    """
    from scipy.special import expit, logit

    if not np.isfinite(gap):
        raise SpecError(f"the gap of the rewards is {gap}; it must be finite")
    return expit(logit(unit_interval(start, "the mass at the start")) + gap * np.arange(generations))


class GaussianCourse(NamedTuple):
    """mean (G,) and variance (G,)."""

    mean: np.ndarray
    variance: np.ndarray


def gaussian_linear(mean: float, variance: float, slope: float, generations: int) -> GaussianCourse:
    """N(m, s^2) under r(x) = b x, K = inf, without reference data: the mean moves by b s^2 in each round, the variance stays.
    Status: exact. Source: derived for autophage from Ferbach et al. (2024, lemma 2.1).

    >>> gaussian_linear(0, 1, 1, 3).mean.tolist()
    [0.0, 1.0, 2.0]
    """
    v, t = positive(variance, "the variance"), np.arange(generations)
    return GaussianCourse(mean + slope * v * t, np.full(generations, v))


def gaussian_quadratic(
    mean: float, variance: float, centre: float, width: float, generations: int
) -> GaussianCourse:
    """N(m, s^2) under r(x) = -(x - z)^2 / (2 c^2), K = inf, without reference data: precisions add, 1/s^2 + t/c^2, and the mean is
    (m/s^2 + t z/c^2) over it. z: centre, c: width. Status: exact. Source: derived for autophage from Ferbach et al. (2024, lemma
    2.1).

    >>> gaussian_quadratic(0, 1, 0, 1, 5).variance[4].item()
    0.2
    """
    own, pull = 1 / positive(variance, "the variance"), 1 / positive(width, "the width") ** 2
    t = np.arange(generations)
    precision = own + t * pull
    return GaussianCourse((mean * own + t * pull * centre) / precision, 1 / precision)


def attack(
    p: Any, reward: Any, malicious_reward: Any, malicious_share: float, choices: float = np.inf
) -> float:
    """The change of E e^r in one round in which a share phi of the users chooses by another reward, without reference data; for
    K = inf

        (1-phi) Var(e^r) / E e^r + phi Cov(e^r, e^{r~}) / E e^{r~}.

    Status: exact. Source: derived for autophage; covariance condition of Wei & Zhang (2025).
    """
    a = np.exp(_law(p, reward)[1])
    users = {"malicious_share": malicious_share, "malicious_reward": malicious_reward}
    moved = kept(p, reward, choices, **users) - probabilities(p)
    return float(moved @ np.where(moved == 0, 0.0, a))


def critical_share(p: Any, reward: Any, malicious_reward: Any, choices: float = np.inf) -> float | None:
    """phi* = A / (A - B), the share of malicious users from which on E e^r falls in the next round; A and B its change with honest
    and with malicious users only. None where malicious users do no harm (B >= 0). Status: exact. Source: derived for autophage;
    covariance condition of Wei & Zhang (2025).

    >>> round(critical_share([0.4, 0.3, 0.2, 0.1], [0, 0.5, 1, 2], [0, -0.5, -1, -2]), 6)
    0.696664
    """
    honest = attack(p, reward, malicious_reward, 0.0, choices)
    harm = attack(p, reward, malicious_reward, 1.0, choices)
    return None if harm >= 0 else honest / (honest - harm)


def divergence(p: Any, reference: Any) -> float:
    """KL(p || reference) in nats; inf where p has mass and the reference has none. Exact by definition."""
    from scipy.special import rel_entr

    law, base = probabilities(p), probabilities(reference)
    if law.shape != base.shape:
        raise SpecError(f"the two laws have {len(law)} and {len(base)} outcomes")
    return float(rel_entr(law, base).sum())
