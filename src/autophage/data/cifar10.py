"""CIFAR-10 in whichever form it comes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from autophage.data.cifar10_batches import CLASSES, find_batches
from autophage.data.class_captions import ClassCaptions
from autophage.data.files import locate
from autophage.data.found import Found, Labels
from autophage.data.images import find
from autophage.data.pictures import PictureSource
from autophage.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Cifar10Source(ClassCaptions, PictureSource):
    """Colour photographs of 32 x 32 pixels with values 0..255 (uint8) in ten classes; 50,000 where all are there.

    Read are the authors' python and binary batches (pickles without running what is in them), a hub's parquet, and
    strips of tiles or other pictures with a table of labels. The official test pictures are left alone.
    """

    citation: ClassVar[tuple[str, ...]] = (
        "Krizhevsky (2009), Learning multiple layers of features from tiny images, University of Toronto",
    )

    path: str | None = None
    """The folder (or file) that holds it; `cifar10` below AUTOPHAGE_DATA unless given."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.path is not None:
            object.__setattr__(self, "path", str(self.path))

    def find(self) -> Found:
        place = locate(self.path, inside="cifar10")
        return find_batches(place) or find(place)

    def labelled(self, found: Found) -> Labels:
        labels = found.labels(None)
        if labels is None or not labels.classes:
            raise DataError(
                f"{found.origin} has no labels beside its pictures; those of CIFAR-10 have one of ten classes"
            )
        known = {name: i for i, name in enumerate(CLASSES)} | {str(i): i for i in range(len(CLASSES))}
        codes = [known.get(name, -1) for name in labels.classes]
        if -1 in codes:
            raise DataError(
                f"{found.origin} holds the label {labels.classes[codes.index(-1)]}; those of CIFAR-10 are 0 to 9, or "
                f"{CLASSES[0]} to {CLASSES[-1]}"
            )
        return labels._replace(codes=np.array(codes)[labels.codes], classes=CLASSES)
