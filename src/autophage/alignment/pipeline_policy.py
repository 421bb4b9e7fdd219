"""A text-to-image pipeline of diffusers as a policy: its U-Net is told captions, and its LoRA weights (or all of it) learn.

Walks are DDIM's with full noise on the checkpoint's chain, as its scheduler spaces them; guidance w predicts (1 + w)
p(c) - w p(no caption).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from autophage.alignment.policy import Policy
from autophage.alignment.weights import Steps, ddim
from autophage.errors import SpecError
from autophage.keys import Key
from autophage.learners.latent_pipeline import LatentPipelineModel, smaller
from autophage.learners.record_spaces import Pictures
from autophage.learners.told import CaptionLaw
from autophage.networks import latent_diffusion
from autophage.networks.latent_diffusion import LatentNetwork
from autophage.networks.of_diffusers import diffusers_for


class LatentPolicy(Policy):
    """`x` are latents; what a sample is told is what the text encoder makes of its caption, and of none beside it."""

    def __init__(
        self, learner: Any, source: Any, steps: int, guidance: float, prompts: tuple[str, ...], key: Key
    ) -> None:
        self.learner = learner.bound_to(source)._inner()
        space = self.learner.bound.space
        if not isinstance(space, Pictures):
            raise SpecError("process.data must be pictures, in whose size text_to_image paints")
        self.space, self.guidance, self.prompts = space, guidance, prompts
        self.network: LatentNetwork = latent_diffusion.opened(self.learner.tuning)
        self.net = self.network
        self.network.begin(key)
        self.device = self.learner.course(True).device.name
        self.net.to(self.device)
        for parameter in self.net.parameters():
            parameter.requires_grad_(True)
        self.first = {n: p.detach().clone() for n, p in self.net.named_parameters()}
        self.side = self.learner._side(self.network)
        places = self.side // self.network.coarse
        self.shape = (self.network.unet.config.in_channels, places, places)
        self.steps, self.times = walk_of(self.network.chain.config, steps)

    def told(self, captions: list[str]) -> Tensor:
        """(n, 2, places, d) of captions: what they say, and what no caption does."""
        with_, without = (self.network.told(c, self.device) for c in (captions, [""] * len(captions)))
        return torch.stack([with_, without], 1)

    def predict(self, x: Tensor, at: Tensor, told: Tensor | None) -> Tensor:
        assert told is not None
        kept = torch.as_tensor(self.steps.before, dtype=torch.float64, device=x.device)[at].to(x)
        kept = kept.reshape(-1, 1, 1, 1)
        t = self.times.to(x.device)[at]
        said = self.network(x, t, told[:, 0])
        if self.guidance:
            said = (1 + self.guidance) * said - self.guidance * self.network(x, t, told[:, 1])
        if self.network.target == "v_prediction":
            return kept.sqrt() * said + (1 - kept).sqrt() * x
        if self.network.target == "sample":
            return (x - kept.sqrt() * said) / (1 - kept).sqrt()
        return said

    @torch.no_grad()
    def predict_base(self, x: Tensor, at: Tensor, told: Tensor | None) -> Tensor:
        now = {n: p.detach().clone() for n, p in self.net.named_parameters()}
        self.network.load(self.first)
        try:
            return self.predict(x, at, told)
        finally:
            self.network.load(now)

    @torch.no_grad()
    def records(self, x: Tensor) -> np.ndarray:
        config = self.network.vae.config
        shift = getattr(config, "shift_factor", None) or 0.0
        made = self.network.vae.decode(x / config.scaling_factor + shift).sample.float().clamp(-1, 1)
        return self.space.leave(smaller(made, self.space))

    def parameters(self) -> list[Any]:
        return list(self.net.parameters())

    def aligned(self) -> LatentPipelineModel:
        """The pipeline with the weights as they are now, told the prompts it was aligned by."""
        law = CaptionLaw.of(np.array(self.prompts, np.str_))
        return LatentPipelineModel(
            self.learner.tuning,
            self.network.digest,
            self.weights(),
            self.space,
            self.side,
            law,
            self.learner.course(True).device,
            {},
        )


def walk_of(chain: Any, steps: int) -> tuple[Steps, Tensor]:
    """The steps of a chain's DDIM sampler with full noise, and the times (T,) that its network is told."""
    scheduler: Any = diffusers_for("process alignment").DDIMScheduler.from_config(chain)
    scheduler.set_timesteps(steps)
    times = scheduler.timesteps.long()
    kept = scheduler.alphas_cumprod.double()
    stride = scheduler.config.num_train_timesteps // steps
    before = times - stride
    last = float(scheduler.final_alpha_cumprod)
    after = torch.where(before >= 0, kept[before.clamp(min=0)], torch.tensor(last, dtype=torch.float64))
    return ddim(kept[times].numpy(), after.numpy()), times
