"""Ends a run at the k-th point at which a process can die around a write, for every k, and resumes it each time.

    python exit_at_write.py SPEC PLACE

A point is: before a rename (the new file lies beside its place), after it, and in the middle of a line of the
log. Every run is a forked child, and so is every resumption; PLACE/k/run holds run k. Prints how many
points there were. polars must not be used before a fork, so this process only counts.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import polars  # noqa: F401
import safetensors.numpy  # noqa: F401

from autophage.loop import Loop
from autophage.runs import blocks
from autophage.runs.run import environment_of, run
from autophage.spec import Spec

DIED = 77


def in_child(work) -> int:
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def dying_at(k: int) -> None:
    points = 0
    replace, write = os.replace, os.write

    def point() -> bool:
        nonlocal points
        points += 1
        return points == k

    def replaced(*where) -> None:
        if point():
            os._exit(DIED)
        replace(*where)
        if point():
            os._exit(DIED)

    def written(handle: int, data: bytes) -> int:
        if point():
            write(handle, data[: len(data) // 2])
            os._exit(DIED)
        return write(handle, data)

    os.replace, os.write = replaced, written


def dying_at_every_point(run, spec, place: Path) -> int:
    """0 where every run that died could be resumed; how many points there were is printed."""
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


def main(spec: str, place: Path) -> int:
    blocks.CHECKPOINT_SECONDS = 0.0
    # Once in memory and without polars, so that children find everything imported.
    loop = Loop(Spec.of(spec))
    blocks.run_block(loop, loop.blocks()[0])
    environment_of(loop)
    return dying_at_every_point(run, loop.spec, place)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
