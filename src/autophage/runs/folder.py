"""A run on disk.

    DIR/spec.yaml        resolved, complete: re-creates the run
    DIR/manifest.json    versions, hardware, seed, status, reasons, checksums
    DIR/events.jsonl     append-only: what happened when
    DIR/metrics.parquet  the metric table
    DIR/replicate_0002/generation_0003/<agent>/   samples, model, done-marker     (deep scale)
    DIR/batch/block_0000.npz                      one checkpoint now and then     (theory scale)

Every file appears whole or not at all (written beside its place, then renamed). Nothing is ever unpickled.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from autophage.errors import FitFailed, RunError
from autophage.samples import Field, Samples, Segments


@contextlib.contextmanager
def _said(path: Path) -> Iterator[None]:
    """A failing disk as one sentence."""
    try:
        yield
    except OSError as error:
        if isinstance(error, RunError):
            raise
        reason = {
            errno.ENOSPC: "the disk is full; free some space and go on with --resume",
            errno.EACCES: "permission denied",
            errno.EROFS: "the file system is read-only",
            errno.ENOTDIR: "a part of the path is a file, not a folder",
            errno.EEXIST: "a part of the path is a file, not a folder",
        }.get(error.errno or 0, error.strerror or str(error))
        raise RunError(f"cannot write to {path}: {reason}") from error


def as_name(text: str, empty: str) -> str:
    """Free text as a folder's name: only what every file system takes; `empty` where nothing of it is left.

    >>> as_name("digits: half / half", "run"), as_name("...", "run")
    ('digits-half-half', 'run')
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip(".-") or empty


