"""Pages and figures of runs: `report.html`, and pictures fit for a paper."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "Page": "page",
    "Arm": "page",
    "Gallery": "page",
    "render": "rendering",
    "write": "rendering",
    "figures": "plots",
}

__all__ = ["Arm", "Gallery", "Page", "figures", "render", "write"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
