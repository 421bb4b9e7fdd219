"""Who does a sweep's tasks: this process, worker processes of one thread each, or a Ray cluster."""

from __future__ import annotations

import contextlib
import json
import selectors
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from autophage.errors import MissingExtra, RunError, UserError
from autophage.runs.workers import last_words, started
from autophage.sweeps.store import Store
from autophage.sweeps.tasks import Columns, Work

Task = Sequence[int]


def here(work: Work, tasks: Sequence[Task], folder: Path | None) -> Iterator[Columns]:
    """Every task, in this process."""
    for cells in tasks:
        yield work.perform(cells, folder)


def processes(store: Store, tasks: Sequence[Task], workers: int, runs: bool) -> Iterator[Columns]:
    """Every task, each done by the next worker that is free. `runs`: single runs are kept in the folder."""
    waiting = deque(tasks)
    words = ["autophage.sweeps.worker", str(store.path), *(["runs"] if runs else [])]
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        busy = 0
        for _ in range(min(workers, len(tasks))):
            said = stack.enter_context(tempfile.TemporaryFile())
            process = started(words, said, subprocess.PIPE)
            stack.callback(process.wait)
            stack.callback(
                process.kill
            )  # every file is whole at any moment, so nothing is gained by asking gently
            assert process.stdout is not None and process.stdin is not None
            stack.callback(process.stdout.close)
            stack.callback(_closed, process.stdin)
            selector.register(process.stdout, selectors.EVENT_READ, (process, said))
            _give(process, waiting.popleft())
            busy += 1
        while busy:
            for event, _ in selector.select():
                process, said = event.data
                line = process.stdout.readline()
                if not line:
                    raise RunError(
                        f"a worker of the sweep died ({last_words(said, process)}); run it again to go on"
                    )
                columns = _columns(json.loads(line))
                if waiting:
                    _give(process, waiting.popleft())
                else:
                    busy -= 1
                yield columns


def _give(process: subprocess.Popen[bytes], cells: Task) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # a dead worker shows when it is listened to
        process.stdin.write(json.dumps(list(cells)).encode() + b"\n")
        process.stdin.flush()


def answer(work: Work, cells: Task, folder: Path | None) -> dict[str, Any]:
    """What another process says about a task: its columns, or a user's mistake in one sentence."""
    try:
        return {"columns": work.perform(cells, folder)}
    except UserError as error:
        return {"refused": str(error)}


def _columns(answered: dict[str, Any]) -> Columns:
    if "refused" in answered:
        raise RunError(answered["refused"])
    return answered["columns"]


def _closed(pipe: IO[bytes]) -> None:
    with contextlib.suppress(OSError):
        pipe.close()


def ray_cluster(work: Work, tasks: Sequence[Task], folder: Path | None) -> Iterator[Columns]:
    """Every task on a Ray cluster: the one this process is connected to, else one on this machine. `folder` must lie
    where every node can write. Raises `MissingExtra` when ray is not installed."""
    try:
        import ray
    except ImportError as error:
        raise MissingExtra(
            "--on ray needs ray, which is not installed: pip install 'autophage[ray]', or take --on local"
        ) from error
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    sent = json.dumps(Store.described(work))
    remote = ray.remote(on_node)
    place = None if folder is None else str(folder.resolve())
    pending = [remote.remote(sent, list(cells), place) for cells in tasks]
    while pending:
        done, pending = ray.wait(pending, num_returns=1)
        for one in done:
            yield _columns(ray.get(one))


def on_node(sent: str, cells: list[int], folder: str | None) -> Any:
    """One task, on whichever machine it landed."""
    return answer(_unpacked(sent), cells, None if folder is None else Path(folder))


@lru_cache(maxsize=2)
def _unpacked(sent: str) -> Work:
    return Store.work_of(json.loads(sent))
