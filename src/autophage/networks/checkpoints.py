"""Checkpoints in and out.

    DIR/autophage.json      network, shape, classes and process: all that is needed to build the network again
    DIR/README.md           what the folder is, and how to load it

    unet                    DIR/unet/        a UNet2DModel of diffusers; after a chain with model_index.json and scheduler/, so
                                             that DDIMPipeline.from_pretrained(DIR) samples from it
    dit                     DIR/transformer/ a DiTTransformer2DModel of diffusers; after a chain with scheduler/
    the others              DIR/network.safetensors, which only autophage reads; one that is told captions has its words, and how
                            often each caption stood in its training set, in DIR/captions.json

What is written are safetensors. What is read may also be a pipeline, or a single model, of somebody else (`foreign.py`).
"""

from __future__ import annotations

import contextlib
import copy
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from autophage.errors import RunError, SpecError
from autophage.keys import Key
from autophage.networks.dit import DiTOfDiffusers
from autophage.networks.foreign import HUB_ID, downloaded, read
from autophage.networks.kinds import network_from
from autophage.networks.network import Net, Network, Shape, parameters
from autophage.networks.of_diffusers import diffusers_for
from autophage.networks.processes import chain, to_scheduler
from autophage.networks.unet import UNetOfDiffusers
from autophage.networks.words import Words

RECORD = "autophage.json"
CAPTIONS = "captions.json"
WEIGHTS = "network.safetensors"
ROOMS = {"unet": "unet", "dit": "transformer"}
"""Kinds that diffusers loads, and the folder it looks for them in."""
OF_DIFFUSERS = "diffusion_pytorch_model.safetensors"


@dataclass(frozen=True)
class Adopted:
    """A network from a checkpoint.

    `net` is in evaluation mode on the CPU; `network.build(shape, net.out_channels, classes, key)` makes another of its kind.
    `process` are the facts of `processes.py`, empty where the folder states none; `captions` is what `publish` was told of them.
    """

    net: Net
    process: dict[str, Any]
    shape: Shape
    classes: int | Words | None
    captions: dict[str, Any] | None = None

    @property
    def network(self) -> Network:
        return self.net.network

    @property
    def in_channels(self) -> int:
        return self.shape[0]

    @property
    def sample_size(self) -> tuple[int, ...]:
        """(h, w) of an image; () of a vector."""
        return self.shape[1:]


def publish(
    folder: str | Path,
    net: nn.Module,
    process: Mapping[str, Any],
    captions: Mapping[str, Any] | None = None,
) -> str:
    """Writes a trained network and the facts of its process to a new folder, and says in a sentence who can load it; `captions`
    is plain data about those that it is told.

    The folder appears when it is complete. Only `unet` and `dit` load in diffusers, and only a `unet` that has learned a
    chain makes a pipeline there (DDIMPipeline, with a learned variance DDPMPipeline).

    Raises `SpecError` where the network is not one of ours, or the facts do not fit it; `RunError` where the folder is
    taken or cannot be written.
    """
    net = getattr(net, "_orig_mod", net)  # as torch.compile wraps it
    if not isinstance(net, Net):
        raise SpecError(f"only networks of autophage can be published; this is a {type(net).__name__}")
    place, facts = Path(folder), dict(process)
    if "timesteps" in facts:
        facts = chain(facts)
        halves = 2 if facts["variance"] == "learned_range" else 1
        if net.out_channels != halves * net.shape[0]:
            raise SpecError(
                f"process.variance is {facts['variance']}, but the network gives {net.out_channels} channels for "
                f"{net.shape[0]} of the data"
            )
    with new_folder(place) as partial:
        said = _written(partial, net, facts).format(place.name)
        if captions is not None:
            (partial / CAPTIONS).write_text(json.dumps(captions) + "\n", encoding="utf-8")
    return said


