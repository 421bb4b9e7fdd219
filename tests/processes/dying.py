"""Runs a process that dies at the k-th point around a write, for every k, and resumes it each time.

python dying.py SPEC PLACE          (points and children: tests/runs/exit_at_write.py)
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "runs"))

from exit_at_write import DIED, dying_at, in_child

from autophage.processes.running import run, run_replicate
from autophage.processes.spec import ProcessSpec
from autophage.runs.writing import manifest_of


def main(path: str, place: Path) -> int:
    # Once in memory and without polars, so that children find everything imported.
    spec = ProcessSpec.of(path)
    run_replicate(spec, 0)
    manifest_of(spec, "running")
    k = 0
    while True:
        k += 1
        folder = place / str(k) / "run"

        def dying(k: int = k, folder: Path = folder) -> None:
            dying_at(k)
            run(spec, folder)

        ended = in_child(dying)
        if ended == 0:
            print(k - 1)
            return 0
        if ended != DIED or in_child(lambda folder=folder: run(spec, folder, resume=True)) != 0:
            print(f"at point {k} the run ended with {ended}, or could not be resumed", file=sys.stderr)
            return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
