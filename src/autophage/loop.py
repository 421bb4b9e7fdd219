"""The recursion.

    D_0     = real
    m_t     = learner.fit(D_t, start = m_{t-1} or none)
    m_t     = treatment(m_t)
    s_t     = m_t.sample(as many as the next plan asks)
    k_t     = curate(s_t)
    D_{t+1} = execute(workflow.plan(t+1), real, fresh, k_0 .. k_t)

`Loop.step` is this and nothing else. State in, state out: no part changes an earlier generation. A loop of
one model is an ecosystem with one agent (`autophage.ecosystem`); a block of replicates steps together where the
learner fits in closed form.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from autophage import ecosystem
from autophage.checks import check
from autophage.curating import Judged, Proposals, together
from autophage.ecosystem import REAL_RECORDS, AgentSpec, Flow
from autophage.errors import FitFailed
from autophage.evaluation import Evaluation, legal
from autophage.interventions import Treating
from autophage.keys import Key
from autophage.parts import Measurement, Model, SufficientLearner
from autophage.piles import RealData, Records, Summaries
from autophage.samples import Batch, Samples
from autophage.spec import Spec
from autophage.workflows import Plan, takes_parts

BLOCK = 1024
"""Replicates that step together at theory scale; work is split only at block borders."""


@dataclass(frozen=True)
class Block:
    """Consecutive replicates that share one set of random streams."""

    number: int
    first: int
    replicates: int


@dataclass(frozen=True)
class State:
    """Where a block stands: the generation it does next, the newest models, and what there is to train on."""

    block: Block
    generation: int
    models: Mapping[str, Model]
    piles: Mapping[str, Records | Summaries]
    absorbed: Mapping[str, np.ndarray] = field(default_factory=dict)
    """(R,) the generation in which a replicate's model could change no more, or -1."""
    first: Mapping[str, Model] = field(default_factory=dict)
    """Generation 0's models, where a metric looks back at them."""


@dataclass(frozen=True)
class Generation:
    """What one agent did in one generation: the record that runs, metrics and pages see."""

    number: int
    agent: str
    model: Model
    sampler: Model
    """The model as the loop samples it: biased where the spec says so."""
    training_size: int
    real_share: np.ndarray
    kept: Any
    """The curated samples (records), or None where only their statistics exist."""
    measurements: list[Measurement]
    judged: Judged | None = None
    """Examples of what curation kept and dropped (records)."""
    flow: tuple[Flow, ...] = ()
    """Where the records of its training set come from (records)."""


Keep = Callable[[Samples, int, str], Samples]
"""Puts a generation's samples away and returns them as they will be read from then on."""


