"""Only samples that a verifier holds right are trained on (Feng et al. 2024)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np

from autophage.curation.keeping import dropped, filled, refuse_dropping
from autophage.curation.own_judge import (
    Function,
    chances_of,
    function_of,
    name_of,
    record_by_record,
    takes_two,
)
from autophage.data.arguments import one_of
from autophage.errors import FilterStarved, FitFailed, SpecError
from autophage.interventions import Curating, Curation
from autophage.metrics.spaces.pictures import SourceRecords, is_picture, natural_shape, require_pictures
from autophage.parts import Learner, Source
from autophage.samples import Batch, Samples
from autophage.theory.arguments import unit_interval

CLASSIFIERS = ("classifier", "cnn", "mlp")
"""Of the real labels: the one that suits the records, a convolutional network for pictures, or a perceptron."""


@dataclass(frozen=True, kw_only=True)
class Verification(Curation):
    """Each sample is judged right or wrong and kept accordingly: with probability phi = 1 - false_reject if the verifier holds it
    right, with psi = false_accept if wrong. Labels that are wrong with probability p pass as a share (1-p) phi + p psi, of which
    p psi is wrong: below p = phi / (phi + psi) most of what is kept is right, whatever the generator (`theory.verified`).

    `verifier: classifier` is trained once on generation 0's labelled real records (a convolutional network for pictures, else a
    perceptron) and holds a sample right when its likeliest class is the sample's own label. An own verifier maps records (m, ...),
    or records and labels (m,), to (m,) true or false, or chances in [0, 1] of being right, which are drawn. Without a verifier, or
    where every sample passes, it is the plain loop.

    Raises `FilterStarved` with `keep: n` when less than one proposal in 50 passes, or nothing does; `FitFailed` when an own
    verifier raises, or answers NaN or for another number of records.

    Notes for metrics: `acceptance`, `labels` (one for each sample judged); where it is known which samples are right - by the
    classifier, or by an `oracle` - `kept_precision` (right ones among the kept) and `kept_recall` (kept ones among the right).
    """

    citation: ClassVar[tuple[str, ...]] = (
        "Y. Feng, E. Dohmatob, P. Yang, F. Charton, J. Kempe (2024), Beyond Model Collapse: Scaling Up with Synthesized Data "
        "Requires Verification. arXiv 2406.07515",
    )

    verifier: Any = "classifier"
    """`classifier`, `cnn`, `mlp`, `module:function`, a function of records or of records and labels, or null: none."""
    keep: Literal["n", "proposals"] = "n"
    """`n`: propose until as many have passed as were asked for. `proposals`: keep what passes of that many proposals."""
    false_accept: float = 0.0
    """psi: the chance that a sample passes that the verifier holds wrong."""
    false_reject: float = 0.0
    """1 - phi: the chance that a sample does not pass that it holds right."""
    oracle: Any = None
    """What knows which samples are right, written as a verifier: it decides nothing, and is there for `kept_precision` and
    `kept_recall`. Default: the classifier, if that is the verifier."""

    def __post_init__(self) -> None:
        for rate in ("false_accept", "false_reject"):
            unit_interval(getattr(self, rate), f"curation.{rate}")
        if self.false_accept == 0 and self.false_reject == 1:
            raise SpecError(
                "curation.false_accept is 0 and curation.false_reject is 1, so that nothing can pass"
            )
        one_of(self.keep, "curation.keep", ("n", "proposals"))
        _ = self._functions

    @cached_property
    def _functions(self) -> tuple[Function | None, Function | None]:
        return tuple(_function(getattr(self, key), f"curation.{key}") for key in ("verifier", "oracle"))  # type: ignore[return-value]

    @property
    def knows(self) -> str:  # type: ignore[override]
        return (
            "what its verifier knows"
            if self._functions[0]
            else "the labels of the real records, through a classifier"
        )

    @property
    def idle(self) -> bool:
        return self.verifier is None or (self.false_accept == 1 and self.false_reject == 0)

    def check(self, learner: Learner, source: Source) -> None:
        if self.idle:
            return
        refuse_dropping(learner, self.keep, "verification")
        for key, function in zip(("verifier", "oracle"), self._functions, strict=True):
            given = getattr(self, key)
            if given is None:
                continue
            if function is None:
                if (
                    source.unlimited
                    or getattr(source, "classes", None) is None
                    or source.train().label is None
                ):
                    raise SpecError(
                        f"curation.{key} is `{given}`, which learns from labelled real records, and these data give none; "
                        "write module:function"
                    )
                if given == "cnn":
                    require_pictures(source, f"curation.{key}: cnn")
            if function is None or takes_two(function):
                _refuse_unlabelled(key, given, learner)

    def apply(self, samples: Any, *, context: Curating) -> Any:
        if self.idle:
            return samples
        chance = self._judge("verifier", self._functions[0], context)
        oracle = None
        if self.oracle is not None:
            oracle = self._judge("oracle", self._functions[1], context)
        accepted: list[np.ndarray] = []
        right: list[np.ndarray] = []

        def judge(batch: Any, draw: int) -> np.ndarray:
            held = chance(batch)
            rng = (context.key / "accept" / draw).generator()
            passes = rng.random(held.shape) < held * (1 - self.false_reject) + (1 - held) * self.false_accept
            accepted.append(passes)
            if oracle is not None:
                right.append(oracle(batch) >= 0.5)
            elif self._functions[0] is None:
                right.append(held >= 0.5)
            return passes

        if self.keep == "n":
            found = filled(samples, judge, context, "verification")
            looked = np.asarray(context.proposals)
        else:
            passed = judge(samples, 0)
            if not passed.any(axis=1).all():
                raise FilterStarved(f"verification kept none of {len(samples)} samples")
            found, looked = dropped(samples, passed), np.full(len(passed), float(len(samples)))
            context.note("acceptance", passed.mean(axis=1))
        context.note("labels", looked)
        if right:
            _note_right(np.concatenate(accepted, axis=1), np.concatenate(right, axis=1), looked, context)
        return found

    def _judge(self, role: str, function: Function | None, context: Curating) -> Callable[[Any], np.ndarray]:
        """From samples to the chance (R, n) that each is right."""
        if function is None:
            return _of_classifier(getattr(self, role), role, context)
        if not takes_two(function):
            return lambda batch: record_by_record(batch, lambda x: chances_of(function, role, x))

        def of_labelled(batch: Any) -> np.ndarray:
            label = _labels(batch, f"the {role} {name_of(function)} asks for")
            return chances_of(function, role, batch.x, label)[None]

        return of_labelled


def _function(given: Any, key: str) -> Function | None:
    """None for a classifier, and where there is none."""
    if given is None:
        return None
    if isinstance(given, str) and ":" not in given:
        one_of(given, f"{key} (or module:function)", CLASSIFIERS)
        return None
    return function_of(given, key)


def _refuse_unlabelled(key: str, given: Any, learner: Learner) -> None:
    """Raises `SpecError` where the learner's models make no labels."""
    silent = not getattr(learner, "conditional", True) or getattr(learner, "labels", "use") == "ignore"
    if silent or getattr(learner, "batched", False):
        name = given if isinstance(given, str) else name_of(given)
        mend = (
            "set learner.labels: use"
            if getattr(learner, "conditional", False)
            else "take one that does, such as diffusion"
        )
        raise SpecError(
            f"curation.{key} is `{name}`, which judges a sample by its label, and learner {type(learner).__name__.lower()} makes "
            f"none; {mend}"
        )


