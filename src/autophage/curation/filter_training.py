"""Training of a neural filter: a small network that accepts records so that the filtered mean contracts.

Network: (z, delta, z delta) -> 16 tanh -> 16 tanh -> logit, acceptance w = sigmoid(logit). For errors e drawn anew in every
step, with pull(e) = sum w z / sum w over draws of z, the loss is the sum of

    contraction   mean over e of relu( (e + pull)^2 - 0.95 (1 - c) e^2 ) / (e^2 + 0.05)
    fixed point   5 mean pull(0)^2
    acceptance    20 mean relu(q_min - mean w)^2 - 0.02 mean w
    variance      mean relu( Var_w z - v_max ), where asked for: the variance of a kept record over that of a proposal

Source: Han et al. (2025) for the idea; losses and weights derived for autophage, the published ones are not available.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor

from autophage.curation.family import Law
from autophage.keys import Key
from autophage.training.devices import one_thread

HIDDEN = 16
ERRORS = 24
"""Errors in a step; three of them are zero."""
DRAWS = 256
"""Draws of z for each error."""
RATE = 0.02
MARGIN = 0.95
"""The contraction that is trained for is stronger than the one asked for, by this factor on (1 - c)."""


@dataclass(frozen=True)
class Network:
    """A trained filter, as plain arrays: (weight, bias) of each layer."""

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]
    reach: float
    """The largest error it was trained for; beyond it, it acts as at that error."""

    def acceptance(self, z: np.ndarray, delta: np.ndarray) -> np.ndarray:
        """w(z, delta), z and delta broadcast against each other."""
        z, delta = np.broadcast_arrays(z, np.clip(delta, -self.reach, self.reach))
        h = np.stack([z, delta, z * delta], axis=-1)
        *inner, (weight, bias) = self.layers
        for w, b in inner:
            h = np.tanh(h @ w.T + b)
        return np.asarray(expit((h @ weight.T + bias)[..., 0]))


@one_thread()
def train(
    law: Law,
    *,
    contraction: float,
    reach: float,
    least_acceptance: float,
    largest_variance: float | None,
    steps: int,
    key: Key,
) -> Network:
    """A network trained for errors in [-reach, reach] of the standardised statistic `law`. The same key gives the same
    network."""
    rng = (key / "draws").generator()
    with (key / "start").globally():
        net = torch.nn.Sequential(
            torch.nn.Linear(3, HIDDEN),
            torch.nn.Tanh(),
            torch.nn.Linear(HIDDEN, HIDDEN),
            torch.nn.Tanh(),
            torch.nn.Linear(HIDDEN, 1),
        )
    optimiser = torch.optim.Adam(net.parameters(), lr=RATE)
    for _ in range(steps):
        e = np.concatenate([rng.uniform(-reach, reach, ERRORS - 3), np.zeros(3)])
        z = torch.from_numpy(law.draws(e, DRAWS, rng).astype(np.float32))
        error = torch.from_numpy(e.astype(np.float32))
        wide = error[:, None].expand_as(z)
        w = torch.sigmoid(net(torch.stack([z, wide, z * wide], dim=-1))[..., 0])
        loss = _loss(w, z, error, contraction, least_acceptance, largest_variance)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    layers = [m for m in net if isinstance(m, torch.nn.Linear)]
    return Network(tuple((_plain(m.weight), _plain(m.bias)) for m in layers), reach)


def _plain(parameter: Tensor) -> np.ndarray:
    return parameter.detach().numpy().astype(np.float64)


def _loss(
    w: Tensor,
    z: Tensor,
    e: Tensor,
    contraction: float,
    least_acceptance: float,
    largest_variance: float | None,
) -> Tensor:
    total, accepted = w.sum(dim=1), w.mean(dim=1)
    pull = (w * z).sum(dim=1) / total
    excess = torch.relu((e + pull) ** 2 - MARGIN * (1 - contraction) * e**2) / (e**2 + 0.05)
    loss = excess.mean() + 5 * (pull[e == 0] ** 2).mean()
    loss = loss + 20 * (torch.relu(least_acceptance - accepted) ** 2).mean() - 0.02 * accepted.mean()
    if largest_variance is not None:
        spread = (w * (z - pull[:, None]) ** 2).sum(dim=1) / total
        loss = loss + torch.relu(spread - largest_variance).mean()
    return loss
