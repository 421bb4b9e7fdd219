"""Metric tables turned into what a chart draws: few numbers, whatever the number of replicates.

Up to twelve replicates keep their own lines, and the band is a 95 % interval of their mean. More become
quantile bands, so a page of ten thousand replicates is as small as one of twenty. Charts in the page and
figures for a paper draw the same `Chart`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from scipy.special import stdtrit

from autophage.parts import Prediction
from autophage.report.page import Page

MOST_LINES = 12
"""With more replicates than this, quantile bands replace their lines."""
MOST_GENERATIONS = 120
"""A chart keeps at most this many generations, evenly spread, first and last among them."""
DECADES = 2.0
"""A positive metric that spans more than this is drawn on a log scale."""

Centre = Literal["mean", "median", "geometric mean"]

_DRAWN = {"mean": "mean", "median": "median", "mean_log": "geometric mean", "limit": "limit"}
"""The quantities of a prediction that are courses, and what they are called on a chart."""

_ORDER = [
    r"excess_risk|squared_error|frechet_model|perplexity|cross_entropy|(^|_)nll|log_likelihood|(?<!training_)loss|^risk",
    r"frechet|kernel|wasserstein|sliced|distance|divergence|(^|_)(kl|js|tv|mmd|c2st)(_|$)",
    r"precision|recall|density|coverage|accuracy",
    r"variance|entropy|gini|support|diversity|distinct|vendi|log_det",
    r"squared_mean_error",
    r"",
    r"real_share",
]


@dataclass(frozen=True)
class Key:
    """One colour of a page: an arm, or one agent of it."""

    arm: int
    agent: str
    label: str


@dataclass(frozen=True)
class Series:
    """The course of one key on one metric; every array has one entry per generation."""

    key: int
    """Position among the page's keys."""
    label: str
    generation: np.ndarray
    centre: np.ndarray
    low: np.ndarray
    high: np.ndarray
    inner: tuple[np.ndarray, np.ndarray] | None
    """The middle half of the replicates, where they are drawn as quantile bands."""
    median: np.ndarray | None
    """Drawn beside the mean of many replicates: in a loop the two may part company."""
    lines: np.ndarray | None
    """(R, G) the replicates themselves, if they are few."""
    count: np.ndarray
    """How many replicates have a finite value."""


@dataclass(frozen=True)
class Curve:
    """A prediction on the chart's generations."""

    key: int
    label: str
    generation: np.ndarray
    value: np.ndarray
    side: str | None


@dataclass(frozen=True)
class Chart:
    """One metric, all arms."""

    metric: str
    direction: str
    log: bool
    centre: Centre
    band: str
    """What the band is, in words; empty when nothing has one."""
    domain: tuple[float, float]
    series: tuple[Series, ...]
    curves: tuple[Curve, ...]
    remarks: tuple[str, ...]
    """Sentences about what could not be drawn: values that are not finite, predictions far away."""

    @property
    def title(self) -> str:
        """The metric's name as a heading."""
        words = self.metric.replace("_", " ").replace("frechet", "Fréchet")
        return words[:1].upper() + words[1:]

    @property
    def drawn_lines(self) -> bool:
        """Whether any single replicate is drawn."""
        return any(s.lines is not None for s in self.series)


def keys(page: Page) -> list[Key]:
    """Every arm and agent, in the order of their colours."""
    found = []
    for number, arm in enumerate(page.arms):
        agents = arm.metrics["agent"].unique().sort().to_list() or ["main"]
        for agent in agents:
            label = arm.name if len(agents) == 1 else f"{arm.name} · {agent}"
            found.append(Key(number, agent, str(agent) if len(page.arms) == 1 < len(agents) else label))
    return found


def charts(page: Page) -> list[Chart]:
    """One chart per metric that has a finite value, risk-like metrics first."""
    named = keys(page)
    tables = [
        {str(name[0]): part for name, part in arm.metrics.partition_by("metric", as_dict=True).items()}
        for arm in page.arms
    ]
    metrics = sorted({name for table in tables for name in table}, key=_place)
    drawn = (_chart(page, metric, named, [table.get(metric) for table in tables]) for metric in metrics)
    return [chart for chart in drawn if chart is not None]


