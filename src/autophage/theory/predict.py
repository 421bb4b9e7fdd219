"""From a spec to what theory says about it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from autophage import registry
from autophage.parts import Prediction
from autophage.schedules import as_power
from autophage.theory.setting import Setting
from autophage.treatments.gain import Gain
from autophage.workflows import Mix, Workflow, share_matrix

if TYPE_CHECKING:
    from autophage.spec import Spec


def predict(spec: Any = None, /, **keys: Any) -> list[Prediction]:
    """The predicted course of every metric that a theorem speaks about, and the thresholds that apply.

    Takes a spec as `run` does. Runs nothing. Predictors of other packages (slot `predictor`) are asked too.

    >>> found = predict(data={"kind": "gaussian"}, learner={"kind": "gaussian"}, generations=3, seed=0,
    ...                 workflow={"kind": "replace", "sample_size": 20})
    >>> [p.values.round(4).tolist() for p in found if p.metric == "variance" and p.quantity == "mean"]
    [[0.95, 0.9025, 0.8574]]
    """
    from autophage.spec import Spec
    from autophage.theory import predictors

    spec = Spec.of(spec, **keys)
    asked = [predictors.predict, *(registry.find("predictor", k) for k in registry.kinds("predictor"))]
    found: list[Prediction] = []
    for name in spec.agents:
        setting = setting_of(spec, name)
        found += [replace(p, agent=name) for ask in asked for p in ask(setting)]
    return found


def setting_of(spec: Spec, name: str = "main") -> Setting:
    """One agent's loop as plain numbers."""
    agent, source, G = spec.agents[name], spec.data, spec.generations
    workflow, learner = agent.workflow, agent.learner
    labels = _known_labels(source, learner, G) if source.domain == "pairs" else {}
    available = None if source.unlimited else len(source.train())
    real = workflow.start_size(available)
    A, fresh, batches = share_matrix(workflow, G, real)
    sizes = np.array([real, *(_size_at(workflow, t, real) for t in range(1, G))], dtype=np.float64)
    kind = registry.kind_of("workflow", workflow)
    shares = fresh.copy()
    if kind == "keep_real":
        shares = A[:, 0].copy()
    weights = None
    if getattr(workflow, "real_weight", None) is not None:
        weights, shares = fresh, np.array([1.0, *(_fresh_share(workflow, t, real) for t in range(1, G))])
    # With fresh real records the rows of A leave room for them; a predictor that reads A wants rows that sum to one.
    whole = not fresh.any()
    bandwidth = getattr(learner, "bandwidth", None)
    curations = _curations(spec, name)
    return Setting(
        generations=G,
        data_kind=registry.kind_of("data", source),
        data=labels or _known_law(source, real) | _known_rows(source, learner),
        learner_kind=_family(learner),
        ddof=getattr(learner, "ddof", 0),
        covariance=getattr(learner, "covariance", "full"),
        known_variance=getattr(learner, "known_variance", None) or 1.0,
        ridge=float(np.max(labels.get("ridges", getattr(learner, "ridge", 0.0) or 0.0))),
        design=getattr(learner, "design", "fresh"),
        smoothing=float(getattr(learner, "smoothing", 0.0) or 0.0),
        start=getattr(learner, "start", "scratch"),
        bandwidth=bandwidth if isinstance(bandwidth, int | float) else None,
        workflow_kind=kind,
        sizes=sizes,
        real_shares=shares if kind in ("fresh", "keep_real") else None,
        real_weights=weights,
        share_law=None if kind != "fresh" or weights is not None else _falling(as_power(workflow.real_share)),
        size_law=(float(real), 0.0) if workflow.sample_size is None else as_power(workflow.sample_size),
        counts=getattr(workflow, "counts", "mixture"),
        provenance=getattr(workflow, "provenance", "hidden"),
        synthetic_ratio=_constant_ratio(workflow),
        kept=float(workflow._kept(real)) if isinstance(workflow, Mix) else None,
        window=getattr(workflow, "size", None) if kind == "window" else None,
        keep_real=bool(getattr(workflow, "keep_real", False)),
        share_matrix=A if whole else None,
        batch_sizes=batches if whole else None,
        bias=1.0 if agent.sampling.bias is None else agent.sampling.bias,
        temperature=1.0 if agent.sampling.temperature is None else agent.sampling.temperature,
        dim=source.dim,
        initial=spec.initial_model,
        real_fixed=not source.unlimited and not spec.bootstrap,
        agents=len(spec.agents),
        curation=bool(curations) or agent.treatment is not None,
        curations=() if agent.treatment is not None else curations,
        gains=None if curations else _gains(agent.treatment, workflow, G, real),
    )


