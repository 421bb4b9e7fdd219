"""The training set is chosen among all records so far, by whether a probe of generation 0's latents recognises them.

The pool is what the workflow has put together, usually `accumulate`: the real records and everything ever sampled. Of it only as
many records are trained on as generation 0 had (Cai, Wang, Liu and Zhang 2026: a fixed budget, and no new real data). What the
filter finds are records off the manifold of their class. It is blind to a mere loss of diversity, of which confidence says
nothing, and `rule: top` adds to it: where every generation is fitted from scratch it is mode seeking.
"""

from __future__ import annotations

import numbers
import warnings
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from autophage import registry
from autophage.curation.latent_probe import Ruler, finite, ruler_of
from autophage.data.arguments import one_of, whole_number
from autophage.errors import FitFailed, SpecError, UserError
from autophage.interventions import Curating, Curation
from autophage.keys import Key
from autophage.parts import Learner, Source
from autophage.samples import REAL, Samples

RULES = ("threshold", "top", "per_class", "match")
BINS = 20
"""Bins of equal real mass that `match` fills."""


@dataclass(frozen=True, kw_only=True)
class LatentFilter(Curation):
    """Of a labelled pool, `size` records by their confidence xi, the probability that a probe of generation 0's latents gives to
    their own class.

    The probe is trained once, on the real records; real records are judged by it like all others. Raises `FitFailed` for an
    unlabelled pool, a pool smaller than `size`, more than 1 % latents that are not finite, and, unless `uninformative` says
    otherwise, a probe that is right less than 1.5 / C of the time on held-out real records.

    Notes for metrics: `mean_confidence` (of the newest generation), `selected_confidence`, `mean_generation` (of the selection, a
    real record being -1), `selected_real_share`, `selected`, `probe_accuracy`, `latent_noise`, `dropped_latents`, `ole` and
    `ole_relative` of the newest generation's latents, `random_selection` (1 where the probe was passed over), and the cost
    `auxiliary_records`.
    """

    citation: ClassVar[tuple[str, ...]] = (
        "Cai, Wang, Liu and Zhang (2026), latent space filtering for self-consuming diffusion models, Proceedings of the AAAI "
        "Conference on Artificial Intelligence 40(24), 19844-19852, arXiv 2511.12742",
    )
    on: ClassVar[Literal["new", "training_set"]] = "training_set"
    needs: ClassVar[frozenset[str]] = frozenset({"first"})
    knows: ClassVar[str] = "a probe of real labels"

    rule: Literal["threshold", "top", "per_class", "match"] = "threshold"
    """threshold: any records that are at least as confident as the `quantile` of held-out real ones; top: the most confident;
    per_class: the most confident of each class, the same number of each; match: so that their confidences are distributed as
    those of held-out real records."""
    size: int | None = None
    """Records of the training set; as many as generation 0's real records unless given. Fewer where fewer pass the threshold."""
    quantile: float = 0.25
    """Of the real confidences, for rule threshold."""
    noise: Any = "auto"
    """Share of the variance that is noise when records are encoded, in [0, 1); auto: where the classes of held-out real records
    are nearest to orthogonal."""
    uninformative: Literal["refuse", "random"] = "refuse"
    """What to do with a probe that cannot tell the classes apart: end the run, or choose at random, with a warning."""

    def __post_init__(self) -> None:
        one_of(self.rule, "curation.rule", RULES)
        one_of(self.uninformative, "curation.uninformative", ("refuse", "random"))
        if self.size is not None:
            whole_number(self.size, "curation.size", least=1)
        if not 0 <= self.quantile < 1:
            raise SpecError(f"curation.quantile is {self.quantile}; it must lie in [0, 1)")
        check_noise(self.noise, "curation.noise")

    def check(self, learner: Learner, source: Source) -> None:
        check_latents(learner, source, "curation latent_filter")

    def notes(self, learner: Learner, source: Source) -> list[str]:
        if self.rule != "top" or getattr(learner, "start", "scratch") != "scratch":
            return []
        return [
            "curation latent_filter keeps the most confident records and every generation is fitted from scratch: that is mode "
            "seeking and loses recall; rule: threshold or match does not"
        ]

    def apply(self, samples: Samples, *, context: Curating) -> Samples:
        n = len(context.real) if self.size is None else self.size
        if samples.label is None:
            raise FitFailed("latent_filter judges records by their class, and the pool's carry no labels")
        if n > len(samples):
            raise FitFailed(
                f"latent_filter is to choose {n:,} records of a pool of {len(samples):,}; set curation.size lower, or take "
                "workflow: accumulate"
            )
        ruler = ruler_of(context.memo, context.first(), context.real, context.source.reference(), self.noise)
        context.note("probe_accuracy", ruler.accuracy)
        context.note("latent_noise", ruler.noise)
        context.note("auxiliary_records", len(context.real) if context.generation == 1 else 0)
        blind = not ruler.informative
        if blind and self.uninformative == "refuse":
            raise FitFailed(
                f"the probe is right on {ruler.accuracy:.0%} of held-out real records of {len(ruler.probe.classes)} classes, too "
                "rarely to filter by; set curation.uninformative: random to choose at random instead"
            )
        xi, newest = ruler.judged(samples)
        seen = finite(xi, "records of the pool")
        rows = np.flatnonzero(seen)
        key = context.key / "chosen"
        if blind:
            warnings.warn(
                f"generation {context.generation}: the probe of latent_filter is right on {ruler.accuracy:.0%} of held-out real "
                f"records of {len(ruler.probe.classes)} classes, too rarely to filter by; records are chosen at random",
                stacklevel=2,
            )
            chosen = _some(rows, n, key)
        else:
            chosen = self._chosen(rows, xi, np.asarray(samples.label), min(n, len(rows)), ruler, key)
        made_in = np.asarray(samples.generation)
        young = seen & (made_in == made_in.max()) & (made_in != REAL)
        if newest is not None and young.any():
            context.note("mean_confidence", xi[young].mean())
            context.note("ole", newest.ole)
            context.note("ole_relative", newest.relative)
        context.note("selected_confidence", xi[chosen].mean())
        context.note("mean_generation", made_in[chosen].mean())
        context.note("selected_real_share", (made_in[chosen] == REAL).mean())
        context.note("selected", len(chosen))
        context.note("dropped_latents", (~seen).sum())
        context.note("random_selection", float(blind))
        return samples[np.sort(chosen)]

    def _chosen(
        self, rows: np.ndarray, xi: np.ndarray, label: np.ndarray, n: int, ruler: Ruler, key: Key
    ) -> np.ndarray:
        """n of the `rows`, fewer where fewer pass the threshold."""
        if self.rule == "top":
            return _most(rows, xi, n)
        if self.rule == "per_class":
            return _of_each_class(rows, xi, label, n, ruler.probe.classes)
        if self.rule == "match":
            return _matched(rows, xi, n, ruler.held_out, key)
        least = np.quantile(ruler.held_out, self.quantile)
        passing = rows[xi[rows] >= least]
        if not len(passing):
            raise FitFailed(
                f"no record of the pool is as confident as {least:.3g}, the threshold of latent_filter"
            )
        return _some(passing, n, key)


