"""Any object with `fit` and `sample`: a scikit-learn density model, or a stranger's class.

    fit(X)       X a float64 array (n, d)
    sample(n)    an array, a frame or a tensor of n rows, or a tuple with one of them first
    latents(X)   where it has an encoder: codes (n, k)

Every fit has a new object. Its randomness comes from the run's streams: a `random_state` is set, generators that it
keeps as attributes are replaced, and numpy's, python's and torch's global generators are seeded around every call.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from autophage import registry
from autophage.errors import AutophageError, FitFailed, SpecError
from autophage.keys import Key
from autophage.parts import Learner, Model
from autophage.samples import Samples


class EstimatorModel(Model):
    """A fitted foreign object. It is not stored: a resumed run fits it again from its training set."""

    def __init__(self, fitted: Any, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.fitted, self.shape, self.dtype = fitted, shape, dtype

    def sample(self, n: int, *, key: Key, given: Samples | None = None) -> Samples:
        """`x` (n, ...) in the shape and float type of the training data. Raises `FitFailed` when the object gives
        something else than n finite rows of its width."""
        sampler = _seeded(copy.copy(self.fitted), key / "own")  # so that the fitted object stays as it is
        extra = {"random_state": _seed(key)} if "random_state" in _parameters(sampler.sample) else {}
        rows = self._rows(_called(sampler, "sample", key, n, **extra), n)
        # Some objects hand out their records component by component; whoever takes the first few must not see that.
        return Samples.of(rows[(key / "order").generator().permutation(n)])

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """(n,) nats per record x (n, ...), by the object's `score_samples`."""
        if not _scores(self.fitted):
            raise NotImplementedError(f"{_name(self.fitted)} has no score_samples, hence no density")
        flat = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
        return np.asarray(self.fitted.score_samples(flat), dtype=np.float64)

    def latents(self, x: np.ndarray, *, noise: float = 0.0, key: Key) -> np.ndarray:
        """(n, k) by the object's `latents`, which is told of `noise` if it takes that. Raises `FitFailed` when it gives something
        else than a row of numbers for each record."""
        if not _encodes(self.fitted):
            raise NotImplementedError(f"{_name(self.fitted)} has no latents")
        flat = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
        told = {"noise": noise} if "noise" in _parameters(self.fitted.latents) else {}
        found = _called(self.fitted, "latents", key / "latents", flat, **told)
        try:
            codes = np.asarray(found, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise FitFailed(f"{_name(self.fitted)}.latents gave no array of numbers") from error
        if codes.ndim != 2 or len(codes) != len(flat):
            raise FitFailed(
                f"{_name(self.fitted)}.latents gave shape {codes.shape}; ({len(flat)}, k) would be right"
            )
        return codes

    def _rows(self, drawn: Any, n: int) -> np.ndarray:
        name = _name(self.fitted)
        first = drawn[0] if isinstance(drawn, tuple) and drawn else drawn
        if hasattr(first, "detach"):
            first = first.detach().cpu()
        try:
            rows = np.asarray(first.to_numpy() if hasattr(first, "to_numpy") else first, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise FitFailed(
                f"{name}.sample gave {type(first).__name__} that is no array of numbers"
            ) from error
        width = int(np.prod(self.shape))
        if rows.shape not in ((n, *self.shape), (n, width), *([(n,)] if width == 1 else [])):
            raise FitFailed(f"{name}.sample({n}) gave shape {rows.shape}; ({n}, {width}) would be right")
        if not np.isfinite(rows).all():
            raise FitFailed(f"{name}.sample gave values that are not finite")
        return rows.reshape(n, *self.shape).astype(self.dtype)


@dataclass(frozen=True, kw_only=True)
class Estimator(Learner):
    """Any object with `fit` and `sample`, taken as it is.

    `has_log_prob` of an instance says whether its object has `score_samples`, `has_latents` whether it has `latents`. Raises
    `SpecError` at once for an object that cannot be imported, made or used; what goes wrong in a fit is a `FitFailed` that names
    the object.

    >>> learner = Estimator(object="sklearn.neighbors:KernelDensity", arguments={"bandwidth": 0.5})
    >>> model = learner.fit(Samples.of(np.zeros((20, 2))), key=Key(0))
    >>> learner.has_log_prob, model.sample(3, key=Key(1)).x.shape
    (True, (3, 2))
    """

    domains: ClassVar[frozenset[str]] = frozenset({"vectors", "counts", "binary", "positive"})

    object: Any
    """`module:object`, a class, an instance (cloned for every fit), or a function that returns a new one."""
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What a class or function is called with, or the parameters to set on a clone."""

    def __post_init__(self) -> None:
        if not isinstance(self.arguments, Mapping):
            raise SpecError(
                f"learner.arguments is {self.arguments!r}; it must be a mapping of names to values"
            )
        given = self._given()
        if self.start == "previous":
            raise SpecError("learner.start is `previous` but a foreign object always fits from scratch")
        try:
            made = self._new(given, Key(0))
        except AutophageError:
            raise
        except Exception as error:
            raise SpecError(f"learner.object: making {_name(given)} fails: {_words(error)}") from error
        for method in ("fit", "sample"):
            if not callable(getattr(made, method, None)):
                raise SpecError(
                    f"learner.object: {_name(made)} has no method '{method}'; an object with fit and sample would do"
                )
        object.__setattr__(self, "has_log_prob", _scores(made))
        object.__setattr__(self, "has_latents", _encodes(made))

    def fit(self, data: Samples, *, start: Model | None = None, key: Key) -> EstimatorModel:
        made = self._new(self._given(), key)
        name = _name(made)
        if not len(data):
            raise FitFailed(f"{name} got no record to fit")
        x = data.flat()
        if not np.isfinite(x).all():
            raise FitFailed(f"the training set of {name} is not finite")
        returned = _called(made, "fit", key, x)
        fitted = returned if callable(getattr(returned, "sample", None)) else made
        dtype = data.x.dtype if data.x.dtype == np.float32 else np.dtype(np.float64)
        return EstimatorModel(fitted, data.x.shape[1:], dtype)

    def _given(self) -> Any:
        if not isinstance(self.object, str):
            return self.object
        module, colon, name = self.object.partition(":")
        if not (module and colon and name):
            dotted = ":".join(self.object.strip(":").rsplit(".", 1))
            nearest = f"; did you mean '{dotted}'?" if ":" in dotted else ""
            raise SpecError(f"learner.object is '{self.object}'; it must be written module:object{nearest}")
        return registry.load(self.object, "learner.object")

    def _new(self, given: Any, key: Key) -> Any:
        """A new, unfitted object, its random state from the stream."""
        with key.globally():
            if isinstance(given, type) or not _fits(given):
                if not callable(given):
                    raise SpecError(
                        f"learner.object is a {type(given).__name__} without fit and sample; give an object that has "
                        "both, its class, or module:object"
                    )
                extra = {"random_state": _seed(key)} if "random_state" in _parameters(given) else {}
                return _seeded(given(**{**self.arguments, **extra}), key)
            made = _cloned(given)
            if self.arguments:
                if not hasattr(made, "set_params"):
                    raise SpecError(
                        f"learner.arguments cannot be set on a ready {_name(made)}; give its class instead"
                    )
                made.set_params(**self.arguments)
            return _seeded(made, key)


def _fits(given: Any) -> bool:
    return hasattr(given, "fit") or hasattr(given, "sample")


def _scores(fitted: Any) -> bool:
    return callable(getattr(fitted, "score_samples", None))


def _encodes(fitted: Any) -> bool:
    return callable(getattr(fitted, "latents", None))


def _cloned(given: Any) -> Any:
    if hasattr(given, "get_params") and not isinstance(given, type):
        from sklearn.base import clone

        return clone(given)
    return copy.deepcopy(given)


def _seeded(made: Any, key: Key) -> Any:
    """`made`, its own sources of randomness set from the stream."""
    if hasattr(made, "get_params") and "random_state" in made.get_params(deep=False):
        made.set_params(random_state=_seed(key))
    fresh: dict[type, Callable[[Key], Any]] = {
        np.random.Generator: lambda k: k.generator(),
        np.random.RandomState: lambda k: np.random.RandomState(_seed(k)),
        random.Random: lambda k: random.Random(_seed(k)),
    }
    for name, value in list(getattr(made, "__dict__", {}).items()):
        if type(value) in fresh:
            setattr(made, name, fresh[type(value)](key / "attribute" / name))
    return made


def _seed(key: Key) -> int:
    return key.integer(32)


def _parameters(called: Any) -> Mapping[str, Any]:
    try:
        return inspect.signature(called).parameters
    except (TypeError, ValueError):  # written in C, and silent about it
        return {}


def _called(made: Any, method: str, key: Key, *arguments: Any, **named: Any) -> Any:
    """The method's answer under global generators seeded from the stream; `FitFailed` where it raises."""
    try:
        with key.globally():
            return getattr(made, method)(*arguments, **named)
    except AutophageError:
        raise
    except Exception as error:
        raise FitFailed(f"{_name(made)}.{method} fails: {_words(error)}") from error


def _name(given: Any) -> str:
    return getattr(given, "__name__", None) or type(given).__name__


def _words(error: Exception) -> str:
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0]}" if said else type(error).__name__
