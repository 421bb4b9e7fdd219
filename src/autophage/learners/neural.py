"""What learners share that train a network on a budget: the keys of a spec, their checks, and how models are stored."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn

from autophage.data.arguments import not_negative, positive, whole_number
from autophage.errors import FitFailed, SpecError
from autophage.keys import Key
from autophage.learners.record_spaces import Pictures, RecordSpace, Vectors
from autophage.parts import Learner, Model, Sampling, Source, require_finite
from autophage.samples import Samples
from autophage.training.averaging import Averaging
from autophage.training.devices import Device, world
from autophage.training.trainer import Course, train

SMALLEST = 10
"""The fewest records a network is fitted to."""


@dataclass(frozen=True, kw_only=True)
class NeuralLearner(Learner):
    """A learner that trains a network; the budget is counted in records seen, equally for every arm of an experiment."""

    weighted: ClassVar[bool] = True
    warm_starts: ClassVar[bool] = True
    has_network: ClassVar[bool] = True
    """Its models are networks, whose weights can be merged."""

    records: int = 200_000
    """Records seen in each training, whatever the size of the training set."""
    first_records: int | None = None
    """The same for generation 0, and for every fit from scratch; as many as `records` unless given."""
    batch_size: int = 128
    """Records in a step."""
    learning_rate: float = 1e-3
    """Of Adam, after the warm-up."""
    warmup: int = 10_000
    """Records over which the learning rate rises from zero, anew in every generation. The highest rate that was reached is
    reported: a warm-up longer than the budget hides collapse."""
    schedule: Literal["constant", "cosine"] = "constant"
    """The learning rate after the warm-up."""
    weight_decay: float = 0.0
    """Of AdamW."""
    gradient_clip: float | None = 1.0
    """Largest gradient norm; null for none."""
    ema_decay: float | None = None
    """Averaged weights keep this share of themselves in a step; unless given, `ema_half_life` decides."""
    ema_half_life: int = 500_000
    """Records after which half of the averaged weights is new, at most `ema_ramp` of those seen so far."""
    ema_ramp: float = 0.05
    """See `ema_half_life`."""
    optimiser: Literal["fresh", "carried"] = "fresh"
    """Whether a training that continues begins with new moments and from the averaged weights, or with those of its
    predecessor and from its last weights."""
    micro_batch: int | None = None
    """Records that pass through the network at once; halved when memory runs out, with the same result up to rounding."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train and sample; auto takes an accelerator if there is one."""
    precision: Literal["auto", "float32", "tf32", "bfloat16"] = "auto"
    """Of the network's computations; auto: bfloat16 on an accelerator."""
    channels_last: bool | None = None
    """Memory layout of pictures; on an accelerator unless given."""
    compile: bool | None = None
    """Compile the network; on an accelerator unless given."""

    def __post_init__(self) -> None:
        for key in ("records", "batch_size"):
            whole_number(getattr(self, key), f"learner.{key}", least=1)
        for key in ("first_records", "micro_batch"):
            if getattr(self, key) is not None:
                whole_number(getattr(self, key), f"learner.{key}", least=1)
        whole_number(self.warmup, "learner.warmup", least=0)
        positive(self.learning_rate, "learner.learning_rate")
        not_negative(self.weight_decay, "learner.weight_decay")
        positive(self.ema_half_life, "learner.ema_half_life")
        positive(self.ema_ramp, "learner.ema_ramp")
        if self.gradient_clip is not None:
            positive(self.gradient_clip, "learner.gradient_clip")
        if self.ema_decay is not None and not 0 <= self.ema_decay < 1:
            raise SpecError(f"learner.ema_decay is {self.ema_decay}; it must lie in [0, 1)")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise SpecError("learner.device is `cuda` but torch sees no CUDA device; write `auto` or `cpu`")

    @property
    def later(self) -> frozenset[str]:
        return frozenset({"start", "records"} if self.first_records is not None else {"start"})

    def bound_to(self, source: Source) -> Self:
        """This learner with the pictures' shape and values, and the classes, of these data."""
        if source.domain != "vectors":
            return self  # to be refused by the checks, which say what would do
        space: RecordSpace | None = None
        values = getattr(source, "value_range", None)
        size = tuple(getattr(source, "shape", ()))
        if getattr(source, "kind_of_picture", None) == "image" and values is not None:
            space = Pictures(size, float(values[0]), float(values[1]), _type_of(source))
        return self._knowing("_bound", Bound(space, len(getattr(source, "classes", None) or ()) or None))

    def _knowing(self, name: str, value: Any) -> Self:
        other = copy.copy(self)
        object.__setattr__(other, name, value)
        return other

    @property
    def bound(self) -> Bound:
        """What is known of the data; nothing, for a learner that no run has bound."""
        return getattr(self, "_bound", Bound(None, None))

    def smallest(self, dim: int) -> int:
        return SMALLEST

    def course(self, from_scratch: bool) -> Course:
        """How to train: from scratch, or on from a predecessor."""
        records = self.first_records if from_scratch and self.first_records is not None else self.records
        return Course(
            records,
            self.batch_size,
            self.learning_rate,
            self.warmup,
            self.schedule,
            weight_decay=self.weight_decay,
            clip=self.gradient_clip,
            averaging=Averaging(self.ema_decay, self.ema_half_life, self.ema_ramp),
            micro_batch=self.micro_batch,
            device=Device.of(self.device, self.precision, self.channels_last, self.compile),
        )

    def trained(self, net: nn.Module, objective: Any, course: Course, start: Any, key: Key) -> dict[str, Any]:
        """Trains `net` in place, on from the model `start` unless that is None; and what a model keeps of it, by name: `device`,
        `report`, and where the optimiser is carried `last` and `optimiser`."""
        carries = self.optimiser == "carried"
        before = start if carries and start is not None else None
        done = train(
            net,
            objective,
            course,
            key / "train",
            last=None if before is None else before.last,
            optimiser=None if before is None else before.optimiser,
        )
        kept = {"device": course.device, "report": done.report}
        return kept | ({"last": done.last, "optimiser": done.optimiser} if carries else {})

    def kept_of(self, header: Mapping[str, Any], groups: Mapping[str, Any]) -> dict[str, Any]:
        """The same of a stored model, from what `opened` found in it."""
        kept = {"device": self.course(True).device, "report": header["report"]}
        return kept | {name: groups[name] for name in ("last", "optimiser")}

    def space_of(self, data: Samples, start: Any) -> RecordSpace:
        """Where the network sees these records: as its predecessor did, as pictures, or standardised by themselves.

        Raises `FitFailed` when they are too few, not finite, or of another width than the predecessor's.
        """
        if len(data) < SMALLEST:
            raise FitFailed(f"a network needs {SMALLEST} or more records, got {len(data)}")
        field = data.fields["x"]
        width = int(np.prod(field.shape[1:]))
        space: RecordSpace
        if start is not None:
            space = start.space
        elif self.bound.space is not None:
            space = self.bound.space
        else:
            space = Vectors.of(require_finite(data.flat(), "the training set"), _float(field.dtype))
        if int(np.prod(space.shape)) != width:
            raise FitFailed(
                f"records of {width} numbers cannot continue a model of {int(np.prod(space.shape))}"
            )
        return space

    def weights_of(self, data: Samples) -> np.ndarray | None:
        """The records' weights over their mean, float32; None where all count once.

        Raises `FitFailed` when they cannot be weights.
        """
        weight = np.asarray(data.weight, dtype=np.float64)
        if (weight == 1).all():
            return None
        if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.sum() > 0):
            raise FitFailed("the records' weights must be finite, zero or above, and not all zero")
        return (weight / weight.mean()).astype(np.float32)


