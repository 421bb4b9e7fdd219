"""Whether the parts of a spec fit each other: checked before any work, refused in one sentence."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any

import numpy as np

from autophage import registry
from autophage.ecosystem import begins, real_used
from autophage.errors import SpecError, UserError
from autophage.parts import Model
from autophage.piles import planned_fresh
from autophage.schedules import as_power
from autophage.spec import Spec
from autophage.workflows import takes_parts


def check(spec: Spec, agents: Mapping[str, Any], real: Mapping[str, int]) -> list[str]:
    """Raises `SpecError` at the first misfit; returns warnings. `agents` are the spec's with their learners as
    the run uses them, `real` the size of each one's generation 0."""
    warnings: list[str] = []
    _parts_of_the_real(spec, agents, real)
    for name, agent in agents.items():
        where = f"agents.{name}." if len(spec.agents) > 1 else ""
        _learner(spec, agent, where)
        _interventions(spec, agent, where)
        warnings += agent.workflow.check(spec.generations, real[name])
        _weights(spec, agent, real[name], where)
        _sizes(spec, agent, real[name], where)
        _fresh(spec, agent, real[name], _begun(spec, agents, real, name), where)
        _statistics(spec, name, agent, real[name], where)
        warnings += _total_collapse(spec, name, agent, where)
    batched = {bool(getattr(a.learner, "batched", False)) for a in agents.values()}
    if len(batched) > 1:
        names = {n: registry.kind_of("learner", a.learner) for n, a in agents.items()}
        raise SpecError(
            f"agents of closed-form and of sampled learners cannot share one loop: {names}; "
            "wrap the closed-form one as an estimator"
        )
    _metrics(spec, agents, real)
    return warnings


def _parts_of_the_real(spec: Spec, agents: Mapping[str, Any], real: Mapping[str, int]) -> None:
    """Chains that begin with real records of their own need enough of them."""
    if spec.data.unlimited:
        return
    needed, available = _begun(spec, agents, real, next(iter(agents))), len(spec.data.train())
    if needed > available:
        raise SpecError(
            f"the ecosystem's chains ask for {needed} real records of their own but the training part has {available}; set "
            "workflow.initial_size lower, or share them (real_parts: shared)"
        )


def _begun(spec: Spec, agents: Mapping[str, Any], real: Mapping[str, int], name: str) -> int:
    """Real records that an agent cannot get as fresh ones, since generation 0 has had them."""
    if spec.real_parts == "shared":
        return real[name]
    return sum(begins(agents, real).values())


def _learner(spec: Spec, agent: Any, where: str) -> None:
    learner, domain = agent.learner, spec.data.domain
    kind = registry.kind_of("learner", learner)
    domains = getattr(learner, "domains", frozenset({"vectors"}))
    if domain not in domains:
        would = [k for k in registry.kinds("learner") if domain in _domains_of(k)]
        raise SpecError(
            f"{where}learner {kind} fits {' or '.join(sorted(domains))} but data "
            f"{registry.kind_of('data', spec.data)} gives {domain}; learners that would do: {', '.join(would)}"
        )
    unknown = set(agent.sampling.chosen()) - set(getattr(learner, "sampling_keys", ()))
    if unknown:
        known = ", ".join(sorted(getattr(learner, "sampling_keys", ()))) or "none"
        raise SpecError(
            f"{where}sampling.{min(unknown)} is not understood by learner {kind}; it takes: {known}"
        )
    if hasattr(learner, "check_sampling"):
        learner.check_sampling(agent.sampling)
    start = getattr(learner, "start", "scratch")
    if start != "scratch" and not getattr(learner, "warm_starts", False):
        raise SpecError(f"{where}learner.start is `{start}` but learner {kind} always fits from scratch")
    if getattr(learner, "needs_labels", False) and "label" not in spec.data.reference().fields:
        raise SpecError(
            f"{where}learner {kind} needs labels and data {registry.kind_of('data', spec.data)} has none"
        )
    if getattr(learner, "needs_captions", False) and "caption" not in spec.data.reference().fields:
        raise SpecError(
            f"{where}learner {kind} needs captions and data {registry.kind_of('data', spec.data)} has none; take data that have, "
            "such as scenes or captioned_images, or set data.captions: classes"
        )
    if getattr(learner, "needs_captions", False):
        captions = spec.data.reference().fields["caption"]
        if len(np.unique(np.asarray(captions))) < 2:
            raise SpecError(
                f"{where}learner {kind} needs at least two different captions, and all held-out ones of data "
                f"{registry.kind_of('data', spec.data)} are '{np.asarray(captions)[0]}'"
            )
    if agent.given is not None:
        _given(spec, agent, kind, where)
    if spec.initial_model is not None and not hasattr(learner, "initial"):
        raise SpecError(f"initial_model is given but learner {kind} cannot start from a known law")
    if spec.initial_model is not None:
        learner.initial(spec.initial_model, spec.data.dim)
    if kind == "gaussian" and learner.covariance == "full" and not learner.ridge:
        _full_rank(spec)


