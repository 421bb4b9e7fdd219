"""Records as networks see them: pictures in [-1, 1] with channels first, or standardised vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


class RecordSpace(ABC):
    """An invertible map between flat records and network inputs."""

    dtype: str

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The shape of one network input."""

    @abstractmethod
    def enter(self, x: Tensor) -> Tensor:
        """Records (n, d) of any type as float32 network inputs (n, *shape)."""

    @abstractmethod
    def leave(self, z: Tensor) -> np.ndarray:
        """Network inputs as records (n, d) of the data's type."""

    @abstractmethod
    def stored(self) -> dict[str, Any]:
        """What `restored` rebuilds it from: plain data."""


@dataclass(frozen=True)
class Pictures(RecordSpace):
    """Pictures (h, w) or (h, w, c), values `low` to `high`."""

    size: tuple[int, ...]
    low: float
    high: float
    dtype: str

    @property
    def shape(self) -> tuple[int, ...]:
        height, width, *channels = self.size
        return (channels[0] if channels else 1, height, width)

    def enter(self, x: Tensor) -> Tensor:
        c, h, w = self.shape
        z = x.to(torch.float32).sub_(self.low).mul_(2 / (self.high - self.low)).sub_(1)
        return z.view(len(x), h, w, c).permute(0, 3, 1, 2).contiguous()

    def leave(self, z: Tensor) -> np.ndarray:
        x = (z.float().clamp(-1, 1) + 1) * ((self.high - self.low) / 2) + self.low
        if np.issubdtype(self.dtype, np.integer):
            x = x.round()
        return x.permute(0, 2, 3, 1).reshape(len(z), -1).cpu().numpy().astype(self.dtype)

    def stored(self) -> dict[str, Any]:
        return {"kind": "pictures", **asdict(self)}


@dataclass(frozen=True)
class Vectors(RecordSpace):
    """Vectors less their mean over their scale (d,)."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    dtype: str

    @staticmethod
    def of(x: np.ndarray, dtype: str) -> Vectors:
        """From the real records (n, d); a column that never changes keeps a scale of one."""
        mean, scale = x.mean(axis=0), x.std(axis=0)
        scale = np.where(scale > 1e-12 * (1 + np.abs(mean)), scale, 1.0)
        return Vectors(tuple(mean.tolist()), tuple(scale.tolist()), dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.mean),)

    def enter(self, x: Tensor) -> Tensor:
        mean, scale = (torch.tensor(v, dtype=torch.float64, device=x.device) for v in (self.mean, self.scale))
        return ((x.double() - mean) / scale).float()

    def leave(self, z: Tensor) -> np.ndarray:
        x = z.cpu().double().numpy() * np.array(self.scale) + np.array(self.mean)
        return x.astype(self.dtype)

    def stored(self) -> dict[str, Any]:
        return {"kind": "vectors", **asdict(self)}


def restored(body: Mapping[str, Any]) -> RecordSpace:
    """The space that `stored` describes."""
    values: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in body.items() if k != "kind"
    }
    return Pictures(**values) if body["kind"] == "pictures" else Vectors(**values)


class Table:
    """A training set within reach of the device: the whole of it there if it is small, else read batch by batch."""

    def __init__(self, x: Any, device: str, most: int = 2**32) -> None:
        self._field = x
        self.device = device
        self._whole: Tensor | None = None
        # On a processor a memory-mapped set stays on disk: pages come and go.
        at_hand = isinstance(x, np.ndarray) and not isinstance(x, np.memmap)
        if at_hand if device == "cpu" else int(np.prod(x.shape)) * x.dtype.itemsize <= most:
            whole = np.ascontiguousarray(x)
            # torch warns of arrays that it must not write to, such as mapped ones; what goes to a device is copied anyway.
            self._whole = torch.from_numpy(whole if whole.flags.writeable else whole.copy()).to(device)

    def __len__(self) -> int:
        return len(self._field)

    def rows(self, index: np.ndarray) -> Tensor:
        """Records (n, d), as they are stored, on the device."""
        if self._whole is not None:
            return self._whole[on_device(index, self.device)]
        return on_device(np.ascontiguousarray(self._field[index]), self.device)


def on_device(values: np.ndarray, device: Any) -> Tensor:
    """The values there, without waiting for what the device is still doing: one such wait in every step of a training
    cost 7 % of it on an H200."""
    return torch.from_numpy(values).to(device, non_blocking=True)
