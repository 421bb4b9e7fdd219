"""`python -m autophage.demo`: real handwritten digits through a flow that eats its own samples.

Two arms share generation 0: one is trained on its own samples only, the other keeps the real digits in every
training set. The page puts their courses, their verdicts and their digits side by side.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from autophage.commands.running import Progressing, profiled
from autophage.report.rendering import write
from autophage.runs.folder import Folder
from autophage.runs.paged import page_of
from autophage.runs.run import Run, run
from autophage.spec import Spec

BASE: dict[str, Any] = {
    "seed": 0,
    "replicates": 3,
    "generations": 9,
    "data": {"kind": "digits"},
    "learner": {"kind": "flow"},
    "metrics": [
        "held_out_log_likelihood",
        "frechet",
        "precision_recall",
        "sample_variance",
        "tail_coverage",
        "outside_support",
    ],
}
ARMS: dict[str, dict[str, Any]] = {
    "fully synthetic": {"kind": "replace"},
    "real data kept": {"kind": "mix", "synthetic_ratio": 1.0},
}


def main(place: Path = Path("runs/demo")) -> int:
    console = Console(stderr=True)
    started = time.monotonic()
    runs: dict[str, Run] = {}
    folders: dict[str, Path] = {}
    for arm, workflow in ARMS.items():
        folder = place / arm.replace(" ", "-")
        if folder.exists():
            shutil.rmtree(folder)
        spec = Spec.of({**BASE, "name": arm, "workflow": workflow})
        with Progressing(spec, console) as observe:
            runs[arm] = run(
                spec, folder, workers=2, observe=observe, shared=next(iter(folders.values()), None)
            )
        folders[arm] = Folder(folder).path
    page = page_of(
        runs,
        title="A generative model that eats its own digits",
        subtitle=(
            "1,438 real handwritten digits through a normalising flow, refitted nine times: on its own samples only, and on "
            "its samples together with the real digits. Both arms share generation 0."
        ),
        lead="fully synthetic",
    )
    write(page, place / "report.html")
    shown = Console()
    for arm, done in runs.items():
        profile = done.verdict()
        shown.print(f"\n[bold]{arm}[/]  {profile.sentence()}")
        shown.print(profiled(profile))
    if page.advice is not None:
        shown.print(f"\n[bold]Next[/]  {page.advice['sentence']}")
    print(f"\nPage  {place / 'report.html'}   ({time.monotonic() - started:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
