"""Named random streams.

A `Key` is a path of names below a seed: `Key(0) / "block" / 2 / "generation" / 5 / "main" / "fit"`. Its stream
depends on nothing but that path, so a result does not depend on how much work came before it, on the number
of workers, or on an interruption. One key feeds one vectorised call whose first axis is the replicate: numpy
fills arrays in C order, hence replicate r does not depend on how many replicates follow it.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence


class _Blank(ISeedSequence):
    """Seeds nothing: the state is set right after. Numpy's own seed sequence costs more than a small draw."""

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> np.ndarray:
        return np.zeros(n_words, dtype)


_BLANK = _Blank()


def _escaped(name: object) -> str:
    # No two paths may run together: Key / "a/b" is not Key / "a" / "b".
    text = str(name)
    return text.replace("%", "%25").replace("/", "%2F") if "/" in text or "%" in text else text


class Key:
    """The name of a random stream.

    >>> a = Key(0) / "fit" / 3
    >>> b = Key(0) / "fit" / 3
    >>> bool((a.generator().random(4) == b.generator().random(4)).all())
    True
    >>> (Key(0) / "fit").integer() == (Key(0) / "sample").integer()
    False
    >>> Key(0) / "a" / "b" == Key(0) / ("a", "b")
    True
    """

    __slots__ = ("name",)

    def __init__(self, seed: int, path: tuple[str | int, ...] = ()) -> None:
        self.name = "/".join([str(int(seed)), *map(_escaped, path)])

    def __truediv__(self, name: str | int | tuple[str | int, ...]) -> Key:
        child = object.__new__(Key)
        if type(name) is tuple:
            child.name = "/".join([self.name, *map(_escaped, name)])
        else:
            child.name = f"{self.name}/{_escaped(name)}"
        return child

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"Key({self.name!r})"

    def digest(self) -> bytes:
        """32 bytes that only this path has."""
        return hashlib.blake2b(self.name.encode(), digest_size=32).digest()

    def generator(self) -> np.random.Generator:
        """A fresh numpy generator at the start of this stream."""
        return self.rewind(np.random.Generator(np.random.SFC64(_BLANK)))  # type: ignore[arg-type]

    def rewind(self, generator: np.random.Generator) -> np.random.Generator:
        """Puts a generator that came from a key at the start of this stream, and returns it: cheaper than a fresh one.

        The hash is the whole state of SFC64, 256 bits; no seeding procedure stands in between."""
        state = {"state": np.frombuffer(self.digest(), np.uint64)}
        generator.bit_generator.state = {
            "bit_generator": "SFC64",
            "state": state,
            "has_uint32": 0,
            "uinteger": 0,
        }
        return generator

    def integer(self, bits: int = 31) -> int:
        """A whole number in [0, 2^bits), for libraries that take a seed."""
        return int.from_bytes(self.digest()[:8], "little") >> (64 - bits)

    def torch(self, device: str = "cpu") -> Any:
        """A fresh `torch.Generator` at the start of this stream."""
        import torch

        return torch.Generator(device=device).manual_seed(self.integer(62))

    @contextlib.contextmanager
    def globally(self) -> Iterator[None]:
        """For libraries that only know global generators: seeds python's, numpy's and (where loaded) torch's,
        and puts them back as they were."""
        before_python, before_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
        torch = sys.modules.get("torch")
        before_torch = torch.get_rng_state() if torch is not None else None
        random.seed(self.integer(62))
        np.random.seed(self.integer(32))  # noqa: NPY002
        if torch is not None:
            torch.manual_seed(self.integer(62))
        try:
            yield
        finally:
            random.setstate(before_python)
            np.random.set_state(before_numpy)  # noqa: NPY002
            if torch is not None:
                torch.set_rng_state(before_torch)
