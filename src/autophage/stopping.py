"""When a loop ends before its last generation: a measured course has crossed a border.

    stop: [{metric: frechet_pixels, above: 2, relative: true}, {metric: caption_accuracy, below: 0.7}]

Alignment of captions and pictures is no course to stop on: it can rise while both get worse (Hu et al. 2025).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pydantic

from autophage.errors import SpecError
from autophage.intake import refuse_unknown, sentence
from autophage.registry import nearest


class StopRule(pydantic.BaseModel):
    """A border that ends a replicate's loop after the generation in which a metric has crossed it."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    metric: str
    """A row of the metric table."""
    agent: str | None = None
    """Whose; any agent's unless given."""
    above: float | None = None
    """Stop when the value is above this."""
    below: float | None = None
    """Stop when the value is below this."""
    relative: bool = False
    """The border is this many times the value of generation 0."""
    patience: int = 1
    """Generations in a row that must be across."""

    def crossed(self, course: Sequence[float]) -> bool:
        """Whether the newest values of a course, generation 0 first, are across.

        >>> StopRule(metric="frechet_pixels", above=2, relative=True).crossed([3.0, 5.0, 6.5])
        True
        """
        if len(course) < self.patience:
            return False
        unit = course[0] if self.relative else 1.0
        above = math.inf if self.above is None else self.above * unit
        below = -math.inf if self.below is None else self.below * unit
        return all(value > above or value < below for value in course[-self.patience :])

    def said(self, agent: str, value: float) -> str:
        """The reason, in words."""
        side = "above" if self.above is not None else "below"
        border = self.above if self.above is not None else self.below
        times = " times generation 0's" if self.relative else ""
        return f"{self.metric} of {agent} is {value:.4g}, {side} {border:g}{times}"


def rules_from(given: Any, agents: Sequence[str]) -> tuple[StopRule, ...]:
    """The rules that a spec names. Raises `SpecError` for one that can never, or would always, stop."""
    given = [given] if isinstance(given, Mapping) else given
    if not isinstance(given, list | tuple):
        raise SpecError(f"stop is {given!r}; it must be a list of {{metric, above or below}}")
    rules = []
    for i, item in enumerate(given):
        if isinstance(item, Mapping):
            refuse_unknown(item, list(StopRule.model_fields), f"stop[{i}]")
        try:
            rule = item if isinstance(item, StopRule) else StopRule.model_validate(item)
        except pydantic.ValidationError as error:
            raise SpecError(sentence(error, f"stop[{i}]")) from error
        if (rule.above is None) == (rule.below is None):
            raise SpecError(f"stop[{i}] needs one border: above or below")
        if rule.patience < 1:
            raise SpecError(f"stop[{i}].patience is {rule.patience}; it must be at least 1")
        if rule.agent is not None and rule.agent not in agents:
            raise SpecError(f"stop[{i}].agent names an agent '{rule.agent}'{nearest(rule.agent, agents)}")
        rules.append(rule)
    return tuple(rules)


def reason(rules: Sequence[StopRule], courses: Mapping[tuple[str, str], Sequence[float]]) -> str | None:
    """Why a loop ends here, or None. `courses` are values from generation 0 on, by agent and row."""
    for rule in rules:
        for (agent, metric), course in courses.items():
            if metric == rule.metric and rule.agent in (None, agent) and rule.crossed(course):
                return rule.said(agent, course[-1])
    return None
