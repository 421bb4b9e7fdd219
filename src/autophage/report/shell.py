"""What every page of the house is made of: templates, bundles, text that cannot break out of its place, files that
appear whole."""

from __future__ import annotations

import contextlib
import json
import os
import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from autophage.errors import RunError

BUNDLES = ("vega", "vega-lite", "vega-embed")
_LINK = re.compile(r"(https?://[^\s<>\"']+[^\s<>\"'.,;:)\]])")


def filled(template: str, context: dict[str, Any], specifications: list[dict[str, Any]]) -> str:
    """A template of `templates/` with its context, the charts' Vega-Lite objects, and the bundles that draw them."""
    context = {
        **context,
        "specifications": embedded(specifications),
        "bundles": [Markup(_bundle(name)) for name in BUNDLES] if specifications else [],
        "licences": Markup(_asset("LICENSES.txt").replace("<", "&lt;")) if specifications else "",
    }
    return _templates().get_template(template).render(context)


def write_bytes(content: bytes, path: Path) -> Path:
    """A file that appears whole or not at all. Raises `RunError` when it cannot be written."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content)
        os.replace(draft, path)
    except OSError as error:
        with contextlib.suppress(OSError):  # the folder itself may be what is wrong
            draft.unlink(missing_ok=True)
        raise RunError(f"{path} could not be written: {error.strerror or error}") from error
    return path


def embedded(value: Any) -> Markup:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Markup(text)


def linked(text: str) -> Markup:
    """A citation with its addresses as links."""
    parts = _LINK.split(str(text))
    return Markup("").join(
        Markup('<a href="{0}" rel="noopener noreferrer">{0}</a>').format(part) if i % 2 else escape(part)
        for i, part in enumerate(parts)
    )


@cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("autophage.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


@cache
def _asset(name: str) -> str:
    return (files("autophage.report") / "assets" / name).read_text(encoding="utf-8")


def _bundle(name: str) -> str:
    """A bundle's source, fit to stand between script tags."""
    source = re.sub(r"\n//# sourceMappingURL=.*\s*$", "\n", _asset(f"{name}.min.js"))
    return re.sub(r"<(/?(?:script|body|html|head)|!--)", r"\\x3C\1", source, flags=re.IGNORECASE)
