"""The law of a user's own data, for theory to start from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autophage.data.table import TableSource
from autophage.errors import SpecError


def from_table(
    path: str | Path,
    column: str | None = None,
    label: str | None = None,
    columns: Sequence[str] | None = None,
) -> tuple[dict[str, Any], int]:
    """(keys, rows): the data and learner of a spec whose law is the table's.

    One categorical `column` gives its frequencies; `label` a linear regression of that column on the numeric
    others, its spectrum, signal and residual noise; otherwise numeric columns give a Gaussian of their mean and
    covariance. Raises `SpecError` or `DataError` where the columns do not serve.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "t.csv"
    >>> _ = file.write_text("word\\n" + "\\n".join("aaabbcaabc"))
    >>> keys, rows = from_table(file, column="word")
    >>> keys["data"]["probabilities"], keys["learner"], rows
    ([0.5, 0.3, 0.2], {'kind': 'categorical'}, 10)
    """
    if column is not None and (label is not None or columns is not None):
        raise SpecError("name one column, or columns and a label, not both")
    if label is not None and columns is not None and label not in columns:
        columns = (*columns, label)
    chosen = (column,) if column is not None else None if columns is None else tuple(columns)
    source = TableSource(path=str(path), columns=chosen)
    x = np.concatenate([source.train().flat(), source.reference().flat()])
    if label is not None:
        return _regression(source, x, label), len(x)
    if len(source.layout) == 1 and source.layout[0].levels is not None:
        frequencies = np.sort(x.mean(axis=0))[::-1]
        return {
            "data": {"kind": "categorical", "probabilities": (frequencies / frequencies.sum()).tolist()},
            "learner": {"kind": "categorical"},
        }, len(x)
    _numeric(source)
    return {
        "data": {
            "kind": "gaussian",
            "mean": x.mean(axis=0).tolist(),
            "cov": np.cov(x.T).reshape(x.shape[1], -1).tolist(),
        }
        | {"dim": x.shape[1]},
        "learner": {"kind": "gaussian"},
    }, len(x)


def _numeric(source: TableSource) -> None:
    numeric = [c.name for c in source.layout if c.levels is None]
    for c in source.layout:
        if c.levels is not None:
            rest = (
                f", or for numeric ones only (columns={','.join(numeric)})" if 0 < len(numeric) <= 12 else ""
            )
            raise SpecError(
                f"column '{c.name}' is categorical among others; plan for it alone (column={c.name}){rest}"
            )
    if source.constant_columns:
        raise SpecError(
            f"column '{source.constant_columns[0]}' is constant and has no law to plan for; leave it out"
        )


def _regression(source: TableSource, x: np.ndarray, label: str) -> dict[str, Any]:
    names = [c.name for c in source.layout]
    if label not in names:
        raise SpecError(f"there is no column '{label}' to take labels from; there are {', '.join(names)}")
    _numeric(source)
    at = names.index(label)
    y, inputs = x[:, at] - x[:, at].mean(), np.delete(x, at, axis=1)
    inputs = inputs - inputs.mean(axis=0)
    n, d = inputs.shape
    if n <= d + 1:
        raise SpecError(
            f"{n} rows cannot tell the noise of a regression on {d} columns; at least {d + 2} are needed"
        )
    spectrum, basis = np.linalg.eigh(inputs.T @ inputs / n)
    if not spectrum[0] > 1e-12 * spectrum[-1]:
        raise SpecError("the numeric columns are linearly dependent; leave one of them out")
    rotated = inputs @ basis
    signal = (rotated.T @ y) / (n * spectrum)
    residual = y - rotated @ signal
    noise = float(np.sqrt(residual @ residual / (n - d)))
    return {
        "data": {
            "kind": "regression",
            "dim": d,
            "spectrum": spectrum[::-1].tolist(),
            "signal": signal[::-1].tolist(),
            "noise": noise,
        },
        "learner": {"kind": "regression"},
    }
