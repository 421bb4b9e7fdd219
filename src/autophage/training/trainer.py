"""One training: a network, an objective, and a budget of records seen.

The budget counts records, not steps or passes, so that arms with training sets of different sizes are trained equally long.
Everything random is named by the step, hence a training that was put down and picked up again ends with the same weights,
and one that falls back to smaller micro-batches, or is spread over several devices, differs by rounding only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from autophage.errors import FitFailed, RunError
from autophage.keys import Key
from autophage.training import shelf
from autophage.training.averaging import Averaging, average
from autophage.training.devices import OUT_OF_MEMORY, Device, world

LOOK_EVERY = 25
"""Steps between two looks at the loss; a look waits for the device."""


class Objective(Protocol):
    """What is learned: records, and a loss over a batch of them."""

    size: int
    """Records to learn from."""

    def batch(self, rows: np.ndarray, generator: torch.Generator) -> Sequence[Tensor | None]:
        """Everything the loss needs for these rows, its noise included, on the generator's device; the first axis of
        each is the batch."""
        ...

    def loss(self, net: nn.Module, *batch: Tensor | None) -> Tensor:
        """The loss of each record (n,)."""
        ...


@dataclass(frozen=True)
class Course:
    """How to train."""

    records: int
    """The budget: records seen, the last batch rounded up."""
    batch: int = 128
    learning_rate: float = 1e-3
    warmup: int = 0
    """Records over which the rate rises from zero; it does so again in every generation."""
    schedule: Literal["constant", "cosine"] = "constant"
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    clip: float | None = 1.0
    averaging: Averaging | None = field(default_factory=Averaging)
    micro_batch: int | None = None
    """Records that pass through the network at once; the whole batch unless given."""
    device: Device = field(default_factory=Device)

    @property
    def steps(self) -> int:
        return max(1, math.ceil(self.records / self.batch))

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from zero."""
        rise = min(1.0, (step + 1) * self.batch / self.warmup) if self.warmup else 1.0
        fall = 0.5 * (1 + math.cos(math.pi * step / self.steps)) if self.schedule == "cosine" else 1.0
        return self.learning_rate * rise * fall


@dataclass(frozen=True)
class Trained:
    """What a training leaves: the averaged weights are in the network, the last ones beside it."""

    last: dict[str, Tensor]
    """The weights of the last step, on the CPU."""
    optimiser: dict[str, Tensor]
    """Adam's moments, on the CPU, by weight's name and "m" or "v"; and "steps"."""
    report: dict[str, Any]


def train(
    net: nn.Module,
    objective: Objective,
    course: Course,
    key: Key,
    *,
    last: Mapping[str, Tensor] | None = None,
    optimiser: Mapping[str, Tensor] | None = None,
    what: str = "training",
) -> Trained:
    """Trains `net` in place; it ends as the averaged network (the last one without averaging), on the CPU.

    `last` are the weights to go on from where they differ from the averaged ones in `net`, `optimiser` Adam's moments to
    go on with. Raises `FitFailed` when the loss is not finite or no weight moved, `RunError` when not even one record fits
    into memory.
    """
    if objective.size < 1:
        raise FitFailed("there is nothing to learn from: the training set is empty")
    course = replace(course, batch=min(course.batch, objective.size))
    return world().call(_trained, what, net, objective, course, key, last, optimiser)


def _trained(what: str, net: nn.Module, objective: Objective, course: Course, *state: Any) -> Trained:
    """In every process: the same training, each with its part of every batch."""
    course = replace(course, device=replace(course.device, name=world().here(course.device.name)))
    run = _Run(net, objective, course, *state)
    run.go(what)
    return run.end()