class Bound(NamedTuple):
    """What a run knows of its data beyond the records: their space, where they are pictures, and how many classes."""

    space: RecordSpace | None
    classes: int | None


def _type_of(source: Source) -> str:
    """The type of a source's records, without making it draw any."""
    if source.unlimited:
        return "float64"
    kind = source.train().fields["x"].dtype
    return kind.name if kind.kind in "ui" else _float(kind)


def _float(kind: np.dtype) -> str:
    return kind.name if kind in (np.float32, np.float64) else "float64"


class NeuralModel(Model):
    """What must be kept of a training, and how its model is sampled and stored.

    `report` says how the training went (`autophage.training.trainer.Trained`).
    """

    def __init__(
        self,
        space: RecordSpace,
        device: Device,
        report: Mapping[str, Any],
        sampling: Sampling | None = None,
        last: Mapping[str, Tensor] | None = None,
        optimiser: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.space, self.device = space, device
        self.report, self.last, self.optimiser = dict(report), last, optimiser
        self.sampling = sampling or Sampling()

    def tuned(self, sampling: Sampling) -> Self:
        """The same model, sampled so; probabilities stay those of the fitted law."""
        tuned = copy.copy(self)
        tuned.sampling = sampling
        return tuned

    def weights_kept(self) -> Mapping[str, Tensor]:
        """The weights that are stored, by name."""
        raise NotImplementedError

    def header(self) -> dict[str, Any]:
        """What is not an array, as plain data."""
        raise NotImplementedError

    def arrays(self) -> dict[str, np.ndarray]:
        header = np.frombuffer(json.dumps({**self.header(), "report": dict(self.report)}).encode(), np.uint8)
        found = {"header": header}
        groups = {"net": self.weights_kept(), "last": self.last or {}, "optimiser": self.optimiser or {}}
        for group, tensors in groups.items():
            found |= {f"{group}.{k}": v.detach().cpu().numpy() for k, v in tensors.items()}
        return found


class NetworkModel(NeuralModel):
    """A trained network."""

    net: nn.Module

    def __init__(self, net: nn.Module, space: RecordSpace, *kept: Any, **more: Any) -> None:
        super().__init__(space, *kept, **more)
        self.net = net.eval().requires_grad_(False)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[str]:
        """The network on its device for a while, without gradients; the device's name."""
        device = world().here(self.device.name)
        self.net.to(device)
        try:
            with torch.no_grad():
                yield device
        finally:
            self.net.to("cpu")

    def weights_kept(self) -> Mapping[str, Tensor]:
        return self.net.state_dict()


def opened(arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, Any], dict[str, dict[str, Tensor] | None]]:
    """The header, and the tensors of each group ("net", "last", "optimiser", "auxiliary"; None where there are none)."""
    header = json.loads(np.asarray(arrays["header"], dtype=np.uint8).tobytes())
    groups: dict[str, dict[str, Tensor] | None] = {}
    for group in ("net", "last", "optimiser", "auxiliary"):
        found = {
            k.removeprefix(f"{group}."): torch.from_numpy(np.array(v))
            for k, v in arrays.items()
            if k.startswith(f"{group}.")
        }
        groups[group] = found or None
    return header, groups
