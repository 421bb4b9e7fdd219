"""From a run to its page."""

from __future__ import annotations

import contextlib
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autophage import __version__, registry
from autophage.errors import UserError
from autophage.runs.alarms import alarms
from autophage.runs.judged import advice, status
from autophage.runs.pictured import blend, drift, gallery, judgement, neighbours, said
from autophage.runs.provenance import is_ecosystem
from autophage.runs.remarks import remarks

if TYPE_CHECKING:
    from autophage.parts import Prediction
    from autophage.report.ecosystem import Ecosystem
    from autophage.report.page import Arm, Page
    from autophage.runs.run import Run
    from autophage.verdicts import Profile


def write_page(run: Run, path: str | Path | None = None, figures: bool = False) -> Path:
    """Writes report.html beside the run (or at `path`), and the figures into `figures/` beside it."""
    from autophage.report.rendering import write

    if path is None:
        path = (run.folder or Path(".")) / "report.html"
    path = Path(path)
    page = page_of({run.spec.name: run})
    write(page, path)
    if figures:
        from autophage.report.plots import FORMATS
        from autophage.report.plots import figures as draw

        draw(page, path.parent / "figures", (*FORMATS, "gif"))
    return path


def page_of(
    runs: Mapping[str, Run], title: str | None = None, subtitle: str = "", lead: str | None = None
) -> Page:
    """A page of one run, or of several arms side by side. `lead` names the arm whose verdict heads the
    page."""
    from autophage.commands.reading import citations
    from autophage.report.page import Page

    first = runs[lead or next(iter(runs))]
    arms = [arm for name, run in runs.items() for arm in _arms(name, run, len(runs) > 1)]
    several = len(first.spec.agents) > 1
    head = next(a for a in arms if lead is None or a.name.startswith(lead))
    cited = list(dict.fromkeys(c for run in runs.values() for c in citations(run.loop)))
    return Page(
        title=title or first.spec.name,
        subtitle=subtitle or _subtitle(first),
        status=status(first, next(iter(first.spec.agents))),
        arms=arms,
        profile=(_together(arms) if len(runs) == 1 else None) if several else head.profile,
        advice=None if several else head.advice,
        facts=_facts(first, len(runs)),
        repeat=_repeat(runs),
        spec_yaml="\n".join(r.spec.to_yaml() for r in runs.values()),
        citations=cited,
        notes=[n for name, run in runs.items() for n in _notes(name if len(runs) > 1 else "", run)],
        directions=_directions(first),
        blend=blend(runs),
        ecosystems=_ecosystems(runs),
    )


def _arms(name: str, run: Run, compared: bool) -> list[Arm]:
    import polars as pl

    from autophage.report.page import Arm

    predictions = [*run.predictions(), *calibrated(run)]
    several = len(run.spec.agents) > 1
    arms = []
    for agent in run.spec.agents:
        found = advice(run, agent)
        profile = run.verdict(agent)
        arms.append(
            Arm(
                name=(f"{name} · {agent}" if compared else agent) if several else name,
                metrics=run.metrics.filter(pl.col("agent") == agent),
                predictions=[p for p in predictions if p.agent == agent],
                gallery=gallery(run, agent),
                neighbours=neighbours(run, agent),
                drift=drift(run, agent),
                judged=judgement(run, agent),
                said=said(run, agent),
                # Of one that describes there may be nothing to ask: then the page leaves it out.
                profile=profile.to_dict() if _asked(run, agent, profile) else None,
                advice=None if found is None else found.to_dict(),
            )
        )
    return arms


def calibrated(run: Run) -> list[Prediction]:
    """The held-out log-likelihood that the relative excess risk implies, its unknown unit taken from the
    first
    retraining:  R_g = R_0 + (rho_g - 1) / (rho_1 - 1) (R_1 - R_0),  R the measured negative
    log-likelihood."""
    import polars as pl

    from autophage.parts import Prediction

    found = []
    for p in run.predictions():
        if p.metric != "relative_excess_risk" or np.size(p.values) < 3 or not p.values[1] > 1:
            continue
        rows = run.metrics.filter((pl.col("agent") == p.agent) & (pl.col("metric") == "log_likelihood"))
        start = [rows.filter(pl.col("generation") == g)["value"].mean() for g in (0, 1)]
        if not all(isinstance(s, float) and np.isfinite(s) for s in start):
            continue
        rho = np.asarray(p.values, dtype=np.float64)
        found.append(
            Prediction(
                "log_likelihood",
                start[0] + (rho - 1) / (rho[1] - 1) * (start[1] - start[0]),  # type: ignore[operator]
                "conjecture",
                f"{p.statement} Drawn with the first retraining as its unit.",
                p.source,
                agent=p.agent,
            )
        )
    return found


def _asked(run: Run, agent: str, profile: Profile) -> bool:
    """Whether a verdict says anything: agents that describe others' records may have no course that one could be read from."""
    describes = getattr(run.spec.agents[agent].learner, "describes", False)
    return not describes or len(profile.having("undecided")) < len(profile.verdicts)


