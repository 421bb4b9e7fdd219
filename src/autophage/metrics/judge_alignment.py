"""Do the records show what is said of them? The mean chance that a judge outside of the loop gives to their descriptions.

    A_J = mean of J(c | x) over the generated pairs (x, c)

J is trained once, on real pairs that the loop does not train on, and stays. While a captioner and a generator agree with each
other ever better (`self_consistency`), A_J says whether anybody else agrees: it can rise while quality falls (Hu, Rostami and
Thomason 2025), so that no loop should be stopped by it alone.

    softmax    J(c | x) = exp(w_c' f(x) + b_c) / sum_k exp(w_k' f(x) + b_k),  f principal components,
               minimising mean cross-entropy + penalty / 2 |w|^2
    exact      J(c | x) = share of the attributes named by c that x has, where the data can be read without error
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np

from autophage.curation.own_judge import chances_of, function_of, name_of
from autophage.data.arguments import positive, whole_number
from autophage.errors import SpecError
from autophage.metrics.descriptions import as_many, described, descriptions, plain, require_descriptions
from autophage.metrics.features import ScaledComponents
from autophage.metrics.intervals import mean
from autophage.metrics.judge_records import Pairs, at_most, pairs_of, real_pairs
from autophage.metrics.records import VECTORS
from autophage.parts import Compared, Measurement, Metric, Source, View, measurements
from autophage.samples import Samples

Judge = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From records x (n, ...) and descriptions (n,) to J(c | x) (n,) in [0, 1]; NaN where a description names nothing."""
KINDS = ("auto", "softmax", "exact")
MOST_CAPTIONS = 200
"""Different captions between which a softmax judge can choose."""


class Softmax:
    """A softmax regression of descriptions on features, trained on real pairs.

    Descriptions that are not among the pairs' have no chance. Raises `SpecError` where there are fewer than 2 different ones, or
    more than 200 captions.
    """

    def __init__(self, pairs: Samples, components: int, penalty: float) -> None:
        said = plain(described(pairs, "judge_alignment", "the judge's real"))
        self.classes = np.unique(said)
        if len(self.classes) < 2:
            raise SpecError(
                f"metric judge_alignment: the judge's {len(said)} real pairs need at least 2 different descriptions, and have "
                f"{len(self.classes)}"
            )
        if said.dtype.kind in "US" and len(self.classes) > MOST_CAPTIONS:
            raise SpecError(too_many(len(self.classes)))
        from sklearn.linear_model import LogisticRegression

        self.features = ScaledComponents(pairs.x, at_most(components, pairs))
        self.model = LogisticRegression(C=1 / (penalty * len(pairs)), max_iter=2000)
        self.model.fit(self.features(pairs.x), np.searchsorted(self.classes, said))

    def __call__(self, x: np.ndarray, said: np.ndarray) -> np.ndarray:
        chances = self.model.predict_proba(self.features(x))
        said = plain(said)
        place = np.minimum(np.searchsorted(self.classes, said), len(self.classes) - 1)
        return np.where(self.classes[place] == said, chances[np.arange(len(x)), place], 0.0)


class Exact:
    """The share of the attributes that a caption names which the picture has, as the data themselves read pictures."""

    def __init__(self, source: Any) -> None:
        self.source = source

    def __call__(self, x: np.ndarray, said: np.ndarray) -> np.ndarray:
        seen, told = np.asarray(self.source.attributes(x)), np.asarray(self.source.attributes_of(said))
        named = told >= 0
        with np.errstate(invalid="ignore"):
            return ((seen == told) & named).sum(axis=1) / named.sum(axis=1)


def reads_attributes(source: Any) -> bool:
    """Whether a source says which attributes pictures have, and captions name."""
    return hasattr(source, "attributes") and hasattr(source, "attributes_of")


def too_many(found: int) -> str:
    """The sentence that refuses so many captions."""
    return (
        f"metric judge_alignment: a softmax judge chooses between at most {MOST_CAPTIONS} captions, and the data have {found:,} "
        "different ones; take metric cosine_alignment, which compares captions by their words"
    )


def alignment(judge: Judge, x: np.ndarray, said: np.ndarray) -> Compared:
    """The mean of J(c | x) over records (n, ...) and descriptions (n,); pairs that say nothing are left out.

    Interval: normal, over the pairs. NaN where none says anything. Raises `DataError` when x and c differ in number.
    """
    as_many(x, said, "judge_alignment")
    chances = np.asarray(judge(x, said), dtype=np.float64)
    chances = chances[~np.isnan(chances)]
    return mean(chances) if len(chances) else Compared(float("nan"), n=0)


