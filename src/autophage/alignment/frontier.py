"""What a reward costs: arms side by side where their rewards are equal.

An arm first has reward R between the last generation whose mean reward is below R and the first one where it is R or
more. What was measured is read there, by linear interpolation, so that a method of large steps is not charged for
overshooting; it is not what was measured after as many epochs. Collapse, here, is less fidelity and diversity at
equal reward.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autophage.errors import DataError
from autophage.processes.process import Finding

if TYPE_CHECKING:
    import polars


def matched(metrics: polars.DataFrame, reward: float) -> polars.DataFrame:
    """Of a run's metric table, what each arm and replicate measures at that reward: agent, replicate, epoch (the
    first that is there), metric, value. Arms that never are have no rows; one that begins there is read where it begins."""
    import polars as pl

    who = ["agent", "replicate"]
    rewards = metrics.filter(pl.col("metric") == "reward")
    at = rewards.filter(pl.col("value") >= reward).group_by(who).agg(pl.col("generation").min())
    after = rewards.join(at, on=[*who, "generation"]).select(*who, "generation", r1="value")
    before = rewards.select(*who, pl.col("generation") + 1, r0="value")
    share = (
        after.join(before, on=[*who, "generation"], how="left")
        .with_columns(share=(reward - pl.col("r0")) / (pl.col("r1") - pl.col("r0")))
        .select(*who, "generation", pl.col("share").fill_null(1.0))
    )
    earlier = metrics.select(*who, "metric", pl.col("generation") + 1, v0="value")
    found = metrics.join(share, on=[*who, "generation"]).join(
        earlier, on=[*who, "metric", "generation"], how="left"
    )
    before_it = pl.col("v0").fill_null(pl.col("value"))  # what is not measured before the first update
    value = before_it + pl.col("share") * (pl.col("value") - before_it)
    return found.select(*who, pl.col("generation").alias("epoch"), "metric", value.alias("value")).sort(
        *who, "metric"
    )


def points(metrics: polars.DataFrame, against: str) -> polars.DataFrame:
    """The frontier as points: agent, replicate, generation, reward, and the row named `against`. Raises `DataError`
    where that was not measured."""
    import polars as pl

    keys = ["agent", "replicate", "generation"]
    sides = []
    for metric, name in (("reward", "reward"), (against, "value")):
        rows = metrics.filter(pl.col("metric") == metric)
        if not len(rows):
            raise DataError(f"nothing was measured by the name of '{metric}'")
        sides.append(rows.select(*keys, pl.col("value").alias(name)))
    return sides[0].join(sides[1], on=keys).rename({"value": against}).sort(*keys)


def picture(metrics: polars.DataFrame, against: str, path: str | Path) -> Path:
    """The frontier as a file (`drawn`), whose ending says its format."""
    path = Path(path)
    path.write_bytes(drawn(metrics, against, path.suffix.removeprefix(".")))
    return path


def drawn(
    metrics: polars.DataFrame, against: str, kind: str = "png", agents: Sequence[str] | None = None
) -> bytes:
    """Draws the frontier: a thin line for each replicate from generation 0 on, and a thick one for each arm's mean at
    equal rewards, where all of its replicates have been. `agents` are the arms in the order of their colours, that of the table
    unless given. Raises `DataError` where `against` was not measured."""
    from io import BytesIO

    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from autophage.report.plots import COLOURS, STYLE

    table = points(metrics, against)
    with rc_context(STYLE):
        figure = Figure(figsize=(4.2, 3.0), layout="constrained")
        axes = figure.subplots()
        for agent, colour in zip(agents or table["agent"].unique(maintain_order=True), COLOURS, strict=False):
            courses = [
                (part["reward"].to_numpy(), part[against].to_numpy())
                for _, part in sorted(
                    table.filter(table["agent"] == agent).partition_by("replicate", as_dict=True).items()
                )
            ]
            for reward, value in courses:
                axes.plot(reward, value, color=colour, linewidth=0.5, alpha=0.5)
            grid, mean = _mean_at_rewards(courses)
            axes.plot(grid, mean, color=colour, linewidth=1.8, label=agent)
        axes.set_xlabel("mean reward")
        axes.set_ylabel(against.replace("_", " "))
        axes.legend()
        content = BytesIO()
        figure.savefig(content, format=kind, dpi=200)
    return content.getvalue()


def _mean_at_rewards(courses: list[tuple[np.ndarray, np.ndarray]], places: int = 60) -> tuple[Any, Any]:
    """A mean over courses at rewards that all of them have reached, each read where it first got there."""
    low = max(float(reward[0]) for reward, _ in courses)
    high = min(float(reward.max()) for reward, _ in courses)
    grid = np.linspace(low, max(low, high), places)
    first = []
    for reward, value in courses:
        # Up to the first time that a reward is met, the course is that of its running maximum.
        new = np.r_[True, reward[1:] > np.maximum.accumulate(reward)[:-1]]
        at = np.flatnonzero(new)
        first.append(np.interp(grid, reward[at], value[at]))
    return grid, np.mean(first, axis=0)


def findings(metrics: polars.DataFrame, target: float | None, lost: float) -> list[Finding]:
    """What one arm's table says: how far its reward rose, and what diversity was left there (at the target, where it
    was reached)."""
    import polars as pl

    reward = metrics.filter(pl.col("metric") == "reward")
    end = reward["generation"].max()
    if not isinstance(end, int) or end == 0:
        said = "Nothing was measured after the first update."
        return [
            Finding("aligned", "Reward reached", "undecided", said),
            Finding("reward_collapse", "Diversity lost to the reward", "undecided", said),
        ]
    start, last = (_mean(reward, g) for g in (0, end))
    at = None if target is None else matched(metrics, target)
    if target is None:
        reached = Finding(
            "aligned",
            "Reward raised",
            "yes" if last > start else "no",
            f"The mean reward went from {start:.4g} to {last:.4g} in {end} epochs.",
            last - start,
        )
    else:
        assert at is not None
        done = at.filter(pl.col("metric") == "reward")
        every = reward["replicate"].n_unique()
        epoch = float(done["epoch"].to_numpy().mean()) if len(done) else float("nan")
        epochs = f", after {epoch:.3g} epochs on average" if len(done) else ""
        reached = Finding(
            "aligned",
            "Reward reached",
            "yes" if len(done) == every else "no",
            f"The mean reward went from {start:.4g} to {last:.4g}; {len(done)} of {every} replicates reached {target:.4g}{epochs}.",
            last - start,
        )
    return [reached, _collapse(metrics, at, end, lost)]


def _collapse(metrics: polars.DataFrame, at: polars.DataFrame | None, end: int, lost: float) -> Finding:
    import polars as pl

    name = "Diversity lost to the reward"
    rows = metrics.filter(pl.col("metric").str.starts_with("diversity"))
    first = _mean(rows, 0)
    where = f"in epoch {end}"
    there = _mean(rows, end)
    if at is not None and len(
        found := at.filter(pl.col("metric").str.starts_with("diversity"))["value"].to_numpy()
    ):
        there, where = float(found.mean()), "at the target"
    if not first > 0 or not np.isfinite(there):
        return Finding("reward_collapse", name, "undecided", "No diversity was measured.")
    share = there / first
    gone = share < lost
    return Finding(
        "reward_collapse",
        name,
        "yes" if gone else "no",
        f"Samples {where} differ from each other by {100 * share:.3g} % of what the base's do "
        f"({'a' if gone else 'no'} loss: it begins below {lost:.0%}).",
        share,
    )


def _mean(rows: polars.DataFrame, generation: int) -> float:
    import polars as pl

    values = rows.filter(pl.col("generation") == generation)["value"].to_numpy()
    return float(values.mean()) if len(values) else float("nan")
