"""Training logs of any tool as courses with a verdict.

`places` finds the files, `rows` and `events` read them, `logs` makes series of them, `naming` says which is which,
`courses` cleans and aligns them; `noise`, `change_points`, `decay` and `forecast` ask their questions, `watched` holds the
answers and `paged` draws them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {"watch": "watched", "Watched": "watched"}

__all__ = ["Watched", "watch"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
