"""Any vision model of `transformers` as a feature space: DINOv2 (Oquab et al. 2024, whose Fréchet distances agree with
people better than Inception's: Stein et al. 2023), the image tower of CLIP, ViT, ConvNeXt.

Pictures become bytes and then what the model's own processor makes of them. The features are one vector a picture:

1. `image_embeds` of a model that projects pictures beside texts (CLIP, SigLIP), else
2. `pooler_output`, if the checkpoint holds the pooling layer's weights (many of ViT's do not, and fresh ones would be
   random), else
3. the first token, or for a map of activations their mean over the picture.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autophage.errors import MissingExtra, SpecError
from autophage.metrics.features import Features
from autophage.metrics.spaces.exact import full_precision
from autophage.metrics.spaces.pictures import PictureForm, in_parts
from autophage.metrics.spaces.preparation import Preparation
from autophage.samples import Samples
from autophage.training.devices import world

AT_ONCE = 32
"""Pictures that pass through the network together."""


class Pretrained(Features):
    """The pooled output (n, d), float32, of a vision model at `path`: a name on the hub, or a folder that
    `save_pretrained` wrote. Runs on a CUDA device if there is one; no code of the checkpoint's own is run.

    Raises `MissingExtra` where `transformers` is not installed, `SpecError` where no vision model loads from there,
    `DataError` where the records are no pictures or their range of values is not known.
    """

    def __init__(self, path: str, real: Samples) -> None:
        self.form = PictureForm(real, "transformers")
        require_transformers(path)
        place = Path(path).expanduser()
        where = str(place) if place.exists() else path
        try:
            if not place.exists() and path.startswith(("/", ".", "~")):
                raise FileNotFoundError("there is no such folder")
            with quietly():
                self.prepare = processor(where)
                self.model, self.trained_pooler = _model(where)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            said = (str(error).strip() or type(error).__name__).splitlines()[0].partition(". ")[0]
            raise SpecError(
                f"features: transformers:{path}: no vision model loads from there ({said}); give the name of one on the "
                "hub, such as facebook/dinov2-base, or a folder with its weights, config.json and preprocessor_config.json"
            ) from error
        self.device = world().device
        self.model.to(self.device)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        def vectors(part: np.ndarray) -> np.ndarray:
            pixels = self.prepare(self.form.colour_bytes(part)).to(self.device)
            return self._pooled(pixels).float().cpu().numpy()

        with full_precision():
            return in_parts(x, AT_ONCE, vectors)

    def _pooled(self, pixels: Tensor) -> Tensor:
        if hasattr(self.model, "get_image_features"):
            found = self.model.get_image_features(pixel_values=pixels)
            return found if isinstance(found, Tensor) else found.pooler_output
        found = self.model(pixel_values=pixels)
        embeds = getattr(found, "image_embeds", None)
        if embeds is not None:
            return embeds
        pooler = getattr(found, "pooler_output", None)
        if pooler is not None and self.trained_pooler:
            return pooler.flatten(1)
        hidden = found.last_hidden_state
        return hidden[:, 0] if hidden.ndim == 3 else hidden.mean((2, 3))


def require_transformers(path: str) -> None:
    """Raises `MissingExtra` unless `transformers` is installed; does not import it."""
    import importlib.util

    if importlib.util.find_spec("transformers") is None:
        raise MissingExtra(
            f"features: transformers:{path} needs transformers, which is not installed; pip install 'autophage[image]'"
        )


def _model(where: str) -> tuple[Any, bool]:
    """The model in float32, and whether its pooling layer was in the checkpoint.

    Raises `ValueError` where other weights were not, which would be random, or it does not look at pictures.
    """
    import transformers

    named = (transformers.AutoConfig.from_pretrained(where).architectures or [""])[0]
    # A tower with its projection is a class of its own, which the automatic choice leaves without the projection.
    tower = named.endswith("VisionModelWithProjection")
    loader: Any = getattr(transformers, named) if tower else transformers.AutoModel
    model, loading = loader.from_pretrained(where, dtype=torch.float32, output_loading_info=True)
    absent = sorted(loading["missing_keys"])
    others = [k for k in absent if "pooler" not in k and "mask_token" not in k]
    if others:
        raise ValueError(f"the checkpoint lacks {len(others)} of the model's arrays, first '{others[0]}'")
    if model.main_input_name != "pixel_values" and not hasattr(model, "get_image_features"):
        raise ValueError(f"{type(model).__name__} does not look at pictures")
    return model.eval().requires_grad_(False), not any("pooler" in k for k in absent)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without the library's bars and its tables of unused weights; what matters of these is said by `SpecError`."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def processor(where: str) -> Any:
    """A function from colour pictures (n, h, w, 3) of bytes to what the model at `where` wants to see, (n, 3, h', w').

    The model's own processor if it can work with Pillow; where it asks for torchvision, its settings are followed by
    `Preparation`.
    """
    from transformers import AutoImageProcessor

    try:
        found = AutoImageProcessor.from_pretrained(where, backend="pil")
    except (
        ImportError,
        ValueError,
    ):  # which of them depends on whether its class is known by name or by the model
        return Preparation.at(where)

    def prepare(pictures: np.ndarray) -> Tensor:
        return found(images=list(pictures), return_tensors="pt", input_data_format="channels_last")[
            "pixel_values"
        ]

    return prepare
