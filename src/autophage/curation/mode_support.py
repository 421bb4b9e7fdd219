"""The support of a law of separate modes: balls, or ellipsoids, about their centres (Aithal et al. 2024).

A record is beyond the modes when it lies in none of them; it is between modes when it also lies within the tube of one radius about
the segment that joins the two centres nearest to it. Distances are |(x - c) R|, R (d, d) such that the support's edge is at 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from autophage.data.arguments import array, positive
from autophage.errors import SpecError

DEVIATIONS = 6.0
"""Standard deviations of a mode beyond which a record is out of its support: of a Gaussian in one dimension 2e-9 lie there."""


class ModeSupport:
    """Modes with centres (K, d) and `roots` (K, d, d) or (1, d, d), by which a difference from the centre is multiplied.

    >>> support = ModeSupport.of_balls(np.array([[1.0], [2.0], [3.0]]), 0.3)
    >>> x = np.array([[1.2], [1.5], [0.5]])
    >>> support.beyond(x).tolist(), support.between(x).tolist()
    ([False, True, True], [False, True, False])
    """

    def __init__(self, centres: np.ndarray, roots: np.ndarray) -> None:
        self.centres, self.roots = centres, roots

    @staticmethod
    def of_balls(centres: np.ndarray, radius: float) -> ModeSupport:
        """All that lies within `radius` of a centre."""
        return ModeSupport(centres, np.eye(centres.shape[1])[None] / radius)

    @staticmethod
    def of_truth(truth: Any, deviations: float = DEVIATIONS) -> ModeSupport | None:
        """The components of a true Gaussian mixture, as far as so many standard deviations; None for another law."""
        if not all(hasattr(truth, part) for part in ("weights", "means", "covariances")):
            return None
        values, vectors = np.linalg.eigh(truth.covariances[0])
        if not (values > 0).all():
            return None
        return ModeSupport(truth.means[0], vectors / (deviations * np.sqrt(values))[..., None, :])

    @staticmethod
    def of_settings(
        given: Mapping[str, Any], dim: int | None = None, key: str = "curation.support"
    ) -> ModeSupport:
        """From `{centres: [[..], ..], radius: r}`. Raises `SpecError`, naming the key, for anything else, and for centres of
        another dimension than `dim`."""
        if not isinstance(given, Mapping) or set(given) != {"centres", "radius"}:
            raise SpecError(
                f"{key} takes centres and radius, such as {{centres: [[1], [2]], radius: 0.3}}; got {given!r}"
            )
        centres = array(given["centres"], f"{key}.centres")
        centres = centres[:, None] if centres.ndim == 1 else centres
        positive(given["radius"], f"{key}.radius")
        if centres.ndim != 2 or not len(centres) or not np.isfinite(centres).all():
            raise SpecError(f"{key}.centres must be a list of points, each a list of finite numbers")
        if dim is not None and centres.shape[1] != dim:
            raise SpecError(f"{key}.centres are points of {centres.shape[1]} numbers; records have {dim}")
        return ModeSupport.of_balls(centres, float(given["radius"]))

    def distances(self, x: np.ndarray) -> np.ndarray:
        """(n, K): how far records (n, d) are from each centre; 1 is the edge of the support."""
        roots = np.broadcast_to(self.roots, (len(self.centres), *self.roots.shape[1:]))
        return np.stack(
            [np.linalg.norm((x - c) @ R, axis=1) for c, R in zip(self.centres, roots, strict=True)], axis=1
        )

    def beyond(self, x: np.ndarray) -> np.ndarray:
        """(n,) True for the records (n, d) in no mode."""
        return np.asarray((self.distances(x) > 1).all(axis=1))

    def between(self, x: np.ndarray) -> np.ndarray:
        """(n,) True for those beyond the modes that lie between the two nearest ones."""
        distances = self.distances(x)
        if len(self.centres) < 2:
            return np.zeros(len(x), dtype=bool)
        first, second = np.argsort(distances, axis=1, kind="stable")[:, :2].T
        way = self.centres[second] - self.centres[first]
        share = ((x - self.centres[first]) * way).sum(axis=1) / (way**2).sum(axis=1)
        off = x - self.centres[first] - share[:, None] * way
        roots = self.roots[first if len(self.roots) > 1 else np.zeros_like(first)]
        near = np.linalg.norm(np.einsum("ni,nij->nj", off, roots), axis=1) <= 1
        return np.asarray((distances > 1).all(axis=1) & (share > 0) & (share < 1) & near)
