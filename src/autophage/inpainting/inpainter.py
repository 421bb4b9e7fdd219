"""What fills a square, and how it is prepared for the pictures of a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from autophage.data.arguments import whole_number
from autophage.errors import SpecError
from autophage.inpainting.squares import Grid
from autophage.keys import Key
from autophage.parts import CONFIG


class Filler(ABC):
    """An inpainter that is ready to fill: an immutable value."""

    @abstractmethod
    def fill(self, x: np.ndarray, squares: np.ndarray, *, key: Key) -> np.ndarray:
        """Pictures x (n, h, w, c) float64, picture i with its square number squares[i] filled anew; all else as it was."""

    def arrays(self) -> dict[str, np.ndarray]:
        """What must be stored to rebuild it with `Inpainter.restored`; nothing where preparing it again costs little."""
        return {}


@dataclass(frozen=True, kw_only=True)
class Inpainter(ABC):
    """A way to fill a square from what is around it."""

    __pydantic_config__: ClassVar[dict] = CONFIG
    citation: ClassVar[tuple[str, ...]] = ()
    nested: ClassVar[Mapping[str, str]] = {}
    """Keys that hold parts of their own: key to slot."""

    def check(self, source: Any, grid: Grid) -> None:
        """Raises `SpecError` or `MissingExtra` where it cannot fill such pictures; asked before the start."""
        return None

    @abstractmethod
    def prepared(self, source: Any, grid: Grid, *, key: Key) -> Filler:
        """Ready for pictures of a source: what must be learned is learned from its real training part. Raises `FitFailed` where
        that diverges."""

    def restored(self, arrays: Mapping[str, np.ndarray], source: Any, grid: Grid, *, key: Key) -> Filler:
        """The filler that `arrays` came from."""
        return self.prepared(source, grid, key=key)

    def borrowed(self, filler: Filler) -> Filler | None:
        """A filler that rests on what another arm's has learned already; None where that is something else."""
        return None


@dataclass(frozen=True, kw_only=True)
class DrawnInpainter(Inpainter):
    """An inpainter that can only be drawn from: its mean is that of several draws."""

    fill: Literal["sampled", "mean"] = "sampled"
    """A draw, or the mean of several: an estimate of the conditional mean."""
    draws: int = 8
    """Draws whose mean is taken where `fill` is mean."""

    def __post_init__(self) -> None:
        if self.fill not in ("sampled", "mean"):
            raise SpecError(f"inpainter.fill is {self.fill!r}; it must be sampled or mean")
        whole_number(self.draws, "inpainter.draws", least=2)


class DrawnFiller(Filler):
    """Fills with a draw, or with the mean of several."""

    def __init__(self, part: DrawnInpainter, grid: Grid) -> None:
        self.part, self.grid = part, grid

    @abstractmethod
    def draw(self, x: np.ndarray, mask: np.ndarray, *, key: Key) -> np.ndarray:
        """Pictures (n, h, w, c) float64 whose pixels at `mask` (n, h, w) are drawn given the others; of the answer nothing but
        these is looked at."""

    def fill(self, x: np.ndarray, squares: np.ndarray, *, key: Key) -> np.ndarray:
        mask = self.grid.mask(squares)
        if self.part.fill == "sampled":
            drawn = self.draw(x, mask, key=key / "draw" / 0)
        else:
            count = self.part.draws
            drawn = sum(self.draw(x, mask, key=key / "draw" / j) for j in range(count)) / count  # type: ignore[assignment]
        return np.where(mask[..., None], drawn, x)
