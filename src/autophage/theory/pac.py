"""Realisable classification with a share of one's own labels in every round: what repeated fitting leaves wrong for ever, and
what learners reach that let records contradict them (Amin et al. 2026).

Round t = 1, 2, ... brings n records; round 1 is natural, and later each record is labelled by what was published last
with probability a (the contamination). `studies.pac` simulates these rounds. The thresholds are those on [0, 1] under
uniform points, fitted from above: the gap is the distance from the truth to the nearest clean record above it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autophage.errors import SpecError
from autophage.theory.arguments import at_least, unit_interval


def never_corrected(contamination: float) -> float:
    """P(a wrong label stays for ever) = max(0, (2a-1)/a) under repeated empirical risk minimisation.

    One rare point, visited once per round, whose published label is wrong: votes for the wrong label minus votes for the
    right one walk up with probability a and down otherwise, and the label is corrected at -1 (a tie keeps it). Status:
    exact. Source: derived for autophage; the mechanism behind Amin et al. (2026).

    >>> [round(never_corrected(a), 4) for a in (0.4, 0.5, 0.6, 0.8, 0.9)]
    [0.0, 0.0, 0.3333, 0.75, 0.8889]
    """
    a = unit_interval(contamination, "contamination")
    return (2 * a - 1) / a if a > 0.5 else 0.0


def still_wrong(visits: int, contamination: float) -> np.ndarray:
    """P(a wrong label survives v visits), v = 0..T, shape (T+1,): first passage of the walk of `never_corrected`, by
    dynamic programming over its places 0..T. Status: exact. Source: derived for autophage.

    >>> still_wrong(400, 0.5)[[0, 1, 400]].round(4).tolist()
    [1.0, 0.5, 0.0399]
    """
    a = unit_interval(contamination, "contamination")
    T = int(at_least(visits, 0, "the number of visits"))
    place, course = np.zeros(T + 2), np.ones(T + 1)  # mass at 0..T; the last entry stays empty, for the shift
    place[0] = 1.0
    for v in range(1, T + 1):
        up = a * place[:-1]
        place[:-1] = (1 - a) * place[1:]  # what stood at 0 and steps down is gone
        place[1:-1] += up[:-1]
        course[v] = place.sum()
    return course


def rare_points_error(count: int, mass: float, n: int, contamination: float) -> float:
    """K q (1-q)^n max(0, (2a-1)/a): what repeated empirical risk minimisation keeps of its error for ever on a domain with
    K rare points of mass q, whose labels are wrong until seen.

    Each is missed by the n records of round 1 with probability (1-q)^n. Status: bound (lower): several visits in one
    round make it slightly larger. Source: derived for autophage; Amin et al. (2026) for the bound away from 0.

    >>> round(rare_points_error(20, 0.01, 100, 0.8), 4)
    0.0549
    """
    at_least(count, 1, "the number of rare points")
    at_least(n, 0, "the number of records")
    if not 0 < count * mass <= 1:
        raise SpecError(f"{count} points of mass {mass} do not fit into a domain of mass 1")
    return float(count * mass * (1 - mass) ** n * never_corrected(contamination))


def contradiction_gap(rounds: int, n: int, contamination: float) -> float:
    """1/(M+1), M = n + (T-1) n (1-a): the error of the contradiction learner on thresholds after T rounds.

    M is the number of natural records to expect; the learner loses nothing by not knowing which they are. Never below
    the oracle's. Status: asymptotic (M large; the mean over M itself is higher by the relative variance of M). Source:
    derived for autophage; O(d/((1-a) n t)) in Amin et al. (2026).

    >>> round(contradiction_gap(120, 20, 0.8), 5)
    0.00201
    """
    T, a = _rounds(rounds, n), unit_interval(contamination, "contamination")
    return 1 / (n * (1 + (T - 1) * (1 - a)) + 1)


def randomised_gap(rounds: int, n: int, contamination: float, *, theta: float = 0.5) -> float:
    """E |internal threshold - theta| of the randomised-publication learner on thresholds after T rounds:

        int_0^{1-theta} (1-u)^n prod_{s<T} [1 - p_s/2 + (p_s/2) (1 - (1-a) u)^n] du,   p_s = s^{-1/2}.

    The integrand is the chance that no clean record lies in (theta, theta + u): those of round 1, and in the rounds after
    a constant 0 the natural ones. Status: exact, by quadrature. Source: derived for autophage.

    >>> round(randomised_gap(400, 20, 0.8), 4)
    0.0106
    """
    T, a = _rounds(rounds, n), unit_interval(contamination, "contamination")
    place, weight = np.polynomial.legendre.leggauss(200)
    s = (place + 1) / 2
    u = (1 - unit_interval(theta, "theta")) * s**4  # most of the integral lies near 0
    half = np.arange(1.0, T) ** -0.5 / 2
    missed = np.log1p(-half[:, None] * -np.expm1(n * np.log1p(-(1 - a) * u))).sum(axis=0)
    return float((weight / 2 * 4 * (1 - theta) * s**3 * (1 - u) ** n * np.exp(missed)).sum())


def randomised_error(round: int, internal: float) -> float:
    """t^{-1/2}/2 + (1 - t^{-1/2}) x internal: the published error in round t of the randomised-publication learner whose
    internal hypothesis errs with probability `internal`. A constant chosen by a fair coin errs with 1/2, whatever the
    concept. Status: exact. Source: Amin et al. (2026) for the rate; derived for autophage.

    >>> randomised_error(400, 0.01)
    0.0345
    """
    constant = at_least(round, 1, "the round") ** -0.5
    return constant / 2 + (1 - constant) * unit_interval(internal, "internal")


def _rounds(rounds: Any, n: Any) -> int:
    at_least(n, 1, "the number of records per round")
    return int(at_least(rounds, 1, "the number of rounds"))
