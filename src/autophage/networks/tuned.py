"""Checkpoints of others as networks that are trained on: all of their weights, or low-rank additions to some linear maps,

    W x  becomes  W x + (alpha / r) B A x,    A (r, in) uniform on +-1 / sqrt(in),  B (out, r) zero at first

(LoRA, Hu et al. 2022).
"""

from __future__ import annotations

import importlib.util
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from autophage.errors import MissingExtra, RunError, SpecError
from autophage.keys import Key
from autophage.networks.foreign import HUB_ID


class TunedNetwork(nn.Module):
    """A checkpoint whose trained weights are its only parameters; the others stay as they were, and dropout stays off.

    `tuning` says which checkpoint is open and what of it is trained, `digest` names the checkpoint's content.
    """

    tuning: Any
    digest: str

    def _keep(self, part: str = "") -> None:
        """What is trained: within that part the additions, or everything. Called once all of them are there."""
        self.trained = frozenset(
            name
            for name, _ in super().named_parameters()
            if name.startswith(part) and (not self.tuning.lora or ".lora_" in name)
        )
        self._at_first = None if self.tuning.lora else self.weights()

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, nn.Parameter]]:  # type: ignore[override]
        """What is trained."""
        for name, parameter in super().named_parameters(*args, **kwargs):
            if name in self.trained:
                yield name, parameter

    def train(self, mode: bool = True) -> Self:
        """Nothing but the gradients of the trained weights belongs to learning."""
        return super().train(False)

    def weights(self) -> dict[str, Tensor]:
        """Copies of the trained weights, on the CPU."""
        return {n: p.detach().cpu().clone() for n, p in self.named_parameters()}

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Takes weights that `weights` gave. Raises `RunError` where they are of another network."""
        found = dict(self.named_parameters())
        if set(found) != set(weights) or any(found[n].shape != w.shape for n, w in weights.items()):
            raise RunError(f"the stored weights are not those of a network on {self.tuning.checkpoint}")
        for name, weight in weights.items():
            found[name].copy_(weight)

    @torch.no_grad()
    def begin(self, key: Key) -> None:
        """As training from scratch begins: the checkpoint's weights, or additions that change nothing yet."""
        if self._at_first is not None:
            return self.load(self._at_first)
        generator = key.torch()
        for name, weight in sorted(self.named_parameters()):
            if ".lora_A." in name:
                self._draw(weight, generator)
            else:
                weight.zero_()

    @abstractmethod
    def _draw(self, weight: Tensor, generator: torch.Generator) -> None:
        """Fills a matrix A (r, in) in place."""

    @abstractmethod
    def publish(self, folder: Path) -> str:
        """Writes the network as it is now, on the CPU, to a folder, and says in a sentence who can load it ({} is the folder)."""


def require(what: str, *packages: str) -> None:
    """Raises `MissingExtra` unless they are installed; imports none of them."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(
                f"{what} needs {package}, which is not installed; install autophage[multimodal]"
            )


def folder_of(checkpoint: str) -> Path | None:
    """The folder of a checkpoint; None where it is the name of one on the hub. Raises `SpecError` where it is neither."""
    place = Path(checkpoint).expanduser()
    if place.is_dir():
        return place
    if place.exists() or not HUB_ID.fullmatch(checkpoint):
        raise SpecError(
            f"learner.checkpoint is {checkpoint!r}, which is neither a folder nor a hub id (owner/name)"
        )
    return None
