"""What an ecosystem makes as a whole: other metrics, measured on the joined records of all agents that make pictures.

Each of several collapsed models may be narrow where all of them together are not: the pool is what anybody sees who takes records
without asking who made them. Of a chain (a generator, then a captioner that is given its records) the last agent counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

from autophage.errors import SpecError
from autophage.parts import Measurement, Metric, Source, View
from autophage.samples import Samples


class Joined:
    """A view of several agents: that of one of them, but for the records, which are those of all; they have no one model."""

    model = sampler = None
    describes = described = False

    def __init__(self, views: list[Any]) -> None:
        self._first, self._views = views[0], views
        self._drawn: dict[int, Samples] = {}
        self.key = views[0].key / "pooled"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._first, name)

    def generated(self, r: int) -> Samples:
        """The evaluation draws of all of them, end to end."""
        if r not in self._drawn:
            self._drawn[r] = Samples.join([view.generated(r) for view in self._views])
        return self._drawn[r]


def ends(peers: Mapping[str, Any]) -> list[Any]:
    """The views of agents whose records nobody else describes; those that describe real records only if there are no others."""
    found = [view for view in peers.values() if not view.described]
    making = [view for view in found if not (view.describes and _describes_real(view, peers))]
    return making or found


def _describes_real(view: Any, peers: Mapping[str, Any]) -> bool:
    return view.given_by is None or view.given_by not in peers


class _Directions(Mapping):
    """Which way is better, of rows whose names only a measurement shows: what the metric that they are of says."""

    def __init__(self, metrics: tuple[tuple[str, Any], ...]) -> None:
        self.metrics = metrics

    def _found(self, row: Any) -> str | None:
        name = str(row).removeprefix("pooled_")
        for kind, metric in self.metrics if name != row else ():
            known = getattr(metric, "directions", {})
            if name in known:
                return known[name]
            if name.startswith(kind):
                return metric.direction
        return None

    def __contains__(self, row: object) -> bool:
        return self._found(row) is not None

    def __getitem__(self, row: str) -> str:
        found = self._found(row)
        if found is None:
            raise KeyError(row)
        return found

    def __iter__(self) -> Iterator[str]:
        return (f"pooled_{row}" for _, m in self.metrics for row in getattr(m, "directions", {}))

    def __len__(self) -> int:
        return sum(1 for _ in self)


@dataclass(frozen=True, kw_only=True)
class Pooled(Metric):
    """Metrics of samples, of all agents' records together (rows `pooled_frechet_pixels`, ...), written to the last agent.

    The pool of M agents holds M times `evaluation_size` records, so that what depends on size (`frechet`) is not comparable with
    the rows of single agents.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"samples"})
    of_descriptions: ClassVar[bool] = True

    of: Any
    """Metrics of samples, as in `metrics`: kinds, or mappings with `kind` and settings."""

    def __post_init__(self) -> None:
        given = [self.of] if isinstance(self.of, str | Mapping) else self.of
        if not isinstance(given, list | tuple) or not given:
            raise SpecError(
                f"metric pooled: of is {self.of!r}; it must be a list of metrics, such as [frechet]"
            )
        object.__setattr__(self, "of", tuple(given))
        for kind, metric in self.metrics:
            alone = "samples" in metric.needs and not {"first", "log_prob"} & metric.needs
            if not alone or hasattr(metric, "reads") or isinstance(metric, Pooled):
                raise SpecError(
                    f"metric pooled: {kind} is no metric of samples alone; the records of several agents have no one model"
                )
        needs = frozenset().union(self.needs, *(m.needs for _, m in self.metrics))
        object.__setattr__(self, "needs", needs)
        domains = frozenset.intersection(*(frozenset(m.domains) for _, m in self.metrics))
        object.__setattr__(self, "domains", domains)

    @cached_property
    def metrics(self) -> tuple[tuple[str, Any], ...]:
        """The kinds and the metrics."""
        from autophage import registry
        from autophage.spec import part

        built = [part("metric", given, f"metric pooled: of[{i}]") for i, given in enumerate(self.of)]
        return tuple((registry.kind_of("metric", metric), metric) for metric in built)

    @property
    def directions(self) -> Mapping[str, str]:
        """Which way is better, by row name: as of the metrics themselves."""
        return _Directions(self.metrics)

    def check(self, source: Source) -> None:
        """Raises what the metrics raise on these data."""
        for _, metric in self.metrics:
            metric.check(source)

    def check_real(self, source: Source, used: int) -> None:
        """As the metrics have it."""
        for _, metric in self.metrics:
            if hasattr(metric, "check_real"):
                metric.check_real(source, used)

    def measure(self, view: View) -> list[Measurement]:
        if not view.last:
            return []
        peers: Mapping[str, Any] = getattr(view, "peers", None) or {view.agent: view}
        joined: Any = Joined(ends(peers))
        found: list[Measurement] = []
        for _, metric in self.metrics:
            found += metric.measure(joined)
        return [replace(m, metric=f"pooled_{m.metric}") for m in found]