def _given(spec: Spec, agent: Any, kind: str, where: str) -> None:
    """Only models that can be told what to describe, or what to paint, are given records."""
    learner = agent.learner
    able = ("describes", "needs_captions", "conditional")
    if getattr(learner, "batched", False) or not any(getattr(learner, key, False) for key in able):
        raise SpecError(
            f"{where}given is `{agent.given}` but models of learner {kind} cannot be given records; leave it out, or take a "
            "learner that describes or is conditional, such as captioner, classifier or text_to_image"
        )
    source = spec.agents.get(agent.given)
    if source is not None and getattr(learner, "describes", False):
        return
    if source is not None and not getattr(source.learner, "describes", False):
        raise SpecError(
            f"{where}given names {agent.given}, which makes records of its own; an agent that paints is given the records of one "
            "that describes"
        )


def _interventions(spec: Spec, agent: Any, where: str) -> None:
    """Curation and treatment say themselves what they cannot work with."""
    for i, curation in enumerate(agent.curation):
        kind = registry.kind_of("curation", curation)
        if getattr(curation, "weighs", False) and not getattr(agent.learner, "weighted", False):
            raise SpecError(_no_weights(agent, f"{where}curation[{i}]: {kind}"))
        if getattr(curation, "on", "new") == "training_set" and getattr(agent.learner, "batched", False):
            raise SpecError(
                f"{where}curation[{i}]: {kind} chooses among the records of a training set, and learner "
                f"{registry.kind_of('learner', agent.learner)} works on a thousand replicates at once; take a learner of "
                "one replicate, such as class_gaussian or diffusion"
            )
        if hasattr(curation, "check"):
            curation.check(agent.learner, spec.data)
        if hasattr(curation, "check_sampling"):
            curation.check_sampling(agent.learner, agent.sampling)
    if agent.treatment is not None and hasattr(agent.treatment, "check"):
        agent.treatment.check(agent.learner, agent.workflow)


def _weights(spec: Spec, agent: Any, real: int, where: str) -> None:
    """A workflow that weighs its rows is refused with a learner that would pass over the weights."""
    if getattr(agent.learner, "weighted", False):
        return
    plans = (agent.workflow.plan(t, real) for t in range(1, spec.generations))
    if any(row.weight is not None for plan in plans for row in plan.rows):
        raise SpecError(_no_weights(agent, f"{where}workflow {registry.kind_of('workflow', agent.workflow)}"))


def _no_weights(agent: Any, giver: str) -> str:
    would = [k for k in registry.kinds("learner") if _weighted(k)]
    return (
        f"{giver} gives records weights, and learner {registry.kind_of('learner', agent.learner)} takes none; "
        f"learners that do: {', '.join(would)}"
    )