def _together(arms: Sequence[Arm]) -> dict[str, Any] | None:
    """The verdict of a run of several agents: that of the only one that has one, or one sentence that the verdicts of each
    follow."""
    from autophage.verdicts.profile import MILD

    found: dict[str, list[str]] = {"yes": [], "no": [], "undecided": []}
    for arm in arms:
        if arm.profile is not None:
            answers = {v["verdict"] for v in arm.profile["verdicts"] if v["definition"] not in MILD}
            found["yes" if "yes" in answers else "undecided" if "undecided" in answers else "no"].append(
                arm.name
            )
    told = {str(arm.profile["sentence"]) for arm in arms if arm.profile is not None}
    names = [arm.name for arm in arms if arm.profile is not None]
    if len(told) < 2:
        sentence = f"{_listed(names)}: {told.pop()}" if names else "No verdict was asked of these agents."
        return {
            **(next(a.profile for a in arms if a.profile) if len(names) == 1 else {}),
            "sentence": sentence,
        }
    words = {
        "yes": "a kind of collapse was found for",
        "no": "none was found for",
        "undecided": "it is undecided for",
    }
    clauses = "; ".join(f"{words[k]} {_listed(names)}" for k, names in found.items() if names)
    return {"sentence": f"{clauses[:1].upper()}{clauses[1:]}."}


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _ecosystems(runs: Mapping[str, Run]) -> list[Ecosystem]:
    """What the page shows of who trained on whom, for runs in which that is a question."""
    from autophage.report.ecosystem import Agent, Ecosystem

    found, key = [], 0
    for name, run in runs.items():
        agents = []
        for agent, body in run.spec.agents.items():
            parts = {"learner": body.learner, "workflow": body.workflow}
            # Of a user's own part, without its module.
            kinds = [registry.kind_of(slot, part).rpartition(":")[2] for slot, part in parts.items()]
            sampling = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in body.sampling.chosen().items())
            agents.append(
                Agent(
                    agent,
                    kinds[0],
                    kinds[1],
                    key,
                    body.given,
                    body.frozen,
                    sampling,
                )
            )
            key += 1
        if is_ecosystem(run.spec):
            asked = {a: dict(run.loop._feeding(a)) for a in run.spec.agents}
            found.append(Ecosystem(agents, asked, run.flows, name if len(runs) > 1 else ""))
    return found


def _subtitle(run: Run) -> str:
    spec = run.spec
    kinds = Counter(
        f"{registry.kind_of('learner', a.learner)} under {registry.kind_of('workflow', a.workflow)}"
        for a in spec.agents.values()
    )
    agents = _listed([kind if n == 1 else f"{n} times {kind}" for kind, n in kinds.items()])
    return f"{registry.kind_of('data', spec.data)} through {agents}, {spec.generations} generations, {spec.replicates} replicates"


def _facts(run: Run, arms: int) -> list[tuple[str, Any]]:
    from autophage.runs.run import environment_of

    spec, loop = run.spec, run.loop
    manifest = environment_of(loop)
    facts: list[tuple[str, Any]] = [
        ("data", f"{registry.kind_of('data', spec.data)}, {_record(loop.source)}"),
        ("generations", f"0 to {spec.generations - 1}"),
        ("replicates", spec.replicates),
        ("real records of generation 0", ", ".join(f"{n:,}" for n in dict.fromkeys(loop.real.values()))),
        ("seed", spec.seed),
        ("path", ", ".join(dict.fromkeys(loop.paths.values()))),
        ("wall time", f"{run.seconds:.1f} s" + (" (first arm)" if arms > 1 else "")),
        ("spec hash", spec.digest),
        ("versions", ", ".join(f"{k} {v}" for k, v in manifest["versions"].items())),
        ("machine", f"{manifest['hardware']['processor']}, {manifest['hardware']['cores']} cores"),
    ]
    if any("samples" in metric.needs for metric in spec.metrics):
        held_out = len(loop.source.reference())
        compared = f"{spec.evaluation_size or held_out:,} generated, {held_out:,} held-out real"
        facts.insert(4, ("records compared", compared))
    facts += floors(run)
    return [*facts, ("autophage", __version__)]


QUICK = ("pixels", "standardised", "pca", "scaled_pca")
"""Feature spaces that need no training of their own."""


def floors(run: Run) -> list[tuple[str, str]]:
    """What distances are between two halves of the held-out real records: sampling alone makes as much of them."""
    found: list[tuple[str, str]] = []
    for metric in run.spec.metrics:
        if hasattr(metric, "floors") and getattr(metric, "features", "") in QUICK:
            with contextlib.suppress(UserError):  # too few records for two halves
                rows = metric.floors(run.loop.source, run.loop.memo)
                found += [
                    (f"{name} between halves of the real reference", f"{c.value:.4g}")
                    for name, c in rows.items()
                ]
    return found


def _record(source: Any) -> str:
    return f"{source.dim} {'inputs and their label' if source.domain == 'pairs' else 'numbers'} in a record"


def _repeat(runs: Mapping[str, Run]) -> list[str]:
    lines = []
    for run in runs.values():
        place = run.folder / "spec.yaml" if run.folder is not None else Path("spec.yaml")
        lines.append(shlex.join(["autophage", "run", str(place), "--out", f"runs/again-{run.spec.name}"]))
    return lines


def _notes(name: str, run: Run) -> list[str]:
    mark = f"{name}: " if name else ""
    notes = [
        f"{mark}replicate {r} failed at generation {f['generation']}: {f['reason']}"
        for r, f in list(run.failures.items())[:10]
    ]
    for agent, where in run.absorbed.items():
        stuck = where[where >= 0]
        if len(stuck):
            notes.append(
                f"{mark}{len(stuck)} of {len(where)} replicates of {agent} became a point mass (first at generation "
                f"{int(stuck.min())}); they carry their value forward"
            )
    notes += [mark + said for agent in run.spec.agents for said in alarms(run, agent)]
    return notes + [mark + w for w in (*remarks(run), *run.warnings)]


def _directions(run: Run) -> dict[str, str]:
    """Row name to better direction: each metric speaks for the rows that begin with its key."""
    found = {}
    for metric in run.spec.metrics:
        kind = registry.kind_of("metric", metric)
        directions = getattr(metric, "directions", None) or {}
        for row in run.metrics["metric"].unique().to_list():
            if row in directions:
                found[row] = directions[row]
            elif row.startswith(kind):
                found[row] = metric.direction
    return found
