"""Can the loop's captioner still describe real pictures? Measured on held-out real pairs, whatever the loop generates.

Exact matches compare words, so that signs and capitals do not count. BLEU (Papineni et al. 2002) and chrF (Popovic 2015) come from
`sacrebleu` (Post 2018), which also says how words are split; a picture may have several captions. CIDEr is not offered: of the
packages that have it one splits words by Java, the other needs older versions of numpy and transformers.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from autophage.data.arguments import whole_number
from autophage.errors import DataError, MissingExtra, SpecError
from autophage.metrics.descriptions import (
    as_many,
    decoding_as,
    described,
    descriptions,
    plain,
    require_descriptions,
)
from autophage.metrics.intervals import mean, wilson
from autophage.metrics.judge_alignment import reads_attributes
from autophage.metrics.model_metric import ReadingMetric
from autophage.metrics.records import FIXED, VECTORS
from autophage.parts import Compared, Measurement, Source, View, measurements

ROWS = ("caption_accuracy", "caption_slot_accuracy", "caption_bleu", "caption_chrf")


def matches(said: np.ndarray, truth: Sequence[Sequence[Any]] | np.ndarray) -> Compared:
    """The share of descriptions (n,) that equal the true one (n,), or one of several, word for word. Interval: Wilson's.

    Raises `DataError` when they are not as many.

    >>> matches(np.array(["A cat.", "a dog"]), [["a cat", "one cat"], ["a cow"]]).value
    0.5
    """
    as_many(truth, said, "caption_accuracy")
    if isinstance(truth, np.ndarray):
        hit = plain(said) == plain(truth)
    else:
        hit = np.array(
            [c in set(plain(np.array(refs, np.str_))) for c, refs in zip(plain(said), truth, strict=True)]
        )
    return wilson(int(hit.sum()), len(hit))


def slots_right(told: np.ndarray, truth: np.ndarray) -> Compared:
    """The mean share of the attributes truth (n, A) names (-1: not) that told (n, A) says as well; NaN where none is named."""
    named = (truth >= 0).any(axis=1)
    if not named.any():
        return Compared(float("nan"), n=0)
    told, truth = told[named], truth[named]
    return mean(((told == truth) & (truth >= 0)).sum(axis=1) / (truth >= 0).sum(axis=1))


def overlap_scores(said: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Compared]:
    """BLEU-4 and chrF2 of captions, 0 to 100, in small letters, each against one or more references. No intervals."""
    from sacrebleu.metrics import BLEU, CHRF

    most = max(len(refs) for refs in references)
    # One stream for the first references of all, one for the second, ...; None where a caption has fewer.
    streams = [[refs[i] if i < len(refs) else None for refs in references] for i in range(most)]
    scores: list[Any] = [BLEU(lowercase=True), CHRF(lowercase=True)]
    found = [score.corpus_score(list(said), streams).score for score in scores]
    return {row: Compared(float(v), n=len(said)) for row, v in zip(ROWS[2:], found, strict=True)}


@dataclass(frozen=True, kw_only=True)
class CaptionAccuracy(ReadingMetric):
    """How well a captioner describes held-out real pictures, by its likeliest captions (greedy). Rows:

    - `caption_accuracy`: share that equals the true description, one of them where there are several;
    - `caption_slot_accuracy`: share of the attributes that the true caption names which its caption has too; for data that read
      attributes off captions;
    - `caption_bleu`, `caption_chrf`: n-gram overlap with the references, 0 to 100, where `bleu` is set.

    Measured for the agents of a loop that describe. Intervals are over pictures.
    """

    direction: ClassVar[Literal["lower", "higher", "none"]] = "higher"
    domains: ClassVar[frozenset[str]] = VECTORS
    reads: ClassVar[frozenset[str]] = frozenset({"caption_log_prob|label_log_prob"})
    of_some: ClassVar[bool] = True
    of_descriptions: ClassVar[bool] = True

    bleu: bool = False
    """Also BLEU and chrF, for captions that are sentences; through the package sacrebleu."""
    most: int = 1000
    """Held-out real pictures that are described, at most; the same ones in every generation."""

    def __post_init__(self) -> None:
        whole_number(self.most, "metric caption_accuracy: most", least=2)

    @property
    def directions(self) -> dict[str, str]:
        """Which way is better, by row name."""
        return dict.fromkeys(ROWS, "higher")

    def check(self, source: Source) -> None:
        """Raises `SpecError` where records have no descriptions, or no captions for BLEU; `MissingExtra` without sacrebleu."""
        require_descriptions(source, "caption_accuracy", captions=self.bleu)
        if self.bleu and importlib.util.find_spec("sacrebleu") is None:
            raise MissingExtra(
                "metric caption_accuracy: bleu needs sacrebleu, which is not installed; pip install 'autophage[multimodal]'"
            )

    def measure(self, view: View) -> list[Measurement]:
        if self.lacking(view.model) or not view.describes:
            return []
        if view.replicates > 1:
            raise SpecError("metric caption_accuracy is for captioners, of which there is one a replicate")
        source: Any = view.source
        real = source.reference()
        rows = np.arange(len(real))
        if len(rows) > self.most:
            rows = np.sort((FIXED / "described").generator().choice(len(rows), self.most, replace=False))
        pictures = real[rows]
        truth = described(pictures, "caption_accuracy", "the real")
        model = decoding_as(view, "greedy")
        said = descriptions(model.sample(len(rows), key=view.key / "caption accuracy", given=pictures))
        if said is None:
            raise DataError(
                f"caption_accuracy: {type(model).__name__} gave pictures back without descriptions"
            )
        every = getattr(source, "references", None)
        every = every() if callable(every) else every
        several = None if every is None or pictures.caption is None else [every[i] for i in rows.tolist()]
        found = {ROWS[0]: matches(said, truth if several is None else several)}
        if pictures.caption is not None:
            if reads_attributes(source):
                found[ROWS[1]] = slots_right(source.attributes_of(said), source.attributes_of(truth))
            if self.bleu:
                found |= overlap_scores(said.tolist(), several or [[c] for c in truth.tolist()])
        return measurements([found])
