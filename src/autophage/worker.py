"""`python -m autophage.worker DIR BLOCK`: one block of a run, or a replicate of a process, on one thread of its own."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def environment() -> dict[str, str]:
    """What a worker process is started with: one thread, and the caller's places to find modules."""
    found = {**os.environ, **dict.fromkeys(THREADS, "1")}
    found["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
    return found


def leave_with_parent() -> None:
    """Ends this process when its parent does: standard input is a pipe that only the parent holds open."""

    def wait() -> None:
        while os.read(0, 4096):  # not sys.stdin, whose lock a thread may not hold when the interpreter ends
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def one_thread() -> None:
    """Torch computes on one thread from now on, where it has been imported."""
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)


def worked(task: Callable[[list[str]], None]) -> int:
    """What a worker process does: its task, told what stands on the command line, and it ends with its parent. The exit code: 0, or
    2 after a user's mistake, which is the last that it says."""
    if not sys.stdin.isatty():
        leave_with_parent()
    for name in THREADS:
        os.environ.setdefault(name, "1")
    from autophage.errors import UserError

    try:
        task(sys.argv[1:])
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def block(arguments: list[str]) -> None:
    """One block of the run in a folder."""
    from autophage.loop import Loop
    from autophage.runs.blocks import run_block
    from autophage.runs.folder import Folder
    from autophage.spec import Spec, read

    folder, number = Folder(arguments[0]), int(arguments[1])
    if "process" in read(folder.spec):
        from autophage.processes.running import run_replicate
        from autophage.processes.spec import ProcessSpec

        run_replicate(ProcessSpec.of(folder.spec), number, folder)
        return
    loop = Loop(Spec.of(folder.spec))
    if not loop.batched:
        one_thread()
    run_block(loop, loop.blocks()[number], folder)


if __name__ == "__main__":
    sys.exit(worked(block))
