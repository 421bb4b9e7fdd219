"""From a sweep to its page and picture."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from autophage import __version__
from autophage.sweeps.drawn import diagrams, relative
from autophage.sweeps.grid import Axis, said
from autophage.sweeps.program import SPREADS, TENTH, TIMED

if TYPE_CHECKING:
    from autophage.report.phase_page import PhasePage
    from autophage.sweeps.sweep import Sweep


def write_page(swept: Sweep, path: str | Path | None = None) -> Path:
    """Writes report.html beside the sweep (or at `path`), and phase.png beside it."""
    from autophage.report.phase_page import write
    from autophage.report.phase_plots import picture

    path = Path(path) if path is not None else (swept.folder or Path(".")) / "report.html"
    page = page_of(swept)
    write(page, path)
    if page.diagrams:
        picture(page.diagrams, path.with_name("phase.png"))
    return path


def page_of(swept: Sweep) -> PhasePage:
    """Everything on the page, as plain values."""
    from autophage.commands.reading import citations
    from autophage.report.phase_page import PhasePage

    drawn = diagrams(swept)
    metrics = list(dict.fromkeys(d.metric for d in drawn))
    spec = swept.work.first
    cited = list(
        dict.fromkeys([*citations(swept.work.loop), *(p.source for p in swept.theory.rests_on(metrics))])
    )
    return PhasePage(
        title=spec.name,
        subtitle=subtitle(swept),
        status=swept.status,
        findings=findings(swept),
        diagrams=drawn,
        theories=swept.theory.rests_on(metrics),
        notes=[f"{cell}: a replicate failed ({reason})" for cell, reason in list(swept.failures.items())[:8]],
        facts=_facts(swept),
        repeat=_repeat(swept),
        spec_yaml=yaml.safe_dump(dict(swept.grid.raw), sort_keys=False, allow_unicode=True, width=110)
        if spec.repeatable
        else "",
        citations=cited,
    )


def subtitle(swept: Sweep) -> str:
    """The grid in one line."""
    spec = swept.work.first
    shape = " x ".join(str(n) for n in swept.grid.shape)
    over = " and ".join(a.key for a in swept.axes)
    cells = f"{shape} = {swept.grid.size:,} cells" if len(swept.axes) > 1 else f"{swept.grid.size:,} cells"
    ends = np.unique(swept.horizons)
    horizon = f"{ends[0]}" if len(ends) == 1 else f"{ends[0]} to {ends[-1]}"
    return f"{over}: {cells} of {spec.replicates:,} replicates, {horizon} generations."


def findings(swept: Sweep) -> list[str]:
    """What came out, in sentences: how much of the grid has collapsed, and how well theory knew."""
    said_so = []
    if TIMED in swept.metrics:
        fallen = swept.phase(TIMED) < swept.horizons
        spread = next(m for m in SPREADS if m in swept.metrics)
        count, size = int(fallen.sum()), swept.grid.size
        ends = np.unique(swept.horizons)
        horizon = f"{ends[0]} generations" if len(ends) == 1 else "its generations"
        within = f"below a tenth of generation 0's within {horizon}"
        if count:
            sentence = f"In {count:,} of {size:,} cells the mean {spread} falls {within}"
        else:
            sentence = f"Nowhere on this grid does the mean {spread} fall {within}"
        field = relative(swept, TIMED)
        if field is not None and not np.isnan(field).any():
            predicted = int((field < TENTH).sum())
            sentence += f"; theory says {predicted:,}" if count or predicted else ", as theory says"
        said_so.append(sentence + ".")
    exact = [m for m in swept.metrics if m != TIMED and swept.theory.exact(m)]
    agreed = [(m, found) for m in exact if (found := swept.agreement(m)) is not None]
    if agreed:
        parts = ", ".join(f"{m.replace('_', ' ')} {100 * share:.0f} %" for m, (share, _) in agreed)
        cells = max(n for _, (_, n) in agreed)
        said_so.append(
            f"Theory's exact value lies in the 95 % interval of the measured mean in this share of the {cells:,} cells asked "
            f"about: {parts} (95 % by chance, less where few replicates carry the mean)."
        )
    return said_so


def _facts(swept: Sweep) -> list[tuple[str, Any]]:
    from autophage.runs.run import environment_of

    spec = swept.work.first
    way = "one array program" if swept.work.array else f"one run for every cell: {swept.work.reason}"
    hardware = environment_of(swept.work.loop)["hardware"]
    facts = [
        ("way", way),
        ("cells", f"{swept.grid.size:,}"),
        ("replicates of a cell", f"{spec.replicates:,}"),
        ("generations", spec.generations),
        ("seed", spec.seed),
        ("seconds", f"{swept.seconds:.1f}"),
        ("machine", f"{hardware['processor']}, {hardware['cores']} cores"),
        ("autophage", __version__),
    ]
    return [*facts, *((a.key, _range(a)) for a in swept.axes)]


def _range(axis: Axis) -> str:
    if len(axis.values) <= 6:
        return ", ".join(v if isinstance(v, str) else said(v) for v in axis.values)
    x = axis.numbers
    if x is None:
        return f"{len(axis.values)} values"
    return f"{len(x)} values from {x.min():g} to {x.max():g}" + (", even on a log scale" if axis.log else "")


def _repeat(swept: Sweep) -> list[str]:
    if not swept.work.first.repeatable:
        return []
    words = ["autophage", "sweep", "spec.yaml"]
    for axis in swept.axes:
        if len(axis.values) > 12 and axis.source:
            words += ["--grid", f"{axis.key}={axis.source}"]
        else:
            values = ",".join(v if isinstance(v, str) else said(v) for v in axis.values)
            words += ["--grid", f"{axis.key}={values}"]
    if swept.work.at is not None:
        words += ["--at", ",".join(map(str, swept.work.at))]
    return [shlex.join(words)]