def _labels(batch: Any, who: str) -> np.ndarray:
    label = None if isinstance(batch, Batch) else batch.label
    if label is None:
        raise FitFailed(f"{who} labels, and the model's samples carry none")
    return label


def _of_classifier(kind: str, role: str, context: Curating) -> Callable[[Any], np.ndarray]:
    name = ("curation", "verifier", kind, context.agent)
    known = context.memo.get(name)
    if known is None or known[0] is not context.real:
        real = SourceRecords.of_source(context.real, context.source)
        _labels(real, f"the {role} `{kind}` learns from")
        known = context.memo[name] = (context.real, _trained(kind, real))
    classifier = known[1]

    def held_right(batch: Any) -> np.ndarray:
        label = _labels(batch, f"the {role} `{kind}` judges by")
        likeliest = classifier.classes[classifier.posterior(batch.x).argmax(axis=1)]
        return (likeliest == label).astype(np.float64)[None]

    return held_right


def _trained(kind: str, real: Samples) -> Any:
    if kind == "cnn" or (kind == "classifier" and is_picture(natural_shape(real))):
        from autophage.metrics.spaces.cnn import Cnn

        return Cnn(real)
    from autophage.metrics.features import Classifier

    return Classifier(real.x, real.label)


def _note_right(accepted: np.ndarray, right: np.ndarray, looked: np.ndarray, context: Curating) -> None:
    """Of the samples that each replicate looked at: right ones among the accepted, accepted ones among the right."""
    within = np.arange(accepted.shape[1]) < looked[:, None]
    both = (accepted & right & within).sum(axis=1)
    for name, among in (("kept_precision", accepted), ("kept_recall", right)):
        count = (among & within).sum(axis=1)
        if count.all():
            context.note(name, both / count)
