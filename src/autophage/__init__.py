"""autophage: a laboratory for self-consuming generative loops.

>>> import autophage
>>> run = autophage.run({"data": {"kind": "gaussian"}, "learner": {"kind": "gaussian"}, "replicates": 50,
...                      "generations": 3, "workflow": {"kind": "replace", "sample_size": 20}, "seed": 0})
>>> run.metrics.columns[:5]
['generation', 'replicate', 'agent', 'metric', 'value']
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "run": "autophage.runs.run:run",
    "load": "autophage.runs.run:load",
    "Run": "autophage.runs.run:Run",
    "predict": "autophage.theory.predict:predict",
    "sweep": "autophage.sweeps.sweep:sweep",
    "Sweep": "autophage.sweeps.sweep:Sweep",
    "plan": "autophage.planner:plan",
    "compare": "autophage.comparisons.comparison:compare",
    "watch": "autophage.watching.watched:watch",
    "Watched": "autophage.watching.watched:Watched",
    "Spec": "autophage.spec:Spec",
    "Loop": "autophage.loop:Loop",
    "Samples": "autophage.samples:Samples",
    "Batch": "autophage.samples:Batch",
    "Key": "autophage.keys:Key",
    "Learner": "autophage.parts:Learner",
    "Model": "autophage.parts:Model",
    "Metric": "autophage.parts:Metric",
    "Curation": "autophage.interventions:Curation",
    "Process": "autophage.processes.process:Process",
    "Treatment": "autophage.interventions:Treatment",
    "AutophageError": "autophage.errors:AutophageError",
    "SpecError": "autophage.errors:SpecError",
    "DataError": "autophage.errors:DataError",
    "RunError": "autophage.errors:RunError",
    "FitFailed": "autophage.errors:FitFailed",
}

__all__ = [*_LAZY, "__version__"]


def __getattr__(name: str) -> Any:
    # Light to import: no torch, no pydantic, until a part that needs them is used.
    if name not in _LAZY:
        raise AttributeError(f"module 'autophage' has no attribute '{name}'")
    from importlib import import_module

    module, _, attribute = _LAZY[name].partition(":")
    found = getattr(import_module(module), attribute)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
