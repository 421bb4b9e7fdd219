"""Deep correlation analysis: encoders trained for an agreement, and what its variants add to the objective.

    L = -agreement(Z_1 .. Z_K) + extra terms,      Z_k = f_k((X_k - mean_k) / sd_k),      f_k a perceptron d_k - hidden - m

with leaky ReLUs between the layers (Andrew et al. 2013; more than two views: Benton et al. 2019). Batches are drawn and
noise is made from the epoch's own key, so that a training that was interrupted goes on to the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from autophage.data.arguments import not_negative, one_of, positive, whole_number
from autophage.errors import FitFailed, SpecError
from autophage.keys import Key
from autophage.multiview.canonical import agreement
from autophage.multiview.method import Method, Weights

SLOPE = 0.1
"""Of a unit below zero."""


@dataclass
class Step:
    """One batch on its way through the networks."""

    x: list[Tensor]
    """By view: (B, d_k), standardised."""
    z: list[Tensor]
    """By view: (B, m)."""
    nets: nn.ModuleDict
    key: Key
    extra: list[Tensor] = field(default_factory=list)
    """By view: what encoders made of the extra rows that `Deep.rows` asked for."""
    rows: list[Tensor] = field(default_factory=list)
    """By view: those rows."""


@dataclass(frozen=True, kw_only=True)
class Deep(Method):
    """What deep methods share."""

    citation: ClassVar[tuple[str, ...]] = (
        "Andrew, Arora, Bilmes and Livescu (2013), Deep canonical correlation analysis, ICML",
    )
    trains: ClassVar[bool] = True

    ridge: float = 1e-4
    """r, added to the variances of the representations before they are inverted."""
    hidden: tuple[int, ...] = (128, 128)
    """Units of the layers between a view and its representation; none of them makes the encoders linear."""
    rate: float = 1e-3
    """The learning rate of Adam."""
    weight_decay: float = 0.0
    """Share of the weights, times the rate, that each step takes away."""
    batch: int | None = None
    """Records of a step, drawn anew in each epoch; all of them unless given."""
    precision: Literal["float64", "float32"] = "float64"
    """Numbers that networks compute with; covariances are decomposed in float64 anyway."""
    device: str = "cpu"
    """Where networks are trained: cpu, cuda, or auto for an accelerator where there is one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "hidden", tuple(self.hidden))
        for i, width in enumerate(self.hidden):
            whole_number(width, f"method.hidden[{i}]", least=1)
        positive(self.rate, "method.rate")
        not_negative(self.weight_decay, "method.weight_decay")
        one_of(self.precision, "method.precision", ("float64", "float32"))
        if self.batch is not None:
            whole_number(self.batch, "method.batch", least=1)
            if self.batch < self.dim + 2:
                raise SpecError(
                    f"method.batch is {self.batch}; the covariance of a batch in {self.dim} dimensions needs at least "
                    f"{self.dim + 2} "
                    "records"
                )

    def check(self, widths: Sequence[int], records: int) -> None:
        super().check(widths, records)
        if self.batch is not None and self.batch > records:
            raise SpecError(
                f"method.batch is {self.batch} and there are {records} records; take at most so many"
            )

    def warnings(self, records: int) -> list[str]:
        return super().warnings(min(records, self.batch or records))

    # What a variant may change

    def networks(self, widths: Sequence[int]) -> dict[str, list[int]]:
        """The networks beside each other: name to the widths of their layers."""
        return {f"encoder{k}": [wide, *self.hidden, self.dim] for k, wide in enumerate(widths)}

    def rows(self, x: list[Tensor], key: Key) -> list[Tensor]:
        """Rows that encoders see beside the batch."""
        return []

    def loss(self, step: Step) -> Tensor:
        """The number that training makes small."""
        return -agreement(step.z, self.ridge)

    # Training

    @property
    def _dtype(self) -> torch.dtype:
        return torch.float64 if self.precision == "float64" else torch.float32

    @property
    def _device(self) -> str:
        if self.device != "auto":
            return self.device
        return "cuda" if torch.cuda.is_available() else "cpu"

    def start(self, x: Sequence[np.ndarray], key: Key) -> Weights:
        found: dict[str, np.ndarray] = {}
        for k, view in enumerate(x):
            found |= {f"mean/{k}": view.mean(axis=0), f"scale/{k}": view.std(axis=0)}
        nets = self._nets([view.shape[1] for view in x], key / "weights")
        for name, p in nets.named_parameters():
            found[f"net/{name}"] = p.detach().cpu().numpy().copy()
        return found

    def _nets(self, widths: Sequence[int], key: Key | None = None) -> nn.ModuleDict:
        def perceptron(layers: Sequence[int]) -> nn.Sequential:
            parts: list[nn.Module] = []
            for a, b in pairwise(layers):
                parts += [nn.Linear(a, b, dtype=self._dtype), nn.LeakyReLU(SLOPE)]
            return nn.Sequential(*parts[:-1])

        with (key or Key(0)).globally():
            nets = nn.ModuleDict({name: perceptron(layers) for name, layers in self.networks(widths).items()})
        return nets.to(self._device)

    def _loaded(self, weights: Weights) -> nn.ModuleDict:
        count = sum(name.startswith("mean/") for name in weights)
        nets = self._nets([len(weights[f"mean/{k}"]) for k in range(count)])
        with torch.no_grad():
            for name, p in nets.named_parameters():
                p.copy_(torch.as_tensor(weights[f"net/{name}"]))
        return nets

    def _standard(self, weights: Weights, x: Sequence[np.ndarray]) -> list[Tensor]:
        return [
            torch.as_tensor(
                (view - weights[f"mean/{k}"]) / weights[f"scale/{k}"], dtype=self._dtype, device=self._device
            )
            for k, view in enumerate(x)
        ]

    def trained(self, weights: Weights, x: Sequence[np.ndarray], epochs: range, key: Key) -> Weights:
        nets = self._loaded(weights)
        data = self._standard(weights, x)
        names = [name for name, _ in nets.named_parameters()]
        optimiser = torch.optim.AdamW(nets.parameters(), lr=self.rate, weight_decay=self.weight_decay)
        self._moments_into(optimiser, weights, names)
        for epoch in epochs:
            for number, rows in enumerate(self._batches(len(data[0]), key / "epoch" / epoch)):
                batch = data if rows is None else [view[rows] for view in data]
                loss = self._loss(nets, batch, key / "epoch" / epoch / number)
                if not torch.isfinite(loss):
                    raise FitFailed(f"the objective is {float(loss)} in epoch {epoch}: the training diverged")
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
        found = {name: value for name, value in weights.items() if name.startswith(("mean/", "scale/"))}
        for name, p in nets.named_parameters():
            found[f"net/{name}"] = p.detach().cpu().numpy().copy()
            if state := optimiser.state.get(p):
                found |= {f"adam/{name}/{k}": v.detach().cpu().numpy().copy() for k, v in state.items()}
        if not all(np.isfinite(value).all() for value in found.values()):
            raise FitFailed(f"weights are not finite after epoch {epochs.stop - 1}: the training diverged")
        return found

    def _loss(self, nets: nn.ModuleDict, batch: list[Tensor], key: Key) -> Tensor:
        more = self.rows(batch, key)
        z, extra = [], []
        for k, view in enumerate(batch):
            # One pass for both: the products are larger.
            out = nets[f"encoder{k}"](torch.cat([view, more[k]]) if more else view)
            z.append(out[: len(view)])
            extra.append(out[len(view) :])
        return self.loss(Step(batch, z, nets, key, extra, more))

    def _batches(self, n: int, key: Key) -> list[Tensor | None]:
        if self.batch is None or self.batch == n:
            return [None]
        order = torch.randperm(n, generator=(key / "order").torch()).to(self._device)
        # What is left over is smaller than a batch and waits for another epoch.
        return list(order[: n // self.batch * self.batch].split(self.batch))

    def _moments_into(self, optimiser: torch.optim.Optimizer, weights: Weights, names: Sequence[str]) -> None:
        state = {}
        for i, name in enumerate(names):
            before = f"adam/{name}/"
            kept = {
                k.removeprefix(before): torch.as_tensor(v) for k, v in weights.items() if k.startswith(before)
            }
            if kept:
                state[i] = {k: v.clone() for k, v in kept.items()}
        if state:
            optimiser.load_state_dict({**optimiser.state_dict(), "state": state})

    @torch.no_grad()
    def encode(self, weights: Weights, x: Sequence[np.ndarray]) -> list[np.ndarray]:
        nets = self._loaded(weights)
        data = self._standard(weights, x)
        return [nets[f"encoder{k}"](view).double().cpu().numpy() for k, view in enumerate(data)]

    def matrices(self, weights: Weights) -> list[np.ndarray]:
        return [w for name, w in weights.items() if name.startswith("net/encoder") and w.ndim == 2]


@dataclass(frozen=True, kw_only=True)
class DGCCA(Deep):
    """Deep generalised correlation analysis of two or more views; no remedy."""

    citation: ClassVar[tuple[str, ...]] = (
        *Deep.citation,
        "Benton, Khayrallah, Gujral, Reisinger, Zhang and Arora (2019), Deep generalized canonical correlation analysis, arXiv "
        "1702.02519",
    )


@dataclass(frozen=True, kw_only=True)
class DCCA(Deep):
    """Deep canonical correlation analysis of two views; no remedy."""

    most_views: ClassVar[int | None] = 2
