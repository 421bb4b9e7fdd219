"""A linear regression's data: Gaussian inputs, and labels that are linear in them up to noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from autophage.data.arguments import array, frozen, not_negative, vector, whole_number
from autophage.data.pairs import GaussianInputs
from autophage.data.source import FIXED, UnlimitedSource
from autophage.errors import SpecError
from autophage.keys import Key
from autophage.parts import Domain, Model
from autophage.theory.regression_spectra import SYMMETRY, Directions, check_exponents, power_law

LENGTH = 1.0
"""Length of the signal where none is given."""


@dataclass(frozen=True, kw_only=True)
class Exponents:
    """s_j = j^-capacity, and s_j w_j^2 = j^-(1 + 2 source capacity) unless a signal is given."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    capacity: float
    """How fast the inputs' variances fall; above 1."""
    source: float
    """How much of the signal lies in the leading directions; above 0."""

    def __post_init__(self) -> None:
        check_exponents(self.capacity, self.source)


@dataclass(frozen=True, kw_only=True)
class PowerLaw:
    """A spectrum that falls as a power of the rank."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    power_law: Exponents
    """Capacity and source."""


@dataclass(frozen=True, kw_only=True)
class RegressionSource(UnlimitedSource):
    """Pairs (x, y): x ~ N(0, Sigma) in `dim` dimensions, y = x.w + noise eps with eps ~ N(0, 1).

    Records are written in the eigenbasis of Sigma, `dim` inputs and the label last: a full covariance is rotated once, a
    signal with it, and nothing that is measured depends on that. Directions of no variance are left out, with a note.
    Raises `SpecError` for shapes that disagree, a covariance that is not symmetric and positive semidefinite (to 1e-10
    of its largest entry), or numbers out of range.

    >>> source = RegressionSource(spectrum=[[2, 1], [1, 2]], signal=[1, 1], noise=0.5)
    >>> source.dim, source.directions.eigenvalues.round(12).tolist(), round(source.directions.energy, 12)
    (2, [3.0, 1.0], 6.0)
    >>> source.draw(5, key=Key(0), replicates=3).x.shape
    (3, 5, 3)
    """

    domain: ClassVar[Domain] = "pairs"
    outputs: ClassVar[int] = 1
    citation: ClassVar[tuple[str, ...]] = ()

    dim: int = 1
    """d, the number of inputs; a longer `spectrum` or `signal` sets it. A record holds d + 1 numbers."""
    noise: float = 1.0
    """The standard deviation of the labels about x.w."""
    spectrum: float | tuple[float, ...] | tuple[tuple[float, ...], ...] | PowerLaw | None = None
    """The inputs' covariance: a number (times the identity), a list (its eigenvalues), a matrix as a list of rows, or
    {power_law: {capacity, source}}; the identity unless given."""
    signal: float | tuple[float, ...] | None = None
    """w: a list, in the basis in which the spectrum is given; or a number, its length in a random direction of the
    eigenbasis that no seed changes. Default: the power law's own where the spectrum is one, else length 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(self.dim, "data.dim", least=1)
        not_negative(self.noise, "data.noise")
        if isinstance(self.spectrum, Mapping):
            object.__setattr__(self, "spectrum", _power_law(self.spectrum))
        given: dict[str, int] = {}
        if self.spectrum is not None and not isinstance(self.spectrum, PowerLaw):
            cov = _covariance(array(self.spectrum, "data.spectrum"))
            if cov.ndim:
                given["data.spectrum"] = len(cov)
        if self.signal is not None:
            signal = array(self.signal, "data.signal")
            if signal.ndim:
                given["data.signal"] = len(vector(self.signal, "data.signal"))
            elif not signal >= 0:
                raise SpecError(
                    f"data.signal is {self.signal}; as a length it must be zero or more, as weights a list"
                )
        wide = max(given.values(), default=self.dim)
        for key, width in given.items():
            if width != wide:
                raise SpecError(f"{key} is for {width} inputs but the records have {wide}; make them agree")
        object.__setattr__(self, "_given_dim", wide)
        for name in ("spectrum", "signal"):
            object.__setattr__(self, name, frozen(getattr(self, name)))
        rank = len(self.directions.eigenvalues)
        if self.dim not in (1, wide, rank):
            raise SpecError(
                f"data.dim is {self.dim} but {next(iter(given))} is for {wide} inputs; make them agree"
            )
        object.__setattr__(self, "dim", rank)

    @cached_property
    def directions(self) -> Directions:
        """Eigenvalues of the inputs' covariance and the signal along them, both (dim,)."""
        s, w = self._everywhere
        return Directions(s[s > 0], w[s > 0])

    @cached_property
    def _everywhere(self) -> tuple[np.ndarray, np.ndarray]:
        d: int = self._given_dim  # type: ignore[attr-defined]
        if isinstance(self.spectrum, PowerLaw):
            law = power_law(d, self.spectrum.power_law.capacity, self.spectrum.power_law.source)
            return law.eigenvalues, law.signal if self.signal is None else self._weights(d)
        cov = array(1.0 if self.spectrum is None else self.spectrum, "data.spectrum")
        if cov.ndim < 2:
            return np.broadcast_to(cov, (d,)), self._weights(d)
        values, vectors = np.linalg.eigh((cov + cov.T) / 2)
        values = np.where(values > SYMMETRY * np.abs(cov).max(), values, 0.0)
        w = self._weights(d)
        return values[::-1], (w if np.ndim(self.signal or 0.0) == 0 else (vectors.T @ w)[::-1])

    def _weights(self, d: int) -> np.ndarray:
        signal = array(LENGTH if self.signal is None else self.signal, "data.signal")
        if signal.ndim:
            if len(signal) != d:
                raise SpecError(f"data.signal has {len(signal)} weights for {d} inputs; make them agree")
            return signal
        direction = (FIXED / "signal").generator().standard_normal(d)
        return signal * direction / np.linalg.norm(direction)

    @cached_property
    def inputs(self) -> GaussianInputs:
        """The law of the inputs."""
        return GaussianInputs(self.directions.eigenvalues)

    @cached_property
    def truth(self) -> Model:
        from autophage.learners.regression_model import RegressionModel

        return RegressionModel(self.directions.signal[None], noise=float(self.noise), inputs=self.inputs)

    @property
    def notes(self) -> tuple[str, ...]:
        dropped = len(self._everywhere[0]) - self.dim
        if not dropped:
            return ()
        return (
            f"{dropped} of {self.dim + dropped} eigenvalues of data.spectrum are zero; these directions are left out",
        )

    caption: ClassVar[str] = "Across: what the label would be without noise; up: the label."

    @property
    def trivial_risks(self) -> dict[str, float]:
        """The risk of a model that always answers zero, by the metric's name; none where nothing is better."""
        return {"excess_risk": self.directions.energy} if self.directions.energy else {}

    def seen(self, x: np.ndarray) -> np.ndarray:
        """Records (..., d + 1) as points (..., 2): the noise-free true label, and the label."""
        return np.stack([x[..., :-1] @ self.directions.signal, x[..., -1]], axis=-1)

    def records(self, n: int, key: Key, replicates: int) -> tuple[np.ndarray, None]:
        x = np.empty((replicates, n, self.dim + 1))
        x[..., :-1] = self.inputs.draw(n, replicates, key / "inputs")
        x[..., -1] = (key / "noise").generator().standard_normal((replicates, n))
        x[..., -1] *= self.noise
        x[..., -1] += x[..., :-1] @ self.directions.signal
        return x, None


