"""What learners share that train on a checkpoint of others (`autophage.networks.tuned`), and what their models share.

A model keeps the weights that were trained, and the name and the digest of the checkpoint that they belong to, not the
checkpoint itself.
"""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from autophage.data.arguments import one_of, positive, whole_number
from autophage.errors import FitFailed, RunError, SpecError
from autophage.keys import Key
from autophage.learners.neural import NeuralLearner, NeuralModel, opened
from autophage.learners.record_spaces import Pictures, restored
from autophage.parts import Model
from autophage.samples import Samples
from autophage.training.devices import Device, world

RANK = 8
"""Of low-rank additions unless given."""


class PretrainedModel(NeuralModel):
    """A tuned checkpoint: the trained `weights` of the network that `tuning` names."""

    calling: ClassVar[str]
    """What its kind is called."""
    network: ClassVar[Callable[[Any], Any]]
    """Opens the `TunedNetwork` of a tuning, which all models that rest on it share."""
    space: Pictures

    def __init__(
        self,
        tuning: Any,
        digest: str,
        weights: Mapping[str, Tensor],
        space: Pictures,
        *kept: Any,
        **more: Any,
    ) -> None:
        super().__init__(space, *kept, **more)
        self.tuning, self.digest, self.weights = tuning, digest, dict(weights)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[tuple[Any, str]]:
        """The network with this model's weights, on its device for a while; and the device's name."""
        net, device = type(self).network(self.tuning), world().here(self.device.name)
        if net.digest != self.digest:
            raise RunError(
                f"the checkpoint {self.tuning.checkpoint} is another one than the model was trained on; put that one back"
            )
        net.load(self.weights)
        net.to(device)
        try:
            yield net, device
        finally:
            net.to("cpu")

    def publish(self, folder: str | Path) -> str:
        """Writes the trained weights to a new folder, and says in a sentence who can load it: LoRA weights in the format of the
        library that the checkpoint is of, or all of the checkpoint where it was trained as a whole. Raises `RunError` where the
        folder is taken or cannot be written."""
        from autophage.networks.checkpoints import new_folder

        place = Path(folder)
        with new_folder(place) as partial:
            with self.at_work() as (net, _):
                pass  # it holds this model's weights now, on the CPU
            said = net.publish(partial).format(place.name)
            title = f"# A {self.calling} of autophage"
            (partial / "README.md").write_text(f"{title}\n\n{said}.\n", encoding="utf-8")
        return said

    def weights_kept(self) -> Mapping[str, Tensor]:
        return self.weights

    def header(self) -> dict[str, Any]:
        return {"tuning": self.tuning._asdict(), "digest": self.digest, "space": self.space.stored()}


@dataclass(frozen=True, kw_only=True)
class PretrainedLearner(NeuralLearner):
    """A learner that trains on a checkpoint with captioned pictures."""

    needs_captions: ClassVar[bool] = True
    model: ClassVar[type[PretrainedModel]]
    """What its fit returns."""
    of_additions: ClassVar[tuple[str, ...]] = ("rank", "alpha")
    """Keys of `lora`."""
    begins: ClassVar[str]
    """The key of what additions begin with."""

    checkpoint: str
    """A folder that `save_pretrained` wrote; or a name on the hub."""
    tune: Literal["lora", "full"] = "lora"
    """What is trained: low-rank additions to some linear maps, or every weight."""
    lora: dict[str, Any] | None = None
    """Their `rank` (8) and `alpha` (the rank), which divided by it is what they are multiplied by."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.checkpoint, str) or not self.checkpoint:
            raise SpecError(
                f"learner.checkpoint is {self.checkpoint!r}; it must be a folder or a hub id (owner/name)"
            )
        one_of(self.tune, "learner.tune", ("lora", "full"))
        if self.lora is not None:
            self._check_lora(self.lora)

    def _check_lora(self, lora: Any) -> None:
        if self.tune == "full":
            raise SpecError(
                "learner.lora says what is added, but learner.tune is full, which trains everything; leave one out"
            )
        if not isinstance(lora, Mapping) or set(lora) - set(self.of_additions):
            raise SpecError(
                f"learner.lora is {lora!r}; it must be a mapping with some of: {', '.join(self.of_additions)}"
            )
        if "rank" in lora:
            whole_number(lora["rank"], "learner.lora.rank", least=1)
        if "alpha" in lora:
            positive(lora["alpha"], "learner.lora.alpha")

    @property
    @abstractmethod
    def tuning(self) -> Any:
        """What of which checkpoint is trained."""

    @abstractmethod
    def objective(
        self, net: Any, data: Samples, space: Pictures, device: Device, from_scratch: bool
    ) -> tuple[Any, dict[str, Any]]:
        """What is minimised, and what the model is told beside its weights."""

    @abstractmethod
    def told(self, header: Mapping[str, Any]) -> dict[str, Any]:
        """The latter from a stored model's header."""

    def opened(self) -> Any:
        """The network that is trained."""
        return self.model.network(self.tuning)

    def fit(self, data: Samples, *, start: Model | None = None, key: Key) -> Any:
        called = self.model.calling
        if start is not None and not isinstance(start, self.model):
            raise FitFailed(f"a pretrained {called} cannot continue from a {type(start).__name__}")
        if data.caption is None:
            raise FitFailed(f"a {called} needs training records with captions, and these carry none")
        space: Any = self.space_of(data, start)
        net, course = self.opened(), self.course(start is None)
        if start is None:
            net.begin(key / self.begins)
        elif start.tuning == self.tuning:
            net.load(start.weights)
        else:
            raise FitFailed(
                f"a {called} goes on from one with the same checkpoint and the same weights to train, not from another"
            )
        objective, told = self.objective(net, data, space, course.device, start is None)
        kept = self.trained(net, objective, course, start, key)
        return self.model(self.tuning, net.digest, net.weights(), space, **told, **kept)

    def weights_to_learn(self, data: Samples) -> Tensor | None:
        """`weights_of` as a tensor."""
        weight = self.weights_of(data)
        return None if weight is None else torch.from_numpy(weight)

    def restore(self, arrays: Mapping[str, Any]) -> Any:
        """The model that `arrays` came from, its checkpoint opened again. Raises `SpecError` where that is gone, `RunError`
        where it is another one now."""
        header, groups = opened(arrays)
        said = {k: tuple(v) if isinstance(v, list) else v for k, v in header["tuning"].items()}
        space = restored(header["space"])
        assert isinstance(space, Pictures)
        tuning, kept = type(self.tuning)(**said), self.kept_of(header, groups)
        model = self.model(tuning, header["digest"], groups["net"] or {}, space, **self.told(header), **kept)
        with model.at_work():
            return model
