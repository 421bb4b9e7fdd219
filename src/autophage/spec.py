"""What a run is, as data.

A spec is YAML, JSON, a dict, or keyword arguments of `Loop`; the loader always produces `agents`, with
`learner / workflow / curation / treatment / sampling` at the top level as short for one agent called main.
Parts are frozen dataclasses; pydantic reads them at this door and nowhere else. Every refusal is one
sentence.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import math
import re
import reprlib
import secrets
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pydantic
import yaml

from autophage import registry
from autophage.errors import AutophageError, SpecError
from autophage.metrics.defaults import default_metrics
from autophage.parts import Sampling

SCHEMA = 1
_AGENT_KEYS = ("learner", "workflow", "curation", "treatment", "sampling")


class Feed(pydantic.BaseModel):
    """One arrow of an ecosystem: of the synthetic records that agent `to` trains on, `share` come from agent
    `from`."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    from_: str = pydantic.Field(alias="from")
    to: str
    share: float = 1.0


class AgentSpec(pydantic.BaseModel):
    """One learner of the loop with its own workflow and curation."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)
    learner: Any
    workflow: Any
    curation: tuple[Any, ...] = ()
    treatment: Any = None
    sampling: Sampling = Sampling()


class VerdictSpec(pydantic.BaseModel):
    """Which measured course the definitions of collapse are read from."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)
    risk: str | None = None
    diversity: str | None = None
    trivial: float | None = None


