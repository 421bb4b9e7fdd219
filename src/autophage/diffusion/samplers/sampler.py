"""What all samplers share: the walk down a ladder of noise levels, step by step, and its interruption.

Notation: y = x0 + sigma n is the record at noise level sigma (Karras et al. 2022, section 2), D(y; sigma) an estimate of
E[x0 | y]; a step leads from level t to level s < t. With d = (y - D) / sigma the score is -d / sigma, and

    dy / dsigma = d                                  (the probability-flow ODE; Song et al. 2021, equation 13)

carries the law of y at t into that at s.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from autophage.data.arguments import frozen
from autophage.diffusion.denoiser import Denoiser
from autophage.errors import FitFailed, SpecError
from autophage.parts import CONFIG


@dataclass(frozen=True)
class State:
    """Records on their way: `y` (n, ...) at the ladder's level `step`; `x0`, where the step before saw them end.

    A sampler that starts from a state goes on as if it had never stopped.
    """

    y: Tensor
    step: int = 0
    x0: Tensor | None = None


Draw = Callable[[int], Tensor]
"""draw(i): standard normal noise of the records' shape for step i, always the same for the same i."""


@dataclass(frozen=True)
class Step:
    """Step `number` of a ladder, and what a sampler may ask for on the way."""

    number: int
    ladder: tuple[float, ...]
    denoise: Denoiser
    label: Tensor | None
    draw: Draw
    clip: tuple[float, float] | None

    @property
    def t(self) -> float:
        """The level that the step leaves."""
        return self.ladder[self.number]

    @property
    def s(self) -> float:
        """The level that it reaches."""
        return self.ladder[self.number + 1]

    def x0(self, y: Tensor, sigma: float) -> Tensor:
        """D(y; sigma), of y's shape and type."""
        return self._checked(self.denoise(y, _level(sigma, y), self.label), y, sigma)

    def moments(self, y: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        """D(y; sigma), and the learned v of `Ancestral`."""
        known = getattr(self.denoise, "moments", None)
        x0, v = known(y, _level(sigma, y), self.label) if known else (None, None)
        if x0 is None or v is None:
            raise SpecError(
                "sampler.variance is 'learned', but this model has learned none; take 'small' or 'large', or train with "
                "a learned variance"
            )
        self._require_finite(v, sigma)
        return self._checked(x0, y, sigma), v.to(y.dtype)

    def noise(self, y: Tensor) -> Tensor:
        """The step's standard normal noise."""
        n = self.draw(self.number)
        if n.shape != y.shape:
            raise SpecError(
                f"draw({self.number}) has shape {tuple(n.shape)}; the noise of a step must have the records' shape "
                f"{tuple(y.shape)}"
            )
        return n.to(y)

    def _checked(self, x0: Tensor, y: Tensor, sigma: float) -> Tensor:
        if x0.shape != y.shape:
            raise SpecError(
                f"the denoiser returned shape {tuple(x0.shape)} for records of shape {tuple(y.shape)}; the two must be equal"
            )
        x0 = x0.to(y.dtype)
        self._require_finite(x0, sigma)
        return x0.clamp(*self.clip) if self.clip else x0

    def _require_finite(self, values: Tensor, sigma: float) -> None:
        # On an accelerator this waits once a step, next to a network's time nothing; a run that has failed stops at once.
        if not torch.isfinite(values).all():
            raise FitFailed(
                f"sampling broke off in step {self.number + 1} of {len(self.ladder) - 1}: at noise level {sigma:.6g} the "
                "denoiser returned a value that is not finite"
            )


@dataclass(frozen=True, kw_only=True)
class Sampler(ABC):
    """A rule for one step down the ladder."""

    __pydantic_config__: ClassVar[dict] = CONFIG

    clip: tuple[float, float] | None = None
    """Every estimate of x0 is held between these two values, such as [-1, 1] for images; unset, it is taken as it is."""

    def __post_init__(self) -> None:
        if self.clip is None:
            return
        object.__setattr__(self, "clip", frozen(self.clip))
        if not (
            isinstance(self.clip, tuple)
            and len(self.clip) == 2
            and all(isinstance(v, int | float) and math.isfinite(v) for v in self.clip)
            and self.clip[0] < self.clip[1]
        ):
            raise SpecError(
                f"sampler.clip is {self.clip!r}; it must be two finite numbers, the lower one first"
            )

    @abstractmethod
    def advance(self, state: State, step: Step) -> tuple[Tensor, Tensor]:
        """y at level `step.s`, and the estimate of x0 that led there, from the state at `step.t`."""

    def evaluations(self, steps: int, to_zero: bool = True) -> int:
        """Evaluations of the denoiser in `steps` steps of a ladder, which ends at 0 or above it."""
        return steps

    def sample(
        self,
        denoise: Denoiser,
        start: Tensor | State,
        ladder: Tensor,
        draw: Draw,
        label: Tensor | None = None,
    ) -> Tensor:
        """The records (n, ...) at the ladder's last level.

        denoise: D(y (n, ...), sigma (), label (n,) or None) -> x0-hat (n, ...).
        start: y (n, ...) at ladder[0], of the float type that is worked in; or the `State` where a walk was left.
        ladder: (steps + 1,) noise levels, strictly decreasing, the last one usually 0.
        draw: standard normal noise of start's shape for each step, always the same for the same one.
        label: (n,) class of each record, or None.

        Raises `SpecError` for a ladder that is none, and `FitFailed`, naming the step, where an estimate is not finite.
        """
        state = start if isinstance(start, State) else State(start)
        for reached in self.states(denoise, state, ladder, draw, label):
            state = reached
        return state.y

    @torch.no_grad()
    def states(
        self,
        denoise: Denoiser,
        start: Tensor | State,
        ladder: Tensor,
        draw: Draw,
        label: Tensor | None = None,
    ) -> Iterator[State]:
        """The states after each step that is left to do; `sample` returns the last one's y."""
        state = start if isinstance(start, State) else State(start)
        levels = checked(ladder)
        if not 0 <= state.step < len(levels):
            raise SpecError(
                f"the state stands at step {state.step}; a ladder of {len(levels) - 1} steps has levels 0 to {len(levels) - 1}"
            )
        if not torch.isfinite(state.y).all():
            raise FitFailed("sampling did not begin: a record to start from holds a value that is not finite")
        for number in range(state.step, len(levels) - 1):
            y, x0 = self.advance(state, Step(number, levels, denoise, label, draw, self.clip))
            state = State(y, number + 1, x0)
            yield state


def checked(ladder: Tensor) -> tuple[float, ...]:
    """The ladder's levels. Raises `SpecError` unless they are finite, not negative and strictly decreasing."""
    if ladder.ndim != 1 or len(ladder) < 2:
        raise SpecError(
            f"the ladder has shape {tuple(ladder.shape)}; it must be a flat list of at least two noise levels"
        )
    levels = tuple(map(float, ladder.tolist()))
    if not all(math.isfinite(level) and level >= 0 for level in levels):
        raise SpecError(
            "the ladder holds a level that is negative or not finite; noise levels are finite and 0 or above"
        )
    for i, (t, s) in enumerate(itertools.pairwise(levels)):
        if not s < t:
            raise SpecError(
                f"the ladder does not go down: level {i} is {t:g} and level {i + 1} is {s:g}; every noise level must be "
                "below the one before"
            )
    return levels


def _level(sigma: float, y: Tensor) -> Tensor:
    """sigma () beside y, in float64 wherever the device has it; filled in place, so that nothing waits for a copy."""
    kind: Any = torch.float32 if y.device.type == "mps" else torch.float64
    return torch.full((), sigma, dtype=kind, device=y.device)
