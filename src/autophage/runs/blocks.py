"""One block of a run, from wherever it stands to its end.

In memory, or on disk: at deep scale every finished generation is a folder with a done-marker, at theory scale
a checkpoint is written every few seconds. Both resume to the same numbers, since every random stream is
named.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from autophage.curating import Judged
from autophage.ecosystem import Flow
from autophage.errors import FitFailed, RunError, SpecError, UserError
from autophage.keys import Key
from autophage.loop import Block, Generation, Loop, State
from autophage.parts import Measurement, sampled
from autophage.registry import nearest
from autophage.runs.folder import Folder, get_samples, npz, put_samples, unnpz, write
from autophage.runs.table import Rows
from autophage.samples import Batch, Samples
from autophage.stopping import reason
from autophage.training.shelf import Listener, shelf_at

CHECKPOINT_SECONDS = 5.0
OUT_OF_MEMORY = ("MemoryError", "_ArrayMemoryError", "OutOfMemoryError")
"""Python's, numpy's and torch's: the machine's failure, not the learner's, so the run stays resumable."""

Observer = Callable[[dict[str, Any]], None]

DRAWN = 200
"""Records of replicate 0 that a generation's gallery keeps."""


class Drawn(NamedTuple):
    """What a gallery keeps of one generation: records `x` (n, ...), or probabilities (K,), and the records' classes
    `label` (n,) and captions `caption` (n,) where they carry any."""

    x: np.ndarray
    label: np.ndarray | None = None
    caption: np.ndarray | None = None
    """(n,) what was asked for, or said of the records."""


@dataclass
class Course:
    """What has come out of a block so far."""

    block: Block
    rows: Rows = field(default_factory=Rows)
    failure: dict[str, Any] | None = None
    absorbed: dict[str, np.ndarray] = field(default_factory=dict)
    pictures: dict[str, dict[int, Drawn]] = field(default_factory=dict)
    """By agent and generation: a few records (or the probabilities) of replicate 0."""
    judged: dict[str, dict[int, Judged]] = field(default_factory=dict)
    """By agent and generation: what curation kept and dropped in replicate 0, a few records of each."""
    flows: dict[str, dict[int, tuple[Flow, ...]]] = field(default_factory=dict)
    """By agent and generation: where the records of its training set came from, in replicate 0."""
    generations: int = 0
    stopped: dict[str, Any] | None = None
    """{generation, reason} where a stop rule ended it."""

    def ended(self, generations: int) -> bool:
        """Whether nothing is left to do of so many generations."""
        return self.failure is not None or self.stopped is not None or self.generations >= generations

    def add(self, records: Sequence[Generation]) -> None:
        """What a generation measured, and what can be shown of it."""
        for record in records:
            self.rows.add(self.block, record.number, record.agent, record.measurements)
            if self.block.first == 0 and record.judged is not None:
                self.judged.setdefault(record.agent, {})[record.number] = record.judged
            if self.block.first == 0 and record.flow:
                self.flows.setdefault(record.agent, {})[record.number] = record.flow


def run_block(
    loop: Loop,
    block: Block,
    folder: Folder | None = None,
    observe: Observer | None = None,
    pictures: bool = True,
) -> Course:
    """Runs a block to its end, resuming from the folder where there is something to resume."""
    store = None if folder is None else (_Batch(folder, block) if loop.batched else _Deep(folder, block))
    course, state = (Course(block), None) if store is None else store.resume(loop)
    if course.ended(loop.spec.generations):
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
            with shelf_at(
                None if store is None else store.unfinished, teller(observe, block.number, generation)
            ):
                state, records = loop.step(state, None if store is None else store.keep)
            shown = pictured(loop, records) if pictures and block.first == 0 else {}
        except UserError:
            raise
        except Exception as error:
            if type(error).__name__ in OUT_OF_MEMORY:
                raise RunError(
                    f"generation {generation} does not fit into memory ({reason_of(error)})"
                ) from error
            # A result, whoever raised it: this part of the run ends here, the rest goes on.
            course.failure = {"generation": generation, "reason": reason_of(error)}
            break
        if generation == 0:
            names = dict.fromkeys(m.metric for r in records for m in r.measurements)
            require_measured(loop.spec, names, "no metric measures")
        course.add(records)
        for agent, drawn in shown.items():
            course.pictures.setdefault(agent, {})[generation] = drawn
        if loop.spec.stop and state.generation < loop.spec.generations:
            why = reason(loop.spec.stop, course.rows.courses())
            course.stopped = None if why is None else {"generation": generation, "reason": why}
        course.absorbed = dict(state.absorbed)
        course.generations = state.generation
        if store is not None:
            store.save(course, state, records)
        if observe is not None:
            observe(_told(block, records))
        if course.stopped is not None:
            break
    if store is not None:
        store.finish(course, state)
    if observe is not None:
        observe({"event": "block_done", "block": block.number, "failure": course.failure})
    return course


