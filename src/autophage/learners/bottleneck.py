"""What a denoising network makes of records on the way: the output of its bottleneck, as latent codes.

    h = e(y; sigma),   y = x0 + sigma n,   sigma^2 / (1 + sigma^2) = noise

e is the network up to its bottleneck, told the level and the null class. The noise n is named by the record, so that a code does
not depend on the records that are encoded beside it; records pass through the network in float32.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autophage.errors import DataError
from autophage.keys import Key

AT_ONCE = 256
"""Records that pass through the network together."""


def codes(model: Any, x: np.ndarray, noise: float, key: Key) -> np.ndarray:
    """Codes (n, k) float64 that a `DenoisingModel` makes of records x (n, ...); `noise` in [0, 1) is the share of the variance that
    is noise, and the nearest level that the model's process knows is taken. Raises `DataError` for another noise, or records of
    another width."""
    if not 0 <= noise < 1:
        raise DataError(f"records are encoded at a noise in [0, 1), the share of the variance; got {noise}")
    flat = np.asarray(x).reshape(len(x), -1)
    if flat.shape[1] != math.prod(model.space.shape):
        raise DataError(
            f"the model encodes records of {math.prod(model.space.shape)} numbers, got {flat.shape[1]}"
        )
    least, most = model.levels
    sigma = min(max(math.sqrt(noise / (1 - noise)), least), most)
    seen: list[Tensor] = []

    def keep(_: Any, __: Any, output: Tensor) -> None:
        seen.append(output.flatten(1).double().cpu())

    denoise = model.denoiser()
    with model.at_work() as name, contextlib.ExitStack() as stack:
        stack.callback(model.net.bottleneck.register_forward_hook(keep).remove)
        for low in range(0, len(flat), AT_ONCE):
            z = model.space.enter(torch.from_numpy(np.ascontiguousarray(flat[low : low + AT_ONCE])))
            y = z + sigma * _named_noise(z, key) if sigma else z
            denoise(y.to(name), torch.tensor(sigma, dtype=torch.float64, device=name))
    return torch.cat(seen).numpy() if seen else np.empty((0, 0))


def _named_noise(z: Tensor, key: Key) -> Tensor:
    """Standard normal noise of z's shape (n, ...), each record's from a stream that bears its name."""
    rows = np.ascontiguousarray(z.numpy().reshape(len(z), -1))
    out, stream = np.empty_like(rows), key.generator()
    for row, drawn in zip(rows, out, strict=True):
        name = hashlib.blake2b(row.tobytes(), digest_size=16).hexdigest()
        (key / name).rewind(stream).standard_normal(out=drawn, dtype=np.float32)
    return torch.from_numpy(out).reshape(z.shape)
