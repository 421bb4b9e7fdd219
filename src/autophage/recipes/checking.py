"""What must come out of a recipe, checked against what did.

A check in `expected.yaml` is one of

    {what, run, metric, generation, statistic, value, tolerance | band, from}          a measured number
    {what, run, metric, theory: QUANTITY, generation, tolerance, from}                 the same, against the library's theory
    {what, metric, generation, statistic, order: [run_a, run_b, ...], from}            falling order over runs
    {what, ratio: [run_a, run_b], metric, generation, statistic, band, from}           a quotient of two runs
    {what, verdict: D5, run, value: yes, from}                                         a verdict
    {what, function: "module:name", arguments, pick, value, tolerance, from}           a closed form

`tolerance` is relative to the value unless it ends in "abs" (`tolerance: 0.01 abs`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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


def outcome(check: Mapping[str, Any], runs: Mapping[str, Run]) -> Outcome:
    """One check against the runs. Raises `SpecError` when the check itself is malformed."""
    source = str(check.get("from", ""))
    if "function" in check:
        measured = _function(check)
    elif "order" in check:
        return _order(check, runs, source)
    elif "ratio" in check:
        above, below = (_measured({**check, "run": name}, runs) for name in check["ratio"])
        measured = above / below
    elif "verdict" in check:
        answer = runs[check["run"]].verdict()[check["verdict"]].verdict
        wanted = check["value"]
        # YAML reads a bare yes and no as booleans.
        word = {True: "yes", False: "no"}.get(wanted, wanted) if isinstance(wanted, bool) else wanted
        return Outcome(check["what"], str(word), answer, answer == word, source)
    else:
        measured = _measured(check, runs)
    low, high, shown = _band(check, runs)
    return Outcome(check["what"], shown, f"{measured:.5g}", bool(low <= measured <= high), source)


def _measured(check: Mapping[str, Any], runs: Mapping[str, Run]) -> float:
    import polars as pl

    if check["run"] not in runs:
        raise SpecError(f"a check names a run '{check['run']}'{registry.nearest(check['run'], runs)}")
    table = runs[check["run"]].metrics
    generation = check.get("generation", -1)
    if generation == -1:
        generation = table["generation"].max()
    wanted = generation if isinstance(generation, list) else [generation, generation]
    rows = table.filter(
        (pl.col("metric") == check["metric"]) & pl.col("generation").is_between(*wanted)
    )
    values = rows["value"].to_numpy()
    if not len(values):
        raise SpecError(f"run {check['run']} measured no '{check['metric']}' at generation {generation}")
    return statistic(values, str(check.get("statistic", "mean")))


def statistic(values: np.ndarray, name: str) -> float:
    """A statistic over replicates: mean, median, sd, mean_sqrt, mean_log, var_log, share_above_<x>, share_below_<x>.

    >>> statistic(np.array([1.0, 4.0]), "mean_sqrt"), statistic(np.array([1.0, 4.0]), "share_above_2")
    (1.5, 0.5)
    """
    simple = {
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
        if p.metric == check["metric"] and p.quantity == check["theory"] and np.ndim(p.values):
            return float(np.asarray(p.values)[generation])
    raise SpecError(f"theory has no {check['theory']} of {check['metric']} for run {check['run']}")


def _function(check: Mapping[str, Any]) -> float:
    found = registry.load(check["function"], f"check '{check['what']}'")(**check.get("arguments", {}))
    for step in check.get("pick", ()):
        found = found[step] if isinstance(step, int) else getattr(found, step)
    return float(found)


def _order(check: Mapping[str, Any], runs: Mapping[str, Run], source: str) -> Outcome:
    names = [n for n in check["order"] if n in runs]
    values = [_measured({**check, "run": name}, runs) for name in names]
    passed = all(a > b for a, b in zip(values, values[1:], strict=False))
    shown = ", ".join(f"{v:.4g}" for v in values)
    return Outcome(check["what"], " > ".join(names), shown, passed, source)