def teller(observe: Observer | None, block: int, generation: int) -> Listener | None:
    """Passes on how far work inside a generation has come."""
    if observe is None:
        return None

    def tell(what: str, share: float) -> None:
        observe(
            {
                "event": "working",
                "block": block,
                "generation": generation,
                "what": what,
                "share": share,
            }
        )

    return tell


def require_measured(spec: Any, names: Collection[str], lacking: str) -> None:
    """The metric of a verdict or a stop rule is known by its row's name: what nobody measures is refused after one generation,
    not when the run has ended."""
    wanted = [(f"verdict.{key}", getattr(spec.verdict, key)) for key in ("risk", "diversity")]
    wanted += [(f"stop[{i}].metric", rule.metric) for i, rule in enumerate(spec.stop)]
    for key, asked in wanted:
        if asked is not None and asked.removeprefix("-") not in names:
            raise SpecError(f"{key} is '{asked}', which {lacking}{nearest(asked, names)}")


def reason_of(error: Exception) -> str:
    """Why a fit ended: the learner's own words, or what a stranger's code raised and where."""
    words = " ".join(str(error).split())
    if isinstance(error, FitFailed):
        return words or "the learner diverged"
    place = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"{type(error).__name__}: {words or 'no message'} ({Path(place.filename).name}, line {place.lineno})"
    )


def _told(block: Block, records: list[Generation]) -> dict[str, Any]:
    means = {m.metric: float(np.mean(m.value)) for r in records[:1] for m in r.measurements}
    return {
        "event": "generation_done",
        "block": block.number,
        "generation": records[0].number,
        "metrics": means,
    }


def gallery_key(loop: Loop, agent: str) -> Key:
    """The stream of an agent's gallery: the same in every generation."""
    return loop.key(Block(0, 0, 1)) / "gallery" / agent


def asked_classes(loop: Loop, agent: str, n: int) -> Samples | None:
    """The classes that a conditional model's n pictures are asked for, 0, 1, ..., and again: the same in every
    generation. None where models are not conditional."""
    classes = getattr(loop.source, "classes", None)
    if not classes or not getattr(loop.agents[agent].learner, "conditional", False):
        return None
    return Samples.of(label=np.arange(n, dtype=np.int64) % len(classes))


def pictured(loop: Loop, records: Sequence[Generation]) -> dict[str, Drawn]:
    """By agent, what a gallery keeps of a generation; those that describe others' records show these."""
    found: dict[str, Drawn] = {}
    for record in records:
        found[record.agent] = picture(loop, record, found)
    return found


def picture(loop: Loop, record: Generation, before: Mapping[str, Drawn]) -> Drawn:
    """A few records of replicate 0's sampler, or its probabilities. The random numbers are the same in every
    generation, and so are the classes or captions asked for, so that where a model turns noise into records one sees the
    same record change."""
    sampler: Any = record.sampler
    probabilities = getattr(sampler, "probabilities", None)
    if probabilities is not None:
        return Drawn(np.array(probabilities[0]))
    key = gallery_key(loop, record.agent)
    if loop.batched:
        with contextlib.suppress(NotImplementedError):
            arrays = {
                k: v[:1] if np.ndim(v) and len(v) == sampler.replicates else v
                for k, v in sampler.arrays().items()
            }
            sampler = loop.agents[record.agent].learner.restore(arrays)
    given = None if loop.batched else asked(loop, record.agent, DRAWN, before)
    drawn = sampled(sampler, DRAWN if given is None else len(given), key, given)
    if isinstance(drawn, Batch):
        return Drawn(np.asarray(drawn.x[0]))
    return Drawn(np.asarray(drawn.x), drawn.label, drawn.caption)


def asked(loop: Loop, agent: str, n: int, before: Mapping[str, Drawn]) -> Samples | None:
    """What an agent's model is given for its n pictures: those that the agent before it shows, real ones, or what is asked for,
    the same in every generation. None where it is given nothing."""
    learner, given = loop.agents[agent].learner, loop.agents[agent].given
    held = loop.source.reference()
    if getattr(learner, "describes", False):
        shown = before.get(str(given))
        if shown is not None:
            return Samples.of(shown.x, label=shown.label, caption=shown.caption)
        return held[np.arange(min(n, len(held)))]
    if getattr(learner, "needs_captions", False):
        return held.cycled(n)
    return asked_classes(loop, agent, n)


