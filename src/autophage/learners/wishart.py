"""Scatter matrices of normal records, drawn without the records (Bartlett 1933)."""

from __future__ import annotations

import numpy as np

from autophage.keys import Key


def bartlett(replicates: int, dim: int, freedom: np.ndarray, key: Key) -> np.ndarray:
    """A (R, d, d), lower triangular with A A' ~ Wishart(freedom, I_d); freedom is a number or (R,), zero or more.

    A_jj^2 ~ chi^2(freedom - j), entries below normal; exact below d degrees of freedom too, where A has empty columns.
    """
    left = np.maximum(np.asarray(freedom).reshape(-1, 1) - np.arange(dim), 0)  # (1 or R, d)
    A = np.zeros((replicates, dim, dim))
    drawn = (key / "scatter").generator().standard_gamma(0.5 * left, (replicates, dim))
    A[:, range(dim), range(dim)] = np.sqrt(2 * drawn)
    rows, columns = np.tril_indices(dim, -1)
    below = (key / "below").generator().standard_normal((replicates, len(rows)))
    if left.min() == 0:
        below = below * (left > 0)[:, columns]
    A[:, rows, columns] = below
    return A
