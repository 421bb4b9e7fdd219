"""Recursive inpainting as a process: generation g stands after so many fills that g times `volume_step` percent are inpainted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from autophage.data.arguments import whole_number
from autophage.errors import DataError, SpecError
from autophage.inpainting.drift import drift
from autophage.inpainting.inpainter import Filler
from autophage.inpainting.squares import Grid
from autophage.keys import Key
from autophage.metrics.features import fitted, training_records
from autophage.metrics.frechet import Frechet
from autophage.metrics.spaces.pictures import is_picture
from autophage.parts import Prediction
from autophage.processes.process import Broken, Finding, Process, Shown, Stepped

if TYPE_CHECKING:
    import polars

    from autophage.report.page import Gallery

SHOWN = 32
"""Pictures that a gallery keeps."""
FORGOTTEN = 0.5
"""A covariance with the originals below this share of what it was is information lost."""
DEGENERATED = 0.8
"""Variance or fine detail below this share of the originals' is degeneration."""
UNMEASURED = "Nothing was measured after the first fill."


@dataclass(frozen=True)
class State:
    """Where a replicate stands."""

    generation: int
    """The generation that the next step measures."""
    original: np.ndarray
    """(n, h, w, c) float64."""
    x: Mapping[str, np.ndarray]
    """By arm: the pictures as they are now, of the same shape."""
    touched: np.ndarray
    """(n, G) True where a square has been filled; all arms fill the same squares."""
    fillers: Mapping[str, Filler]


