"""Pictures made ready for a network by the settings that a checkpoint's `preprocessor_config.json` holds, in torch: for
models whose own processor needs torchvision (DINOv3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

_KERNELS = {0: "nearest", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers of its kernels."""


@dataclass(frozen=True)
class Preparation:
    """Rescale, resize with smoothing, cut out the middle, normalise.

    `size` is (height, width), or a number for the shorter side; None keeps the pictures' own. `kernel` is that of
    `torch.nn.functional.interpolate`. Mean and deviation are per channel, of values after rescaling.
    """

    size: tuple[int, int] | int | None = None
    kernel: str = "bicubic"
    crop: tuple[int, int] | None = None
    factor: float = 1 / 255
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    deviation: tuple[float, ...] = (1.0, 1.0, 1.0)

    @staticmethod
    def at(where: str) -> Preparation:
        """What the settings of the checkpoint at `where` ask for, a folder or a name on the hub. Raises `OSError` where
        there are none, `ValueError` where they cannot be followed."""
        from transformers.image_processing_base import ImageProcessingMixin

        return Preparation.of(ImageProcessingMixin.get_image_processor_dict(where)[0])

    @staticmethod
    def of(settings: Mapping[str, Any]) -> Preparation:
        """What these settings ask for. Raises `ValueError` where that is not known here."""
        found: dict[str, Any] = {}
        if settings.get("do_resize", True):
            size = settings.get("size")
            if isinstance(size, Mapping) and "shortest_edge" in size:
                size = size["shortest_edge"]
            found["size"] = size if isinstance(size, int) else _sides(size, "size")
            number = settings.get("resample", 3)
            if number not in _KERNELS:
                raise ValueError(f"its processor resizes with Pillow's kernel {number}; known are 0, 2 and 3")
            found["kernel"] = _KERNELS[number]
        if settings.get("do_center_crop"):
            found["crop"] = _sides(settings.get("crop_size"), "crop_size")
        found["factor"] = settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 1.0
        if settings.get("do_normalize", True):
            if not settings.get("image_mean") or not settings.get("image_std"):
                raise ValueError("its processor says neither image_mean nor image_std")
            found["mean"], found["deviation"] = tuple(settings["image_mean"]), tuple(settings["image_std"])
        return Preparation(**found)

    def __call__(self, pictures: np.ndarray) -> Tensor:
        """Colour pictures (n, h, w, 3) of bytes as float32 (n, 3, h', w')."""
        x = torch.from_numpy(pictures).movedim(3, 1).float() * self.factor
        if self.size is not None:
            size = self.size
            if isinstance(size, int):
                size = (
                    max(int(size * x.shape[2] / min(x.shape[2:])), size),
                    max(int(size * x.shape[3] / min(x.shape[2:])), size),
                )
            smooth = {} if self.kernel == "nearest" else {"antialias": True, "align_corners": False}
            x = functional.interpolate(x, size=size, mode=self.kernel, **smooth)  # type: ignore[arg-type]
        if self.crop is not None:
            top, left = ((have - want) // 2 for have, want in zip(x.shape[2:], self.crop, strict=True))
            x = functional.pad(x, [max(-left, 0)] * 2 + [max(-top, 0)] * 2)[
                :, :, max(top, 0) : max(top, 0) + self.crop[0], max(left, 0) : max(left, 0) + self.crop[1]
            ]
        mean, deviation = (torch.tensor(v).reshape(1, -1, 1, 1) for v in (self.mean, self.deviation))
        return (x - mean) / deviation


def _sides(size: Any, key: str) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    if isinstance(size, Mapping) and {"height", "width"} <= set(size):
        return size["height"], size["width"]
    raise ValueError(f"its processor's {key} is {size!r}; a height and a width are expected")
