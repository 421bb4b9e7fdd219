"""Decoded pictures on disk, already split, so that a run maps them instead of decoding them again.

    FOLDER/<hash>/train.npy, reference.npy      (n, h * w * c) uint8
    FOLDER/<hash>/train_label.npy, ...          (n,) int64, where there are labels
    FOLDER/<hash>/train_caption.npy, ...        (n,) strings, where there are captions
    FOLDER/<hash>/about.json                    the shape of a picture, the classes, all captions of those held out,
                                                what is to be said

The hash names the files' paths, sizes and times of change and all settings, so nothing in the folder is ever stale: it
may be deleted at any time. An entry appears whole or not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from autophage.data.source import Records, Split, pieces, split_rows
from autophage.errors import DataError
from autophage.samples import Samples

VARIABLE = "AUTOPHAGE_CACHE"
"""The environment variable that names the folder of what was decoded."""

VERSION = 2
DAY = 86_400.0
PARTS = ("train", "reference")


class Kept(NamedTuple):
    """A split set of pictures, its classes' names, and what is to be said about it."""

    split: Split
    classes: tuple[str, ...] | None
    notes: tuple[str, ...]


def usual_folder() -> Path:
    """What AUTOPHAGE_CACHE names, or `autophage` in the user's folder of caches."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "autophage"


def fingerprint(files: Iterable[Path], settings: Mapping[str, Any]) -> str:
    """A name for what these files are decoded to. Raises `DataError` when one cannot be looked at."""
    from PIL import __version__ as decoder

    digest = hashlib.blake2b(json.dumps([VERSION, decoder, dict(settings)]).encode(), digest_size=12)
    for file in files:
        try:
            about = file.stat()
        except OSError as error:
            raise DataError(f"{file} cannot be read: {error.strerror or error}") from error
        digest.update(f"{os.path.abspath(file)}\0{about.st_size}\0{about.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def fetched(place: Path) -> Kept | None:
    """What is kept at a place, mapped; None when there is nothing whole."""
    try:
        about = json.loads((place / "about.json").read_text(encoding="utf-8"))
        classes = None if about["classes"] is None else tuple(about["classes"])
        parts = []
        for name in PARTS:
            label = None if classes is None else np.load(place / f"{name}_label.npy", allow_pickle=False)
            told = about["references"] is not None
            caption = np.load(place / f"{name}_caption.npy", allow_pickle=False) if told else None
            x = np.load(place / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            parts.append(Samples.of(x, label=label, caption=caption))
        every = None if about["references"] is None else tuple(map(tuple, about["references"]))
        split = Split(parts[0], parts[1], tuple(about["shape"]), every)
        return Kept(split, classes, tuple(about["notes"]))
    except (OSError, ValueError, KeyError, TypeError, EOFError):  # DataError is a ValueError
        return None


def put(
    place: Path, part: Path, found: Records, classes: tuple[str, ...] | None, notes: tuple[str, ...]
) -> None:
    """Splits the records into a folder inside `part` that then becomes `place`. Raises `OSError` when the disk refuses."""
    x, label = found.x, found.label
    entry = part / "entry"
    entry.mkdir()
    flat = x.reshape(len(x), -1)
    for name, rows in zip(PARTS, split_rows(len(x)), strict=True):
        with open(entry / f"{name}.npy", "wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": (len(rows), flat.shape[1])}
            np.lib.format.write_array_header_1_0(file, header)
            for piece in pieces(flat[: len(rows)]):
                file.write(np.ascontiguousarray(flat[rows[piece]]).data)
        if label is not None:
            np.save(entry / f"{name}_label.npy", label[rows].astype(np.int64))
        if found.caption is not None:
            np.save(entry / f"{name}_caption.npy", found.caption[rows], allow_pickle=False)
    every = None if found.references is None else [found.references[i] for i in split_rows(len(x))[1]]
    about = {"shape": x.shape[1:], "classes": classes, "notes": notes, "references": every}
    (entry / "about.json").write_text(json.dumps(about), encoding="utf-8")
    # Another process may have been faster: what it put there is the same, unless it is broken.
    if fetched(place) is None:
        with contextlib.suppress(FileNotFoundError):
            os.rename(place, part / "broken")
        try:
            os.rename(entry, place)
        except OSError:
            if fetched(place) is None:
                raise


@contextlib.contextmanager
def workplace(place: Path | None) -> Iterator[tuple[Path | None, str]]:
    """A new folder beside `place` to work in, removed afterwards; or None and the reason where nothing can be written."""
    if place is None:
        yield None, ""
        return
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        _sweep(place.parent)
        part = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".part", dir=place.parent))
    except OSError as error:
        yield None, error.strerror or str(error)
        return
    try:
        yield part, ""
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Removes what killed processes left behind more than a day ago."""
    for left in folder.glob(".*.part"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > DAY:
                shutil.rmtree(left, ignore_errors=True)
