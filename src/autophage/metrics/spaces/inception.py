"""Inception-v3 in the convention of the FID, with weights that the user supplies.

A Fréchet distance on these features is the FID of Heusel et al. (2017): the network of 2015-12-05, its 2,048 pooled
activations, and its own way with pictures: whole numbers 0..255, resized to 299 x 299 as TensorFlow 1 did it, then
(x - 128) / 128. The numbers agree with the published convention; a resize with another kernel does not (Parmar, Zhang
and Zhu 2022).
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autophage.errors import SpecError
from autophage.metrics.features import Features
from autophage.metrics.spaces.exact import full_precision
from autophage.metrics.spaces.inception_network import InceptionV3
from autophage.metrics.spaces.pictures import PictureForm, in_parts
from autophage.samples import Samples
from autophage.training.devices import world

WEIGHTS = "pt_inception-2015-12-05-6726825d.pth"
ORIGIN = "https://github.com/mseitzer/pytorch-fid/releases/tag/fid_weights"
SIDE = 299
AT_ONCE = 32
"""Pictures that pass through the network together."""


class Inception(Features):
    """The 2,048 activations of Inception-v3's last pooling, float32, of pictures; runs on a CUDA device if there is one.

    `path` is a file of weights: `pt_inception-2015-12-05-6726825d.pth` (from `ORIGIN`), or the same arrays as
    safetensors. Nothing is downloaded and nothing unpickled beyond arrays. Raises `SpecError` where it is no such file,
    `DataError` where the records are no pictures or their range of values is not known.
    """

    def __init__(self, path: str, real: Samples) -> None:
        self.form = PictureForm(real, "inception")
        weights = read_weights(path)
        with torch.device("meta"):
            net = InceptionV3()
        check_weights(weights, net.state_dict(), path)
        # Counts of batches seen are in some copies of the file and not in others; nothing uses them.
        counters = {k: torch.zeros((), dtype=torch.long) for k in net.state_dict() if _is_counter(k)}
        net.load_state_dict({**counters, **weights}, assign=True)
        self.device = world().device
        self.net = net.float().eval().requires_grad_(False).to(self.device)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        def pooled(part: np.ndarray) -> np.ndarray:
            pixels = torch.from_numpy(self.form.colour_bytes(part)).to(self.device).movedim(3, 1)
            return self.net(resized(pixels.float()).sub_(128).div_(128)).cpu().numpy()

        with full_precision():
            return in_parts(x, AT_ONCE, pooled)


def resized(x: Tensor, side: int = SIDE) -> Tensor:
    """Pictures (n, c, h, w) as (n, c, side, side) by TensorFlow 1's bilinear rule: corners not aligned, pixel centres not
    shifted, no smoothing before shrinking. Row i of the result looks at row i h / side of the picture:

        y[i] = (1 - f) x[j] + f x[min(j + 1, h - 1)],   j = floor(i h / side),   f = i h / side - j

    and columns likewise.

    >>> resized(torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]]), 4)[0, 0].tolist()[1]
    [1.0, 1.5, 2.0, 2.0]
    """
    for axis in (2, 3):
        size = x.shape[axis]
        at = torch.arange(side, dtype=torch.float32, device=x.device) * (size / side)
        low = at.floor().long().clamp_(max=size - 1)
        share = (at - low).reshape((-1, 1) if axis == 2 else (-1,))
        first, second = x.index_select(axis, low), x.index_select(axis, (low + 1).clamp_(max=size - 1))
        x = first + (second - first) * share
    return x


def find_weights(path: str) -> Path:
    """Where the weights lie. Raises `SpecError`, saying where to get them, when there is no such file."""
    place = Path(path).expanduser()
    if not place.is_file():
        raise SpecError(
            f"features: inception:{path}: there is no such file; download {WEIGHTS} from {ORIGIN} and give its place"
        )
    return place


def read_weights(path: str) -> dict[str, Tensor]:
    """The named arrays in a file of weights. Raises `SpecError` where it is missing or holds something else."""
    place = find_weights(path)
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    found: Any
    try:
        if place.suffix == ".safetensors":
            found = load_file(place)
        else:
            found = torch.load(place, map_location="cpu", weights_only=True)
    except (
        OSError,
        ValueError,
        KeyError,
        RuntimeError,
        EOFError,
        pickle.UnpicklingError,
        SafetensorError,
    ) as error:
        raise _wrong(path, "cannot be read as arrays of a network") from error
    if not isinstance(found, Mapping) or not all(isinstance(v, Tensor) for v in found.values()):
        raise _wrong(path, "holds no named arrays")
    return dict(found)


def check_weights(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor], path: str) -> None:
    """Raises `SpecError` naming the first array that is missing, of another shape, or not known."""
    named = [k for k in wanted if not _is_counter(k)]
    absent = [k for k in named if k not in weights]
    foreign = [k for k in weights if k not in wanted]
    shaped = [k for k in named if k in weights and weights[k].shape != wanted[k].shape]
    if absent:
        raise _wrong(path, f"has no array '{absent[0]}' ({len(absent)} of {len(named)} are missing)")
    if shaped:
        mine, theirs = tuple(wanted[shaped[0]].shape), tuple(weights[shaped[0]].shape)
        raise _wrong(path, f"has an array '{shaped[0]}' of shape {theirs} instead of {mine}")
    if foreign:
        raise _wrong(path, f"has an array '{foreign[0]}' that the network of the FID has not")


def _is_counter(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def _wrong(path: str, what: str) -> SpecError:
    return SpecError(
        f"features: inception:{path} {what}; it must be {WEIGHTS} from {ORIGIN}, or its arrays as safetensors"
    )
