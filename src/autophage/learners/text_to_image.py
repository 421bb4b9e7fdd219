"""Pictures painted by captions: a denoising network of ours that is told words, or a pretrained pipeline that is tuned.

    fit      (x, c) -> p(x | c), and the frequencies pi(c) of the training captions
    sample   x ~ p(. | c) for the captions c that are given, else c ~ pi

A network of ours is that of `diffusion` or `flow_matching`, a caption standing where they have a class
(`autophage.networks.words`): hidden captions, guidance, samplers and treatments are theirs. A pretrained pipeline of
diffusers: `autophage.learners.latent_pipeline`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, Self

import numpy as np

from autophage.data.arguments import one_of, whole_number
from autophage.errors import FitFailed, SpecError
from autophage.keys import Key
from autophage.learners.denoising import DenoisingLearner, DenoisingModel, RecordsToLearn
from autophage.learners.diffusion import Diffusion
from autophage.learners.flow_matching import FlowMatching
from autophage.learners.neural import NeuralLearner
from autophage.learners.record_spaces import RecordSpace
from autophage.learners.told import CaptionLaw, CaptionsTold
from autophage.networks.kinds import NETWORKS
from autophage.networks.words import ENCODERS
from autophage.parts import Model, Sampling, Source
from autophage.registry import nearest
from autophage.samples import Samples

PROCESSES: dict[str, type[DenoisingLearner]] = {"diffusion": Diffusion, "flow_matching": FlowMatching}
SHARED = frozenset(field.name for field in fields(DenoisingLearner))
"""Keys that `process` must leave to the learner."""
NEURAL = tuple(field.name for field in fields(NeuralLearner))
HIDING = ("condition_dropout", "first_condition_dropout", "augment")
"""Keys of `DenoisingLearner` that a pretrained pipeline has too."""
OWN = ("network", "process", "encoder", "max_words")
"""Keys of a network of ours, which a pretrained pipeline has no use for."""
TUNED = ("tune", "lora", "resolution")
"""Keys of a pretrained pipeline, which a network of ours has no use for."""
RATES = {None: 1e-3, "lora": 1e-4, "full": 1e-5}
"""Learning rates unless given, of a network of ours and of a pipeline that is tuned in these ways."""


@dataclass(frozen=True, kw_only=True)
class TextToImage(DenoisingLearner):
    """A painter: pictures (or vectors) given their captions.

    Words that the captions of generation 0 had not are all told as one unknown word by later generations, which keep its
    vocabulary unless they start from scratch. Raises `FitFailed` where training records carry no captions or one without a word.

    >>> from autophage.keys import Key
    >>> x = np.repeat([[0.0, 0.0], [5.0, 5.0]], 20, axis=0)
    >>> data = Samples.of(x, caption=np.repeat(["low left", "high right"], 20))
    >>> tiny = TextToImage(network={"kind": "mlp", "width": 8, "blocks": 1}, records=64, device="cpu")
    >>> model = tiny.fit(data, key=Key(0))
    >>> model.sample(2, key=Key(1), given=data).caption.tolist()
    ['low left', 'low left']
    """

    citation: ClassVar[tuple[str, ...]] = (
        *Diffusion.citation,
        "Rombach, Blattmann, Lorenz, Esser and Ommer (2022), High-resolution image synthesis with latent diffusion models, CVPR, "
        "arXiv 2112.10752",
        "Hu et al. (2022), LoRA: Low-rank adaptation of large language models, ICLR, arXiv 2106.09685",
    )
    sampling_keys: ClassVar[frozenset[str]] = Diffusion.sampling_keys | FlowMatching.sampling_keys
    needs_captions: ClassVar[bool] = True

    process: str | dict[str, Any] | None = None
    """flow_matching (the default, which obeys captions after fewer records) or diffusion, or a mapping with kind and the keys that
    are that learner's alone, such as {kind: diffusion, noise: cosine}."""
    encoder: Literal["bag", "transformer"] | None = None
    """How a caption's words become what the network is told: each by itself and its place, averaged, or with attention between them
    (transformer, the default)."""
    max_words: int | None = None
    """Words of a caption that the network is told, its first ones; as many as the longest caption of generation 0 has unless
    given."""
    checkpoint: str | None = None
    """Folder (or hub id) of a pipeline of diffusers to be tuned, such as a Stable Diffusion; in place of a network of ours."""
    tune: Literal["lora", "full"] | None = None
    """What of the checkpoint's U-Net learns: small matrices beside those of its attention (the default), or all of it."""
    lora: dict[str, Any] | None = None
    """Their `rank` (8) and `alpha` (the rank), which divided by it is what they are multiplied by."""
    resolution: int | None = None
    """Side of the pictures that the checkpoint sees, resized on the way in and out; its own unless given."""
    learning_rate: float | None = None  # type: ignore[assignment]
    """Of Adam, after the warm-up; 1e-3 unless given, 1e-4 for `tune: lora`, 1e-5 for `tune: full`."""

    def __post_init__(self) -> None:
        foreign = self.checkpoint is not None
        for key in OWN if foreign else TUNED:
            if getattr(self, key) is not None:
                raise SpecError(
                    f"learner.{key} is for networks of ours, and learner.checkpoint names a pretrained one; leave one out"
                    if foreign
                    else f"learner.{key} is for a pretrained pipeline; name it with learner.checkpoint, or leave the key out"
                )
        if self.labels != "ignore":
            raise SpecError(
                "learner.labels is of learners of classes; text_to_image learns captions: leave it out"
            )
        if self.encoder is not None:
            one_of(self.encoder, "learner.encoder", ENCODERS)
        if self.max_words is not None:
            whole_number(self.max_words, "learner.max_words", least=1)
        if self.learning_rate is None:
            how = (self.tune or "lora") if foreign else None
            object.__setattr__(self, "learning_rate", RATES[how])
        super().__post_init__()
        if self.network is not None:
            kind = self.network if isinstance(self.network, str) else self.network["kind"]
            NETWORKS[kind].check_reads_captions()
        self._inner()  # refuses what it cannot be

    def _inner(self) -> Any:
        """The learner whose process this one's network learns, or that tunes the pipeline."""
        shared = {name: getattr(self, name) for name in SHARED}
        if self.checkpoint is not None:
            from autophage.learners.latent_pipeline import LatentPipeline

            of_all = {name: shared[name] for name in (*NEURAL, *HIDING)}
            # Compiling a pipeline's network takes minutes in every process: only where it is asked for.
            inner: Any = LatentPipeline(
                **{**of_all, "compile": bool(self.compile)},
                checkpoint=self.checkpoint,
                tune=self.tune or "lora",
                lora=self.lora,
                resolution=self.resolution,
            )
        else:
            inner = self._process()(**{**shared, "labels": "use"}, **self._settings())
        return inner._knowing("_bound", self.bound)

    def _process(self) -> type[DenoisingLearner]:
        body = self.process or "flow_matching"
        kind = body if isinstance(body, str) else body.get("kind")
        if kind not in PROCESSES:
            raise SpecError(f"learner.process is {kind!r}; it must be one of: {', '.join(PROCESSES)}")
        return PROCESSES[kind]

    def _settings(self) -> dict[str, Any]:
        """The keys of its process alone."""
        if not isinstance(self.process, Mapping):
            return {}
        known = {field.name for field in fields(self._process())} - SHARED
        settings = {key: value for key, value in self.process.items() if key != "kind"}
        for key in settings:
            if key in SHARED:
                raise SpecError(f"learner.process.{key} is a key of the learner; write it as learner.{key}")
            if key not in known:
                raise SpecError(f"learner.process has no key '{key}'{nearest(key, known)}")
        return settings

    @property
    def model(self) -> type[Any]:  # type: ignore[override]
        return self._inner().model

    @property
    def has_latents(self) -> bool:  # type: ignore[override]
        return self.checkpoint is None

    @property
    def extrapolates(self) -> bool:  # type: ignore[override]
        return self.checkpoint is None

    @property
    def has_network(self) -> bool:  # type: ignore[override]
        """A pipeline has one too, but not one whose weights a treatment can merge."""
        return self.checkpoint is None

    @property
    def out_channels(self) -> int:
        return self._inner().out_channels

    def facts(self, space: RecordSpace) -> dict[str, Any]:
        return self._inner().facts(space)

    def facts_from(self, published: Mapping[str, Any]) -> dict[str, Any]:
        return self._inner().facts_from(published)

    def objective(self, records: RecordsToLearn, facts: Mapping[str, Any]) -> Any:
        return self._inner().objective(records, facts)

    def estimates(self, sampling: Sampling) -> int | None:
        return self._inner().estimates(sampling)

    def evaluations(self, sampling: Sampling) -> float:
        return self._inner().evaluations(sampling)

    def check_sampling(self, sampling: Sampling) -> None:
        inner = self._inner()
        for key in sampling.chosen():
            if key not in inner.sampling_keys:
                raise SpecError(
                    f"sampling.{key} is not for this text_to_image; it understands: {', '.join(sorted(inner.sampling_keys))}"
                )
        inner.check_sampling(sampling)

    def bound_to(self, source: Source) -> Self:
        if self.checkpoint is not None:
            from autophage.networks.latent_diffusion import require

            require(*([] if self.tune == "full" else ["peft"]))
        return super().bound_to(source)

    def captions_of(self, data: Samples, start: DenoisingModel | None) -> CaptionsTold:
        if data.caption is None:
            raise FitFailed("a painter needs training records with captions, and these carry none")
        law = CaptionLaw.of(data.caption, np.asarray(data.weight, np.float64))
        if start is None:
            return CaptionsTold.of(data.caption, law, self.max_words, self.encoder or "transformer")
        if start.captions is None:
            raise FitFailed("a painter cannot continue from a model that knows no captions")
        return start.captions.after(law)

    def fit(self, data: Samples, *, start: Model | None = None, key: Key) -> Any:
        if self.checkpoint is not None:
            return self._inner().fit(data, start=start, key=key)
        return super().fit(data, start=start, key=key)

    def restore(self, arrays: Mapping[str, np.ndarray]) -> Any:
        if self.checkpoint is not None:
            return self._inner().restore(arrays)
        model = super().restore(arrays)
        if model.captions is None:
            raise SpecError("the stored model knows no captions; take the learner that made it")
        return model

    def adopted(self, place: str) -> Any:
        """The painter of ours that was published to this folder. Raises `SpecError` where there is none, or of other records."""
        from autophage.networks.checkpoints import adopt

        if self.checkpoint is not None or self.bound.space is None:
            what = "the data are no pictures" if self.bound.space is None else "learner.checkpoint is tuned"
            raise SpecError(
                f"initial_model.checkpoint {place} is no earlier generation of this learner, and {what}"
            )
        found = adopt(place, shape=self.bound.space.shape)
        if found.captions is None:
            raise SpecError(
                f"the checkpoint {place} is told no captions; a pipeline of diffusers is tuned with learner.checkpoint"
            )
        facts, device = self.facts_from(found.process), self.course(True).device
        captions = CaptionsTold.restored(found.captions)
        return self.made(
            found.network,
            found.net,
            self.bound.space,
            None,
            facts,
            device=device,
            report={},
            captions=captions,
        )