def _gains(treatment: Any, workflow: Workflow, generations: int, real: int) -> np.ndarray | None:
    """The step of every generation's model towards its fit."""
    if not isinstance(treatment, Gain):
        return None
    return treatment.gains(real, [workflow.plan(t, real) for t in range(1, generations)])


def _curations(spec: Spec, name: str) -> tuple[dict[str, Any], ...]:
    """The curations of an agent as plain values, without those that change nothing."""
    plain = spec.to_dict()["agents"][name]["curation"]
    parts = spec.agents[name].curation
    return tuple(said for said, part in zip(plain, parts, strict=True) if not getattr(part, "idle", False))


def _family(learner: Any) -> str:
    """The learner's kind; a kernel regression is no least squares, whose theorems are not about it."""
    kind = registry.kind_of("learner", learner)
    return kind if getattr(learner, "kernel", "linear") == "linear" else f"kernel_{kind}"


def _known_labels(source: Any, learner: Any, generations: int) -> dict[str, Any]:
    """What is known of a regression: `noise`, `spectrum` and `signal` of the data, and every generation's `ridges` and
    `label_noises`, those of the labels it is fitted to."""
    known: dict[str, Any] = {"noise": source.noise}
    if hasattr(source, "directions"):
        known["spectrum"], known["signal"] = source.directions
    if hasattr(learner, "schedules"):
        known["ridges"], known["label_noises"] = learner.bound_to(source).schedules(generations)
    return known


def _falling(law: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if law is None else (law[0], 0.0 - law[1])


def _known_rows(source: Any, learner: Any) -> dict[str, Any]:
    """The rows of tokens in contexts, where the learner has the data's own contexts."""
    truth: Any = source.truth if source.unlimited else None
    if not hasattr(truth, "rows"):
        return {}
    weights = truth.weights
    own = getattr(learner, "weights", None)
    return {"rows": truth.rows[0], "weights": weights} if own in (None, tuple(weights.tolist())) else {}


def _size_at(workflow: Workflow, t: int, real: int) -> float:
    plan = workflow.plan(t, real)
    if plan.size is not None:
        return plan.size
    if registry.kind_of("workflow", workflow) in ("replace", "keep_real", "fresh"):
        return sum(row.count or 0 for row in plan.rows)
    return plan.new


def _fresh_share(workflow: Workflow, t: int, real: int) -> float:
    """The share of new real records, by their number."""
    rows = workflow.plan(t, real).rows
    return sum(row.count or 0 for row in rows if row.origin == "fresh") / sum(row.count or 0 for row in rows)


def _constant_ratio(workflow: Workflow) -> float | None:
    ratio = getattr(workflow, "synthetic_ratio", None)
    return float(ratio) if isinstance(ratio, int | float) else None


def _known_law(source: Any, real: int) -> dict[str, Any]:
    """The real law's moments or probabilities; of a finite set, those of the records generation 0 is fitted
    to."""
    if not source.unlimited:
        train = source.train()[:real]
        if source.domain == "symbols":
            return {"probabilities": np.bincount(train.x.astype(int), minlength=source.dim) / real}
        flat = train.flat()
        return {"mean": flat.mean(axis=0), "cov": np.atleast_2d(np.cov(flat.T, bias=True))}
    truth = source.truth
    if truth is None:
        return {}
    if hasattr(truth, "probabilities"):
        return {"probabilities": truth.probabilities[0]}
    known = {"mean": truth.mean[0]}
    if hasattr(truth, "covariance"):
        known["cov"] = truth.covariance()[0]
    elif hasattr(truth, "variances"):
        known["cov"] = truth.variances[0]
    return known
