"""What diffusion and flow matching share: a network that turns noise into records, told classes or captions where there are some.

Noise and labels are drawn for 64 records together, each group from a stream of its own. So a record depends neither on how
many are drawn after it nor, but for rounding, on how many pass through the network at once; and a drawing that was
interrupted goes on where it stood.
"""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from autophage.diffusion.denoiser import Denoiser
from autophage.diffusion.guidance import is_guided, refuse_without_bound, weight_of
from autophage.diffusion.negative import Away, Extrapolated, Score, Watched, of_record
from autophage.diffusion.samplers.sampler import Draw
from autophage.diffusion.wander import Trace, Wander
from autophage.errors import DataError, FitFailed, RunError, SpecError
from autophage.keys import Key
from autophage.learners.bottleneck import codes
from autophage.learners.neural import NetworkModel, NeuralLearner, opened
from autophage.learners.record_spaces import RecordSpace, restored
from autophage.learners.records_to_learn import RecordsToLearn
from autophage.learners.told import CaptionsTold
from autophage.networks.kinds import network_from
from autophage.networks.words import Words
from autophage.parts import Model, Sampling
from autophage.samples import Samples
from autophage.training import shelf
from autophage.training.devices import OUT_OF_MEMORY, world

GROUP = 64
"""Records whose noise comes from one stream."""
AT_ONCE = {"cpu": 256, "cuda": 2048}
"""Records that pass through the network together; multiples of `GROUP`, found by `benchmarks`."""
See = Callable[[Tensor], None]
"""Is shown every estimate of the records (n, ...) on the way to them."""


