"""Pictures as bytes, as sheets of many, and as addresses that stand in a page."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from PIL import Image, features

LARGEST = 64
"""Pictures of more pixels a side are made smaller for a page."""
EXACT = 32
"""Pictures of at most this many pixels a side are stored without any loss."""
QUALITY = 90


def as_bytes(images: np.ndarray, value_range: tuple[float, float]) -> np.ndarray:
    """Images as bytes, the ends of the value range black and white; NaN is black."""
    low, high = value_range
    scaled = (np.nan_to_num(np.asarray(images, dtype=np.float64), nan=low) - low) / ((high - low) or 1.0)
    return (np.clip(scaled, 0, 1) * 255).round().astype(np.uint8)


def spread_of(images: Any) -> tuple[float, float]:
    """The values drawn black and white where nobody says which: those of bytes, else the least and the largest."""
    shown = np.asarray(images)
    if shown.dtype == np.uint8:
        return 0.0, 255.0
    shown = shown[np.isfinite(shown)]
    return (float(shown.min()), float(shown.max())) if len(shown) else (0.0, 1.0)


def fitted(images: np.ndarray, largest: int = LARGEST) -> np.ndarray:
    """Images (n, h, w[, 3]) of bytes, made smaller where a side is longer than `largest` pixels."""
    height, width = images.shape[1:3]
    if max(height, width) <= largest or not len(images):
        return images
    share = largest / max(height, width)
    size = (max(1, round(width * share)), max(1, round(height * share)))
    return np.stack([np.asarray(Image.fromarray(i).resize(size, Image.Resampling.BOX)) for i in images])


def gap(shape: tuple[int, ...]) -> int:
    """Pixels between two pictures of height and width `shape` on a sheet."""
    return max(1, round(max(shape[:2]) / 16))


def montage(images: np.ndarray, across: int) -> np.ndarray:
    """Images (n, h, w[, 3]) of bytes, `across` in a row, with clear gaps between them: RGBA bytes.

    >>> montage(np.full((3, 8, 8), 200, dtype=np.uint8), 2).shape
    (17, 17, 4)
    """
    height, width = images.shape[1:3]
    space = gap((height, width))
    rows = -(-len(images) // across)
    sheet = np.zeros((rows * (height + space) - space, across * (width + space) - space, 4), dtype=np.uint8)
    for i, image in enumerate(images):
        top, left = (i // across) * (height + space), (i % across) * (width + space)
        cell = sheet[top : top + height, left : left + width]
        cell[..., :3] = image if image.ndim == 3 else image[..., None]
        cell[..., 3] = 255
    return sheet


def enlarged(image: np.ndarray, scale: int) -> np.ndarray:
    """An image (h, w, ...) with every pixel repeated, nothing smoothed."""
    return image.repeat(scale, axis=0).repeat(scale, axis=1)


def address(rgba: np.ndarray, side: int) -> str:
    """A sheet of pictures of `side` pixels as a `data:` address: PNG where they are small and grey, else WebP, which is
    much smaller, and exact up to `EXACT` pixels a side."""
    grey = bool((rgba[..., 0] == rgba[..., 1]).all() and (rgba[..., 1] == rgba[..., 2]).all())
    exact = side <= EXACT
    buffer = io.BytesIO()
    if (grey and exact) or not features.check("webp"):
        image = Image.fromarray(rgba)
        (image.convert("LA") if grey else image).save(buffer, format="PNG", optimize=True)
        return embedded(buffer.getvalue(), "png")
    # Without loss, quality is the effort spent: the utmost saves 4 % and takes ten times as long.
    Image.fromarray(rgba).save(
        buffer, format="WEBP", lossless=exact, quality=50 if exact else QUALITY, method=2
    )
    return embedded(buffer.getvalue(), "webp")


def embedded(content: bytes, kind: str) -> str:
    """The bytes of a picture as a `data:` address."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
