"""What a run is, as data.

A spec is YAML, JSON, a dict, or keyword arguments of `Loop`; the loader always produces `agents`, with
the keys of an agent (`learner`, `workflow`, ...) at the top level as short for one agent called main. Parts are read in
`intake`; every refusal is one sentence.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pydantic
import yaml

from autophage import registry
from autophage.ecosystem import REAL_RECORDS, AgentSpec, Feed, feeds_from, named, order
from autophage.errors import SpecError
from autophage.intake import first_line, part, plain, sentence, validated, value_of
from autophage.metrics.defaults import default_metrics
from autophage.parts import Sampling
from autophage.stopping import StopRule, rules_from

SCHEMA = 1
_AGENT_KEYS = ("learner", "workflow", "curation", "treatment", "sampling", "given", "frozen")


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
    real_parts: Literal["shared", "own"] = "shared"
    """Whether the chains of an ecosystem begin with the same real records, or each with a part of its own."""
    stop: tuple[StopRule, ...] = ()
    """Borders that end a replicate's loop before its last generation."""

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
                "learner": plain("learner", a.learner),
                "workflow": plain("workflow", a.workflow),
                "curation": [plain("curation", c) for c in a.curation],
                "treatment": plain("treatment", a.treatment) if a.treatment is not None else None,
                "sampling": a.sampling.chosen(),
                # Written where they are set only, so that the hash of a loop without them stays what it was.
                **({} if a.given is None else {"given": a.given}),
                **({} if not a.frozen else {"frozen": True}),
            }
            for name, a in self.agents.items()
        }
        return {
            "schema": self.schema_,
            "name": self.name,
            "seed": self.seed,
            "replicates": self.replicates,
            "generations": self.generations,
            "data": plain("data", self.data),
            "agents": agents,
            "feeds": [f.model_dump(by_alias=True) for f in self.feeds],
            "metrics": [plain("metric", m) for m in self.metrics],
            "evaluation_size": self.evaluation_size,
            "bootstrap": self.bootstrap,
            "initial_model": value_of(self.initial_model),
            "verdict": self.verdict.model_dump(),
            **({} if self.real_parts == "shared" else {"real_parts": self.real_parts}),
            **({} if not self.stop else {"stop": [r.model_dump(exclude_defaults=True) for r in self.stop]}),
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
        raise SpecError(f"the spec file {path} cannot be read: {first_line(error)}") from error
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
    agents = named(agents)
    data = part("data", raw["data"], "data")
    built = {str(name): _agent(str(name), body, data, len(agents) > 1) for name, body in agents.items()}
    order(built)
    feeds = feeds_from(raw.get("feeds") or (), built)
    metrics = raw.get("metrics")
    if metrics is None:
        metrics = default_metrics(data, [a.learner for a in built.values()])
    elif not isinstance(metrics, list | tuple):
        metrics = [metrics]
    measured = tuple(part("metric", _of_table(m, data), f"metrics[{i}]") for i, m in enumerate(metrics))
    for i, metric in enumerate(measured):
        if any(plain("metric", metric) == plain("metric", m) for m in measured[:i]):
            raise SpecError(f"metrics[{i}] measures the same as an earlier entry; write each metric once")
    rest = {
        k: raw[k]
        for k in ("name", "replicates", "generations", "evaluation_size", "bootstrap", "real_parts")
        if k in raw
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
            stop=rules_from(raw.get("stop") or (), list(built)),
            **rest,
        )
        spec._seed_drawn = drawn
        return spec
    except pydantic.ValidationError as error:
        raise SpecError(sentence(error, "")) from error


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
        sampling = validated(Sampling, sampling, f"{where}sampling")
    treatment = body.get("treatment")
    fitted = part("learner", learner, f"{where}learner")
    if getattr(fitted, "symbols", 0) is None and getattr(data, "domain", "") == "symbols":
        fitted = dataclasses.replace(fitted, symbols=data.dim)
    workflow = part("workflow", body.get("workflow", "replace"), f"{where}workflow")
    if hasattr(fitted, "agreed"):
        fitted, workflow = fitted.agreed(workflow)
    given = body.get("given")
    if given is None and getattr(fitted, "describes", False):
        given = REAL_RECORDS
    for key, value, kind in (("given", given, str | None), ("frozen", body.get("frozen", False), bool)):
        if not isinstance(value, kind):
            wanted = "an agent's name or `real`" if key == "given" else "true or false"
            raise SpecError(f"{where}{key} is {value!r}; it must be {wanted}")
    return AgentSpec(
        learner=fitted,
        workflow=workflow,
        curation=tuple(part("curation", c, f"{where}curation[{i}]") for i, c in enumerate(curation)),
        treatment=None if treatment is None else part("treatment", treatment, f"{where}treatment"),
        sampling=sampling,
        given=given,
        frozen=body.get("frozen", False),
    )


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
        raise SpecError(sentence(error, "verdict")) from error
