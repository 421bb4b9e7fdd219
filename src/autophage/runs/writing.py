"""What every run on disk does, whatever runs: claim its folder or go on in it, keep the manifest true, hand work to worker
processes."""

from __future__ import annotations

import contextlib
import io
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autophage import __version__
from autophage.errors import RunError, SpecError
from autophage.runs.folder import Folder, write
from autophage.runs.workers import side_by_side
from autophage.spec import read

if TYPE_CHECKING:
    import polars

Observer = Callable[[dict[str, Any]], None]

ENDED = ("completed", "failed")
"""The statuses of a run that has nothing left to do."""
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
    tasks = ((number, ["autophage.worker", str(folder.path), str(number)]) for number in numbers)
    told = len(folder.events())
    with contextlib.closing(side_by_side(tasks, workers)) as rounds:
        for ended in rounds:
            for number, code, last in ended:
                if code == 2:
                    raise RunError(last)
                if code:
                    raise RunError(f"the worker of block {number} died ({last}); go on with --resume")
            if observe is not None:
                events = folder.events()
                for event in events[told:]:
                    observe(event)
                told = len(events)


def with_workers(
    spec: Any,
    folder: Folder | None,
    numbers: Sequence[int],
    workers: int,
    observe: Observer | None,
    claim: Callable[[Folder], contextlib.AbstractContextManager[None]],
    opened: Callable[[Folder], Any],
) -> Any:
    """What has come out, `opened` from its folder, which is a passing one where none is given, after these blocks in worker
    processes."""
    if not spec.repeatable:
        raise SpecError(
            "workers read the spec from a file, and an object of this spec has no import path; use workers=1"
        )
    with contextlib.ExitStack() as stack:
        place = folder
        if place is None:
            passing = stack.enter_context(tempfile.TemporaryDirectory(prefix="autophage-"))
            place = Folder(Path(passing) / "run")
        with claim(place):
            work(numbers, place, workers, observe)
        done = opened(place)
        return done if folder is not None else replace(done, folder=None)


def settled(
    folder: Folder, found: Any, manifest: Callable[[str], dict[str, Any]], status: str, seconds: float
) -> None:
    """Writes the metric table of what has been `found` so far, and the manifest."""
    write(folder.path / "metrics.parquet", parquet(found.metrics))
    if status == "completed":
        status = found.status
        folder.event("run_done", status=status, failed=len(found.failures))
    folder.manifest(
        {
            **manifest(status),
            "failures": {str(k): v for k, v in found.failures.items()},
            "seconds": round(seconds, 3),
            "checksums": folder.checksums(),
        }
    )


def resumed(spec: Any, folder: Folder | None, resume: bool) -> tuple[Any, bool]:
    """The spec, with the seed that the folder's run has drawn where none is given; and whether that run has ended.

    Raises `RunError` where there is one that is not to go on, or one of another spec.
    """
    if folder is None or not folder.exists():
        return spec, False
    if not resume:
        raise RunError(
            f"{folder.path} already holds a run; add --resume to go on with it, or choose another --out"
        )
    there = read(folder.spec)
    if spec.seed_drawn and "seed" in there:
        seed = {"seed": there["seed"]}
        spec = spec.model_copy(update=seed) if hasattr(spec, "model_copy") else replace(spec, **seed)
    keys = _differing(there, spec.to_dict())
    if keys:
        raise RunError(
            f"{folder.path} holds a run of another spec (they differ in {', '.join(keys[:8])}); choose another --out"
        )
    return spec, folder.manifest().get("status") in ENDED


def _differing(a: Any, b: Any, where: str = "") -> list[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        names = [*a, *(k for k in b if k not in a)]
        return [k for n in names for k in _differing(a.get(n), b.get(n), f"{where}.{n}" if where else str(n))]
    return [] if json.dumps(a, default=str) == json.dumps(b, default=str) else [where]


def held(path: str | Path) -> tuple[Folder, dict[str, Any]]:
    """The folder of a run, and its spec as plain data. Raises `RunError` where there is none, or none that can be read."""
    folder = Folder(path)
    if not folder.exists():
        raise RunError(f"there is no run at {path}: no spec.yaml in it")
    raw = read(folder.spec)
    if "<object" in json.dumps(raw, default=str):
        raise RunError(
            f"the run at {path} used an object that has no import path; call run() with the object and resume=True"
        )
    return folder, raw
