"""The narrow interfaces between the loop and its parts.

Every part is a frozen dataclass: its fields are the keys a spec may set, their types and attribute docstrings
become the JSON schema, and `__post_init__` refuses what cannot be right with a `SpecError`. This module needs
numpy only, so that parts import where nothing else is installed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np

from autophage.errors import FitFailed, SpecError
from autophage.keys import Key
from autophage.samples import Batch, Samples

Domain = Literal["vectors", "symbols", "counts", "binary", "positive", "pairs"]
"""What one record is: a real vector (images and encoded tables too), one of K symbols, a vector of counts, of
zeros and ones, or of positive numbers; or inputs and their label, the last number."""


CONFIG = {"extra": "forbid", "use_attribute_docstrings": True, "arbitrary_types_allowed": True}
"""How pydantic reads a part at the door; parts themselves do not need pydantic."""


class Model(ABC):
    """A fitted generative model: an immutable value.

    A model of a batched learner holds `replicates` models at once: its arrays have the replicate as first
    axis, `sample` returns a `Batch`, and `log_prob` (R, n).
    """

    replicates: int = 1

    @abstractmethod
    def sample(self, n: int, *, key: Key, given: Samples | None = None) -> Any:
        """n records (per replicate): `Samples`, or a `Batch` from a batched model."""

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """Log density (nats) of records x (n, ...), where the learner declares `has_log_prob`."""
        raise NotImplementedError(f"{type(self).__name__} has no density")

    def tuned(self, sampling: Sampling) -> Model:
        """The same model as a biased sampler. Only called with settings that the learner declares."""
        raise NotImplementedError(f"{type(self).__name__} has no sampling settings")

    def spread(self, replicates: int) -> Model:
        """A batched model of one replicate, standing for many."""
        raise NotImplementedError

    def sufficient(self, x: np.ndarray) -> np.ndarray:
        """Sufficient statistics T (R, n, k) of records x (R, n, ...): what a fit of this family takes the mean of. T
        depends on the family, not on this model's parameters. Only asked where the learner's `sufficient_size` is not
        zero."""
        raise NotImplementedError(f"{type(self).__name__} exposes no sufficient statistics")

    def moments_of_sufficient(self) -> tuple[np.ndarray, np.ndarray]:
        """The mean (R, k) of T under this model, and its covariance: (R, k, k), or (R, k) for a diagonal whose inverse
        inverts the covariance on its range (the variances of independent statistics; p for one-hot symbols)."""
        raise NotImplementedError(f"{type(self).__name__} exposes no sufficient statistics")

    def latents(self, x: np.ndarray, *, noise: float = 0.0, key: Key) -> np.ndarray:
        """Latent codes (n, k) of records x (n, ...), float64, where the learner declares `has_latents`: what the model's
        encoder makes of them, or the records themselves where a model has none. `noise` in [0, 1) is the share of the
        variance that is noise when they are encoded (1 - alpha-bar of a chain); models without noise levels pass it over.
        Classes are not told: the code of a record does not depend on its label."""
        raise NotImplementedError(f"{type(self).__name__} has no latents")

    def absorbed(self) -> np.ndarray | None:
        """(R,) True where the model can never change again (a point mass), or None when that cannot
        happen."""
        return None

    def frozen(self, where: np.ndarray, before: Model) -> Model:
        """This model with the replicates `where` (R,) as they were `before`: an absorbed one carries its
        value forward. Only needed where `absorbed` marks more than what the fit itself leaves unchanged."""
        return self

    def arrays(self) -> dict[str, np.ndarray]:
        """What must be stored to rebuild it with `Learner.restore`. A model that cannot be stored safely
        raises `NotImplementedError`; the run then refits it on resume from its stored training set."""
        raise NotImplementedError


def sampled(model: Model, n: int, key: Key, given: Samples | None = None) -> Any:
    """n records of a model, which is given some only where there are any: a stranger's need not know the word."""
    return model.sample(n, key=key) if given is None else model.sample(n, key=key, given=given)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a model of the loop is sampled. Unset means plain sampling from the fitted law."""

    __pydantic_config__: ClassVar[dict] = CONFIG
    bias: float | None = None
    """Sampling bias in [0, 1] (Alemohammad et al. 2024): 1 is unbiased, 0 a sampler without variance."""
    temperature: float | None = None
    """p^(1/temperature), normalised; above zero."""
    guidance: float | None = None
    """Classifier-free guidance weight w: the prediction is (1 + w) times the conditional one less w times the
    unconditional one; 0 is none. As a bias: bias = 1 / (1 + w). Where 1 means unguided, the scale is 1 + w."""
    guidance_decay: float | None = None
    """The weight falls to exp(-guidance_decay u) of itself, u from 0 to 1 on the way from noise to records; 0 is none."""
    guidance_interval: tuple[float, float] | None = None
    """Guide at noise levels sigma above the first and up to the second of these numbers only, in units of what the network
    sees: pictures from -1 to 1, vectors of deviation one. The second may be .inf."""
    sampler: str | None = None
    """How noise becomes records, such as ddim or heun."""
    steps: int | None = None
    """Steps of that sampler."""
    eta: float | None = None
    """Noise of ddim: 0 none, 1 that of ancestral sampling."""
    churn: float | None = None
    """Noise that heun puts in again (S_churn of Karras et al. 2022); 0 is none."""
    observation_noise: bool | None = None
    """Add the observation noise to what a decoder says; otherwise its means are the samples."""
    decoding: Literal["greedy", "sample", "beam"] | None = None
    """How a captioner chooses words, or a classifier labels: the likeliest one, drawn by its probability, or by beams."""
    beams: int | None = None
    """Captions that are followed side by side where `decoding` is beam."""
    budget: int | None = None
    """The most words (tokens) of a caption."""

    def __post_init__(self) -> None:
        if self.bias is not None and not 0 <= self.bias <= 1:
            raise SpecError(f"sampling.bias is {self.bias}; it must lie in [0, 1], where 1 means unbiased")
        if self.temperature is not None and not self.temperature > 0:
            raise SpecError(
                f"sampling.temperature is {self.temperature}; it must be above zero (argmax sampling is its limit: take "
                "a very small one, such as 1e-4)"
            )
        if self.temperature == float("inf"):
            raise SpecError(
                "sampling.temperature is inf; it must be finite (uniform sampling is its limit: take a large one)"
            )
        if self.guidance is not None and not 0 <= self.guidance < float("inf"):
            raise SpecError(
                f"sampling.guidance is {self.guidance}; it must be zero (none) or above, and finite"
            )
        if self.guidance is not None and self.bias is not None:
            raise SpecError(
                "sampling has both bias and guidance, which say the same of a guided model (bias = 1 / (1 + guidance)); "
                "give one"
            )
        self._check_schedule()
        if self.decoding not in (None, "greedy", "sample", "beam"):
            raise SpecError(f"sampling.decoding is {self.decoding!r}; it must be greedy, sample or beam")
        for key, least in (("beams", 2), ("budget", 1)):
            value = getattr(self, key)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise SpecError(f"sampling.{key} is {value!r}; it must be a whole number of at least {least}")
        if self.beams is not None and self.decoding != "beam":
            raise SpecError("sampling.beams is for sampling.decoding: beam; set that as well")
        if self.steps is not None and (isinstance(self.steps, bool) or not self.steps >= 1):
            raise SpecError(f"sampling.steps is {self.steps}; it must be a whole number of at least 1")
        if self.eta is not None and not 0 <= self.eta <= 1:
            raise SpecError(f"sampling.eta is {self.eta}; it must lie in [0, 1]")
        if self.churn is not None and not 0 <= self.churn < float("inf"):
            raise SpecError(f"sampling.churn is {self.churn}; it must be zero or above, and finite")

    def _check_schedule(self) -> None:
        """Refuses a schedule of guidance that is none, or that has nothing to change."""
        for key in ("guidance_decay", "guidance_interval"):
            if getattr(self, key) is not None and self.guidance is None and self.bias is None:
                raise SpecError(
                    f"sampling.{key} changes a guidance that is not there; set sampling.guidance as well"
                )
        decay = self.guidance_decay
        if decay is not None and (isinstance(decay, bool) or not 0 <= decay < float("inf")):
            raise SpecError(
                f"sampling.guidance_decay is {decay}; it must be zero (none) or above, and finite"
            )
        if self.guidance_interval is None:
            return
        ends = self.guidance_interval
        right = isinstance(ends, tuple | list) and len(ends) == 2
        right = right and all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends)
        if not (right and 0 <= ends[0] < ends[1]):
            raise SpecError(
                f"sampling.guidance_interval is {ends}; it must be two noise levels [low, high] with 0 <= low < high"
            )
        object.__setattr__(self, "guidance_interval", tuple(ends))

    def chosen(self) -> dict[str, Any]:
        """The settings that were given."""
        return {k: v for k, v in vars(self).items() if v is not None}


@dataclass(frozen=True, kw_only=True)
class Learner(ABC):
    """An algorithm with hyperparameters; `fit` turns training data into a model."""

    __pydantic_config__: ClassVar[dict] = CONFIG
    batched: ClassVar[bool] = False
    """Fits R replicates at once from a `Batch`; otherwise one replicate from `Samples`."""
    has_log_prob: ClassVar[bool] = False
    needs_labels: ClassVar[bool] = False
    needs_captions: ClassVar[bool] = False
    """Fits records with a field `caption`."""
    describes: ClassVar[bool] = False
    """Its models do not make records but describe those they are given: `sample` returns the `given` ones with captions, or
    labels, of its own."""
    conditional: ClassVar[bool] = False
    has_latents: ClassVar[bool] = False
    weighted: ClassVar[bool] = False
    """Uses the records' weights."""
    warm_starts: ClassVar[bool] = False
    """Can continue from the previous model (`start: previous`)."""
    relabels: ClassVar[bool] = False
    """Its models make new labels for generation 0's real records: their `sample` is given these."""
    domains: ClassVar[frozenset[str]] = frozenset({"vectors"})
    sampling_keys: ClassVar[frozenset[str]] = frozenset()
    """Which settings of the `sampling` block its models understand."""

    start: Literal["scratch", "previous", "base"] = "scratch"
    """Where a fit begins: from scratch, from the previous generation's model, or from generation 0's in every generation."""

    @abstractmethod
    def fit(self, data: Any, *, start: Model | None = None, key: Key) -> Model:
        """A model of `data`. Raises `FitFailed` with a reason when it diverges."""

    def restore(self, arrays: Mapping[str, np.ndarray]) -> Model:
        """The model that `Model.arrays` came from."""
        raise NotImplementedError

    def bound_to(self, source: Source) -> Learner:
        """This learner as a run on these data uses it: itself, unless it must know more of them than their
        records say. Raises `SpecError` when it cannot run on them."""
        return self

    def agreed(self, workflow: Any) -> tuple[Learner, Any]:
        """This learner and its agent's workflow, what both of them say being settled: a size that only the learner
        gives is the workflow's too. Raises `SpecError` where they contradict each other."""
        return self, workflow

    def check_sampling(self, sampling: Sampling) -> None:
        """Raises `SpecError` where its models cannot be sampled with these settings, all of which are in
        `sampling_keys`."""
        return None

    def evaluations(self, sampling: Sampling) -> float:
        """How often its models evaluate their network to make one record: the unit in which training and sampling can be
        compared (a record that is learned from counts three times)."""
        return 1.0

    @property
    def later(self) -> frozenset[str]:
        """Its keys that generation 0's fit does not depend on."""
        return frozenset({"start"})

    def in_generation(self, generation: int) -> Learner:
        """This learner as one generation uses it: itself, unless a setting follows a schedule."""
        return self

    def smallest(self, dim: int) -> int:
        """The fewest records a fit needs; checked before a run starts."""
        return 1

    def check_size(self, n: float, dim: int, generation: int) -> None:
        """Raises `SpecError` where a generation cannot be fitted to n records; asked before a run starts."""
        return None

    def sufficient_size(self, dim: int) -> int:
        """How many sufficient statistics its models expose of records of `dim` numbers (`Model.sufficient`); 0: none."""
        return 0


