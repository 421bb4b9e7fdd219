"""A multivariate normal law."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from autophage.data.arguments import array, frozen, vector, whole_number
from autophage.data.source import UnlimitedSource
from autophage.errors import SpecError
from autophage.keys import Key
from autophage.parts import Model


@dataclass(frozen=True, kw_only=True)
class GaussianSource(UnlimitedSource):
    """N(mean, cov) in `dim` dimensions; N(0, I) unless given. Records are mean + L z with L L' = cov.

    Raises `SpecError` when the shapes disagree or the covariance is not symmetric and positive definite.

    >>> GaussianSource(mean=[1, -1], cov=[[2, 0.5], [0.5, 1]]).dim
    2
    >>> GaussianSource().draw(5, key=Key(0), replicates=3).x.shape
    (3, 5, 1)
    """

    dim: int = 1
    """Numbers in one record; a longer `mean` or `cov` sets it."""
    mean: float | tuple[float, ...] | None = None
    """One number for every coordinate, or a list; zero unless given."""
    cov: float | tuple[float, ...] | tuple[tuple[float, ...], ...] | None = None
    """A number (times the identity), a list (the diagonal), or a matrix as a list of rows; I unless given."""

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(self.dim, "data.dim", least=1)
        mean = vector(0.0 if self.mean is None else self.mean, "data.mean")
        cov = array(1.0 if self.cov is None else self.cov, "data.cov")
        widths = {"data.mean": len(mean), "data.cov": cov.shape[0] if cov.ndim else 1}
        dim = self.dim if self.dim > 1 else max(widths.values())
        for key, width in widths.items():
            if width not in (1, dim):
                raise SpecError(
                    f"{key} is for {width} coordinates but the records have {dim}; make them agree"
                )
        if cov.ndim > 2 or (cov.ndim == 2 and (cov.shape[0] != cov.shape[1] or len(cov) != dim)):
            size = " x ".join(map(str, cov.shape))
            raise SpecError(f"data.cov is {size}; records of {dim} numbers need a {dim} x {dim} matrix")
        if cov.ndim == 2:
            if not np.allclose(cov, cov.T, rtol=1e-8, atol=1e-12 * np.abs(cov).max()):
                raise SpecError("data.cov is not symmetric; a covariance equals its transpose")
            least = float(np.linalg.eigvalsh(cov)[0])
        else:
            least = float(cov.min())
        if not least > 0:
            raise SpecError(
                f"data.cov is not positive definite (its smallest eigenvalue is {least:.3g}); "
                "every direction needs some variance"
            )
        for name, value in (("dim", dim), ("mean", frozen(self.mean)), ("cov", frozen(self.cov))):
            object.__setattr__(self, name, value)

    @cached_property
    def _law(self) -> tuple[np.ndarray, np.ndarray]:
        """The mean (d,), and the standard deviations (d,) or the lower square root (d, d)."""
        mean = np.broadcast_to(vector(0.0 if self.mean is None else self.mean, "data.mean"), (self.dim,))
        cov = array(1.0 if self.cov is None else self.cov, "data.cov")
        if cov.ndim < 2:
            return mean, np.broadcast_to(np.sqrt(cov), (self.dim,))
        return mean, np.linalg.cholesky(cov)

    @cached_property
    def truth(self) -> Model:
        from autophage.learners.gaussian import GaussianModel

        mean, root = self._law
        if root.ndim == 1:
            return GaussianModel(mean=mean[None].copy(), scale=root[None].copy())
        return GaussianModel(mean=mean[None].copy(), factor=root[None])

    def records(self, n: int, key: Key, replicates: int) -> tuple[np.ndarray, None]:
        mean, root = self._law
        z = key.generator().standard_normal((replicates, n, self.dim))
        return mean + (z * root if root.ndim == 1 else z @ root.T), None
