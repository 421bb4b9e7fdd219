"""A classifier of real against synthetic records, for curations that keep or weigh what looks real.

Logistic regression on standardised features, both sides of equal mass: its log odds estimate log p(x) / q(x), p the real law and q
the model's. Both sides are cut into halves and each half is judged by the classifier that was trained on the other one, so that no
record is judged by one that has seen it, and the AUC is that of unseen records.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from autophage.data.arguments import one_of, whole_number
from autophage.errors import AutophageError, DataError, FitFailed, SpecError
from autophage.interventions import Curating, Curation
from autophage.keys import Key
from autophage.metrics.features import (
    OUTSIDE,
    SPACES,
    TRAINED_ELSEWHERE,
    Features,
    Standardised,
    fit_features,
)
from autophage.metrics.records import VECTORS
from autophage.metrics.spaces.pictures import SourceRecords, in_parts, require_pictures
from autophage.parts import Learner, Source
from autophage.samples import Samples

MOST = 10_000
"""Records a side that a classifier is trained on at most."""
AT_ONCE = 4096
"""Records whose features are taken together: most spaces work in float64."""
TERMS = ("linear", "quadratic")
FEWEST = 8
"""Records a side without which there is nothing to learn from."""


@dataclass(frozen=True, kw_only=True)
class RealOrSynthetic(Curation):
    """A curation whose classifier tells real from synthetic records."""

    features: str = "pca"
    """Where the classifier compares records: pixels, standardised, pca, classifier, cnn, `inception:FILE`, `transformers:MODEL` or
    `module:function`, as for metrics; fitted on generation 0's real records."""
    components: int = 16
    """Principal components, for `features: pca`; no more than the records allow."""
    terms: Literal["linear", "quadratic"] = "linear"
    """What the classifier sees: the features, which show shifts of means, or also their squares and products, which show
    differences of spread and need more real records."""

    def __post_init__(self) -> None:
        check_features(self.features, self.components, self.terms)


def check_features(features: str, components: int, terms: str = TERMS[0]) -> None:
    """Raises `SpecError` for a space, or terms, that are not known."""
    if not isinstance(features, str) or (features not in SPACES and not features.partition(":")[2]):
        raise SpecError(f"curation.features is {features!r}; known: {', '.join(SPACES)}, {OUTSIDE}")
    whole_number(components, "curation.components", least=1)
    one_of(terms, "curation.terms", TERMS)


def check_setting(kind: str, features: str, learner: Learner, source: Source) -> None:
    """Raises `SpecError` where a curation of this kind cannot look at these records in that space."""
    refuse_batched(kind, learner)
    if source.domain not in VECTORS:
        raise SpecError(f"curation {kind} compares records as vectors, and the data are {source.domain}")
    origin, _, path = features.partition(":")
    if features == "cnn" or (path and origin in TRAINED_ELSEWHERE):
        require_pictures(source, f"curation {kind}: features: {features}")
    if features in ("cnn", "classifier") and (source.unlimited or source.train().label is None):
        raise SpecError(
            f"curation {kind}: features: {features} needs labelled real records, and these data give none"
        )
    if path and origin not in TRAINED_ELSEWHERE:
        from autophage.curation.own_judge import function_of

        function_of(features, "curation.features")


def refuse_batched(kind: str, learner: Learner) -> None:
    """Raises `SpecError` for a learner of a thousand replicates at once."""
    if getattr(learner, "batched", False):
        raise SpecError(
            f"curation {kind} judges the samples of one replicate at a time, and learner {type(learner).__name__.lower()} "
            "works on a thousand at once; take a learner of one replicate, such as flow or diffusion"
        )


class Space(NamedTuple):
    """A feature space, fitted on generation 0's real records."""

    features: Callable[[Any], np.ndarray]
    """From `Samples` to their features (n, k), float64."""
    real: np.ndarray
    """(N, k) those of the real records."""


def space_of(context: Curating, features: str, components: int) -> Space:
    """The space that a spec names, and the real records in it: made once, and again where another replicate has real records
    of its own. Principal components are no more than the records allow.

    Raises `FitFailed` where the features cannot be had: a function of the user's fails, or gives something else than numbers.
    """
    name = ("curation", "space", features, components, context.agent)
    known = context.memo.get(name)
    if known is None or known[0] is not context.real:
        real = SourceRecords.of_source(context.real, context.source)
        most = min(components, len(real), int(np.prod(real.fields["x"].shape[1:])))
        extract = _careful(features, lambda: fit_features(features, lambda: real, components=most))
        known = context.memo[name] = (context.real, extract, _embedded(features, extract, real))
    _, extract, seen = known
    return Space(lambda samples: _embedded(features, extract, samples), seen)


