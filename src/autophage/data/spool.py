"""Decoded pictures one after the other: in memory while they are few, beyond that in a file that is mapped.

All have one shape (h, w, c), c = 1 as long as every one is grey and 3 from the first colour on.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import BinaryIO

import numpy as np

from autophage.data.source import pieces


class Spool:
    """Takes blocks of pictures and gives them back as one array.

    `place` is where a file may be written (None: nowhere). It is made once more than `most` bytes have come; where that
    fails, or the disk is full, the pictures stay in memory and `refused` says why.
    """

    def __init__(self, place: Path | None, most: int) -> None:
        self.place, self.most = place, most
        self.count = 0
        self.shape: tuple[int, int, int] = (0, 0, 1)
        self.refused = ""
        self._size = 0
        self._memory = io.BytesIO()
        self._file: BinaryIO | None = None

    @property
    def on_disk(self) -> bool:
        return self._file is not None

    def add(self, x: np.ndarray) -> None:
        """Appends pictures (k, h, w, c) uint8 of the height and width of those before."""
        if not self.count:
            self.shape = (x.shape[1], x.shape[2], x.shape[3])
        elif x.shape[3] > self.shape[2]:
            self._widen()
        elif x.shape[3] < self.shape[2]:
            x = x.repeat(3, axis=3)
        content = np.ascontiguousarray(x).data.cast("B")
        if self._file is None and self.place is not None and self._size + content.nbytes > self.most:
            self._move(self.place)
        if self._file is not None:
            try:
                _write(self._file, content)
            except OSError as error:
                self._retreat(error)
        if self._file is None:
            self._memory.write(content)
        self.count += len(x)
        self._size += content.nbytes

    def array(self) -> np.ndarray:
        """(n, h, w, c) uint8, mapped where there is a file. Nothing can be added any more."""
        shape = (self.count, *self.shape)
        if self._file is not None:
            return np.memmap(self._file, np.uint8, mode="r", shape=shape)
        return np.frombuffer(self._memory.getbuffer(), np.uint8).reshape(shape)

    def close(self) -> None:
        """Removes the file; an array that was given out stays readable as long as it lives."""
        if self._file is not None:
            self._file.close()
            assert self.place is not None
            with contextlib.suppress(OSError):
                self.place.unlink()

    def _widen(self) -> None:
        """Three equal channels in place of one."""
        place = None if self.place is None else self.place.with_name(self.place.name + "-colour")
        wide, narrow = Spool(place, self.most), self.array()
        for piece in pieces(narrow):
            wide.add(narrow[piece].repeat(3, axis=3))
        self.close()
        vars(self).update(vars(wide) | {"refused": wide.refused or self.refused})

    def _move(self, place: Path) -> None:
        """From memory to the file."""
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(place, "w+b", buffering=0)  # noqa: SIM115 (it stays open)
            _write(self._file, self._memory.getbuffer())
        except OSError as error:
            self._give_up(error)
        else:
            self._memory = io.BytesIO()

    def _retreat(self, error: OSError) -> None:
        """From the file, of which the last block is missing or torn, back to memory."""
        assert self._file is not None
        self._file.seek(0)
        self._memory = io.BytesIO()
        while self._memory.tell() < self._size:
            self._memory.write(self._file.read(min(1 << 20, self._size - self._memory.tell())))
        self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.close()
        self._file, self.place = None, None
        self.refused = error.strerror or str(error)


def _write(file: BinaryIO, content: memoryview) -> None:
    while content.nbytes:  # a disk that fills up takes a part, and refuses at the next try
        content = content[file.write(content) :]