def _power_law(value: Mapping[str, Any]) -> PowerLaw:
    body = value.get("power_law")
    if set(value) != {"power_law"} or not isinstance(body, Mapping) or set(body) != {"capacity", "source"}:
        raise SpecError("data.spectrum is a mapping; as such it is {power_law: {capacity, source}}")
    return PowerLaw(power_law=Exponents(**body))


def _covariance(cov: np.ndarray) -> np.ndarray:
    """The number, eigenvalues or matrix. Raises `SpecError` where it cannot be a covariance."""
    if cov.ndim > 2 or (cov.ndim == 2 and cov.shape[0] != cov.shape[1]):
        size = " x ".join(map(str, cov.shape))
        raise SpecError(f"data.spectrum is {size}; a covariance is a square matrix, its eigenvalues a list")
    slack = SYMMETRY * np.abs(cov).max()
    if cov.ndim == 2:
        if np.abs(cov - cov.T).max() > slack:
            raise SpecError("data.spectrum is not symmetric (to 1e-10 of its largest entry)")
        least = float(np.linalg.eigvalsh((cov + cov.T) / 2)[0])
        if least < -slack:
            raise SpecError(
                f"data.spectrum is not positive semidefinite: its smallest eigenvalue is {least:.3g}"
            )
    elif (cov < 0).any():
        raise SpecError(f"data.spectrum holds {cov.min():g}; eigenvalues of a covariance are not negative")
    if not np.abs(cov).max() > 0:
        raise SpecError("data.spectrum is zero everywhere: the inputs do not vary")
    return cov
