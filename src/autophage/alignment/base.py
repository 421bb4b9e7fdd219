"""What alignment begins with: a policy on a walk, made of a data law's exact score, of a learner's model, or of a pipeline.

| `learner` | what learns | the walk |
|---|---|---|
| none | a small network beside the exact score of the data's law, a mixture of Gaussians | a chain of as many betas as steps |
| `diffusion` | the whole network | DDIM with full noise on levels of its own process |
| `flow_matching` | the whole network | the stochastic equation of its flow |
| `text_to_image` with a checkpoint | LoRA weights, or the whole U-Net | DDIM with full noise on the checkpoint's chain |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from autophage.alignment.policy import DiffusionPolicy, FlowPolicy, Policy, ScorePolicy
from autophage.alignment.weights import Steps, ddim, flow, shifted, spread_of_flow
from autophage.errors import FitFailed
from autophage.keys import Key
from autophage.parts import Sampling

if TYPE_CHECKING:
    from autophage.alignment.process import Alignment


@dataclass(frozen=True, eq=False)
class Base:
    """The generator before alignment, and what a run must store of it."""

    policy: Policy
    stored: Mapping[str, np.ndarray]

    def told(self, part: Alignment, key: Key) -> tuple[Tensor | None, np.ndarray]:
        """What each of a rollout's samples is told (n, ...), or None, and its group (n,): those of one group are told
        the same."""
        groups = part.samples // part.size_of_group
        group = np.repeat(np.arange(groups), part.size_of_group)
        model = getattr(self.policy, "model", None)
        rng = key.generator()
        if part.prompts:
            captions = np.array(part.prompts, np.str_)[rng.integers(len(part.prompts), size=groups)]
            told = self.policy.told(captions[group].tolist())  # type: ignore[attr-defined]
            return told, group
        if model is None or model.shares is None:
            return None, group
        shares = np.array(model.shares) / sum(model.shares)
        return torch.from_numpy(rng.choice(len(shares), groups, p=shares)[group]).to(
            self.policy.device
        ), group


def begun(part: Alignment, key: Key) -> Base:
    """The base, trained where it has to be. Raises `SpecError` where the parts do not fit."""
    if part.learner is None:
        return Base(_exact(part, key / "network"), {})
    if part.is_pipeline:
        return Base(_pipeline(part, key), {})
    learner = part.learner.bound_to(part.data)
    if part.checkpoint is not None:
        model = learner.initial({"checkpoint": part.checkpoint}, part.data.dim)
    else:
        data = part.data
        real = (
            data.draw(part.training, key=key / "records").replicate(0)
            if data.unlimited
            else _whole(data.train())
        )
        model = learner.fit(real, key=key / "base")
    return Base(_of_model(part, model), model.arrays())


def restored(part: Alignment, stored: Mapping[str, np.ndarray], key: Key) -> Base:
    """The same base from what was stored of it."""
    if part.learner is None or part.is_pipeline:
        return begun(part, key)
    return Base(_of_model(part, part.learner.bound_to(part.data).restore(stored)), stored)


def exact_steps(part: Alignment) -> Steps:
    """The walk beside an exact score: betas linear between the two of `betas`."""
    first, last = part.betas
    kept = np.cumprod(1 - np.linspace(first, last, part.steps))
    return ddim(kept[::-1], np.append(kept[:-1][::-1], 1.0), last=part.last_noise)


def planned(part: Alignment) -> Steps | None:
    """The walk, where it is known before there is a model: not with a checkpoint."""
    from autophage.learners.diffusion import Diffusion, ladder_of, law_of

    if part.learner is None:
        return exact_steps(part)
    if part.checkpoint is not None or part.is_pipeline:
        return None
    if isinstance(part.learner, Diffusion):
        law = law_of(part.learner.noise, part.learner.timesteps)
        return _on_ladder(part, ladder_of(law, "ddim", part.steps, part.learner.spacing))
    return _of_flow(part)


def _on_ladder(part: Alignment, ladder: Tensor) -> Steps:
    kept = 1 / (1 + ladder.numpy() ** 2)
    return ddim(kept[:-1], kept[1:], last=part.last_noise)


def _of_flow(part: Alignment) -> Steps:
    times = shifted(part.steps, part.shift)
    return flow(times, spread_of_flow(times, part.flow_noise, part.flow_law))


def is_mixture(law: Any) -> bool:
    """Whether a law is a mixture of Gaussians, whose score is known at every noise level."""
    return all(hasattr(law, name) for name in ("weights", "means", "covariances"))


def _exact(part: Alignment, key: Key) -> Policy:
    from autophage.diffusion.exact import ExactMixture

    law = part.data.truth
    denoise = ExactMixture(law.weights[0], list(law.means[0]), list(law.covariances[0]))
    return ScorePolicy(denoise, part.data.dim, exact_steps(part), key, part.width)


def _of_model(part: Alignment, model: Any) -> Policy:
    from autophage.learners.diffusion import DiffusionModel

    if isinstance(model, DiffusionModel):
        plain = model.tuned(Sampling(sampler="ddim", steps=part.steps, eta=1.0))
        return DiffusionPolicy(plain, _on_ladder(part, plain.ladder()))
    return FlowPolicy(model, _of_flow(part))


def _pipeline(part: Alignment, key: Key) -> Policy:
    from autophage.alignment.pipeline_policy import LatentPolicy

    return LatentPolicy(part.learner, part.data, part.steps, part.guidance, part.prompts, key / "network")


def _whole(real: Any) -> Any:
    if not len(real):
        raise FitFailed("there is no real record to train the base model on")
    return real
