"""Synthetic labels behind a verifier (Feng et al. 2024).

A label is wrong with probability p. The verifier keeps a record with a correct label with probability phi, one with a wrong label
with probability psi. All that matters to a linear classifier, as the number of records grows, is whether most of the kept labels
are correct.
"""

from __future__ import annotations

from autophage.errors import FilterStarved, SpecError
from autophage.theory.arguments import unit_interval


def _verifier(phi: float, psi: float) -> tuple[float, float]:
    keep, miss = unit_interval(phi, "phi"), unit_interval(psi, "psi")
    if keep == miss == 0:
        raise FilterStarved("the verifier keeps nothing: phi and psi are both zero")
    return keep, miss


def breakdown(phi: float, psi: float) -> float:
    """p* = phi / (phi + psi): with fewer wrong labels the classifier tends to the Bayes classifier as the number of records grows,
    with more to its opposite. Raises `FilterStarved` for phi = psi = 0. Status: asymptotic. Source: Feng et al. (2024).

    >>> breakdown(1, 1), breakdown(0.8, 0.2), round(breakdown(0.5, 0.7), 5)
    (0.5, 0.8, 0.41667)
    """
    keep, miss = _verifier(phi, psi)
    return keep / (keep + miss)


def kept_share(wrong: float, phi: float, psi: float) -> float:
    """(1-p) phi + p psi: the share of records that pass, hence 1 / this many candidates for each. Status: exact. Source: derived
    for autophage from Feng et al. (2024).

    >>> round(kept_share(0.3, 0.8, 0.2), 9)
    0.62
    """
    p = unit_interval(wrong, "the share of wrong labels")
    keep, miss = _verifier(phi, psi)
    return (1 - p) * keep + p * miss


def residual_noise(wrong: float, phi: float, psi: float) -> float:
    """p psi / (p psi + (1-p) phi): the share of wrong labels among the kept ones, above one half exactly where p exceeds p*. Raises
    `FilterStarved` where nothing passes. Status: exact. Source: derived for autophage from Feng et al. (2024).

    >>> round(residual_noise(0.3, 0.8, 0.2), 6)
    0.096774
    """
    share = kept_share(wrong, phi, psi)
    if not share:
        raise FilterStarved(
            f"no record passes: the share of wrong labels is {wrong:g}, phi {phi:g}, psi {psi:g}"
        )
    return wrong * psi / share


def largest_leak(wrong: float, residual: float = 0.5) -> float:
    """The largest psi/phi that leaves at most a share q of wrong labels among the kept ones: (q / (1-q)) (1-p) / p. With q = 1/2 it
    is the verifier that only just turns the classifier round. inf where there is no wrong label. Raises `SpecError` unless q lies
    in [0, 1). Status: exact. Source: derived for autophage from Feng et al. (2024).

    >>> round(largest_leak(0.4), 9), round(largest_leak(0.3, 0.096774), 4)
    (1.5, 0.25)
    """
    p, q = unit_interval(wrong, "the share of wrong labels"), residual
    if not 0 <= q < 1:
        raise SpecError(f"the residual share of wrong labels is {q}; it must lie in [0, 1)")
    return float("inf") if p == 0 else q / (1 - q) * (1 - p) / p
