"""From a run of a process to its verdict and its page."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autophage import registry
from autophage.errors import DataError
from autophage.processes.process import cited
from autophage.runs.remarks import stopped
from autophage.runs.writing import manifest_of

if TYPE_CHECKING:
    from autophage.processes.running import ProcessRun
    from autophage.report.page import Arm, Page
    from autophage.verdicts import Profile


def judged(run: ProcessRun, agent: str | None = None) -> Profile:
    """The eight definitions of collapse on one agent's course. Raises `SpecError` where the verdict block names a metric that
    was not measured."""
    from autophage.verdicts import Course, from_table, judge

    name = agent or run.spec.process.agents[0]
    status: Any = {"interrupted": "stopped"}.get(run.status, run.status)
    try:
        if not len(run.rows(name)):
            raise DataError("nothing was measured")
        course = from_table(run.metrics, run.spec.verdict.model_dump(exclude_none=True), agent=name)
    except DataError as error:
        # Too little came out to be a course: everything stays open.
        course = Course(generations=np.arange(max(run.spec.generations, 3)), notes=(str(error),))
    return judge(course, status=status)


def write_page(run: ProcessRun, path: str | Path | None = None, figures: bool = False) -> Path:
    """Writes report.html beside the run (or at `path`), and the figures into `figures/` beside it."""
    from autophage.report.rendering import write

    path = Path((run.folder or Path(".")) / "report.html" if path is None else path)
    page = page_of(run)
    write(page, path)
    if figures:
        from autophage.report.plots import FORMATS
        from autophage.report.plots import figures as draw

        draw(page, path.parent / "figures", (*FORMATS, "gif"))
    return path


def page_of(run: ProcessRun) -> Page:
    """A page of one run, an arm for each agent."""
    from autophage.report.page import Page

    spec, process = run.spec, run.spec.process
    predictions = run.predictions()
    arms = [_arm(run, agent, predictions) for agent in process.agents]
    place = run.folder / "spec.yaml" if run.folder is not None else Path("spec.yaml")
    notes = [
        f"replicate {r} failed at generation {f['generation']}: {f['reason']}"
        for r, f in list(run.failures.items())[:10]
    ]
    return Page(
        title=spec.name,
        about=process.about,
        subtitle=f"{registry.kind_of('process', process)}, {_many(spec.generations, 'generation')}, "
        f"{_many(spec.replicates, 'replicate')}",
        status={"interrupted": "stopped"}.get(run.status, run.status),
        arms=arms,
        facts=_facts(run),
        repeat=[shlex.join(["autophage", "run", str(place), "--out", f"runs/again-{spec.name}"])],
        spec_yaml=spec.to_yaml(),
        citations=cited(process, predictions),
        notes=[*notes, *stopped(run.stops), *run.warnings],
        directions=_directions(run),
        exhibits=process.exhibits(run.metrics),
    )


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _arm(run: ProcessRun, agent: str, predictions: Any) -> Arm:
    from autophage.report.page import Arm

    process = run.spec.process
    several = len(process.agents) > 1
    return Arm(
        name=agent if several else run.spec.name,
        metrics=run.rows(agent),
        predictions=[p for p in predictions if p.agent == agent],
        gallery=process.gallery(agent, run.shown.get(agent, {})),
        profile=profiled(run, agent),
    )


def profiled(run: ProcessRun, agent: str) -> dict[str, Any]:
    """What the process found and what the definitions answer, as a page and a machine read it. The process's own findings come
    first, and their sentences are the verdict's; of the definitions those are left out then that lack a metric."""
    judged = run.verdict(agent)
    profile = judged.to_dict()
    findings = run.findings(agent)
    if findings:
        profile["sentence"] = " ".join(f.sentence for f in findings)
        told = [v.to_dict() for v in judged.verdicts if "metric" not in v.needs]
        profile["verdicts"] = [*(f.to_dict() for f in findings), *told]
    return profile


def _facts(run: ProcessRun) -> list[tuple[str, Any]]:
    spec = run.spec
    manifest = manifest_of(spec, "memory")
    return [
        *spec.process.facts(),
        ("generations", f"0 to {spec.generations - 1}"),
        ("replicates", spec.replicates),
        ("seed", spec.seed),
        ("wall time", f"{run.seconds:.1f} s"),
        ("spec hash", spec.digest),
        ("versions", ", ".join(f"{k} {v}" for k, v in manifest["versions"].items())),
        ("machine", f"{manifest['hardware']['processor']}, {manifest['hardware']['cores']} cores"),
    ]


def _directions(run: ProcessRun) -> dict[str, str]:
    """Row name to better direction: the longest beginning that the process names speaks for a row."""
    known = run.spec.process.directions
    found = {}
    for row in run.metrics["metric"].unique().to_list():
        begins = [name for name in known if row.startswith(name)]
        if begins:
            found[row] = known[max(begins, key=len)]
    return found
