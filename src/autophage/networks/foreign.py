"""Checkpoints of others: pipelines and single models as diffusers writes them, from a folder or the hub.

    DIR/model_index.json, DIR/unet/ or DIR/transformer/, DIR/scheduler/            a pipeline
    DIR/model_index.json, DIR/config.json, DIR/scheduler_config.json               an early one, everything in one folder
    DIR/config.json                                                                a single model, its process unknown

Weights are safetensors, or the older .bin files, which are read as weights only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from autophage.errors import MissingExtra, SpecError
from autophage.keys import Key
from autophage.networks import dit, unet
from autophage.networks.network import Net, Shape
from autophage.networks.of_diffusers import diffusers_for
from autophage.networks.processes import from_scheduler

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
MODELS = {"UNet2DModel": "unet", "DiTTransformer2DModel": "transformer"}
"""The networks that can be run, and their names in a pipeline."""
CONFIG = "config.json"


def downloaded(hub_id: str) -> Path:
    """The folder of a checkpoint from the hub; its configuration first, so that no weights are fetched in vain.

    Raises `SpecError` where it is not there, or the hub cannot be reached.
    """
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingExtra(
            f"{hub_id} is no folder here, and the hub needs diffusers, which is not installed; install autophage[image]"
        ) from error
    try:
        place = Path(snapshot_download(hub_id, allow_patterns=["*.json"]))
        room = examined(place)[0].relative_to(place)
        wanted = [str(room / f"*.{ending}") for ending in ("json", "safetensors")]
        fetched = Path(snapshot_download(hub_id, allow_patterns=wanted))
        if not any((fetched / room).glob("*.safetensors")):
            snapshot_download(hub_id, allow_patterns=[str(room / "*.bin")])
    except SpecError:
        raise
    except Exception as error:  # of many libraries: sockets, HTTP, the hub's own
        raise SpecError(
            f"the checkpoint {hub_id} is no folder here, and the hub does not give it: {error}"
        ) from error
    return fetched


def examined(place: Path) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """The network's folder, its configuration, and the facts of its process.

    Raises `SpecError` for what cannot be run.
    """
    index = place / "model_index.json"
    room, schedule = place, place / "scheduler_config.json"
    if index.is_file():
        body = _json(index)
        parts = {k: v[1] for k, v in body.items() if isinstance(v, list) and len(v) == 2 and v[1]}
        known = {
            name for name in MODELS.values() if parts.get(name) in MODELS and MODELS[parts[name]] == name
        }
        if len(known) != 1 or set(parts) - known - {"scheduler"}:
            raise SpecError(
                f"the pipeline {place.name} ({body.get('_class_name')}) is made of {', '.join(sorted(parts))}; only one of a "
                "UNet2DModel or DiTTransformer2DModel on pixels and a scheduler can be run"
            )
        (name,) = known
        # Early pipelines have everything in one folder.
        room = place / name if (place / name).is_dir() else place
        schedule = place / "scheduler" / schedule.name if (place / "scheduler").is_dir() else schedule
    if not (room / CONFIG).is_file():
        raise SpecError(f"the checkpoint {place} holds neither model_index.json nor {CONFIG}")
    config = _json(room / CONFIG)
    if config.get("_class_name") not in MODELS:
        raise SpecError(
            f"the checkpoint {place.name} is a {config.get('_class_name')}; only {' and '.join(MODELS)} can be run"
        )
    return room, config, from_scheduler(_json(schedule)) if schedule.is_file() else {}


def read(
    place: Path, shape: Shape | None, classes: int | None
) -> tuple[Net, dict[str, Any], Shape, int | None]:
    """The network, the facts of its process, the records' shape and its classes."""
    room, said, process = examined(place)
    model = _loaded(room, said["_class_name"])
    config = {k: v for k, v in model.config.items() if not k.startswith("_")}
    channels, side = config["in_channels"], config["sample_size"]
    if side is None:
        if shape is None:
            raise SpecError(f"the checkpoint {place} does not say its sample_size; give the data's shape")
        side = shape[1:]
    found = (channels, *((side, side) if isinstance(side, int) else side))
    out = config["out_channels"] or channels
    if out not in (channels, 2 * channels):
        raise SpecError(
            f"the checkpoint {place} makes {out} channels of {channels}; as many or twice as many are needed"
        )
    if process and (process["variance"] == "learned_range") != (out == 2 * channels):
        # A solver that ignores the variance does not name it.
        process["variance"] = "learned_range" if out == 2 * channels else "fixed_small"
    if isinstance(model, diffusers_for("a checkpoint").UNet2DModel):
        known = _classes(model, config, classes, place)
        fields = _fields(config, unet.FIELDS, unet.OF_THE_DATA)
        net: Net = unet.UNetOfDiffusers(unet.UNet(**fields), model, found, out, known)
    else:
        known = None if config["num_embeds_ada_norm"] == 1 else config["num_embeds_ada_norm"]
        if classes not in (None, known):
            raise SpecError(f"the checkpoint {place} has classes: {known}; the data have {classes}")
        fields = _fields(config, dit.FIELDS, dit.OF_THE_DATA)
        net = dit.DiTOfDiffusers(dit.DiT(**fields), model, found, out, known)
    return net.eval(), process, found, known


def _loaded(room: Path, name: str) -> Any:
    """The model with its weights. Raises `SpecError` where some are missing."""
    kind = getattr(diffusers_for(f"the checkpoint {room}"), name)
    try:
        with Key(0).globally():
            model, info = kind.from_pretrained(str(room), low_cpu_mem_usage=False, output_loading_info=True)
    except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
        raise SpecError(f"the checkpoint {room} cannot be loaded: {error}") from error
    if info["missing_keys"]:
        raise SpecError(f"the checkpoint {room} lacks weights: {', '.join(sorted(info['missing_keys'])[:3])}")
    return model


def _classes(model: Any, config: Mapping[str, Any], classes: int | None, place: Path) -> int | None:
    """How many classes a U-Net of somebody else knows; it has a null class afterwards."""
    if config["time_embedding_type"] != "positional" or config["class_embed_type"] is not None:
        raise SpecError(
            f"the checkpoint {place} has time_embedding_type {config['time_embedding_type']} and class_embed_type "
            f"{config['class_embed_type']}; only positional and none can be run"
        )
    rows = config["num_class_embeds"]
    if classes is not None and rows not in (classes, classes + 1):
        raise SpecError(
            f"the checkpoint {place} has {rows or 'no'} class embeddings; the data have {classes} classes"
        )
    if rows is None or rows - 1 == classes:
        return classes
    weight = model.class_embedding.weight.detach()
    more = nn.Embedding.from_pretrained(torch.cat([weight, weight.mean(0, keepdim=True)]), freeze=False)
    model.class_embedding = more
    model.register_to_config(num_class_embeds=rows + 1)
    return rows


def _fields(config: Mapping[str, Any], fields: Mapping[str, str], data: tuple[str, ...]) -> dict[str, Any]:
    """A model's configuration as the keys of our network: no field unset, the rest under `settings`."""
    settings = {k: v for k, v in config.items() if k not in fields and k not in data}
    return {ours: config[theirs] for theirs, ours in fields.items()} | {"settings": settings}


def _json(file: Path) -> dict[str, Any]:
    try:
        body = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SpecError(f"{file} cannot be read: {error}") from error
    if not isinstance(body, dict):
        raise SpecError(f"{file} is no table of settings")
    return body