def span(values: np.ndarray) -> str:
    """First and last finite value of a course, as text.

    >>> span(np.array([0.031, 0.2, 0.42])), span(np.array([6.0, 6.0]))
    ('0.031 → 0.42 (×13.5)', '6')
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return "–"
    first, last = float(finite[0]), float(finite[-1])
    if number(first) == number(last):
        return number(last)
    ratio = last / first if first > 0 and last > 0 else 0
    factor = f" (×{ratio:.3g})" if ratio and not 0.995 < ratio < 1.005 else ""
    return f"{number(first)} → {number(last)}{factor}"


def number(x: float | None, digits: int = 4) -> str:
    """A number for people: four significant digits, words for what is not finite.

    >>> number(0.000123456), number(51234.5), number(12345678.0), number(-2.50), number(3e-9)
    ('0.0001235', '51234', '1.235e7', '−2.5', '3e−9')
    >>> number(0.0), number(100.0), number(float("inf")), number(None)
    ('0', '100', 'infinite', '–')
    """
    if x is None or np.isnan(x):
        return "–"
    if np.isinf(x):
        return "infinite" if x > 0 else "−infinite"
    mantissa, exponent = f"{x:.{digits - 1}e}".split("e")
    power = int(exponent)
    if x == 0 or -5 < power < 6:
        text = _trimmed(f"{x:.{max(0, digits - 1 - power)}f}")
    else:
        text = f"{_trimmed(mantissa)}e{power}"
    return text.replace("-", "−")


def _trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def spaced(count: int, most: int) -> np.ndarray:
    """At most `most` of the positions 0 .. count-1, evenly spread, both ends among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def _place(metric: str) -> tuple[int, str]:
    """Where a metric stands: the first kind of `_ORDER` its name fits; unknown ones before `real_share`."""
    kinds = [i for i, pattern in enumerate(_ORDER) if pattern and re.search(pattern, metric)]
    return (kinds[0] if kinds else _ORDER.index("")), metric


def _chart(
    page: Page, metric: str, named: Sequence[Key], tables: Sequence[pl.DataFrame | None]
) -> Chart | None:
    grids = [
        (number, key, grid)
        for number, key in enumerate(named)
        if (table := tables[key.arm]) is not None
        and (grid := _grid(table.filter(pl.col("agent") == key.agent))) is not None
    ]
    if not grids:
        return None
    predictions = [
        (number, p)
        for number, key in enumerate(named)
        for p in page.arms[key.arm].predictions
        if p.metric == metric and p.agent == key.agent and p.quantity in _DRAWN
    ]
    log = _wants_log([grid.value for _, _, grid in grids])
    centre = _centre([grid.value for _, _, grid in grids], [p for _, p in predictions], log)
    series = tuple(_series(number, key.label, grid, centre, log) for number, key, grid in grids)
    log = log and all((s.centre[np.isfinite(s.centre)] > 0).all() for s in series)
    end = max(int(s.generation[-1]) for s in series)
    curves = [_curve(number, p, end, centre, named) for number, p in predictions]
    domain = _domain(series, curves, log)
    dropped = sum(grid.dropped for _, _, grid in grids)
    remarks = [f"{dropped} values are not finite and are left out."] if dropped else []
    seen = []
    for curve in curves:
        inside = (curve.value >= domain[0]) & (curve.value <= domain[1])
        if inside.any():
            seen.append(curve)
        elif len(curve.value):
            way = "above" if curve.value[0] > domain[1] else "below"
            remarks.append(f"{curve.label.capitalize()} runs {way} this view: {span(curve.value)}.")
    return Chart(
        metric=metric,
        direction=page.directions.get(metric, "none"),
        log=log,
        centre=centre,
        band=_band([grid for _, _, grid in grids], centre),
        domain=domain,
        series=series,
        curves=tuple(seen),
        remarks=tuple(dict.fromkeys(remarks)),
    )


@dataclass(frozen=True)
class _Grid:
    """A metric of one key as (R, G) arrays, NaN where there is no finite value."""

    generation: np.ndarray
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    dropped: int
    """How many measurements were not finite."""


def _grid(table: pl.DataFrame) -> _Grid | None:
    value = _column(table, "value")
    if not np.isfinite(value).any():
        return None
    generation, column = np.unique(table["generation"].to_numpy(), return_inverse=True)
    replicate, row = np.unique(table["replicate"].to_numpy(), return_inverse=True)
    kept = spaced(len(generation), MOST_GENERATIONS)
    parts = {}
    for name in ("value", "low", "high"):
        grid = np.full((len(replicate), len(generation)), np.nan)
        grid[row, column] = _column(table, name)
        parts[name] = grid[:, kept]
    return _Grid(generation=generation[kept], dropped=int(np.isnan(value).sum()), **parts)