class Statistics(NamedTuple):
    """Base shape of sufficient statistics: a NamedTuple whose first entry is `count`, a scalar or (R,)."""

    count: Any


@dataclass(frozen=True, kw_only=True)
class SufficientLearner(Learner):
    """A batched learner whose fit needs sufficient statistics only.

    They add up over batches, so accumulating costs O(1) a generation; and where the law of the statistics of
    n new records is known in closed form (`has_law`), the loop draws them directly, at a cost independent of
    n. Statistics are NamedTuples of arrays with `count` first; a leading axis of 1 stands for every
    replicate.
    """

    batched: ClassVar[bool] = True
    has_law: ClassVar[bool] = True

    path: Literal["auto", "samples", "statistics"] = "auto"
    """Draw records and summarise them, or draw the sufficient statistics themselves (equal in law)."""

    @abstractmethod
    def summarize(self, batch: Batch) -> Any:
        """The sufficient statistics of each replicate's records."""

    @abstractmethod
    def merge(self, statistics: Sequence[Any]) -> Any:
        """The statistics of the batches taken together."""

    @abstractmethod
    def estimate(self, statistics: Any, *, start: Model | None = None) -> Model:
        """The fit."""

    def refit(self, model: Model, n: int | np.ndarray, key: Key) -> Any:
        """The statistics of n new records (n a number, or one per replicate) of each replicate's model."""
        raise NotImplementedError(f"{type(self).__name__} has no closed law of the refit")

    def blend(self, law: Model, model: Model, share: float) -> Model | None:
        """The law of records each drawn from `law` with probability `share`, else from `model`, as a model of this
        family; None where the family has no such member. It makes a mixture of real and synthetic records one draw of
        `refit`."""
        return None

    def scaled(self, statistics: Any, factor: float) -> Any:
        """The statistics with every record's weight multiplied by `factor`: sums are; override where some are not."""
        return type(statistics)(*(None if value is None else value * factor for value in statistics))

    def resample(self, model: Model, n: int, key: Key) -> Any:
        """The statistics of n new records that are really drawn. Override where that can be done without
        keeping them."""
        return self.summarize(model.sample(n, key=key))

    def relabel(self, model: Model, n: int, key: Key, given: Batch) -> Any:
        """As `resample`, of records that are new labels of the `given` ones (`relabels`)."""
        return self.summarize(model.sample(n, key=key, given=given))  # type: ignore[arg-type]

    def law_covers(self, plan: Any, real: int) -> bool:
        """Whether the closed law of the refit covers what a plan asks for, generation 0 having had `real` records."""
        return True

    def chain(
        self,
        model: Model,
        counts: Sequence[int],
        keys: Sequence[Key],
        absorbed: np.ndarray,
        first: int,
        exact: bool = True,
    ) -> tuple[Model, np.ndarray]:
        """One refit after the other, generation `first` the first of them, each on `counts[i]` new records of
        the last model, nothing looked at in between. `absorbed` (R,) holds the generation in which a
        replicate froze, or -1. `exact` draws the statistics from their law; otherwise records are drawn."""
        draw = self.refit if exact else self.resample
        for generation, (n, key) in enumerate(zip(counts, keys, strict=True), first):
            after = self.estimate(draw(model, n, key), start=model if self.start == "previous" else None)
            if (absorbed >= 0).any():
                after = after.frozen(absorbed >= 0, model)
            stuck = after.absorbed()
            if stuck is not None:
                absorbed = np.where((absorbed < 0) & stuck, generation, absorbed)
            model = after
        return model, absorbed

    def law(self, truth: Model | None) -> Model | None:
        """The true law as a model of this family, if it is one, else None."""
        return None

    def fit(self, data: Batch, *, start: Model | None = None, key: Key) -> Model:
        return self.estimate(self.summarize(data), start=start)


