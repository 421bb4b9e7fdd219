"""A captioner: a network that looks at a record and says what is in it, word by word.

    q(c | x) = prod_t q(c_t | c_<t, x)            c_1 .. c_l words of a vocabulary, c_(l+1) the end
    fit        minimise  -E log q(c | x)  over training pairs, each pair by its weight

The vocabulary is that of the training set of a fit from scratch; fits that continue keep it, and words that are new to it count
as one unknown word, which no caption of a model holds. A model describes what it is given: the records stay as they are, and
their captions are new. What the words of the last generation's captions do not hold, the next generation cannot say: that is
how a loop of captions loses its vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from autophage.captions.budget import shortened
from autophage.captions.decoding import beams, greedy, log_q, sampled
from autophage.captions.vocabulary import Vocabulary, most_words
from autophage.data.arguments import whole_number
from autophage.errors import DataError, FitFailed, SpecError
from autophage.keys import Key
from autophage.learners.describing import BEAMS, Describing, to_describe
from autophage.learners.neural import NetworkModel, NeuralLearner, opened
from autophage.learners.record_spaces import RecordSpace, on_device, restored
from autophage.learners.records_to_learn import RecordsToLearn
from autophage.networks.captioner import CaptionerArchitecture, CaptionerNetwork
from autophage.parts import Model, Source
from autophage.samples import Samples

AT_ONCE = 256
"""Records that are described together."""


class CaptionerModel(NetworkModel):
    """A fitted captioner; `vocabulary` has the words that it knows, `architecture` the longest caption.

    Captions are found by greedy search (unless told), by draws at a temperature, or by beams, within a budget of words.
    """

    net: CaptionerNetwork

    def __init__(
        self,
        architecture: CaptionerArchitecture,
        net: CaptionerNetwork,
        space: RecordSpace,
        vocabulary: Vocabulary,
        *kept: Any,
        **more: Any,
    ) -> None:
        super().__init__(net, space, *kept, **more)
        self.architecture, self.vocabulary = architecture, vocabulary

    @property
    def most(self) -> int:
        """The most words of a caption that it says."""
        most = self.architecture.length - 2
        return most if self.sampling.budget is None else min(most, self.sampling.budget)

    def sample(self, n: int, *, key: Key, given: Samples | None = None) -> Samples:
        """The first n records of `given` with captions of the model's own, and no other field; a caption does not depend on
        the records beside it. Raises `DataError` when fewer than n are given."""
        given = to_describe(n, given)
        field = given.fields["x"]
        uniforms = (key / "words").generator().random((n, self.architecture.length))
        texts = [np.array([], np.str_)]
        for low, memory in self._seen(field):
            ids = self._said(memory, uniforms[low : low + len(memory)])
            texts.append(self.vocabulary.decode(ids.cpu().numpy()))
        return Samples({"x": field, "caption": np.concatenate(texts)}, *given.columns)

    def _said(self, memory: Tensor, uniforms: np.ndarray) -> Tensor:
        def following(ids: Tensor, rows: Tensor) -> Tensor:
            with self.device.autocast():
                seen = memory if len(rows) == len(memory) else memory[rows]
                return self.net.decode(seen, ids)[:, -1]

        n, device = len(memory), str(memory.device)
        if self.sampling.decoding == "sample":
            drawn = torch.from_numpy(uniforms).to(device)
            temperature = 1.0 if self.sampling.temperature is None else self.sampling.temperature
            return sampled(following, drawn, self.most, temperature)
        if self.sampling.decoding == "beam":
            return beams(following, n, self.most, self.sampling.beams or BEAMS, device)
        return greedy(following, n, self.most, device)

    def caption_log_prob(self, samples: Samples) -> np.ndarray:
        """log q(c | x) (n,) in nats of the captions of `samples`, given their records; the words beyond the longest caption
        that the model knows do not count. Raises `DataError` when there are no captions."""
        if samples.caption is None:
            raise DataError("log q(c | x) needs records with captions, and these carry none")
        ids = self._encoded(samples.caption)
        out = np.empty(len(samples))
        for low, memory in self._seen(samples.fields["x"]):
            out[low : low + len(memory)] = self._log_q(memory, ids[low : low + len(memory)])
        return out

    def caption_log_probs(self, x: np.ndarray, captions: Sequence[str] | np.ndarray) -> np.ndarray:
        """log q(c | x) (n, k) in nats of each of k captions, for each of the records x (n, ...)."""
        ids = self._encoded(np.asarray(captions, np.str_))
        out = np.empty((len(x), len(ids)))
        for low, memory in self._seen(x):
            for j, row in enumerate(ids):
                out[low : low + len(memory), j] = self._log_q(memory, np.tile(row, (len(memory), 1)))
        return out

    def _encoded(self, captions: np.ndarray) -> np.ndarray:
        return self.vocabulary.encode(captions, self.architecture.length)

    def _log_q(self, memory: Tensor, ids: np.ndarray) -> np.ndarray:
        told = torch.from_numpy(ids).to(memory.device)
        with self.device.autocast():
            logits = self.net.decode(memory, told[:, :-1])
        return log_q(logits.double(), told).cpu().numpy()

    def _seen(self, field: Any) -> Iterator[tuple[int, Tensor]]:
        """What the encoder makes of records (n, ...), part by part, each with the number of its first."""
        with self.at_work() as device:
            for low in range(0, len(field), AT_ONCE):
                x = np.asarray(field[low : low + AT_ONCE])
                flat = np.array(x.reshape(len(x), -1))
                entered = self.space.enter(torch.from_numpy(flat).to(device))
                with self.device.autocast():
                    memory = self.net.encode(entered)
                yield low, memory

    def header(self) -> dict[str, Any]:
        return {
            "architecture": self.architecture.stored(),
            "space": self.space.stored(),
            "vocabulary": self.vocabulary.body(),
        }


@dataclass(frozen=True)
class _Objective:
    """-log q(c | x) over the mean number of words, so that rates mean the same for long captions and short ones."""

    records: RecordsToLearn
    ids: np.ndarray
    unit: float

    @property
    def size(self) -> int:
        return len(self.records)

    def batch(self, rows: np.ndarray, generator: torch.Generator) -> Sequence[Tensor | None]:
        x, _, weight = self.records.rows(rows, generator)
        return x, on_device(self.ids[rows], x.device), weight

    def loss(self, net: nn.Module | Callable[..., Tensor], *batch: Tensor | None) -> Tensor:
        x, ids, weight = batch
        assert x is not None and ids is not None
        each = -log_q(net(x, ids[:, :-1]).float(), ids) / self.unit
        return each if weight is None else weight * each


@dataclass(frozen=True, kw_only=True)
class Captioner(Describing, NeuralLearner):
    """A network of convolutions and a transformer decoder that captions records: it is fitted to records with captions, and
    its models caption those they are given.

    About 0.8 million weights unless told, for pictures of 32 pixels a side and captions of a few words on two cores. Raises
    `FitFailed` when the training set carries no captions, is too small or not finite, or the loss is not finite.

    >>> x = np.random.default_rng(0).normal(size=(64, 2))
    >>> pairs = Samples.of(x, caption=np.where(x[:, 0] > 0, "to the right", "to the left"))
    >>> model = Captioner(width=16, layers=1, heads=2, records=2000, warmup=0).fit(pairs, key=Key(0))
    >>> float((model.sample(64, key=Key(1), given=pairs).caption == pairs.caption).mean()) > 0.9
    True
    """

    citation: ClassVar[tuple[str, ...]] = (
        "Xu et al. (2015), Show, attend and tell, ICML, arXiv 1502.03044",
        "Vaswani et al. (2017), Attention is all you need, NeurIPS, arXiv 1706.03762",
    )
    longest: ClassVar[str] = "words"

    batch_size: int = 64
    """Records in a step."""
    learning_rate: float = 2e-3
    """Of Adam, after the warm-up."""
    warmup: int = 2000
    """Records over which the learning rate rises from zero, anew in every generation."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """The learning rate after the warm-up."""
    words: int = 16
    """Most words of a caption; longer ones of the training set are learned up to there."""
    vocabulary: int = 5000
    """Most words of the vocabulary, the rarest ones left out."""
    width: int = 128
    """Channels of the decoder, and of the last convolution."""
    layers: int = 2
    """Layers of the decoder."""
    heads: int = 4
    """Attention heads of a layer; they must divide the width."""

    @staticmethod
    def chosen_by(body: Mapping[str, Any]) -> str:
        """The kind that a spec's keys mean: with a `checkpoint` it is that of captioners of transformers.

        >>> Captioner.chosen_by({"checkpoint": "blip/"})
        'pretrained_captioner'
        """
        return "pretrained_captioner" if "checkpoint" in body else "captioner"

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("words", "vocabulary", "width", "layers", "heads"):
            whole_number(getattr(self, key), f"learner.{key}", least=1)
        if self.width % self.heads:
            raise SpecError(
                f"learner.heads is {self.heads}, which does not divide learner.width {self.width}"
            )

    def bound_to(self, source: Source) -> Self:
        bound = super().bound_to(source)
        if source.domain == "vectors" and (source.unlimited or source.train().caption is None):
            raise SpecError(
                "learner captioner needs records with captions; take data scenes or captioned_images, or labelled pictures "
                "with data.captions: classes"
            )
        return bound

    def fit(self, data: Samples, *, start: Model | None = None, key: Key) -> CaptionerModel:
        if start is not None and not isinstance(start, CaptionerModel):
            raise FitFailed(f"this learner cannot continue from a {type(start).__name__}")
        captions = data.caption
        if captions is None:
            raise FitFailed("a captioner needs records with captions, and the training set carries none")
        space = self.space_of(data, start)
        course, weight = self.course(start is None), self.weights_of(data)
        try:
            captions = shortened(captions, self.words)
            if start is None:
                heard = captions if weight is None else captions[weight > 0]
                vocabulary = Vocabulary.of(heard, self.vocabulary)
                architecture = CaptionerArchitecture(
                    tuple(space.shape),
                    vocabulary.size,
                    most_words(heard) + 2,
                    self.width,
                    self.layers,
                    self.heads,
                )
                net = architecture.build(key / "network")
            else:
                vocabulary, architecture = start.vocabulary, start.architecture
                net = copy.deepcopy(start.net)
            ids = vocabulary.encode(captions, architecture.length)
        except DataError as error:
            raise FitFailed(str(error)) from error
        records = RecordsToLearn(data.fields["x"], space, None, None, weight, 0.0, False, course.device.name)
        objective: Any = _Objective(records, ids, float((ids[:, 1:] > 0).sum(axis=1).mean()))
        kept = self.trained(net, objective, course, start, key)
        return CaptionerModel(architecture, net, space, vocabulary, **kept)

    def restore(self, arrays: Mapping[str, np.ndarray]) -> CaptionerModel:
        header, groups = opened(arrays)
        architecture = CaptionerArchitecture.restored(header["architecture"])
        net = architecture.build(Key(0))
        net.load_state_dict(groups["net"] or {})
        return CaptionerModel(
            architecture,
            net,
            restored(header["space"]),
            Vocabulary.restored(header["vocabulary"]),
            **self.kept_of(header, groups),
        )