class Spec(pydantic.BaseModel):
    """A run, complete: everything a machine needs to repeat it."""

    model_config = pydantic.ConfigDict(
        extra="forbid",
        frozen=True,
        arbitrary_types_allowed=True,
        use_attribute_docstrings=True,
        populate_by_name=True,
    )
    schema_: int = pydantic.Field(SCHEMA, alias="schema")
    """Version of the spec's format."""
    name: str = "loop"
    """What the run is called."""
    seed: int
    """Names every random stream of the run; drawn and recorded when it is not given."""
    replicates: int = 1
    """Independent repetitions of the whole loop."""
    generations: int = 5
    """Rounds of fit and sample: generations 0 to generations - 1."""
    data: Any
    """The real data."""
    agents: dict[str, AgentSpec]
    """The learners that feed each other; one, called main, for an ordinary loop."""
    feeds: tuple[Feed, ...] = ()
    """Who trains on whose samples; default each agent on its own."""
    metrics: tuple[Any, ...] = ()
    """What is measured in every generation."""
    evaluation_size: int | None = None
    """Records drawn for evaluation; default as many as the reference holds."""
    bootstrap: bool = False
    """Each replicate draws its own real set, with replacement, from a finite one."""
    initial_model: dict[str, Any] | None = None
    """Replaces generation 0's fit where a check starts from a known law."""
    verdict: VerdictSpec = VerdictSpec()
    """Which metric a verdict reads."""

    _seed_drawn: bool = pydantic.PrivateAttr(False)

    @property
    def seed_drawn(self) -> bool:
        """Whether the seed was not given; a resumed run then takes the recorded one."""
        return self._seed_drawn

    @staticmethod
    def of(given: Any = None, /, **keys: Any) -> Spec:
        """A spec from a path, a dict, another spec, or keywords. Raises `SpecError` in one sentence."""
        if isinstance(given, Spec):
            return given if not keys else Spec.of({**given.to_dict(), **keys})
        if given is not None and not isinstance(given, str | Path | Mapping):
            raise SpecError(f"a spec is a path, a mapping or keywords, not a {type(given).__name__}")
        raw = read(given) if isinstance(given, str | Path) else dict(given or {})
        return _resolve({**raw, **keys})

    @property
    def digest(self) -> str:
        """Identifies the run: the hash of the resolved spec."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:12]

    @property
    def repeatable(self) -> bool:
        """Whether the written spec re-creates the run (an object without an import path cannot be
        written)."""
        return "<object" not in json.dumps(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Plain data, complete: every default spelled out."""
        agents = {
            name: {
                "learner": _plain("learner", a.learner),
                "workflow": _plain("workflow", a.workflow),
                "curation": [_plain("curation", c) for c in a.curation],
                "treatment": _plain("treatment", a.treatment) if a.treatment is not None else None,
                "sampling": a.sampling.chosen(),
            }
            for name, a in self.agents.items()
        }
        return {
            "schema": self.schema_,
            "name": self.name,
            "seed": self.seed,
            "replicates": self.replicates,
            "generations": self.generations,
            "data": _plain("data", self.data),
            "agents": agents,
            "feeds": [f.model_dump(by_alias=True) for f in self.feeds],
            "metrics": [_plain("metric", m) for m in self.metrics],
            "evaluation_size": self.evaluation_size,
            "bootstrap": self.bootstrap,
            "initial_model": _value(self.initial_model),
            "verdict": self.verdict.model_dump(),
        }

    def to_yaml(self) -> str:
        """The resolved spec as it is written to `spec.yaml`."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True, width=110)


def read(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML or JSON file."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SpecError(f"there is no spec file at {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"the spec file {path} cannot be read: {_first_line(error)}") from error
    try:
        raw = json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
    except json.JSONDecodeError as error:
        raise SpecError(f"{path} is not valid JSON at line {error.lineno}: {error.msg}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        raise SpecError(
            f"{path} is not valid YAML{line}: {getattr(error, 'problem', None) or 'cannot be parsed'}"
        ) from error
    if not isinstance(raw, dict):
        raise SpecError(f"{path} holds no spec: expected keys such as data, learner and workflow")
    return raw


def override(raw: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """`a.b=c` settings laid over a raw spec; values are read as YAML.

    >>> override({"workflow": {"kind": "mix"}}, ["workflow.synthetic_ratio=0.5"])
    {'workflow': {'kind': 'mix', 'synthetic_ratio': 0.5}}
    """
    result: dict[str, Any] = json.loads(json.dumps(raw, default=lambda o: o)) if _is_json(raw) else dict(raw)
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not path:
            raise SpecError(f"--set takes key=value, got '{setting}'")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise SpecError(f"--set {path}: '{text}' is not a YAML value") from error
        if isinstance(value, str):
            value = _number(value)
        here: Any = result
        *parents, last = path.split(".")
        for name in parents:
            here = _descend(here, name, path)
        if isinstance(here, list):
            if not last.isdigit() or int(last) >= len(here):
                raise SpecError(f"--set {path}: '{last}' is not an entry of a list of {len(here)}")
            here[int(last)] = value
        else:
            # A bare string stands for {kind: string}; giving a new kind drops the old kind's settings.
            if last == "kind" and here.get("kind") not in (None, value):
                here.clear()
            here[last] = value
    return result


def _descend(here: Any, name: str, path: str) -> Any:
    if isinstance(here, list):
        if not name.isdigit() or int(name) >= len(here):
            raise SpecError(f"--set {path}: '{name}' is not an entry of a list of {len(here)}")
        if isinstance(here[int(name)], str):
            here[int(name)] = {"kind": here[int(name)]}
        return here[int(name)]
    if isinstance(here.get(name), str):
        here[name] = {"kind": here[name]}
    child = here.get(name)
    if child is None:
        child = here[name] = {}
    if not isinstance(child, dict | list):
        raise SpecError(f"--set {path}: '{name}' is a single value and has no keys")
    return child


def _is_json(raw: Any) -> bool:
    try:
        json.dumps(raw)
    except TypeError:
        return False
    return True


def _number(text: str) -> Any:
    # YAML 1.1 reads 1e-3 as a string.
    try:
        return float(text)
    except ValueError:
        return text


def _resolve(raw: dict[str, Any]) -> Spec:
    raw = dict(raw)
    known = [f.alias or name for name, f in Spec.model_fields.items()] + list(_AGENT_KEYS)
    for key in raw:
        if key not in known:
            raise SpecError(f"unknown key '{key}' in the spec{registry.nearest(str(key), known)}")
    if raw.get("schema", SCHEMA) != SCHEMA:
        raise SpecError(
            f"this spec has schema {raw['schema']!r}; this version of autophage reads schema {SCHEMA}"
        )
    if "data" not in raw:
        raise SpecError("the spec has no data: name the real data, for example data: {kind: digits}")
    for name, smallest in (("replicates", 1), ("generations", 1), ("evaluation_size", 2)):
        value = raw.get(name)
        if (
            name in raw
            and value is not None
            and (not isinstance(value, int) or isinstance(value, bool) or value < smallest)
        ):
            raise SpecError(f"{name} is {value!r}; it must be a whole number of at least {smallest}")
    seed = raw.get("seed")
    if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool) or seed < 0):
        raise SpecError(f"seed is {seed!r}; it must be a whole number, zero or more")
    drawn = seed is None
    if drawn:
        seed = secrets.randbits(31)
    short = {k: raw.pop(k) for k in _AGENT_KEYS if k in raw}
    agents = raw.pop("agents", None)
    if agents is not None and short:
        raise SpecError(
            f"the spec has both agents and a top-level '{next(iter(short))}'; write one or the other"
        )
    if agents is None:
        agents = {"main": short}
    if not isinstance(agents, Mapping) or not agents:
        raise SpecError("agents must map names to {learner, workflow, ...}")
    for name in agents:
        if not re.fullmatch(r"\w[\w.-]*", str(name)):
            raise SpecError(
                f"agents has a name {str(name)!r}; names become folders: letters, digits, _ . and - only"
            )
    data = part("data", raw["data"], "data")
    built = {str(name): _agent(str(name), body, data, len(agents) > 1) for name, body in agents.items()}
    feeds = _feeds(raw.get("feeds") or (), built)
    metrics = raw.get("metrics")
    if metrics is None:
        metrics = default_metrics(data, [a.learner for a in built.values()])
    elif not isinstance(metrics, list | tuple):
        metrics = [metrics]
    measured = tuple(part("metric", _of_table(m, data), f"metrics[{i}]") for i, m in enumerate(metrics))
    for i, metric in enumerate(measured):
        if any(_plain("metric", metric) == _plain("metric", m) for m in measured[:i]):
            raise SpecError(f"metrics[{i}] measures the same as an earlier entry; write each metric once")
    rest = {
        k: raw[k] for k in ("name", "replicates", "generations", "evaluation_size", "bootstrap") if k in raw
    }
    try:
        spec = Spec(
            schema=SCHEMA,
            seed=seed,  # type: ignore[arg-type]
            data=data,
            agents=built,
            feeds=feeds,
            metrics=measured,
            initial_model=raw.get("initial_model"),
            verdict=_verdict(raw.get("verdict") or {}),
            **rest,
        )
        spec._seed_drawn = drawn
        return spec
    except pydantic.ValidationError as error:
        raise SpecError(_sentence(error, "")) from error


def _of_table(metric: Any, data: Any) -> Any:
    """Columns of a table have units of their own: its features are standardised unless something else is asked for."""
    if not isinstance(metric, str | Mapping) or getattr(data, "kind_of_picture", None) != "table":
        return metric
    body = {"kind": metric} if isinstance(metric, str) else dict(metric)
    cls = registry.find("metric", body["kind"], "metrics") if "kind" in body else None
    if dataclasses.is_dataclass(cls) and "features" in {f.name for f in dataclasses.fields(cls)}:
        body.setdefault("features", "standardised")
    return body


def _agent(name: str, body: Any, data: Any, several: bool) -> AgentSpec:
    where = f"agents.{name}." if several else ""
    if not isinstance(body, Mapping):
        raise SpecError(f"agents.{name} must be a mapping with learner and workflow")
    for key in body:
        if key not in _AGENT_KEYS:
            raise SpecError(f"unknown key '{where}{key}'{registry.nearest(str(key), _AGENT_KEYS)}")
    learner = body.get("learner")
    if learner is None:
        learner = {"symbols": "categorical", "pairs": "regression"}.get(getattr(data, "domain", ""), "flow")
    curation = body.get("curation") or ()
    if not isinstance(curation, list | tuple):
        curation = [curation]
    sampling = body.get("sampling") or {}
    if not isinstance(sampling, Sampling):
        sampling = _validate(Sampling, sampling, f"{where}sampling")
    treatment = body.get("treatment")
    fitted = part("learner", learner, f"{where}learner")
    if getattr(fitted, "symbols", 0) is None and getattr(data, "domain", "") == "symbols":
        fitted = dataclasses.replace(fitted, symbols=data.dim)
    workflow = part("workflow", body.get("workflow", "replace"), f"{where}workflow")
    if hasattr(fitted, "agreed"):
        fitted, workflow = fitted.agreed(workflow)
    return AgentSpec(
        learner=fitted,
        workflow=workflow,
        curation=tuple(part("curation", c, f"{where}curation[{i}]") for i, c in enumerate(curation)),
        treatment=None if treatment is None else part("treatment", treatment, f"{where}treatment"),
        sampling=sampling,
    )


def _feeds(given: Any, agents: Mapping[str, Any]) -> tuple[Feed, ...]:
    if not isinstance(given, list | tuple):
        raise SpecError("feeds must be a list of {from, to, share}")
    feeds = []
    for i, item in enumerate(given):
        if isinstance(item, Mapping):
            _refuse_unknown(item, ("from", "to", "share"), f"feeds[{i}]")
        try:
            feed = item if isinstance(item, Feed) else Feed.model_validate(item)
        except pydantic.ValidationError as error:
            raise SpecError(_sentence(error, f"feeds[{i}]")) from error
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


def _verdict(given: Any) -> VerdictSpec:
    if isinstance(given, VerdictSpec):
        return given
    if not isinstance(given, Mapping):
        raise SpecError("verdict must be a mapping with risk, diversity or trivial")
    for key in given:
        if key not in VerdictSpec.model_fields:
            raise SpecError(
                f"unknown key 'verdict.{key}'{registry.nearest(str(key), VerdictSpec.model_fields)}"
            )
    try:
        return VerdictSpec.model_validate(given)
    except pydantic.ValidationError as error:
        raise SpecError(_sentence(error, "verdict")) from error


def part(slot: str, given: Any, where: str) -> Any:
    """A part from a kind, a mapping with a kind, or as it is. Raises `SpecError` naming the nearest known
    key."""
    if isinstance(given, str):
        given = {"kind": given}
    if isinstance(given, type):
        raise SpecError(
            f"{where} is a class; give an instance of it, or {{kind: estimator, object: ...}} for a learner"
        )
    if not isinstance(given, Mapping):
        if given is None or isinstance(given, int | float | list | tuple | bool):
            raise SpecError(f"{where} is {given!r}; write a kind, {registry.some(slot)}")
        return _own(slot, given, where)
    body = dict(given)
    if "kind" not in body:
        raise SpecError(f"{where} has no kind; it must be {registry.some(slot)}")
    kind = body.pop("kind")
    cls = registry.find(slot, kind, where)
    if slot == "learner" and isinstance(cls, type) and hasattr(cls, "sample") and not hasattr(cls, "domains"):
        # A stranger's class by its path: the estimator learner makes a new one for every fit, and can be written.
        return part(slot, {"kind": "estimator", "object": kind, "arguments": body}, where)
    return _own(slot, _validate(cls, body, where), where)


def _own(slot: str, given: Any, where: str) -> Any:
    wanted = {"learner": "fit", "workflow": "plan", "metric": "measure", "data": "reference"}.get(
        slot, "apply"
    )
    if not callable(getattr(given, wanted, None)):
        raise SpecError(f"{where}: {type(given).__name__} has no method '{wanted}', so it cannot be a {slot}")
    if slot == "learner" and not hasattr(given, "domains"):
        # A stranger's object with fit and sample: the estimator learner speaks for it.
        return registry.find("learner", "estimator")(object=given)
    return given


@cache
def adapter(cls: type) -> pydantic.TypeAdapter:
    """How pydantic reads a part's class."""
    return pydantic.TypeAdapter(cls)


