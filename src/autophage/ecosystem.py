"""Who feeds whom: the agents of a loop, the chains they form, and the shares that flow.

An agent whose models describe what another one made (`given`) stands after it in a chain: painter -> captioner. What the end
of a chain gives, pictures with their captions, is what everybody trains on:

    own      each agent trains on what its own chain gives
    ring     each chain trains on what the one before it gives
    pooled   each agent trains on equal shares of what all chains give

or `feeds` names every arrow. A loop of one model is an ecosystem of one chain of one agent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pydantic

from autophage import registry
from autophage.errors import FitFailed, SpecError
from autophage.intake import refuse_unknown, sentence
from autophage.parts import Sampling
from autophage.samples import REAL, Samples, Segments

REAL_RECORDS = "real"
"""What `given` says where models are given real records."""
EXCHANGES = ("own", "ring", "pooled")


class Feed(pydantic.BaseModel):
    """One arrow of an ecosystem: of the synthetic records that agent `to` trains on, `share` come from agent
    `from`."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    from_: str = pydantic.Field(alias="from")
    to: str
    share: float = 1.0


class AgentSpec(pydantic.BaseModel):
    """One learner of the loop with its own workflow and curation."""

    model_config = pydantic.ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True, use_attribute_docstrings=True
    )
    learner: Any
    workflow: Any
    curation: tuple[Any, ...] = ()
    treatment: Any = None
    sampling: Sampling = Sampling()
    given: str | None = None
    """Whose records of the same generation its models are given, to describe them or to paint their captions: an agent's
    name, or `real` for the real records."""
    frozen: bool = False
    """What it gives to others comes from generation 0's model; its own model is fitted again all the same."""


class Flow(NamedTuple):
    """Records of one origin in a training set."""

    agent: str
    """Who gave them; empty for real records."""
    generation: int
    """In which generation; -1 for real records."""
    source: str
    """Of records that were described: whose they were, as `agent/generation`, or `real`; else empty."""
    share: float
    """Of the training set, by weight."""


def named(given: Mapping[str, Any]) -> dict[str, Any]:
    """The agents of a spec by their names, `copies` written out: `painter` of three copies becomes `painter_1` to `painter_3`,
    and a copy that is given another copied agent is given the one of its own number.

    >>> list(named({"a": {"learner": "kde"}, "b": {"learner": "flow", "copies": 2}}))
    ['a', 'b_1', 'b_2']
    """
    counts: dict[str, int] = {}
    for name, body in given.items():
        if not re.fullmatch(r"\w[\w.-]*", str(name)) or name == REAL_RECORDS:
            raise SpecError(
                f"agents has a name {str(name)!r}; names become folders: letters, digits, _ . and - only, and not `real`"
            )
        copies = body.get("copies", 1) if isinstance(body, Mapping) else 1
        if isinstance(copies, bool) or not isinstance(copies, int) or copies < 1:
            raise SpecError(f"agents.{name}.copies is {copies!r}; it must be a whole number of at least 1")
        counts[str(name)] = copies
    found: dict[str, Any] = {}
    for name, body in given.items():
        copied = isinstance(body, Mapping) and "copies" in body
        for i in range(1, counts[str(name)] + 1):
            one = f"{name}_{i}" if copied else str(name)
            if one in found:
                raise SpecError(f"agents has two of the name '{one}', one of them a copy; rename one")
            if not copied:
                found[one] = body
                continue
            own = {k: v for k, v in body.items() if k != "copies"}
            source = own.get("given")
            other = given.get(source) if isinstance(source, str) else None
            if isinstance(other, Mapping) and "copies" in other:
                if counts[str(source)] != counts[str(name)]:
                    raise SpecError(
                        f"agents.{name} has {counts[str(name)]} copies and is given {source}, which has {counts[str(source)]}; "
                        "give both the same number"
                    )
                own["given"] = f"{source}_{i}"
            found[one] = own
    return found


