"""Predicted courses as a function of one key of a spec, and where they cross a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from autophage.errors import SpecError
from autophage.keys import Key
from autophage.loop import Loop
from autophage.parts import Prediction
from autophage.planner.parameters import from_table
from autophage.registry import find, kind_of, kinds
from autophage.spec import Spec, read
from autophage.theory.predict import predict

RISKS = ("excess_risk", "squared_error", "frechet_model", "squared_mean_error")
"""What a plan speaks of unless it is told: the first of them that theory predicts."""
ASYMPTOTIC_SLACK = 0.05
"""How far a simulation may lie from a theorem that holds in the limit, relative to it."""
FINEST = 1e-4
"""A share or ratio is found to this relative precision."""


def based_on(spec: Any, data: Any, default: Mapping[str, Any], **given: Any) -> dict[str, Any]:
    """The keys of the spec that a plan starts from: the user's own, the law of their table, or the default."""
    if spec is not None and data is not None:
        raise SpecError("a plan takes a spec or data, not both; name the data in the spec")
    if spec is not None:
        return Spec.of(read(spec) if isinstance(spec, str) or hasattr(spec, "suffix") else spec).to_dict()
    keys = {"seed": 0, **default}
    if data is not None:
        found, rows = from_table(data, **given)
        keys |= found
        keys["workflow"] = {**keys["workflow"], "sample_size": rows, "initial_size": rows}
    elif given:
        raise SpecError(f"{' and '.join(given)} can be given beside data only; name the table")
    return keys


def family(spec: Spec, data: Any) -> str:
    """The assumption that the loop is the one that theory speaks about: which learner, which data."""
    (agent,) = spec.agents.values()
    what = (
        "symbols" if spec.data.domain == "symbols" else "inputs" if spec.data.domain == "pairs" else "columns"
    )
    if spec.data.dim == 1:
        what = what[:-1]
    return (
        f"the learner is {kind_of('learner', agent.learner)} and the data follow its family ({spec.data.dim:,} {what}"
        + (")" if data is None else ", their law estimated from the table)")
    )


def example(spec: Any, data: Any, default: Mapping[str, Any]) -> tuple[str, ...]:
    """A note where the answer is about nobody's loop."""
    if spec is not None or data is not None:
        return ()
    parts = ", ".join(f"{slot} {_plain(keys)}" for slot, keys in default.items())
    return (f"No spec and no data were given, so this is the answer for an example: {parts}.",)


def _plain(keys: Mapping[str, Any]) -> str:
    more = ", ".join(
        f"{name} {_plain(value)}" if isinstance(value, Mapping) else f"{name} {value}"
        for name, value in keys.items()
        if name != "kind"
    )
    return " ".join(filter(None, [keys.get("kind", ""), f"({more})" if more else ""]))


def written(workflow: Mapping[str, Any]) -> dict[str, Any]:
    """The workflow as a person writes it: sizes without a decimal point."""
    return {
        k: int(v)
        if k in ("sample_size", "initial_size", "real") and isinstance(v, float) and v.is_integer()
        else v
        for k, v in workflow.items()
    }


def agent_of(keys: Mapping[str, Any]) -> dict[str, Any]:
    """The one agent's keys, whether they stand at the top or below `agents`. Raises `SpecError` for several."""
    agents = keys.get("agents")
    if not agents:
        return {
            k: keys[k] for k in ("learner", "workflow", "curation", "treatment", "sampling") if keys.get(k)
        }
    if len(agents) > 1:
        raise SpecError(f"a plan speaks about one agent, the spec has {len(agents)}")
    return dict(next(iter(agents.values())))


