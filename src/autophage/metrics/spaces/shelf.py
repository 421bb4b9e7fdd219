"""Networks that were trained for metrics, kept on disk for the next run, and in memory where no disk will have them."""

from __future__ import annotations

import contextlib
import json
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from autophage.data.kept import usual_folder

Stored = tuple[dict[str, np.ndarray], dict[str, Any]]

_MOST = 4
_memory: OrderedDict[Path, Stored] = OrderedDict()


def place(name: str) -> Path:
    """Where a network of that name is kept: `classifiers` below AUTOPHAGE_CACHE, or below autophage's folder of caches."""
    return usual_folder() / "classifiers" / f"{name}.safetensors"


def fetch(name: str) -> Stored | None:
    """The arrays and the report that were kept under a name; None where there are none, or the file is damaged."""
    from safetensors import SafetensorError, safe_open

    path = place(name)
    if path in _memory:
        return _memory[path]
    try:
        with safe_open(path, framework="np") as file:
            report = json.loads((file.metadata() or {})["report"])
            return {k: file.get_tensor(k) for k in file.keys()}, report  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError, KeyError, ValueError):
        return None


def keep(name: str, arrays: Mapping[str, np.ndarray], report: Mapping[str, Any]) -> None:
    """Keeps a network under a name, whole or not at all, as safetensors: on disk, or for the length of the process where
    the folder cannot be written."""
    from safetensors.numpy import save

    from autophage.errors import RunError
    from autophage.runs.folder import write

    path = place(name)
    whole = {k: np.array(v, order="C") for k, v in arrays.items()}
    with contextlib.suppress(RunError):
        write(path, save(whole, metadata={"report": json.dumps(dict(report))}))
        return
    _memory[path] = whole, dict(report)
    if len(_memory) > _MOST:
        _memory.popitem(last=False)
