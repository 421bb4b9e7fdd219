"""What a finished run should have been stopped for, read off what its curations noted (metric `noted`).

reward_variance    below a tenth of generation 0's: the choice has used up what it chooses among. Best-of-K refitted again and
                   again multiplies the spread by a constant below 1 (Shimabucoro et al. 2024)
kept_precision     below a half: the error rate p of the candidates is above p* = 1 / (1 + psi / phi), psi and phi the shares
                   of wrong and right ones that the filter lets through, so that most of what it keeps is wrong (Amin et al.
                   2025, Feng et al. 2024)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autophage.runs.run import Run

LEAST_SPREAD = 0.1
LEAST_PRECISION = 0.5


def alarms(run: Run, agent: str) -> list[str]:
    """One sentence for each alarm that an agent's courses set off; means over replicates."""
    found = []
    spread = _course(run, agent, "reward_variance")
    if spread:
        first, (last, least) = spread[0][1], spread[-1]
        if least < LEAST_SPREAD * first:
            found.append(
                f"the variance of the reward among what {agent} kept fell to {least / first:.2g} of generation 0's by generation "
                f"{last}: preference without fresh variety is itself a collapse"
            )
    wrong = [(g, p) for g, p in _course(run, agent, "kept_precision") if p < LEAST_PRECISION]
    if wrong:
        found.append(
            f"in generation {wrong[0][0]} only {wrong[0][1]:.0%} of what {agent} kept was right: its samples are wrong more often "
            "than its verifier can make good"
        )
    return found


def _course(run: Run, agent: str, metric: str) -> list[tuple[int, float]]:
    """Generations and means."""
    import polars as pl

    rows = run.metrics.filter((pl.col("agent") == agent) & (pl.col("metric") == metric))
    means = rows.group_by("generation").agg(pl.col("value").mean()).drop_nulls().sort("generation")
    return [(int(g), float(v)) for g, v in means.rows()]