def workflow_of(keys: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """What is set of the one agent's workflow, as a person writes it; only these names of it, if there are any."""
    own = agent_of(keys)["workflow"]
    return written({k: v for k, v in own.items() if v is not None and (not names or k in names)})


def with_workflow(keys: Mapping[str, Any], horizon: int, workflow: Mapping[str, Any]) -> Spec:
    """The spec with another workflow and horizon, nothing measured."""
    own = {k: v for k, v in keys.items() if k not in ("agents", "feeds")}
    changed = {"workflow": dict(workflow), "generations": horizon + 1, "metrics": []}
    return Spec.of({**own, **agent_of(keys), **changed})


def course(spec: Spec, metric: str | None = None) -> Prediction:
    """The predicted mean course of a risk. Raises `SpecError` where theory has none."""
    found = predict(spec)
    if metric is not None and metric in kinds("metric") and find("metric", metric).direction != "lower":
        raise SpecError(f"a plan keeps a risk low, and {metric} is none; take one of {', '.join(RISKS)}")
    wanted = RISKS if metric is None else (metric,)
    for name in wanted:
        for p in found:
            if p.metric == name and p.quantity == "mean" and p.side is None and np.ndim(p.values):
                return p
    known = sorted({p.metric for p in found if p.quantity == "mean" and p.side is None})
    (agent,) = spec.agents.values()
    own = next(iter(spec.to_dict()["agents"].values()))
    changed = [what for what in ("curation", "treatment", "sampling") if own.get(what)]
    raise SpecError(
        f"theory predicts no {metric or 'risk'} for learner {kind_of('learner', agent.learner)} under workflow "
        f"{kind_of('workflow', agent.workflow)}"
        + (f" with {' and '.join(changed)}" if changed else "")
        + (
            f"; it predicts {', '.join(known)}, which metric=NAME asks for"
            if known
            else "; run the loop instead"
        )
    )


def stays_under(limit: float, spec: Spec, metric: str | None = None) -> bool:
    """Whether the predicted course never exceeds the limit."""
    return bool(course(spec, metric).values.max() <= limit)


def level(target: float | str | None, start: float, what: str) -> float:
    """The target as a value: a number, or "2x" for twice the risk of generation 0."""
    if target is None:
        raise SpecError(
            "the plan needs a target: a value of the risk, or for example 2x, twice that of generation 0"
        )
    text = str(target).strip()
    try:
        value = float(text[:-1]) * start if text.endswith(("x", "X")) else float(text)
    except ValueError:
        raise SpecError(f"the target is '{target}'; it must be a number, or for example 2x") from None
    if not (value > 0 and np.isfinite(value)):
        raise SpecError(f"the target is {target}; a value of {what} must be above zero and finite")
    return value


def crossing(keeps: Callable[[float], bool], low: float, high: float, finest: float = FINEST) -> float:
    """The smallest x in (low, high] that `keeps`, where `high` does and `low` does not: by bisection, in ratio."""
    while high - low > finest * high and high > 1e-12:
        middle = np.sqrt(low * high) if low > 0 else high / 2
        if keeps(middle):
            high = middle
        else:
            low = middle
            if high <= 1e-9:
                break
    return float(high)


def smallest_whole(keeps: Callable[[int], bool], least: int, most: int) -> int | None:
    """The smallest whole number in [least, most] that `keeps`, or None: by doubling and bisection."""
    if keeps(least):
        return least
    low, high = least, least
    while not keeps(high):
        if high >= most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if keeps(middle) else (middle, high)
    return high


def simulated(spec: Spec, metric: str) -> Callable[[int, Key], np.ndarray]:
    """The metric's course by the loop itself, on records (not on their law) where the learner can: (R, G)."""

    def simulate(replicates: int, key: Key) -> np.ndarray:
        raw = spec.to_dict() | {"replicates": replicates, "seed": key.integer(), "metrics": [metric]}
        for agent in raw["agents"].values():
            if "path" in agent["learner"]:
                agent["learner"]["path"] = "auto" if _heavy(spec, replicates) else "samples"
        loop = Loop(Spec.of(raw))
        parts = []
        for block in loop.blocks():
            state, values = loop.start(block), []
            while state.generation < loop.spec.generations:
                state, (record,) = loop.step(state)
                values.append(next(m.value for m in record.measurements if m.metric == metric))
            parts.append(np.stack(values, axis=1))
        return np.concatenate(parts)

    return simulate


MOST_RECORDS = 2_000_000_000
"""A simulation that would draw more records draws their statistics instead."""


def _heavy(spec: Spec, replicates: int) -> bool:
    agent = next(iter(spec.agents.values()))
    available = None if spec.data.unlimited else len(spec.data.train())
    real = agent.workflow.start_size(available)
    sizes = [agent.workflow.plan(t, real).new for t in range(1, spec.generations)]
    return (real + sum(sizes)) * spec.data.dim * replicates > MOST_RECORDS


def slack(prediction: Prediction) -> float:
    """What a simulation may deviate beyond its own error, relatively."""
    return 0.0 if prediction.status == "exact" else ASYMPTOTIC_SLACK