class _Deep:
    """A folder for every generation of a replicate; the generation counts once its done-marker is there."""

    def __init__(self, folder: Folder, block: Block) -> None:
        self.folder, self.block = folder, block
        self.replicate = block.first
        self.unfinished = folder.path / f"replicate_{self.replicate:04d}" / "unfinished"

    def keep(self, samples: Samples, generation: int, agent: str) -> Samples:
        return put_samples(self.folder.generation(self.replicate, generation, agent), samples)

    def _place(self, generation: int, agent: str) -> Path:
        return self.folder.generation(self.replicate, generation, agent)

    def save(self, course: Course, state: State, records: list[Generation]) -> None:
        for record in records:
            place = self._place(record.number, record.agent)
            self._put_model(place / "model.safetensors", record.model)
            shown = course.pictures.get(record.agent, {}).get(record.number)
            if shown is not None:
                write(place / "gallery.npz", npz({k: v for k, v in shown._asdict().items() if v is not None}))
            if record.judged is not None and self.block.first == 0:
                write(place / "judged.npz", npz(record.judged._asdict()))
        marker = {
            "generation": state.generation - 1,
            "absorbed": {k: v.tolist() for k, v in course.absorbed.items()},
            "agents": {
                r.agent: {
                    "training_size": r.training_size,
                    "real_share": r.real_share.tolist(),
                    "report": getattr(r.model, "report", None),
                    "measurements": [as_data(m) for m in r.measurements],
                    **({"flow": r.flow} if r.flow else {}),
                }
                for r in records
            },
        }
        place = self.folder.generation(self.replicate, state.generation - 1)
        write(place / "done.json", json.dumps(marker, default=str))
        shutil.rmtree(self.unfinished, ignore_errors=True)
        for record in records:
            self.folder.event(
                "generation_done", replicate=self.replicate, generation=record.number, agent=record.agent
            )

    def _put_model(self, place: Path, model: Any) -> None:
        from safetensors.numpy import save

        try:
            # Not ascontiguousarray, which makes a number an array of one.
            write(place, save({k: np.asarray(v, order="C") for k, v in model.arrays().items()}))
        except (NotImplementedError, KeyError):
            place.unlink(
                missing_ok=True
            )  # cannot be stored safely: refitted on resume where a later fit asks for it

    def finish(self, course: Course, state: State) -> None:
        for name, told in (("failed.json", course.failure), ("stopped.json", course.stopped)):
            if told is not None:
                write(self.folder.path / f"replicate_{self.replicate:04d}" / name, json.dumps(told))
        _ended(self.folder, course)

    def read(self) -> Course:
        """What the finished generations left behind."""
        course = Course(self.block)
        done = 0
        while (place := self.folder.generation(self.replicate, done) / "done.json").is_file():
            marker = read_json(place)
            for agent, body in marker["agents"].items():
                course.rows.add(self.block, done, agent, [from_data(m) for m in body["measurements"]])
                shown = self._place(done, agent) / "gallery.npz"
                if shown.is_file():
                    arrays = unnpz(shown)
                    drawn = Drawn(arrays["x"], arrays.get("label"), arrays.get("caption"))
                    course.pictures.setdefault(agent, {})[done] = drawn
                shown = self._place(done, agent) / "judged.npz"
                if shown.is_file():
                    course.judged.setdefault(agent, {})[done] = Judged(**unnpz(shown))
                if self.block.first == 0 and body.get("flow"):
                    course.flows.setdefault(agent, {})[done] = tuple(Flow(*row) for row in body["flow"])
            course.absorbed = {k: np.array(v) for k, v in marker["absorbed"].items()}
            done += 1
        course.generations = done
        place = self.folder.path / f"replicate_{self.replicate:04d}"
        if (place / "failed.json").is_file():
            course.failure = read_json(place / "failed.json")
        if (place / "stopped.json").is_file():
            course.stopped = read_json(place / "stopped.json")
        return course

    def resume(self, loop: Loop) -> tuple[Course, State | None]:
        course = self.read()
        done = course.generations
        if not done and course.failure is None:
            return course, None
        self._mend_log(done, list(loop.agents))
        if course.ended(loop.spec.generations):
            _ended(self.folder, course, told=self.folder.events(holding=f'"replicate": {self.replicate},'))
            return course, None
        return course, loop.resumed(self.block, done, self._samples, self._model, course.absorbed)

    def _mend_log(self, done: int, agents: list[str]) -> None:
        """A run killed between a marker and its event gets the event now."""
        seen = {
            (e.get("generation"), e.get("agent"))
            for e in self.folder.events(holding=f'"replicate": {self.replicate},')
            if e.get("event") == "generation_done"
        }
        for g in range(done):
            for agent in agents:
                if (g, agent) not in seen:
                    self.folder.event("generation_done", replicate=self.replicate, generation=g, agent=agent)

    def _samples(self, generation: int, agent: str) -> Samples | None:
        place = self._place(generation, agent)
        return get_samples(place) if (place / "provenance.json").is_file() else None

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
    unfinished = None

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
            arrays |= {f"gallery/{agent}/{g}": drawn.x for g, drawn in seen.items()}
        arrays |= {f"absorbed/{k}": v for k, v in course.absorbed.items()}
        for name, told in (("failure", course.failure), ("stopped", course.stopped)):
            if told is not None:
                arrays[name] = np.array(json.dumps(told))
        for agent, model in state.models.items():
            arrays |= {f"model/{agent}/{k}": v for k, v in model.arrays().items()}
        for agent, pile in state.piles.items():
            arrays |= {f"pile/{agent}/{k}": v for k, v in pile.arrays().items()}
        write(self.folder.checkpoint(self.block.number), npz(arrays))
        self._tell(course, list(state.piles))
        self.written = time.monotonic()

    def _tell(self, course: Course, agents: list[str]) -> None:
        for generation in range(self.told, course.generations):
            for agent in agents:
                self.folder.event(
                    "generation_done", block=self.block.number, generation=generation, agent=agent
                )
        self.told = course.generations

    def read(self) -> Course:
        """What the newest checkpoint holds."""
        return self._read(self._arrays())

    def _arrays(self) -> dict[str, np.ndarray]:
        place = self.folder.checkpoint(self.block.number)
        return unnpz(place) if place.is_file() else {}

    def _read(self, arrays: dict[str, np.ndarray]) -> Course:
        course = Course(self.block)
        if not arrays:
            return course
        course.rows = Rows.restored(_below(arrays, "rows/"))
        course.absorbed = _below(arrays, "absorbed/")
        course.generations = int(arrays["generation"])
        for name, x in _below(arrays, "gallery/").items():
            agent, _, g = name.rpartition("/")
            course.pictures.setdefault(agent, {})[int(g)] = Drawn(x)
        if "failure" in arrays:
            course.failure = json.loads(str(arrays["failure"]))
        if "stopped" in arrays:
            course.stopped = json.loads(str(arrays["stopped"]))
        return course

    def resume(self, loop: Loop) -> tuple[Course, State | None]:
        arrays = self._arrays()
        course = self._read(arrays)
        if not arrays:
            return course, None
        told = self.folder.events(holding=f'"block": {self.block.number},')
        done = [e["generation"] for e in told if e.get("event") == "generation_done"]
        self.told = 1 + max(done, default=-1)
        self._tell(course, list(loop.agents))
        if course.ended(loop.spec.generations):
            _ended(self.folder, course, told=self.folder.events(holding="replicate_ended"))
            return course, None
        start = loop.start(self.block)
        models = {a: loop.agents[a].learner.restore(_below(arrays, f"model/{a}/")) for a in loop.agents}
        piles = {a: start.piles[a].restored(_below(arrays, f"pile/{a}/")) for a in loop.agents}
        return course, State(self.block, course.generations, models, piles, course.absorbed)


