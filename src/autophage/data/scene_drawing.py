"""Scenes of one coloured figure on black, 32 x 32 pixels, drawn exactly from four attributes and read back from pixels.

A scene (s, c, g, z) is a figure of shape s and size z in the cell g of a 3 x 3 grid, in the colour c. Its pixels are

    x[h, w, k] = round(255 A[h, w]) C[k],       A the share of a pixel that the figure covers, C[k] 0 or 1

A is counted on 8 x 8 points of a pixel, or on its centre alone where edges are plain. A picture is read as the scene t whose
drawing is nearest, which needs products with the 108 figures in white only:

    argmin_t |t|^2 - 2 <x, t>,      <x, t> = sum_k C[k] <x[., ., k], round(255 A)>
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np

Edges = Literal["smooth", "plain"]

SIDE = 32
SLOTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("shape", ("circle", "square", "triangle", "cross")),
    ("colour", ("red", "green", "blue", "yellow", "purple", "cyan")),
    (
        "cell",
        (
            "top-left",
            "top",
            "top-right",
            "left",
            "centre",
            "right",
            "bottom-left",
            "bottom",
            "bottom-right",
        ),
    ),
    ("size", ("small", "medium", "large")),
)
"""The attributes in the order in which captions name them, each with its words."""
COUNTS = tuple(len(words) for _, words in SLOTS)
SCENES = int(np.prod(COUNTS))
"""648 different ones."""

COLOURS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]])
RADII = (2.5, 3.75, 5.0)
"""Half the width of a figure, in pixels; a cell is 32 / 3 wide."""
POINTS = {"smooth": 8, "plain": 1}
"""Points along a pixel at which it is asked whether the figure is there."""
AT_ONCE = 1024
"""Pictures that are read together."""


def all_scenes() -> np.ndarray:
    """The attributes (648, 4) of every scene, the last one changing fastest."""
    return np.stack(np.unravel_index(np.arange(SCENES), COUNTS), axis=1)


def inside(shape: int, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Whether points are in a figure of half-width one around the origin, u to the right and v down."""
    a, b = np.abs(u), np.abs(v)
    if shape == 0:
        return u**2 + v**2 <= 1
    if shape == 1:
        return np.maximum(a, b) <= 1
    if shape == 2:
        return (v <= 0.9) & (a <= (v + 1) / 1.9)
    return (np.minimum(a, b) <= 0.3) & (np.maximum(a, b) <= 1)


@cache
def figures(edges: Edges) -> np.ndarray:
    """Every figure in white: (4, 9, 3, 1024) uint8 by shape, cell and size."""
    points = POINTS[edges]
    at = (np.arange(SIDE * points) + 0.5) / points
    drawn = np.empty((COUNTS[0], COUNTS[2], COUNTS[3], SIDE * SIDE), np.uint8)
    for shape, cell, size in np.ndindex(drawn.shape[:3]):
        down, across = divmod(cell, 3)
        v, u = ((at - (2 * place + 1) * SIDE / 6) / RADII[size] for place in (down, across))
        there = inside(shape, u[None, :], v[:, None]).reshape(SIDE, points, SIDE, points)
        drawn[shape, cell, size] = np.rint(255 * there.mean(axis=(1, 3))).astype(np.uint8).ravel()
    drawn.flags.writeable = False
    return drawn


def drawn(attributes: np.ndarray, edges: Edges = "smooth") -> np.ndarray:
    """The pictures (n, 3072) uint8 of attributes (n, 4)."""
    shape, colour, cell, size = np.asarray(attributes, np.int64).T
    white = figures(edges)[shape, cell, size]
    return (white[:, :, None] * COLOURS.astype(np.uint8)[colour][:, None, :]).reshape(len(white), -1)


def read(x: np.ndarray, edges: Edges = "smooth") -> np.ndarray:
    """The attributes (n, 4) int64 of the scenes nearest to pictures x (n, ...) of 3072 numbers 0..255; of equally near
    ones the first."""
    white = figures(edges).reshape(-1, SIDE * SIDE).astype(np.float32) / 255
    own = np.square(white).sum(axis=1)[None, :] * COLOURS.sum(axis=1)[:, None]
    nearest = np.empty(len(x), np.int64)
    for low in range(0, len(x), AT_ONCE):
        part = np.asarray(x[low : low + AT_ONCE]).reshape(-1, SIDE * SIDE, 3)
        each = (part.astype(np.float32) / 255).transpose(0, 2, 1).reshape(-1, SIDE * SIDE) @ white.T
        products = np.einsum("nkf,ck->ncf", each.reshape(len(part), 3, -1), COLOURS.astype(np.float32))
        nearest[low : low + AT_ONCE] = (own - 2 * products).reshape(len(part), -1).argmin(axis=1)
    colour, shape, cell, size = np.unravel_index(nearest, (COUNTS[1], COUNTS[0], COUNTS[2], COUNTS[3]))
    return np.stack([shape, colour, cell, size], axis=1)
