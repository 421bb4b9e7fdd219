"""Regression that may be refitted to labels of its own: least squares, ridge, kernel ridge.

Fit: w = argmin (1/T) |X w - y|^2 + lambda |w|^2 = (X'X/T + lambda I)^-1 X'y/T; lambda = 0 is least squares, of least norm below
d rows. No intercept. A fit sees its records through X'X/T and X'y/T only. For T new records of a model w with label noise sigma
their law is known:

    fresh design, x ~ N(0, diag s):   X'X = B B',  X'y = B (B'w + sigma z),  B = diag(sqrt s) A,  A A' ~ Wishart(T, I)
    fixed design, X given:            X'y/T = (X'X/T) w + sigma (X'X/T)^(1/2) z / sqrt T

with z standard normal: no cost grows with T, and a fixed design takes d normals a generation. Below d rows a fresh design is kept
as B (d, T) and its T labels, whose least-norm fit is exact. Systems: Dohmatob, Feng & Kempe (2024), Gerstgrasser et al. (2024).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from autophage.data.arguments import array, whole_number
from autophage.data.pairs import GaussianInputs, Inputs, inputs_of, outputs_of
from autophage.errors import FitFailed, SpecError
from autophage.keys import Key
from autophage.learners import kernel_regression as kernels
from autophage.learners.kernel_regression import Kernel, KernelModel, KernelStatistics
from autophage.learners.regression_model import Design, RegressionModel, times
from autophage.learners.regression_statistics import Memory, RegressionStatistics, merged, ridge_weights
from autophage.learners.wishart import bartlett
from autophage.parts import Model, Source, SufficientLearner, require_finite
from autophage.samples import Batch
from autophage.schedules import Schedule, Values, at
from autophage.theory.regression_chain import Stage, best_ridge, check_threshold
from autophage.theory.regression_spectra import Directions


class Bound(NamedTuple):
    """What a learner knows of the data it runs on."""

    dim: int
    inputs: Inputs
    noise: float
    law: Directions | None


@dataclass(frozen=True, kw_only=True)
class Regression(SufficientLearner):
    """Ridge regression, linear or with a kernel, whose models label inputs themselves."""

    weighted: ClassVar[bool] = True
    domains: ClassVar[frozenset[str]] = frozenset({"pairs"})
    citation: ClassVar[tuple[str, ...]] = (
        "E. Dohmatob, Y. Feng, J. Kempe (2024), Model collapse demystified: the case of regression. "
        "NeurIPS; arXiv 2402.07712",
        "M. Gerstgrasser et al. (2024), Is model collapse inevitable? Breaking the curse of recursion by accumulating "
        "real and synthetic data. arXiv 2404.01413",
    )

    ridge: Schedule | Literal["adaptive"] = 0.0
    """Penalty lambda: a number; a schedule over generations t >= 1 (generation 0 takes the value of t = 1); or `adaptive`: under
    `replace`, of every generation the one with the least error on real data, by theory (the law must be known)."""
    rows: Schedule | None = None
    """Short for workflow.sample_size (for `mix`, workflow.initial_size)."""
    design: Literal["fresh", "fixed"] = "fresh"
    """New inputs every generation, or generation 0's real inputs labelled again."""
    noise: Schedule | None = None
    """Standard deviation of the noise on labels that models make: a number, or a schedule, whose value at t is that of the
    labels generation t is fitted to. Default: the data's known noise."""
    kernel: Literal["linear", "rbf", "polynomial"] = "linear"
    """linear; rbf: exp(-|x - x'|^2 / (2 bandwidth^2)); polynomial: (x.x' / bandwidth^2 + offset)^degree."""
    bandwidth: float | None = None
    """The length on which a kernel varies. Default: the root of the inputs' mean squared length."""
    degree: int = 3
    """Of the polynomial kernel."""
    offset: float = 1.0
    """Of the polynomial kernel."""

    def __post_init__(self) -> None:
        if isinstance(self.ridge, str):
            if self.ridge != "adaptive":
                raise SpecError(f"learner.ridge is '{self.ridge}'; it is a number, a schedule or `adaptive`")
            if self.kernel != "linear":
                raise SpecError(
                    "learner.ridge is `adaptive`, which is known for kernel linear only; give a number"
                )
        for name in ("ridge", "noise"):
            value = getattr(self, name)
            for t, number in enumerate(_named(value), 1):
                if not (number >= 0 and np.isfinite(number)):
                    where = f" at t = {t}" if isinstance(value, Values) else ""
                    raise SpecError(
                        f"learner.{name} is {number:g}{where}; it must be zero or more and finite"
                    )
        for number in _named(self.rows):
            if not (number >= 1 and np.isfinite(number)):
                raise SpecError(f"learner.rows is {number:g}; a fit needs at least one row")
        if self.bandwidth is not None and not (self.bandwidth > 0 and np.isfinite(self.bandwidth)):
            raise SpecError(f"learner.bandwidth is {self.bandwidth}; it must be above zero")
        if not (self.offset >= 0 and np.isfinite(self.offset)):
            raise SpecError(
                f"learner.offset is {self.offset}; it must be zero or more, or the kernel is none"
            )
        whole_number(self.degree, "learner.degree", least=1)
        # What a run tells the learner, and what it remembers: no settings, hence no fields.
        object.__setattr__(self, "_bound", None)
        object.__setattr__(self, "_sizes", None)
        object.__setattr__(self, "_memory", Memory())

    @property
    def has_law(self) -> bool:  # type: ignore[override]
        bound: Bound | None = self._bound  # type: ignore[attr-defined]
        gaussian = bound is None or isinstance(bound.inputs, GaussianInputs)
        return self.kernel == "linear" and (self.design == "fixed" or gaussian)

    @property
    def relabels(self) -> bool:  # type: ignore[override]
        return self.design == "fixed"

    @property
    def moves(self) -> bool:
        """Its models can be `moved` towards each other."""
        return self.kernel == "linear"

    @property
    def memory(self) -> Memory:
        return self._memory  # type: ignore[attr-defined, no-any-return]

    def law_covers(self, plan: Any, real: int) -> bool:
        return self.design == "fresh" or (plan.new == real and all(r.origin != "fresh" for r in plan.rows))

    def agreed(self, workflow: Any) -> tuple[Regression, Any]:
        from autophage.workflows import Mix, Replace

        if self.rows is not None:
            key = "initial_size" if isinstance(workflow, Mix) else "sample_size"
            own: Any = self.rows
            if key == "initial_size":
                if not isinstance(own, int | float) or own != int(own):
                    raise SpecError("learner.rows must be a whole number under workflow mix")
                own = int(own)
            given = getattr(workflow, key)
            if given is not None and given != own:
                raise SpecError(
                    f"learner.rows is {_shown(own)} but workflow.{key} is {_shown(given)}; rows is short for it, so "
                    "give one of them"
                )
            workflow = replace(workflow, **{key: own})
        if self.ridge == "adaptive" and not isinstance(workflow, Replace):
            raise SpecError(
                "learner.ridge is `adaptive`, which is known for workflow replace only; give a number"
            )
        return self._knowing("_sizes", workflow), workflow

    def bound_to(self, source: Source) -> Regression:
        if source.domain != "pairs":
            return self  # to be refused by the checks, which say what would do
        outputs = outputs_of(source)
        if self.kernel == "linear" and outputs > 1:
            raise SpecError(
                f"learner.kernel is `linear`, which has one label, and the data have {outputs}; "
                "take rbf or polynomial (degree 1, offset 0 is linear)"
            )
        law = getattr(source, "directions", None)
        if self.ridge == "adaptive" and law is None:
            raise SpecError("learner.ridge is `adaptive`, which needs data whose law is known; give a number")
        noise = float(getattr(source, "noise", None) or 0.0)
        memory = self._knowing("_memory", Memory())
        return memory._knowing("_bound", Bound(source.dim, inputs_of(source), noise, law))

    def in_generation(self, generation: int) -> Regression:
        scheduled = not isinstance(self.ridge, int | float) or not isinstance(self.noise, int | float | None)
        if not scheduled:
            return self
        found = self._knowing("ridge", self._ridge_at(generation))
        return found._knowing("noise", self._noise_at(generation + 1))

    def _knowing(self, name: str, value: Any) -> Regression:
        other = copy.copy(self)
        object.__setattr__(other, name, value)
        return other

    def _ridge_at(self, generation: int) -> float:
        if self.ridge != "adaptive":
            return at(self.ridge, max(generation, 1), "learner.ridge")
        known, bound, workflow = self.memory.ridges, self._bound, self._sizes  # type: ignore[attr-defined]
        if bound is None or bound.law is None or workflow is None:
            raise SpecError("learner.ridge is `adaptive`, which only a run can resolve; give a number")
        real = workflow.start_size(None)
        rows = [real, *(workflow.records_at(t, real) for t in range(1, generation + 1))]
        noises = [bound.noise, *(self._noise_at(t) for t in range(1, generation + 1))]
        while len(known) <= generation:
            t = len(known)
            if known and np.isinf(known[-1]):
                known.append(np.inf)  # nothing of the signal is left
                continue
            before = [Stage(*stage) for stage in zip(rows[:t], known, noises, strict=False)]
            known.append(
                best_ridge(bound.law.eigenvalues, bound.law.signal, before, rows[t], noises[t]).ridge
            )
        return known[generation]

    def _noise_at(self, t: int) -> float:
        bound: Bound | None = self._bound  # type: ignore[attr-defined]
        if self.noise is None:
            return 1.0 if bound is None else bound.noise
        # The last generation's own labels are nobody's training data: they are drawn for evaluation only.
        last = len(self.noise.values) if isinstance(self.noise, Values) else t
        return at(self.noise, min(t, last), "learner.noise")

    def schedules(self, generations: int) -> tuple[np.ndarray, np.ndarray]:
        """(ridges, noises), both (G,): every generation's penalty, and the noise of the labels it is fitted to."""
        bound: Bound | None = self._bound  # type: ignore[attr-defined]
        first = self._noise_at(1) if bound is None else bound.noise
        noises = [first, *(self._noise_at(t) for t in range(1, generations))]
        fixed = isinstance(self.ridge, int | float)
        ridges = [float(self.ridge) if fixed else self._ridge_at(t) for t in range(generations)]  # type: ignore[arg-type]
        return np.array(ridges), np.array(noises)

    def check_size(self, n: float, dim: int, generation: int) -> None:
        if self.kernel == "linear" and (generation == 0 or self.design == "fresh"):
            ridge = self.in_generation(generation).ridge
            if np.isfinite(ridge):  # type: ignore[arg-type]
                check_threshold(Stage(n, ridge), dim)  # type: ignore[arg-type]

    def summarize(self, batch: Batch) -> Any:
        dim = self._dim(batch.x)
        y = np.asarray(batch.x, dtype=np.float64)[..., dim:]
        weight = batch.weight
        if self.kernel != "linear":
            x = self.memory.inputs(batch.x, dim) if self.design == "fixed" else _inputs_among(batch.x, dim)
            count: Any = x.shape[1] if weight is None else weight.sum(axis=1)
            return KernelStatistics(count, x, y, weight)
        if weight is not None:
            x, count = _inputs_among(batch.x, dim), weight.sum(axis=1)
            share = weight / np.where(count > 0, count, 1.0)[:, None]
            heavy = np.swapaxes(x * share[..., None], 1, 2)
            return RegressionStatistics(count, heavy @ x, (heavy @ y)[..., 0])
        if self.design == "fixed":
            design, x = self.memory.design_among(batch.x, dim), self.memory.inputs(batch.x, dim)
            moment = (np.swapaxes(x, 1, 2) @ y)[..., 0] / x.shape[1]
            return RegressionStatistics(x.shape[1], design.gram, units=design.units_of_moment(moment))
        x = _inputs_among(batch.x, dim)
        n, across = x.shape[1], np.swapaxes(x, 1, 2)
        if n < dim:
            return RegressionStatistics(n, root=across, labels=y[..., 0])
        return RegressionStatistics(n, across @ x / n, (across @ y)[..., 0] / n)

    def _dim(self, x: np.ndarray) -> int:
        bound: Bound | None = self._bound  # type: ignore[attr-defined]
        return x.shape[-1] - 1 if bound is None else bound.dim

    def merge(self, statistics: Sequence[Any]) -> Any:
        if len(statistics) == 1:
            return statistics[0]
        of_kernels = isinstance(statistics[0], KernelStatistics)
        return kernels.merged(statistics) if of_kernels else merged(statistics)

    def scaled(self, statistics: Any, factor: float) -> Any:
        if isinstance(statistics, KernelStatistics):
            return statistics._replace(count=statistics.count * factor, weight=statistics.weights() * factor)
        return RegressionStatistics(statistics.count * factor, *statistics.dense())

    def estimate(self, statistics: Any, *, start: Model | None = None) -> Model:
        if not np.asarray(statistics.count).min() > 0:
            raise FitFailed("there is no record to fit a regression to")
        ridge = self.ridge if isinstance(self.ridge, int | float) else self._ridge_at(0)
        noise = self._noise_at(1)
        if isinstance(statistics, KernelStatistics):
            return self._kernel_model(statistics, ridge, noise)
        inputs = self._inputs(self._width(statistics))
        if self.design == "fresh":
            if np.isinf(ridge):
                weights = np.zeros_like(statistics.dense()[1])
            else:
                weights = ridge_weights(statistics, ridge)
            return RegressionModel(
                require_finite(weights, "a regression's weights"), noise=noise, inputs=inputs
            )
        design = self.memory.design(statistics.gram)
        units = (
            statistics.units if statistics.units is not None else design.units_of_moment(statistics.moment)
        )
        units = np.zeros_like(units) if np.isinf(ridge) else design.shrunk(units, ridge)
        return RegressionModel(
            noise=noise, inputs=inputs, design=design, units=require_finite(units, "a regression's weights")
        )

    def _width(self, statistics: RegressionStatistics) -> int:
        return (statistics.gram if statistics.root is None else statistics.root).shape[1]

    def _inputs(self, dim: int) -> Inputs:
        bound: Bound | None = self._bound  # type: ignore[attr-defined]
        return GaussianInputs(np.ones(dim)) if bound is None else bound.inputs

    def _kernel(self, dim: int) -> Kernel:
        scale = self.bandwidth or float(np.sqrt(self._inputs(dim).power))
        return Kernel("polynomial" if self.kernel == "polynomial" else "rbf", scale, self.degree, self.offset)

    def _kernel_model(self, statistics: KernelStatistics, ridge: float, noise: float) -> KernelModel:
        x = statistics.inputs
        kernel = self._kernel(x.shape[2])
        if self.design == "fixed" and statistics.weight is None:
            found = self.memory.spectrum(kernel, x).solve(statistics.labels, ridge * x.shape[1])
        else:
            found = kernels.coefficients(kernel, statistics, ridge)
        found = require_finite(found, "a kernel regression's coefficients")
        return KernelModel(x, found, kernel=kernel, noise=noise, inputs=self._inputs(x.shape[2]))

    def refit(self, model: Model, n: int | np.ndarray, key: Key) -> RegressionStatistics:
        assert isinstance(model, RegressionModel)
        count, R, d = np.asarray(n), model.replicates, model.dim
        if self.design == "fixed" and model.design is not None:
            return self._relabelled(model, model.design, int(n), key)
        assert isinstance(model.inputs, GaussianInputs)
        root = bartlett(R, d, count, key) * model.inputs.root[:, None]
        if self.design == "fixed":
            gram = root @ np.swapaxes(root, 1, 2) / n
            return self._relabelled(model, self.memory.design(gram), int(n), key)
        if count.ndim == 0 and count < d:
            root = np.ascontiguousarray(root[..., : int(count)])
        labels = (key / "noise").generator().standard_normal((R, root.shape[2]))
        labels *= model.noise
        labels += times(np.swapaxes(root, 1, 2), model.weights)
        found = RegressionStatistics(n, root=root, labels=labels)
        whole = count.ndim == 0 or count.min() >= d
        return found if whole else RegressionStatistics(n, *found.dense())

    def _relabelled(self, model: RegressionModel, design: Design, n: int, key: Key) -> RegressionStatistics:
        """n new labels of a design."""
        units = (key / "noise").generator().standard_normal((model.replicates, model.dim))
        units *= model.noise / math.sqrt(n)
        units += model.units_in(design)
        return RegressionStatistics(n, design.gram, units=units)

    def chain(
        self,
        model: Model,
        counts: Sequence[int],
        keys: Sequence[Key],
        absorbed: np.ndarray,
        first: int,
        exact: bool = True,
    ) -> tuple[Model, np.ndarray]:
        assert isinstance(model, RegressionModel)
        design, ridge = model.design, self.ridge
        if not exact or design is None or not keys or not isinstance(ridge, int | float):
            return super().chain(model, counts, keys, absorbed, first, exact)
        # The same numbers as refit and estimate, without their statistics: the interpreter is what costs.
        stream, units = keys[0].generator(), model.units
        for n, key in zip(counts, keys, strict=True):
            moved = (key / "noise").rewind(stream).standard_normal(units.shape)
            moved *= model.noise / math.sqrt(n)
            moved += units
            units = design.shrunk(moved, ridge)
        units = require_finite(units, "a regression's weights")
        return RegressionModel(noise=model.noise, inputs=model.inputs, design=design, units=units), absorbed

    def relabel(self, model: Model, n: int, key: Key, given: Batch) -> Any:
        if n != len(given):
            return super().relabel(model, n, key, given)
        assert isinstance(model, RegressionModel | KernelModel)
        x = self.memory.inputs(given.x, self._dim(given.x))
        if isinstance(model, KernelModel):
            return KernelStatistics(n, x, model.predict(x) + model.label_noise(n, key))
        design = self.memory.design_among(given.x, self._dim(given.x))
        noise = (key / "noise").generator().standard_normal((model.replicates, n))
        noise *= model.noise / n
        units = design.units_of_moment((np.swapaxes(x, 1, 2) @ noise[..., None])[..., 0])
        units += model.units_in(design)
        return RegressionStatistics(n, design.gram, units=units)

    def law(self, truth: Model | None) -> Model | None:
        return truth if isinstance(truth, RegressionModel) and self.kernel == "linear" else None

    def initial(self, values: Mapping[str, Any], dim: int) -> RegressionModel:
        """The model of `initial_model: {weights}`, a list of d numbers (or one for all) in the records' own basis."""
        if self.kernel != "linear" or self.design == "fixed":
            raise SpecError(
                "initial_model stands for no real inputs: it goes with learner.kernel linear and learner.design fresh"
            )
        if set(values) != {"weights"}:
            raise SpecError(f"initial_model of a regression takes weights; got {sorted(values)}")
        weights = array(values["weights"], "initial_model.weights")
        if weights.shape not in ((), (1,), (dim,)):
            raise SpecError(
                f"initial_model.weights must be a number or {dim} of them; it has shape {weights.shape}"
            )
        wide = np.array(np.broadcast_to(weights, (dim,)))[None]
        return RegressionModel(wide, noise=self._noise_at(1), inputs=self._inputs(dim))

    def restore(self, arrays: Mapping[str, np.ndarray]) -> Model:
        noise = float(arrays["noise"])
        if "units" in arrays:
            units = arrays["units"]
            inputs = self._inputs(units.shape[1])
            return RegressionModel(noise=noise, inputs=inputs, design=Design(arrays["gram"]), units=units)
        if "weights" in arrays:
            weights = arrays["weights"]
            return RegressionModel(weights, noise=noise, inputs=self._inputs(weights.shape[1]))
        centres = arrays["centres"]
        d = centres.shape[2]
        return KernelModel(
            centres, arrays["coefficients"], kernel=self._kernel(d), noise=noise, inputs=self._inputs(d)
        )


def _inputs_among(records: np.ndarray, dim: int) -> np.ndarray:
    return np.asarray(records, dtype=np.float64)[..., :dim]


def _named(schedule: Any) -> list[float]:
    """The numbers that a schedule names."""
    if schedule is None or isinstance(schedule, str):
        return []
    if isinstance(schedule, Values):
        return list(schedule.values)
    return [at(schedule, 1)]


def _shown(size: Any) -> str:
    return f"{size:g}" if isinstance(size, int | float) else str(size)
