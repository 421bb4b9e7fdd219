"""Pipelines of `diffusers` that paint captions in a latent space (Stable Diffusion), as one network that is tuned.

    z0 = s E(x)                     latents of a picture, E the pipeline's encoder, s its scale
    zt = sqrt(a_t) z0 + sqrt(1 - a_t) n,    n ~ N(0, I),  t uniform on the pipeline's chain
    F(zt, t, T(c))                  learns n (epsilon), sqrt(a_t) n - sqrt(1 - a_t) z0 (v_prediction) or z0 (sample)

T is the pipeline's text encoder, and an empty text stands for no caption. What learns is the U-Net, or low-rank additions to the
linear maps of its attention (Rombach et al. 2022; Salimans and Ho 2022 for v; additions: `autophage.networks.tuned`).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from autophage.errors import SpecError
from autophage.keys import Key
from autophage.networks import tuned
from autophage.networks.of_diffusers import diffusers_for
from autophage.networks.tuned import TunedNetwork

INDEX = "model_index.json"
NEEDED = {
    "unet": "UNet2DConditionModel",
    "vae": "AutoencoderKL",
    "text_encoder": None,
    "tokenizer": None,
    "scheduler": None,
}
"""The parts of a pipeline that can be tuned, and the class where only one will do."""
IDLE = frozenset({"safety_checker", "feature_extractor", "image_encoder"})
"""Parts that are left out: nothing here is shown to anyone, and they would blacken what the loop is to see."""
MAPS = ("to_q", "to_k", "to_v", "to_out.0")
"""Maps of the U-Net's attention that LoRA adds to."""
TARGETS = ("epsilon", "v_prediction", "sample")


class Tuning(NamedTuple):
    """Which checkpoint is open, and what of it is trained; as plain data."""

    checkpoint: str
    lora: bool
    rank: int
    alpha: int


class Painting(NamedTuple):
    """How captions are painted: `guidance` 0 is none."""

    steps: int
    guidance: float


class LatentNetwork(TunedNetwork):
    """A pipeline; `digest` names its weights, `side` is that of the pictures it was made for."""

    def __init__(self, tuning: Tuning) -> None:
        super().__init__()
        self.tuning = tuning
        self.pipeline, self.place = _loaded(tuning)
        self.unet, self.vae, self.text = self.pipeline.unet, self.pipeline.vae, self.pipeline.text_encoder
        self.chain: Any = diffusers_for("learner text_to_image").DDPMScheduler.from_config(
            self.pipeline.scheduler.config
        )
        self.target: str = self.chain.config.prediction_type
        if self.target not in TARGETS:
            raise SpecError(
                f"learner.checkpoint: {self.place} predicts {self.target!r}; it must be one of: {', '.join(TARGETS)}"
            )
        self.coarse = 2 ** (len(self.vae.config.block_out_channels) - 1)
        """Pixels along a side of a latent's place."""
        size = self.unet.config.sample_size
        self.side: int = self.coarse * (size if isinstance(size, int) else max(size))
        self.digest = self._digest()
        if tuning.lora:
            from peft import LoraConfig

            config = LoraConfig(r=tuning.rank, lora_alpha=tuning.alpha, target_modules=list(MAPS))
            with Key(0).globally():
                self.unet.add_adapter(config)
        for module in (self.unet, self.vae, self.text):
            module.eval().requires_grad_(False)
        self._keep("unet.")

    def __reduce__(self) -> Any:
        return _opened_with, (self.tuning, self.weights())  # in another process from the same folder

    def _draw(self, weight: Tensor, generator: torch.Generator) -> None:
        nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)

    @torch.no_grad()
    def latents(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Latents (n, ...) of pictures (n, 3, h, w) in [-1, 1], drawn from what the encoder says."""
        found = self.vae.encode(pixels).latent_dist.sample(generator=generator)
        return (
            found - (getattr(self.vae.config, "shift_factor", None) or 0.0)
        ) * self.vae.config.scaling_factor

    @torch.no_grad()
    def told(self, captions: Sequence[str], device: str) -> Tensor:
        """What the text encoder makes of captions, (n, places, d); "" is no caption."""
        return self.pipeline.encode_prompt(list(captions), device, 1, False)[0]

    def noisy(self, z0: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """zt of latents z0 (n, ...) at times t (n,), and what is to be learned of them."""
        zt = self.chain.add_noise(z0, noise, t)
        if self.target == "epsilon":
            return zt, noise
        return zt, self.chain.get_velocity(z0, noise, t) if self.target == "v_prediction" else z0

    def forward(self, zt: Tensor, t: Tensor, told: Tensor) -> Tensor:
        """F(zt, t, T(c)) of latents' shape (n, ...)."""
        return self.unet(zt, t, encoder_hidden_states=told).sample

    @torch.no_grad()
    def painted(
        self, captions: Sequence[str], generators: Sequence[torch.Generator], side: int, how: Painting
    ) -> Tensor:
        """Pictures (n, 3, side, side) in [-1, 1] of captions, each from its own generator, by the pipeline's own sampler."""
        made = self.pipeline(
            prompt=list(captions),
            height=side,
            width=side,
            num_inference_steps=how.steps,
            guidance_scale=1 + how.guidance,
            generator=list(generators),
            output_type="pt",
        )
        return made.images.float() * 2 - 1

    def publish(self, folder: Path) -> str:
        name = type(self.pipeline).__name__
        if not self.tuning.lora:
            self.pipeline.save_pretrained(folder, safe_serialization=True)
            return f"{{}} loads in diffusers: {name}.from_pretrained"
        from diffusers.training_utils import _collate_lora_metadata
        from diffusers.utils import convert_state_dict_to_diffusers
        from peft.utils import get_peft_model_state_dict

        layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(self.unet))
        type(self.pipeline).save_lora_weights(
            folder,
            unet_lora_layers={k: v.contiguous() for k, v in layers.items()},
            safe_serialization=True,
            **_collate_lora_metadata({"unet": self.unet}),
        )
        return f"{{}} holds LoRA weights: load_lora_weights of a {name} puts them on {self.tuning.checkpoint}"

    def _digest(self) -> str:
        """32 hexadecimal digits of the checkpoint's weights and its chain."""
        hashed = hashlib.blake2b(digest_size=16)
        settings = {k: v for k, v in self.chain.config.items() if not k.startswith("_")}
        hashed.update(json.dumps(settings, sort_keys=True, default=str).encode())
        for part in (self.unet, self.vae, self.text):
            for name, value in sorted(part.state_dict().items()):
                hashed.update(name.encode())
                hashed.update(value.contiguous().view(-1).view(torch.uint8).numpy())
        return hashed.hexdigest()


