"""Grey pictures drawn from a Gaussian field, whose every conditional law is known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from autophage.data.arguments import positive, whole_number
from autophage.data.source import Picture, UnlimitedSource
from autophage.errors import SpecError
from autophage.keys import Key
from autophage.parts import Model


@dataclass(frozen=True, kw_only=True)
class GaussianFieldSource(UnlimitedSource):
    """Pictures of side x side pixels, N(0, S) with S_ij = variance * correlation^(|row_i - row_j| + |column_i - column_j|).

    S is the Kronecker product of two covariances of autoregressions of order one, so a picture costs two small products.

    >>> GaussianFieldSource(side=4).draw(5, key=Key(0)).x.shape
    (1, 5, 16)
    >>> round(float(GaussianFieldSource(side=4, correlation=0.5).covariance()[0, 5]), 3)
    0.25
    """

    side: int = 8
    """Pixels in a row, and rows."""
    correlation: float = 0.8
    """Of two neighbouring pixels, in [0, 1): the larger, the smoother the pictures."""
    variance: float = 1.0
    """Of a pixel."""

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(self.side, "data.side", least=1)
        positive(self.variance, "data.variance")
        if isinstance(self.correlation, bool) or not 0 <= self.correlation < 1:
            raise SpecError(f"data.correlation is {self.correlation!r}; it must lie in [0, 1)")

    @property
    def dim(self) -> int:
        return self.side**2

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.side, self.side)

    @property
    def kind_of_picture(self) -> Picture | None:
        return "image"

    @cached_property
    def _line(self) -> np.ndarray:
        """The correlation matrix of a row of pixels."""
        at = np.arange(self.side)
        return self.correlation ** np.abs(at[:, None] - at).astype(np.float64)

    def covariance(self) -> np.ndarray:
        """The covariance (d, d) of a picture's pixels, row by row."""
        return self.variance * np.kron(self._line, self._line)

    @cached_property
    def truth(self) -> Model:
        from autophage.learners.gaussian import GaussianModel

        root = np.linalg.cholesky(self._line)
        factor = np.sqrt(self.variance) * np.kron(root, root)
        return GaussianModel(mean=np.zeros((1, self.dim)), factor=factor[None])

    def records(self, n: int, key: Key, replicates: int) -> tuple[np.ndarray, None]:
        root = np.linalg.cholesky(self._line)
        z = key.generator().standard_normal((replicates, n, self.side, self.side))
        return (np.sqrt(self.variance) * (root @ z @ root.T)).reshape(replicates, n, -1), None
