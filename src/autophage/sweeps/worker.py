"""`python -m autophage.sweeps.worker DIR`: does a sweep's tasks, one after the other, in a process of one thread.

Tasks come in on standard input, one JSON list of cells a line; answers go out on standard output, one JSON object a
line. The end of standard input is the end of the process: it is a pipe that only the parent holds open.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from pathlib import Path

from autophage.worker import THREADS


def _heard(tasks: queue.SimpleQueue[str]) -> None:
    """Reads tasks until the parent is gone, then ends the process, whatever it is doing."""
    left = b""
    while chunk := os.read(
        0, 1 << 16
    ):  # not sys.stdin, whose lock a thread may not hold when the interpreter ends
        *lines, left = (left + chunk).split(b"\n")
        for line in lines:
            tasks.put(line.decode())
    os._exit(0)


def main(arguments: list[str]) -> None:
    for name in THREADS:
        os.environ.setdefault(name, "1")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a learner prints is no answer
    tasks: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_heard, args=(tasks,), daemon=True).start()
    from autophage.sweeps.pools import answer
    from autophage.sweeps.store import Store

    store = Store(Path(arguments[0]))
    work = store.work()
    keeps_runs = len(arguments) > 1
    while True:
        said = answer(work, json.loads(tasks.get()), store.path if keeps_runs else None)
        print(json.dumps(said), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
