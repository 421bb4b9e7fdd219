"""`make bench`: runs every benchmark and writes benchmarks/RESULTS.md."""

from __future__ import annotations

import datetime
from pathlib import Path

from benchmarks import (
    alignment,
    contaminated,
    image_metrics,
    loops,
    multiview,
    overhead,
    phase,
    regression,
    training,
)
from benchmarks.timing import machine


def main() -> None:
    lines = [
        "# Speed",
        "",
        f"{datetime.date.today().isoformat()}; {machine()}.",
        "",
        "Each figure is a median over rounds in which our side and the reference take turns in one process, in CPU "
        "seconds, one thread, metrics off (KDE: its log-likelihood on 500 points on both sides). References are in "
        "`benchmarks/references.py`: one replicate after the other in plain numpy. rep*gen/s is replicates x "
        "generations per CPU second. The limit is measured in the same rounds: the random numbers (or exponentials) "
        "that the path needs and nothing else.",
        "",
        "| loop (1,000 replicates x 100 generations, n = 100) | reference rep*gen/s | ours rep*gen/s | ratio | target | share of the limit | note |",
        "|---|---|---|---|---|---|---|",
    ]
    for rows in (
        loops.gaussian_rows,
        loops.accumulate_rows,
        loops.categorical_rows,
        contaminated.rows,
        loops.kde_rows,
        regression.rows,
    ):
        for row in rows():
            print(row.line(), flush=True)
            lines.append(row.line())
    lines += [
        "",
        "| phase diagram of the Gaussian mix loop, 200 x 200 cells, 100 replicates, 50 generations | CPU time | ratio | note |",
        "|---|---|---|---|",
    ]
    for figure in phase.figures():
        lines.append(figure.line())
        print(lines[-1], flush=True)
    lines += [
        "",
        "| metrics of image features | reference CPU time | ours | ratio | target | note |",
        "|---|---|---|---|---|---|",
    ]
    for image in image_metrics.figures():
        lines.append(image.line())
        print(lines[-1], flush=True)
    lines += [
        "",
        "| image models | by hand, records/s | ours, records/s | ratio | target |",
        "|---|---|---|---|---|",
    ]
    for rate in training.rates():
        lines.append(rate.line())
        print(lines[-1], flush=True)
    lines += [
        "",
        "| correlation analysis of two views | reference CPU time | ours | ratio | target | note |",
        "|---|---|---|---|---|---|",
    ]
    for view in multiview.figures():
        lines.append(view.line())
        print(lines[-1], flush=True)
    lines += ["", "| around the loop | measured | target |", "|---|---|---|"]
    for workflow in ("replace", "accumulate"):
        share = overhead.overhead(workflow)
        lines.append(
            f"| overhead around a learner of 100 ms, {workflow}, samples on disk | {100 * share:.1f} % | < 3 % |"
        )
        print(lines[-1], flush=True)
    for update in alignment.overheads():
        lines.append(update.line())
        print(lines[-1], flush=True)
    for start in overhead.startups():
        lines.append(f"| {start.name} | {start.seconds:.2f} s | {start.target} |")
        print(lines[-1], flush=True)
    (Path(__file__).parent / "RESULTS.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
