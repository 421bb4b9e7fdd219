"""A linear classifier on synthetic labels that a verifier let pass (Feng et al. 2024).

x | y ~ N(y mu e_1, I_d), y = -1 or 1 with equal chances; N labels are drawn, each wrong with probability p. The verifier keeps a
record whose label is correct with probability phi, one whose label is wrong with probability psi. The classifier is sign(w x) with
the ridge solution w = (X'X/n + c I)^-1 X'y/n on the n kept records. Its agreement with the Bayes classifier sign(x_1) on new inputs
depends on w only through s = w_1 / |(w_2 .. w_d)|: given x_1 the two agree with probability Phi(s |x_1|).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from autophage.data.arguments import not_negative, positive, whole_number
from autophage.errors import FilterStarved
from autophage.keys import Key
from autophage.theory.verified import kept_share

ENTRIES = 2_000_000
"""Numbers of one array of inputs: replicates are worked off in chunks of about so many."""


@dataclass(frozen=True)
class VerifiedLabels:
    """Fits of R replicates."""

    weights: np.ndarray
    """(R, d): w."""
    kept: np.ndarray
    """(R,) records that passed."""
    wrong: np.ndarray
    """(R,) the share of wrong labels among them."""
    agreement: np.ndarray
    """(R,) the probability that a new input gets the Bayes classifier's label."""


def simulate(
    wrong: float,
    phi: float = 1.0,
    psi: float = 1.0,
    *,
    records: int = 6000,
    dim: int = 10,
    shift: float = 1.0,
    ridge: float = 0.01,
    replicates: int = 1,
    key: Key | int = 0,
) -> VerifiedLabels:
    """One fit in each replicate. wrong: p; shift: mu; ridge: c. Raises `FilterStarved` when nothing passes in some replicate, at
    once for phi = psi = 0, and `SpecError` for arguments out of range.

    >>> found = simulate(0.3, 0.8, 0.2, replicates=5, key=1)
    >>> found.weights.shape, bool(found.agreement.min() > 0.9)
    ((5, 10), True)
    """
    kept_share(wrong, phi, psi)
    whole_number(records, "records", least=1)
    whole_number(dim, "dim", least=1)
    whole_number(replicates, "replicates", least=1)
    positive(shift, "shift")
    not_negative(ridge, "ridge")
    key = key if isinstance(key, Key) else Key(key)
    labels, inputs = (key / "label").generator(), (key / "input").generator()
    w, kept, missed = np.empty((replicates, dim)), np.empty(replicates), np.empty(replicates)
    step = max(1, ENTRIES // (records * dim))
    for low in range(0, replicates, step):
        some = slice(low, min(low + step, replicates))
        u = labels.random((some.stop - low, records, 3))
        y = np.where(u[..., 0] < 0.5, -1.0, 1.0)
        false = u[..., 1] < wrong
        passed = (u[..., 2] < np.where(false, psi, phi)).astype(float)
        x = inputs.standard_normal((len(y), records, dim))
        x[..., 0] += shift * y
        kept[some] = n = passed.sum(axis=1)
        if not n.min() > 0:
            raise FilterStarved(f"none of {records} records passed the verifier in some replicate")
        missed[some] = (passed * false).sum(axis=1) / n
        given = np.where(false, -y, y) * passed
        gram = np.swapaxes(x * passed[..., None], 1, 2) @ x / n[:, None, None]
        gram[:, np.arange(dim), np.arange(dim)] += ridge
        pull = np.einsum("rnd,rn->rd", x, given) / n[:, None]
        # The smallest least squares solution where few records passed and nothing penalises.
        solve = np.linalg.solve if ridge > 0 or n.min() >= dim else _smallest
        w[some] = solve(gram, pull[..., None])[..., 0]
    return VerifiedLabels(w, kept, missed, agreement(w, shift))


def _smallest(gram: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.linalg.pinv(gram, hermitian=True) @ right


def agreement(w: np.ndarray, shift: float = 1.0) -> np.ndarray:
    """P(sign(w x) = sign(x_1)), shape (R,), for w (R, d) and x of the mixture: the integral of Phi(s |x_1|) over x_1, by a Gauss
    rule. Exact (to 1e-12 for |s| below 300, to 1e-5 for any); 0.5 for w = 0, where every label is a guess.

    >>> agreement(np.array([[2.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])).round(9).tolist()
    [1.0, 0.0, 0.5]
    """
    rest = np.linalg.norm(w[:, 1:], axis=1)
    # With the angle of w in the place of s nothing is divided by zero.
    angle = np.arctan2(w[:, 0], rest)
    sine, cosine = np.sin(angle), np.cos(angle)
    nodes, share = np.polynomial.legendre.leggauss(400)
    high = shift + 9.0
    x, share = high * (nodes + 1) / 2, share * high / 2
    # |x_1| has the folded density, the same for either label.
    density = np.exp(-((x - shift) ** 2) / 2) + np.exp(-((x + shift) ** 2) / 2)
    density *= share / np.sqrt(2 * np.pi)
    with np.errstate(divide="ignore", invalid="ignore"):
        s = np.where((w == 0).all(axis=1), 0.0, sine / np.maximum(cosine, 1e-300))
    chances = ndtr(np.clip(s[:, None] * x, -40.0, 40.0))
    return np.clip(chances @ density / density.sum(), 0.0, 1.0)