def _careful(features: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except (FitFailed, MemoryError):
        raise
    except Exception as error:
        said = " ".join(str(error).split())
        words = said if isinstance(error, AutophageError) else f"{type(error).__name__}: {said}"
        raise FitFailed(f"the features {features} cannot be had: {words}") from error


def _embedded(features: str, extract: Features, samples: Samples) -> np.ndarray:
    def made() -> np.ndarray:
        found = in_parts(samples.fields["x"], AT_ONCE, lambda x: np.asarray(extract(x), dtype=np.float64))
        if found.shape[:1] != (len(samples),) or found.ndim != 2 or not np.isfinite(found).all():
            raise DataError(f"{len(samples)} records came back with shape {found.shape}, or not finite")
        return found

    return _careful(features, made)


class ToldApart(NamedTuple):
    """What classifiers say that have not seen the records they judge."""

    real: np.ndarray
    """(N,) log odds of being real."""
    made: np.ndarray
    """(m,) the same of synthetic records."""
    half: np.ndarray
    """(m,) which of the two classifiers judged a synthetic record."""
    auc: float
    """The chance that a real record looks more real than a synthetic one; 0.5 where they cannot be told apart."""
    trained_on: int
    """Records that the classifiers were fitted to, both together."""
    judge: Callable[[np.ndarray], np.ndarray]
    """From features (n, k) of other records to the mean log odds (n,) of both classifiers."""


def told_apart(real: np.ndarray, made: np.ndarray, *, key: Key, quadratic: bool = False) -> ToldApart:
    """Features (N, k) of real and (m, k) of synthetic records, told apart by themselves or, `quadratic`, by their squares and
    products too. Raises `FitFailed` for fewer than 8 a side."""
    if min(len(real), len(made)) < FEWEST:
        raise FitFailed(
            f"a classifier of real against synthetic needs {FEWEST} records a side; there are {len(real)} real and "
            f"{len(made)} synthetic ones"
        )
    rng = (key / "halves").generator()
    halves = [rng.permutation(np.arange(len(x)) % 2) for x in (real, made)]
    scores, areas, judges, trained = [np.empty(len(real)), np.empty(len(made))], [], [], 0
    for half in (0, 1):
        true, false = (_some(x[which != half], rng) for x, which in zip((real, made), halves, strict=True))
        judge = _trained(true, false, quadratic)
        judges.append(judge)
        trained += len(true) + len(false)
        for x, which, found in zip((real, made), halves, scores, strict=True):
            found[which == half] = judge(x[which == half])
        areas.append(auc(*(s[which == half] for s, which in zip(scores, halves, strict=True))))
    return ToldApart(
        scores[0],
        scores[1],
        halves[1],
        float(np.mean(areas)),
        trained,
        lambda x: np.mean([judge(x) for judge in judges], axis=0),
    )


def _some(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return x if len(x) <= MOST else x[rng.choice(len(x), MOST, replace=False)]


def _trained(real: np.ndarray, made: np.ndarray, quadratic: bool) -> Callable[[np.ndarray], np.ndarray]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    both = np.concatenate([real, made])
    standardised = Standardised(both)

    def scaled(x: np.ndarray) -> np.ndarray:
        z = standardised(x)
        if not quadratic:
            return z
        first, second = np.triu_indices(z.shape[1])
        return np.concatenate([z, z[:, first] * z[:, second]], axis=1)

    net = LogisticRegression(max_iter=200, class_weight="balanced")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        net.fit(scaled(both), np.repeat([1, 0], [len(real), len(made)]))
    return lambda x: net.decision_function(scaled(x))


def auc(above: np.ndarray, below: np.ndarray) -> float:
    """The chance that a number (n,) lies above one (m,), ties counting half.

    >>> auc(np.array([1.0, 3.0]), np.array([2.0, 0.0, 3.0]))
    0.5833333333333334
    """
    ordered = np.sort(below)
    lower, upper = (np.searchsorted(ordered, above, side=s) for s in ("left", "right"))
    return float((lower + upper).mean() / (2 * len(below)))
