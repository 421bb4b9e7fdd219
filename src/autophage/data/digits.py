"""The real handwritten digits that come with scikit-learn: always at hand, small enough for any test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from autophage.data.class_captions import ClassCaptions, spelt
from autophage.data.source import Picture, Records


@dataclass(frozen=True, kw_only=True)
class DigitsSource(ClassCaptions):
    """1,797 grey pictures of 8 x 8 pixels with values 0..16, labelled 0 to 9. Some pixels never change."""

    citation: ClassVar[tuple[str, ...]] = (
        "Alpaydin and Kaynak (1998), Optical recognition of handwritten digits, "
        "UCI Machine Learning Repository",
    )

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(map(str, range(10)))

    @property
    def captions_of_classes(self) -> tuple[str, ...]:
        return spelt(super().captions_of_classes)

    @property
    def kind_of_picture(self) -> Picture:
        return "image"

    @property
    def value_range(self) -> tuple[float, float]:
        return 0.0, 16.0

    def load(self) -> Records:
        from sklearn.datasets import load_digits

        digits = load_digits()
        return Records(digits.images, digits.target, "digits")
