"""How many different things are still said, of different pictures and of one and the same.

    H = -sum_c p(c) ln p(c)      p the frequencies of whole descriptions;  exp(H): as many even ones say as much
    distinct-n = different runs of n words / all runs of n words       (Li et al. 2016)
    V_between = trace of the covariance of bags of words over pictures;  of classes 1 - sum_c p(c)^2
    V_within  = 1 - sum_c P(c | x)^2, averaged over pictures x: two captions of one picture differ so often

V_within is estimated without bias from R captions of a picture, 1 - sum_c n_c (n_c - 1) / (R (R - 1)), or read off where a
captioner can say all chances. It can GROW in a collapsing loop, as labels of labels get lost (Hu, Rostami and Thomason 2025).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from autophage.data.arguments import whole_number
from autophage.errors import DataError
from autophage.keys import Key
from autophage.metrics.class_shares import class_entropy
from autophage.metrics.descriptions import (
    Bags,
    decoding_as,
    described,
    descriptions,
    plain,
    require_descriptions,
)
from autophage.metrics.intervals import mean
from autophage.metrics.model_metric import exposes
from autophage.metrics.records import FIXED, VECTORS
from autophage.parts import Compared, Measurement, Metric, Model, Source, View, measurements
from autophage.samples import Samples

DIRECTIONS = {
    "vocabulary_size": "higher",
    "distinct_1": "higher",
    "distinct_2": "higher",
    "caption_entropy": "higher",
    "effective_captions": "higher",
    "caption_variance": "none",
    "caption_variance_within": "none",
}
"""Which way is better, row by row. More variance can be more life, or more mistakes."""


def distinct(bags: Bags, found: np.ndarray, n: int) -> Compared:
    """Different runs of n words over all such runs in descriptions (m,); NaN where none has n words. It falls with m.

    >>> said = np.array(["a red cat", "a red dog"])
    >>> distinct(Bags.of(said), said, 2).value
    0.75
    """
    from autophage.captions.vocabulary import words_of

    different: set[tuple[str, ...]] = set()
    total = 0
    for text, times in zip(np.unique(found).tolist(), bags.times.tolist(), strict=True):
        words = words_of(str(text))
        runs = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        different.update(runs)
        total += times * len(runs)
    return Compared(len(different) / total if total else float("nan"), n=len(found))


def caption_variance(bags: Bags) -> Compared:
    """The trace of the unbiased covariance of bags of words (n, V); of single words 1 - sum p^2, times n / (n - 1).

    Interval: normal, from the spread of squared distances to the mean. Raises `DataError` below two descriptions.

    >>> caption_variance(Bags.of(np.array([0, 0, 1, 1]))).value
    0.6666666666666666
    """
    n = len(bags.which)
    if n < 2:
        raise DataError("a variance of captions needs at least two of them")
    centre = bags.counts.T @ bags.times / n
    square = np.asarray(bags.counts.multiply(bags.counts).sum(axis=1)).ravel()
    away = square - 2 * (bags.counts @ centre) + centre @ centre
    return mean(away[bags.which] * (n / (n - 1)))


def disagreement(captions: np.ndarray) -> Compared:
    """How often two captions of one picture differ, from captions (R, n), R >= 2, of n pictures: unbiased for the mean of
    1 - sum_c P(c | x)^2. Interval: normal, over pictures.

    >>> disagreement(np.array([["a", "a"], ["b", "a"]])).value
    0.5
    """
    repeats = len(captions)
    if repeats < 2:
        raise DataError(f"captions of one picture are compared, and there is {repeats} of each")
    same = np.zeros(captions.shape[1])
    for i in range(repeats):
        for j in range(i):
            same += captions[i] == captions[j]
    return mean(1 - same / (repeats * (repeats - 1) / 2))


@dataclass(frozen=True, kw_only=True)
class CaptionDiversity(Metric):
    """How varied generated descriptions are, captions or classes. Rows:

    - `vocabulary_size`: different words; `distinct_1`, `distinct_2`: different words, and pairs of neighbours, over all
      (captions only);
    - `caption_entropy`: of whole descriptions, in nats; `effective_captions`: its exponential;
    - `caption_variance`: of bags of words, over pictures;
    - `caption_variance_within`: share of differing pairs among captions of one picture, drawn by their chances whatever the
      loop's decoding; for agents that describe.

    The first five fall with the number of captions: compare at equal sizes. Raises `DataError` where generated records carry
    neither captions nor labels.
    """

    direction: ClassVar[Literal["lower", "higher", "none"]] = "higher"
    needs: ClassVar[frozenset[str]] = frozenset({"samples"})
    domains: ClassVar[frozenset[str]] = VECTORS
    of_descriptions: ClassVar[bool] = True

    repeats: int = 4
    """Captions of each picture, where a captioner cannot say all chances."""
    pictures: int = 200
    """Pictures that are described again and again."""

    def __post_init__(self) -> None:
        whole_number(self.repeats, "metric caption_diversity: repeats", least=2)
        whole_number(self.pictures, "metric caption_diversity: pictures", least=2)

    @property
    def directions(self) -> dict[str, str]:
        """Which way is better, by row name."""
        return dict(DIRECTIONS)

    def check(self, source: Source) -> None:
        """Raises `SpecError` where records have no descriptions."""
        require_descriptions(source, "caption_diversity")

    def measure(self, view: View) -> list[Measurement]:
        found = []
        for r in range(view.replicates):
            records = view.generated(r)
            said = plain(described(records, "caption_diversity"))
            answer = diversity(said, view.key / "caption diversity" / r)
            if view.describes:
                answer["caption_variance_within"] = self._within(view, records, r)
            found.append(answer)
        return measurements(found)

    def _within(self, view: View, records: Samples, r: int) -> Compared:
        """Of at most `pictures` of the records, the same ones in every generation."""
        rows = np.arange(len(records))
        if len(rows) > self.pictures:
            rows = np.sort(
                (FIXED / "described again").generator().choice(len(rows), self.pictures, replace=False)
            )
        chosen, model = records[rows], decoding_as(view, "sample")
        if exposes(model, "label_log_prob") and records.caption is None:
            reader: Any = model
            return mean(1 - np.exp(2 * np.asarray(reader.label_log_prob(chosen.x), np.float64)).sum(axis=1))
        return disagreement(decoded(model, chosen, self.repeats, view.key / "described again" / r))


def decoded(model: Model, records: Samples, repeats: int, key: Key) -> np.ndarray:
    """What a captioner says of each record, again and again: (repeats, n)."""
    found = []
    for i in range(repeats):
        said = descriptions(model.sample(len(records), key=key / i, given=records))
        if said is None:
            raise DataError(f"{type(model).__name__} gave records back without descriptions")
        found.append(plain(said))
    return np.stack(found)


def diversity(said: np.ndarray, key: Key) -> dict[str, Compared]:
    """The rows of descriptions (n,) alone."""
    bags, n = Bags.of(said), len(said)
    entropy = class_entropy(bags.times, key=key)
    rows = {"vocabulary_size": Compared(float(len(bags.words)), n=n)}
    if said.dtype.kind in "US":
        rows |= {f"distinct_{k}": distinct(bags, said, k) for k in (1, 2)}
    rows["caption_entropy"] = entropy
    low, value, high = (float(np.exp(h)) for h in (entropy.low, entropy.value, entropy.high))
    rows["effective_captions"] = Compared(value, low, high, n)
    rows["caption_variance"] = caption_variance(bags)
    return rows
