"""`python -m autophage.comparisons.worker DIR ARM`: one arm of a comparison, in a process of its own with one thread."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from autophage.worker import THREADS, leave_with_parent


def main(arguments: list[str]) -> int:
    for name in THREADS:
        os.environ.setdefault(name, "1")
    from autophage.comparisons.first_models import FirstModels
    from autophage.errors import UserError
    from autophage.loop import Loop
    from autophage.runs.run import run
    from autophage.spec import Spec

    folder, arm = Path(arguments[0]), arguments[1]
    try:
        spec = Spec.of(folder / f"{arm}.yaml")
        models = FirstModels(folder / "generation_0", Loop(spec).agents["main"].learner)
        if "torch" in sys.modules:
            import torch

            torch.set_num_threads(1)
        run(spec, folder / arm, resume=True, first_models=models)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    if not sys.stdin.isatty():
        leave_with_parent()
    sys.exit(main(sys.argv[1:]))
