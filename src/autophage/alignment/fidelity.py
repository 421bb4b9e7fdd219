"""What is left of a generator's fidelity and diversity: its records against those of the generator that alignment began with.

    frechet_to_base_SPACE    squared Frechet distance to the base's own samples
    precision_k3, recall_k3  the base's samples standing for real ones
    diversity_SPACE          mean distance between two samples
    effective_modes          e^entropy of the shares of the true modes, where the data are a known mixture

The reward is paid for with these: they are to be compared where rewards are equal (`autophage.alignment.frontier`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from autophage.metrics.frechet import frechet
from autophage.metrics.intervals import exact
from autophage.metrics.modes import ModeMap, mode_weights
from autophage.metrics.precision_recall import precision_recall
from autophage.metrics.records import FIXED, subset
from autophage.parts import Compared

PAIRED = 500
"""Samples between which distances are taken."""


def fidelity(
    records: np.ndarray,
    base: np.ndarray,
    space: str,
    embed: Callable[[np.ndarray], np.ndarray],
    modes: ModeMap | None = None,
) -> dict[str, Compared]:
    """The rows above, of records (n, d) against the base's (m, d), n and m at least 4, in a named feature space."""
    x, y = np.asarray(embed(records), np.float64), np.asarray(embed(base), np.float64)
    near = precision_recall(y, x)
    found = {
        f"frechet_to_base_{space}": frechet(y, x),
        f"diversity_{space}": exact(diversity(x), len(x)),
        "precision_k3": near.precision,
        "recall_k3": near.recall,
    }
    if modes is not None:
        shares = mode_weights(modes.posterior(np.asarray(records, np.float64)))
        found["effective_modes"] = exact(effective(shares), len(records))
    return found


def diversity(x: np.ndarray) -> float:
    """Mean distance between two of at most 500 records (n, d).

    >>> diversity(np.array([[0.0], [3.0]]))
    3.0
    """
    from scipy.spatial.distance import pdist

    return float(pdist(subset(x, PAIRED, FIXED / "paired records")).mean())


def effective(shares: np.ndarray) -> float:
    """e^entropy: how many equal modes are as diverse as these shares.

    >>> round(effective(np.full(8, 1 / 8)), 6)
    8.0
    """
    held = shares[shares > 0]
    return float(np.exp(-(held * np.log(held)).sum()))
