"""The JSON schema of a spec, for editors and for whoever writes specs by machine."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from autophage import documented, registry
from autophage.ecosystem import EXCHANGES, AgentSpec
from autophage.errors import MissingExtra
from autophage.intake import adapter
from autophage.parts import Sampling
from autophage.spec import Spec


def json_schema() -> dict[str, Any]:
    """The JSON schema of a spec, for editors: every part of every slot, discriminated by `kind`."""
    definitions: dict[str, Any] = {}

    def slot(name: str) -> dict[str, Any]:
        options: list[dict[str, Any]] = []
        for kind in registry.kinds(name):
            try:
                cls: Any = registry.find(name, kind)
            except MissingExtra:
                continue
            body: dict[str, Any] = {"type": "object"}
            if dataclasses.is_dataclass(cls):
                body = adapter(cls).json_schema()  # type: ignore[arg-type]
            definitions.update(body.pop("$defs", {}))
            body["properties"] = {"kind": {"const": kind}, **body.get("properties", {})}
            for key, about in documented.settings(cls).items():
                body["properties"].get(key, {}).setdefault("description", about)
            for key, inner in getattr(cls, "nested", {}).items():
                # A part within a part: one of its slot, or several under names of the user's own.
                one = {"anyOf": [{"enum": registry.kinds(inner)}, {"type": "object"}]}
                body["properties"][key] |= one
            body["required"] = ["kind", *body.get("required", [])]
            body["additionalProperties"] = False
            body["title"] = f"{name}: {kind}"
            body["description"] = inspect.getdoc(cls)
            definitions[f"{name}.{kind}"] = body
            options.append({"$ref": f"#/$defs/{name}.{kind}"})
        # An own class is named by its path; what keys it takes only it knows.
        own = {"type": "string", "pattern": ".:."}
        options.append(own)
        options.append({"type": "object", "properties": {"kind": own}, "required": ["kind"]})
        return {"anyOf": [{"enum": registry.kinds(name)}, *options]}

    schema = Spec.model_json_schema(by_alias=True, mode="validation")
    definitions.update(schema.pop("$defs", {}))
    agent = {
        "learner": slot("learner"),
        "workflow": slot("workflow"),
        "curation": {"type": "array", "items": slot("curation")},
        "treatment": {"anyOf": [{"type": "null"}, slot("treatment")]},
        "sampling": adapter(Sampling).json_schema(),
        **{key: AgentSpec.model_json_schema()["properties"][key] for key in ("given", "frozen")},
    }
    copies = {"type": "integer", "minimum": 1, "description": "How many agents of this make there are."}
    properties = schema["properties"]
    properties["feeds"] = {"anyOf": [{"enum": list(EXCHANGES)}, properties["feeds"]]}
    properties["data"] = slot("data")
    properties["metrics"] = {"type": "array", "items": slot("metric")}
    properties["agents"] = {
        "type": "object",
        "additionalProperties": {
            "type": "object",
            "properties": {**agent, "copies": copies},
            "additionalProperties": False,
        },
    }
    properties |= agent
    properties["process"] = slot("process")
    for inner in ("inpainter", "multiview", "views"):
        slot(inner)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "autophage spec",
        "type": "object",
        "properties": properties,
        "anyOf": [{"required": ["data"]}, {"required": ["process"]}],
        "additionalProperties": False,
        "$defs": definitions,
    }
