"""A pretrained painter: a pipeline of diffusers (Stable Diffusion) whose U-Net is tuned on captioned pictures.

The loss and the network: `autophage.networks.latent_diffusion`. Pictures are resized to what the pipeline was made for on the way
in, and back on the way out. A model keeps the weights that were trained, and the name and the digest of the checkpoint that
they belong to, not the checkpoint itself.
"""

from __future__ import annotations

import contextlib
import copy
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from autophage.data.arguments import one_of, whole_number
from autophage.diffusion.guidance import weight_of_bias
from autophage.errors import FitFailed, RunError, SpecError
from autophage.keys import Key
from autophage.learners.neural import NeuralLearner, opened
from autophage.learners.record_spaces import Pictures, Table, restored
from autophage.learners.told import CaptionLaw
from autophage.networks import latent_diffusion
from autophage.networks.latent_diffusion import LatentNetwork, Painting, Tuning
from autophage.parts import Model, Sampling
from autophage.samples import Samples
from autophage.training import shelf
from autophage.training.devices import OUT_OF_MEMORY, Device, world
from autophage.training.trainer import train

AT_ONCE = {"cpu": 8, "cuda": 32}
"""Pictures that are painted together."""
STEPS = 50
"""Sampling steps where none are given."""
RANK = 8


