"""Which noise goes with which record while flow matching learns.

A pair (n, x0) gives the path x_t = (1 - t) n + t x0. Any joint law of pairs whose marginals are N(0, I) and the data's will
do; its paths cross the less, the shorter they are, and fewer steps then follow them.

| coupling | pairs of a batch |
|---|---|
| independent | as they were drawn (Lipman et al. 2023; I-CFM of Tong et al. 2024) |
| optimal | the permutation of least sum |n - x0|^2 (minibatch optimal transport: OT-CFM of Tong et al.; Pooladian et al. 2023) |

A permutation of independent noise leaves both marginals as they were. It does so for each class only if it stays within the
class: over a whole batch the noise of a class would be that on its own side, while a sampler starts everywhere. So groups are
assigned by themselves; a record whose class is hidden from the network stays in the group of its true class, and the
unconditional law is then learned from the mixture of the classes' couplings, whose marginals are right too. For the same
reason weights must not differ within a group: `equalised` puts repetition in their place.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from autophage.errors import FitFailed


def independent(noise: Tensor, x: Tensor, group: np.ndarray | None = None) -> Tensor:
    """The noise as it was drawn."""
    return noise


def optimal(noise: Tensor, x: Tensor, group: np.ndarray | None = None) -> Tensor:
    """The noise, permuted: entry i is the partner of record i.

        argmin over permutations p of sum_i |n_p(i) - x_i|^2,   within each group

    Exact (shortest augmenting paths; Crouse 2016), up to the rounding of distances in float32. noise and x (n, ...) on one
    device; group (n,), the records' classes, or None where all are one. For batches of 128, 256 and 512 one thread takes 1, 4
    and 20 ms where a record has 64 numbers, and 3, 9 and 40 ms where it has 3,072; within ten classes 1, 1.5 and 4 ms, and 3,
    8 and 25 ms.

    Raises `FitFailed` when a record or noise is not finite.

    >>> x = torch.tensor([[5.0], [-5.0]])
    >>> optimal(torch.tensor([[-1.0], [1.0]]), x).tolist()
    [[1.0], [-1.0]]
    """
    from scipy.optimize import linear_sum_assignment

    # |n - x|^2 less what no permutation changes.
    cost = -(x.flatten(1).float() @ noise.flatten(1).float().T).cpu().double().numpy()
    if not np.isfinite(cost).all():
        raise FitFailed("optimal coupling needs finite records; a training record, or its noise, is not")
    order = np.arange(len(x))
    for members in _groups(len(x), group):
        block = cost if len(members) == len(x) else cost[np.ix_(members, members)]
        # Sums along rows and columns do not matter either; without them the search is three to five times as short.
        block = block - block.mean(0)
        block -= block.min(1, keepdims=True)
        order[members] = members[linear_sum_assignment(block - block.min(0))[1]]
    return noise[torch.from_numpy(order).to(noise.device)]


def equalised(
    weight: np.ndarray, group: np.ndarray | None, generator: torch.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Places in the batch, some more than once, and weights (n,) that are equal within a group, in place of `weight` (n,).

    Place i of a group of m records with weights w holds record j with expectation w_j / sum w, by systematic resampling (one
    uniform number for the group), and carries the group's mean weight: the expected gradient is that of the given weights.
    """
    places, equal = np.arange(len(weight)), np.empty(len(weight), weight.dtype)
    uniform = torch.rand(len(weight), generator=generator, device=generator.device).cpu().numpy()
    for members in _groups(len(weight), group):
        edges = np.cumsum(weight[members], dtype=np.float64)
        equal[members] = edges[-1] / len(members)
        if edges[-1] > 0:
            at = (uniform[members[0]] + np.arange(len(members))) / len(members) * edges[-1]
            # Rounding must not reach beyond the last record that has a weight.
            last = np.searchsorted(edges, edges[-1])
            places[members] = members[np.minimum(np.searchsorted(edges, at, side="right"), last)]
    return places, equal


def _groups(n: int, group: np.ndarray | None) -> list[np.ndarray]:
    """The places 0 to n - 1 of each group."""
    if group is None:
        return [np.arange(n)]
    order = np.argsort(group, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(group[order])) + 1)


Coupling = Callable[[Tensor, Tensor, np.ndarray | None], Tensor]

COUPLINGS: dict[str, Coupling] = {"independent": independent, "optimal": optimal}