@dataclass(frozen=True, kw_only=True)
class Inpainting(Process):
    """Blanks one square of a fixed grid at a time, fills it in, and repeats on the result. Nothing is trained on the way: what
    changes is due to the inpainter alone."""

    citation: ClassVar[tuple[str, ...]] = (
        "Conde, González, Martínez, Moral, Merino-Gómez and Reviriego (2025), Recursive InPainting (RIP): how much information is "
        "lost under recursive inferences?, AI & Society, arXiv 2407.09549",
    )
    nested: ClassVar[Mapping[str, str]] = {"data": "data", "inpainter": "inpainter"}
    about: ClassVar[str] = "Recursive inpainting"
    verdict: ClassVar[Mapping[str, Any]] = {"diversity": "variance"}
    directions: ClassVar[Mapping[str, str]] = {
        "mse": "lower",
        "covariance_with_original": "higher",
        "correlation_with_original": "higher",
        "feature_distance": "lower",
    }

    data: Any = "digits"
    """The pictures: a kind of data, or a mapping with kind and its settings."""
    inpainter: Any = "patch"
    """What fills: a kind, a mapping with kind and its settings, or several of them by names of your own, whose arms begin with the
    same pictures and fill the same squares."""
    square: int = 2
    """Pixels a side of the squares of the grid, which must tile the pictures."""
    pictures: int = 64
    """How many pictures, drawn at random from the held-out real ones, or new from a law."""
    volume_step: float = 25.0
    """Inpainted volume between two generations in percent: 100 fills every square once on average."""
    features: str = ""
    """The space in which pictures are compared with their originals, as metrics name it: pixels, pca, classifier, cnn,
    inception:FILE, transformers:MODEL, or a module:function of your own; none measures no such distance. It must be said."""
    components: int = 16
    """Principal components, for `features: pca`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(self.square, "process.square", least=1)
        whole_number(self.pictures, "process.pictures", least=2)
        if not self.features:
            raise SpecError(
                "process.features is missing: a distance between pictures must say in which space it is measured, such as pixels, "
                "cnn, or transformers:MODEL; write none to measure no such distance"
            )
        if self.features.lower() == "lpips":
            raise SpecError(
                "process.features is 'lpips', whose network is not among the known ones; name what you have, such as "
                "transformers:MODEL, and its rows will carry that name"
            )
        if self.features != "none":
            self._space()
        if isinstance(self.inpainter, Mapping):
            for name in self.inpainter:
                if not name.replace("_", "").replace("-", "").replace(".", "").isalnum():
                    raise SpecError(
                        f"process.inpainter has an arm '{name}'; names are letters, digits, _ . and - only"
                    )

    def _space(self) -> Frechet:
        """What metrics know of the feature space: its name in rows, and what it needs."""
        return Frechet(features=self.features, components=self.components)

    @property
    def arms(self) -> dict[str, Any]:
        """The inpainters by their names."""
        return dict(self.inpainter) if isinstance(self.inpainter, Mapping) else {"main": self.inpainter}

    @property
    def agents(self) -> tuple[str, ...]:
        return tuple(self.arms)

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels. Raises `SpecError` where the data are no pictures."""
        shape = tuple(self.data.shape)
        if not is_picture(shape):
            raise SpecError(
                f"process.data must be pictures, records of shape (height, width) or (height, width, 3); these are of shape {shape}"
            )
        return (*shape, 1) if len(shape) == 2 else shape  # type: ignore[return-value]

    @cached_property
    def grid(self) -> Grid:
        return Grid(self.shape[0], self.shape[1], self.square)

    @cached_property
    def fills(self) -> int:
        """Fills between two generations. Raises `SpecError` where the step is not a whole number of them."""
        exact = self.volume_step * self.grid.count / 100
        if not (exact >= 1 and abs(exact - round(exact)) < 1e-9):
            one = self.grid.volume(1)
            near = max(1, round(exact)) * one
            raise SpecError(
                f"process.volume_step is {self.volume_step}; one fill of a grid of {self.grid.count} squares is {one:g} %, so "
                f"write a multiple of that, such as {near:g}"
            )
        return round(exact)

    def check(self) -> None:
        self.fills  # noqa: B018  asks the data for their shape, and refuses what does not fit
        for part in self.arms.values():
            part.check(self.data, self.grid)
        if not self.data.unlimited and self.pictures > (held := len(self.data.reference())):
            raise SpecError(
                f"process.pictures is {self.pictures}, and the data hold out {held:,} pictures; take at most as many"
            )
        if self.features != "none":
            space = self._space()
            space.check(self.data)
            if "labels" in space.needs and not self.data.classes:
                raise SpecError(
                    f"process.features is {self.features}, which learns from labels, and these pictures carry none"
                )

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(getattr(self.data, "notes", ()))

    def start(self, key: Key) -> State:
        if self.data.unlimited:
            x = self.data.draw(self.pictures, key=key / "pictures").x[0]
        else:
            held = self.data.reference().flat()
            x = held[(key / "pictures").generator().choice(len(held), self.pictures, replace=False)]
        x = np.asarray(x, dtype=np.float64).reshape(self.pictures, *self.shape)
        fillers: dict[str, Filler] = {}
        for name, part in self.arms.items():
            known = (part.borrowed(filler) for filler in fillers.values())
            fillers[name] = next((f for f in known if f is not None), None) or part.prepared(
                self.data, self.grid, key=key / "inpainter"
            )
        untouched = np.zeros((self.pictures, self.grid.count), dtype=bool)
        return State(0, x, dict.fromkeys(self.arms, x), untouched, fillers)

    def step(self, state: State, key: Key) -> Stepped:
        x, touched = dict(state.x), state.touched.copy()
        done = state.generation * self.fills
        for i in range(done - self.fills + 1, done + 1) if state.generation else ():
            squares = (key / "squares" / i).generator().integers(self.grid.count, size=self.pictures)
            for name, filler in state.fillers.items():
                filled = filler.fill(x[name], squares, key=key / "fill" / i)
                self._require_finite(filled, x[name], name, i)
                x[name] = filled
            touched[np.arange(self.pictures), squares] = True
        features = None if self.features == "none" else (self._space().space, self._features)
        measured = {name: drift(x[name], state.original, touched, features) for name in x}
        shown = {name: Shown(self._picture(x[name][:SHOWN])) for name in x}
        return Stepped(
            State(state.generation + 1, state.original, x, touched, state.fillers), measured, shown, ()
        )

    def _require_finite(self, filled: np.ndarray, before: np.ndarray, name: str, number: int) -> None:
        if np.isfinite(filled).all():
            return
        broken = int((~np.isfinite(filled.reshape(len(filled), -1)).all(axis=1)).sum())
        raise Broken(
            f"fill {number} ({self.grid.volume(number):g} % of the volume) of {name} gave numbers that are not finite in {broken} "
            f"of {len(filled)} pictures; the pictures after fill {number - 1} are kept",
            {"x": before, "fills": np.array(number - 1)},
        )

    def _features(self, flat: np.ndarray) -> np.ndarray:
        return fitted(self._memo, self.features, self._training, components=self.components)(flat)

    @cached_property
    def _memo(self) -> dict:
        return {}

    def _training(self) -> Any:
        return training_records(self.data)

    def _picture(self, x: np.ndarray) -> np.ndarray:
        return x[..., 0] if x.shape[3] == 1 else x

    def arrays(self, state: State) -> dict[str, np.ndarray]:
        found = {
            "generation": np.array(state.generation),
            "original": state.original,
            "touched": state.touched,
        }
        for name, x in state.x.items():
            found[f"x/{name}"] = x
            found |= {f"filler/{name}/{k}": v for k, v in state.fillers[name].arrays().items()}
        return found

    def restored(self, arrays: Mapping[str, np.ndarray], key: Key) -> State:
        fillers = {}
        for name, part in self.arms.items():
            before = f"filler/{name}/"
            kept = {k.removeprefix(before): v for k, v in arrays.items() if k.startswith(before)}
            own = key / "inpainter"
            fillers[name] = (
                part.restored(kept, self.data, self.grid, key=own)
                if kept
                else part.prepared(self.data, self.grid, key=own)
            )
        x = {name: arrays[f"x/{name}"] for name in self.arms}
        return State(int(arrays["generation"]), arrays["original"], x, arrays["touched"], fillers)

    def predictions(self, generations: int) -> list[Prediction]:
        from autophage.inpainting.gaussian_field import GaussianField
        from autophage.theory import recursive_inpainting as theory

        fills = [g * self.fills for g in range(generations)]
        found = []
        for name, part in self.arms.items():
            shared: dict[str, Any] = {"status": "exact", "agent": name}
            found.append(
                Prediction(
                    "untouched",
                    theory.untouched(self.grid, fills),
                    statement=f"Squares are picked at random: (1 - 1/{self.grid.count})^t of them are untouched after t fills.",
                    source="derived: each fill misses a square with probability 1 - 1/G",
                    **shared,
                )
            )
            if isinstance(part, GaussianField) and self.data.dim <= theory.LARGEST:
                courses = theory.second_moments(self.data.covariance(), self.grid, part.tau, fills)
                for metric, values in (
                    ("variance", courses.variance),
                    ("covariance_with_original", courses.covariance),
                    ("mse", courses.mse()),
                ):
                    found.append(
                        Prediction(
                            metric,
                            values,
                            statement=theory.STATEMENTS[metric],
                            source="derived: recursion of second moments over all squares",
                            parameters={"tau": part.tau},
                            **shared,
                        )
                    )
        return found

    def findings(self, metrics: polars.DataFrame) -> list[Finding]:
        return [self._information(metrics), self._degeneration(metrics)]

    def _information(self, metrics: polars.DataFrame) -> Finding:
        first, last, volume = self._ends(metrics, "covariance_with_original")
        name = "Information about the original lost"
        if last is None or not first:
            return Finding("information", name, "undecided", UNMEASURED, mark="I")
        share = last / first
        lost = share < FORGOTTEN
        correlation = self._ends(metrics, "correlation_with_original")[1]
        beside = "" if correlation is None else f", a correlation of {correlation:.2f}"
        return Finding(
            "information",
            name,
            "yes" if lost else "no",
            f"Information about the originals is {'lost' if lost else 'largely kept'}: at {volume:g} % of inpainted volume the "
            f"covariance with them is {100 * share:.3g} % of what it was{beside}.",
            share,
            "I",
        )

    def _degeneration(self, metrics: polars.DataFrame) -> Finding:
        name = "Pictures degenerate"
        shares = {}
        volume = 0.0
        for metric, words in (("variance", "variance"), ("high_frequency", "fine detail")):
            first, last, volume = self._ends(metrics, metric)
            if first is not None and last is not None and first > 0:
                shares[words] = last / first
        if not shares:
            return Finding("degeneration", name, "undecided", UNMEASURED, mark="P")
        fallen = min(shares.values()) < DEGENERATED
        said = " and ".join(f"{100 * share:.3g} % of their {words}" for words, share in shares.items())
        return Finding(
            "degeneration",
            name,
            "yes" if fallen else "no",
            f"The pictures themselves {'degenerate' if fallen else 'do not degenerate'}: at {volume:g} % they have {said} "
            f"{'left' if fallen else '(a loss begins below ' + format(DEGENERATED, '.0%') + ')'}.",
            min(shares.values()),
            "P",
        )

    def _ends(self, metrics: polars.DataFrame, metric: str) -> tuple[float | None, float | None, float]:
        """The means of generation 0 and of the last one, and the volume there; None where that is the same generation."""
        import polars as pl

        rows = metrics.filter(pl.col("metric") == metric)
        end = rows["generation"].max()
        if not isinstance(end, int) or end == 0:
            return None, None, 0.0
        first, last = (rows.filter(pl.col("generation") == g)["value"].mean() for g in (0, end))
        found = [v if isinstance(v, float) and np.isfinite(v) else None for v in (first, last)]
        return found[0], found[1], self.grid.volume(end * self.fills)

    def gallery(self, agent: str, shown: Mapping[int, Shown]) -> Gallery | None:
        from autophage.report.page import Gallery

        if 0 not in shown:
            return None
        return Gallery(
            "images",
            list(shown),
            np.stack([s.x for s in shown.values()]),
            shown[0].x,
            value_range=self.data.value_range,
            caption=f"One generation is {self.volume_step:g} % of inpainted volume. Each row is one picture, and "
            "generation 0 its original.",
        )

    def facts(self) -> list[tuple[str, Any]]:
        h, w, c = self.shape
        size = self.square
        return [
            ("pictures", f"{self.pictures:,} of {w} x {h} pixels{'' if c == 1 else ' in colour'}"),
            ("grid", f"{self.grid.count} squares of {size} x {size} pixels"),
            ("one generation", f"{self.fills} fills, {self.volume_step:g} % of the volume"),
            ("features", self.features),
        ]

    def volume(self, generation: int) -> float:
        """The inpainted volume of a generation in percent."""
        if generation < 0:
            raise DataError(f"generation {generation} does not exist; they count from 0")
        return self.grid.volume(generation * self.fills)