@functools.lru_cache(maxsize=1)
def opened(tuning: Tuning) -> LatentNetwork:
    """The network of a checkpoint, a folder or a hub id where the hub can be reached; one for all models that rest on it, which
    load their weights into it.

    Raises `SpecError` where there is none or it cannot be tuned, `MissingExtra` where diffusers, transformers or peft are not
    installed.
    """
    require(*(["peft"] if tuning.lora else []))
    return LatentNetwork(tuning)


def _opened_with(tuning: Tuning, weights: Mapping[str, Tensor]) -> LatentNetwork:
    net = opened(tuning)
    net.load(weights)
    return net


def require(*further: str) -> None:
    """Raises `MissingExtra` unless diffusers, transformers and `further` packages are installed; imports none of them."""
    tuned.require("learner text_to_image with a checkpoint", "diffusers", "transformers", *further)


def examined(checkpoint: str) -> None:
    """Raises `SpecError` where a folder is missing or says that it cannot be tuned; imports nothing, and asks no hub."""
    place = tuned.folder_of(checkpoint)
    if place is None:
        return
    try:
        said = json.loads((place / INDEX).read_text(encoding="utf-8"))
        parts = {k: v[1] for k, v in said.items() if isinstance(v, list) and len(v) == 2 and v[1]}
    except (OSError, ValueError, AttributeError):
        raise SpecError(
            f"learner.checkpoint: {place} holds no {INDEX} that can be read; name a folder that a pipeline's save_pretrained wrote"
        ) from None
    wrong = [k for k, kind in NEEDED.items() if k not in parts or kind not in (None, parts[k])]
    beyond = sorted(set(parts) - set(NEEDED) - IDLE)
    if wrong or beyond:
        said = f"without a fit {', '.join(wrong)}" if wrong else f"with {', '.join(beyond)} beside"
        raise SpecError(
            f"learner.checkpoint: {place} is a pipeline {said}; it must be made of one text encoder with its tokenizer, a "
            "UNet2DConditionModel, an AutoencoderKL and a scheduler, as Stable Diffusion is"
        )


@contextlib.contextmanager
def _without_bars(diffusers: Any) -> Iterator[None]:
    """Within the block, diffusers draws no progress bars."""
    logging = diffusers.utils.logging
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if bars:
            logging.enable_progress_bar()


def _loaded(tuning: Tuning) -> tuple[Any, Path]:
    """The pipeline in float32, and where it lies."""
    from autophage.metrics.spaces.pretrained import quietly

    examined(tuning.checkpoint)
    diffusers = diffusers_for("learner text_to_image with a checkpoint")
    place = Path(tuning.checkpoint).expanduser()
    try:
        with Key(0).globally(), quietly(), _without_bars(diffusers):
            if not place.is_dir():
                place = Path(diffusers.DiffusionPipeline.download(tuning.checkpoint))
                examined(str(place))
            said = json.loads((place / INDEX).read_text(encoding="utf-8"))
            left_out: dict[str, Any] = {part: None for part in IDLE & set(said)}
            if "requires_safety_checker" in said:
                left_out["requires_safety_checker"] = False
            pipeline = diffusers.DiffusionPipeline.from_pretrained(str(place), **left_out)
            for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
                part.float()
    except SpecError:
        raise
    except Exception as error:  # of many libraries: sockets, HTTP, the hub's own
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise SpecError(f"learner.checkpoint: {tuning.checkpoint} cannot be loaded ({first})") from error
    pipeline.set_progress_bar_config(disable=True)
    if pipeline.unet.config.in_channels != pipeline.vae.config.latent_channels:
        raise SpecError(
            f"learner.checkpoint: the U-Net of {place} sees {pipeline.unet.config.in_channels} channels where latents have "
            f"{pipeline.vae.config.latent_channels}; pipelines that are shown a mask or a picture cannot be tuned"
        )
    return pipeline, place
