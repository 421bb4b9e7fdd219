"""What a page says beside the numbers: stopped replicates, and alignment that rises while quality falls."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from autophage.ecosystem import AgentSpec
from autophage.runs.remarks import misleading, stopped


class Describing:
    describes = True


AGENTS = {
    "painter": AgentSpec(learner=None, workflow=None),
    "captioner": AgentSpec(learner=Describing(), workflow=None, given="painter"),
}


def table(**courses):
    """A metric table from `agent__row`, each an array (R, G)."""
    parts = []
    for name, values in courses.items():
        agent, metric = name.split("__")
        r, g = np.indices(np.shape(values))
        parts.append(
            pl.DataFrame(
                {
                    "generation": g.ravel(),
                    "replicate": r.ravel(),
                    "agent": agent,
                    "metric": metric,
                    "value": np.ravel(values).astype(float),
                }
            )
        )
    return pl.concat(parts)


RISES = [[0.805, 0.81, 0.824], [0.8, 0.82, 0.821]]
WORSENS = [[0.249, 0.6, 1.025], [0.25, 0.5, 1.0]]


def test_alignment_that_rises_while_quality_falls_is_named_with_both_numbers():
    said = misleading(table(captioner__judge_alignment=RISES, painter__frechet_pixels=WORSENS), AGENTS)
    assert said.startswith("alignment rises while quality falls: do not stop on alignment")
    assert "judge_alignment of captioner from 0.802 to 0.823" in said
    assert "frechet_pixels of painter from 0.249 to 1.01" in said


@pytest.mark.parametrize("row", ["judge_alignment_exact", "cosine_alignment", "self_consistency"])
def test_every_kind_of_alignment_counts_and_a_painters_own_too(row):
    courses = {f"painter__{row}": RISES, "painter__frechet_pixels": WORSENS}
    assert f"{row} of painter" in misleading(table(**courses), AGENTS)


def test_an_outside_judge_is_named_before_the_loops_own():
    courses = {"captioner__self_consistency": RISES, "captioner__judge_alignment": RISES}
    assert "judge_alignment of" in misleading(table(**courses, painter__frechet_x=WORSENS), AGENTS)


@pytest.mark.parametrize(
    "courses",
    [
        {"captioner__judge_alignment": RISES},
        {"captioner__judge_alignment": RISES, "painter__frechet_x": [[1.0, 1.02], [1.0, 1.01]]},
        {"captioner__judge_alignment": RISES, "painter__frechet_x": [[1.0, 0.5], [1.0, 0.4]]},
        {"captioner__judge_alignment": [[0.8, 0.804]], "painter__frechet_x": WORSENS},
        {"captioner__judge_alignment": [[0.8, 0.9], [0.8, 0.75]], "painter__frechet_x": WORSENS},
        {"captioner__accuracy": RISES, "painter__frechet_x": WORSENS},
        {"captioner__judge_alignment": RISES, "other__frechet_x": WORSENS},
        {"captioner__judge_alignment": [[np.nan, 0.9]], "painter__frechet_x": WORSENS},
    ],
)
def test_nothing_is_said_where_nothing_misleads(courses):
    """No distance, one that hardly rises, one that falls; a rise too small, or within noise; other rows and agents."""
    assert misleading(table(**courses), AGENTS) is None


def test_replicates_of_one_block_stop_together():
    same = {"generation": 4, "reason": "variance of main is 0.4, below 0.5"}
    assert stopped({r: same for r in range(200)}) == [
        "200 replicates stopped after generation 4: variance of main is 0.4, below 0.5"
    ]
    many = stopped({r: {"generation": r, "reason": "x"} for r in range(14)})
    assert many[0] == "replicate 0 stopped after generation 0: x"
    assert len(many) == 11 and many[-1] == "4 more replicates stopped before the last generation"
    assert stopped({}) == []
