"""From what a user wrote to parts, and back: the one place where pydantic reads them.

Parts are frozen dataclasses that know nothing of pydantic; every refusal is one sentence that names the nearest known key.
"""

from __future__ import annotations

import dataclasses
import inspect
import reprlib
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pydantic

from autophage import registry
from autophage.errors import AutophageError, SpecError

METHODS = {
    "learner": "fit",
    "workflow": "plan",
    "metric": "measure",
    "data": "reference",
    "process": "step",
    "inpainter": "prepared",
    "multiview": "encode",
    "views": "drawn",
}
"""What an object must be able to do to stand in a slot; `apply` in the others."""


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
    if hasattr(cls, "chosen_by"):
        cls = registry.find(slot, cls.chosen_by(body), where)
    return _own(slot, validated(cls, body, where), where)


def _own(slot: str, given: Any, where: str) -> Any:
    wanted = METHODS.get(slot, "apply")
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


def validated(cls: Any, body: Mapping[str, Any], where: str) -> Any:
    if not isinstance(body, Mapping):
        raise SpecError(f"{where} must be a mapping, got {body!r}")
    if not isinstance(cls, type):
        raise SpecError(f"{where}: kind names a {type(cls).__name__}; it must name a class")
    if not dataclasses.is_dataclass(cls):
        try:
            parameters = inspect.signature(cls).parameters.values()
            if not any(p.kind is p.VAR_KEYWORD for p in parameters):
                refuse_unknown(body, [p.name for p in parameters if p.kind is not p.VAR_POSITIONAL], where)
            return cls(**body)
        except (TypeError, ValueError) as error:
            raise (
                error if isinstance(error, AutophageError) else SpecError(f"{where}: {first_line(error)}")
            ) from error
    names = [f.name for f in dataclasses.fields(cls) if f.init]
    refuse_unknown(body, names, where)
    try:
        return adapter(cls).validate_python(dict(body))
    except pydantic.ValidationError as error:
        for item in error.errors():
            cause = (item.get("ctx") or {}).get("error")
            if isinstance(cause, AutophageError):
                raise cause from None
        raise SpecError(_unknown_below(cls, error, where) or sentence(error, where)) from error


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


def refuse_unknown(body: Mapping[str, Any], names: Sequence[str], where: str) -> None:
    for key in body:
        if key not in names:
            raise SpecError(f"unknown key '{where}.{key}'{registry.nearest(str(key), names)}")


def sentence(error: pydantic.ValidationError, where: str) -> str:
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


def plain(slot: str, given: Any) -> dict[str, Any]:
    kind = registry.kind_of(slot, given)
    if not dataclasses.is_dataclass(given):
        return {"kind": kind if "<locals>" not in kind else f"<object {kind}>"}
    values = {
        f.name: value_of(getattr(given, f.name))
        for f in dataclasses.fields(given)
        if f.init and not f.name.startswith("_")
    }
    return {"kind": kind if "<locals>" not in kind else f"<object {kind}>", **values}


def value_of(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(k): value_of(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [value_of(v) for v in value]
    if hasattr(value, "tolist"):
        return value.tolist()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: value_of(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
    if isinstance(value, type) or inspect.isfunction(value):
        path = f"{value.__module__}:{value.__qualname__}"
        return path if "<locals>" not in path and value.__module__ != "__main__" else f"<object {path}>"
    if isinstance(value, Path):
        return str(value)
    return f"<object {type(value).__module__}:{type(value).__qualname__}>"


def first_line(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or str(error)).splitlines()[0]
