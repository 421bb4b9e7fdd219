"""A small convolutional network, trained once on the labelled real pictures, as a feature space and a classifier.

It is a fixed ruler: the same real pictures give the same network in every run, whatever the run's seed, and it is kept
on disk, so that the next run on these data need not train it again. Like every classifier of the real labels it is not
Inception: its distances are comparable between runs on the same data only, and its rows say `cnn_real_labels`.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from autophage.errors import DataError
from autophage.metrics.features import Features
from autophage.metrics.records import FIXED
from autophage.metrics.spaces.pictures import PictureForm, in_parts
from autophage.metrics.spaces.shelf import fetch, keep
from autophage.samples import Samples
from autophage.training.devices import one_thread

RECIPE = 1
"""Goes up whenever the network or its training changes: what older versions kept is then passed over."""
RECORDS = 20_000
"""It learns from at most this many real pictures (fixed ones, drawn without replacement), held-out ones included."""
HELD_OUT = 0.1
"""Share of these that is not trained on but used to find the accuracy; at most 2,000 pictures."""
SIDE = 32
"""Larger pictures are averaged down until no side is longer."""
WIDTHS = (24, 48, 96)
"""Channels of the three convolutions."""
FEATURES = 128
"""Activations of the last hidden layer, which are the features."""
PICTURES_SEEN = 80_000
"""Training ends after about this many pictures, in at least two passes and at most `PASSES`."""
PASSES = 10
BATCH = 128
LEARNING_RATE = 4e-3
WEIGHT_DECAY = 0.05
RISE = 0.2
"""Share of the steps in which the learning rate rises; it then falls to zero along a half cosine."""
AT_ONCE = 1_000
"""Pictures that pass through the trained network together."""

_KEY = FIXED / "cnn"


class Cnn(Features):
    """The 128 activations of the last hidden layer, after the rectifier, and the class probabilities.

    Three convolutions (the first with stride 2 where both sides have 16 pixels or more), batch normalisation, rectifier,
    pooling to 2 x 2, a hidden layer; channels standardised by the training pictures. AdamW on the cross-entropy, on one
    thread: the same pictures and labels give the same features. `report` says how training went: `accuracy` and
    `accuracy_records` (the share of right answers on how many held-out real training pictures), `trained_on`, `passes`,
    `last_loss`, `torch` (the version it was trained by).

    Raises `DataError` where the records are no pictures, without labels, or with fewer than two classes.
    """

    def __init__(self, real: Samples) -> None:
        self.form = PictureForm(real, "cnn")
        label = real.label
        if label is None:
            raise DataError("features: cnn needs real pictures with labels, and this source has none")
        rows = np.arange(len(label))
        if len(rows) > RECORDS:
            rows = np.sort((_KEY / "records").generator().choice(len(rows), RECORDS, replace=False))
        x, label = np.asarray(real.x[rows]), label[rows]
        self.classes, target = np.unique(label, return_inverse=True)
        if len(self.classes) < 2:
            raise DataError("features: cnn needs real pictures of at least two classes")
        pictures = self._reduced(x)
        name = _named(pictures, label)
        self.report: dict[str, Any] = {}
        with key_stream_and_one_thread():
            self.net = network(pictures.shape[1:], len(self.classes))
        kept = fetch(name)
        if kept is not None and self._take(*kept):
            return
        with key_stream_and_one_thread():
            self._learn(pictures, torch.from_numpy(target))
        arrays = {f"net.{k}": v.numpy() for k, v in self.net.state_dict().items()}
        arrays |= {"mean": self.mean.numpy(), "scale": self.scale.numpy()}
        keep(name, arrays, self.report)

    def _take(self, arrays: dict[str, np.ndarray], report: dict[str, Any]) -> bool:
        """Becomes the network that was kept; False where what was kept does not fit."""
        try:
            tensors = {k: torch.from_numpy(v) for k, v in arrays.items()}
            self.mean, self.scale = tensors.pop("mean"), tensors.pop("scale")
            self.net.load_state_dict({k.removeprefix("net."): v for k, v in tensors.items()})
        except (KeyError, RuntimeError):
            return False
        self.net.eval().requires_grad_(False)
        self.report = report
        return True

    def _reduced(self, x: np.ndarray) -> Tensor:
        """Records (n, ...) as float32 pictures (n, c, h, w) of at most `SIDE` pixels a side."""
        pictures = torch.from_numpy(self.form.pictures(x)).float().movedim(3, 1)
        longest = max(pictures.shape[2:])
        if longest <= SIDE:
            return pictures
        size = [max(round(side * SIDE / longest), 2) for side in pictures.shape[2:]]
        return functional.interpolate(pictures, size=size, mode="area")

    def _learn(self, pictures: Tensor, target: Tensor) -> None:
        order = torch.from_numpy((_KEY / "held out").generator().permutation(len(target)))
        count = min(int(HELD_OUT * len(target)), 2_000)
        held, kept = order[:count], order[count:]
        self.mean = pictures[kept].mean((0, 2, 3), keepdim=True)
        spread = pictures[kept].std((0, 2, 3), keepdim=True)
        self.scale = torch.where(spread > 1e-6 * (1 + self.mean.abs()), spread, 1.0)
        # A few hundred steps whatever the number of pictures; one picture a batch has no variance to divide by.
        size = max(min(BATCH, len(kept) // 20), min(16, len(kept)))
        passes = min(PASSES, max(2, round(PICTURES_SEEN / len(kept))))
        steps = passes * (len(kept) // size)
        optimiser = torch.optim.AdamW(self.net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        shuffle, queue = (_KEY / "batches").generator(), np.empty(0, np.int64)
        self.net.train()
        for step in range(steps):
            if len(queue) < size:
                queue = shuffle.permutation(len(kept))
            rows, queue = kept[torch.from_numpy(queue[:size])], queue[size:]
            for group in optimiser.param_groups:
                group["lr"] = LEARNING_RATE * _rate((step + 1) / steps)
            loss = functional.cross_entropy(self.net(self._scaled(pictures[rows])), target[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        if not math.isfinite(loss.item()):
            raise DataError(
                "features: the cnn could not be trained on these pictures, its loss is not finite"
            )
        self.net.eval().requires_grad_(False)
        right = [
            self.net(self._scaled(pictures[part])).argmax(1) == target[part] for part in held.split(AT_ONCE)
        ]
        self.report = {
            "accuracy": float(torch.cat(right).float().mean()) if count else None,
            "accuracy_records": count,
            "trained_on": len(kept),
            "passes": passes,
            "last_loss": loss.item(),
            "torch": torch.__version__,
        }

    def _scaled(self, pictures: Tensor) -> Tensor:
        scaled = (pictures - self.mean) / self.scale
        return scaled.contiguous(memory_format=torch.channels_last)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        def hidden(part: np.ndarray) -> np.ndarray:
            return self.net[:-1](self._scaled(self._reduced(part))).numpy()

        with one_thread(), torch.inference_mode():
            return in_parts(x, AT_ONCE, hidden)

    def posterior_of(self, features: np.ndarray) -> np.ndarray:
        """The class probabilities (n, classes), float64, of features (n, 128) that this space gave."""
        with one_thread(), torch.inference_mode():
            return self.net[-1](torch.from_numpy(features)).double().softmax(1).numpy()

    def posterior(self, x: np.ndarray) -> np.ndarray:
        """The class probabilities (n, classes) of records x (n, ...), float64, in the order of `classes`."""
        return self.posterior_of(self(x))


def network(shape: tuple[int, ...], classes: int) -> nn.Sequential:
    """The network for pictures (channels, height, width), its weights drawn from the global generator."""
    channels, *sides = shape
    shortest = min(sides)
    layers: list[nn.Module] = []
    for i, width in enumerate(WIDTHS):
        stem = i == 0 and shortest >= 16
        side = 5 if stem else 3
        layers.append(nn.Conv2d(channels, width, side, 2 if stem else 1, side // 2, bias=False))
        if not stem and shortest >= 4:
            layers.append(nn.MaxPool2d(2))
        if stem or shortest >= 4:
            shortest //= 2
        layers += [nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
    layers += [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, FEATURES), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Linear(FEATURES, classes))
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _rate(share: float) -> float:
    """The learning rate relative to its highest, after that share of the steps."""
    if share < RISE:
        return share / RISE
    return 0.5 * (1 + math.cos(math.pi * (share - RISE) / (1 - RISE)))


def _named(pictures: Tensor, label: np.ndarray) -> str:
    """A name that only this recipe on these pictures (n, c, h, w) and labels (n,) has."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"cnn {RECIPE} {tuple(pictures.shape)} {label.dtype}".encode())
    digest.update(np.ascontiguousarray(label).tobytes())
    for part in pictures.split(AT_ONCE):
        digest.update(part.contiguous().numpy().tobytes())
    return f"cnn-{digest.hexdigest()}"


@contextlib.contextmanager
def key_stream_and_one_thread() -> Iterator[None]:
    """One thread, and torch's global generator at the start of the network's own stream."""
    with one_thread(), (_KEY / "network").globally():
        yield
