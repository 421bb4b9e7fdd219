"""Which recursion of second moments belongs to a setting's workflow."""

from __future__ import annotations

import dataclasses

import numpy as np

from autophage.schedules import ceil
from autophage.theory import moments_mixed
from autophage.theory.linear import error_covariance
from autophage.theory.moments import Moments, Refit, pile, replace
from autophage.theory.setting import Setting


def workflow_moments(setting: Setting, refit: Refit) -> Moments | None:
    """The exact moments of `refit` under the setting's workflow, or None where there is no recursion for
    it."""
    n, real = setting.sizes, setting.real_size
    kind = setting.workflow_kind
    if real <= refit.smallest() or (kind not in ("mix", "keep_real") and (n <= refit.smallest()).any()):
        return None  # a fit that does not exist
    if kind == "replace":
        return replace(refit, n)
    if kind in ("accumulate", "accumulate_subsample"):
        return pile(refit, n, subsample=kind == "accumulate_subsample")
    if kind == "window" and setting.window is not None:
        return moments_mixed.window(refit, n, setting.window, keep_real=setting.keep_real)
    if kind == "mix":
        kept = real if setting.kept is None else setting.course(setting.kept)
        return moments_mixed.mix(refit, real, n[1:], kept)
    if kind == "keep_real" and setting.real_shares is not None:
        kept = np.array(
            [ceil(a * m) for a, m in zip(setting.course(setting.real_shares), n[1:], strict=True)]
        )
        return moments_mixed.mix(refit, real, n[1:] - kept, kept, redrawn=True)
    if kind == "fresh" and setting.real_shares is not None and not refit.fixed_real:
        if setting.provenance == "known":
            return None
        weights = None if setting.real_weights is None else setting.course(setting.real_weights)
        return moments_mixed.fresh(refit, n, setting.course(setting.real_shares), setting.counts, weights)
    return None


def error_inflation(setting: Setting) -> np.ndarray | None:
    """K_t, shape (G,): the variance of a regular estimator's error in units of the inverse Fisher
    information.

    From the workflow's own recursion for a Gaussian mean of known variance, else from its share matrix.
    Status: asymptotic; see `linear`.
    """
    unit = Refit(real=1.0, known=1.0)
    found = workflow_moments(dataclasses.replace(setting, real_fixed=False), unit)
    if found is not None:
        return found.squared_error
    if setting.share_matrix is None or setting.workflow_kind == "fresh":
        return None
    shares = np.asarray(setting.share_matrix, dtype=np.float64)
    sizes = np.asarray(
        setting.sizes if setting.batch_sizes is None else setting.batch_sizes, dtype=np.float64
    )
    if not _whole_batches(shares, sizes):
        return None
    return np.diag(error_covariance(shares, sizes))


def _whole_batches(shares: np.ndarray, sizes: np.ndarray) -> bool:
    """Every row is a union of whole batches: a share matrix does not tell how many records a part of a batch
    has."""
    used = shares > 0
    if not np.allclose(shares.sum(axis=1), 1) or (sizes[used.any(axis=0)] <= 0).any():
        return False
    whole = used * sizes
    return np.allclose(shares, whole / whole.sum(axis=1, keepdims=True))
