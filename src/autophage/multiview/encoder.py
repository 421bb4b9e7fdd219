"""The methods with fit and transform, as scikit-learn has them, for views of your own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autophage.data.arguments import whole_number
from autophage.errors import DataError, RunError, SpecError
from autophage.intake import part, plain
from autophage.keys import Key
from autophage.multiview.canonical import canonical_correlations
from autophage.multiview.downstream import Regressor, scores
from autophage.multiview.method import Method, Weights, fit_for_training, usable, warn
from autophage.registry import kinds, nearest

OWN = ("method", "epochs", "seed")


class MultiviewEncoder:
    """Encodes views of the same objects so that they agree.

    `method` is a kind that `autophage ls multiview` lists, such as cca, dcca or nr_dcca; its settings are further keywords,
    and with `method` they are what `get_params` returns and `set_params` takes, so that scikit-learn's `clone` and searches
    work. `epochs` is how long a deep method is trained, `seed` names all of its randomness: the same seed gives the same encoder.

    >>> rng = np.random.default_rng(0)
    >>> common = rng.standard_normal((300, 2))
    >>> views = [np.c_[common, rng.standard_normal((300, 1))] @ rng.standard_normal((3, 3)) for _ in range(2)]
    >>> encoder = MultiviewEncoder("cca", dim=2).fit(views)
    >>> encoder.correlations(views).round(6).tolist()
    [1.0, 1.0]
    >>> [z.shape for z in encoder.transform(views)]
    [(300, 2), (300, 2)]
    """

    def __init__(self, method: str = "nr_dcca", *, epochs: int = 300, seed: int = 0, **settings: Any) -> None:
        self.method, self.epochs, self.seed = method, epochs, seed
        self.settings = settings
        self.part  # noqa: B018  refuses what does not fit

    @property
    def part(self) -> Method:
        """The method with its settings. Raises `SpecError` for a kind or a key that is not there."""
        whole_number(self.epochs, "epochs", least=0)
        whole_number(self.seed, "seed", least=0)
        return part("multiview", {"kind": self.method, **self.settings}, "method")

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Every setting of the constructor, with its default where it was not given."""
        fields = dataclasses.fields(self.part)  # type: ignore[arg-type]
        every = {f.name: self.settings.get(f.name, getattr(self.part, f.name)) for f in fields}
        return {"method": self.method, "epochs": self.epochs, "seed": self.seed, **every}

    def set_params(self, **settings: Any) -> MultiviewEncoder:
        """Changes settings, and forgets what was fitted before. Raises `SpecError` for one that is not there."""
        own = {k: settings.pop(k) for k in OWN if k in settings}
        # Another method has other settings: those of the old one do not follow.
        kept = {} if own.get("method", self.method) != self.method else self.settings
        MultiviewEncoder(**{**{k: getattr(self, k) for k in OWN}, **own}, **{**kept, **settings})
        for name, value in own.items():
            setattr(self, name, value)
        self.settings = {**kept, **settings}
        self.__dict__.pop("weights_", None)
        return self

    def __repr__(self) -> str:
        given = "".join(f", {k}={v!r}" for k, v in self.settings.items())
        return f"MultiviewEncoder({self.method!r}, epochs={self.epochs}, seed={self.seed}{given})"

    def fit(self, views: Sequence[Any], y: Any = None) -> MultiviewEncoder:
        """Learns from views, arrays (N, d_k) whose rows i are the same object. Raises `DataError` or `SpecError` for views
        that cannot be used, `FitFailed` where the training diverges; warns where records are few."""
        self.__dict__.pop("weights_", None)
        return self.partial_fit(views, self.epochs)

    def partial_fit(self, views: Sequence[Any], epochs: int = 1) -> MultiviewEncoder:
        """Trains so many epochs more; from the start where nothing was fitted yet. 100 epochs are 60 and 40 more."""
        whole_number(epochs, "epochs", least=0)
        method = self.part
        x = fit_for_training(views, method)
        key = Key(self.seed) / "multiview"
        if "weights_" in self.__dict__:
            self._require([v.shape[1] for v in x])
        else:
            warn(method, len(x[0]))
            self.weights_: Weights = method.start(x, key / "weights")
            self.widths_, self.epochs_ = [v.shape[1] for v in x], 0
        if method.trains and epochs:
            steps = range(self.epochs_ + 1, self.epochs_ + epochs + 1)
            self.weights_ = method.trained(self.weights_, x, steps, key / "training")
            self.epochs_ += epochs
        return self

    def transform(self, views: Sequence[Any]) -> list[np.ndarray]:
        """Representations (n, m), one of each view."""
        x = usable(views)
        self._require([v.shape[1] for v in x])
        return self.part.encode(self.weights_, x)

    def fit_transform(self, views: Sequence[Any], y: Any = None) -> list[np.ndarray]:
        return self.fit(views).transform(views)

    def correlations(self, views: Sequence[Any]) -> np.ndarray:
        """The canonical correlations of the representations of two views, falling."""
        z = self.transform(views)
        if len(z) != 2:
            raise DataError(f"canonical correlations are of two views, and these are {len(z)}")
        return canonical_correlations(z[0], z[1], self.part.ridge)

    def score(
        self,
        views: Sequence[Any],
        targets: Any,
        train: tuple[Sequence[Any], Any] | None = None,
        regressor: Regressor = "ridge",
    ) -> float:
        """Mean R^2 of a regression of `targets` (n,) or (n, T) on the representations, or the accuracy of a classification where
        targets are whole numbers (n,). It learns from `train`, views with their targets; unless given, from the first half
        of these records, and is scored on the second."""
        y = _targets(targets)
        if train is None:
            half = len(y) // 2
            first, fitted = [np.asarray(v)[:half] for v in views], y[:half]
            views, y = [np.asarray(v)[half:] for v in views], y[half:]
        else:
            first, fitted = list(train[0]), _targets(train[1])
        if len(fitted) != len(first[0]) or len(y) != len(views[0]):
            raise DataError("targets must have one row for each record of the views")
        found = scores(self.transform(first), fitted, self.transform(views), y, regressor)
        return float(found.mean())

    def _require(self, widths: list[int]) -> None:
        if "weights_" not in self.__dict__:
            raise SpecError("this encoder has not been fitted; call fit with views first")
        if widths != self.widths_:
            raise DataError(
                f"the views are {widths} wide, and the encoder was fitted to views {self.widths_} wide"
            )

    def save(self, path: str | Path) -> None:
        """Writes the fitted encoder as an npz file of plain arrays; `load` makes it again, and it can be trained on."""
        self._require(self.widths_ if "weights_" in self.__dict__ else [])
        import json

        about = {
            "epochs": self.epochs,
            "seed": self.seed,
            "trained": self.epochs_,
            **plain("multiview", self.part),
        }
        arrays: dict[str, Any] = {f"weights/{k}": v for k, v in self.weights_.items()}
        np.savez(path, about=np.array(json.dumps(about)), widths=np.array(self.widths_), **arrays)

    @staticmethod
    def load(path: str | Path) -> MultiviewEncoder:
        """The encoder that was saved there. Raises `RunError` for a file that is none."""
        import json

        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            about: Mapping[str, Any] = json.loads(str(arrays.pop("about")))
        except (OSError, ValueError, KeyError) as error:
            raise RunError(f"{path} is not a saved encoder: {error}") from error
        own = {k: v for k, v in about.items() if k not in ("kind", "trained", "epochs", "seed")}
        if about["kind"] not in kinds("multiview"):
            raise RunError(
                f"{path} was saved by the method '{about['kind']}'{nearest(about['kind'], kinds('multiview'))}"
            )
        method = part("multiview", {"kind": about["kind"], **own}, "method")
        settings = {name: getattr(method, name) for name in own}
        encoder = MultiviewEncoder(about["kind"], epochs=about["epochs"], seed=about["seed"], **settings)
        encoder.widths_, encoder.epochs_ = arrays.pop("widths").tolist(), about["trained"]
        encoder.weights_ = {k.removeprefix("weights/"): v for k, v in arrays.items()}
        return encoder


def _targets(given: Any) -> np.ndarray:
    y = np.asarray(given)
    if y.dtype.kind in "iub" and y.ndim == 1:
        return y.astype(np.int64)
    try:
        y = y.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"targets are not numbers: {error}") from error
    if not np.isfinite(y).all():
        raise DataError("targets hold entries that are not finite")
    return y.reshape(len(y), -1)
