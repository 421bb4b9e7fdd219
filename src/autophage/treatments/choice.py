"""How far a strength is from the real records: what chooses it."""

from __future__ import annotations

from typing import Any

import numpy as np

from autophage.errors import FitFailed
from autophage.interventions import Treating
from autophage.keys import Key
from autophage.metrics.features import PrincipalComponents
from autophage.metrics.frechet import frechet
from autophage.metrics.sliced_wasserstein import sliced_wasserstein
from autophage.samples import Samples

COMPONENTS = 64
"""Principal components that records of more numbers are compared on."""
MOST = 5_000
"""Real records that draws are compared with."""


class Choice:
    """Distances of draws to real records, by the name of the distance.

    The real records are those that generation 0 was fitted to (at most 5,000 of them, by a fixed draw): the held-out part is for
    metrics alone, and holding more out would starve the fit. Candidates are new draws, so that no strength is favoured by having
    seen the records unless the base has learned them by heart; then strength 0 looks better than it is.
    """

    def __init__(self, context: Treating, kind: str) -> None:
        self.kind = kind
        known = ("extrapolation", kind, context.block, context.agent)
        if known not in context.memo:
            context.memo[known] = _compared(context.real, kind)
        self.real, self.features = context.memo[known]

    def distance(self, drawn: Samples) -> float:
        """Of these draws, squared for `frechet`. Raises `FitFailed` where it is not a number."""
        x = np.asarray(drawn.flat(), dtype=np.float64)
        if not np.isfinite(x).all():
            raise FitFailed("the records that a strength is chosen by are not finite")
        y = self.features(x)
        if self.kind == "frechet":
            found = frechet(self.real, y, interval=False).value
        else:
            found = sliced_wasserstein(self.real, y).value
        if not np.isfinite(found):
            raise FitFailed(f"the {self.kind} distance that a strength is chosen by is {found}")
        return float(found)


def _compared(real: Samples, kind: str) -> tuple[np.ndarray, Any]:
    """The real records' features, and the map to them."""
    x = np.asarray(real.flat(), dtype=np.float64)
    if len(x) > MOST:
        x = x[(Key(0) / "treatment" / "choice").generator().permutation(len(x))[:MOST]]
    components = min(COMPONENTS, len(x))
    if kind == "frechet" and x.shape[1] > components:
        features: Any = PrincipalComponents(x, components)
        return features(x), features
    return x, lambda y: np.asarray(y, dtype=np.float64)