@runtime_checkable
class Source(Protocol):
    """Where real records come from: a finite set split once into train and reference, or a law without
    end."""

    @property
    def unlimited(self) -> bool:
        """New real records can be drawn for ever."""
        ...

    @property
    def domain(self) -> str:
        """What one record is, see `Domain`."""
        ...

    @property
    def truth(self) -> Model | None:
        """The law itself where it is known, as a model of one replicate."""
        ...

    @property
    def dim(self) -> int:
        """Numbers in one record (symbols: how many symbols)."""
        ...

    def train(self) -> Samples:
        """The real training part of a finite set."""
        ...

    def reference(self) -> Samples:
        """Held-out real records, the same in every replicate and generation."""
        ...

    def draw(self, n: int, *, key: Key, replicates: int = 1) -> Batch:
        """n new real records for each replicate (unlimited sources)."""
        ...


@dataclass(frozen=True)
class Measurement:
    """One metric over the replicates of a block: `value` (R,), with an interval where it has one.

    n is the sample size it rests on: generated records for metrics of samples.
    """

    metric: str
    value: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    n: int | None = None


class View(Protocol):
    """What a metric may look at: one agent in one generation, R replicates of it."""

    generation: int
    agent: str
    replicates: int
    model: Model
    source: Source
    key: Key
    """Names this generation's evaluation; a metric draws from `key / "its own name"`."""
    real_share: np.ndarray
    """(R,) the share of real records in this generation's training set."""
    real_size: int
    """Real records that generation 0 was fitted to."""
    memo: dict[Any, Any]
    """Kept for the whole run: what a metric computes once (features of the reference, a trained
    classifier)."""
    curation: Mapping[str, np.ndarray]
    """(R,) numbers that curation noted: `proposals`, `kept`, and what each method adds; empty where nothing
    was curated."""

    def generated(self, r: int) -> Samples:
        """The evaluation draw of replicate r: `evaluation_size` records, the same for every metric."""
        ...

    def reference(self, r: int, against: str = "reference") -> Samples:
        """The real records to compare with: the held-out part, or ("train") generation 0's training set."""
        ...

    def first(self) -> Model:
        """Generation 0's model of this agent, for metrics that name "first" among their needs."""
        ...

    @property
    def peers(self) -> Mapping[str, View]:
        """The agents of this generation that are done, this one included; all of them where this one is the last."""
        ...

    @property
    def last(self) -> bool:
        """Whether this agent is the last one of its generation."""
        ...

    @property
    def real_used(self) -> int:
        """Of the real training part, how many of the first records the loop may train on."""
        ...

    @property
    def given_by(self) -> str | None:
        """Whose records this agent's models are given: an agent's name, `real`, or nobody's."""
        ...

    @property
    def describes(self) -> bool:
        """Whether this agent describes records of others."""
        ...

    @property
    def described(self) -> bool:
        """Whether another agent describes this one's records."""
        ...


