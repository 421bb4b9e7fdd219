"""Pictures that a curation kept, beside those that it dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from autophage.report.montage import address, enlarged, fitted, montage

if TYPE_CHECKING:
    from autophage.report.page import Arm

ACROSS = 12
"""Pictures in a row."""


@dataclass(frozen=True)
class Judgement:
    """Examples of one generation."""

    generation: int
    kept: np.ndarray
    """(n, h, w[, 3]) bytes."""
    dropped: np.ndarray
    """(m, h, w[, 3]) bytes."""
    why: str = ""
    """By what, and how many were kept."""


@dataclass(frozen=True)
class Shown:
    """A judgement as it stands in the page."""

    key: int
    name: str
    generation: int
    why: str
    kept: str
    dropped: str
    kept_alt: str
    dropped_alt: str


def shown(arms: Sequence[Arm]) -> list[Shown]:
    """The judgements of all arms that have one."""
    found = []
    for n, arm in enumerate(arms):
        j = arm.judged
        if j is None:
            continue
        words = f"pictures of {arm.name} in generation {j.generation} that curation"
        found.append(
            Shown(
                n,
                arm.name,
                j.generation,
                j.why,
                _sheet(j.kept),
                _sheet(j.dropped),
                f"{len(j.kept)} {words} kept",
                f"{len(j.dropped)} {words} dropped",
            )
        )
    return found


def _sheet(images: np.ndarray) -> str:
    images = fitted(images)
    side = max(images.shape[1:3])
    sheet = montage(images, ACROSS)
    return address(enlarged(sheet, max(1, 24 // side)), side)
