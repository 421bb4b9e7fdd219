"""From what a user typed to a spec."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from autophage import registry
from autophage.errors import SpecError
from autophage.processes.spec import ProcessSpec
from autophage.spec import Spec, override, read

SPECS = (".yaml", ".yml", ".json")


def opened(given: str, settings: list[str]) -> Spec:
    """The spec of a spec file, of a data file, or of a kind of data. Raises `SpecError` for a process, which is no loop."""
    found = override(raw(given), settings)
    if "process" in found:
        raise SpecError(
            f"{given} is a process; `autophage run`, `validate`, `predict`, `report` and `cite` take it, other verbs take loops"
        )
    return Spec.of(found)


def opened_any(given: str, settings: list[str]) -> Spec | ProcessSpec:
    """As `opened`, of a process too."""
    found = override(raw(given), settings)
    return ProcessSpec.of(found) if "process" in found else opened(given, settings)


def raw(given: str) -> dict[str, Any]:
    """The unresolved spec; data get their kind's default loop."""
    path = Path(given)
    if path.suffix.lower() in SPECS:
        return read(path)
    if path.is_dir() and (path / "spec.yaml").is_file():
        return read(path / "spec.yaml")
    if not path.exists() and given in registry.kinds("data"):
        return default_spec(given, {"kind": given})
    if not path.exists():
        close = registry.nearest(given, registry.kinds("data"))
        raise SpecError(f"there is no file called {given}, and no kind of data of that name{close}")
    from autophage.data.paths import kind_for_path

    return default_spec(path.stem.split(".")[0] or "data", {"kind": kind_for_path(path), "path": str(path)})


def default_spec(name: str, data: dict[str, Any]) -> dict[str, Any]:
    """The loop a kind of data gets when only the data are named: half the training set synthetic."""
    domain = getattr(registry.find("data", data["kind"]), "domain", "vectors")
    learner = {
        "symbols": "categorical",
        "counts": "poisson",
        "binary": "bernoulli",
        "positive": "exponential",
    }
    closed = domain in learner or data["kind"] == "gaussian"
    if data["kind"] in ("images", "cifar10"):
        return {
            "name": name,
            "generations": 4,
            "data": data,
            "learner": {"kind": "diffusion", "start": "previous", "records": 100_000},
            "workflow": {"kind": "mix", "synthetic_ratio": 1.0},
            "metrics": ["frechet", {"kind": "precision_recall", "k": 5}, "memorisation", "training"],
        }
    return {
        "name": name,
        "replicates": 100 if closed else 3,
        "generations": 20 if closed else 6,
        "data": data,
        "learner": {"kind": learner.get(domain, "gaussian" if closed else "flow")},
        "workflow": {"kind": "mix", "synthetic_ratio": 1.0},
    }


def said(value: Any) -> str:
    """JSON for a machine: NaN and infinity become null, since JSON has neither."""
    return json.dumps(_clean(value), indent=2, default=str)


def _clean(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(k): _clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(v) for v in value]
    return value