def _column(table: pl.DataFrame, name: str) -> np.ndarray:
    if name not in table.columns:
        return np.full(len(table), np.nan)
    values = table[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return np.where(np.isfinite(values), values, np.nan)


def _wants_log(values: Sequence[np.ndarray]) -> bool:
    flat = np.concatenate([v[np.isfinite(v)] for v in values])
    positive = flat[flat > 0]
    return bool(
        (flat >= 0).all() and len(positive) and np.log10(positive.max()) - np.log10(positive.min()) > DECADES
    )


def _centre(values: Sequence[np.ndarray], predictions: Sequence[Prediction], log: bool) -> Centre:
    """What theory speaks of where it speaks; otherwise the mean, and on a log scale its like."""
    spoken = [p.quantity for p in predictions]
    if "mean" in spoken:
        return "mean"
    positive = all((v[np.isfinite(v)] > 0).all() for v in values)
    if "median" in spoken:
        return "median"
    if "mean_log" in spoken and positive:
        return "geometric mean"
    if log:
        few = max(len(v) for v in values) <= MOST_LINES
        return "geometric mean" if few and positive else "median"
    return "mean"


def _series(number: int, label: str, grid: _Grid, centre: Centre, log: bool) -> Series:
    value, count = grid.value, np.isfinite(grid.value).sum(axis=0)
    replicates = len(value)
    inner = median = None
    with np.errstate(all="ignore"):
        if centre == "geometric mean":
            middle = np.exp(_mean(np.log(value)))
        elif centre == "median":
            middle = _quantile(value, 0.5)
        else:
            middle = _mean(value)
        if replicates > MOST_LINES:
            low, high = _quantile(value, 0.025), _quantile(value, 0.975)
            inner = (_quantile(value, 0.25), _quantile(value, 0.75))
            median = None if centre == "median" else _quantile(value, 0.5)
        elif replicates == 1:
            low, high = grid.low[0], grid.high[0]
        elif centre == "median":
            low, high = _quantile(value, 0.0), _quantile(value, 1.0)
        elif centre == "geometric mean":
            low, high = (np.exp(bound) for bound in _interval(np.log(value), count))
        else:
            low, high = _interval(value, count)
            if log:  # the same interval to first order, and never below zero
                low, high = middle * np.exp(low / middle - 1), middle * np.exp(high / middle - 1)
    few = 1 < replicates <= MOST_LINES
    return Series(
        key=number,
        label=label,
        generation=grid.generation,
        centre=middle,
        low=low,
        high=high,
        inner=inner,
        median=median,
        lines=value if few else None,
        count=count,
    )


def _mean(value: np.ndarray) -> np.ndarray:
    count = np.isfinite(value).sum(axis=0)
    return np.where(count > 0, np.nansum(value, axis=0) / np.maximum(count, 1), np.nan)


def _interval(value: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Student's 95 % interval of the mean over replicates, NaN where there are fewer than two."""
    mean = _mean(value)
    spread = np.sqrt(np.nansum((value - mean) ** 2, axis=0) / (count - 1.0))
    half = np.where(count > 1, stdtrit(np.maximum(count - 1.0, 1.0), 0.975) * spread / np.sqrt(count), np.nan)
    return mean - half, mean + half


def _quantile(value: np.ndarray, q: float) -> np.ndarray:
    out = np.full(value.shape[1], np.nan)
    some = np.isfinite(value).any(axis=0)
    out[some] = np.nanquantile(value[:, some], q, axis=0)
    return out


def _band(grids: Sequence[_Grid], centre: Centre) -> str:
    words = []
    for grid in grids:
        if len(grid.value) > MOST_LINES:
            thin = "" if centre == "median" else "thin line: median; "
            words.append(f"{thin}bands: 95 % and 50 % of the replicates")
        elif len(grid.value) > 1 and centre == "median":
            words.append("band: range of the replicates")
        elif len(grid.value) > 1:
            words.append(f"band: 95 % interval of the {centre}")
        elif np.isfinite(grid.low).any():
            words.append("band: 95 % interval of the measurement")
    return "; ".join(dict.fromkeys(words))


def _curve(number: int, p: Prediction, end: int, centre: Centre, named: Sequence[Key]) -> Curve:
    value = np.atleast_1d(np.asarray(p.values, dtype=np.float64))
    if p.quantity == "limit" or len(value) == 1:
        value = np.full(end + 1, value[-1])
    if p.quantity == "mean_log":
        value = np.exp(value)
    generation = np.arange(min(len(value), end + 1))
    value = value[: end + 1]
    kept = generation[np.isfinite(value)]
    kept = kept[spaced(len(kept), MOST_GENERATIONS)] if len(kept) else kept
    words = [f"{p.side} bound" if p.status == "bound" and p.side else p.status]
    if _DRAWN[p.quantity] != centre:
        words.append(_DRAWN[p.quantity])
    if len(named) > 1:
        words.append(f"· {named[number].label}")
    side = p.side if p.status == "bound" else None
    return Curve(number, " ".join(words), kept, value[kept], side)


def _domain(series: Sequence[Series], curves: Sequence[Curve], log: bool) -> tuple[float, float]:
    """The shown range: all data, and theory as far as it does not squeeze them."""
    drawn = [a for s in series for a in (s.centre, s.low, s.high)]
    drawn += [s.lines.ravel() for s in series if s.lines is not None]
    data = np.concatenate(drawn)
    data = data[np.isfinite(data)]
    if log:
        floor = np.nanmin(np.concatenate([s.centre for s in series])) / 1e4
        data = np.log10(data[(data > 0) & (data >= floor)])
    low, high = float(data.min()), float(data.max())
    reach = max(high - low, 1e-9, 0.05 * abs(high) if not log else 0.5)
    for curve in curves:
        value = np.log10(curve.value[curve.value > 0]) if log else curve.value
        value = value[(value >= low - reach) & (value <= high + reach)]
        if len(value):
            low, high = min(low, float(value.min())), max(high, float(value.max()))
    if log:
        return float(10 ** (low - 0.04 * reach)), float(10 ** (high + 0.06 * reach))
    if high == low:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    margin = 0.06 * (high - low)
    if 0 <= low < 0.5 * high:
        return 0.0, high + margin
    return low - margin, high + margin