@dataclass(frozen=True, kw_only=True)
class JudgeAlignment(Metric):
    """Mean chance that a frozen judge gives to the descriptions of generated records. Rows:

    - `judge_alignment`: of the generated pairs: what a model was asked for, or what a captioner says;
    - `judge_alignment_real`: of held-out real pairs that the judge did not learn from, the same in every generation.

    A `judge` other than auto is added to the names.
    """

    citation: ClassVar[tuple[str, ...]] = (
        "Z. Hu, M. Rostami, J. Thomason (2025), Multi-modal synthetic data training and model collapse: insights from VLMs and "
        "diffusion models, arXiv 2505.08803",
    )
    direction: ClassVar[Literal["lower", "higher", "none"]] = "higher"
    needs: ClassVar[frozenset[str]] = frozenset({"samples"})
    domains: ClassVar[frozenset[str]] = VECTORS
    of_descriptions: ClassVar[bool] = True

    judge: Any = "auto"
    """softmax (a softmax regression trained on real pairs), exact (the data read their own pictures), auto (exact where the data
    can, else softmax), or a `module:function` of your own, which is given records (n, ...) and their captions or labels (n,)
    and answers with n chances in [0, 1]."""
    judge_size: int | None = None
    """Real pairs that the judge learns from, the last of the training part: none that the loop trains on. Unless given at most
    10,000, or half of the held-out records where fewer are left."""
    components: int = 20
    """Principal components that the softmax judge sees, over the standard deviation of all; as many as there are, at most."""
    penalty: float = 1e-3
    """The softmax judge's penalty on its squared weights, against the mean cross-entropy."""

    def __post_init__(self) -> None:
        if not (self.judge in KINDS or callable(self.judge) or ":" in str(self.judge)):
            raise SpecError(
                f"metric judge_alignment: judge is {self.judge!r}; known: {', '.join(KINDS)}, module:function"
            )
        if self.judge_size is not None:
            whole_number(self.judge_size, "metric judge_alignment: judge_size", least=2)
        whole_number(self.components, "metric judge_alignment: components", least=1)
        positive(self.penalty, "metric judge_alignment: penalty")
        _ = self._own

    @property
    def directions(self) -> dict[str, str]:
        """Which way is better, by row name."""
        return {self.row("judge_alignment"): "higher", self.row("judge_alignment_real"): "none"}

    def row(self, name: str) -> str:
        """A row's name with the judge that was chosen."""
        if self.judge == "auto":
            return name
        return f"{name}_{self.judge if self._own is None else name_of(self._own)}"

    @cached_property
    def _own(self) -> Callable | None:
        return None if self.judge in KINDS else function_of(self.judge, "metric judge_alignment: judge")

    def check(self, source: Source) -> None:
        """Raises `SpecError` where records have no descriptions, or this judge cannot judge them."""
        require_descriptions(source, "judge_alignment")
        if self.judge == "exact" and not reads_attributes(source):
            raise SpecError(
                "metric judge_alignment: judge is exact, and these data cannot read attributes off pictures; take softmax"
            )
        caption = source.reference().caption
        if self._kind(source) == "softmax" and caption is not None:
            different = len(np.unique(plain(caption)))
            if different > MOST_CAPTIONS:
                raise SpecError(too_many(different))

    def check_real(self, source: Source, used: int) -> None:
        """Raises `SpecError` where the loop uses the first `used` real records and too few are left for the judge."""
        if self._kind(source) == "softmax":
            real_pairs(source, used, self.judge_size, "judge_alignment")

    def _kind(self, source: Any) -> str:
        if self._own is not None:
            return "own"
        if self.judge != "auto":
            return self.judge
        held = descriptions(source.reference())
        captioned = held is not None and held.dtype.kind in "US"
        return "exact" if captioned and reads_attributes(source) else "softmax"

    def measure(self, view: View) -> list[Measurement]:
        kind = self._kind(view.source)
        pairs = pairs_of(view, self.judge_size if kind == "softmax" else None, "judge_alignment")
        judge, real = self._trained(view, kind, pairs)
        found = []
        for r in range(view.replicates):
            made = view.generated(r)
            said = described(made, "judge_alignment")
            found.append(
                {
                    self.row("judge_alignment"): alignment(judge, made.x, said),
                    self.row("judge_alignment_real"): real,
                }
            )
        return measurements(found)

    def _trained(self, view: View, kind: str, pairs: Pairs) -> tuple[Judge, Compared]:
        """The judge, and how it agrees with real pairs that it did not see: once a run."""
        own = self._own
        name = ("metrics", "judge", kind, own, self.judge_size, self.components, self.penalty)
        if name not in view.memo or view.memo[name][0] is not pairs:
            judge: Judge
            if own is not None:

                def judge(x: np.ndarray, said: np.ndarray) -> np.ndarray:
                    return chances_of(own, "judge", x, said)
            elif kind == "exact":
                judge = Exact(view.source)
            else:
                judge = Softmax(pairs.learnt, self.components, self.penalty)
            held = pairs.held_out
            real = alignment(judge, held.x, described(held, "judge_alignment", "the real"))
            view.memo[name] = pairs, judge, real
        return view.memo[name][1:]
