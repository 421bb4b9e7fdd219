"""Anyone's inpainting checkpoint: a pipeline of diffusers, asked without a prompt unless one is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from autophage.data.arguments import whole_number
from autophage.errors import MissingExtra, SpecError
from autophage.inpainting.inpainter import DrawnFiller, DrawnInpainter
from autophage.inpainting.squares import Grid
from autophage.keys import Key
from autophage.networks.of_diffusers import diffusers_for


@dataclass(frozen=True, kw_only=True)
class Pipeline(DrawnInpainter):
    """Fills with an inpainting pipeline of diffusers, such as a Stable Diffusion inpainting checkpoint. Only the square is taken
    from what it paints, so that all else stays untouched."""

    model: str = ""
    """The pipeline's folder, or its name on the hub."""
    prompt: str = ""
    """What it is told; nothing unless given."""
    steps: int | None = None
    """Steps of its sampler; the pipeline's own number unless given."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Further arguments of its call, such as guidance_scale or strength."""
    at_once: int = 8
    """Pictures that are filled together."""
    device: str = "auto"
    """Where it runs: cpu, cuda, or auto."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.model:
            raise SpecError(
                "inpainter.model is missing: the folder or the hub's name of an inpainting pipeline"
            )
        whole_number(self.at_once, "inpainter.at_once", least=1)
        if self.steps is not None:
            whole_number(self.steps, "inpainter.steps", least=1)
        taken = {
            "prompt",
            "image",
            "mask_image",
            "generator",
            "output_type",
            "height",
            "width",
            "num_inference_steps",
        }
        if found := sorted(taken & set(self.settings)):
            raise SpecError(
                f"inpainter.settings.{found[0]} follows from the run or from another key; leave it out of settings"
            )

    def check(self, source: Any, grid: Grid) -> None:
        if source.value_range is None:
            raise SpecError(
                "inpainter pipeline needs pictures with a range of values, such as images or mnist"
            )
        for name in ("diffusers", "transformers"):  # looked for, not imported: that takes seconds
            if find_spec(name) is None:
                raise MissingExtra(
                    f"inpainter pipeline needs {name}, which is not installed; install autophage[multimodal]"
                )

    def prepared(self, source: Any, grid: Grid, *, key: Key) -> PipelineFiller:
        return PipelineFiller(self, grid, source.value_range)


class PipelineFiller(DrawnFiller):
    """A loaded pipeline that fills."""

    part: Pipeline

    def __init__(self, part: Pipeline, grid: Grid, limits: tuple[float, float]) -> None:
        super().__init__(part, grid)
        self.limits = limits
        self.pipe = _loaded(part.model, part.device)

    def draw(self, x: np.ndarray, mask: np.ndarray, *, key: Key) -> np.ndarray:
        size = self.part.at_once
        made = [self._painted(x[i : i + size], mask[i : i + size], key / i) for i in range(0, len(x), size)]
        return np.concatenate(made)

    def _painted(self, x: np.ndarray, mask: np.ndarray, key: Key) -> np.ndarray:
        from PIL import Image

        part, (low, high) = self.part, self.limits
        grey = x.shape[3] == 1
        pixels = np.clip(np.rint((x - low) * (255 / (high - low))), 0, 255).astype(np.uint8)
        colour = pixels.repeat(3, axis=3) if grey else pixels
        asked: dict[str, Any] = dict(part.settings)
        if part.steps is not None:
            asked["num_inference_steps"] = part.steps
        # Pipelines draw from the generators they are given; libraries below them may not.
        with (key / "global").globally():
            made = self.pipe(
                prompt=[part.prompt] * len(x),
                image=[Image.fromarray(one) for one in colour],
                mask_image=[Image.fromarray(one.astype(np.uint8) * 255) for one in mask],
                height=x.shape[1],
                width=x.shape[2],
                generator=[(key / i).torch() for i in range(len(x))],
                output_type="np",
                **asked,
            ).images
        made = np.asarray(made, dtype=np.float64)
        if made.shape[:3] != x.shape[:3]:
            raise SpecError(
                f"the pipeline {part.model} paints {made.shape[2]} x {made.shape[1]} pixels for pictures of {x.shape[2]} x "
                f"{x.shape[1]}; bring the pictures to a size that it knows by data.side"
            )
        made = made.mean(axis=3, keepdims=True) if grey else made
        return low + made * (high - low)


@cache
def _loaded(model: str, device: str) -> Any:
    """The pipeline at a place. Raises `SpecError` where there is none."""
    import torch

    known = diffusers_for("inpainter pipeline").AutoPipelineForInpainting
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        pipe = known.from_pretrained(model)
    except (OSError, ValueError) as error:
        said = str(error).splitlines()[0]
        raise SpecError(f"inpainter.model is '{model}', which is no inpainting pipeline: {said}") from error
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)