def _weighted(kind: str) -> bool:
    try:
        return bool(getattr(registry.find("learner", kind), "weighted", False))
    except UserError:  # one that is not installed will not do either
        return False


def _total_collapse(spec: Spec, name: str, agent: Any, where: str) -> list[str]:
    """A warning where a loop that asks for fresh real records gets none, for ever, and its size does not make up for
    it. (Where the share only falls too fast, the verdict names the regime.)"""
    kind = registry.kind_of("workflow", agent.workflow)
    law = as_power(agent.workflow.real_share) if kind == "fresh" else None
    if law is None or law[0] != 0:
        return []
    from autophage.theory.predict import setting_of
    from autophage.theory.predict_contaminated import METRIC, regime

    setting = setting_of(spec, name)
    found = regime(setting)
    if found is None or found.name != "collapses":
        return []
    return [
        f"{where}workflow fresh: {found.row}; the limit is total collapse, {METRIC[setting.learner_kind]} "
        f"{found.level:.5g}"
    ]


def _full_rank(spec: Spec) -> None:
    """A full covariance of columns that are constant, or that sum to one, is singular."""
    mend = "set learner.ridge above zero, or take learner.covariance: diagonal"
    constant = getattr(spec.data, "constant_columns", ())
    if constant:
        raise SpecError(
            f"column '{constant[0]}' is constant, so a full covariance is singular; drop it (data.columns), {mend}"
        )
    levels = [c.name for c in getattr(spec.data, "layout", ()) if c.levels is not None]
    if levels:
        raise SpecError(
            f"column '{levels[0]}' is categorical, and its 0/1 entries sum to one, so a full covariance is singular; {mend}"
        )


def _domains_of(kind: str) -> frozenset[str]:
    try:
        return registry.find("learner", kind).domains
    except UserError:  # one that is not installed will not do either
        return frozenset()


def _sizes(spec: Spec, agent: Any, real: int, where: str) -> None:
    smallest = agent.learner.smallest(spec.data.dim) if hasattr(agent.learner, "smallest") else 1
    kind = registry.kind_of("learner", agent.learner)
    if real < smallest and spec.initial_model is None:
        raise SpecError(
            f"generation 0 is fitted to {real} real records but {where}learner {kind} needs at least {smallest} "
            f"in {spec.data.dim} dimensions"
        )
    sized = getattr(agent.learner, "check_size", None)
    if sized is not None and spec.initial_model is None:
        sized(real, spec.data.dim, 0)
    total = float(real)
    ends = [0.0, total]  # running total of batch sizes: batches a..b hold ends[b + 1] - ends[a]
    for t in range(1, spec.generations):
        plan = agent.workflow.plan(t, real)
        total += plan.new
        ends.append(total)
        if plan.size is not None:
            n = float(plan.size)
        elif all(row.count is not None for row in plan.rows):
            n = float(sum(row.count or 0 for row in plan.rows))
        else:
            n = sum(_rows(row, real, ends) for row in plan.rows)
        if n < smallest:
            raise SpecError(
                f"{where}workflow plans {n:g} records at t = {t} but learner {kind} needs at least {smallest} "
                f"in {spec.data.dim} dimensions"
            )
        if sized is not None:
            sized(n, spec.data.dim, t)
        if plan.draw == "subsample" and n > total:
            raise SpecError(f"{where}workflow draws {n:g} records at t = {t} from a pile of {total:g}")


def _rows(row: Any, real: int, ends: list[float]) -> float:
    if row.count is not None:
        return float(row.count)
    if row.origin == "real":
        return float(real)
    return ends[row.last + 2] - ends[row.first + 1]


def _fresh(spec: Spec, agent: Any, real: int, begun: int, where: str) -> None:
    if spec.data.unlimited or getattr(agent.workflow, "reuse", False):
        return
    needed = planned_fresh(agent.workflow, spec.generations, real)
    left = len(spec.data.train()) - begun
    if needed > left:
        raise SpecError(
            f"{where}workflow asks for up to {needed} fresh real records over {spec.generations} generations but the data "
            f"has {left} beyond the {begun} of generation 0; set workflow.initial_size lower or workflow.reuse: true"
        )