def order(agents: Mapping[str, AgentSpec]) -> list[str]:
    """The agents, each after the one it is given. Raises `SpecError` where `given` names nobody, or runs in a circle."""
    found: list[str] = []
    waiting = list(agents)
    for name, agent in agents.items():
        if agent.given is not None and agent.given != REAL_RECORDS and agent.given not in agents:
            raise SpecError(
                f"agents.{name}.given names an agent '{agent.given}'{registry.nearest(agent.given, [*agents, REAL_RECORDS])}"
            )
    while waiting:
        ready = [n for n in waiting if agents[n].given in (None, REAL_RECORDS, *found)]
        if not ready:
            raise SpecError(
                f"agents {', '.join(waiting)} are given each other's records in a circle; break it"
            )
        found += ready
        waiting = [n for n in waiting if n not in ready]
    return found


def describers(agents: Mapping[str, AgentSpec], name: str) -> list[str]:
    """The agents that are given this one's records."""
    return [n for n, agent in agents.items() if agent.given == name]


def root(agents: Mapping[str, AgentSpec], name: str) -> str:
    """The first agent of a chain."""
    while agents[name].given not in (None, REAL_RECORDS):
        name = str(agents[name].given)
    return name


def ends(agents: Mapping[str, AgentSpec], chain: str) -> list[str]:
    """The agents of the chain that begins at `chain` whose records nobody describes."""
    return [n for n in agents if root(agents, n) == chain and not describers(agents, n)]


def chains(agents: Mapping[str, AgentSpec]) -> list[str]:
    """The first agent of each chain."""
    return [n for n in agents if root(agents, n) == n]


def real_used(spec: Any, real: Mapping[str, int]) -> int:
    """How many of the first records of a finite source's training part the agents may ever train on: all of them where each
    replicate draws its own set, or new ones come in later. `real` are the sizes of generation 0."""
    if spec.data.unlimited:
        return 0
    plans = (a.workflow.plan(t, real[n]) for n, a in spec.agents.items() for t in range(1, spec.generations))
    if spec.bootstrap or any(row.origin == "fresh" and row.count for plan in plans for row in plan.rows):
        return len(spec.data.train())
    begun = begins(spec.agents, real).values()
    return sum(begun) if spec.real_parts == "own" else max(begun)


def begins(agents: Mapping[str, AgentSpec], real: Mapping[str, int]) -> dict[str, int]:
    """By the first agent of each chain, the real records that the chain begins with. `real` are the sizes of generation 0."""
    return {chain: max(real[a] for a in agents if root(agents, a) == chain) for chain in chains(agents)}


def feeds_from(given: Any, agents: Mapping[str, AgentSpec]) -> tuple[Feed, ...]:
    """The arrows of an ecosystem: as they are listed, or as `own`, `ring` or `pooled` says.

    Raises `SpecError` for an arrow from or to nobody, a share outside [0, 1], and shares that do not sum to one.
    """
    if isinstance(given, str) and given in EXCHANGES:
        return _exchanged(given, agents)
    if not given and len(chains(agents)) < len(agents):
        return _exchanged("own", agents)
    if not isinstance(given, list | tuple):
        raise SpecError(
            f"feeds is {given!r}; it must be a list of {{from, to, share}}, or own, ring or pooled"
        )
    feeds = []
    for i, item in enumerate(given):
        if isinstance(item, Mapping):
            refuse_unknown(item, ("from", "to", "share"), f"feeds[{i}]")
        try:
            feed = item if isinstance(item, Feed) else Feed.model_validate(item)
        except pydantic.ValidationError as error:
            raise SpecError(sentence(error, f"feeds[{i}]")) from error
        for end in (feed.from_, feed.to):
            if end not in agents:
                raise SpecError(f"feeds[{i}] names an agent '{end}'{registry.nearest(end, agents)}")
        if not 0 <= feed.share <= 1:
            raise SpecError(f"feeds[{i}].share is {feed.share}; a share must lie in [0, 1]")
        feeds.append(feed)
    for name in {f.to for f in feeds}:
        total = sum(f.share for f in feeds if f.to == name)
        if not math.isclose(total, 1.0, abs_tol=1e-9):
            raise SpecError(f"the shares that feed agent '{name}' sum to {total:g}; they must sum to 1")
    return tuple(feeds)


