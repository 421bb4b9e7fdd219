"""Between two arms: the same noise decoded by models whose weights lie on the line between two fitted ones.

    theta(s) = (1 - s) theta_a + s theta_b

Where both arms descend from one generation 0 this line shows whether they still share a basin: pictures then change
steadily from one arm's to the other's. Models of separate fits need not, and pictures may break down in the middle
(Frankle, Dziugaite, Roy and Carbin 2020).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from autophage.errors import DataError
from autophage.keys import Key
from autophage.samples import Samples

if TYPE_CHECKING:
    from autophage.parts import Model

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
SETTINGS = "header"
"""The name under which a stored model keeps its settings as JSON; they come from the nearer model."""

Restore = Callable[[Mapping[str, np.ndarray]], "Model"]


@dataclass(frozen=True)
class Blend:
    """Pictures of the models between two arms, from the same noise."""

    first: str
    """The arm at share 0."""
    second: str
    """The arm at share 1."""
    shares: Sequence[float]
    pictures: np.ndarray
    """(S, n, h, w[, 3]) bytes."""
    heads: Sequence[str] = ()
    """The classes of the n pictures, where models were asked for classes."""

    def __post_init__(self) -> None:
        if len(self.pictures) != len(self.shares) or len(self.heads) not in (0, self.pictures.shape[1]):
            raise DataError(
                f"a blend of {len(self.shares)} shares and {len(self.heads)} classes got pictures of shape "
                f"{self.pictures.shape}"
            )


def between(
    model_a: Model,
    model_b: Model,
    shares: Sequence[float],
    noise_key: Key,
    n: int,
    *,
    restore: Restore,
    given: Samples | None = None,
) -> list[np.ndarray]:
    """n records (n, ...) of each model (1 - share) a + share b, all from the stream `noise_key`.

    `restore` makes a model of its arrays (`Learner.restore`); `given` holds the classes asked for. Raises
    `DataError` for shares outside [0, 1] and for models that `mixed` refuses.
    """
    a, b = model_a.arrays(), model_b.arrays()
    drawn = []
    for share in shares:
        model = restore(mixed(a, b, share))
        samples = (
            model.sample(n, key=noise_key) if given is None else model.sample(n, key=noise_key, given=given)
        )
        drawn.append(np.asarray(samples.x))
    return drawn


def mixed(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray], share: float) -> dict[str, np.ndarray]:
    """(1 - share) a + share b of all arrays of floating-point numbers; each keeps its type.

    Arrays of whole numbers and masks (permutations, which inputs are seen) must be the same in both: a mean of two
    architectures is none. Single ones are counters, and come from the nearer model. Raises `DataError` where names,
    shapes or these arrays differ, or `share` leaves [0, 1].

    >>> mixed({"w": np.array([0.0, 4.0])}, {"w": np.array([2.0, 0.0])}, 0.25)["w"].tolist()
    [0.5, 3.0]
    """
    if not 0 <= share <= 1:
        raise DataError(f"the share of the second model is {share}; it must lie in [0, 1]")
    if alone := sorted(set(a) ^ set(b)):
        raise DataError(f"the models cannot be interpolated: only one of them has {', '.join(alone[:4])}")
    result = {}
    for name, x in a.items():
        x, y = np.asarray(x), np.asarray(b[name])
        if name == SETTINGS or (x.dtype.kind in "iub" and x.size == y.size == 1):
            result[name] = x if share <= 0.5 else y
        elif x.shape != y.shape or x.dtype != y.dtype:
            raise DataError(
                f"the models cannot be interpolated: {name} is {x.dtype} {x.shape} in one and {y.dtype} {y.shape} in "
                "the other"
            )
        elif x.dtype.kind == "f":
            result[name] = ((1 - share) * x.astype(np.float64) + share * y.astype(np.float64)).astype(x.dtype)
        elif np.array_equal(x, y):
            result[name] = x
        else:
            raise DataError(
                f"the models cannot be interpolated: they differ in {name}, which is not a weight"
            )
    return result