def stored(folder: Folder, loop: Loop) -> list[Course]:
    """What every block of a run left in its folder; nothing is written, nothing computed again."""
    store = _Batch if loop.batched else _Deep
    return [store(folder, block).read() for block in loop.blocks()]


def _below(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def read_json(place: Path) -> Any:
    try:
        return json.loads(place.read_text())
    except (OSError, ValueError) as error:
        raise RunError(f"{place} is damaged; delete it and go on with --resume") from error


def _ended(folder: Folder, course: Course, told: list[dict[str, Any]] | None = None) -> None:
    """Logs how the block's replicates ended, those apart that the log knows already."""
    block = course.block
    known = {e.get("replicate") for e in told or () if e.get("event") == "replicate_ended"}
    for replicate in range(block.first, block.first + block.replicates):
        if replicate in known:
            continue
        if course.failure is not None:
            folder.event("replicate_ended", replicate=replicate, status="failed", **course.failure)
        elif course.stopped is not None:
            folder.event("replicate_ended", replicate=replicate, status="stopped", **course.stopped)
        elif block.replicates <= 64:
            folder.event("replicate_ended", replicate=replicate, status="completed")


def as_data(m: Measurement) -> dict[str, Any]:
    body = {"metric": m.metric, "value": np.asarray(m.value).tolist(), "n": m.n}
    for side in ("low", "high"):
        array = getattr(m, side)
        body[side] = None if array is None else np.asarray(array).tolist()
    return body


def from_data(body: dict[str, Any]) -> Measurement:
    low, high = (None if body[s] is None else np.array(body[s]) for s in ("low", "high"))
    return Measurement(body["metric"], np.array(body["value"]), low, high, body["n"])
