"""Kernel density estimation with a Gaussian kernel.

    p(x) = (1/N) sum_i N(x; c_i, h^2 I),   c_i the N records, h the bandwidth

With a fixed bandwidth a self-consuming loop of it inflates, the opposite of Gaussian refitting: fully
synthetic, the records' expected variance obeys V' = (V + h^2)(1 - 1/n) and tends to (n - 1) h^2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np

from autophage.data.arguments import positive
from autophage.errors import DataError, FitFailed, SpecError
from autophage.keys import Key
from autophage.learners.kernel_sums import KernelSums
from autophage.parts import Learner, Model, require_finite
from autophage.samples import Batch, Samples


class KDEModel(Model):
    """Kernels of width `bandwidth` (1,) or (R,) about the records of all `segments`, arrays (R or 1, n_j, d).

    A segment of one replicate stands for every one. `record_variances` are those of the records (divisor
    N), of which the recursion V' = (V + h^2)(1 - 1/n) speaks; `variances` are those of the estimated law,
    h^2 more.
    """

    def __init__(
        self,
        segments: Sequence[np.ndarray],
        bandwidth: np.ndarray,
        replicates: int | None = None,
        sums: KernelSums | None = None,
    ) -> None:
        self.segments = tuple(segments)
        self.bandwidth = bandwidth
        self.replicates = replicates or max(len(bandwidth), *(len(s) for s in self.segments))
        self._sums = sums if sums is not None else KernelSums()

    @property
    def dim(self) -> int:
        return self.segments[0].shape[2]

    @cached_property
    def count(self) -> int:
        """N, the number of records (centres)."""
        return sum(s.shape[1] for s in self.segments)

    @cached_property
    def mean(self) -> np.ndarray:
        """(R, d): the mean of the records and of the estimated law."""
        total = sum(s.sum(axis=1, dtype=np.float64) for s in self.segments)
        return np.broadcast_to(total / self.count, (self.replicates, self.dim))

    @cached_property
    def record_variances(self) -> np.ndarray:
        """(R, d): the variances of the records, divisor N."""
        squares = sum(
            s.shape[1]
            * (s.var(axis=1, dtype=np.float64) + (s.mean(axis=1, dtype=np.float64) - self.mean) ** 2)
            for s in self.segments
        )
        return squares / self.count

    @property
    def variances(self) -> np.ndarray:
        """(R, d): the variances of the estimated law, `record_variances` + h^2."""
        return self.record_variances + self.bandwidth[:, None] ** 2

    def covariance(self) -> np.ndarray:
        """(R, d, d): the covariance of the estimated law."""
        scatter: np.ndarray | float = 0.0
        for s in self.segments:
            gap = s - self.mean[:, None]
            scatter = scatter + np.swapaxes(gap, 1, 2) @ gap
        return scatter / self.count + self.bandwidth[:, None, None] ** 2 * np.eye(self.dim)

    def sample(self, n: int, *, key: Key, given: Samples | None = None) -> Batch:
        """A record chosen with replacement, plus h N(0, I)."""
        R, d = self.replicates, self.dim
        chosen = (key / "centre").generator().integers(self.count, size=(R, n)).ravel()
        x = (key / "noise").generator().standard_normal((R, n, d))
        x *= self.bandwidth[:, None, None]
        flat = x.reshape(R * n, d)
        starts = np.cumsum([0, *(s.shape[1] for s in self.segments)])
        number = (np.searchsorted(starts, chosen, side="right") - 1).astype(np.uint16)
        order = np.argsort(number, kind="stable")
        borders = np.searchsorted(number[order], np.arange(len(starts)))
        for s, segment in enumerate(self.segments):
            rows = order[borders[s] : borders[s + 1]]
            flat[rows] += segment[rows // n if len(segment) > 1 else 0, chosen[rows] - starts[s]]
        return Batch.of(x)

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """(R, m) for records x (m, d) shared by all replicates, or (R, m, d).

        Asked again for the same x after the pile has grown, it costs the new segments only.
        """
        x = np.asarray(x, dtype=np.float64)
        logs = self._sums.log_sums(self.segments, x, self.bandwidth)
        norm = np.log(self.count) + self.dim * (0.5 * np.log(2 * np.pi) + np.log(self.bandwidth))
        return np.broadcast_to(logs - norm[:, None], (self.replicates, x.shape[-2]))

    def spread(self, replicates: int) -> KDEModel:
        return KDEModel(self.segments, self.bandwidth, replicates, self._sums)

    def arrays(self) -> dict[str, np.ndarray]:
        centres = {f"centres{i}": np.ascontiguousarray(s) for i, s in enumerate(self.segments)}
        return {"bandwidth": self.bandwidth, "replicates": np.array(self.replicates), **centres}


@dataclass(frozen=True, kw_only=True)
class KDE(Learner):
    """A Gaussian kernel about every record, with one bandwidth for all directions.

    Fits a `Batch`, or several end to end without joining them. Raises `FitFailed` when there is no record, or
    when equal records leave Scott's rule no width.

    >>> model = KDE(bandwidth=0.5).fit(Batch.of(np.array([[[0.0], [2.0]]])), key=Key(0))
    >>> model.record_variances.tolist(), model.variances.tolist()
    ([[1.0]], [[1.25]])
    """

    batched: ClassVar[bool] = True
    segmented: ClassVar[bool] = True
    has_log_prob: ClassVar[bool] = True
    citation: ClassVar[tuple[str, ...]] = ()

    bandwidth: float | Literal["scott"] = "scott"
    """The kernel's standard deviation, the same in every generation; or `scott` (1992): N^(-1/(d+4)) times
    the records' standard deviation (root mean square over the coordinates), chosen anew in every fit."""

    def __post_init__(self) -> None:
        if isinstance(self.bandwidth, str):
            if self.bandwidth != "scott":
                raise SpecError(f"learner.bandwidth is '{self.bandwidth}'; it must be a number or `scott`")
        else:
            positive(self.bandwidth, "learner.bandwidth")
        object.__setattr__(self, "_sums", KernelSums())  # memory, not a setting: no field

    def smallest(self, dim: int) -> int:
        return 2 if self.bandwidth == "scott" else 1

    def fit(self, data: Batch | Sequence[Batch], *, start: Model | None = None, key: Key) -> KDEModel:
        batches = [data] if isinstance(data, Batch) else data
        segments = [_records(b) for b in batches if len(b)]
        count = sum(s.shape[1] for s in segments)
        if count < self.smallest(0):
            raise FitFailed(
                f"a kernel density estimate needs {self.smallest(0)} or more records, got {count}"
            )
        if self.bandwidth != "scott":
            return self._model(segments, np.array([float(self.bandwidth)]))
        plain = self._model(segments, np.ones(1))
        h = count ** (-1 / (plain.dim + 4)) * np.sqrt(
            plain.record_variances.mean(axis=1) * count / (count - 1)
        )
        if not (h > 0).all():
            raise FitFailed("all records are equal, so Scott's rule gives no bandwidth")
        return self._model(segments, h)

    def restore(self, arrays: Mapping[str, np.ndarray]) -> KDEModel:
        segments = [arrays[f"centres{i}"] for i in range(sum(k.startswith("centres") for k in arrays))]
        return self._model(segments, arrays["bandwidth"]).spread(int(arrays["replicates"]))

    def _model(self, segments: Sequence[np.ndarray], bandwidth: np.ndarray) -> KDEModel:
        return KDEModel(segments, bandwidth, sums=self.__dict__["_sums"])


def _records(batch: Batch) -> np.ndarray:
    """(R, n, d), the batch's own array where it has that shape already."""
    x = batch.x if batch.x.dtype.kind == "f" else batch.x.astype(np.float64)
    if x.ndim < 3:
        raise DataError(f"a kernel density estimate takes vectors, got records of shape {x.shape[2:]}")
    return require_finite(x if x.ndim == 3 else x.reshape(*x.shape[:2], -1), "the training set")