def _exchanged(exchange: str, agents: Mapping[str, AgentSpec]) -> tuple[Feed, ...]:
    firsts = chains(agents)
    feeds = []
    for name in agents:
        at = firsts.index(root(agents, name))
        if exchange == "pooled":
            sources = [end for first in firsts for end in ends(agents, first)]
        else:
            sources = ends(agents, firsts[at if exchange == "own" else at - 1])
        feeds += [Feed.model_validate({"from": s, "to": name, "share": 1 / len(sources)}) for s in sources]
    return tuple(feeds)


def portions(shares: Sequence[float], total: int) -> list[int]:
    """Whole numbers in the ratio of the shares, summing to the total (largest remainders).

    >>> portions([0.25, 0.75], 30)
    [8, 22]
    """
    exact = np.asarray(shares) * total
    counts = np.floor(exact + 1e-9).astype(int)
    for i in np.argsort(-(exact - counts), kind="stable")[: total - counts.sum()]:
        counts[i] += 1
    return counts.tolist()


def origins(given: Samples) -> np.ndarray:
    """Whose records these are, (n,) as `agent/generation`, or `real`."""
    agent, generation = np.asarray(given.agent), np.asarray(given.generation)
    found = np.empty(len(given), dtype=object)
    for who, when in {*zip(agent.tolist(), generation.tolist(), strict=True)}:
        found[(agent == who) & (generation == when)] = REAL_RECORDS if when == REAL else f"{who}/{when}"
    return found.astype(np.str_)


def check_descriptions(name: str, samples: Samples, classes: Sequence[str] | None) -> None:
    """Raises `FitFailed` for labels that the data do not have, and for captions without a word."""
    label, caption = samples.label, samples.caption
    if label is not None and classes and len(label) and not 0 <= label.min() <= label.max() < len(classes):
        raise FitFailed(
            f"{name} gave labels from {label.min()} to {label.max()}, but the data have the classes 0 to {len(classes) - 1}"
        )
    if caption is not None and (empty := int((np.char.str_len(np.char.strip(caption)) == 0).sum())):
        raise FitFailed(
            f"{name} gave {empty} of {len(caption)} records a caption without a word; train it longer, or set a larger "
            "sampling.budget"
        )


def flows(data: Any) -> tuple[Flow, ...]:
    """Where the records of a training set come from; nothing for batches of replicates and for statistics."""
    parts = data if isinstance(data, list) else [data]
    if not all(isinstance(part, Samples) for part in parts):
        return ()
    sums: dict[tuple[str, int, str], float] = {}
    for part in parts:
        nobody = np.broadcast_to(np.array("", "<U1"), (len(part),))
        columns = (part.agent, part.generation, part.fields.get("source", nobody), part.weight)
        ends = sorted({0, len(part), *(int(e) for c in columns if isinstance(c, Segments) for e in c.starts)})
        for low, high in pairwise(ends):
            for row, mass in _masses(*(np.asarray(c[low:high]) for c in columns)):
                sums[row] = sums.get(row, 0.0) + mass
    total = sum(sums.values())
    return tuple(Flow(*row, mass / total) for row, mass in sorted(sums.items(), key=lambda item: item[0][1]))


def _masses(
    agent: np.ndarray, generation: np.ndarray, source: np.ndarray, weight: np.ndarray
) -> list[tuple[Any, float]]:
    """The origins among records that lie together, and their weight. A pool is mostly made of batches whose records share one
    entry a column, and these must not be read record by record."""
    if not any(column.strides[0] for column in (agent, generation, source, weight)):
        return [((agent[0].item(), generation[0].item(), source[0].item()), float(weight[0]) * len(weight))]
    found, where = np.unique(np.rec.fromarrays([agent, generation, source]), return_inverse=True)
    return list(zip(found.tolist(), np.bincount(where.ravel(), weight).tolist(), strict=True))


def needed(
    agents: Mapping[str, AgentSpec], feeding: Callable[[str], Sequence[tuple[str, float]]], name: str
) -> list[str]:
    """The agents whose plans decide how many records this one makes: those that train on them, or on descriptions of them."""
    direct = [a for a in agents if name in dict(feeding(a))]
    below = [a for d in describers(agents, name) for a in needed(agents, feeding, d)]
    return [*direct, *below] or [name]
