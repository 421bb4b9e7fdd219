"""How redundant a weight matrix is: the sum of its singular values in units of the largest.

    NESum(W) = sum_i s_i / max_i s_i            between 1 (rank one) and min(W.shape) (all directions count alike)

(He, Du, Xu & Ma 2024, who take eigenvalues.)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autophage.errors import DataError


def redundancy(weight: Any, squared: bool = False) -> float:
    """NESum of a matrix; with `squared`, of its squared singular values. Raises `DataError` for what is no finite matrix.

    >>> redundancy(np.eye(4)), redundancy(np.diag([2.0, 1.0])), redundancy(np.diag([2.0, 1.0]), squared=True)
    (4.0, 1.5, 1.25)
    """
    w = np.asarray(weight, dtype=np.float64)
    if w.ndim != 2 or not w.size or not np.isfinite(w).all():
        raise DataError(f"redundancy is asked of an array of shape {w.shape}; it takes a finite matrix")
    s = np.linalg.svd(w, compute_uv=False)
    s = s**2 if squared else s
    return float(s.sum() / s[0]) if s[0] > 0 else 0.0
