"""`python -m autophage.comparisons.worker DIR ARM`: one arm of a comparison, in a process of its own with one thread."""

from __future__ import annotations

import sys
from pathlib import Path

from autophage.worker import one_thread, worked


def arm(arguments: list[str]) -> None:
    """One arm of the comparison in a folder."""
    from autophage.comparisons.first_models import FirstModels
    from autophage.loop import Loop
    from autophage.runs.run import run
    from autophage.spec import Spec

    folder, name = Path(arguments[0]), arguments[1]
    spec = Spec.of(folder / f"{name}.yaml")
    models = FirstModels(folder / "generation_0", Loop(spec).agents["main"].learner)
    one_thread()
    run(spec, folder / name, resume=True, first_models=models)


if __name__ == "__main__":
    sys.exit(worked(arm))
