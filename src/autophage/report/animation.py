"""The collapse as a film: the same pictures through the generations, all arms side by side, as WebP or GIF."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont, features

from autophage.errors import DataError
from autophage.report.courses import spaced
from autophage.report.gallery import image_range, traced
from autophage.report.montage import as_bytes, enlarged, fitted
from autophage.report.page import Arm, Gallery

ACROSS = 4
PICTURES = 12
"""Pictures of each arm in a frame."""
MOST_FRAMES = 24
MOST_BYTES = 700_000
"""A film gives up exactness and quality (WebP), then frames, until it is no larger."""
STEP, REST = 500, 2000
"""Milliseconds that a frame is shown, and the last one."""
WAYS: dict[str, list[dict[str, Any]]] = {
    "webp": [
        {"format": "WEBP", "method": 2, "lossless": True, "quality": 30},
        {"format": "WEBP", "method": 2, "quality": 80},
        {"format": "WEBP", "method": 2, "quality": 50},
    ],
    "gif": [{"format": "GIF"}],
}
"""How a film is stored, the truest way first; quality without loss is effort."""
ROOM = 96
"""Pixels that a picture is enlarged to, as far as whole numbers go."""
GROUND, INK, QUIET = (21, 24, 28), (231, 234, 237), (163, 172, 182)
MARGIN, GAP = 16, 28

Form = Literal["webp", "gif"]


def animation(arms: Sequence[Arm], form: Form = "webp", most: int = MOST_BYTES) -> bytes | None:
    """The film of all arms that have pictures; None where none has pictures of two generations.

    A frame shows generation g of every arm, an arm that has ended its last one. The same arms give the same bytes.
    Raises `DataError` for a form other than webp and gif.
    """
    if form not in ("webp", "gif"):
        raise DataError(f"a film can be webp or gif, not {form!r}")
    if form == "webp" and not features.check("webp"):
        return None
    pictured = [
        (arm.name, arm.gallery) for arm in arms if arm.gallery is not None and arm.gallery.kind == "images"
    ]
    generations = sorted({int(g) for _, gallery in pictured for g in gallery.generations})
    if len(generations) < 2:
        return None
    shown = [generations[i] for i in spaced(len(generations), MOST_FRAMES)]
    frames = [_frame(pictured, g, shown[-1]) for g in shown]
    content = b""
    for way in WAYS[form]:
        content = _saved(frames, way)
        if len(content) <= most:
            return content
    while len(content) > most and len(frames) > 2:
        frames = [frames[i] for i in spaced(len(frames), max(2, len(frames) * 2 // 3))]
        content = _saved(frames, WAYS[form][-1])
    return content


def still(film: bytes) -> bytes:
    """The last frame of a film as WebP, for readers who asked for less motion."""
    with Image.open(io.BytesIO(film)) as opened:
        opened.seek(getattr(opened, "n_frames", 1) - 1)
        buffer = io.BytesIO()
        opened.convert("RGB").save(buffer, format="WEBP", quality=80)
    return buffer.getvalue()


def _saved(frames: Sequence[Image.Image], way: Mapping[str, Any]) -> bytes:
    if way["format"] == "GIF":
        method, dither = Image.Quantize.MEDIANCUT, Image.Dither.NONE
        frames = [frame.quantize(256, method=method, dither=dither) for frame in frames]
    buffer = io.BytesIO()
    durations = [STEP] * (len(frames) - 1) + [REST]
    frames[0].save(buffer, save_all=True, append_images=frames[1:], duration=durations, loop=0, **way)
    return buffer.getvalue()


def _frame(pictured: Sequence[tuple[str, Gallery]], generation: int, last: int) -> Image.Image:
    blocks = [_block(gallery, generation) for _, gallery in pictured]
    title, small = _font(20), _font(15)
    named = len(pictured) > 1
    top = MARGIN + 34 + (26 if named else 0)
    least = 0 if named else 180
    width = max(least, sum(b.shape[1] for b in blocks) + GAP * (len(blocks) - 1)) + 2 * MARGIN
    frame = Image.new("RGB", (width, top + max(b.shape[0] for b in blocks) + MARGIN), GROUND)
    draw = ImageDraw.Draw(frame)
    draw.text((MARGIN, MARGIN - 4), f"generation {generation}", font=title, fill=INK)
    draw.text((width - MARGIN, MARGIN), f"of {last}", font=small, fill=QUIET, anchor="ra")
    left = MARGIN
    for (name, _), block in zip(pictured, blocks, strict=True):
        if named:
            draw.text((left, top - 24), _cut(name, small, block.shape[1]), font=small, fill=QUIET)
        frame.paste(Image.fromarray(block), (left, top))
        left += block.shape[1] + GAP
    return frame


def _block(gallery: Gallery, generation: int) -> np.ndarray:
    """An arm's pictures of a generation, RGB bytes: the followed ones first."""
    at = int(np.searchsorted(np.asarray(gallery.generations), generation, side="right")) - 1
    first = traced(gallery)
    count = np.shape(gallery.samples)[1]
    others = np.setdiff1d(np.arange(count), first)[: max(0, PICTURES - len(first))]
    chosen = np.concatenate([first, others])[:PICTURES]
    images = fitted(as_bytes(np.asarray(gallery.samples[max(at, 0)])[chosen], image_range(gallery)), ROOM)
    height, width = images.shape[1:3]
    scale = max(1, ROOM // max(height, width) if len(chosen) > 4 else 2 * ROOM // max(height, width))
    gap = max(2, scale // 2)
    rows = -(-len(images) // ACROSS)
    across = min(ACROSS, len(images))
    step = (height * scale + gap, width * scale + gap)
    block = np.empty((rows * step[0] - gap, across * step[1] - gap, 3), dtype=np.uint8)
    block[:] = GROUND
    for i, image in enumerate(images):
        top, left = (i // ACROSS) * step[0], (i % ACROSS) * step[1]
        big = enlarged(image, scale)
        block[top : top + height * scale, left : left + width * scale] = (
            big if big.ndim == 3 else big[..., None]
        )
    return block


def _cut(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: int) -> str:
    """The text as far as there is room."""
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(text + "…") > room:
        text = text[:-1]
    return text + "…"


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font that matplotlib brings along, which knows Greek; found without importing matplotlib."""
    found = find_spec("matplotlib")
    place = (
        Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if found and found.origin
        else None
    )
    if place is not None and place.is_file():
        return ImageFont.truetype(str(place), size)
    return ImageFont.load_default()