@contextlib.contextmanager
def new_folder(place: Path) -> Iterator[Path]:
    """A folder to write into, which takes that place when the block is done, or is gone. Raises `RunError` where the place is
    taken or cannot be written."""
    partial = place.with_name(place.name + ".partial")
    try:
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise FileExistsError(0, "it exists already; name a new folder")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        if place.exists():
            place.rmdir()
        partial.replace(place)
    except RunError:
        raise
    except OSError as error:
        raise RunError(f"{place} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def adopt(folder: str | Path, *, shape: Shape | None = None, classes: int | None = None) -> Adopted:
    """Reads what `publish` wrote, or a pipeline or single model of diffusers: a folder, or a hub id where the hub can be
    reached.

    `shape` are the data's (c, h, w), `classes` how many the data have; unset: whatever the checkpoint says. A U-Net of
    somebody else with as many rows in its class embedding as there are classes gets one more, their mean, for the null class,
    which nobody has trained yet; where it has one more already, the last is the null class.

    Raises `SpecError` where there is none, where it is of a kind that cannot be run (latent and text-conditioned pipelines,
    other networks, processes that are no chain), or for data of another size; `MissingExtra` where diffusers is needed and
    not installed.
    """
    place = Path(folder)
    if not place.is_dir():
        if place.exists() or not HUB_ID.fullmatch(str(folder)):
            raise SpecError(f"the checkpoint {folder} is neither a folder nor a hub id (owner/name)")
        place = downloaded(str(folder))
    if (place / RECORD).is_file():
        found = _own(place)
        if classes is not None and classes != found.classes:
            raise SpecError(f"the checkpoint {folder} has classes: {found.classes}; the data have {classes}")
    else:
        found = Adopted(*read(place, shape, classes))
    if shape is not None and tuple(shape) != found.shape:
        raise SpecError(
            f"the checkpoint {folder} is for records of {_by(found.shape)} numbers; the data's are {_by(shape)}"
        )
    return found


def _written(folder: Path, net: Net, facts: Mapping[str, Any]) -> str:
    """Writes everything; the sentence has a gap for the folder's name."""
    kind, is_chain = net.network.kind, "timesteps" in facts
    body = {
        "network": net.network.body(),
        "shape": net.shape,
        "out_channels": net.out_channels,
        "classes": asdict(net.classes) if isinstance(net.classes, Words) else net.classes,
        "process": facts,
    }
    if isinstance(net, UNetOfDiffusers | DiTOfDiffusers):
        model: Any = _to_store(net.model)
        if isinstance(net, UNetOfDiffusers) and is_chain and not net.margin.needed:
            pipeline = _pipeline(model, facts)
            pipeline.save_pretrained(folder, safe_serialization=True)
            said = f"{{}} loads in diffusers: {type(pipeline).__name__}.from_pretrained samples from it"
            if net.classes is not None:
                said = (
                    f"{said[: said.index(' samples')]} holds unet and scheduler, and unet takes class_labels"
                )
        else:
            room = ROOMS[kind]
            model.save_pretrained(folder / room, safe_serialization=True)
            if is_chain:
                _scheduler(facts).save_pretrained(folder / "scheduler")
            why = (
                "diffusers has no pipeline for a dit on pixels"
                if kind == "dit"
                else "its process is no chain"
            )
            if kind == "unet" and is_chain:
                why = "a pipeline cannot pad its sides"
            said = (
                f"the network in {{}} loads in diffusers ({type(model).__name__}.from_pretrained with subfolder {room}), "
                f"without a pipeline: {why}"
            )
    else:
        save_file({k: v.contiguous().cpu() for k, v in net.state_dict().items()}, folder / WEIGHTS)
        said = f"{{}} holds a {kind}, which autophage adopts; only unet and dit load in diffusers"
    (folder / RECORD).write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(
        f"# A network of autophage\n\n{parameters(net):,} parameters; {said.format('this folder')}. "
        f"In autophage: `initial_model: {{checkpoint: FOLDER}}`. `{RECORD}` says what it is and what it has learned.\n",
        encoding="utf-8",
    )
    return said


def _to_store(model: nn.Module) -> Any:
    """A copy on the CPU, each weight in one piece: safetensors take no strides."""
    model = copy.deepcopy(model).cpu()
    for parameter in model.parameters():
        parameter.data = parameter.data.contiguous()
    return model


def _scheduler(facts: Mapping[str, Any]) -> Any:
    diffusers = diffusers_for("a published chain")
    learned = facts["variance"] == "learned_range"
    return (diffusers.DDPMScheduler if learned else diffusers.DDIMScheduler)(**to_scheduler(facts))


def _pipeline(model: nn.Module, facts: Mapping[str, Any]) -> Any:
    diffusers = diffusers_for("a published chain")
    learned = facts["variance"] == "learned_range"
    return (diffusers.DDPMPipeline if learned else diffusers.DDIMPipeline)(model, _scheduler(facts))


def _own(place: Path) -> Adopted:
    """What `publish` wrote."""
    try:
        body = json.loads((place / RECORD).read_text(encoding="utf-8"))
        network, shape = network_from(body["network"]), tuple(body["shape"])
        classes = Words(**body["classes"]) if isinstance(body["classes"], dict) else body["classes"]
        net = network.build(shape, body["out_channels"], classes, Key(0))
        room = ROOMS.get(network.kind)
        weights = load_file(place / WEIGHTS if room is None else place / room / OF_DIFFUSERS)
        (net if room is None else net.model).load_state_dict(weights)  # type: ignore[operator, union-attr]
        process = dict(body["process"])
        said = place / CAPTIONS
        captions = json.loads(said.read_text(encoding="utf-8")) if said.is_file() else None
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        if isinstance(error, SpecError):
            raise
        raise SpecError(f"the checkpoint {place} is damaged: {error}") from error
    return Adopted(net.eval(), process, shape, classes, captions)


def _by(shape: Shape) -> str:
    return " x ".join(map(str, shape))
