"""Where long work inside one generation is put down now and then, so that a death costs minutes and not the generation.

A run on disk lays a shelf out for each replicate and clears it when a generation is done. Whoever works long asks for it by
the key of his random stream, so what he finds is his own. Without a run there is no shelf, and nothing is stored.

    with shelf_at(folder, spec_hash): ...            a run
    put(key, {"step": ...}); get(key); forget(key)   a trainer, a sampler
    tell("training", .3)                             whoever works, for the progress line
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path

import numpy as np

from autophage.errors import RunError
from autophage.keys import Key

SECONDS = 60.0
"""Work is put down that often."""

Listener = Callable[[str, float], None]

_place: ContextVar[Path | None] = ContextVar("place", default=None)
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextlib.contextmanager
def shelf_at(place: Path | None, listener: Listener | None = None) -> Iterator[None]:
    """Within the block, work is put down in this folder and its progress told to the listener."""
    tokens = _place.set(place), _listener.set(listener)
    try:
        yield
    finally:
        _place.reset(tokens[0])
        _listener.reset(tokens[1])


def tell(what: str, share: float) -> None:
    """Says how far a piece of work has come, in [0, 1]."""
    listener = _listener.get()
    if listener is not None:
        listener(what, share)


def put(key: Key, arrays: Mapping[str, np.ndarray]) -> None:
    """Puts work down under a key, in place of what lay there; without a shelf nothing happens.

    Raises `RunError` when the disk refuses.
    """
    place = _path(key)
    if place is not None:
        from autophage.runs.folder import npz, write

        write(place, npz(arrays))


def get(key: Key) -> dict[str, np.ndarray] | None:
    """What lies under a key; None where nothing does, or only what cannot be read."""
    place = _path(key)
    if place is None or not place.is_file():
        return None
    from autophage.runs.folder import unnpz

    try:
        return unnpz(place)
    except RunError:
        return None  # work is done again rather than trusted


def forget(key: Key) -> None:
    """Clears what lies under a key."""
    place = _path(key)
    if place is not None:
        place.unlink(missing_ok=True)


class Now:
    """Says when it is time to put work down: once a minute."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self) -> bool:
        if _place.get() is None or time.monotonic() - self._last < SECONDS:
            return False
        self._last = time.monotonic()
        return True


def _path(key: Key) -> Path | None:
    place = _place.get()
    return (
        None if place is None else place / f"{hashlib.blake2b(key.digest(), digest_size=12).hexdigest()}.npz"
    )
