"""What a reader of a run must be told besides its numbers: replicates that stopped, and courses that mislead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from autophage.ecosystem import AgentSpec, root

if TYPE_CHECKING:
    import polars

    from autophage.runs.run import Run

ALIGNMENTS = ("judge_alignment", "cosine_alignment", "self_consistency")
"""What rows begin with that say how well descriptions fit."""
LEAST_ALIGNED = 0.005
"""A rise of alignment that is worth a word."""
LEAST_QUALITY = 0.05
"""The same of a Fréchet distance, as a share of where it began."""
MOST = 10
"""Stopped replicates that are named one by one."""


def remarks(run: Run) -> list[str]:
    """All that there is to say, each in a sentence."""
    said = misleading(run.metrics, run.spec.agents)
    return [*stopped(run.stops), *([] if said is None else [said])]


def stopped(stops: Mapping[int, Mapping[str, Any]]) -> list[str]:
    """Which replicates a stop rule ended, when and why; those of one block together.

    >>> stopped({0: {"generation": 3, "reason": "variance of main is 0.4, below 0.5"}})
    ['replicate 0 stopped after generation 3: variance of main is 0.4, below 0.5']
    """
    together: dict[tuple[int, str], list[int]] = {}
    for replicate, stop in stops.items():
        together.setdefault((stop["generation"], stop["reason"]), []).append(replicate)
    said = []
    for (generation, reason), replicates in list(together.items())[:MOST]:
        one = len(replicates) == 1
        who = f"replicate {replicates[0]}" if one else f"{len(replicates)} replicates"
        said.append(f"{who} stopped after generation {generation}: {reason}")
    if len(together) > MOST:
        said.append(f"{len(together) - MOST} more replicates stopped before the last generation")
    return said


def misleading(metrics: polars.DataFrame, agents: Mapping[str, AgentSpec]) -> str | None:
    """The sentence that is due where alignment rises from the first to the last generation while the Fréchet distance of the
    pictures that are described rises too (Hu, Rostami and Thomason 2025): whoever stops by alignment stops too late.

    A rise is the mean over replicates of last less first, beyond two standard errors where there are several replicates, and
    beyond .005 (alignment) or 5 % (distance).
    """
    risen = []
    for name in agents:
        painter = root(agents, name) if getattr(agents[name].learner, "describes", False) else name
        worse = _risen(metrics, painter, ("frechet",), relative=True)
        if worse:
            risen += [(row, name, worse[0], painter) for row in _risen(metrics, name, ALIGNMENTS)]
    if not risen:
        return None
    aligned, name, (metric, start, end), painter = min(risen, key=lambda item: _rank(item[0][0]))
    return (
        f"alignment rises while quality falls: do not stop on alignment ({aligned[0]} of {name} from {aligned[1]:.3g} to "
        f"{aligned[2]:.3g}, {metric} of {painter} from {start:.3g} to {end:.3g})"
    )


def _rank(row: str) -> int:
    return next(i for i, prefix in enumerate(ALIGNMENTS) if row.startswith(prefix))


def _risen(
    metrics: polars.DataFrame, agent: str, prefixes: tuple[str, ...], relative: bool = False
) -> list[tuple[str, float, float]]:
    """The rows of an agent that rise, with their means at the start and at the end of each replicate."""
    import polars as pl

    named = pl.any_horizontal(*(pl.col("metric").str.starts_with(p) for p in prefixes))
    rows = metrics.filter((pl.col("agent") == agent) & named & pl.col("value").is_finite())
    found = []
    for row in rows["metric"].unique(maintain_order=True).to_list():
        ends = (
            rows.filter(pl.col("metric") == row)
            .sort("generation")
            .group_by("replicate")
            .agg(pl.col("value").first().alias("first"), pl.col("value").last().alias("last"), pl.len())
            .filter(pl.col("len") > 1)
        )
        if not len(ends):
            continue
        first, last = ends["first"].to_numpy(), ends["last"].to_numpy()
        change = last - first
        noise = 2 * float(np.std(change, ddof=1)) / len(change) ** 0.5 if len(change) > 1 else 0.0
        least = LEAST_QUALITY * abs(float(first.mean())) if relative else LEAST_ALIGNED
        if change.mean() > max(noise, least):
            found.append((row, float(first.mean()), float(last.mean())))
    return found