class Loop:
    """A self-consuming loop as a process: `start` a block, then `step` it generation by generation.

    Takes a `Spec`, or a spec's keys as keywords. Raises `SpecError` when the parts do not fit each other.

    >>> loop = Loop(data={"kind": "gaussian"}, learner={"kind": "gaussian"}, workflow={"kind": "accumulate"})
    >>> state = loop.start(loop.blocks()[0])
    >>> state, (first,) = loop.step(state)
    >>> first.number, first.agent, state.generation
    (0, 'main', 1)
    """

    def __init__(self, spec: Spec | None = None, /, **keys: Any) -> None:
        self.spec = Spec.of(spec, **keys)
        self.source = self.spec.data
        self.agents: Mapping[str, AgentSpec] = {
            name: agent.model_copy(update={"learner": agent.learner.bound_to(self.source)})
            for name, agent in self.spec.agents.items()
        }
        self.order = ecosystem.order(self.agents)
        self.batched = all(getattr(a.learner, "batched", False) for a in self.agents.values())
        available = None if self.source.unlimited else len(self.source.train())
        self.real = {name: a.workflow.start_size(available) for name, a in self.agents.items()}
        self.warnings = [*getattr(self.source, "notes", ()), *check(self.spec, self.agents, self.real)]
        self.memo: dict[Any, Any] = {}
        self.first_models: MutableMapping[tuple[str, int], Model] = {}
        """Generation 0's fits by what they come from, and block; loops that share this mapping fit each of them once."""
        self._plans: dict[tuple[str, int], Plan] = {
            (name, t): a.workflow.plan(t, self.real[name])
            for name, a in self.agents.items()
            for t in range(1, self.spec.generations)
        }
        # Agents that get new real records some time: for them even a point mass is no end.
        self._renewed = {
            name
            for (name, _), plan in self._plans.items()
            if any(row.origin == "fresh" and row.count and row.share != 0 for row in plan.rows)
        }
        for name, a in self.agents.items():
            for curation in a.curation:
                self.warnings += curation.notes(a.learner, self.source) if hasattr(curation, "notes") else []
            if a.treatment is not None and hasattr(a.treatment, "notes"):
                plans = [self._plans[name, t] for t in range(1, self.spec.generations)]
                self.warnings += a.treatment.notes(self.real[name], plans)
        self.agents = {name: _working(agent) for name, agent in self.agents.items()}
        self.paths = {name: self._path(name) for name in self.agents}

    @property
    def citations(self) -> tuple[str, ...]:
        parts = [self.source, *self.spec.metrics]
        for a in self.agents.values():
            parts += [a.learner, a.workflow, *a.curation, *([a.treatment] if a.treatment else [])]
        return tuple(dict.fromkeys(c for p in parts for c in getattr(p, "citation", ())))

    def _path(self, name: str) -> str:
        """How an agent's training sets are made: "records", or at theory scale "samples" or "statistics"."""
        agent = self.agents[name]
        learner = agent.learner
        if not self.batched:
            return "records"
        own = all(f.from_ == name and f.to == name for f in self.spec.feeds if name in (f.from_, f.to))
        plans = [self.plan(name, t) for t in range(1, self.spec.generations)]
        parts = any(takes_parts(plan, self.real[name]) for plan in plans if plan is not None)
        if not isinstance(learner, SufficientLearner) or agent.curation or parts or not own:
            return "records"
        covered = learner.has_law and all(
            learner.law_covers(p, self.real[name]) for p in plans if p is not None
        )
        return "statistics" if learner.path != "samples" and covered else "samples"

    def blocks(self) -> list[Block]:
        """How the replicates are split: 1,024 together at theory scale, one by one at deep scale."""
        size, n = (BLOCK if self.batched else 1), self.spec.replicates
        return [Block(i, low, min(size, n - low)) for i, low in enumerate(range(0, n, size))]

    def key(self, block: Block) -> Key:
        return Key(self.spec.seed) / "block" / block.number

    def start(self, block: Block) -> State:
        """The state before generation 0: the real records are drawn, nothing is fitted."""
        real_key = self.key(block) / "real"
        piles: dict[str, Records | Summaries] = {}
        for name, agent in self.agents.items():
            data = self._real_data(name, block)
            if self.paths[name] == "records":
                segmented = getattr(agent.learner, "segmented", False)
                relabelled = getattr(agent.learner, "relabels", False)
                piles[name] = Records(
                    data,
                    agent.workflow,
                    data.first(real_key),
                    segmented=segmented,
                    relabelled=relabelled,
                )
                continue
            piles[name] = self._summaries(name, data, real_key)
        return State(block, 0, {}, piles)

    def _real_data(self, name: str, block: Block) -> RealData:
        """Where an agent gets its real records: where all do, or, from its chain's own part of them."""
        reuse, skip, used = getattr(self.agents[name].workflow, "reuse", False), 0, self.real[name]
        if self.spec.real_parts == "own":
            sizes = ecosystem.begins(self.agents, self.real)
            at = list(sizes).index(ecosystem.root(self.agents, name))
            skip, used = sum(list(sizes.values())[:at]), sum(sizes.values())
        return RealData(
            self.source,
            self.real[name],
            block.replicates,
            self.batched,
            self.spec.bootstrap,
            reuse,
            skip,
            used,
            any(a.given is not None for a in self.agents.values()),
        )

    def _summaries(self, name: str, data: RealData, key: Key) -> Summaries:
        agent, exact = self.agents[name], self.paths[name] == "statistics"
        law = agent.learner.law(self.source.truth) if exact and self.source.unlimited else None
        if law is not None and not self._compares_with_training:
            real = agent.learner.refit(law.spread(data.replicates), data.size, key / name)
            return Summaries(data, agent.workflow, agent.learner, exact, law, real)
        records = data.first(key)
        real = agent.learner.summarize(records)
        kept = records if self._compares_with_training or agent.learner.relabels else None
        return Summaries(data, agent.workflow, agent.learner, exact, law, real, records=kept)

    @property
    def _compares_with_training(self) -> bool:
        return any(getattr(m, "against", "") == "train" or "train" in m.needs for m in self.spec.metrics)

    def step(self, state: State, keep: Keep | None = None) -> tuple[State, list[Generation]]:
        """One generation of every agent. Raises `FitFailed` when a learner diverges; the state is then
        unchanged."""
        t, block = state.generation, state.block
        here = self.key(block) / "generation" / t
        last = t + 1 == self.spec.generations
        models, done = dict(state.models), []
        drawn: dict[str, Any] = {}
        views: dict[str, Evaluation] = {}
        for name in self.order:
            key = here / name
            data, real_share, chosen = self._training_set(name, state, key)
            models[name], treated = self._fit(name, data, state, key)
            sampler = self._sampler(name, models[name])
            drawn[name], notes, judged = (
                (None, {}, None) if last else self._drawn(name, sampler, state, models, key, keep, drawn)
            )
            notes = together(chosen.notes if chosen else {}, treated, notes)
            views[name] = Evaluation(
                self, state, name, models[name], sampler, real_share, key / "evaluate", notes, views
            )
            record = self._record(views[name], data, drawn[name])
            done.append(replace(record, judged=judged or (chosen.judged(data) if chosen else None)))
        first = state.first if t or not self._looks_back else dict(models)
        if last:
            return replace(
                state, generation=t + 1, models=models, absorbed=self._absorbed(state, models), first=first
            ), done
        piles = {name: self._grown(name, state, drawn) for name in self.agents}
        return State(block, t + 1, models, piles, self._absorbed(state, models), first), done

    @property
    def _looks_back(self) -> bool:
        parts: list[Any] = list(self.spec.metrics)
        for agent in self.agents.values():
            parts += [*agent.curation, agent.treatment]
        based = any(getattr(a.learner, "start", "") == "base" or a.frozen for a in self.agents.values())
        return based or any("first" in getattr(part, "needs", ()) for part in parts)

    def _training_set(self, name: str, state: State, key: Key) -> tuple[Any, Any, Proposals | None]:
        """What a generation is fitted to: its plan executed, and of that what curations of training sets choose; the share
        of real records in it, and the curations' context."""
        pile = state.piles[name]
        data, share = pile.training_set(self.plan(name, state.generation), key / "data")
        choosing = [c for c in self.agents[name].curation if getattr(c, "on", "new") == "training_set"]
        if not choosing or state.generation == 0:
            return data, share, None
        context = Proposals(
            self,
            name,
            state.generation,
            self._sampler(name, state.models[name]),
            pile.real,
            0,
            None,
            key / "choice",
            lambda: self.first(state, name),
            state.block.number,
        )
        data = context.curated(Samples.join(data) if isinstance(data, list) else data, choosing)
        return data, data.real_share(), context

    def first(self, state: State, name: str) -> Model:
        """Generation 0's model of an agent; fitted again, to the same numbers, where it was not kept."""
        return state.first.get(name) or self._refitted(name, self.start(state.block))

    def _refitted(self, name: str, state: State) -> Model:
        """The model of the state's generation once more."""
        key = self.key(state.block) / "generation" / state.generation / name
        data, _, _ = self._training_set(name, state, key)
        return self._fit(name, data, state, key)[0]

    def leaps(self) -> bool:
        """Whether generations can pass unseen inside the learner: nothing is measured, curated, shared or
        mixed."""
        (name, agent), *others = self.agents.items()
        plain = not (others or self.spec.metrics or agent.treatment or agent.sampling.chosen())
        plain = plain and agent.learner.in_generation(1) is agent.learner
        plain = plain and (self.paths[name] == "statistics" or not agent.learner.relabels)
        if not plain or self.paths[name] == "records" or self.spec.generations < 2:
            return False
        plan = self.plan(name, 1)
        return (
            plan is not None
            and len(plan.rows) == 1
            and plan.rows[0].origin == "synthetic"
            and not agent.workflow.pooled
        )

    def leap(self, state: State) -> State:
        """To the last generation at once, from a state that has done at least one; the same numbers as `step`
        gives."""
        (name, agent), last = next(iter(self.agents.items())), self.spec.generations - 1
        here, newest = self.key(state.block) / "generation", state.generation - 1
        counts = [self.plan(name, t + 1).new for t in range(newest, last)]  # type: ignore[union-attr]
        exact = self.paths[name] == "statistics"
        below = ("sample",) if exact else ("sample", "sample")
        keys = [here / t / name / below for t in range(newest, last)]
        frozen = state.absorbed.get(name, np.full(state.block.replicates, -1))
        model, frozen = agent.learner.chain(state.models[name], counts, keys, frozen, state.generation, exact)
        absorbed = {name: frozen} if (frozen >= 0).any() else {}
        return replace(state, generation=last + 1, models={name: model}, absorbed=absorbed)

    def resumed(
        self,
        block: Block,
        done: int,
        samples: Callable[[int, str], Samples | None],
        stored: Callable[[Any, int, str], Model | None],
        absorbed: Mapping[str, np.ndarray],
    ) -> State:
        """The state after `done` generations, from what they left behind. Models that could not be stored are
        refitted, where a warm start needs them."""
        state = self.start(block)
        first: dict[str, Model] = {}
        if done and self._looks_back:
            for name, agent in self.agents.items():
                first[name] = stored(agent.learner, 0, name) or self._refitted(name, state)
        for t in range(done):
            models: dict[str, Model] = {}
            for name, agent in self.agents.items():
                choosing = any(getattr(c, "on", "new") == "training_set" for c in agent.curation)
                asked = agent.treatment is not None or getattr(agent.learner, "start", "") == "previous"
                asked = asked or choosing
                if not asked and name not in absorbed:
                    continue  # no later fit will ask for it
                model = stored(agent.learner, t, name) if t == done - 1 else None
                if model is None and stored(agent.learner, done - 1, name) is None:
                    model = self._refitted(name, state)
                if model is not None:
                    models[name] = model
            piles = state.piles
            if t + 1 < self.spec.generations:
                drawn = {name: samples(t, name) for name in self.agents}
                piles = {name: self._grown(name, state, drawn) for name in self.agents}
            state = State(block, t + 1, models, piles, absorbed, first)
        return state

    def plan(self, name: str, t: int) -> Plan | None:
        """Generation t's plan; generation 0 has none: it is fitted to real data only."""
        return self._plans[name, t] if t else None

    def _fit(self, name: str, data: Any, state: State, key: Key) -> tuple[Model, Mapping[str, np.ndarray]]:
        """The generation's model after its treatment, and what the treatment noted."""
        agent, t = self.agents[name], state.generation
        learner, previous = agent.learner.in_generation(t), state.models.get(name)
        origin = (self._origin(name), state.block.number) if t == 0 and not self.batched else None
        start = previous if learner.start == "previous" else None
        if learner.start == "base" and t:
            start = self.first(state, name)
        if t == 0 and self.spec.initial_model is not None:
            model = learner.initial(self.spec.initial_model, self.source.dim)
        elif self.paths[name] in ("samples", "statistics"):
            model = learner.estimate(data, start=start)
        elif origin is not None and origin in self.first_models:
            model = self.first_models[origin]
        else:
            model = learner.fit(data, start=start, key=key / "fit")
            if origin is not None:
                self.first_models[origin] = model
        if self.batched and model.replicates < state.block.replicates:
            model = model.spread(state.block.replicates)
        frozen = state.absorbed.get(name)
        if frozen is not None and (frozen >= 0).any():
            model = model.frozen(frozen >= 0, state.models[name])
        if agent.treatment is None:
            return model, {}
        plans = [self._plans[name, i] for i in range(1, t + 1)]
        treating = Treating(
            t,
            name,
            previous,
            self.real[name],
            plans,
            key / "treatment",
            learner,
            self.source,
            agent.sampling,
            getattr(state.piles[name], "real", None),
            data,
            (lambda: self.first(state, name)) if t else None,
            self.memo,
            state.block.number,
        )
        return agent.treatment.apply(model, context=treating), treating.noted

    def _origin(self, name: str) -> str:
        """All that decides generation 0's fit, its block apart."""
        body = self.spec.to_dict()
        later = getattr(self.agents[name].learner, "later", ())
        learner = {k: v for k, v in body["agents"][name]["learner"].items() if k not in later}
        parts = (body["data"], learner, body["seed"], body["bootstrap"], self.spec.real_parts)
        return json.dumps([*parts, self.real[name], name], sort_keys=True, default=str)

    def _sampler(self, name: str, model: Model) -> Model:
        sampling = self.agents[name].sampling
        return model.tuned(sampling) if sampling.chosen() else model

    def _drawn(
        self,
        name: str,
        sampler: Model,
        state: State,
        models: Mapping[str, Model],
        key: Key,
        keep: Keep | None,
        drawn: Mapping[str, Any],
    ) -> tuple[Any, Mapping[str, np.ndarray], Judged | None]:
        """What the newest model gives to those who train on it next: as many records as the largest plan
        asks; what curation noted on the way, and examples of what it judged."""
        pile, t, agent = state.piles[name], state.generation, self.agents[name]
        if agent.frozen and t:
            sampler = self._sampler(name, self.first(state, name))
        consumers = ecosystem.needed(self.agents, self._feeding, name)
        plans = [self.plan(consumer, t + 1) for consumer in consumers]
        plan = max((p for p in plans if p is not None), key=lambda p: p.new)
        if isinstance(pile, Summaries):
            return pile.sampled(sampler, plan, key / "sample"), {}, None
        if plan.new == 0:
            return None, {}, None
        curations = [c for c in agent.curation if getattr(c, "on", "new") == "new"]
        for curation in curations:
            sampler = curation.sampler(sampler) if hasattr(curation, "sampler") else sampler
        given = self._given(name, pile, plan.new, drawn)
        n = plan.new if given is None else len(given)
        samples = self._stamped(name, pile.sampled(sampler, n, key / "sample", given), n, t, given)
        notes: Mapping[str, np.ndarray] = {}
        judged: Judged | None = None
        if curations:

            def more(n: int, stream: Key) -> Any:
                again = None if given is None else given.cycled(n)
                return self._stamped(name, pile.sampled(sampler, n, stream, again), n, t, again)

            def first() -> Model:
                return self.first(state, name) if t else models[name]

            below = key / "curation"
            context = Proposals(
                self, name, t, sampler, pile.real, len(samples), more, below, first, state.block.number
            )
            samples = context.curated(samples, curations)
            notes, judged = context.notes, context.judged(samples)
        if keep is not None and isinstance(samples, Samples):
            samples = keep(samples, t, name)
        return samples, notes, judged

    def _given(self, name: str, pile: Any, n: int, drawn: Mapping[str, Any]) -> Samples | None:
        """The records that an agent's model is given, n or as many as there are; None where it is given none."""
        source = self.agents[name].given
        if source is None:
            return None
        if source == REAL_RECORDS:
            return pile.real.cycled(n)
        if drawn[source] is None:
            raise FitFailed(f"{source} made no records that {name} could be given")
        return drawn[source][:n]

    def _stamped(self, name: str, samples: Any, n: int, t: int, given: Samples | None = None) -> Any:
        """Samples of a model as records of the loop: enough of them, finite, legal, and with their origin."""
        if len(samples) < n:
            raise FitFailed(f"the model of {name} gave {len(samples)} records, {n} were asked for")
        x = samples.x if isinstance(samples, Batch) else np.asarray(samples.fields["x"])
        if x.dtype.kind == "f" and not np.isfinite(x).all():
            raise FitFailed("the model's samples are not finite")
        if isinstance(samples, Batch):
            return Batch.of(samples.x, generation=t, agent=name)
        samples = legal(self.source, samples)
        if given is not None:
            ecosystem.check_descriptions(name, samples, getattr(self.source, "classes", None))
            samples = Samples({**samples.fields, "source": ecosystem.origins(given)}, *samples.columns)
        return samples.stamped(generation=t, agent=name)

    def _feeding(self, name: str) -> list[tuple[str, float]]:
        """Whose samples an agent trains on, and their shares; its own where nothing is said."""
        return [(f.from_, f.share) for f in self.spec.feeds if f.to == name] or [(name, 1.0)]

    def _grown(self, name: str, state: State, drawn: Mapping[str, Any]) -> Records | Summaries:
        pile, plan = state.piles[name], self.plan(name, state.generation + 1)
        assert plan is not None
        if isinstance(pile, Summaries):
            return pile.grown(drawn[name], _fresh(plan))  # its next set is mixed already
        fresh = _fresh(self.plan(name, state.generation))
        pieces = [
            (drawn[source], share) for source, share in self._feeding(name) if drawn[source] is not None
        ]
        if len(pieces) == 1 and pieces[0][1] == 1.0 and len(pieces[0][0]) <= plan.new:
            return pile.grown(pieces[0][0], fresh)
        counts = ecosystem.portions([share for _, share in pieces], plan.new)
        key = self.key(state.block) / "generation" / state.generation / name / "feed"
        parts: list[Any] = [
            b.first(n) if self.batched else _picked(b, n, key / i)
            for i, ((b, _), n) in enumerate(zip(pieces, counts, strict=True))
        ]
        if not parts:
            return pile.grown(_nothing(pile.real), fresh)
        return pile.grown(Batch.join(parts) if self.batched else Samples.join(parts), fresh)

    def _absorbed(self, state: State, models: Mapping[str, Model]) -> Mapping[str, np.ndarray]:
        result = dict(state.absorbed)
        for name, model in models.items():
            stuck = None if name in self._renewed else model.absorbed()
            if stuck is not None and stuck.any():
                before = result.get(name, np.full(state.block.replicates, -1))
                result[name] = np.where((before < 0) & stuck, state.generation, before)
        return result

    def _record(self, view: Evaluation, data: Any, drawn: Any) -> Generation:
        share = np.broadcast_to(np.asarray(view.real_share, dtype=np.float64), (view.replicates,))
        measurements: list[Measurement] = []
        for metric in self.spec.metrics:
            # What describes others' records makes none of its own.
            if not view.describes or metric.of_descriptions or "samples" not in metric.needs:
                measurements += metric.measure(view)
        kept = None if isinstance(drawn, tuple) else drawn
        return Generation(
            view.generation,
            view.agent,
            view.model,
            view.sampler,
            _count(data),
            share,
            kept,
            measurements,
            flow=ecosystem.flows(data),
        )


def _fresh(plan: Plan | None) -> int:
    """How many new real records a plan's set takes."""
    return 0 if plan is None else sum(row.count or 0 for row in plan.rows if row.origin == "fresh")


def _working(agent: AgentSpec) -> AgentSpec:
    """The agent without curations and treatments that change nothing: they must not cost it its path."""
    curation = tuple(c for c in agent.curation if not getattr(c, "idle", False))
    treatment = None if getattr(agent.treatment, "idle", False) else agent.treatment
    return agent.model_copy(update={"curation": curation, "treatment": treatment})


def _count(data: Any) -> int:
    if isinstance(data, list):
        return sum(len(d) for d in data)
    if isinstance(data, Samples | Batch):
        return len(data)
    return int(np.max(data.count))


def _picked(samples: Samples, n: int, key: Key) -> Samples:
    """n of an agent's records, those that another one takes: everybody draws its own."""
    if n >= len(samples):
        return samples
    return samples[np.sort(key.generator().permutation(len(samples))[:n])]


def _nothing(real: Any) -> Any:
    return real.first(0) if isinstance(real, Batch) else real[:0]
