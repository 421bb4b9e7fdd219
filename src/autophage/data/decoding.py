"""From the bytes of an image file to pixels: grey (h, w) or colour (h, w, 3), whole numbers 0..255.

What a file may hold beyond that is brought to it in one way: pictures turned by a camera are set upright, transparent
ones are laid on white, palettes and other colour spaces become RGB, 16-bit grey values v become round(v / 257), and of
an animation the first frame is taken.
"""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
from PIL import Image, ImageOps

SUFFIXES = frozenset(
    (
        ".png",
        ".jpg",
        ".jpeg",
        ".jfif",
        ".webp",
        ".avif",
        ".bmp",
        ".gif",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
    )
)
"""What the names of image files end in."""

REMARKS = {
    "transparent": "laid on white, since transparent: {}",
    "deep": "reduced from 16 bits a pixel to 8: {}",
    "animated": "shown by the first frame of an animation: {}",
}
"""What is worth telling of pictures that had to be brought into form."""


class Damaged(Exception):
    """A picture that cannot be read, and why; whoever knows its name decides what follows."""


def decoded(content: bytes, remarks: Counter[str] | None = None) -> np.ndarray:
    """The pixels of an image file, (h, w) or (h, w, 3) uint8; `remarks` counts what had to be changed.

    Raises `Damaged` when they cannot be read.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            if getattr(image, "is_animated", False):
                _count(remarks, "animated")
            ImageOps.exif_transpose(image, in_place=True)
            return _bytes(image, remarks)
    except Damaged:
        raise
    except MemoryError:
        raise
    except Exception as error:  # the decoders of Pillow raise nearly anything for bytes that are wrong
        if not content:
            raise Damaged("it is empty") from error
        if isinstance(error, Image.UnidentifiedImageError):
            raise Damaged("no image format is recognised") from error
        raise Damaged(str(error).strip() or type(error).__name__) from error


def measured(content: bytes) -> tuple[int, int]:
    """Height and width as the file's header says. Raises `Damaged` when there is none."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.height, image.width
    except Exception as error:
        raise Damaged("no image format is recognised") from error


def _bytes(image: Image.Image, remarks: Counter[str] | None) -> np.ndarray:
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        x = np.asarray(image.convert("RGBA"))
        if (x[..., 3] == 255).all():
            return x[..., :3]
        _count(remarks, "transparent")
        return laid_on_white(x)
    if image.mode in ("L", "RGB"):
        return np.asarray(image)
    if image.mode == "1":
        return np.asarray(image.convert("L"))
    if image.mode[0] in "IF":
        values = np.asarray(image)
        if image.mode == "F" or values.min() < 0 or values.max() > 0xFFFF:
            raise Damaged("its pixels are measured numbers; save it with 8 or 16 bits a pixel")
        _count(remarks, "deep")
        return ((values.astype(np.int64) + 128) // 257).astype(np.uint8)
    return np.asarray(image.convert("RGB"))


def _count(remarks: Counter[str] | None, name: str) -> None:
    if remarks is not None:
        remarks[name] += 1


def laid_on_white(x: np.ndarray) -> np.ndarray:
    """Pictures (..., 4) with their opacity last as colour pictures (..., 3) on white paper, rounded.

    >>> laid_on_white(np.array([0, 100, 255, 51], np.uint8)).tolist()
    [204, 224, 255]
    """
    opacity = x[..., 3:].astype(np.uint32)
    mixed = x[..., :3] * opacity + 255 * (255 - opacity)
    return ((2 * mixed + 255) // 510).astype(np.uint8)


def squared(x: np.ndarray, side: int) -> np.ndarray:
    """A picture (h, w) or (h, w, 3) cut to its central square and resized by Lanczos' kernel to `side` x `side`.

    >>> squared(np.full((9, 5, 3), 7, np.uint8), 2).tolist()
    [[[7, 7, 7], [7, 7, 7]], [[7, 7, 7], [7, 7, 7]]]
    """
    height, width = x.shape[:2]
    if height == width == side:
        return x
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    square = Image.fromarray(np.ascontiguousarray(x[top : top + edge, left : left + edge]))
    return np.asarray(square.resize((side, side), Image.Resampling.LANCZOS))


def greyed(x: np.ndarray) -> np.ndarray:
    """Colour pictures (..., 3) as luma (...) uint8, 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601) as Pillow rounds it.

    >>> greyed(np.array([255, 0, 0], np.uint8)).item()
    76
    """
    weights = np.array([19595, 38470, 7471], np.uint32)
    return ((x.astype(np.uint32) @ weights + 0x8000) >> 16).astype(np.uint8)


def is_grey(x: np.ndarray) -> bool:
    """Whether all three channels of all colour pictures (n, h, w, 3) are equal."""
    red, green, blue = (x[..., c] for c in range(3))
    return np.array_equal(red, green) and np.array_equal(red, blue)
