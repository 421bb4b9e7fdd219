"""Samplers: from noise at the top of a ladder of noise levels down to its end, one method per file.

| name | law | order | evaluations in N steps down to 0 |
|---|---|---|---|
| ancestral | q(y_s given y_t, x0), its variance small, large or learned | 1 | N |
| ddim | the same with eta of its noise; 0: the probability-flow ODE | 1 | N |
| euler | the probability-flow ODE by Euler's rule; may churn | 1 | N |
| heun | the probability-flow ODE by Heun's rule; may churn | 2 | 2N - 1 |
| dpmpp_2m | the probability-flow ODE, exponential integrator of two steps | 2 | N |

Nothing is imported before a sampler is asked for.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from autophage.errors import SpecError
from autophage.registry import nearest

if TYPE_CHECKING:
    from autophage.diffusion.samplers.sampler import Sampler


class Entry(NamedTuple):
    """Where a sampler is, and the settings that its name stands for."""

    path: str
    fixed: Mapping[str, Any]

    def load(self) -> type[Sampler]:
        """The class itself."""
        module, name = self.path.split(":")
        return getattr(importlib.import_module(f"{__name__}.{module}"), name)

    def settings(self) -> list[str]:
        """The settings that are left to choose."""
        return [f.name for f in dataclasses.fields(self.load()) if f.name not in self.fixed]


SAMPLERS: dict[str, Entry] = {
    "ancestral": Entry("ancestral:Ancestral", {}),
    "ddim": Entry("ddim:Ddim", {}),
    "euler": Entry("heun:Heun", {"second_order": False}),
    "heun": Entry("heun:Heun", {"second_order": True}),
    "dpmpp_2m": Entry("dpmpp_2m:DpmSolverPlusPlus2M", {}),
}


def make_sampler(name: str, **settings: Any) -> Sampler:
    """The sampler called `name`. Raises `SpecError` where there is none, or no such setting, or the setting is wrong.

    >>> make_sampler("heun", churn=40)
    Heun(clip=None, churn=40, churn_min=0.0, churn_max=None, churn_noise=1.0, second_order=True)
    >>> make_sampler("euler").evaluations(50)
    50
    """
    if not isinstance(name, str) or name not in SAMPLERS:
        raise SpecError(f"sampler: there is no sampler called {name!r}{nearest(str(name), SAMPLERS)}")
    entry = SAMPLERS[name]
    known = entry.settings()
    for setting in settings:
        if setting not in known:
            raise SpecError(f"sampler.{name} has no setting {setting!r}{nearest(setting, known)}")
    return entry.load()(**entry.fixed, **settings)


__all__ = ["SAMPLERS", "Entry", "make_sampler"]
