"""What captioners share, ours and others': how their captions are chosen, and that they describe what they are given."""

from __future__ import annotations

from typing import Any, ClassVar

from autophage.errors import DataError, SpecError
from autophage.parts import Sampling
from autophage.samples import Samples

BEAMS = 4
"""Captions side by side where `decoding: beam` is all that is said."""


class Describing:
    """A learner whose models caption the records they are given."""

    describes: ClassVar[bool] = True
    needs_captions: ClassVar[bool] = True
    sampling_keys: ClassVar[frozenset[str]] = frozenset({"decoding", "temperature", "beams", "budget"})
    longest: ClassVar[str]
    """The key that says how many words a caption may have."""

    def check_sampling(self: Any, sampling: Sampling) -> None:
        if sampling.temperature is not None and sampling.decoding != "sample":
            raise SpecError("sampling.temperature is for sampling.decoding: sample; set that as well")
        most = getattr(self, self.longest)
        if sampling.budget is not None and sampling.budget > most:
            raise SpecError(
                f"sampling.budget is {sampling.budget}, but learner.{self.longest} lets captions have {most} words at most"
            )

    def evaluations(self: Any, sampling: Sampling) -> float:
        width = (sampling.beams or BEAMS) if sampling.decoding == "beam" else 1
        return float(width * (sampling.budget or getattr(self, self.longest)))


def to_describe(n: int, given: Samples | None) -> Samples:
    """The first n of the records that a model is given. Raises `DataError` when fewer than n are."""
    if given is None or len(given) < n:
        raise DataError(
            f"a captioner describes records it is given; {n:,} are needed and {0 if given is None else len(given):,} are there"
        )
    return given[:n]
