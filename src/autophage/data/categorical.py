"""A law over K symbols."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from autophage.data.arguments import frozen, not_negative, vector, whole_number
from autophage.data.source import UnlimitedSource
from autophage.errors import SpecError
from autophage.keys import Key
from autophage.parts import Domain, Model


@dataclass(frozen=True, kw_only=True)
class Zipf:
    """Probabilities p_i proportional to (i + shift)^-exponent for i = 1..symbols.

    Zipf's law, and with a shift Mandelbrot's form of it.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    symbols: int
    """How many symbols there are."""
    exponent: float = 1.0
    """How fast the probabilities fall; zero makes them equal."""
    shift: float = 0.0
    """Added to the rank; above -1."""

    def __post_init__(self) -> None:
        whole_number(self.symbols, "data.zipf.symbols", least=2)
        not_negative(self.exponent, "data.zipf.exponent")
        if not -1 < self.shift < np.inf:
            raise SpecError(f"data.zipf.shift is {self.shift}; it must be a finite number above -1")

    def probabilities(self) -> np.ndarray:
        """(symbols,) in the order of the ranks.

        >>> Zipf(symbols=3).probabilities().round(4).tolist()
        [0.5455, 0.2727, 0.1818]
        """
        logs = -self.exponent * np.log(np.arange(1, self.symbols + 1) + self.shift)
        weights = np.exp(logs - logs.max())  # a steep law must not underflow as a whole
        return weights / weights.sum()


def probability_vector(value: Any, key: str) -> np.ndarray:
    """`value` as a float64 vector of probabilities, just as it was given. Raises `SpecError`, naming the key, for a
    negative entry, and for a sum that is not 1 within 1e-8: nothing is normalised in silence."""
    p = vector(value, key)
    if (p < 0).any():
        at = int(np.argmin(p))
        raise SpecError(f"{key}[{at}] is {p[at]:g}; a probability is never negative")
    if not abs(p.sum() - 1) <= 1e-8:
        raise SpecError(f"{key} sum to {p.sum():.10g}; they must sum to 1")
    return p


def zipf_of(value: Any) -> Zipf | None:
    """The key `zipf` of a source, from a mapping where it comes as one."""
    if isinstance(value, Mapping):
        try:
            return Zipf(**value)
        except TypeError:
            raise SpecError(
                f"data.zipf has the keys {', '.join(map(str, value))}; "
                "it takes symbols (required), exponent and shift"
            ) from None
    if value is not None and not isinstance(value, Zipf):
        raise SpecError(f"data.zipf is {value!r}; it must hold symbols, and may hold exponent and shift")
    return value


@dataclass(frozen=True, kw_only=True)
class SymbolSource(UnlimitedSource):
    """Independent draws of one of K symbols."""

    domain: ClassVar[Domain] = "symbols"

    @property
    @abstractmethod
    def _p(self) -> np.ndarray:
        """(K,) the probability of each symbol."""

    @cached_property
    def _cumulative(self) -> np.ndarray:
        cumulative = np.cumsum(self._p)
        cumulative[np.flatnonzero(self._p)[-1] :] = (
            1.0  # rounding must not give a symbol of no probability a sliver
        )
        return cumulative

    @property
    def dim(self) -> int:
        return len(self._p)

    @property
    def shape(self) -> tuple[int, ...]:
        """(): a record is one symbol."""
        return ()

    def records(self, n: int, key: Key, replicates: int) -> tuple[np.ndarray, None]:
        u = key.generator().random((replicates, n))
        return np.searchsorted(self._cumulative, u, side="right"), None


@dataclass(frozen=True, kw_only=True)
class CategoricalSource(SymbolSource):
    """Independent symbols 0..K-1. Give exactly one of `probabilities`, `zipf` and `uniform`.

    Raises `SpecError` for anything that is not a probability vector with at least two possible symbols.

    >>> source = CategoricalSource(zipf=Zipf(symbols=20))
    >>> source.dim, source.draw(4, key=Key(0), replicates=2).x.shape
    (20, (2, 4))
    """

    probabilities: tuple[float, ...] | None = None
    """The probability of each symbol; they must sum to 1."""
    zipf: Zipf | None = None
    """A Zipf or Zipf-Mandelbrot law: `{symbols, exponent, shift}`."""
    uniform: int | None = None
    """That many symbols, all equally likely."""

    def __post_init__(self) -> None:
        super().__post_init__()
        given = [name for name in ("probabilities", "zipf", "uniform") if getattr(self, name) is not None]
        if len(given) != 1:
            raise SpecError(
                "data needs exactly one of probabilities, zipf and uniform to say how likely each symbol is, "
                f"got {' and '.join(given) or 'none'}"
            )
        object.__setattr__(self, "zipf", zipf_of(self.zipf))
        if self.uniform is not None:
            whole_number(self.uniform, "data.uniform", least=2)
        if self.probabilities is not None:
            probability_vector(self.probabilities, "data.probabilities")
            object.__setattr__(self, "probabilities", frozen(self.probabilities))
        if not self._p.max() < 1:
            raise SpecError("data gives all probability to one symbol; at least two must be possible")

    @cached_property
    def _p(self) -> np.ndarray:
        if self.zipf is not None:
            return self.zipf.probabilities()
        if self.uniform is not None:
            return np.full(self.uniform, 1 / self.uniform)
        p = vector(self.probabilities, "data.probabilities")
        return p / p.sum()

    @cached_property
    def truth(self) -> Model:
        from autophage.learners.categorical import CategoricalModel

        return CategoricalModel(probabilities=self._p[None])
