"""Several views of the same objects, encoded so that they agree: correlation analysis, linear and deep, and how it collapses.

    maximise  agreement(f_1(X_1), ..., f_K(X_K))           views X_k (N, d_k), encoders f_k, representations Z_k = f_k(X_k) (N, m)

Nothing is sampled and fitted again here: the value of the representations falls while one training goes on, although its
objective improves (He, Du, Xu & Ma 2024). `canonical` is the objective with its gradient, `linear` what needs no training,
`deep` and the files beside it one method each, `noise` the remedy, `views` where views come from, `downstream` what
representations are worth, `process` the course of a training, `encoder` the same methods with fit and transform, for use
outside of the laboratory.
"""

from __future__ import annotations

from typing import Any

HERE = {
    "MultiviewEncoder": "encoder",
    "agreement": "canonical",
    "canonical_correlations": "canonical",
    "correlation": "canonical",
    "redundancy": "nesum",
}

__all__ = ["MultiviewEncoder", "agreement", "canonical_correlations", "correlation", "redundancy"]


def __getattr__(name: str) -> Any:
    # torch is not loaded before it is needed.
    if name not in HERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{HERE[name]}"), name)