def _validate(cls: Any, body: Mapping[str, Any], where: str) -> Any:
    if not isinstance(body, Mapping):
        raise SpecError(f"{where} must be a mapping, got {body!r}")
    if not isinstance(cls, type):
        raise SpecError(f"{where}: kind names a {type(cls).__name__}; it must name a class")
    if not dataclasses.is_dataclass(cls):
        try:
            parameters = inspect.signature(cls).parameters.values()
            if not any(p.kind is p.VAR_KEYWORD for p in parameters):
                _refuse_unknown(body, [p.name for p in parameters if p.kind is not p.VAR_POSITIONAL], where)
            return cls(**body)
        except (TypeError, ValueError) as error:
            raise (
                error if isinstance(error, AutophageError) else SpecError(f"{where}: {_first_line(error)}")
            ) from error
    names = [f.name for f in dataclasses.fields(cls) if f.init]
    _refuse_unknown(body, names, where)
    try:
        return adapter(cls).validate_python(dict(body))
    except pydantic.ValidationError as error:
        for item in error.errors():
            cause = (item.get("ctx") or {}).get("error")
            if isinstance(cause, AutophageError):
                raise cause from None
        raise SpecError(_unknown_below(cls, error, where) or _sentence(error, where)) from error


def _unknown_below(cls: Any, error: pydantic.ValidationError, where: str) -> str | None:
    """The refusal of a key that no member of a union knows, where that is what is wrong."""
    deepest = max(len(item["loc"]) for item in error.errors())
    unknown = [
        [str(p) for p in item["loc"]]
        for item in error.errors()
        if item["type"] in ("unexpected_keyword_argument", "extra_forbidden") and len(item["loc"]) == deepest
    ]
    if not unknown:
        return None
    key = unknown[0][-1]
    inside = ".".join([where, *(n for n in unknown[0][:-1] if not n[:1].isupper())])
    known = dict.fromkeys(k for place in unknown if place[-1] == key for k in _below(cls, place[:-1]))
    return f"unknown key '{inside}.{key}'{registry.nearest(key, known)}"


