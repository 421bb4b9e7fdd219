"""The grid of squares on a picture, and how much of a picture is touched after t fills.

volume     V = 100 t / G percent, so that at 100 % each square was filled once on average
untouched  E = (1 - 1/G)^t, the expected share of squares that no fill has met
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autophage.errors import SpecError


@dataclass(frozen=True)
class Grid:
    """Squares of `square` pixels on pictures of height x width, numbered row by row.

    Raises `SpecError` where the squares do not tile the picture, or where one square is the whole picture and leaves no context.

    >>> grid = Grid(8, 8, 2)
    >>> grid.count, grid.rows(5), grid.volume(16), round(grid.untouched(16), 4)
    (16, (slice(2, 4, None), slice(2, 4, None)), 100.0, 0.3561)
    """

    height: int
    width: int
    square: int

    def __post_init__(self) -> None:
        size = f"{self.width} x {self.height} pixels"
        if self.square > min(self.height, self.width):
            raise SpecError(
                f"process.square is {self.square}, and the pictures have {size}; a square must fit into the picture"
            )
        if self.height % self.square or self.width % self.square:
            fits = [
                s for s in range(1, min(self.height, self.width)) if not (self.height % s or self.width % s)
            ]
            raise SpecError(
                f"process.square is {self.square}, which does not divide pictures of {size}; those that do: "
                f"{', '.join(map(str, fits))}"
            )
        if self.count < 2:
            raise SpecError(
                f"process.square is {self.square}, which covers the whole picture of {size}; nothing would be left to fill it from"
            )

    @property
    def across(self) -> int:
        """Squares in a row."""
        return self.width // self.square

    @property
    def count(self) -> int:
        """G, all squares."""
        return self.across * (self.height // self.square)

    def rows(self, number: int) -> tuple[slice, slice]:
        """Where a square lies: its rows and columns of pixels."""
        top, left = (i * self.square for i in divmod(number, self.across))
        return slice(top, top + self.square), slice(left, left + self.square)

    def mask(self, numbers: np.ndarray) -> np.ndarray:
        """True at the pixels of each picture's square: (n, height, width) for numbers (n,)."""
        row = np.arange(self.height) // self.square
        column = np.arange(self.width) // self.square
        return (row[:, None] * self.across + column) == np.asarray(numbers)[:, None, None]

    def inside(self, number: int, channels: int = 1) -> np.ndarray:
        """The places of a square's numbers in a flat record, height x width x channels in C order."""
        mask = np.zeros((self.height, self.width, channels), dtype=bool)
        mask[self.rows(number)] = True
        return np.flatnonzero(mask)

    def around(self, number: int, context: int, channels: int = 1) -> np.ndarray:
        """The places of what lies within `context` pixels of a square, without the square itself."""
        rows, columns = self.rows(number)
        mask = np.zeros((self.height, self.width, channels), dtype=bool)
        top, left = max(0, rows.start - context), max(0, columns.start - context)
        mask[top : rows.stop + context, left : columns.stop + context] = True
        mask[rows, columns] = False
        return np.flatnonzero(mask)

    def volume(self, fills: float) -> float:
        """The inpainted volume in percent after so many fills."""
        return 100 * fills / self.count

    def untouched(self, fills: float) -> float:
        """The expected share of squares that so many fills leave alone."""
        return float((1 - 1 / self.count) ** fills)