class DenoisingModel(NetworkModel):
    """A network that makes records from noise, step by step.

    `network` is the spec that builds it, `shares` say how many training records each class had (None without classes),
    `facts` what it has learned, as plain data, `captions` which captions its records were told by (None without).
    """

    levels: tuple[float, float] = (0.0, math.inf)
    """The least and the highest noise level that its process knows."""
    trace: Trace | None = None
    """Which of the sampler's estimates are looked at on the way (`traced`)."""

    away: Away | None = None
    """The auxiliary network that samples keep away from (`extrapolated`)."""

    def __init__(
        self,
        network: Any,
        net: nn.Module,
        space: RecordSpace,
        shares: Sequence[float] | None,
        facts: Mapping[str, Any],
        *kept: Any,
        captions: CaptionsTold | None = None,
        **more: Any,
    ) -> None:
        super().__init__(net, space, *kept, **more)
        self.network, self.facts, self.captions = network, dict(facts), captions
        self.shares = None if shares is None else tuple(float(s) for s in shares)

    @property
    def classes(self) -> int | None:
        return None if self.shares is None else len(self.shares)

    @property
    def told(self) -> int | Words | None:
        """What the network is told of a record: one of so many classes, a caption, or nothing."""
        return self.classes if self.captions is None else self.captions.words

    @property
    def null(self) -> int | None:
        """The class that means none, or the number that a caption is full of where there is none."""
        return self.told.null if isinstance(self.told, Words) else self.told

    def traced(self, window: int, skip: int = 0) -> Any:
        """The same model, whose samples carry a field `wander` (n,) beside the same records, bit for bit: the variance of the
        last `window` estimates of each, but for the `skip` at the very end (`autophage.diffusion.wander`). Raises `SpecError`
        for a window below 2."""
        traced = copy.copy(self)
        traced.trace = Trace(window, skip)
        traced.trace.check(None)
        return traced

    def extrapolated(self, auxiliary: DenoisingModel, weight: float) -> Any:
        """This model, sampled away from an auxiliary one: (1 + weight) times its own prediction less weight times the other's
        (`autophage.diffusion.negative`). Its network stays the one that a training goes on from. Raises `SpecError` unless the
        two have learned the same process with the same network on the same record space."""
        for what, ours, theirs in (
            ("kinds of model", type(self).__name__, type(auxiliary).__name__),
            ("networks", self.network.body(), auxiliary.network.body()),
            ("parameterisations or schedules", self.facts, auxiliary.facts),
            ("record spaces", self.space.stored(), auxiliary.space.stored()),
            ("classes or words", self.told, auxiliary.told),
        ):
            if ours != theirs:
                raise SpecError(
                    f"the base and the auxiliary have different {what}, so that their predictions cannot be extrapolated; "
                    "take an auxiliary that was trained on from the base"
                )
        other = copy.copy(self)
        other.away = Away(auxiliary.net, float(weight))
        return other

    def _of(self, denoiser: Callable[[nn.Module], Denoiser]) -> Denoiser:
        """What the networks say without guidance: the base's denoiser, or its extrapolation."""
        base = denoiser(self.net)
        return base if self.away is None else Extrapolated(base, denoiser(self.away.net), self.away.weight)

    def _watched(
        self, steered: Denoiser, denoiser: Callable[[nn.Module], Denoiser], score: Score = of_record
    ) -> Denoiser:
        """The steered denoiser, its scores compared with the base's where somebody counts."""
        if self.away is None or self.away.tally is None:
            return steered
        return Watched(steered, denoiser(self.net), self.away.tally, score)

    def latents(self, x: np.ndarray, *, noise: float = 0.0, key: Key) -> np.ndarray:
        """What the network's bottleneck makes of records x (n, ...) at that noise, told the null class
        (`autophage.learners.bottleneck`)."""
        plain = copy.copy(self)
        plain.sampling, plain.away = Sampling(), None
        return codes(plain, x, noise, key)

    @property
    def guidance(self) -> float:
        """The weight of classifier-free guidance that `sampling` asks for, as such or as a bias; 0 is none."""
        return weight_of(self.sampling)

    @abstractmethod
    def decode(self, z: Tensor, label: Tensor | None, draw: Draw, see: See | None = None) -> Tensor:
        """Noise z (n, ...) as network inputs; `draw(i)` is new noise of z's shape for step i. `see` is shown every estimate of
        the records on the way."""

    def sample(self, n: int, *, key: Key, given: Samples | None = None) -> Samples:
        """n records; with classes, `label` says of which: those of `given`, or the training set's shares to the nearest whole
        numbers, in an order of their own. With captions, `caption` says what they were painted by: those of `given`, or drawn as
        often as they stood in the training set."""
        if self.captions is None:
            asked = self._labels(n, key, given)
            told: dict[str, Any] = {"label": asked}
        else:
            caption = self.captions.law.asked(n, key, given)
            asked, told = self.captions.told(caption), {"caption": caption}
        made = world().call(_drawn, self, n, asked, key)
        return Samples.of(made["x"], **told, wander=made.get("wander"))

    def drawn(self, rows: range, label: np.ndarray | None, key: Key) -> dict[str, np.ndarray]:
        """Records `x` (n, d) number rows.start to rows.stop of a sample, the first being the first of a group; and `wander` (n,) of
        a traced model."""
        alone = world().size == 1
        done = shelf.get(key / "drawn") if alone else None
        parts = [done] if done is not None else []
        at, now = rows.start + sum(len(part["x"]) for part in parts), shelf.Now()
        size = AT_ONCE.get(self.device.name.partition(":")[0], GROUP)
        name = world().here(self.device.name)
        nets = [self.net] if self.away is None else [self.net, self.away.net]
        for net in nets:
            # Channels first: an uncompiled network samples 1.3 times faster so (measured on an H200).
            net.to(name)
        try:
            while at < rows.stop:
                try:
                    parts.append(self._made(at, min(size, rows.stop - at), label, key, name))
                except OUT_OF_MEMORY as error:
                    if size <= GROUP:
                        said = f"not even {GROUP} records fit into memory; take a smaller network"
                        raise RunError(said) from error
                    size = max(GROUP, size // 2 // GROUP * GROUP)
                    continue
                at = min(at + size, rows.stop)
                shelf.tell("sampling", (at - rows.start) / len(rows))
                if alone and now() and at < rows.stop:
                    parts = [_joined(parts)]
                    shelf.put(key / "drawn", parts[0])
        finally:
            for net in nets:
                net.to("cpu")
        if alone:
            shelf.forget(key / "drawn")
        if parts:
            return _joined(parts)
        empty = {"x": np.empty((0, int(np.prod(self.space.shape))), self.space.dtype)}
        return empty if self.trace is None else {**empty, "wander": np.empty(0)}

    @torch.no_grad()
    def _made(
        self, first: int, n: int, label: np.ndarray | None, key: Key, device: str
    ) -> dict[str, np.ndarray]:
        """Records first to first + n; `first` is a multiple of the group."""
        groups = range(first // GROUP, -(-(first + n) // GROUP))

        def noise(name: str | int) -> Tensor:
            parts = [
                torch.randn(
                    (GROUP, *self.space.shape),
                    generator=(key / "group" / g / name).torch(device),
                    device=device,
                )
                for g in groups
            ]
            return torch.cat(parts)[:n]

        asked = None if label is None else torch.from_numpy(label[first : first + n]).to(device)
        wander = None if self.trace is None else Wander(self.trace)
        with self.device.autocast():
            z = self.decode(noise("start"), asked, noise, *([] if wander is None else [wander.see]))
        if not bool(z.isfinite().all()):
            raise FitFailed("the model's samples are not finite")
        x = {"x": self.space.leave(z)}
        return x if wander is None else {**x, "wander": wander.variance().numpy()}

    def _labels(self, n: int, key: Key, given: Samples | None) -> np.ndarray | None:
        if self.shares is None:
            return None
        if given is not None and given.label is not None:
            label = np.asarray(given.label, dtype=np.int64)[:n]
            if len(label) < n or label.min() < 0 or label.max() >= len(self.shares):
                raise DataError(
                    f"{n} labels from 0 to {len(self.shares) - 1} are needed to sample {n} records"
                )
            return label
        exact = np.array(self.shares) / sum(self.shares) * n
        counts = np.floor(exact).astype(int)
        counts[np.argsort(counts - exact, kind="stable")[: n - counts.sum()]] += 1
        # A prefix must be a fair part of the whole, so the order is shuffled.
        return (key / "labels").generator().permutation(np.repeat(np.arange(len(counts)), counts))

    def published(self) -> dict[str, Any]:
        """What a checkpoint says of the process that the network has learned (`autophage.networks.processes`)."""
        return dict(self.facts)

    def publish(self, folder: str | Path) -> str:
        """Writes the network to a new folder, in the format of diffusers where that knows it, and says in a sentence who can
        load it. Raises `RunError` where the folder is taken or cannot be written."""
        from autophage.networks.checkpoints import publish

        captions = None if self.captions is None else self.captions.body()
        said = publish(folder, self.net, self.published(), captions)
        if self.away is None:
            return said
        publish(Path(folder) / "auxiliary", self.away.net, self.published())
        return (
            f"{said} It is the base; samples of this model are extrapolated away from the network in auxiliary/, with weight "
            f"{self.away.weight:g}, which only autophage does."
        )

    def arrays(self) -> dict[str, np.ndarray]:
        found = super().arrays()
        if self.away is not None:
            found |= {f"auxiliary.{k}": v.cpu().numpy() for k, v in self.away.net.state_dict().items()}
        return found

    def header(self) -> dict[str, Any]:
        return {
            "network": self.network.body(),
            "space": self.space.stored(),
            "shares": self.shares,
            "out_channels": self.net.out_channels,
            "facts": dict(self.facts),
            **({} if self.away is None else {"extrapolation": self.away.weight}),
            **({} if self.captions is None else {"captions": self.captions.body()}),
        }


def _joined(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _drawn(model: DenoisingModel, n: int, label: np.ndarray | None, key: Key) -> dict[str, np.ndarray]:
    """In every process: its part of n records, whole groups; in the first one all of them."""
    groups = world().mine(-(-n // GROUP))
    rows = range(min(groups.start * GROUP, n), min(groups.stop * GROUP, n))
    return {name: world().gathered(part) for name, part in model.drawn(rows, label, key).items()}


@dataclass(frozen=True, kw_only=True)
class DenoisingLearner(NeuralLearner):
    """A learner of networks that turn noise into records."""

    network: str | dict[str, Any] | None = None
    """small_unet (pictures; the default), mlp (vectors), unet or dit (of diffusers), or a mapping with kind and its
    settings."""
    labels: Literal["use", "ignore"] = "ignore"
    """Whether to learn the records given their class; samples then carry theirs."""
    condition_dropout: float = 0.1
    """Share of the records whose class is hidden while learning, so that the network knows the unconditional law too."""
    first_condition_dropout: float | None = None
    """The same for generation 0, and for every fit from scratch; `condition_dropout` unless given."""
    augment: Literal["none", "flip"] = "none"
    """Mirror pictures at random while learning."""

    conditional: ClassVar[bool] = True
    has_latents: ClassVar[bool] = True
    extrapolates: ClassVar[bool] = True
    """Its models can be sampled away from an auxiliary one."""
    model: ClassVar[type[DenoisingModel]]
    """What its fit returns."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.condition_dropout < 1:
            raise SpecError(f"learner.condition_dropout is {self.condition_dropout}; it must lie in [0, 1)")
        if self.first_condition_dropout is not None and not 0 <= self.first_condition_dropout < 1:
            raise SpecError(
                f"learner.first_condition_dropout is {self.first_condition_dropout}; it must lie in [0, 1)"
            )
        if self.network is not None:
            network_from(_body(self.network))

    def facts(self, space: RecordSpace) -> dict[str, Any]:
        """What a network trained from scratch learns, as plain data; one that is trained on keeps its predecessor's."""
        return {}

    @abstractmethod
    def objective(self, records: RecordsToLearn, facts: Mapping[str, Any]) -> Any:
        """The loss over these records."""

    def made(
        self,
        network: Any,
        net: nn.Module,
        space: RecordSpace,
        shares: Any,
        facts: Mapping[str, Any],
        **kept: Any,
    ) -> DenoisingModel:
        """The model of a trained network. Raises `SpecError` for one that another learner has trained."""
        if set(facts) != set(self.facts(space)):
            raise SpecError("the stored model is another learner's; take the learner that made it")
        return self.model(network, net, space, shares, facts, **kept)

    def check_sampling(self, sampling: Sampling) -> None:
        if (sampling.guidance or sampling.bias is not None) and self.labels == "ignore":
            raise SpecError(
                "sampling.guidance and sampling.bias steer between a model with and one without classes; "
                "they need learner.labels: use"
            )
        refuse_without_bound(sampling)
        if is_guided(sampling) and not self.dropout_from_scratch:
            raise SpecError(
                "guidance needs a network that also knows the law without classes, and with learner.condition_dropout 0 it "
                "never learns that; set it above zero, such as 0.1"
            )

    @property
    def later(self) -> frozenset[str]:
        return super().later | ({"condition_dropout"} if self.first_condition_dropout is not None else set())

    @property
    def dropout_from_scratch(self) -> float:
        """The share of hidden classes in a fit from scratch."""
        first = self.first_condition_dropout
        return self.condition_dropout if first is None else first

    def estimates(self, sampling: Sampling) -> int | None:
        """How many estimates of a record its models show on the way to it (`DenoisingModel.traced`); None where they show
        none."""
        return None

    @property
    def out_channels(self) -> int:
        """Output channels of the network for each one of the data."""
        return 1

    def fit(self, data: Samples, *, start: Model | None = None, key: Key) -> DenoisingModel:
        if start is not None and not isinstance(start, self.model):
            # A network of the same layout could be loaded, but what it predicts is something else.
            raise FitFailed(f"a {self.model.__name__} cannot continue from a {type(start).__name__}")
        space = self.space_of(data, start)
        course = self.course(start is None)
        captions = self.captions_of(data, start)
        records = self._records(data, space, start, captions, course.device.name)
        if start is None:
            channels = space.shape[0] * self.out_channels
            network = network_from(_body(self.network or ("mlp" if len(space.shape) == 1 else "small_unet")))
            net = network.build(space.shape, channels, records.classes, key / "network")
            network = net.network  # what is stored names no folder that it was read from
        else:
            network = start.network
            net = network.build(space.shape, start.net.out_channels, records.classes, key / "network")
            net.load_state_dict(start.net.state_dict())
        facts = self.facts(space) if start is None else start.facts
        kept = self.trained(net, self.objective(records, facts), course, start, key)
        return self.made(network, net, space, records.shares, facts, captions=captions, **kept)

    def captions_of(self, data: Samples, start: DenoisingModel | None) -> CaptionsTold | None:
        """The captions that the network is told these records by; None where it is told none."""
        return None

    def _records(
        self,
        data: Samples,
        space: RecordSpace,
        start: DenoisingModel | None,
        captions: CaptionsTold | None,
        device: str,
    ) -> RecordsToLearn:
        classes = start.classes if start is not None else None
        if start is None and self.labels == "use":
            classes = self.bound.classes or (None if data.label is None else int(data.label.max()) + 1)
            if classes is None:
                raise FitFailed("learner.labels is `use` but the training records carry none")
        label = data.label if classes is not None else None
        if classes is not None and label is None:
            raise FitFailed("a conditional model needs labelled training records, and these carry none")
        told = captions.told(np.asarray(data.caption)) if captions is not None else label
        return RecordsToLearn(
            data.fields["x"],
            space,
            None if told is None else np.asarray(told, dtype=np.int64),
            classes if captions is None else captions.words,
            self.weights_of(data),
            self.dropout_from_scratch if start is None else self.condition_dropout,
            self.augment == "flip" and len(space.shape) == 3,
            device,
        )

    def initial(self, values: Mapping[str, Any], dim: int) -> DenoisingModel:
        """The model of `initial_model: {checkpoint: PATH}`: a generation's folder of an earlier run, its model file, or what
        `adopted` reads. Raises `SpecError` when there is none, or for other records."""
        if set(values) != {"checkpoint"}:
            raise SpecError(f"initial_model of a network takes checkpoint; got {sorted(values)}")
        place = values["checkpoint"]
        model = self.from_checkpoint(place)
        if int(np.prod(model.space.shape)) != dim:
            raise SpecError(
                f"initial_model.checkpoint {place} makes records of {' x '.join(map(str, model.space.shape))} numbers, "
                f"the data have {dim}"
            )
        return model

    def from_checkpoint(self, where: str | Path) -> DenoisingModel:
        """The model of a generation's folder of an earlier run, of its model file, or of what `adopted` reads."""
        place = Path(where)
        found = place / "model.safetensors" if place.is_dir() else place
        model = self._stored(found) if found.suffix == ".safetensors" and found.is_file() else None
        return self.adopted(str(where)) if model is None else model

    def _stored(self, file: Path) -> DenoisingModel | None:
        from safetensors.numpy import load

        try:
            arrays = load(file.read_bytes())
        except Exception as error:
            raise SpecError(f"initial_model.checkpoint {file} cannot be read: {error}") from error
        try:
            return self.restore(arrays) if "header" in arrays else None
        except (KeyError, RuntimeError) as error:
            raise SpecError(
                f"initial_model.checkpoint {file} is no model of this learner, or of another version of it: {error}"
            ) from error

    def adopted(self, place: str) -> DenoisingModel:
        """The model of a published folder, or of a pipeline of diffusers. Raises `SpecError` where it does not fit."""
        from autophage.networks.checkpoints import adopt

        space, classes = self.bound.space, self.bound.classes
        if space is None:
            raise SpecError("initial_model.checkpoint needs data of pictures")
        found = adopt(place, shape=space.shape, classes=classes if self.labels == "use" else None)
        if isinstance(found.classes, Words):
            raise SpecError(f"the checkpoint {place} is told captions; take learner text_to_image")
        if (found.classes is None) != (self.labels == "ignore"):
            kind, wanted = ("no", "ignore") if found.classes is None else (found.classes, "use")
            raise SpecError(f"the checkpoint {place} knows {kind} classes; set learner.labels to {wanted}")
        shares = None if found.classes is None else np.ones(found.classes)
        facts = self.facts_from(found.process)
        device = self.course(True).device
        return self.made(found.network, found.net, space, shares, facts, device=device, report={})

    def facts_from(self, published: Mapping[str, Any]) -> dict[str, Any]:
        """A model's facts from what a checkpoint says of its process."""
        if set(published) != set(self.facts(self.bound.space)):  # type: ignore[arg-type]
            raise SpecError("the checkpoint's network has learned another process than this learner's")
        return dict(published)

    def restore(self, arrays: Mapping[str, np.ndarray]) -> DenoisingModel:
        header, groups = opened(arrays)
        network, space = network_from(header["network"]), restored(header["space"])
        captions = CaptionsTold.restored(header["captions"]) if "captions" in header else None
        classes = None if header["shares"] is None else len(header["shares"])
        told = classes if captions is None else captions.words
        net = network.build(space.shape, header["out_channels"], told, Key(0))
        net.load_state_dict(groups["net"] or {})
        model = self.made(
            network,
            net,
            space,
            header["shares"],
            header["facts"],
            captions=captions,
            **self.kept_of(header, groups),
        )
        if "extrapolation" in header:
            other = network.build(space.shape, header["out_channels"], told, Key(0))
            other.load_state_dict(groups["auxiliary"] or {})
            model.away = Away(other.eval().requires_grad_(False), header["extrapolation"])
        return model


def _body(network: str | Mapping[str, Any]) -> Mapping[str, Any]:
    return {"kind": network} if isinstance(network, str) else network
