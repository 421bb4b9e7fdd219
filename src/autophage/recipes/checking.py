"""What must come out of a recipe, checked against what did.

A check in `expected.yaml` is one of

    {what, run, metric, generation, statistic, value, tolerance | band, from}    a measured number
    {what, run, metric, theory: QUANTITY, generation, tolerance, from}           the same, against the theory
    {what, metric, generation, statistic, order: [run_a, run_b, ...], from}      falling order over runs
    {what, ratio: [run_a, run_b], metric, generation, statistic, band, from}     a quotient of two runs
    {what, effective_size: [run_a, run_b, ...], run, metric, generation, band, from}    as good as how many real records
    {what, verdict: D5, run, value: yes, from}                                   a verdict
    {what, function: "module:name", arguments, pick, value, tolerance, from}     a closed form

`tolerance` is relative to the value unless it ends in "abs" (`tolerance: 0.01 abs`). `generation` is a number,
-1 for the last one, or a pair [first, last] whose generations are pooled. `metric` may be a list, whose values
are added replicate by replicate (a conserved sum), and `relative_to: g` divides each replicate's value by its
own in generation g. `effective_size` inverts the curve that a falling metric has in generation 0 of the runs it
names, over the number of their real records. `agent` names the agent of a run that has several. A value of
`arguments` may itself be {function, arguments, pick}. `scales` names the scales a check is for (default all).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from autophage import registry
from autophage.errors import SpecError
from autophage.runs.run import Run


@dataclass(frozen=True)
class Outcome:
    """One line of the expected-against-measured table."""

    what: str
    expected: str
    measured: str
    passed: bool
    source: str
    low: float | None = None
    """The band's ends, where the check has a band."""
    high: float | None = None
    standard_error: float | None = None
    """Of a measured number, over replicates."""


def outcome(check: Mapping[str, Any], runs: Mapping[str, Run]) -> Outcome:
    """One check against the runs. Raises `SpecError` when the check itself is malformed."""
    source = str(check.get("from", ""))
    error = None
    if "function" in check:
        measured = float(_called(check, f"check '{check['what']}'"))
    elif "order" in check:
        return _order(check, runs, source)
    elif "ratio" in check:
        (above, e1), (below, e2) = (_measured({**check, "run": name}, runs) for name in check["ratio"])
        measured = above / below
        error = None if e1 is None or e2 is None else abs(measured) * float(np.hypot(e1 / above, e2 / below))
    elif "effective_size" in check:
        measured = _effective_size(check, runs)
    elif "verdict" in check:
        answer = runs[check["run"]].verdict()[check["verdict"]].verdict
        wanted = check["value"]
        # YAML reads a bare yes and no as booleans.
        word = {True: "yes", False: "no"}.get(wanted, wanted) if isinstance(wanted, bool) else wanted
        return Outcome(check["what"], str(word), answer, answer == word, source)
    else:
        measured, error = _measured(check, runs)
    low, high, shown = _band(check, runs)
    return Outcome(
        check["what"], shown, f"{measured:.5g}", bool(low <= measured <= high), source, low, high, error
    )


def _effective_size(check: Mapping[str, Any], runs: Mapping[str, Run]) -> float:
    """How many real records alone would do as well as the run does."""
    from autophage.theory.mad import sample_size_on_curve

    names = check["effective_size"]
    curve = [_measured({**check, "run": name, "generation": 0}, runs)[0] for name in names]
    sizes = [next(iter(runs[name].loop.real.values())) for name in names]
    return sample_size_on_curve(_measured(check, runs)[0], sizes, curve)


def _measured(check: Mapping[str, Any], runs: Mapping[str, Run]) -> tuple[float, float | None]:
    """The statistic, and its standard error where there are replicates to tell it from."""
    if check["run"] not in runs:
        raise SpecError(f"a check names a run '{check['run']}'{registry.nearest(check['run'], runs)}")
    table = runs[check["run"]].metrics
    generation = check.get("generation", -1)
    if generation == -1:
        generation = table["generation"].max()
    values = _values(check, table, generation)
    if "relative_to" in check:
        values = values / _values(check, table, check["relative_to"])
    name = str(check.get("statistic", "mean"))
    return statistic(values.ravel(), name), _standard_error(values, name)


