"""`autophage publish`: a generation of a run as a checkpoint that others load."""

from __future__ import annotations

from pathlib import Path

from autophage.commands.opening import said
from autophage.errors import RunError, SpecError
from autophage.loop import Loop
from autophage.registry import kind_of
from autophage.runs.folder import Folder
from autophage.spec import Spec


def publish(folder: Path, out: Path, generation: int, replicate: int, agent: str, as_json: bool) -> int:
    run = Folder(folder)
    if not run.exists():
        raise RunError(f"{folder} holds no run")
    loop = Loop(Spec.of(run.spec))
    if agent not in loop.agents:
        raise SpecError(f"the run has no agent '{agent}'; it has {', '.join(loop.agents)}")
    learner = loop.agents[agent].learner
    last = loop.spec.generations - 1
    number = generation if generation >= 0 else last + 1 + generation
    place = run.generation(replicate, number, agent) / "model.safetensors"
    if not place.is_file():
        raise RunError(
            f"{folder} holds no model of generation {number}, replicate {replicate}, agent {agent}"
        )
    from safetensors.numpy import load

    model = learner.restore(load(place.read_bytes()))
    if not hasattr(model, "publish"):
        raise SpecError(f"models of learner {kind_of('learner', learner)} cannot be published")
    sentence = model.publish(out)
    print(said({"folder": str(out), "generation": number, "said": sentence}) if as_json else sentence)
    return 0
