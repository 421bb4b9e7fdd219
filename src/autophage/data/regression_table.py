"""A regression's data from a table: numeric columns, one of them the label."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from autophage.data.arguments import frozen, not_negative
from autophage.data.files import locate
from autophage.data.frames import known_columns, read_frame, table_suffix, typed
from autophage.data.source import FiniteSource, Picture, Records
from autophage.errors import DataError, SpecError
from autophage.parts import Domain
from autophage.samples import Samples

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, kw_only=True)
class RegressionTableSource(FiniteSource):
    """Rows of a csv, tsv (also .gz) or parquet file as pairs: the numeric columns, and the numeric column `target`.

    A record holds the inputs in the order of the columns and the label last, standardised unless told otherwise. There is
    no intercept, so a table whose columns are not centred is better standardised. Raises `SpecError` when a setting names
    a column that is not there, `DataError` for missing cells, text, or a label that never changes.
    """

    domain: ClassVar[Domain] = "pairs"
    outputs: ClassVar[int] = 1

    path: str
    """The file, as it is or below the folder that AUTOPHAGE_DATA names."""
    target: str
    """The column that is the label."""
    columns: tuple[str, ...] | None = None
    """The columns that are inputs; all the others unless given."""
    standardise: bool = True
    """Centre every column on the mean of the training part and divide it by its standard deviation there, the label too."""
    noise: float | None = None  # type: ignore[assignment]
    """Standard deviation of the noise on labels that models make, in the label's units after standardising. Default: that of
    the residuals of a least squares fit of the training part, n - d degrees of freedom."""
    separator: str | None = None
    """What separates the cells of a text file; a comma, or a tab in .tsv, unless given."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.columns, str):
            raise SpecError(
                f"data.columns is the text '{self.columns}'; it must be a list, as [{self.columns}]"
            )
        if self.columns is not None and self.target in self.columns:
            raise SpecError(
                f"data.columns holds data.target '{self.target}'; a label cannot be its own input"
            )
        if self.columns is not None and not (self.columns and len(set(self.columns)) == len(self.columns)):
            raise SpecError("data.columns must name at least one column, and each once")
        if self.noise is not None:
            not_negative(self.noise, "data.noise")
        object.__setattr__(self, "path", str(self.path))
        object.__setattr__(self, "columns", frozen(self.columns))
        if self.noise is None:
            object.__setattr__(self, "noise", self.residual)

    @property
    def dim(self) -> int:
        return self.train().x.shape[1] - 1

    @property
    def kind_of_picture(self) -> Picture:
        return "table"

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of a record."""
        return self._read[1]

    @property
    def trivial_risks(self) -> dict[str, float]:
        """The risk of a model that always answers zero, by the metric's name."""
        return {"held_out_error": float((self.reference().x[:, -1] ** 2).mean())}

    @cached_property
    def residual(self) -> float:
        """Standard deviation of the training labels about their least squares fit."""
        x, y = self.train().x[:, :-1], self.train().x[:, -1]
        n, d = x.shape
        if n <= d:
            raise SpecError(
                f"{n} training rows cannot tell the noise of a regression on {d} columns; give data.noise"
            )
        rest = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
        return float(np.sqrt(rest @ rest / (n - d)))

    @cached_property
    def _scaled(self) -> tuple[Samples, Samples]:
        parts: Any = self._split
        train, reference = np.asarray(parts[0].x), np.asarray(parts[1].x)
        if train.shape[1] > 1 and (train[:, -1] == train[0, -1]).all():
            raise DataError(f"data.target '{self.target}' never changes; there is nothing to predict")
        if not self.standardise:
            return parts[0], parts[1]
        middle, scale = train.mean(axis=0), train.std(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        return Samples.of((train - middle) / scale), Samples.of((reference - middle) / scale)

    def train(self) -> Samples:
        return self._scaled[0]

    def reference(self) -> Samples:
        return self._scaled[1]

    def decode(self, x: np.ndarray, label: np.ndarray | None = None) -> pl.DataFrame:
        """Records (n, d + 1) as rows, in the table's own units."""
        import polars as pl

        x = np.asarray(x, dtype=np.float64)
        if self.standardise:
            train = np.asarray(self._split[0].x)
            scale = train.std(axis=0)
            x = x * np.where(scale > 0, scale, 1.0) + train.mean(axis=0)
        return pl.DataFrame({name: x[:, i] for i, name in enumerate(self.names)})

    def load(self) -> Records:
        x, _, origin = self._read
        return Records(x, None, origin)

    @cached_property
    def _read(self) -> tuple[np.ndarray, tuple[str, ...], str]:
        import polars as pl

        path = locate(self.path)
        frame = read_frame(path, separator=self.separator)
        known_columns((self.target,), frame, "data.target")
        known_columns(self.columns or (), frame, "data.columns")
        names = [*(self.columns or [n for n in frame.columns if n != self.target]), self.target]
        if len(names) < 2:
            raise SpecError(f"data.target is the only column of {path}; there is nothing to predict it from")
        frame = typed(
            frame.select(names), missing=(), categories=(), inferred=table_suffix(path) != ".parquet"
        )
        for column in frame:
            if not column.dtype.is_numeric():
                raise DataError(
                    f"column '{column.name}' of {path} holds text; a regression takes numeric columns: name them in "
                    "data.columns"
                )
            if column.null_count():
                row = column.is_null().arg_true()[0] + 1
                raise DataError(
                    f"column '{column.name}' of {path} has no value in row {row}; fill it in, or leave the column out "
                    "with data.columns"
                )
        return frame.cast(pl.Float64).to_numpy(), tuple(names), str(path)