def _some(rows: np.ndarray, n: int, key: Key) -> np.ndarray:
    """n of the rows at random, or all of them."""
    return rows if n >= len(rows) else key.generator().choice(rows, n, replace=False)


def _most(rows: np.ndarray, xi: np.ndarray, n: int) -> np.ndarray:
    """The n most confident rows; of equals the first."""
    return rows[np.argsort(-xi[rows], kind="stable")[:n]]


def _of_each_class(
    rows: np.ndarray, xi: np.ndarray, label: np.ndarray, n: int, classes: np.ndarray
) -> np.ndarray:
    """The most confident rows of each class, n / C of each; what a class lacks, the most confident of the others give."""
    gone = np.setdiff1d(classes, label[rows])
    if len(gone):
        raise FitFailed(
            f"rule per_class needs records of every class, and the pool has none of class {gone[0]}"
        )
    shares = np.full(len(classes), n // len(classes))
    shares[: n % len(classes)] += 1
    taken = np.concatenate(
        [_most(rows[label[rows] == c], xi, share) for c, share in zip(classes, shares, strict=True)]
    )
    left = np.setdiff1d(rows, taken)
    return np.concatenate([taken, _most(left, xi, n - len(taken))])


def _matched(rows: np.ndarray, xi: np.ndarray, n: int, real: np.ndarray, key: Key) -> np.ndarray:
    """n rows whose confidences fill bins of equal real mass evenly; what a bin lacks is drawn from the rows left over."""
    edges = np.quantile(real, np.arange(1, BINS) / BINS)
    place = np.searchsorted(edges, xi[rows], side="right")
    shares = np.full(BINS, n // BINS)
    shares[(key / "odd").generator().permutation(BINS)[: n % BINS]] += 1
    taken = np.concatenate(
        [_some(rows[place == b], share, key / "bin" / b) for b, share in enumerate(shares.tolist())]
    )
    left = np.setdiff1d(rows, taken)
    return np.concatenate([taken, _some(left, n - len(taken), key / "rest")])


def check_noise(noise: Any, key: str) -> None:
    """Raises `SpecError` unless `noise` is auto or a share of the variance in [0, 1)."""
    number = isinstance(noise, numbers.Real) and not isinstance(noise, bool) and 0 <= float(noise) < 1
    if not (number or noise == "auto"):
        raise SpecError(f"{key} is {noise!r}; it must be auto or a number in [0, 1)")


def check_latents(learner: Learner, source: Source, who: str) -> None:
    """Raises `SpecError` where models have no latents, samples no labels, or real records fewer than two classes."""
    kind = registry.kind_of("learner", learner)
    if not getattr(learner, "has_latents", False):
        would = [k for k in registry.kinds("learner") if _encodes(k)]
        raise SpecError(
            f"{who} reads latents, and models of learner {kind} have none; learners that do: {', '.join(would)}"
        )
    if not getattr(learner, "conditional", False):
        raise SpecError(
            f"{who} judges samples by the class they were asked for, and learner {kind} makes records of no class; take "
            "class_gaussian, or diffusion or flow_matching with labels: use"
        )
    if getattr(learner, "labels", "use") == "ignore":
        raise SpecError(f"{who} judges samples by the class they were asked for; set learner.labels: use")
    if source.unlimited or source.reference().label is None:
        raise SpecError(
            f"{who} needs labelled real records, and data {registry.kind_of('data', source)} gives none to train on; take a "
            "finite set with labels, such as digits"
        )
    if len(np.unique(np.asarray(source.train().label))) < 2:
        raise SpecError(f"{who} needs real records of at least two classes, and these have one")


def _encodes(kind: str) -> bool:
    try:
        return bool(getattr(registry.find("learner", kind), "has_latents", False))
    except UserError:  # one that is not installed will not do either
        return False
