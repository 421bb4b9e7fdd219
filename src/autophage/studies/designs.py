"""Linear fits to Gaussian inputs, drawn without their inputs.

A fit sees X (T, d), x ~ N(0, Sigma), only through X'X and X'eps. With X = Z diag(sqrt s), Z' = L Q with L (d, k) lower
trapezoidal, k = min(T, d): the entries of L below the diagonal are N(0, 1), those on it chi with T, T-1, ... degrees of freedom,
and Q eps is N(0, 1) again (Bartlett 1933). So a fit of T rows is, in law, a fit of k rows B' = (diag(sqrt s) L)': no cost grows
with T. Exact for any T, above and below d.
"""

from __future__ import annotations

import numpy as np

from autophage.errors import SpecError
from autophage.keys import Key

ENTRIES = 2_000_000
"""Numbers of one array of designs: replicates are worked off in chunks of about so many."""
FEW = 8
"""Up to so many penalties, a solve for each is cheaper than the eigendecomposition that serves all."""


class Design:
    """A stream of designs, one for every replicate: drawn in chunks, it gives what it gives drawn at once."""

    def __init__(self, spectrum: np.ndarray, rows: float, key: Key) -> None:
        self.rows = whole_rows(rows)
        self.root = np.sqrt(spectrum)
        self.count = min(self.rows, len(spectrum))
        self._below = (key / "below").generator()
        self._diagonal = (key / "diagonal").generator()
        self._noise = (key / "noise").generator()

    def draw(self, replicates: int) -> tuple[np.ndarray, np.ndarray]:
        """The next replicates' B (r, d, k), and (r, k) standard noise of its k rows' labels."""
        d, k = len(self.root), self.count
        L = np.tril(self._below.standard_normal((replicates, d, k)), -1)
        j = np.arange(k)
        L[:, j, j] = np.sqrt(self._diagonal.chisquare(self.rows - j, (replicates, k)))
        return L * self.root[:, None], self._noise.standard_normal((replicates, k))


def whole_rows(rows: float) -> int:
    """The rows. Raises `SpecError` unless they are a whole number: a simulation cannot draw half of one."""
    if int(rows) != rows:
        raise SpecError(f"a simulated fit has a whole number of rows; got {rows}")
    return int(rows)


def chunks(replicates: int, entries: int) -> list[slice]:
    """Replicates 0..R-1 in order, so many at a time that `entries` numbers for each stay within `ENTRIES`.

    >>> chunks(5, ENTRIES // 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    if not (replicates >= 1 and int(replicates) == replicates):
        raise SpecError(f"replicates is {replicates}; it must be a whole number of at least 1")
    step = max(1, ENTRIES // max(entries, 1))
    return [slice(a, min(a + step, int(replicates))) for a in range(0, int(replicates), step)]


def fits(B: np.ndarray, labels: np.ndarray, penalties: np.ndarray) -> np.ndarray:
    """argmin |B'w - y|^2 + c |w|^2 for every penalty c: B (r, d, k), y (r, k), penalties (K,) -> (r, K, d).

    c = 0 is least squares, of least norm where k < d. A few penalties cost a solve each, many share one eigendecomposition of
    the smaller of B'B and BB'.
    """
    d, k = B.shape[1:]
    if k == d and len(penalties) == 1 and not penalties[0]:
        return np.linalg.solve(B.transpose(0, 2, 1), labels[..., None])[..., 0][:, None]
    dual = k < d
    gram = B.transpose(0, 2, 1) @ B if dual else B @ B.transpose(0, 2, 1)
    right = labels[..., None] if dual else B @ labels[..., None]
    if len(penalties) <= FEW:
        corner = np.arange(gram.shape[1])
        before, solved = gram[:, corner, corner], []
        for penalty in penalties:
            gram[:, corner, corner] = before + penalty
            solved.append(np.linalg.solve(gram, right)[..., 0])
        found = np.stack(solved, axis=1)
    else:
        values, vectors = np.linalg.eigh(gram)
        part = (vectors.transpose(0, 2, 1) @ right)[..., 0]
        shrunk = part[:, None] / (np.maximum(values, 0.0)[:, None] + penalties[:, None])
        found = shrunk @ vectors.transpose(0, 2, 1)
    return found @ B.transpose(0, 2, 1) if dual else found