def _statistics(spec: Spec, name: str, agent: Any, real: int, where: str) -> None:
    """`path: statistics` said outright is refused where only records will do, not passed over."""
    if getattr(agent.learner, "path", "auto") != "statistics":
        return
    kind = registry.kind_of("workflow", agent.workflow)
    if not getattr(agent.learner, "has_law", True):
        reason = "its refit has no closed law with these settings"
    elif not all(getattr(c, "idle", False) for c in agent.curation):
        reason = "curation works on records"
    elif any(takes_parts(agent.workflow.plan(t, real), real) for t in range(1, spec.generations)):
        reason = f"workflow {kind} takes part of a batch, which only records can give"
    elif not all(
        agent.learner.law_covers(agent.workflow.plan(t, real), real) for t in range(1, spec.generations)
    ):
        reason = f"the law of its refit does not cover the sizes that workflow {kind} asks for"
    elif any((f.from_ == name) != (f.to == name) for f in spec.feeds):
        reason = "agents feed each other records"
    else:
        return
    raise SpecError(f"{where}learner.path is `statistics` but {reason}; take `auto` or `samples`")


def _metrics(spec: Spec, agents: Mapping[str, Any], real: Mapping[str, int]) -> None:
    for i, metric in enumerate(spec.metrics):
        kind = registry.kind_of("metric", metric)
        domains = getattr(metric, "domains", None)
        if domains is not None and spec.data.domain not in domains:
            raise SpecError(
                f"metrics[{i}]: {kind} measures {' or '.join(sorted(domains))}, the data are {spec.data.domain}"
            )
        needs: frozenset[str] = getattr(metric, "needs", frozenset())
        if "truth" in needs and spec.data.truth is None:
            raise SpecError(
                f"metrics[{i}]: {kind} needs the true law, and data {registry.kind_of('data', spec.data)} has only records"
            )
        if "labels" in needs and "label" not in spec.data.reference().fields:
            raise SpecError(f"metrics[{i}]: {kind} needs labels, and the data have none")
        if hasattr(metric, "check"):
            metric.check(spec.data)
        if hasattr(metric, "check_real"):
            metric.check_real(spec.data, real_used(spec, real))
        readable = [a for a in agents.values() if not _lacking(metric, a.learner)]
        if not (getattr(metric, "of_some", False) and readable):
            for agent in agents.values():
                _reads(i, kind, metric, agent.learner)
        for agent in agents.values():
            if "log_prob" in needs and not getattr(agent.learner, "has_log_prob", False):
                raise SpecError(
                    f"metrics[{i}]: {kind} needs a density, and learner {registry.kind_of('learner', agent.learner)} has none"
                )


def _reads(i: int, kind: str, metric: Any, learner: Any) -> None:
    """A metric of fitted models is refused where the learner's models lack what it reads."""
    if lacking := _lacking(metric, learner):
        raise SpecError(
            f"metrics[{i}]: {kind} reads {' and '.join(lacking)} of the fitted model, and models of learner "
            f"{registry.kind_of('learner', learner)} have no such thing; measure their samples instead"
        )


def _lacking(metric: Any, learner: Any) -> list[str]:
    """What the learner's models lack of what a metric reads of them."""
    model = _model_class(learner)
    return metric.lacking(model) if model is not None and hasattr(metric, "lacking") else []


def _model_class(learner: Any) -> type | None:
    """What a learner's fit says it returns, where that is more than `Model`."""
    for name in ("estimate", "fit"):
        method = getattr(type(learner), name, None)
        if method is None:
            continue
        try:
            found = typing.get_type_hints(method).get("return")
        except NameError:  # a hint that only a type checker can resolve
            continue
        if isinstance(found, type) and issubclass(found, Model) and found is not Model:
            return found
    return None
