"""A sweep over sizes as the evidence of D4: a change in scaling law."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from autophage.errors import SpecError
from autophage.verdicts.course import Course, Thresholds
from autophage.verdicts.scaling import scaling

if TYPE_CHECKING:
    from autophage.sweeps.sweep import Sweep
    from autophage.verdicts import Verdict

RISKS = ("excess_risk", "squared_error", "frechet_model", "squared_mean_error")


def scaling_verdict(swept: Sweep, risk: str | None = None) -> Verdict:
    """Risks of generation 0, fitted to n real records, against those of the last generation, fitted to n records of the
    mixture, over the sizes n of the grid.

    Raises `SpecError` where the sweep does not hold such curves: more than one key, sizes that are not numbers, no
    risk, replicates that were not kept, or training sets of different sizes.
    """
    import polars as pl

    if len(swept.axes) != 1 or swept.axes[0].numbers is None:
        raise SpecError(
            "a scaling verdict needs a sweep over one size, for example workflow.sample_size=10:1000:8:log"
        )
    if risk is None:
        risk = next((r for r in RISKS if r in swept.metrics), None)
        if risk is None:
            raise SpecError(f"a scaling verdict needs a risk; measure one of {', '.join(RISKS)}")
    sizes = np.array([_size(swept, cell) for cell in range(swept.grid.size)])
    rows = swept.cells.filter((pl.col("metric") == risk) & (pl.col("agent") == swept.agents[0]))
    curves = []
    for last in (False, True):
        end = pl.col("generation").max() if last else pl.lit(0)
        at = rows.filter(pl.col("generation") == end.over("cell") if last else pl.col("generation") == 0)
        values = at["values"].to_list()
        if len(values) != len(sizes) or any(v is None for v in values):
            raise SpecError(
                f"a scaling verdict needs every replicate's {risk} in generation 0 and the last, in every cell"
            )
        curves.append(np.array(values, dtype=np.float64).T)
    order = np.argsort(sizes)
    kept = np.isfinite(curves[0]).all(axis=1) & np.isfinite(curves[1]).all(axis=1)
    evidence = {"sizes": sizes[order], "real": curves[0][kept][:, order], "mixed": curves[1][kept][:, order]}
    generations = max(swept.work.first.generations, 3)
    return scaling(Course(generations=np.arange(generations), scaling=evidence), Thresholds())


def _size(swept: Sweep, cell: int) -> int:
    """Training records of generation 0, the same as the last generation's."""
    from autophage.loop import Loop

    loop = Loop(swept.grid.spec(cell))
    name = next(iter(loop.agents))
    first = loop.real[name]
    plan = loop.plan(name, loop.spec.generations - 1)
    if plan is None:
        raise SpecError("a scaling verdict needs two generations or more")
    if plan.size is not None:
        last = plan.size
    else:
        sizes = [first, *(loop.plan(name, t).new for t in range(1, loop.spec.generations))]  # type: ignore[union-attr]
        last = sum(
            row.count
            if row.count is not None
            else first
            if row.origin == "real"
            else sum(sizes[row.first + 1 : row.last + 2])
            for row in plan.rows
        )
    if last != first:
        raise SpecError(
            f"in the cell {swept.grid.name(cell)} generation 0 trains on {first} records and the last one on {last}; a "
            "scaling verdict compares equal sizes: sweep workflow.sample_size of replace, fresh, keep_real or "
            "accumulate_subsample"
        )
    return first