def _below(cls: Any, path: Sequence[str]) -> list[str]:
    """The keys that a part knows at the place pydantic speaks of, whose path names members of unions too."""
    here = [cls]
    for step in path:
        found = [c for c in here if c.__name__ == step]
        for owner in here:
            hint = typing.get_type_hints(owner).get(step)
            found += _dataclasses(hint)
        here = found or here
    return list(dict.fromkeys(f.name for c in here for f in dataclasses.fields(c) if f.init))


def _dataclasses(hint: Any) -> list[Any]:
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return [hint]
    return [c for member in typing.get_args(hint) for c in _dataclasses(member)]


def _refuse_unknown(body: Mapping[str, Any], names: Sequence[str], where: str) -> None:
    for key in body:
        if key not in names:
            raise SpecError(f"unknown key '{where}.{key}'{registry.nearest(str(key), names)}")


def _sentence(error: pydantic.ValidationError, where: str) -> str:
    # A union reports one error per member; the one that got deepest is what the user meant.
    item = max(
        error.errors(), key=lambda e: (e["type"] not in ("dataclass_type", "float_type"), len(e["loc"]))
    )
    names = [
        str(p)
        for p in item["loc"]
        if not (isinstance(p, str) and (p[:1].isupper() or "[" in p or p == "float"))
    ]
    place = ".".join([where, *names] if where else names) or "the spec"
    if item["type"] in ("missing", "missing_keyword_only_argument"):
        return f"{place} is missing"
    message = item["msg"].removeprefix("Value error, ")
    return f"{place} is {reprlib.repr(item['input'])}: {message[:1].lower()}{message[1:]}"


def _plain(slot: str, given: Any) -> dict[str, Any]:
    kind = registry.kind_of(slot, given)
    if not dataclasses.is_dataclass(given):
        return {"kind": kind if "<locals>" not in kind else f"<object {kind}>"}
    values = {
        f.name: _value(getattr(given, f.name))
        for f in dataclasses.fields(given)
        if f.init and not f.name.startswith("_")
    }
    return {"kind": kind if "<locals>" not in kind else f"<object {kind}>", **values}


def _value(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(k): _value(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_value(v) for v in value]
    if hasattr(value, "tolist"):
        return value.tolist()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _value(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
    if isinstance(value, type) or inspect.isfunction(value):
        path = f"{value.__module__}:{value.__qualname__}"
        return path if "<locals>" not in path and value.__module__ != "__main__" else f"<object {path}>"
    if isinstance(value, Path):
        return str(value)
    return f"<object {type(value).__module__}:{type(value).__qualname__}>"


def _first_line(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or str(error)).splitlines()[0]
