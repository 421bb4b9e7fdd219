"""A run's metric table as a course."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autophage.errors import DataError, SpecError
from autophage.verdicts.course import Course
from autophage.verdicts.wording import count, listed

if TYPE_CHECKING:
    import polars

COLUMNS = ("generation", "replicate", "agent", "metric", "value")
SETTINGS = ("risk", "diversity", "trivial")
RISKS = ("excess_risk", "squared_error", "frechet_model", "held_out_error", "-log_likelihood")
DISTANCES = ("frechet", "wasserstein", "sliced_wasserstein")
DIVERSITIES = ("variance", "sample_variance", "gini", "entropy", "distinct", "vendi")


def from_table(
    table: polars.DataFrame | Iterable[Mapping[str, Any] | Sequence[Any]],
    settings: Mapping[str, Any] | None = None,
    *,
    agent: str | None = None,
    scaling: Mapping[str, np.ndarray] | None = None,
    regime: str | None = None,
    bounds: str | None = None,
    bound_value: float | None = None,
) -> Course:
    """The course of one agent, from rows (generation, replicate, agent, metric, value).

    `settings` is the spec's `verdict` block. risk: a row's name, with a minus in front where higher is
    better; by default excess_risk, squared_error, frechet_model, held_out_error, -log_likelihood, a frechet row,
    wasserstein or sliced_wasserstein, the first that was measured. diversity: a name or a list of names; by
    default what is there of variance, sample_variance, gini, entropy, distinct and vendi. trivial: the
    trivial baseline's risk. Rows whose name carries settings (`tail_coverage_5`) are found by the metric's
    name.

    Replicates that miss a generation are left out and counted in `notes`, and so are those for which a
    metric other than the risk is undefined. Raises `DataError` for a table that holds no course,
    `SpecError` for settings that name what is not there.
    """
    import polars as pl

    chosen = {k: v for k, v in (settings or {}).items() if v is not None}
    if unknown := sorted(set(chosen) - set(SETTINGS)):
        raise SpecError(f"verdict has no key {unknown[0]!r}; it takes {', '.join(SETTINGS)}")
    reader = _Reader(table if isinstance(table, pl.DataFrame) else _frame(table), agent)
    risk_name = _risk(reader.names, chosen.get("risk"))
    negated = risk_name is not None and risk_name.startswith("-")
    risk = reader.read(risk_name.removeprefix("-"), undefined=True) if risk_name else None
    if negated and risk is not None:
        risk = -risk
    diversity = {name: reader.read(name) for name in _diversities(reader.names, chosen.get("diversity"))}
    real = reader.read(_row(reader.names, "valley_share_real"))
    return Course(
        generations=reader.generations,
        risk=risk,
        risk_name=f"negative {risk_name[1:]}" if risk_name and negated else risk_name or "risk",
        risk_zero=not negated,
        trivial=chosen.get("trivial"),
        diversity={k: v for k, v in diversity.items() if v is not None},
        modes={
            "overlap": reader.read(_row(reader.names, "mode_overlap")),
            "valley_share": reader.read(_row(reader.names, "valley_share")),
            "valley_real": None if real is None else float(real.mean()),
        },
        tail={
            "coverage": reader.read(_row(reader.names, "tail_coverage")),
            "mass_ratio": reader.read(_row(reader.names, "tail_mass_ratio")),
        },
        outside=reader.read(_row(reader.names, "outside_support")),
        scaling=scaling,
        regime=regime,
        bounds=bounds,
        bound_value=bound_value,
        notes=tuple(reader.notes),
    )


class _Reader:
    """One agent's rows as arrays (replicates, generations)."""

    def __init__(self, frame: polars.DataFrame, agent: str | None) -> None:
        import polars as pl

        if missing := [c for c in COLUMNS if c not in frame.columns]:
            raise DataError(f"the metric table lacks the column {missing[0]}; it needs {', '.join(COLUMNS)}")
        agents = frame["agent"].unique().sort().to_list()
        if agent is None and len(agents) > 1:
            raise SpecError(
                f"the table holds several agents ({', '.join(map(str, agents))}); judge one at a time"
            )
        if agent is not None and agent not in agents:
            raise SpecError(
                f"the table has no agent {agent!r}; it has {', '.join(map(str, agents)) or 'none'}"
            )
        self.frame = frame if agent is None else frame.filter(pl.col("agent") == agent)
        if not len(self.frame):
            raise DataError("the metric table is empty: nothing was measured, so nothing can be judged")
        self.names: list[str] = self.frame["metric"].unique(maintain_order=True).to_list()
        self.generations = self.frame["generation"].unique().sort().to_numpy()
        self.notes: list[str] = []
        reached = self.frame.group_by("replicate").agg(pl.col("generation").max()).sort("replicate")
        complete = reached.filter(pl.col("generation") == int(self.generations[-1]))
        self.replicates = complete["replicate"].to_numpy()
        if dropped := len(reached) - len(complete):
            self.notes.append(
                f"{dropped} of {count(len(reached), 'replicate')} ended before generation "
                f"{self.generations[-1]} and are left out: the verdicts speak of those that "
                "completed, which may be the better ones."
            )

    def read(self, name: str | None, undefined: bool = False) -> np.ndarray | None:
        """The metric's curves, or None where no replicate has it in every generation."""
        import polars as pl

        if name is None:
            return None
        rows = self.frame.filter(pl.col("metric") == name)
        out = np.full((len(self.replicates), len(self.generations)), np.nan)
        r = rows["replicate"].to_numpy()
        known = np.isin(r, self.replicates)
        r, g = np.searchsorted(self.replicates, r[known]), rows["generation"].to_numpy()[known]
        at = np.searchsorted(self.generations, g)
        if len(np.unique(r * len(self.generations) + at)) < len(r):
            raise DataError(f"the metric table holds {name} more than once for one replicate and generation")
        out[r, at] = rows["value"].cast(pl.Float64).fill_null(np.nan).to_numpy()[known]
        measured = np.zeros(out.shape, dtype=bool)
        measured[r, at] = True
        whole = measured.all(1) if undefined else np.isfinite(out).all(1)
        if not whole.any():
            self.notes.append(f"{name} was not measured in every generation, so it is not judged.")
            return None
        if lost := int((~whole).sum()):
            self.notes.append(
                f"{name} is undefined somewhere in {count(lost, 'replicate')}, left out for it."
            )
        return out[whole]