class _Run:
    """The state of one training."""

    def __init__(
        self,
        net: nn.Module,
        objective: Objective,
        course: Course,
        key: Key,
        last: Mapping[str, Tensor] | None,
        optimiser: Mapping[str, Tensor] | None,
    ) -> None:
        self.net, self.objective, self.course, self.key = net, objective, course, key
        self.device = course.device.name
        net.to(memory_format=course.device.memory_format)  # type: ignore[call-overload]
        net.to(self.device).requires_grad_(True).train()
        self.names = [name for name, _ in net.named_parameters()]
        self.weights = [p for _, p in net.named_parameters()]
        self.averaged = [p.detach().clone() for p in self.weights]
        if last is not None:
            with torch.no_grad():
                for name, p in net.named_parameters():
                    p.copy_(last[name])
        self.began = [p.detach().clone() for p in self.weights]
        self.adam = torch.optim.AdamW(
            self.weights,
            lr=course.learning_rate,
            betas=course.betas,
            weight_decay=course.weight_decay,
            fused=True,
        )
        if optimiser:
            self._load_optimiser(optimiser)
        self.forward = course.device.compiled(net)
        self.random = any(isinstance(m, nn.Dropout) and m.p > 0 for m in net.modules())
        self.micro = course.micro_batch or course.batch
        self.step, self.seen_loss, self.steps_seen, self.tail = 0, 0.0, 0, []  # type: ignore[var-annotated]
        self.generator = torch.Generator(self.device)
        self._order: tuple[int, np.ndarray] | None = None

    def go(self, what: str) -> None:
        """Steps to the end, from where the shelf says."""
        alone = world().size == 1  # several would have to find the same work on the shelf
        if alone:
            self._pick_up()
        now, course = shelf.Now(), self.course
        waiting: list[Tensor] = []
        with self.key.globally() if self.random else nullcontext():
            while self.step < course.steps:
                waiting.append(self._one(self.step))
                self.step += 1
                if self.step % LOOK_EVERY == 0 or self.step == course.steps:
                    self._look(waiting)
                    waiting = []
                    shelf.tell(what, self.step / course.steps)
                    if alone and now() and self.step < course.steps:
                        self._put_down()

    def _one(self, step: int) -> Tensor:
        course = self.course
        for group in self.adam.param_groups:
            group["lr"] = course.rate(step)
        name = self.key / "step" / step
        self.generator.manual_seed(name.integer(62))
        if self.random:
            torch.manual_seed((name / "dropout").integer(62))
        batch = self.objective.batch(self._rows(step), self.generator)
        loss = self._gradient(batch)
        if course.clip is not None:
            nn.utils.clip_grad_norm_(self.weights, course.clip)
        self.adam.step()
        if course.averaging is not None:
            average(
                self.averaged, self.weights, course.averaging.keeps((step + 1) * course.batch, course.batch)
            )  # type: ignore[arg-type]
        return loss

    def _gradient(self, batch: Sequence[Tensor | None]) -> Tensor:
        """The gradient of the batch's mean loss, by micro-batches that fit into memory; and that mean."""
        whole = self.course.batch
        mine = world().mine(whole)
        while True:
            self.adam.zero_grad(set_to_none=True)
            total = torch.zeros((), device=self.device)
            try:
                for low in range(mine.start, mine.stop, self.micro):
                    part = slice(low, min(low + self.micro, mine.stop))
                    with self.course.device.autocast():
                        each = self.objective.loss(
                            self.forward, *(None if t is None else t[part] for t in batch)
                        )
                    loss = each.float().sum() / whole
                    loss.backward()
                    total += loss.detach()
                return world().summed(total, self.weights)
            except OUT_OF_MEMORY as error:
                if self.micro <= 1:
                    raise RunError("not even one record fits into memory; take a smaller network") from error
                # The same draws again in smaller parts: the same gradient up to rounding.
                self.micro = math.ceil(min(self.micro, whole) / 2)
                del error
                if self.device != "cpu":
                    torch.cuda.empty_cache()

    def _rows(self, step: int) -> np.ndarray:
        """The records of a step: pass after pass over all of them, each in an order of its own."""
        size, low = self.objective.size, step * self.course.batch
        rows: list[np.ndarray] = []
        while (missing := self.course.batch - sum(map(len, rows))) > 0:
            number, at = divmod(low + sum(map(len, rows)), size)
            if self._order is None or self._order[0] != number:
                self._order = number, (self.key / "pass" / number).generator().permutation(size)
            rows.append(self._order[1][at : at + missing])
        return np.concatenate(rows) if len(rows) > 1 else rows[0]

    def _look(self, waiting: list[Tensor]) -> None:
        values = torch.stack(waiting).tolist()
        for i, value in enumerate(values):
            if not math.isfinite(value):
                step = self.step - len(values) + i
                raise FitFailed(
                    f"the loss became {'NaN' if math.isnan(value) else 'infinite'} at step {step} of {self.course.steps}; "
                    "a lower learner.learning_rate may help"
                )
        self.seen_loss += sum(values)
        self.steps_seen += len(values)
        self.tail = (self.tail + values)[-100:]

    def end(self) -> Trained:
        moved = [(p.detach() - b).square().sum() for p, b in zip(self.weights, self.began, strict=True)]
        norm = [b.square().sum() for b in self.began]
        change = math.sqrt(float(torch.stack(moved).sum()) / max(float(torch.stack(norm).sum()), 1e-30))
        if not change > 0:
            raise FitFailed(
                "no parameter moved in this training; is learner.learning_rate zero, or is there nothing to learn?"
            )
        course = self.course
        last = {n: p.detach().cpu().clone() for n, p in zip(self.names, self.weights, strict=True)}
        left = (
            0.0
            if course.averaging is None
            else course.averaging.lag(course.records, course.batch, course.steps)
        )
        if course.averaging is not None:
            with torch.no_grad():
                for p, e in zip(self.weights, self.averaged, strict=True):
                    p.copy_(e)
        self.net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self.net.to("cpu").requires_grad_(False).eval()
        shelf.forget(self.key)
        rates = [course.rate(i) for i in range(course.steps)]
        report = {
            "records": course.steps * course.batch,
            "steps": course.steps,
            "loss": float(np.mean(self.tail)),
            "mean_loss": self.seen_loss / max(self.steps_seen, 1),
            "highest_rate": max(rates),
            "mean_rate": float(np.mean(rates)),
            "nominal_rate": course.learning_rate,
            "average_moved": 1 - left,
            "relative_change": change,
            "micro_batch": min(self.micro, course.batch),
        }
        return Trained(last, self._optimiser(), report)

    def _optimiser(self) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for name, p in zip(self.names, self.weights, strict=True):
            state = self.adam.state[p]
            if not state:
                continue  # a weight that the loss does not reach
            found[f"{name}.m"], found[f"{name}.v"] = state["exp_avg"].cpu(), state["exp_avg_sq"].cpu()
            found["steps"] = state["step"].cpu().reshape(1)
        return found

    def _load_optimiser(self, moments: Mapping[str, Tensor]) -> None:
        for name, p in zip(self.names, self.weights, strict=True):
            if f"{name}.m" not in moments:
                continue
            self.adam.state[p] = {
                "step": moments["steps"].reshape(()).to(self.device, torch.float32).clone(),
                "exp_avg": moments[f"{name}.m"].to(p).clone(memory_format=torch.preserve_format),
                "exp_avg_sq": moments[f"{name}.v"].to(p).clone(memory_format=torch.preserve_format),
            }

    def _put_down(self) -> None:
        arrays = {f"optimiser/{k}": v.numpy() for k, v in self._optimiser().items()}
        for name, p, e in zip(self.names, self.weights, self.averaged, strict=True):
            arrays[f"last/{name}"], arrays[f"averaged/{name}"] = p.detach().cpu().numpy(), e.cpu().numpy()
        arrays["at"] = np.array([self.step, self.steps_seen, self.micro], np.int64)
        arrays["loss"] = np.array([self.seen_loss, *self.tail])
        shelf.put(self.key, arrays)

    def _pick_up(self) -> None:
        found = shelf.get(self.key)
        if found is None or int(found["at"][0]) >= self.course.steps:
            return
        with torch.no_grad():
            for name, p, e in zip(self.names, self.weights, self.averaged, strict=True):
                p.copy_(torch.from_numpy(found[f"last/{name}"]))
                e.copy_(torch.from_numpy(found[f"averaged/{name}"]))
        below = "optimiser/"
        self._load_optimiser(
            {k.removeprefix(below): torch.from_numpy(v) for k, v in found.items() if k.startswith(below)}
        )
        self.step, self.steps_seen, self.micro = (int(i) for i in found["at"])
        self.seen_loss, self.tail = float(found["loss"][0]), found["loss"][1:].tolist()
