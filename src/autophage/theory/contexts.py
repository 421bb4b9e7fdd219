"""Several contexts refitted side by side: next-token frequencies, and bigrams (setting of Seddik et al. 2024; fresh real
records as in `contaminated`)."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from autophage.errors import SpecError
from autophage.theory.arguments import probabilities
from autophage.theory.contaminated import rounds


class ContextCourse(NamedTuple):
    """Courses of C rows of next-token frequencies, (G, C) each."""

    risk: np.ndarray
    """R_t(c) = E ||row_t - P*||^2 of context c's row."""
    gini: np.ndarray
    """E(1 - sum row_t^2)."""


def several_contexts(
    rows: Any, weights: Any, real_weights: Any, sizes: Any, *, keeps_missing: bool = True
) -> ContextCourse:
    """Rows of next-token frequencies, one for each of C contexts, refitted to n_t records (context, token).

    Context c occurs m_c ~ Binomial(n_t, pi_c) times; its row is refitted only if m_c > 0, otherwise the last round's
    row is kept (`keeps_missing`) or the uniform row is taken. With a = alpha_t, q = (1-pi_c)^{n_t}, I = E[1/m_c;
    m_c > 0] and V_c = 1 - sum P*(c)^2,

        R_t = q R_{t-1} + (1-q) (1-a)^2 R_{t-1} + I [V_c - (1-a)^2 R_{t-1} - 2 (1-a) b_{t-1}],
        b_t = q b_{t-1} + (1-q) (1-a) b_{t-1},

    where b_t = <P*, E row_t - P*> is not zero because a context that round 0 has not met starts from the uniform row:
    R_0 and b_0 are those of the first fit. Where every context is met at once, b_t = 0.

    rows (C, K), weights (C,) pi, real_weights and sizes as in `predict_risk`. Status: exact. Source: derived for
    autophage; setting of Bakshi & Chakraborty (2026) and Seddik et al. (2024).

    >>> several_contexts([[0.5, 0.3, 0.2], [0.2, 0.7, 0.1]], [0.6, 0.4], 0.2, [50] * 3).risk.round(5).tolist()
    [[0.02096, 0.02375], [0.03391, 0.03817], [0.04193, 0.04692]]
    """
    table = np.atleast_2d(np.asarray(rows, dtype=np.float64))
    for row in table:
        probabilities(row)
    pi = probabilities(weights)
    if len(pi) != len(table):
        raise SpecError(f"there are {len(table)} rows but {len(pi)} weights; give one for each context")
    alpha, n = rounds(real_weights, sizes)
    square = (table**2).sum(axis=1)
    spread, apart = 1 - square, 1 / table.shape[1] - square  # u uniform: <P*, u - P*> = -||u - P*||^2
    distinct, which = np.unique(n, return_inverse=True)
    with np.errstate(divide="ignore"):
        missing = np.exp(distinct[:, None] * np.log1p(-pi))[which]
    inverse = inverse_count(distinct[:, None], pi)[which]
    risk, overlap = np.empty((len(n), len(pi))), np.empty((len(n), len(pi)))
    risk[0] = inverse[0] * spread - missing[0] * apart
    overlap[0] = missing[0] * apart
    for t, a in enumerate(alpha, 1):
        q, R, b = missing[t], risk[t - 1], overlap[t - 1]
        unmet = (R, b) if keeps_missing else (-apart, apart)
        drawn = (1 - a) ** 2 * R
        risk[t] = q * unmet[0] + (1 - q) * drawn + inverse[t] * (spread - drawn - 2 * (1 - a) * b)
        overlap[t] = q * unmet[1] + (1 - q) * (1 - a) * b
    return ContextCourse(risk, spread - 2 * overlap - risk)


def inverse_count(n: Any, p: Any) -> np.ndarray:
    """I = E[1/m; m > 0] for m ~ Binomial(n, p), broadcast over n and p.

        I = int_0^1 [(1-p+ps)^n - (1-p)^n] / s ds,

    by Gauss's rule in a variable that is logarithmic near s = 1, where the integrand lives when np is large. Status:
    exact (quadrature, relative error below 1e-9). Source: derived for autophage.

    >>> inverse_count(2, 0.5).round(9).item()   # 1 x 1/2 + 1/2 x 1/4
    0.625
    """
    n, p = (np.asarray(x, dtype=np.float64)[..., None] for x in (n, p))
    nodes, weights = _gauss()
    length = np.log1p(1 + n * p)
    z = length * nodes
    u = np.expm1(z) / (1 + n * p)  # 1 - s
    with np.errstate(divide="ignore", invalid="ignore"):
        none = np.exp(n * np.log1p(-p))
        integrand = (np.exp(n * np.log1p(-p * u)) - none) / (1 - u) * np.exp(z) / (1 + n * p)
    return (integrand * weights).sum(axis=-1) * length[..., 0]


@cache
def _gauss() -> tuple[np.ndarray, np.ndarray]:
    """Gauss's rule on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(96)
    return (1 + nodes) / 2, weights / 2
