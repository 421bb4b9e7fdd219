"""How much users like what a model makes: the mean reward, and that of e^reward, which curation raises."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np

from autophage.curation.rewards import Reward, Table, reward_of, written
from autophage.data.arguments import positive
from autophage.metrics.model_metric import exposes
from autophage.parts import Measurement, Metric, View


@dataclass(frozen=True, kw_only=True)
class RewardMetric(Metric):
    """Rows `reward` (E r), `exp_reward` (E e^r) and `exp_reward_variance` (Var e^r) under the fitted model (Ferbach et al. 2024).

    Exact for a table of symbols and a model of frequencies; else from the evaluation draw, with normal intervals of the two means.
    """

    direction: ClassVar[Literal["lower", "higher", "none"]] = "higher"

    reward: Any
    """As in `curation: preference`."""
    temperature: float = 1.0
    """Divides the reward."""

    def __post_init__(self) -> None:
        positive(self.temperature, "metric reward: temperature")
        _ = self._reward
        object.__setattr__(self, "reward", written(self.reward))

    @cached_property
    def _reward(self) -> Reward:
        return reward_of(self.reward, "metric reward: reward")

    def measure(self, view: View) -> list[Measurement]:
        self._reward.check(view.source, "metric reward: reward")
        model: Any = view.model
        if isinstance(self._reward, Table) and exposes(model, "probabilities"):
            p, r = model.probabilities, np.asarray(self._reward.values) / self.temperature
            a = np.exp(r)
            mean = p @ a
            likes = np.where(p > 0, p, 0.0) @ np.where(np.isfinite(r), r, 0.0)
            likes = np.where((p[:, r == -np.inf] > 0).any(axis=1), -np.inf, likes)
            variance = np.maximum(p @ a**2 - mean**2, 0.0)
            found = (("reward", likes), ("exp_reward", mean), ("exp_reward_variance", variance))
            return [Measurement(name, value) for name, value in found]
        return self._estimated(view)

    def _estimated(self, view: View) -> list[Measurement]:
        score = self._reward.score(view.source, view.memo)
        draws = [view.generated(r).x for r in range(view.replicates)]
        n = len(draws[0])
        r = np.stack([score(x) for x in draws]) / self.temperature
        a = np.exp(r)
        rows = []
        for name, values in (("reward", r), ("exp_reward", a)):
            mean, width = values.mean(axis=1), 1.96 * values.std(axis=1) / np.sqrt(n)
            rows.append(Measurement(name, mean, mean - width, mean + width, n))
        return [*rows, Measurement("exp_reward_variance", a.var(axis=1), n=n)]
