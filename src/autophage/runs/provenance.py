"""Where the records of every training set came from, as a table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from autophage.loop import Block
from autophage.samples import REAL
from autophage.spec import Spec

if TYPE_CHECKING:
    import polars

    from autophage.runs.run import Run


def is_ecosystem(spec: Spec) -> bool:
    """Whether records have more than one way to go: several agents, or one that describes."""
    return len(spec.agents) > 1 or any(agent.given is not None for agent in spec.agents.values())


def provenance(run: Run) -> polars.DataFrame:
    """One row for every origin in every training set of replicate 0: `generation`, `agent` who trained, `from_agent` and
    `from_generation` (empty and -1 for real records), `source` of records that were described (`agent/generation`, or `real`),
    `share` of the training set by weight, `decoding` (the sampling settings of the one who gave them, as JSON), and `stream`, the
    name of the random stream that they were sampled from."""
    import polars as pl

    first = run.loop.key(Block(0, 0, 1))
    rows = []
    for agent, course in run.flows.items():
        for generation, flow in course.items():
            for f in flow:
                made = f.generation != REAL
                sampling = run.spec.agents[f.agent].sampling.chosen() if made else {}
                stream = (first / "generation" / f.generation / f.agent / "sample").name if made else ""
                decoding = json.dumps(sampling) if sampling else ""
                rows.append((generation, agent, f.agent, f.generation, f.source, f.share, decoding, stream))
    schema = {
        "generation": pl.Int32,
        "agent": pl.String,
        "from_agent": pl.String,
        "from_generation": pl.Int32,
        "source": pl.String,
        "share": pl.Float64,
        "decoding": pl.String,
        "stream": pl.String,
    }
    return pl.DataFrame(rows, schema=schema, orient="row").sort("generation", maintain_order=True)
