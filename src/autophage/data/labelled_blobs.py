"""A finite set of round clusters, each record labelled with its cluster.

The law `blobs` hands out new records for ever, and these carry no label. Models that learn a record given its class need a
set whose records do; this is one, drawn once from that law by a stream of its own: the same records whatever the seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from autophage.data.arguments import frozen, whole_number
from autophage.data.blobs import BlobsSource
from autophage.data.source import FEWEST, FIXED, FiniteSource, Picture, Records


@dataclass(frozen=True, kw_only=True)
class LabelledBlobsSource(FiniteSource):
    """`size` records of an equal mixture of round Gaussians with the given centres; the label is the cluster.

    Raises `SpecError` where `blobs` does, and for fewer than 5 records.

    >>> source = LabelledBlobsSource(size=100)
    >>> source.train().x.shape, sorted(set(source.train().label.tolist()))
    ((80, 2), [0, 1, 2, 3])
    """

    size: int | None = 2500
    """How many records there are; four in five are the training part."""
    centres: tuple[tuple[float, ...], ...] = ((0.8, 0.8), (0.8, -0.8), (-0.8, 0.8), (-0.8, -0.8))
    """The centre of each cluster."""
    deviation: float = 0.5
    """The standard deviation of each cluster in every direction."""

    def __post_init__(self) -> None:
        whole_number(self.size, "data.size", least=FEWEST)
        object.__setattr__(self, "centres", frozen(self.centres))
        self.law  # noqa: B018 - refuses centres and deviations that are none

    @cached_property
    def law(self) -> BlobsSource:
        """The law that the set is drawn from."""
        return BlobsSource(centres=self.centres, deviation=self.deviation)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.law.classes

    @property
    def kind_of_picture(self) -> Picture | None:
        return self.law.kind_of_picture

    def load(self) -> Records:
        assert self.size is not None
        x, label = self.law.records(self.size, FIXED / "labelled blobs", 1)
        return Records(x[0], label[0], "labelled_blobs")
