"""A pretrained painter: a pipeline of diffusers (Stable Diffusion) whose U-Net is tuned on captioned pictures.

The loss and the network: `autophage.networks.latent_diffusion`. Pictures are resized to what the pipeline was made for on the way
in, and back on the way out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from autophage.data.arguments import whole_number
from autophage.diffusion.guidance import is_guided, refuse_without_bound, weight_of
from autophage.errors import FitFailed, RunError, SpecError
from autophage.keys import Key
from autophage.learners.pretrained import RANK, PretrainedLearner, PretrainedModel
from autophage.learners.record_spaces import Pictures, Table
from autophage.learners.told import CaptionLaw
from autophage.networks import latent_diffusion
from autophage.networks.latent_diffusion import LatentNetwork, Painting, Tuning
from autophage.parts import Sampling
from autophage.samples import Samples
from autophage.training import shelf
from autophage.training.devices import OUT_OF_MEMORY, Device

AT_ONCE = {"cpu": 8, "cuda": 32}
"""Pictures that are painted together."""
STEPS = 50
"""Sampling steps where none are given."""


class LatentPipelineModel(PretrainedModel):
    """A tuned pipeline: the trained weights of its U-Net, and the captions of its training set."""

    calling: ClassVar[str] = "painter"
    network: ClassVar[Any] = staticmethod(latent_diffusion.opened)

    def __init__(
        self,
        tuning: Tuning,
        digest: str,
        weights: Mapping[str, Tensor],
        space: Pictures,
        side: int,
        law: CaptionLaw,
        *kept: Any,
        **more: Any,
    ) -> None:
        super().__init__(tuning, digest, weights, space, *kept, **more)
        self.side, self.law = side, law

    def sample(self, n: int, *, key: Key, given: Samples | None = None) -> Samples:
        """n pictures; `caption` says what they were painted by: those of `given`, or drawn as often as they stood in the training
        set. A picture depends, but for rounding, neither on how many are painted nor on how many at once."""
        captions, how = self.law.asked(n, key, given), self._painting()
        parts: list[np.ndarray] = []
        with self.at_work() as (net, device):
            size, at = AT_ONCE.get(device.partition(":")[0], 1), 0
            while at < n:
                rows = range(at, min(at + size, n))
                # Generators of the CPU: the same noise on every device.
                noise = [(key / "picture" / i).torch() for i in rows]
                try:
                    with self.device.autocast():
                        made = net.painted(captions[rows.start : rows.stop].tolist(), noise, self.side, how)
                except OUT_OF_MEMORY as error:
                    if size == 1:
                        raise RunError(
                            "not even one picture fits into memory; lower learner.resolution"
                        ) from error
                    size //= 2
                    continue
                if not bool(made.isfinite().all()):
                    raise FitFailed("the model's samples are not finite")
                parts.append(self.space.leave(smaller(made, self.space)))
                at = rows.stop
                shelf.tell("sampling", at / n)
        width = int(np.prod(self.space.shape))
        x = np.concatenate(parts) if parts else np.empty((0, width), self.space.dtype)
        return Samples.of(x, caption=captions)

    def _painting(self) -> Painting:
        return Painting(self.sampling.steps or STEPS, weight_of(self.sampling))

    def header(self) -> dict[str, Any]:
        return {**super().header(), "side": self.side, "law": self.law.body()}


def larger(z: Tensor, side: int) -> Tensor:
    """Pictures (n, c, h, w) in [-1, 1] as the pipeline sees them: (n, 3, side, side)."""
    return _resized(z if z.shape[1] == 3 else z[:, :1].expand(-1, 3, -1, -1), (side, side))


def smaller(z: Tensor, space: Pictures) -> Tensor:
    """Pictures (n, 3, side, side) of the pipeline as the data have them; grey is the mean of the colours."""
    channels, *size = space.shape
    return _resized(z if channels == 3 else z.mean(dim=1, keepdim=True), tuple(size))


def _resized(z: Tensor, size: tuple[int, ...]) -> Tensor:
    if tuple(z.shape[2:]) == size:
        return z
    return nn.functional.interpolate(z, size, mode="bicubic", antialias=True).clamp(-1, 1)


@dataclass(frozen=True)
class _Objective:
    """What the network predicts at random times, against what it is to learn."""

    net: LatentNetwork
    table: Table
    captions: np.ndarray
    space: Pictures
    side: int
    weight: Tensor | None
    hidden: float
    flip: bool
    device: Device

    @property
    def size(self) -> int:
        return len(self.captions)

    def batch(self, rows: np.ndarray, generator: torch.Generator) -> Sequence[Tensor | None]:
        at, n = generator.device, len(rows)
        x = self.space.enter(self.table.rows(rows)).to(at)
        if self.flip:
            mirrored = torch.rand(n, generator=generator, device=at) < 0.5
            x = torch.where(mirrored[:, None, None, None], x.flip(-1), x)
        hidden = (torch.rand(n, generator=generator, device=at) < self.hidden).tolist()
        captions = ["" if hide else c for c, hide in zip(self.captions[rows].tolist(), hidden, strict=True)]
        with self.device.autocast():
            z0 = self.net.latents(larger(x, self.side), generator).float()
            told = self.net.told(captions, str(at))
        noise = torch.randn(z0.shape, generator=generator, device=at)
        t = torch.randint(self.net.chain.config.num_train_timesteps, (n,), generator=generator, device=at)
        zt, target = self.net.noisy(z0, noise, t)
        weight = None if self.weight is None else self.weight[torch.from_numpy(rows)].to(at)
        return zt, t, told, target, weight

    def loss(self, net: nn.Module, *batch: Tensor | None) -> Tensor:
        zt, t, told, target, weight = batch
        each = (net(zt, t, told).float() - target).square().flatten(1).mean(1)
        return each if weight is None else weight * each


@dataclass(frozen=True, kw_only=True)
class LatentPipeline(PretrainedLearner):
    """A text-to-image pipeline of diffusers, tuned on captioned pictures; what `text_to_image` with a checkpoint is.

    Raises `SpecError` where the checkpoint is missing or cannot be tuned, `MissingExtra` where diffusers, transformers or peft are
    not installed, `FitFailed` where records are no pictures, have no captions or are too few.
    """

    sampling_keys: ClassVar[frozenset[str]] = frozenset({"bias", "guidance", "steps"})
    model: ClassVar[type[LatentPipelineModel]] = LatentPipelineModel
    begins: ClassVar[str] = "network"

    resolution: int | None = None
    """Side of the pictures that the pipeline sees; its own unless given."""
    condition_dropout: float = 0.1
    """Share of the records whose caption is hidden while learning."""
    first_condition_dropout: float | None = None
    """The same for generation 0, and for every fit from scratch."""
    augment: Literal["none", "flip"] = "none"
    """Mirror pictures at random while learning."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lora is not None:
            whole_number(self.lora.get("alpha", RANK), "learner.lora.alpha", least=1)
        if self.resolution is not None:
            whole_number(self.resolution, "learner.resolution", least=8)
        latent_diffusion.examined(self.checkpoint)

    @property
    def tuning(self) -> Tuning:
        """What of which checkpoint is trained."""
        if self.tune == "full":
            return Tuning(self.checkpoint, False, 0, 0)
        said = self.lora or {}
        rank = said.get("rank", RANK)
        return Tuning(self.checkpoint, True, rank, said.get("alpha", rank))

    def check_sampling(self, sampling: Sampling) -> None:
        refuse_without_bound(sampling)

    def evaluations(self, sampling: Sampling) -> float:
        return (sampling.steps or STEPS) * (2 if is_guided(sampling) else 1)

    def estimates(self, sampling: Sampling) -> int | None:
        """Pipelines show no estimates on the way."""
        return None

    def space_of(self, data: Samples, start: Any) -> Pictures:
        space = super().space_of(data, start)
        if not isinstance(space, Pictures):
            raise FitFailed(
                f"a pretrained painter needs pictures; these are records of {space.shape[0]} numbers"
            )
        if space.shape[0] not in (1, 3):
            raise FitFailed(
                f"a pretrained painter paints grey or three colours; these have {space.shape[0]} channels"
            )
        return space

    def objective(
        self, net: LatentNetwork, data: Samples, space: Pictures, device: Device, from_scratch: bool
    ) -> tuple[Any, dict[str, Any]]:
        side, captions = self._side(net), np.asarray(data.caption, np.str_)
        first = self.first_condition_dropout if from_scratch else None
        objective = _Objective(
            net,
            Table(data.fields["x"], "cpu"),
            captions,
            space,
            side,
            self.weights_to_learn(data),
            self.condition_dropout if first is None else first,
            self.augment == "flip",
            device,
        )
        law = CaptionLaw.of(captions, np.asarray(data.weight, np.float64))
        return objective, {"side": side, "law": law}

    def told(self, header: Mapping[str, Any]) -> dict[str, Any]:
        return {"side": header["side"], "law": CaptionLaw.restored(header["law"])}

    def _side(self, net: LatentNetwork) -> int:
        side = self.resolution or net.side
        if side % net.coarse:
            raise SpecError(
                f"learner.resolution is {side}; it must be a multiple of the {net.coarse} pixels of a latent's place"
            )
        return side
