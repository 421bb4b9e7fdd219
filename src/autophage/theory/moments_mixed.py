"""Exact second moments of loops whose training sets hold real records or several batches (see `moments`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autophage.errors import SpecError
from autophage.schedules import ceil
from autophage.theory.arguments import sizes_course, unit_interval
from autophage.theory.moments import Moments, Refit


def mix(refit: Refit, real: int, synthetic: Any, kept: Any = None, *, redrawn: bool = False) -> Moments:
    """Kept real records and samples of the newest model only.

    Fit t >= 1 sees k_t of the n real records and m_t samples. With w = m/(k+m), K = E<mu_t - mu, real mean -
    mu>, r = E ||mean of the k - mu||^2 (s/k) and c = s/n for records redrawn each time, else c = r:

        K' = (1-w) c + w K
        M' = (1-w)^2 r + 2 w (1-w) K + w^2 (M + e/m)
        V' from the spread (1-w) s (1-1/k) + w e (1-1/m) + w (1-w) (r - 2 K + M + e/m).

    real: n. synthetic: m_1, ..., m_{G-1} (zeros allowed). kept: k_t likewise, by default n. redrawn: a new
    random choice of the kept records every generation (without replacement), rather than the same ones.
    Status: exact, the real set random, or given one real set with `Refit.fixed_real`. Source: derived for
    autophage; the map is that of Bertrand et al. (2024).

    >>> course = mix(Refit(fixed_real=True), 20, [20] * 30)
    >>> course.squared_error[-1].round(6).item(), course.variance[-1].round(6).item()
    (0.016393, 0.983607)
    """
    m = np.asarray(synthetic, dtype=np.float64)
    k = np.broadcast_to(np.float64(real) if kept is None else np.asarray(kept, dtype=np.float64), m.shape)
    sizes_course([real], more_than=refit.smallest())
    sizes_course(np.concatenate([[real], m + k]), more_than=refit.smallest())
    if (m < 0).any() or (k < 0).any() or (k > real).any():
        raise SpecError(
            "a mix needs synthetic counts of zero or more and kept counts between 0 and the real size"
        )
    G = len(m) + 1
    V, M = np.empty(G), np.empty(G)
    V[0], M[0] = refit.first(real)
    K = 0.0 if refit.initial is not None or refit.fixed_real else refit.real_noise(real)
    for t in range(1, G):
        kt, mt = k[t - 1], m[t - 1]
        w = mt / (kt + mt)
        e = refit.emitted(V[t - 1], M[t - 1])
        noise = e / mt if mt else 0.0
        r = refit.real_noise(kt, real) if kt else 0.0
        spread = w * (e - noise)
        if kt:
            spread += (1 - w) * refit.real_spread(kt, real) + w * (1 - w) * (r - 2 * K + M[t - 1] + noise)
        M[t] = (1 - w) ** 2 * r + 2 * w * (1 - w) * K + w**2 * (M[t - 1] + noise)
        shared = refit.real_noise(real) if redrawn else r
        K = (1 - w) * shared + w * K
        V[t] = refit.fitted(spread, kt + mt)
    return Moments(V, M)


def fresh(
    refit: Refit, sizes: Any, real_shares: Any, counts: str = "mixture", weights: Any = None
) -> Moments:
    """New real records every generation, provenance hidden, the rest samples of the newest model.

    `mixture`: each of the n_t records is real with probability a = a_t. Records are then independent given
    the model:

        M' = (1-a)^2 M + x/n,   V' = x (n-1)/(n-ddof),   x = a s + (1-a) e + a (1-a) M.

    `exact`: r = ceil(a n) of them are real, and carry the weight u, by default r/n, of the fit:

        M' = u^2 s/r + (1-u)^2 (M + e/(n-r)),   V' = n/(n-ddof) { u s + (1-u) (e + M) - M' }.

    sizes (G,): n_0 real, then n_t. real_shares: a_1, ..., a_{G-1}, or one number. weights: u_1, ..., u_{G-1}
    likewise, with exact counts. Status: exact. Source: Alemohammad et al. (2024, fresh data loop), He et al. (2025)
    for weights; moments derived for autophage.

    >>> fresh(Refit(ddof=1), [50] + [250] * 60, 0.2, "exact").variance[-1].round(6).item()
    1.008989
    """
    n = sizes_course(sizes, more_than=refit.smallest())
    shares = np.broadcast_to(np.asarray(real_shares, dtype=np.float64), (len(n) - 1,))
    for share in shares:
        unit_interval(share, "the real share")
    if counts not in ("mixture", "exact"):
        raise SpecError(f"counts is {counts!r}; it must be mixture or exact")
    if refit.fixed_real:
        raise SpecError("fresh real records are new draws: they cannot be those of one given real set")
    if weights is not None and counts != "exact":
        raise SpecError("weights belong to two parts of known size; they need exact counts")
    u = None if weights is None else np.broadcast_to(np.asarray(weights, dtype=np.float64), shares.shape)
    V, M = np.empty(len(n)), np.empty(len(n))
    V[0], M[0] = refit.first(n[0])
    for t in range(1, len(n)):
        emitted = refit.emitted(V[t - 1], M[t - 1])
        if counts == "mixture":
            a = shares[t - 1]
            spread = a * refit.real + (1 - a) * emitted + a * (1 - a) * M[t - 1]
            M[t] = (1 - a) ** 2 * M[t - 1] + spread / n[t]
            V[t] = refit.fitted(spread * (1 - 1 / n[t]), n[t])
            continue
        r = min(ceil(shares[t - 1] * n[t]), n[t])
        w = r / n[t] if u is None else unit_interval(u[t - 1], "the weight of the real part")
        if (w > 0 and r == 0) or (w < 1 and r == n[t]):
            raise SpecError(f"the real part has the weight {w:g} at t = {t} but {r} of {n[t]:g} records")
        M[t] = (w**2 * refit.real / r if r else 0.0) + (
            (1 - w) ** 2 * (M[t - 1] + emitted / (n[t] - r)) if r < n[t] else 0.0
        )
        V[t] = refit.fitted(w * refit.real + (1 - w) * (emitted + M[t - 1]) - M[t], n[t])
    return Moments(V, M)


def batches(refit: Refit, sizes: Any, fits: Sequence[Sequence[int]]) -> Moments:
    """Any workflow whose training sets are unions of whole batches.

    Batch 0 is real, batch j the samples of model j-1. fits[t] lists the batches of fit t (fits[0] is ignored:
    it is [0]). With shares A_tj = n_j/N_t and C = E<x_i - mu, x_j - mu> the second moments of the batch
    means,

        M_t = A_t C A_t',   V_t from the spread  sum_j A_tj [e_{j-1} (1-1/n_j) + C_jj - 2 (C A_t')_j + M_t],
        new batch: C_{t+1,j} = A_t C_{.j},   C_{t+1,t+1} = M_t + e_t/n_{t+1}.

    Only batches that a later fit still asks for are carried. Status: exact. Source: derived for autophage.

    >>> batches(Refit(), [50] * 4, [[0], [1], [2], [3]]).squared_error.round(5).tolist()
    [0.02, 0.0396, 0.05881, 0.07763]
    """
    n = sizes_course(sizes, more_than=refit.smallest())
    G = len(n)
    last = {0: 0}
    for t in range(1, G):
        if not len(fits[t]) or not all(0 <= j <= t for j in fits[t]):
            raise SpecError(f"fit {t} must name one or more of the batches 0 to {t}, got {list(fits[t])}")
        last.update(dict.fromkeys(fits[t], t))
    V, M = np.empty(G), np.empty(G)
    V[0], M[0] = refit.first(n[0])
    active = [0]
    C = np.array([[refit.real_noise(n[0])]])
    spread = np.array([refit.real_spread(n[0])])
    with_model = C[0] * (refit.initial is None)  # E<mu_t - mu, x_j - mu> for the active batches
    for t in range(1, G):
        e = refit.emitted(V[t - 1], M[t - 1])
        C = np.block([[C, with_model[:, None]], [with_model[None, :], np.array([[M[t - 1] + e / n[t]]])]])
        spread = np.append(spread, e * (1 - 1 / n[t]))
        active = [*active, t]
        used = np.isin(active, list(fits[t]))
        share = used * n[active] / (used * n[active]).sum()
        with_model = C @ share
        M[t] = share @ with_model
        size = (used * n[active]).sum()
        V[t] = refit.fitted(share @ (spread + np.diag(C) - 2 * with_model + M[t]), size)
        stay = np.array([last.get(j, 0) > t for j in active], dtype=bool)
        active = [j for j, keep in zip(active, stay, strict=True) if keep]
        C, spread, with_model = C[np.ix_(stay, stay)], spread[stay], with_model[stay]
    return Moments(V, M)


def window(refit: Refit, sizes: Any, width: int, *, keep_real: bool = False) -> Moments:
    """The newest `width` batches, the real set being batch 0 and, with `keep_real`, kept for ever. Exact; see
    `batches`.

    >>> window(Refit(), [50] * 5, 1).variance.round(4).tolist()
    [0.98, 0.9604, 0.9412, 0.9224, 0.9039]
    """
    if width < 1:
        raise SpecError(f"the window holds {width} batches; it must hold at least one")
    fits = [
        [*([0] if keep_real and t >= width else []), *range(max(t - width + 1, 0), t + 1)]
        for t in range(len(sizes))
    ]
    return batches(refit, sizes, fits)
