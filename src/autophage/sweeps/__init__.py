"""Sweeps: one spec over a grid of its numbers, and the phase diagrams that come out.

A grid of closed-form loops is one array program (`program`); anything else is one run for every cell (`tasks`).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {"Axis": "grid", "Grid": "grid", "Sweep": "sweep", "sweep": "sweep"}

__all__ = ["Axis", "Grid", "Sweep", "sweep"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
