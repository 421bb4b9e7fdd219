"""Captioners that others have trained, trained on: BLIP, BLIP-2, GIT, and any vision encoder with a text decoder.

    fit     minimise  E -log p(c | x)  over the weights that are trained, from the checkpoint's or the predecessor's
    sample  a caption c of each given picture x: the likeliest words one by one, drawn from p^(1/temperature), or by beams

What a model stores is what was trained (`tune: lora`: a few low-rank matrices; Hu et al. 2021), with the checkpoint's place and the
digest of its files; the checkpoint itself stays where it is. Families and formulas: `autophage.networks.captioning`.
"""

from __future__ import annotations

import contextlib
import copy
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from autophage.data.arguments import one_of, positive, whole_number
from autophage.errors import DataError, FitFailed, RunError, SpecError
from autophage.keys import Key
from autophage.learners.neural import NeuralLearner, opened
from autophage.learners.record_spaces import Pictures, RecordSpace, restored
from autophage.metrics.spaces.pictures import is_picture, require_pictures
from autophage.networks import captioning
from autophage.networks.captioning import CaptioningNetwork, Decoding, Tuning, colour_bytes
from autophage.parts import Model, Sampling, Source
from autophage.samples import Samples
from autophage.training.devices import Device, world
from autophage.training.trainer import train

AT_ONCE = 32
"""Pictures that are captioned together; the draws of a picture depend on its place among them."""
KEPT = 2**30
"""Bytes of prepared pictures that a training keeps; beyond that, they are prepared batch by batch."""
BEAMS = 4
"""Captions side by side where `decoding: beam` is all that is said."""
RANK = 8
"""Of low-rank additions unless given."""
RATES = {"lora": 1e-4, "full": 1e-5}
"""Learning rates unless given, of the two ways of training."""


