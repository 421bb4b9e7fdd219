"""Theory inverted: from what must hold to what to do.

`plan` answers a question with a number, the assumption and the theorem it rests on, the course it leads to,
and, on request, a simulation that does not use the theorem. One question per file.
"""

from __future__ import annotations

from typing import Any

from autophage.errors import SpecError
from autophage.planner.answer import Answer, Confirmation, Line, Trial
from autophage.registry import load, nearest

__all__ = ["QUESTIONS", "Answer", "Confirmation", "Line", "Trial", "plan"]

LONGEST = 2000
"""The share matrix of a longer horizon would not fit into memory, nor anybody's patience."""

QUESTIONS: dict[str, tuple[str, str]] = {
    "share": (
        "autophage.planner.share:share",
        "the smallest share of new real records that keeps the risk low",
    ),
    "size": (
        "autophage.planner.size:size",
        "the smallest training set per generation that keeps the risk low",
    ),
    "ratio": (
        "autophage.planner.ratio:ratio",
        "the largest ratio of synthetic to real records, with its guarantee",
    ),
    "schedule": (
        "autophage.planner.schedule:schedule",
        "the sizes with the least total data that bring the risk down in time",
    ),
    "weight": (
        "autophage.planner.weight:weight",
        "the optimal weight between new real and newest synthetic records",
    ),
    "detector": (
        "autophage.planner.detector:detector",
        "what a detector of given accuracy is worth in real records",
    ),
    "verifier": ("autophage.planner.verifier:verifier", "how strong a verifier of labels must be"),
    "ridge": ("autophage.planner.ridge:ridge", "the ridge penalty for a given chain of regressions"),
}
"""Question: where its answer is worked out, and what it is in one line."""


def plan(
    question: str,
    *,
    target: float | str | None = None,
    horizon: int = 20,
    spec: Any = None,
    data: Any = None,
    confirm: bool = False,
    replicates: int | None = None,
    seed: int = 0,
    **given: Any,
) -> Answer:
    """The answer to one of `QUESTIONS`.

    `target` is a value of the risk, or "2x": twice the risk of generation 0; `horizon` T counts retrainings,
    generations 1 to T. `spec` (path, mapping or Spec) or `data` (a table, whose law is estimated) say which
    loop; `given` holds what else a question asks for. `confirm` simulates the answer. Raises `SpecError` when
    no answer exists or something is missing.

    >>> answer = plan("weight", real=100, synthetic=100)
    >>> round(answer.value, 6), answer.status
    (0.618034, 'exact')
    """
    if question not in QUESTIONS:
        raise SpecError(f"there is no question called '{question}'{nearest(question, QUESTIONS)}")
    if isinstance(horizon, bool) or not isinstance(horizon, int) or horizon < 1:
        raise SpecError(f"the horizon is {horizon!r}; it must be a whole number of retrainings, at least 1")
    if horizon > LONGEST:
        raise SpecError(f"the horizon is {horizon:,} retrainings; plans look at most {LONGEST:,} ahead")
    worked_out = load(QUESTIONS[question][0], question)
    answer: Answer = worked_out(target=target, horizon=horizon, spec=spec, data=data, **given)
    return answer.confirmed(replicates, seed) if confirm else answer