def write(path: Path, content: bytes | str) -> None:
    """Puts a whole file in place, atomically. Raises `RunError` when the place cannot be written."""
    data = content.encode() if isinstance(content, str) else content
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    with _said(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(beside, "wb") as file:
                file.write(data)
            os.replace(beside, path)
        except BaseException:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise


def npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Arrays as the bytes of an uncompressed .npz."""
    buffer = io.BytesIO()
    np.savez(buffer, **{k.replace("/", "|"): np.asarray(v) for k, v in arrays.items()})  # type: ignore[arg-type]
    return buffer.getvalue()


def unnpz(path: Path) -> dict[str, np.ndarray]:
    """The arrays in an .npz file; never unpickles. Raises `RunError` when the file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {k.replace("|", "/"): stored[k] for k in stored.files}
    except Exception as error:
        raise RunError(
            f"the checkpoint {path} is damaged ({type(error).__name__}); delete it to redo that block"
        ) from error


class Folder:
    """The files of one run."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def spec(self) -> Path:
        return self.path / "spec.yaml"

    def exists(self) -> bool:
        with _said(self.path):
            return self.spec.is_file()

    def create(self, spec_yaml: str, manifest: Mapping[str, Any]) -> None:
        """A new run folder. Raises `RunError` when something else is there or the place cannot be written."""
        with _said(self.path):
            if self.path.exists() and not self.path.is_dir():
                raise RunError(f"{self.path} is a file; choose a folder that does not exist yet")
            if self.path.is_dir() and any(p for p in self.path.iterdir() if not p.name.startswith(".")):
                raise RunError(
                    f"{self.path} exists and holds something else; choose another --out, or --resume a run that is there"
                )
            self.path.mkdir(parents=True, exist_ok=True)
        # The spec first: it is what makes a folder a run, so that a death before the manifest leaves a run to resume.
        write(self.spec, spec_yaml)
        self.manifest(manifest)

    def manifest(self, content: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Reads the manifest (empty when a run died before it was written), or writes it."""
        place = self.path / "manifest.json"
        if content is not None:
            write(place, json.dumps(content, indent=2, default=str) + "\n")
            return dict(content)
        try:
            return json.loads(place.read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise RunError(f"{place} is damaged; restore it, or delete it and go on with --resume") from error

    def event(self, name: str, /, **facts: Any) -> None:
        """Appends one line to the log; a line torn by an earlier crash is closed first."""
        place = self.path / "events.jsonl"
        line = json.dumps({"event": name, "time": round(time.time(), 3), **facts}, default=str) + "\n"
        with _said(place):
            handle = os.open(place, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                size = os.fstat(handle).st_size
                if size and os.pread(handle, 1, size - 1) != b"\n":
                    line = "\n" + line
                left = line.encode()
                while left:  # a disk that fills up takes a part, and refuses at the next try
                    left = left[os.write(handle, left) :]
            finally:
                os.close(handle)

    def events(self, holding: str = "") -> list[dict[str, Any]]:
        """The log, or its lines that hold a text; torn lines are passed over."""
        place = self.path / "events.jsonl"
        found = []
        if place.is_file():
            for line in place.read_text(errors="replace").split("\n"):
                if holding in line:
                    with contextlib.suppress(json.JSONDecodeError):
                        found.append(json.loads(line))
        return found

    def sweep(self) -> None:
        """Removes what a process that died was still writing; only for who holds the lock."""
        for rest in self.path.rglob(".*.part"):
            with contextlib.suppress(OSError):
                rest.unlink()

    def checkpoint(self, block: int) -> Path:
        return self.path / "batch" / f"block_{block:04d}.npz"

    def generation(self, replicate: int, generation: int, agent: str | None = None) -> Path:
        place = self.path / f"replicate_{replicate:04d}" / f"generation_{generation:04d}"
        return place if agent is None else place / agent

    def checksums(self) -> dict[str, str]:
        """sha256 of the files that carry the result."""
        return {
            name: hashlib.sha256((self.path / name).read_bytes()).hexdigest()
            for name in ("spec.yaml", "metrics.parquet")
            if (self.path / name).is_file()
        }


def put_samples(place: Path, samples: Samples) -> Samples:
    """Writes a generation's samples, one .npy per field, and returns them memory-mapped."""
    for name, field in samples.fields.items():
        _put_array(place / f"{name}.npy", field)
    facts: dict[str, Any] = {"records": len(samples)}
    varied: dict[str, np.ndarray] = {}
    for name, column in zip(PROVENANCE, samples.columns, strict=True):
        values = np.asarray(column)
        if len(values) and (values.strides[0] == 0 or (values == values[0]).all()):
            facts[name] = values[0].item()  # one number for all records: one number in the file
        else:
            varied[name] = values
    if varied:
        write(place / "provenance.npz", npz(varied))
    write(place / "provenance.json", json.dumps(facts))
    return Samples(_mapped(place), *samples.columns)


def _put_array(path: Path, field: Any) -> None:
    """Streams an array to an .npy file: a pool in segments is never joined in memory."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    whole = field if isinstance(field, Segments) else Segments([np.asarray(field)])
    if whole.dtype.hasobject:
        raise FitFailed(
            f"the samples' field {path.stem} holds python objects; give numbers or strings, which can be stored"
        )
    with _said(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(beside, "wb") as file:
                header = {
                    "descr": np.lib.format.dtype_to_descr(whole.dtype),
                    "fortran_order": False,
                    "shape": whole.shape,
                }
                np.lib.format.write_array_header_2_0(file, header)
                for chunk in whole.chunks():
                    file.write(np.ascontiguousarray(chunk, dtype=whole.dtype).tobytes())
            os.replace(beside, path)
        except BaseException:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise


def get_samples(place: Path) -> Samples:
    """The samples of a generation, memory-mapped."""
    try:
        facts = json.loads((place / "provenance.json").read_text())
    except (OSError, ValueError) as error:
        raise RunError(_damaged(place)) from error
    varied = {} if all(name in facts for name in PROVENANCE) else unnpz(place / "provenance.npz")
    columns: dict[str, Any] = {k: varied[k] if k in varied else facts[k] for k in PROVENANCE}
    return Samples.of(**columns, **_mapped(place))  # type: ignore[arg-type]


PROVENANCE = ("generation", "agent", "weight")
"""The columns of `Samples`, in their order."""


def _mapped(place: Path) -> dict[str, Field]:
    try:
        return {p.stem: np.load(p, mmap_mode="r", allow_pickle=False) for p in sorted(place.glob("*.npy"))}
    except (OSError, ValueError, EOFError) as error:
        raise RunError(_damaged(place)) from error


def _damaged(place: Path) -> str:
    return f"the samples in {place} are damaged; delete that generation and the later ones"
