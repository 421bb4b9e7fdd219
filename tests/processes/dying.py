"""Runs a process that dies at the k-th point around a write, for every k, and resumes it each time.

python dying.py SPEC PLACE          (points and children: tests/runs/exit_at_write.py)
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "runs"))

from exit_at_write import dying_at_every_point

from autophage.processes.running import run, run_replicate
from autophage.processes.spec import ProcessSpec
from autophage.runs.writing import manifest_of


def main(path: str, place: Path) -> int:
    # Once in memory and without polars, so that children find everything imported.
    spec = ProcessSpec.of(path)
    run_replicate(spec, 0)
    manifest_of(spec, "running")
    return dying_at_every_point(run, spec, place)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
