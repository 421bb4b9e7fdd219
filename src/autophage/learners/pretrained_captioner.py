"""Captioners that others have trained, trained on: BLIP, BLIP-2, GIT, and any vision encoder with a text decoder.

    fit     minimise  E -log p(c | x)  over the weights that are trained, from the checkpoint's or the predecessor's
    sample  a caption c of each given picture x: the likeliest words one by one, drawn from p^(1/temperature), or by beams

Families and formulas: `autophage.networks.captioning`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from autophage.data.arguments import whole_number
from autophage.errors import DataError, FitFailed, SpecError
from autophage.keys import Key
from autophage.learners.describing import BEAMS, Describing, to_describe
from autophage.learners.pretrained import RANK, PretrainedLearner, PretrainedModel
from autophage.learners.record_spaces import Pictures, RecordSpace
from autophage.metrics.spaces.pictures import is_picture, require_pictures
from autophage.networks import captioning
from autophage.networks.captioning import CaptioningNetwork, Decoding, Tuning, colour_bytes
from autophage.parts import Source
from autophage.samples import Samples
from autophage.training.devices import Device

AT_ONCE = 32
"""Pictures that are captioned together; the draws of a picture depend on its place among them."""
KEPT = 2**30
"""Bytes of prepared pictures that a training keeps; beyond that, they are prepared batch by batch."""
RATES = {"lora": 1e-4, "full": 1e-5}
"""Learning rates unless given, of the two ways of training."""


class PretrainedCaptionerModel(PretrainedModel):
    """A tuned captioner.

    Captions are found by greedy search (unless told), by draws at a temperature, or by beams, within a budget of words (tokens).
    """

    calling: ClassVar[str] = "captioner"
    network: ClassVar[Any] = staticmethod(captioning.opened)

    def __init__(
        self,
        tuning: Tuning,
        digest: str,
        weights: Mapping[str, Tensor],
        space: Pictures,
        max_words: int,
        *kept: Any,
        **more: Any,
    ) -> None:
        super().__init__(tuning, digest, weights, space, *kept, **more)
        self.max_words = max_words

    def sample(self, n: int, *, key: Key, given: Samples | None = None) -> Samples:
        """The first n records of `given` with captions of the model's own, and no other field. Raises `DataError` when fewer
        than n are given."""
        given = to_describe(n, given)
        how, captions = self._decoding(), list[str]()
        with self.at_work() as (net, device):
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
        with self.at_work() as (net, device):
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

    def header(self) -> dict[str, Any]:
        return {**super().header(), "max_words": self.max_words}


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
class PretrainedCaptioner(Describing, PretrainedLearner):
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
    has_network: ClassVar[bool] = False
    longest: ClassVar[str] = "max_words"
    model: ClassVar[type[PretrainedCaptionerModel]] = PretrainedCaptionerModel
    of_additions: ClassVar[tuple[str, ...]] = ("rank", "alpha", "target_modules")
    begins: ClassVar[str] = "adapter"

    checkpoint: str
    """A folder that `save_pretrained` wrote, with tokenizer and preprocessor_config.json; or a name on the hub."""
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
        whole_number(self.max_words, "learner.max_words", least=1)
        captioning.examined(self.checkpoint)

    def _check_lora(self, lora: Any) -> None:
        super()._check_lora(lora)
        names = lora.get("target_modules", ["query"])
        if not (isinstance(names, tuple | list) and names and all(isinstance(n, str) and n for n in names)):
            raise SpecError(
                f"learner.lora.target_modules is {names!r}; it must be a list of names of linear maps"
            )

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
        captioning.require(*(["peft"] if self.tune == "lora" else []))
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
        if len(data) < self.smallest(0):
            raise FitFailed(f"a network needs {self.smallest(0)} or more records, got {len(data)}")
        shape = tuple(data.fields["x"].shape[1:])
        space: Any = self.bound.space if start is None else start.space
        if space is None and data.fields["x"].dtype == np.uint8 and is_picture(shape):
            space = Pictures(shape, 0.0, 255.0, "uint8")
        if not isinstance(space, Pictures):
            raise FitFailed(f"a captioner needs pictures; these are records of shape {shape}")
        if int(np.prod(space.size)) != int(np.prod(shape)):
            raise FitFailed(f"records of shape {shape} are no pictures of {' x '.join(map(str, space.size))}")
        return space

    def objective(
        self, net: CaptioningNetwork, data: Samples, space: Pictures, device: Device, from_scratch: bool
    ) -> tuple[Any, dict[str, Any]]:
        assert data.caption is not None
        ids, there = net.words(data.caption.tolist(), self.max_words)
        if bool((there.sum(dim=1) < 2).any()):
            raise FitFailed("a captioner learns from captions; one of these holds no word")
        unit = float(np.average(there.sum(dim=1).numpy(), weights=self.weights_of(data)))
        objective = _Objective(net, data.fields["x"], space, ids, there, self.weights_to_learn(data), unit)
        return objective, {"max_words": self.max_words}

    def told(self, header: Mapping[str, Any]) -> dict[str, Any]:
        return {"max_words": header["max_words"]}

    def opened(self) -> CaptioningNetwork:
        net = captioning.opened(self.tuning)
        taken = len(net.prefix) + 2  # by the picture, the start and the end mark
        if net.positions is not None and self.max_words + taken > net.positions:
            raise SpecError(
                f"learner.max_words is {self.max_words}, but the text decoder of {self.checkpoint} has {net.positions} places; "
                f"at most {net.positions - taken} words fit"
            )
        return net
