"""One block of a run, from wherever it stands to its end.

In memory, or on disk: at deep scale every finished generation is a folder with a done-marker, at theory scale a checkpoint
is written every few seconds. Both resume to the same numbers, since every random stream is named.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from autophage.errors import FitFailed
from autophage.loop import Block, Generation, Loop, State
from autophage.parts import Measurement
from autophage.runs.folder import Folder, get_samples, npz, put_samples, unnpz, write
from autophage.runs.table import Rows
from autophage.samples import Batch, Samples

CHECKPOINT_SECONDS = 5.0
PICTURED = {"vectors": 200, "symbols": 0}
"""Records drawn for the gallery of replicate 0 in each generation."""

Observer = Callable[[dict[str, Any]], None]


@dataclass
class Course:
    """What has come out of a block so far."""

    block: Block
    rows: Rows = field(default_factory=Rows)
    failure: dict[str, Any] | None = None
    absorbed: dict[str, np.ndarray] = field(default_factory=dict)
    pictures: dict[str, dict[int, np.ndarray]] = field(default_factory=dict)
    """By agent and generation: a few records (or the probabilities) of replicate 0."""
    generations: int = 0


def run_block(
    loop: Loop, block: Block, folder: Folder | None = None, observe: Observer | None = None, pictures: bool = True
) -> Course:
    """Runs a block to its end, resuming from the folder where there is something to resume."""
    store = None if folder is None else (_Batch(folder, block) if loop.batched else _Deep(folder, block))
    course, state = (Course(block), None) if store is None else store.resume(loop)
    if course.failure is not None:
        return course
    state = state or loop.start(block)
    unseen = store is None and observe is None and not pictures and loop.leaps()
    while state.generation < loop.spec.generations:
        generation = state.generation
        try:
            if unseen and generation > 0:
                state = loop.leap(state)
                course.absorbed, course.generations = dict(state.absorbed), state.generation
                break
            state, records = loop.step(state, None if store is None else store.keep)
        except FitFailed as error:
            course.failure = {"generation": generation, "reason": str(error)}
            break
        for record in records:
            course.rows.add(block, record)
            if pictures and block.first == 0:
                drawn = picture(loop, record)
                if drawn is not None:
                    course.pictures.setdefault(record.agent, {})[record.number] = drawn
        course.absorbed = dict(state.absorbed)
        course.generations = state.generation
        if store is not None:
            store.save(course, state, records)
        if observe is not None:
            observe(_told(block, records))
    if store is not None:
        store.finish(course, state)
    if observe is not None:
        observe({"event": "block_done", "block": block.number, "failure": course.failure})
    return course


def _told(block: Block, records: list[Generation]) -> dict[str, Any]:
    means = {m.metric: float(np.mean(m.value)) for r in records[:1] for m in r.measurements}
    return {"event": "generation_done", "block": block.number, "generation": records[0].number, "metrics": means}


def picture(loop: Loop, record: Generation) -> np.ndarray | None:
    """A few records of replicate 0's sampler, or its probabilities; None where there is nothing to show."""
    sampler: Any = record.sampler
    probabilities = getattr(sampler, "probabilities", None)
    if probabilities is not None:
        return np.array(probabilities[0])
    key = loop.key(Block(0, 0, 1)) / "gallery" / record.agent / record.number
    if loop.batched:
        with contextlib.suppress(NotImplementedError):
            arrays = {k: v[:1] if np.ndim(v) and len(v) == sampler.replicates else v for k, v in sampler.arrays().items()}
            sampler = loop.agents[record.agent].learner.restore(arrays)
    drawn = sampler.sample(200, key=key)
    return np.asarray(drawn.x[0] if isinstance(drawn, Batch) else drawn.x)


