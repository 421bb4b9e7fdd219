"""Handwritten digits as a regression: a picture's pixels, and its class as ten zeros and ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np

from autophage.data.arguments import not_negative
from autophage.data.digits import DigitsSource
from autophage.data.mnist import MnistSource
from autophage.data.source import FiniteSource, Records
from autophage.errors import DataError
from autophage.parts import Domain
from autophage.samples import Samples

CLASSES = 10


@dataclass(frozen=True, kw_only=True)
class LabelledDigitsSource(FiniteSource):
    """Pixels in [0, 1], less the training part's mean picture, then ten outputs: one for the picture's class, zero else."""

    domain: ClassVar[Domain] = "pairs"
    outputs: ClassVar[int] = CLASSES
    citation: ClassVar[tuple[str, ...]] = (*DigitsSource.citation, *MnistSource.citation)

    pictures: Literal["digits", "mnist"] = "digits"
    """The 8 x 8 digits that come with scikit-learn, or MNIST from its idx files."""
    path: str | None = None
    """Of MNIST: see data mnist."""
    pool: int = 1
    """Of MNIST: replace each square of pool x pool pixels by its mean."""
    noise: float = 0.0
    """Standard deviation of the noise on every output of a label that a model makes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative(self.noise, "data.noise")

    @property
    def dim(self) -> int:
        return self.train().x.shape[1] - CLASSES

    @cached_property
    def _centred(self) -> tuple[Samples, Samples]:
        parts = [np.array(p.x) for p in self._split[:2]]
        middle = parts[0][:, :-CLASSES].mean(axis=0)
        for x in parts:
            x[:, :-CLASSES] -= middle
        return Samples.of(parts[0]), Samples.of(parts[1])

    def train(self) -> Samples:
        return self._centred[0]

    def reference(self) -> Samples:
        return self._centred[1]

    caption: ClassVar[str] = "Across: what the label says of the digit 0; up: of the digit 1."

    @property
    def trivial_risks(self) -> dict[str, float]:
        """The risk of a model that always answers zero, by the metric's name."""
        return {"held_out_error": float((self.reference().x[:, -CLASSES:] ** 2).sum(axis=1).mean())}

    def seen(self, x: np.ndarray) -> np.ndarray:
        """Records (..., d + 10) as points (..., 2): the labels' entries for the digits 0 and 1."""
        return x[..., [-CLASSES, 1 - CLASSES]]

    def load(self) -> Records:
        digits = self.pictures == "digits"
        found = (
            DigitsSource(size=self.size)
            if digits
            else MnistSource(path=self.path, pool=self.pool, size=self.size)
        ).load()
        if found.label is None:
            raise DataError(f"{found.origin} has no file of labels beside it, and a regression needs labels")
        n = len(found.x)
        pixels = np.asarray(found.x, dtype=np.float64).reshape(n, -1) / (16.0 if digits else 255.0)
        if not (found.label < CLASSES).all():
            raise DataError(f"{found.origin} holds labels above 9, which are no digits")
        return Records(np.concatenate([pixels, np.eye(CLASSES)[found.label]], axis=1), None, found.origin)
