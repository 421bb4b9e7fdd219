"""Closed forms of the error of regressions that label each other's data, noise-free and on real inputs.

Stages and the recursion that covers every case: `regression_chain`. A downstream fit of T rows after n generators of T_0 rows;
d dimensions, label noise sigma and sigma_0. The published counts of fits start at one; courses here start at generation 0,
the fit to real labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autophage.errors import SpecError
from autophage.theory.arguments import at_least, positive, sizes_course
from autophage.theory.linear import ACCUMULATE_EFFICIENCY
from autophage.theory.regression_chain import Stage, check_threshold, kappa
from autophage.theory.regression_spectra import directions


def label_error(dim: int, rows: float, noise: float) -> float:
    """sigma^2 d/(T-d-1): what the labels' noise alone adds to the error of a least squares fit of T rows, for any Gaussian
    inputs. Raises `SpecError` below d + 2 rows. Status: exact.

    >>> round(label_error(10, 60, 1.0), 6)
    0.204082
    """
    positive(dim, "the dimension")
    stage = Stage(rows, noise=noise)
    check_threshold(stage, dim)
    if rows < dim:
        raise SpecError(
            f"least squares in {dim} dimensions needs at least {dim + 2} rows for its closed form; got {rows:g}"
        )
    return noise**2 * dim / (rows - dim - 1)


def least_squares_error(dim: int, stages: Sequence[Stage]) -> float:
    """Least squares everywhere, every stage with d + 2 rows or more, any covariance:

        E = sum over stages of sigma_m^2 d/(T_m - d - 1).

    Raises `SpecError` at or below the interpolation threshold and for a ridge. Status: exact. Source: derived for autophage;
    asymptotically sigma^2 phi/(1-phi) + n sigma_0^2 phi_0/(1-phi_0), Dohmatob, Feng & Kempe (2024).

    >>> generators = [Stage(90, noise=0.5)] * 5
    >>> round(least_squares_error(30, [*generators, Stage(120, noise=0.3)]), 5)
    0.66593
    """
    return float(sum(label_error(dim, stage.rows, stage.noise) for stage in _unpenalised(stages)))


def least_norm_error(dim: int, energy: float, stages: Sequence[Stage]) -> float:
    """Least squares of least norm everywhere, inputs N(0, c I), each stage above or below the interpolation threshold:

        E = E_0 (1 - eta_0 ... eta_n) + sum_m sigma_m^2 v_m (eta_{m+1} ... eta_n),
        eta = min(1, T/d),  v = min(T, d)/(|T - d| - 1),

    E_0 = |w0|_Sigma^2 the energy of the signal: below the threshold it is lost exponentially, without any label noise. Raises
    `SpecError` at the threshold and for a ridge. Status: exact. Source: derived for autophage; catastrophic regime of Dohmatob,
    Feng & Kempe (2024).

    >>> round(least_norm_error(60, 1.0, [Stage(45)] * 4 + [Stage(30)]), 6)
    0.841797
    """
    positive(dim, "the dimension")
    at_least(energy, 0, "the signal's energy")
    kept, error = 1.0, 0.0
    for stage in _unpenalised(stages):
        check_threshold(stage, dim)
        eta = min(1.0, stage.rows / dim)
        kept *= eta
        error = eta * error + stage.noise**2 * min(stage.rows, dim) / (abs(stage.rows - dim) - 1)
    return float(energy * (1 - kept) + error)


def _unpenalised(stages: Sequence[Stage]) -> Sequence[Stage]:
    if not stages:
        raise SpecError("a chain needs at least one stage: the downstream fit")
    if any(stage.ridge for stage in stages):
        raise SpecError(
            "this closed form is for ridge 0 in every stage; regression_chain.test_error takes any ridge"
        )
    return stages


def clean_error(spectrum: Any, signal: Any, downstream: Stage) -> float:
    """Ridge on real labels, bias and variance:

        E = kappa^2 sum_j w0_j^2 s_j G_j^2/(1 - df2/T) + sigma^2 (df2/T)/(1 - df2/T).

    Status: asymptotic. Source: Dohmatob, Feng & Kempe (2024), after Bach (2024).
    """
    s, w0 = directions(spectrum, signal)
    k, T = kappa(s, downstream.rows, downstream.ridge), downstream.rows
    G = 1 / (s + k)
    taken = float((s * G) @ (s * G)) / T
    return float((k**2 * (s @ (w0 * G) ** 2) + downstream.noise**2 * taken) / (1 - taken))


def generation_increment(spectrum: Any, downstream: Stage, generator_rows: float) -> float:
    """rho: the error that each least squares generator adds to a ridge fit, per unit of its noise variance sigma_0^2:

        rho = [ df2 + kappa^2 sum_j 1/(s_j+kappa)^2 (df2/T)/(1 - df2/T) ] / (T_0 - d).

    The penalty does not spread it out: it is the same for every generator. Raises `SpecError` where the generators do not have
    more than d + 1 rows. Status: asymptotic. Source: form of Dohmatob, Feng & Kempe (2024); rho derived for autophage.
    """
    s, _ = directions(spectrum, 0.0)
    label_error(len(s), generator_rows, 0.0)
    k, T = kappa(s, downstream.rows, downstream.ridge), downstream.rows
    G = 1 / (s + k)
    df2 = float((s * G) @ (s * G))
    return (df2 + k**2 * float(G @ G) * df2 / (T - df2)) / (generator_rows - len(s))


def affine_errors(spectrum: Any, signal: Any, generator: Stage, downstream: Stage, count: int) -> np.ndarray:
    """E_clean + n sigma_0^2 rho for n = 0..count least squares generators and a downstream ridge fit, shape (count + 1,).
    Status: asymptotic. Source: Dohmatob, Feng & Kempe (2024).

    >>> s, w = np.ones(60), np.full(60, 60**-0.5)
    >>> np.diff(affine_errors(s, w, Stage(120, noise=0.3), Stage(90, 0.1, 0.3), 2)).round(7).tolist()
    [0.062807, 0.062807]
    """
    _unpenalised([generator])
    rho = generation_increment(spectrum, downstream, generator.rows)
    n = np.arange(at_least(count, 0, "the number of generators") + 1)
    return clean_error(spectrum, signal, downstream) + n * generator.noise**2 * rho


def replace_course(dim: int, sizes: Any, noise: Any) -> np.ndarray:
    """Refits to own labels only: error sum_{k<=t} sigma_k^2 d/(n_k-d-1) of generation t, shape (G,); (t+1) sigma^2 d/(T-d-1) at
    constant size and noise, whether the inputs are new each time or always the same. noise: one number or (G,). Status: exact.
    Source: Gerstgrasser et al. (2024).

    >>> replace_course(10, [60] * 12, 1.0)[[1, 4, 11]].round(4).tolist()
    [0.4082, 1.0204, 2.449]
    """
    n = sizes_course(sizes)
    sigma = np.broadcast_to(np.asarray(noise, dtype=np.float64), n.shape)
    return np.cumsum([label_error(dim, *stage) for stage in zip(n, sigma, strict=True)])


def accumulate_course(dim: int, rows: float, noise: float, generations: int) -> np.ndarray:
    """Refits to all labels so far of one set of inputs: error (sum_{i<=t+1} 1/i^2) sigma^2 d/(T-d-1) of generation t, shape (G,).
    Status: exact (for inputs that are new each time: first order in d/T, slightly high). Source: Gerstgrasser et al. (2024).

    >>> accumulate_course(10, 60, 1.0, 12)[[1, 4, 11]].round(4).tolist()
    [0.2551, 0.2987, 0.3194]
    """
    if not (generations >= 1 and int(generations) == generations):
        raise SpecError(
            f"generations is {generations}; the first fit is generation 0, so there is at least one"
        )
    return label_error(dim, rows, noise) * np.cumsum(1 / np.arange(1, int(generations) + 1) ** 2)


def accumulate_bound(dim: int, rows: float, noise: float) -> float:
    """(pi^2/6) sigma^2 d/(T-d-1): no generation of `accumulate_course` is worse. Status: bound, approached. Source:
    Gerstgrasser et al. (2024).

    >>> round(accumulate_bound(10, 60, 1.0), 6)
    0.335701
    """
    return label_error(dim, rows, noise) / ACCUMULATE_EFFICIENCY


def editing_bound(dim: int, rows: float, noise: float) -> float:
    """2 sigma^2 d/(T-d-1): no generation is worse where a shrinking part of the first labels is replaced by the model's own
    (token editing). Status: bound. Source: Zhu et al. (2024), as reported second-hand.

    >>> round(editing_bound(10, 60, 1.0), 6)
    0.408163
    """
    return 2 * label_error(dim, rows, noise)