class PretrainedCaptionerModel(Model):
    """A tuned captioner: the weights that were trained, and the checkpoint that they belong to."""

    def __init__(
        self,
        tuning: Tuning,
        digest: str,
        weights: Mapping[str, Tensor],
        space: Pictures,
        max_words: int,
        device: Device,
        report: Mapping[str, Any],
        last: Mapping[str, Tensor] | None = None,
        optimiser: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.tuning, self.digest, self.weights, self.space = tuning, digest, weights, space
        self.max_words, self.device = max_words, device
        self.report, self.last, self.optimiser = dict(report), last, optimiser
        self.sampling = Sampling()

    def tuned(self, sampling: Sampling) -> PretrainedCaptionerModel:
        """Captions by greedy search (unless told), by draws at a temperature, or by beams, within a budget of words (tokens);
        probabilities stay those of the fitted law."""
        tuned = copy.copy(self)
        tuned.sampling = sampling
        return tuned

    def sample(self, n: int, *, key: Key, given: Samples | None = None) -> Samples:
        """The first n records of `given` with captions of the model's own, and no other field. Raises `DataError` when fewer
        than n are given."""
        if given is None or len(given) < n:
            raise DataError(
                f"a captioner describes records it is given; {n:,} are needed and {0 if given is None else len(given):,} are there"
            )
        given = given[:n]
        how, captions = self._decoding(), list[str]()
        with self._at_work() as (net, device):
            for low in range(0, n, AT_ONCE):
                pictures = self._pictures(given, slice(low, low + AT_ONCE))
                with (key / "captions" / (low // AT_ONCE)).globally(), self.device.autocast():
                    captions += net.captions(net.prepare(pictures).to(device), how)
        fields = {"x": given.fields["x"], "caption": np.array(captions, dtype=np.str_)}
        return Samples(fields, *given.columns)

    def _decoding(self) -> Decoding:
        said = self.sampling
        decoding = said.decoding or "greedy"
        beams = (said.beams or BEAMS) if decoding == "beam" else 1
        drawn = decoding == "sample"
        return Decoding(said.budget or self.max_words, drawn, said.temperature or 1.0, beams)

    def caption_log_prob(self, samples: Samples) -> np.ndarray:
        """log p(caption | picture) (n,) in nats, of the first `max_words` words (tokens) of each caption and the end mark, as
        the fitted law has it whatever the sampling. Raises `DataError` where records have no captions."""
        if samples.caption is None:
            raise DataError("the records have no captions, of which a captioner could say the probability")
        out = np.empty(len(samples))
        with self._at_work() as (net, device):
            for low in range(0, len(samples), AT_ONCE):
                rows = slice(low, low + AT_ONCE)
                ids, there = net.words(samples.caption[rows].tolist(), self.max_words)
                pixels = net.prepare(self._pictures(samples, rows))
                with torch.no_grad(), self.device.autocast():
                    said = net(pixels.to(device), ids.to(device), there.to(device))
                out[rows] = said.double().cpu().numpy()
        return out

    def _pictures(self, samples: Samples, rows: slice) -> np.ndarray:
        return pictures(self.space, np.asarray(samples.fields["x"][rows]))

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[tuple[CaptioningNetwork, str]]:
        """The network with this model's weights, on its device for a while."""
        net, device = captioning.opened(self.tuning), world().here(self.device.name)
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
        """Writes the trained weights to a new folder, and says in a sentence who can load it: LoRA weights in the format of
        peft, a model that was trained as a whole in that of transformers. Raises `RunError` where the folder is taken or
        cannot be written."""
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
            (partial / "README.md").write_text(f"# A captioner of autophage\n\n{said}.\n", encoding="utf-8")
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
            "max_words": self.max_words,
            "report": self.report,
        }
        stored = {"header": np.frombuffer(json.dumps(header).encode(), np.uint8)}
        groups = {"net": self.weights, "last": self.last or {}, "optimiser": self.optimiser or {}}
        for group, tensors in groups.items():
            stored |= {f"{group}.{name}": tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
        return stored


def pictures(space: RecordSpace, x: np.ndarray) -> np.ndarray:
    """Records (n, ...) of that space as colour pictures (n, h, w, 3) of bytes."""
    flat = np.ascontiguousarray(x.reshape(len(x), -1))
    return colour_bytes(space.enter(torch.from_numpy(flat if flat.flags.writeable else flat.copy())))


@dataclass(frozen=True)
class _Objective:
    """-log p(c | x) over the mean number of words, so that rates mean the same for long captions and short ones."""

    net: CaptioningNetwork
    x: Any
    space: Pictures
    ids: Tensor
    there: Tensor
    weight: Tensor | None
    unit: float
    kept: list[Tensor] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(self.ids)

    def _pixels(self, rows: np.ndarray) -> Tensor:
        """Prepared pictures: all of them once where they are few."""
        if not self.kept:
            first = self._prepared(rows)
            if first[0].nbytes * self.size > KEPT:
                return first
            parts = [np.arange(low, min(low + AT_ONCE, self.size)) for low in range(0, self.size, AT_ONCE)]
            self.kept.append(torch.cat([self._prepared(part) for part in parts]))
        return self.kept[0][torch.from_numpy(rows)]

    def _prepared(self, rows: np.ndarray) -> Tensor:
        return self.net.prepare(pictures(self.space, np.asarray(self.x[rows])))

    def batch(self, rows: np.ndarray, generator: torch.Generator) -> Sequence[Tensor | None]:
        device, places = generator.device, torch.from_numpy(rows)
        ids, there = self.ids[places], self.there[places]
        most = int(there.sum(dim=1).max())  # no longer than these captions need
        weight = None if self.weight is None else self.weight[places].to(device)
        return self._pixels(rows).to(device), ids[:, :most].to(device), there[:, :most].to(device), weight

    def loss(self, net: nn.Module, *batch: Tensor | None) -> Tensor:
        pixels, ids, there, weight = batch
        each = -net(pixels, ids, there) / self.unit
        return each if weight is None else weight * each


@dataclass(frozen=True, kw_only=True)
class PretrainedCaptioner(NeuralLearner):
    """A captioner of `transformers` from a checkpoint, trained on with captioned pictures: BLIP, BLIP-2, GIT, or a vision encoder
    with a text decoder (ViT-GPT2).

    Its models describe the pictures they are given. Raises `SpecError` where the checkpoint is missing or no captioner,
    `MissingExtra` where transformers or peft are not installed, `FitFailed` where records are no pictures, have no captions or
    are too few.
    """

    citation: ClassVar[tuple[str, ...]] = (
        "Li, Li, Xiong and Hoi (2022), BLIP, ICML, arXiv 2201.12086",
        "Hu et al. (2022), LoRA: low-rank adaptation of large language models, ICLR, arXiv 2106.09685",
    )
    needs_captions: ClassVar[bool] = True
    describes: ClassVar[bool] = True
    has_network: ClassVar[bool] = False
    sampling_keys: ClassVar[frozenset[str]] = frozenset({"decoding", "temperature", "beams", "budget"})

    checkpoint: str
    """A folder that `save_pretrained` wrote, with tokenizer and preprocessor_config.json; or a name on the hub."""
    tune: Literal["lora", "full"] = "lora"
    """What is trained: low-rank additions to the text decoder's attention, or every weight."""
    lora: dict[str, Any] | None = None
    """Their `rank` (8), `alpha` (the rank), which divided by it is what they are multiplied by, and `target_modules`: names, or
    ends of names, of the linear maps that are added to (those to queries and values of the text decoder's attention)."""
    max_words: int = 40
    """Words (tokens) of a caption that are learned, and the most that are said where `sampling.budget` is not given."""
    records: int = 20_000
    """Records seen in each training, whatever the size of the training set."""
    batch_size: int = 16
    """Records in a step."""
    learning_rate: float | None = None  # type: ignore[assignment]
    """Of Adam, after the warm-up; 1e-4 unless given, 1e-5 for `tune: full`."""
    warmup: int = 0
    """Records over which the learning rate rises from zero, anew in every generation."""
    ema_decay: float | None = 0.0
    """Averaged weights keep this share of themselves in a step; 0 samples the last weights, null lets `ema_half_life`
    decide."""
    channels_last: bool | None = False
    """Memory layout of pictures."""
    compile: bool | None = False
    """Compile the network."""

    def __post_init__(self) -> None:
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", RATES.get(self.tune, 1e-4))
        super().__post_init__()
        if not isinstance(self.checkpoint, str) or not self.checkpoint:
            raise SpecError(
                f"learner.checkpoint is {self.checkpoint!r}; it must be a folder or a hub id (owner/name)"
            )
        one_of(self.tune, "learner.tune", RATES)
        whole_number(self.max_words, "learner.max_words", least=1)
        if self.lora is not None:
            self._check_lora(self.lora)
        captioning.examined(self.checkpoint)

    def _check_lora(self, lora: Any) -> None:
        if self.tune == "full":
            raise SpecError(
                "learner.lora says what is added, but learner.tune is full, which trains everything; give one"
            )
        known = ("rank", "alpha", "target_modules")
        if not isinstance(lora, Mapping) or set(lora) - set(known):
            raise SpecError(
                f"learner.lora is {lora!r}; it must be a mapping with some of: {', '.join(known)}"
            )
        if "rank" in lora:
            whole_number(lora["rank"], "learner.lora.rank", least=1)
        if "alpha" in lora:
            positive(lora["alpha"], "learner.lora.alpha")
        names = lora.get("target_modules", ["query"])
        if not (isinstance(names, tuple | list) and names and all(isinstance(n, str) and n for n in names)):
            raise SpecError(
                f"learner.lora.target_modules is {names!r}; it must be a list of names of linear maps"
            )

    def check_sampling(self, sampling: Sampling) -> None:
        if sampling.temperature is not None and sampling.decoding != "sample":
            raise SpecError("sampling.temperature is for sampling.decoding: sample; set that as well")
        if sampling.budget is not None and sampling.budget > self.max_words:
            raise SpecError(
                f"sampling.budget is {sampling.budget}, but learner.max_words lets captions have {self.max_words} at most"
            )

    def evaluations(self, sampling: Sampling) -> float:
        width = (sampling.beams or BEAMS) if sampling.decoding == "beam" else 1
        return float(width * (sampling.budget or self.max_words))

    @property
    def tuning(self) -> Tuning:
        """What of which checkpoint is trained."""
        if self.tune == "full":
            return Tuning(self.checkpoint, False, 0, 0.0, None)
        said = self.lora or {}
        rank, names = said.get("rank", RANK), said.get("target_modules")
        alpha = float(said.get("alpha", rank))
        return Tuning(self.checkpoint, True, rank, alpha, None if names is None else tuple(names))

    def bound_to(self, source: Source) -> PretrainedCaptioner:
        captioning.require("transformers", *(["peft"] if self.tune == "lora" else []))
        if source.domain == "vectors":
            require_pictures(source, "learner pretrained_captioner")
            if source.unlimited or source.train().caption is None:
                raise SpecError(
                    "learner pretrained_captioner needs records with captions; take data captioned_images, or labelled pictures "
                    "with data.captions: classes"
                )
        return super().bound_to(source)

    def space_of(self, data: Samples, start: Any) -> Pictures:
        """How records are read as pictures: as the predecessor did, as the data's source says, or bytes by their own shape."""
        shape = tuple(data.fields["x"].shape[1:])
        space: Any = self.bound.space if start is None else start.space
        if space is None and data.fields["x"].dtype == np.uint8 and is_picture(shape):
            space = Pictures(shape, 0.0, 255.0, "uint8")
        if not isinstance(space, Pictures):
            raise FitFailed(f"a captioner needs pictures; these are records of shape {shape}")
        if int(np.prod(space.size)) != int(np.prod(shape)):
            raise FitFailed(f"records of shape {shape} are no pictures of {' x '.join(map(str, space.size))}")
        return space

    def fit(self, data: Samples, *, start: Model | None = None, key: Key) -> PretrainedCaptionerModel:
        if start is not None and not isinstance(start, PretrainedCaptionerModel):
            raise FitFailed(f"this learner cannot continue from a {type(start).__name__}")
        if len(data) < self.smallest(0):
            raise FitFailed(f"a network needs {self.smallest(0)} or more records, got {len(data)}")
        if data.caption is None:
            raise FitFailed("a captioner learns from captions; these records have none")
        space, course, net = self.space_of(data, start), self.course(start is None), self._network()
        if start is None:
            net.begin(key / "adapter")
        else:
            if start.tuning != self.tuning:
                raise FitFailed(
                    "a captioner goes on from one with the same checkpoint and the same weights to train, not from another"
                )
            net.load(start.weights)
        ids, there = net.words(data.caption.tolist(), self.max_words)
        if bool((there.sum(dim=1) < 2).any()):
            raise FitFailed("a captioner learns from captions; one of these holds no word")
        weight = self.weights_of(data)
        weights = None if weight is None else torch.from_numpy(weight)
        unit = float(np.average(there.sum(dim=1).numpy(), weights=weight))
        objective: Any = _Objective(net, data.fields["x"], space, ids, there, weights, unit)
        carried = start if self.optimiser == "carried" else None
        done = train(
            net,
            objective,
            course,
            key / "train",
            last=None if carried is None else carried.last,
            optimiser=None if carried is None else carried.optimiser,
        )
        kept = {"last": done.last, "optimiser": done.optimiser} if self.optimiser == "carried" else {}
        return PretrainedCaptionerModel(
            self.tuning, net.digest, net.weights(), space, self.max_words, course.device, done.report, **kept
        )

    def _network(self) -> CaptioningNetwork:
        net = captioning.opened(self.tuning)
        taken = len(net.prefix) + 2  # by the picture, the start and the end mark
        if net.positions is not None and self.max_words + taken > net.positions:
            raise SpecError(
                f"learner.max_words is {self.max_words}, but the text decoder of {self.checkpoint} has {net.positions} places; "
                f"at most {net.positions - taken} words fit"
            )
        return net

    def restore(self, arrays: Mapping[str, np.ndarray]) -> PretrainedCaptionerModel:
        """The model that `arrays` came from, its checkpoint opened again. Raises `SpecError` where that is gone, `RunError`
        where it is another one now."""
        header, groups = opened(arrays)
        said = header["tuning"]
        tuning = Tuning(**{**said, "targets": said["targets"] and tuple(said["targets"])})
        space = restored(header["space"])
        assert isinstance(space, Pictures)
        model = PretrainedCaptionerModel(
            tuning,
            header["digest"],
            groups["net"] or {},
            space,
            header["max_words"],
            self.course(True).device,
            header["report"],
            groups["last"],
            groups["optimiser"],
        )
        with model._at_work():
            return model
