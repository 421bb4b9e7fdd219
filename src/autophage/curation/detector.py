"""How well a score finds the samples that lie out of support, and whether it may be called a detector.

    AUC = P(score of one out of support > score of one inside) + P(equal) / 2        (Mann and Whitney)

By the rule of Aithal et al. (2024) a high score speaks against a sample. Where more than a fifth of the samples are out of
support the network is undertrained, and the scores say nothing: then there is no certificate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOST_BEYOND = 0.2
"""The share out of support above which no certificate is given (measured: at 42 % the AUC is 0.49)."""
LEAST_AREA = 0.75
"""The area that must be exceeded by two standard errors: nearer to a perfect score than to chance."""


@dataclass(frozen=True)
class Detection:
    """What a score did on samples of which it is known where they lie."""

    beyond: float
    """Share of the samples out of support."""
    auc: float
    """NaN where all or none are out of support."""
    auc_error: float
    """Its standard error (Hanley and McNeil 1982)."""
    removed: float
    """Share of those out of support that the filter removed; NaN where there are none."""
    kept_inside: float
    """Share of those in the support that it kept; NaN where there are none."""

    @property
    def certified(self) -> bool:
        """At most a fifth are out of support, and the score tells them from the others: the AUC is two standard errors above
        0.75."""
        return self.beyond <= MOST_BEYOND and bool(self.auc - 2 * self.auc_error > LEAST_AREA)

    @property
    def label(self) -> str:
        """The certificate in one sentence."""
        if self.beyond > MOST_BEYOND:
            return (
                f"not certified: {self.beyond:.0%} of the samples are out of support, more than {MOST_BEYOND:.0%}; the model is "
                "undertrained, and its trajectories tell nothing"
            )
        if np.isnan(self.auc):
            return "not certified: no sample is out of support, so there is nothing to detect"
        said = f"AUC {self.auc:.3f} (standard error {self.auc_error:.3f}) at {self.beyond:.2%} out of support"
        if not self.certified:
            return f"not certified: that the score is nearer to perfect than to chance is not shown, {said}"
        return f"certified: {said}; {self.removed:.0%} of these removed, {self.kept_inside:.0%} of the others kept"


def detection(score: np.ndarray, beyond: np.ndarray, kept: np.ndarray) -> Detection:
    """From scores (n,), which samples are out of support (n,), and which were kept (n,).

    >>> found = detection(np.array([1.0, 2, 3, 4]), np.array([0, 0, 1, 1]) > 0, np.array([1, 1, 1, 0]) > 0)
    >>> found.auc, found.removed, found.kept_inside
    (1.0, 0.5, 1.0)
    """
    area, error = auc(score, beyond)
    out, inside = int(beyond.sum()), int((~beyond).sum())
    return Detection(
        beyond=float(beyond.mean()),
        auc=area,
        auc_error=error,
        removed=float((~kept[beyond]).mean()) if out else float("nan"),
        kept_inside=float(kept[~beyond].mean()) if inside else float("nan"),
    )


def auc(score: np.ndarray, positive: np.ndarray) -> tuple[float, float]:
    """The area under the ROC curve of scores (n,) for the positive ones (n,), and its standard error; both NaN where all or
    none are positive.

    The error is sqrt([A (1 - A) + (p - 1)(Q1 - A^2) + (q - 1)(Q2 - A^2)] / (p q)), Q1 = A / (2 - A), Q2 = 2 A^2 / (1 + A),
    with p positive and q negative ones (Hanley and McNeil 1982, equation 2).
    """
    from scipy.stats import rankdata

    p, q = int(positive.sum()), int((~positive).sum())
    if not p or not q:
        return float("nan"), float("nan")
    area = (rankdata(score)[positive].sum() - p * (p + 1) / 2) / (p * q)
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (p - 1) * (first - area**2) + (q - 1) * (second - area**2)
    return float(area), float(np.sqrt(max(spread, 0.0) / (p * q)))
