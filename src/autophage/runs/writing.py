"""What every run on disk does, whatever runs: claim its folder, keep the manifest true, hand work to worker processes."""

from __future__ import annotations

import contextlib
import io
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from autophage import __version__
from autophage.errors import RunError
from autophage.runs.folder import Folder
from autophage.worker import environment

if TYPE_CHECKING:
    import polars

Observer = Callable[[dict[str, Any]], None]

LIBRARIES = ("numpy", "scipy", "scikit-learn", "polars", "torch", "zuko")


def manifest_of(spec: Any, status: str, **facts: Any) -> dict[str, Any]:
    """What a manifest says of any run: how it stands, what it is, and where it ran; `facts` are the run's own."""
    from importlib.metadata import PackageNotFoundError, version

    versions = {"autophage": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return {
        "status": status,
        "name": spec.name,
        "spec_hash": spec.digest,
        "seed": spec.seed,
        **facts,
        "versions": versions,
        "hardware": {
            "machine": platform.machine(),
            "system": platform.system(),
            "processor": _processor(),
            "cores": os.cpu_count(),
        },
    }


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


@contextlib.contextmanager
def writing(
    folder: Folder,
    spec: Any,
    manifest: Callable[[str], dict[str, Any]],
    settle: Callable[[str, float], None],
) -> Iterator[None]:
    """Claims the folder, keeps its manifest true, and leaves it resumable whatever happens inside. `manifest(status)` is what it
    says while the run goes on, `settle(status, seconds)` writes what has come out."""
    started = time.monotonic()
    if not folder.exists():
        folder.create(spec.to_yaml(), manifest("running"))
    with locked(folder):
        folder.sweep()
        before = folder.manifest()
        spent = float(before.get("seconds", 0.0))
        folder.manifest({**manifest("running"), "seconds": spent})
        if folder.events(holding="run_started"):
            folder.event("run_resumed")
        else:
            folder.event("run_started", name=spec.name, spec=spec.digest)
        try:
            yield
        except BaseException as error:
            word = "interrupted" if isinstance(error, KeyboardInterrupt) else "stopped"
            with contextlib.suppress(Exception):
                settle(word, spent + time.monotonic() - started)
            raise
        settle("completed", spent + time.monotonic() - started)


@contextlib.contextmanager
def locked(folder: Folder) -> Iterator[None]:
    """One process writes a folder at a time. Raises `RunError` when another one does."""
    try:
        import fcntl
    except ImportError:  # no such lock on this system; the folder is the caller's own affair
        yield
        return
    try:
        handle = open(folder.path / ".lock", "w")  # noqa: SIM115
    except OSError as error:
        raise RunError(f"cannot write to {folder.path}: {error.strerror or error}") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunError(f"{folder.path} is being written by another process") from error
        yield


def parquet(frame: polars.DataFrame) -> bytes:
    """A table as the bytes of a parquet file."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def work(numbers: Sequence[int], folder: Folder, workers: int, observe: Observer | None) -> None:
    """Blocks as independent tasks in worker processes of one thread each. Raises `RunError` with a worker's last words."""
    waiting = list(numbers)
    busy: dict[int, subprocess.Popen[bytes]] = {}
    heard: dict[int, IO[bytes]] = {}
    told = len(folder.events())
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                number = waiting.pop(0)
                command = [sys.executable, "-m", "autophage.worker", str(folder.path), str(number)]
                # Its own session: Ctrl-C reaches the parent only, which then stops the workers in order. Its standard
                # input ends when the parent does, whatever ends it. What it says goes to a file, which never fills up.
                heard[number] = tempfile.TemporaryFile()  # noqa: SIM115
                busy[number] = subprocess.Popen(
                    command,
                    env=environment(),
                    stdin=subprocess.PIPE,
                    stdout=heard[number],
                    stderr=heard[number],
                    start_new_session=True,
                )
            time.sleep(0.1)
            for number, process in list(busy.items()):
                if process.poll() is not None:
                    del busy[number]
                    if process.stdin is not None:
                        process.stdin.close()
                    with heard.pop(number) as file:
                        file.seek(0)
                        lines = file.read().decode(errors="replace").strip().splitlines()
                    last = lines[-1] if lines else f"exit code {process.returncode}"
                    if process.returncode == 2:
                        raise RunError(last)
                    if process.returncode:
                        raise RunError(f"the worker of block {number} died ({last}); go on with --resume")
            if observe is not None:
                events = folder.events()
                for event in events[told:]:
                    observe(event)
                told = len(events)
    finally:
        for process in busy.values():
            process.kill()  # every file is whole at any moment, so nothing is gained by asking gently
        for process in busy.values():
            process.communicate()
        for file in heard.values():
            file.close()
