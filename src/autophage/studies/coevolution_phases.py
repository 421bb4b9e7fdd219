"""A phase map of text and images that collapse together, held open from outside on both sides (after Gao & Li 2025).

Over the share eps of a corpus in the text's refit and the ratio m/N of user images to generated ones per caption: where the text's
diversity H and the images' variance tr S settle, both models being refitted in every round, against the closed forms of
`theory.coevolution`, which know of one model alone each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from autophage.errors import SpecError
from autophage.keys import Key
from autophage.studies.coevolution import simulate
from autophage.theory.arguments import unit_interval, whole
from autophage.theory.coevolution import corpus_limit, on_circle, user_content

if TYPE_CHECKING:
    from autophage.report.phases import Map


@dataclass(frozen=True)
class Phases:
    """Where the system settles: arrays (ratios, shares)."""

    shares: np.ndarray
    """alpha eps, with alpha = 1: the corpus' share of the text in every round."""
    ratios: np.ndarray
    """m/N: user images per generated image of a caption."""
    gini: np.ndarray
    gini_error: np.ndarray
    """Standard errors of `gini`."""
    gini_theory: np.ndarray
    trace: np.ndarray
    """tr S over that of real images, mean over captions."""
    trace_error: np.ndarray
    trace_theory: np.ndarray

    @property
    def departure(self) -> float:
        """The largest relative departure of either from theory, over the map."""
        gini, trace = self.gini / self.gini_theory - 1, self.trace / self.trace_theory - 1
        return float(max(np.abs(gini).max(), np.abs(trace).max()))

    def maps(self) -> tuple[Map, Map]:
        """Both as diagrams, with theory's levels drawn in: `report.phase_plots.picture(found.maps(), path)`."""
        from autophage.report.phases import Line, Map, Side, contour, levels

        x = Side("corpus share of the text, alpha eps", self.shares, log=True)
        y = Side("user images per generated image, m/N", self.ratios, log=True)
        drawn = []
        for metric, value, error, theory in (
            ("text diversity H", self.gini, self.gini_error, self.gini_theory),
            ("image variance, share of the real one", self.trace, self.trace_error, self.trace_theory),
        ):
            lines = []
            for level in levels(theory, log=False):
                pieces = contour(x, y, theory, level)
                if pieces:
                    lines.append(Line("level", f"{level:g}", pieces))
            drawn.append(Map(metric, metric, "", x, y, value, error, theory, tuple(lines)))
        return drawn[0], drawn[1]


def phases(
    shares: Sequence[float],
    ratios: Sequence[float],
    *,
    captions: int = 5,
    spread: float = 0.3,
    images: int = 50,
    rounds: int = 80,
    replicates: int = 200,
    key: Key | int = 0,
) -> Phases:
    """Every pair of a share in (0, 1] and a ratio, K captions on the unit circle with `images` = N each, n = K N in all. States
    are averaged over `rounds` rounds, after as many as the closed forms need to come within 1 % of their limit.

    >>> found = phases([0.5], [1.0], images=20, rounds=10, replicates=50)
    >>> found.gini.shape, bool(found.departure < 0.05)
    ((1, 1), True)
    """
    N, last = whole(images, 1, "images"), whole(rounds, 1, "rounds")
    key = key if isinstance(key, Key) else Key(key)
    system, n = on_circle(captions, spread), N * captions
    added = [whole(round(r * N), 0, "user images") for r in ratios]
    if not shares or not ratios or min(added) < 1 or min(shares) <= 0:
        raise SpecError(
            "a phase map needs corpus shares above 0 and at least one user image per caption; without them all is lost"
        )
    found = {name: np.empty((len(added), len(shares))) for name in Phases.__dataclass_fields__ if "_" in name}
    found |= {name: np.empty((len(added), len(shares))) for name in ("gini", "trace")}
    for i, m in enumerate(added):
        for j, eps in enumerate(shares):
            slowest = max(
                (1 - unit_interval(eps, "share")) ** 2 * (1 - 1 / n), (N / (N + m)) ** 2 * (1 - 1 / N)
            )
            first = int(np.ceil(np.log(0.01) / np.log(slowest))) if slowest else 1
            course = simulate(
                system,
                images=n,
                rounds=first + last,
                replicates=replicates,
                key=key / m / str(eps),
                corpus_chance=1.0,
                corpus_share=eps,
                user_images=m,
            )
            for name, values in (("gini", course.gini), ("trace", course.trace_ratio)):
                settled = values[:, first + 1 :].mean(axis=1)
                found[name][i, j] = settled.mean()
                found[f"{name}_error"][i, j] = settled.std() / np.sqrt(len(settled))
            found["gini_theory"][i, j] = corpus_limit(n, 1.0, eps, captions)
            found["trace_theory"][i, j] = user_content(N, m)[0]
    return Phases(np.asarray(shares, dtype=np.float64), np.array(added) / N, **found)