class LatentPipelineModel(Model):
    """A tuned pipeline: the trained weights of its U-Net, and the captions of its training set."""

    def __init__(
        self,
        tuning: Tuning,
        digest: str,
        weights: Mapping[str, Tensor],
        space: Pictures,
        side: int,
        law: CaptionLaw,
        device: Device,
        report: Mapping[str, Any],
        last: Mapping[str, Tensor] | None = None,
        optimiser: Mapping[str, Tensor] | None = None,
        sampling: Sampling | None = None,
    ) -> None:
        self.tuning, self.digest, self.weights = tuning, digest, dict(weights)
        self.space, self.side, self.law, self.device = space, side, law, device
        self.report, self.last, self.optimiser = dict(report), last, optimiser
        self.sampling = sampling or Sampling()

    def tuned(self, sampling: Sampling) -> LatentPipelineModel:
        tuned = copy.copy(self)
        tuned.sampling = sampling
        return tuned

    def sample(self, n: int, *, key: Key, given: Samples | None = None) -> Samples:
        """n pictures; `caption` says what they were painted by: those of `given`, or drawn as often as they stood in the training
        set. A picture depends, but for rounding, neither on how many are painted nor on how many at once."""
        captions, how = self.law.asked(n, key, given), self._painting()
        parts: list[np.ndarray] = []
        with self._at_work() as (net, device):
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
        said = self.sampling
        weight = (said.guidance or 0.0) if said.bias is None else weight_of_bias(said.bias)
        return Painting(said.steps or STEPS, weight)

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[tuple[LatentNetwork, str]]:
        """The network with this model's weights, on its device for a while."""
        net, device = latent_diffusion.opened(self.tuning), world().here(self.device.name)
        if net.digest != self.digest:
            raise RunError(
                f"the checkpoint {self.tuning.checkpoint} is another one than the model was trained on; put that one back"
            )
        net.load(self.weights)
        net.to(device)
        try:
            yield net, device
        finally:
            net.to("cpu")

    def publish(self, folder: str | Path) -> str:
        """Writes the trained weights to a new folder, and says in a sentence who can load it: LoRA weights that `load_lora_weights`
        of diffusers reads, or the whole pipeline where all of its U-Net was trained. Raises `RunError` where the folder is taken
        or cannot be written."""
        place = Path(folder)
        partial = place.with_name(place.name + ".partial")
        try:
            if place.exists() and (not place.is_dir() or any(place.iterdir())):
                raise FileExistsError(0, "it exists already; name a new folder")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            with self._at_work() as (net, _):
                pass  # it holds this model's weights now, on the CPU
            said = net.publish(partial).format(place.name)
            (partial / "README.md").write_text(f"# A painter of autophage\n\n{said}.\n", encoding="utf-8")
            if place.exists():
                place.rmdir()
            partial.replace(place)
        except RunError:
            raise
        except OSError as error:
            raise RunError(f"{place} cannot be written: {error.strerror or error}") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return said

    def arrays(self) -> dict[str, np.ndarray]:
        header = {
            "tuning": self.tuning._asdict(),
            "digest": self.digest,
            "space": self.space.stored(),
            "side": self.side,
            "law": self.law.body(),
            "report": self.report,
        }
        stored = {"header": np.frombuffer(json.dumps(header).encode(), np.uint8)}
        groups = {"net": self.weights, "last": self.last or {}, "optimiser": self.optimiser or {}}
        for group, tensors in groups.items():
            stored |= {f"{group}.{name}": tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
        return stored


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
class LatentPipeline(NeuralLearner):
    """A text-to-image pipeline of diffusers, tuned on captioned pictures; what `text_to_image` with a checkpoint is.

    Raises `SpecError` where the checkpoint is missing or cannot be tuned, `MissingExtra` where diffusers, transformers or peft are
    not installed, `FitFailed` where records are no pictures, have no captions or are too few.
    """

    sampling_keys: ClassVar[frozenset[str]] = frozenset({"bias", "guidance", "steps"})
    needs_captions: ClassVar[bool] = True
    model: ClassVar[type[LatentPipelineModel]] = LatentPipelineModel

    checkpoint: str
    """A folder that a pipeline's `save_pretrained` wrote; or a name on the hub."""
    tune: Literal["lora", "full"] = "lora"
    """What is trained: low-rank additions to the U-Net's attention, or all of the U-Net."""
    lora: dict[str, Any] | None = None
    """Their `rank` and `alpha`."""
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
        if not isinstance(self.checkpoint, str) or not self.checkpoint:
            raise SpecError(
                f"learner.checkpoint is {self.checkpoint!r}; it must be a folder or a hub id (owner/name)"
            )
        one_of(self.tune, "learner.tune", ("lora", "full"))
        if self.resolution is not None:
            whole_number(self.resolution, "learner.resolution", least=8)
        if self.lora is not None:
            if self.tune == "full":
                raise SpecError(
                    "learner.lora says what is added, and learner.tune full adds nothing; leave one out"
                )
            if not isinstance(self.lora, Mapping) or set(self.lora) - {"rank", "alpha"}:
                raise SpecError(f"learner.lora is {self.lora!r}; it must be a mapping of rank and alpha")
            whole_number(self.lora.get("rank", RANK), "learner.lora.rank", least=1)
            whole_number(self.lora.get("alpha", RANK), "learner.lora.alpha", least=1)
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
        if sampling.bias == 0:
            raise SpecError(
                "sampling.bias is 0, which would be guidance without bound; it must be above zero here"
            )

    def evaluations(self, sampling: Sampling) -> float:
        guided = bool(sampling.guidance) or sampling.bias not in (None, 1)
        return (sampling.steps or STEPS) * (2 if guided else 1)

    def estimates(self, sampling: Sampling) -> int | None:
        """Pipelines show no estimates on the way."""
        return None

    def fit(self, data: Samples, *, start: Model | None = None, key: Key) -> LatentPipelineModel:
        if start is not None and not isinstance(start, LatentPipelineModel):
            raise FitFailed(f"a pretrained painter cannot continue from a {type(start).__name__}")
        if data.caption is None:
            raise FitFailed("a painter needs training records with captions, and these carry none")
        space = self.space_of(data, start)
        if not isinstance(space, Pictures):
            raise FitFailed(
                f"a pretrained painter needs pictures; these are records of {space.shape[0]} numbers"
            )
        if space.shape[0] not in (1, 3):
            raise FitFailed(
                f"a pretrained painter paints grey or three colours; these have {space.shape[0]} channels"
            )
        net, course = latent_diffusion.opened(self.tuning), self.course(start is None)
        side = self._side(net)
        if start is None:
            net.begin(key / "network")
        else:
            if start.tuning != self.tuning:
                raise FitFailed(
                    "a painter goes on from one with the same checkpoint and the same weights to train, not from another"
                )
            net.load(start.weights)
        weight = self.weights_of(data)
        objective: Any = _Objective(
            net,
            Table(data.fields["x"], "cpu"),
            np.asarray(data.caption, np.str_),
            space,
            side,
            None if weight is None else torch.from_numpy(weight),
            self.condition_dropout
            if start is not None or self.first_condition_dropout is None
            else self.first_condition_dropout,
            self.augment == "flip",
            course.device,
        )
        carried = start if self.optimiser == "carried" else None
        done = train(
            net,
            objective,
            course,
            key / "train",
            last=None if carried is None else carried.last,
            optimiser=None if carried is None else carried.optimiser,
        )
        kept: dict[str, Any] = {}
        if self.optimiser == "carried":
            kept = {"last": done.last, "optimiser": done.optimiser}
        law = CaptionLaw.of(objective.captions, np.asarray(data.weight, np.float64))
        return LatentPipelineModel(
            self.tuning, net.digest, net.weights(), space, side, law, course.device, done.report, **kept
        )

    def _side(self, net: LatentNetwork) -> int:
        side = self.resolution or net.side
        if side % net.coarse:
            raise SpecError(
                f"learner.resolution is {side}; it must be a multiple of the {net.coarse} pixels of a latent's place"
            )
        return side

    def restore(self, arrays: Mapping[str, np.ndarray]) -> LatentPipelineModel:
        """The model that `arrays` came from, its checkpoint opened again. Raises `SpecError` where that is gone, `RunError`
        where it is another one now."""
        header, groups = opened(arrays)
        space = restored(header["space"])
        assert isinstance(space, Pictures)
        model = LatentPipelineModel(
            Tuning(**header["tuning"]),
            header["digest"],
            groups["net"] or {},
            space,
            header["side"],
            CaptionLaw.restored(header["law"]),
            self.course(True).device,
            header["report"],
            groups["last"],
            groups["optimiser"],
        )
        with model._at_work():
            return model