class _Deep:
    """A folder for every generation of a replicate; the generation counts once its done-marker is there."""

    def __init__(self, folder: Folder, block: Block) -> None:
        self.folder, self.block = folder, block
        self.replicate = block.first

    def keep(self, samples: Samples, generation: int, agent: str) -> Samples:
        return put_samples(self.folder.generation(self.replicate, generation, agent), samples)

    def _place(self, generation: int, agent: str) -> Path:
        return self.folder.generation(self.replicate, generation, agent)

    def save(self, course: Course, state: State, records: list[Generation]) -> None:
        for record in records:
            place = self._place(record.number, record.agent)
            with contextlib.suppress(NotImplementedError):
                from safetensors.numpy import save

                arrays = {k: np.ascontiguousarray(v) for k, v in record.model.arrays().items()}
                write(place / "model.safetensors", save(arrays))
            shown = course.pictures.get(record.agent, {}).get(record.number)
            if shown is not None:
                write(place / "gallery.npz", npz({"x": shown}))
        marker = {
            "generation": state.generation - 1,
            "absorbed": {k: v.tolist() for k, v in course.absorbed.items()},
            "agents": {
                r.agent: {
                    "training_size": r.training_size,
                    "real_share": r.real_share.tolist(),
                    "report": getattr(r.model, "report", None),
                    "measurements": [_measurement(m) for m in r.measurements],
                }
                for r in records
            },
        }
        place = self.folder.generation(self.replicate, state.generation - 1)
        write(place / "done.json", json.dumps(marker))
        for record in records:
            self.folder.event(
                "generation_done", replicate=self.replicate, generation=record.number, agent=record.agent
            )

    def finish(self, course: Course, state: State) -> None:
        if course.failure is not None:
            place = self.folder.path / f"replicate_{self.replicate:04d}" / "failed.json"
            write(place, json.dumps(course.failure))
        _ended(self.folder, course)

    def resume(self, loop: Loop) -> tuple[Course, State | None]:
        course = Course(self.block)
        done = 0
        while (self.folder.generation(self.replicate, done) / "done.json").is_file():
            marker = json.loads((self.folder.generation(self.replicate, done) / "done.json").read_text())
            for agent, body in marker["agents"].items():
                record = Generation(
                    done, agent, None, None, body["training_size"], np.array(body["real_share"]), None,  # type: ignore[arg-type]
                    [_remeasured(m) for m in body["measurements"]],
                )
                course.rows.add(self.block, record)
                shown = self._place(done, agent) / "gallery.npz"
                if shown.is_file():
                    course.pictures.setdefault(agent, {})[done] = unnpz(shown)["x"]
            course.absorbed = {k: np.array(v) for k, v in marker["absorbed"].items()}
            done += 1
        course.generations = done
        failed = self.folder.path / f"replicate_{self.replicate:04d}" / "failed.json"
        if failed.is_file():
            course.failure = json.loads(failed.read_text())
            return course, None
        self._mend_log(done, list(loop.agents))
        if not done:
            return course, None
        return course, loop.resumed(self.block, done, self._samples, self._model, course.absorbed)

    def _mend_log(self, done: int, agents: list[str]) -> None:
        """A run killed between a marker and its event gets the event now."""
        seen = {
            (e.get("generation"), e.get("agent"))
            for e in self.folder.events()
            if e.get("event") == "generation_done" and e.get("replicate") == self.replicate
        }
        for g in range(done):
            for agent in agents:
                if (g, agent) not in seen:
                    self.folder.event("generation_done", replicate=self.replicate, generation=g, agent=agent)

    def _samples(self, generation: int, agent: str) -> Samples | None:
        place = self._place(generation, agent)
        return get_samples(place) if (place / "provenance.npz").is_file() else None

    def _model(self, learner: Any, generation: int, agent: str) -> Any:
        from safetensors.numpy import load

        place = self._place(generation, agent) / "model.safetensors"
        return learner.restore(load(place.read_bytes())) if place.is_file() else None


class _Batch:
    """One checkpoint for the whole block, replaced every few seconds and at the end."""

    def __init__(self, folder: Folder, block: Block) -> None:
        self.folder, self.block = folder, block
        self.written = time.monotonic()
        self.told = 0

    keep = None

    def save(self, course: Course, state: State, records: list[Generation]) -> None:
        if time.monotonic() - self.written >= CHECKPOINT_SECONDS:
            self._write(course, state)

    def finish(self, course: Course, state: State) -> None:
        self._write(course, state)
        _ended(self.folder, course)

    def _write(self, course: Course, state: State) -> None:
        arrays: dict[str, np.ndarray] = {"generation": np.array(course.generations)}
        arrays |= {f"rows/{k}": v for k, v in course.rows.arrays().items()}
        for agent, seen in course.pictures.items():
            arrays |= {f"gallery/{agent}/{g}": x for g, x in seen.items()}
        arrays |= {f"absorbed/{k}": v for k, v in course.absorbed.items()}
        if course.failure is not None:
            arrays["failure"] = np.array(json.dumps(course.failure))
        for agent, model in state.models.items():
            arrays |= {f"model/{agent}/{k}": v for k, v in model.arrays().items()}
        for agent, pile in state.piles.items():
            arrays |= {f"pile/{agent}/{k}": v for k, v in pile.arrays().items()}
        write(self.folder.checkpoint(self.block.number), npz(arrays))
        for generation in range(self.told, course.generations):
            for agent in state.piles:
                self.folder.event("generation_done", block=self.block.number, generation=generation, agent=agent)
        self.told = course.generations
        self.written = time.monotonic()

    def resume(self, loop: Loop) -> tuple[Course, State | None]:
        course, place = Course(self.block), self.folder.checkpoint(self.block.number)
        if not place.is_file():
            return course, None
        arrays = unnpz(place)

        def below(prefix: str) -> dict[str, np.ndarray]:
            return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}

        course.rows = Rows.restored(below("rows/"))
        course.absorbed = below("absorbed/")
        course.generations = int(arrays["generation"])
        for name, x in below("gallery/").items():
            agent, _, g = name.rpartition("/")
            course.pictures.setdefault(agent, {})[int(g)] = x
        if "failure" in arrays:
            course.failure = json.loads(str(arrays["failure"]))
            return course, None
        told = [e for e in self.folder.events() if e.get("event") == "generation_done" and e.get("block") == self.block.number]
        self.told = 1 + max((e["generation"] for e in told), default=-1)
        start = loop.start(self.block)
        models = {a: loop.agents[a].learner.restore(below(f"model/{a}/")) for a in loop.agents}
        piles = {a: start.piles[a].restored(below(f"pile/{a}/")) for a in loop.agents}
        return course, State(self.block, course.generations, models, piles, course.absorbed)


def _ended(folder: Folder, course: Course) -> None:
    block = course.block
    for replicate in range(block.first, block.first + block.replicates):
        if course.failure is not None:
            folder.event("replicate_ended", replicate=replicate, status="failed", **course.failure)
        elif block.replicates <= 64:
            folder.event("replicate_ended", replicate=replicate, status="completed")


def _measurement(m: Measurement) -> dict[str, Any]:
    body = {"metric": m.metric, "value": np.asarray(m.value).tolist(), "n": m.n}
    for side in ("low", "high"):
        array = getattr(m, side)
        body[side] = None if array is None else np.asarray(array).tolist()
    return body


def _remeasured(body: dict[str, Any]) -> Measurement:
    low, high = (None if body[s] is None else np.array(body[s]) for s in ("low", "high"))
    return Measurement(body["metric"], np.array(body["value"]), low, high, body["n"])
