"""An own diffusion model that fills squares: what is known is put back, at the right noise, before every step.

    for levels t > s of the ladder:   y <- known + t n  outside the square;   y <- step(y; t -> s)

(RePaint: Lugmayr et al. 2022, algorithm 1, in coordinates y = x0 + sigma n.) With `repeats` > 1 a step is taken so often, with
noise of variance t^2 - s^2 added in between, so that the square and what surrounds it come to terms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from autophage.data.arguments import whole_number
from autophage.errors import SpecError
from autophage.inpainting.inpainter import DrawnFiller, DrawnInpainter
from autophage.inpainting.squares import Grid
from autophage.keys import Key
from autophage.metrics.spaces.pictures import SourceRecords
from autophage.processes.process import resolve_nested

AT_ONCE = 256
"""Pictures that pass through the network together."""


@dataclass(frozen=True, kw_only=True)
class MaskedDiffusion(DrawnInpainter):
    """Learns the real training pictures with learner diffusion, and fills by its sampler with the known pixels put back at every
    step (RePaint)."""

    citation: ClassVar[tuple[str, ...]] = (
        "Lugmayr, Danelljan, Romero, Yu, Timofte and Van Gool (2022), RePaint: inpainting using denoising diffusion probabilistic "
        "models, CVPR, arXiv 2201.09865",
    )
    nested: ClassVar[Mapping[str, str]] = {"learner": "learner"}

    learner: Any = "diffusion"
    """The diffusion learner with its settings; pictures are learned without their classes."""
    sampler: str | None = None
    """How noise becomes pictures, such as ddim or heun; what suits the learner unless given."""
    steps: int | None = None
    """Steps of that sampler."""
    repeats: int = 1
    """How often each step is taken; 10 in the paper of RePaint, at ten times the cost."""

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(self.repeats, "inpainter.repeats", least=1)
        resolve_nested(self, "inpainter")

    def check(self, source: Any, grid: Grid) -> None:
        from autophage.learners.diffusion import Diffusion

        if not isinstance(self.learner, Diffusion):
            raise SpecError(
                "inpainter.learner must be of kind diffusion: the known pixels are put back at every level of its noise"
            )
        if self.learner.labels != "ignore":
            raise SpecError(
                "inpainter.learner.labels must be ignore, since a picture half filled has no class to be told"
            )
        if source.value_range is None or source.unlimited:
            raise SpecError(
                "inpainter masked_diffusion needs a finite set of pictures with a range of values, such as digits, mnist or images"
            )
        self.learner.check_sampling(self.sampling)

    @property
    def sampling(self) -> Any:
        """How its model is sampled."""
        from autophage.parts import Sampling

        return Sampling(sampler=self.sampler, steps=self.steps)

    def prepared(self, source: Any, grid: Grid, *, key: Key) -> MaskedFiller:
        real = SourceRecords.of_source(source.train(), source)
        model = self.learner.bound_to(source).fit(real, key=key / "fit")
        return MaskedFiller(self, grid, model)

    def borrowed(self, filler: Any) -> MaskedFiller | None:
        """The same network, where the other arm's learner is the same."""
        same = isinstance(filler, MaskedFiller) and filler.part.learner == self.learner
        return MaskedFiller(self, filler.grid, filler.fitted) if same else None

    def restored(
        self, arrays: Mapping[str, np.ndarray], source: Any, grid: Grid, *, key: Key
    ) -> MaskedFiller:
        return MaskedFiller(self, grid, self.learner.bound_to(source).restore(arrays))


class MaskedFiller(DrawnFiller):
    """A fitted diffusion model that fills."""

    part: MaskedDiffusion

    def __init__(self, part: MaskedDiffusion, grid: Grid, model: Any) -> None:
        super().__init__(part, grid)
        self.repeats, self.fitted = part.repeats, model
        self.model = model.tuned(part.sampling)

    def arrays(self) -> dict[str, np.ndarray]:
        return self.fitted.arrays()

    def draw(self, x: np.ndarray, mask: np.ndarray, *, key: Key) -> np.ndarray:
        parts = [slice(i, i + AT_ONCE) for i in range(0, len(x), AT_ONCE)]
        return np.concatenate([self._drawn(x[p], mask[p], key / p.start) for p in parts])

    def _drawn(self, x: np.ndarray, mask: np.ndarray, key: Key) -> np.ndarray:
        import torch

        from autophage.diffusion.samplers.sampler import State

        model = self.model
        space = model.space
        sampler, ladder, scale = model.way()
        levels = [float(level) for level in ladder]

        def noise(*name: str | int) -> torch.Tensor:
            return torch.randn(known.shape, generator=(key / name).torch()).to(device)

        with model.at_work() as device, model.device.autocast():
            known = space.enter(torch.from_numpy(x.reshape(len(x), -1))).to(device)
            blank = torch.from_numpy(mask[:, None]).to(device)
            denoise = model.denoiser()
            state = State(noise("start") * scale)
            for i, (t, s) in enumerate(pairwise(levels)):
                for j in range(self.repeats if s > 0 else 1):
                    if j:
                        lifted = state.y + math.sqrt(t * t - s * s) * noise("up", i, j)
                        state = State(lifted, i, state.x0)
                    y = torch.where(blank, state.y, known + t * noise("known", i, j))
                    step = sampler.states(
                        denoise, State(y, i, state.x0), ladder, lambda k, j=j: noise("step", k, j)
                    )
                    state = next(step)
        filled = torch.where(blank, state.y, known)
        return np.asarray(space.leave(filled), dtype=np.float64).reshape(x.shape)