@dataclass(frozen=True, kw_only=True)
class Metric(ABC):
    """A number measured on samples, models or both."""

    __pydantic_config__: ClassVar[dict] = CONFIG
    direction: ClassVar[Literal["lower", "higher", "none"]] = "none"
    """Which way is better."""
    needs: ClassVar[frozenset[str]] = frozenset()
    """Of "truth", "log_prob", "labels", "samples", "train": refused before the start where the run has
    none. With "first", generation 0's models are kept for it (`View.first`)."""
    domains: ClassVar[frozenset[str]] = frozenset({"vectors", "symbols", "counts", "binary", "positive"})
    of_descriptions: ClassVar[bool] = False
    """Samples of an agent that describes others' records are measured too."""

    def check(self, source: Source) -> None:
        """Raises `SpecError` where these data cannot be measured so; asked before a run starts."""
        return None

    @abstractmethod
    def measure(self, view: View) -> list[Measurement]:
        """The measurements of one generation; row names are fixed by the metric's key and settings."""


@dataclass(frozen=True)
class Compared:
    """A sample metric's answer for one replicate."""

    value: float
    low: float = float("nan")
    high: float = float("nan")
    n: int | None = None


def measurements(answers: Iterable[dict[str, Compared]], suffix: str = "") -> list[Measurement]:
    """The answers of all replicates, row by row."""
    rows: dict[str, list[Compared]] = {}
    for answer in answers:
        for name, compared in answer.items():
            rows.setdefault(name + suffix, []).append(compared)
    return [
        Measurement(
            name,
            np.array([c.value for c in row], dtype=np.float64),
            np.array([c.low for c in row], dtype=np.float64),
            np.array([c.high for c in row], dtype=np.float64),
            row[0].n,
        )
        for name, row in rows.items()
    ]