def _frame(rows: Iterable[Mapping[str, Any] | Sequence[Any]]) -> polars.DataFrame:
    import polars as pl

    listing = [r if isinstance(r, Mapping) else dict(zip(COLUMNS, r, strict=True)) for r in rows]
    if not listing:
        raise DataError("the metric table is empty: nothing was measured, so nothing can be judged")
    return pl.DataFrame({c: [r.get(c) for r in listing] for c in COLUMNS})


def _row(names: Sequence[str], metric: str) -> str | None:
    """The metric's row: its bare name, else the first that carries settings (but not another reference
    set)."""
    if metric in names:
        return metric
    others = (f"{metric}_real", f"{metric}_train")
    return next((n for n in names if n.startswith(metric + "_") and not n.startswith(others)), None)


def _risk(names: Sequence[str], chosen: str | None) -> str | None:
    if chosen is not None:
        if chosen.removeprefix("-") not in names:
            raise SpecError(
                f"verdict.risk is {chosen!r}, which was not measured; measured are {listed(names)}"
            )
        return chosen
    exact = next((r for r in RISKS if r.removeprefix("-") in names), None)
    return exact or next((row for d in DISTANCES if (row := _row(names, d)) is not None), None)


def _diversities(names: Sequence[str], chosen: str | Sequence[str] | None) -> list[str]:
    if chosen is None:
        rows = [_row(names, d) for d in DIVERSITIES if not (d == "sample_variance" and "variance" in names)]
        return [r for r in rows if r is not None]
    asked = [chosen] if isinstance(chosen, str) else list(chosen)
    if absent := [a for a in asked if a not in names]:
        raise SpecError(
            f"verdict.diversity is {absent[0]!r}, which was not measured; measured are {listed(names)}"
        )
    return asked