def _values(check: Mapping[str, Any], table: Any, generation: Any) -> np.ndarray:
    """(replicates, generations), of replicates that got that far."""
    import polars as pl

    ends = generation if isinstance(generation, list) else [generation, generation]
    metrics = check["metric"] if isinstance(check["metric"], list) else [check["metric"]]
    picked = table.filter(pl.col("generation").is_between(*ends))
    if "agent" in check:
        picked = picked.filter(pl.col("agent") == check["agent"])
    total: Any = 0.0
    for metric in metrics:
        rows = picked.filter(pl.col("metric") == metric).sort("replicate", "generation")
        if not len(rows):
            raise SpecError(f"run {check['run']} measured no '{metric}' at generation {generation}")
        replicates = rows["replicate"].n_unique()
        if len(rows) % replicates:
            raise SpecError(f"run {check['run']}: some replicates ended within generations {generation}")
        total = total + rows["value"].to_numpy().reshape(replicates, -1)
    return total


def _standard_error(values: np.ndarray, name: str, groups: int = 20) -> float | None:
    """Of any statistic of values (replicates, ...): its spread over groups of replicates, over their root."""
    groups = min(groups, len(values))
    if groups < 2:
        return None
    parts = [statistic(v.ravel(), name) for v in np.array_split(values, groups)]
    return float(np.std(parts, ddof=1) / np.sqrt(groups))


def statistic(values: np.ndarray, name: str) -> float:
    """A statistic over replicates: mean, median, sd, var, min, max, mean_sqrt, mean_log, var_log,
    share_above_<x>, share_below_<x>.

    >>> statistic(np.array([1.0, 4.0]), "mean_sqrt"), statistic(np.array([1.0, 4.0]), "share_above_2")
    (1.5, 0.5)
    """
    simple: dict[str, Any] = {
        "mean": np.mean,
        "median": np.median,
        "sd": np.std,
        "mean_sqrt": lambda v: np.mean(np.sqrt(v)),
        "mean_log": lambda v: np.mean(np.log(v)),
        "var_log": lambda v: np.var(np.log(v)),
        "var": np.var,
        "min": np.min,
        "max": np.max,
    }
    if name in simple:
        return float(simple[name](values))
    for prefix, above in (("share_above_", True), ("share_below_", False)):
        if name.startswith(prefix):
            edge = float(name.removeprefix(prefix))
            return float(np.mean(values > edge if above else values < edge))
    raise SpecError(f"there is no statistic '{name}'{registry.nearest(name, simple)}")


def _band(check: Mapping[str, Any], runs: Mapping[str, Run]) -> tuple[float, float, str]:
    if "band" in check:
        low, high = (float(b) for b in check["band"])
        return low, high, f"{low:g} to {high:g}"
    value = float(_theory(check, runs) if "theory" in check else check["value"])
    text = str(check["tolerance"])
    absolute = text.endswith("abs")
    width = float(text.removesuffix("abs").strip())
    width = width if absolute else width * abs(value)
    return value - width, value + width, f"{value:.5g} ± {width:.2g}"


def _theory(check: Mapping[str, Any], runs: Mapping[str, Run]) -> float:
    run = runs[check["run"]]
    generation = check.get("generation", -1)
    for p in run.predictions():
        # A bound is not an expected value.
        if (
            p.metric == check["metric"]
            and p.quantity == check["theory"]
            and p.agent == check.get("agent", p.agent)
            and p.side is None
            and np.ndim(p.values)
        ):
            return float(np.asarray(p.values)[generation])
    raise SpecError(f"theory has no {check['theory']} of {check['metric']} for run {check['run']}")


def _called(call: Mapping[str, Any], where: str) -> Any:
    arguments = {
        name: _called(value, where) if isinstance(value, Mapping) and "function" in value else value
        for name, value in call.get("arguments", {}).items()
    }
    found = registry.load(call["function"], where)(**arguments)
    for step in call.get("pick", ()):
        found = found[step] if isinstance(step, int) else getattr(found, step)
    return found


def _order(check: Mapping[str, Any], runs: Mapping[str, Run], source: str) -> Outcome:
    values = [_measured({**check, "run": name}, runs)[0] for name in check["order"]]
    passed = all(a > b for a, b in pairwise(values))
    shown = ", ".join(f"{v:.4g}" for v in values)
    return Outcome(check["what"], " > ".join(check["order"]), shown, passed, source)
