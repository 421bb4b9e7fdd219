"""Two arms that share generation 0, and their page: `python loop.py SPEC OUT [key=value ...]`, resumable."""

import sys
import time
from pathlib import Path

import yaml

import autophage
from autophage.report.plots import figures
from autophage.report.rendering import write
from autophage.runs.paged import page_of

ARMS = {
    "own samples only": {"kind": "replace"},
    "lambda = 0.5": {"kind": "mix", "synthetic_ratio": 0.5},
}


def main(path: str, out: str, *changes: str) -> None:
    spec = yaml.safe_load(Path(path).read_text())
    for change in changes:
        keys, _, value = change.partition("=")
        *outer, last = keys.split(".")
        place = spec
        for key in outer:
            place = place[key]
        place[last] = yaml.safe_load(value)
    begun, runs, models = time.monotonic(), {}, {}

    def told(event: dict) -> None:
        if event["event"] == "generation_done":
            print(
                f"{time.monotonic() - begun:6.1f} s  generation {event['generation']}",
                event["metrics"],
                flush=True,
            )
        elif event["event"] == "working" and event["share"] == 1:
            print(f"{time.monotonic() - begun:6.1f} s  {event['what']}", flush=True)

    for name, workflow in ARMS.items():
        print(name, flush=True)
        place = Path(out) / "-".join(name.replace("=", "").split())
        runs[name] = autophage.run(
            {**spec, "name": name, "workflow": workflow},
            out=place,
            resume=True,
            observe=told,
            first_models=models,
        )
        page = page_of(runs, title="CIFAR-10, EDM: own samples only, half synthetic")
        write(page, Path(out) / "report.html")
    figures(page, Path(out) / "figures", ("png",))


if __name__ == "__main__":
    main(*sys.argv[1:])
