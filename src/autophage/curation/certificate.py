"""The certificate of a filter: whether it contracts, on a region that is named (Han et al. 2025; quadrature derived).

For every standardised error delta with low <= |delta| <= high the pull is the mean of z among what the filter keeps, and

    c_min = min 1 - (delta + pull(delta))^2 / delta^2.

A filter with c_min <= 0 moves some error in the region away from the anchor, and is not called contractive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from autophage.curation.family import Law, Normal
from autophage.errors import SpecError

GRID = 61
"""Errors on each side of the anchor."""

Weight = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(z, delta) -> acceptance or weight, broadcast against each other."""
Response = Callable[[np.ndarray, Law], tuple[np.ndarray, np.ndarray]]
"""(delta (m,), law) -> the pull (m,) and the share that is kept (m,)."""


@dataclass(frozen=True)
class Certificate:
    """What quadrature says of a filter on a region."""

    contraction: float
    """c_min."""
    pull_at_zero: float
    """How far the filter moves a model that is right already; the fixed point is off by about this over its slope."""
    acceptance: tuple[float, float]
    """The least and the greatest share that is kept (of weights: the effective one), over the region and zero."""
    region: tuple[float, float]
    """Distances from the anchor, in standard deviations of a record."""
    law: str
    """What the statistic was taken to be: "normal" or "poisson"."""

    @property
    def contractive(self) -> bool:
        """Whether the label is given."""
        return self.contraction > 0

    @property
    def label(self) -> str:
        """The label in one sentence."""
        low, high = self.region
        where = f"errors of {low:g} to {high:g} standard deviations ({self.law} statistic)"
        if self.contractive:
            return f"contractive: c = {self.contraction:.3g} for {where}"
        return f"not contractive on the requested region: c = {self.contraction:.3g} for {where}"


def check_region(region: tuple[float, float]) -> tuple[float, float]:
    """The region as two floats. Raises `SpecError` unless 0 < low < high < infinity."""
    ends = tuple(float(end) for end in region)
    if len(ends) != 2 or not 0 < ends[0] < ends[1] < np.inf:
        raise SpecError(
            f"curation.region is {list(region)}; it must be [low, high] with 0 < low < high, the distances at which a filter "
            "is certified"
        )
    return ends[0], ends[1]


def by_quadrature(weight: Weight, accepts: bool = True) -> Response:
    """The response of a weight function: Gauss-Hermite nodes for a normal law, all counts for a Poisson one.

    accepts: the weights are acceptance probabilities, and their mean is the share kept; otherwise that is (E w)^2/E w^2.
    A filter that jumps needs a closed form instead: quadrature nodes lie 0.2 apart.
    """

    def response(delta: np.ndarray, law: Law) -> tuple[np.ndarray, np.ndarray]:
        z, mass = law.nodes(delta)
        w = weight(z, delta[:, None])
        total = (w * mass).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            pull = (w * z * mass).sum(axis=1) / total
            share = total if accepts else total**2 / (w**2 * mass).sum(axis=1)
        return pull, share

    return response


def certify(
    response: Response, region: tuple[float, float] = (0.3, 3.0), law: Law | None = None
) -> Certificate:
    """The certificate of a filter, given as its response; `by_quadrature(weight)` makes one from any weight function.

    Raises `SpecError` for a bad region. A pull that is not finite somewhere (nothing is kept) gives c_min = -inf.

    >>> certify(by_quadrature(lambda z, delta: 1 / (1 + np.exp(0.5 * delta * z)))).label
    'contractive: c = 0.32... for errors of 0.3 to 3 standard deviations (normal statistic)'
    """
    low, high = check_region(region)
    taken: Law = law or Normal()
    side = np.linspace(low, high, GRID)
    delta = np.concatenate([-side[::-1], [0.0], side])
    pull, share = response(delta, taken)
    outside = delta != 0
    with np.errstate(invalid="ignore"):
        rates = 1 - ((delta + pull)[outside] / delta[outside]) ** 2
    found = bool(np.isfinite(pull).all() and np.isfinite(share).all())
    return Certificate(
        contraction=float(rates.min()) if found else -np.inf,
        pull_at_zero=float(pull[~outside][0]),
        acceptance=(float(share.min()), float(share.max())) if found else (0.0, 1.0),
        region=(low, high),
        law=taken.name,
    )
