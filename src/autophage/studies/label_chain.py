"""A chain of regressions, each fitted to labels that the one before it made (Dohmatob, Feng & Kempe 2024).

Generator m draws new inputs, has them labelled by w_m with noise sigma_m and fits w_{m+1}; w_0 is the truth. The last stage is
the downstream fit, judged on real data without noise. This is not a loop of one learner: the stages may differ in rows,
penalty and noise. Theory beside it: `theory.regression_chain`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autophage.errors import SpecError
from autophage.keys import Key
from autophage.studies.designs import Design, chunks, fits, whole_rows
from autophage.theory.arguments import at_least
from autophage.theory.regression_chain import Stage, check_threshold, test_error
from autophage.theory.regression_spectra import directions


@dataclass(frozen=True)
class LabelErrors:
    """Errors of the downstream fit, for each of K penalties."""

    ridges: np.ndarray
    """(K,)"""
    errors: np.ndarray
    """(R, K) sum_j s_j (w_j - w0_j)^2, without label noise."""
    theory: np.ndarray
    """(K,) what theory says of their mean."""

    @property
    def mean(self) -> np.ndarray:
        """(K,)"""
        return self.errors.mean(axis=0)

    @property
    def standard_error(self) -> np.ndarray:
        """(K,) of the mean; not a number with one replicate."""
        if len(self.errors) < 2:
            return np.full(self.errors.shape[1], np.nan)
        return self.errors.std(axis=0, ddof=1) / np.sqrt(len(self.errors))

    @property
    def flagged(self) -> np.ndarray:
        """(K,) True where theory misses the mean by more than four standard errors and by more than 3 %."""
        away = np.abs(self.mean - self.theory)
        return (away > 4 * self.standard_error) & (away > 0.03 * np.abs(self.theory))


def simulate(
    spectrum: Any,
    signal: Any,
    stages: Sequence[Stage],
    *,
    replicates: int,
    key: Key | int,
    ridges: Any = None,
) -> LabelErrors:
    """R independent chains at once.

    spectrum, signal (d,): eigenvalues of the inputs' covariance and true weights along them. stages: the generators, then the
    downstream fit. ridges (K,): penalties to give the downstream fit in turn, on the same draws, instead of its own. A fit
    costs the same for any number of rows (see `designs`). Raises `SpecError` at the interpolation threshold without a penalty,
    where the error has no finite mean.

    >>> found = simulate([1.0] * 10, [0.3] * 10, [Stage(40, noise=0.5), Stage(30, noise=0.5)], replicates=2000, key=0)
    >>> found.errors.shape, bool(abs(found.mean[0] / (0.25 * (10 / 29 + 10 / 19)) - 1) < 0.08)
    ((2000, 1), True)
    """
    key = key if isinstance(key, Key) else Key(key)
    s, w0 = directions(spectrum, signal)
    if not stages:
        raise SpecError("a chain needs at least one stage: the downstream fit")
    last = stages[-1]
    grid = np.atleast_1d(np.asarray(last.ridge if ridges is None else ridges, dtype=np.float64))
    if grid.ndim != 1 or not len(grid):
        raise SpecError("ridges must be a list of penalties")
    every = [*stages[:-1], *(replace(last, ridge=float(at_least(r, 0, "a ridge"))) for r in grid)]
    for stage in every:
        check_threshold(stage, len(s))
        whole_rows(stage.rows)
    designs = [Design(s, stage.rows, key / "stage" / m) for m, stage in enumerate(stages)]
    errors = np.empty((int(replicates), len(grid)))
    for part in chunks(replicates, len(s) * max(d.count for d in designs)):
        count = part.stop - part.start
        w = np.broadcast_to(w0, (count, len(s)))
        for stage, design in zip(stages[:-1], designs[:-1], strict=True):
            w = _fitted(design, w, stage, np.array([stage.ridge]))[:, 0]
        found = _fitted(designs[-1], w, last, grid)
        errors[part] = (found - w0) ** 2 @ s
    theory = [test_error(s, w0, [*stages[:-1], stage]) for stage in every[len(stages) - 1 :]]
    return LabelErrors(grid, errors, np.array(theory))


def _fitted(design: Design, w: np.ndarray, stage: Stage, ridges: np.ndarray) -> np.ndarray:
    """Each replicate's fit (r, K, d) to new labels of its w (r, d)."""
    B, noise = design.draw(len(w))
    labels = (w[:, None] @ B)[:, 0] + stage.noise * noise
    return fits(B, labels, stage.rows * ridges)