@dataclass(frozen=True, kw_only=True)
class SampleMetric(Metric):
    """A metric that compares generated records with real ones, replicate by replicate."""

    needs: ClassVar[frozenset[str]] = frozenset({"samples"})
    against: Literal["reference", "train"] = "reference"
    """The held-out part, or the training part of the real records (adds `_train` to the row name)."""

    @abstractmethod
    def compare(self, real: Samples, generated: Samples, *, key: Key, memo: dict) -> dict[str, Compared]:
        """Row name to value. `memo` lives as long as the run; real is the same object every generation for
        finite data."""

    def measure(self, view: View) -> list[Measurement]:
        suffix = "_train" if self.against == "train" else ""
        return measurements(
            (
                self.compare(
                    view.reference(r, self.against),
                    view.generated(r),
                    key=view.key / type(self).__name__ / r,
                    memo=view.memo,
                )
                for r in range(view.replicates)
            ),
            suffix,
        )


@dataclass(frozen=True)
class Prediction:
    """What theory says about a metric's course.

    values[g] belongs to generation g. A `bound` says on which side the truth lies (`side`). A threshold is a
    prediction with one number and `unit`, not a course.
    """

    metric: str
    values: np.ndarray
    status: Literal["exact", "asymptotic", "bound", "conjecture"]
    statement: str
    """One sentence: what is claimed, under which assumptions."""
    source: str
    """Authors, year, theorem or equation."""
    quantity: Literal["mean", "median", "mean_log", "limit", "threshold", "probability", "rate"] = "mean"
    side: Literal["upper", "lower"] | None = None
    unit: str = ""
    agent: str = "main"
    parameters: Mapping[str, float] = field(default_factory=dict)


def require_finite(x: np.ndarray, what: str) -> np.ndarray:
    """x itself, or `FitFailed` naming `what` when it holds NaN or infinity."""
    if not np.isfinite(x).all():
        raise FitFailed(f"{what} is not finite")
    return x
