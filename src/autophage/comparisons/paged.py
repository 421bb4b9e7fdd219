"""From a comparison to its page."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autophage.comparisons.costs import COLUMNS
from autophage.comparisons.safeguards import PLAIN
from autophage.report.courses import number

if TYPE_CHECKING:
    from autophage.comparisons.comparison import Comparison, Gain, Outcome
    from autophage.report.ledger import Ledger, Walk
    from autophage.report.page import Page

HEADS = {
    "trained": "Records trained on",
    "auxiliary_records": "in extra networks",
    "proposals": "Drawn for training",
    "auxiliary_draws": "drawn for itself",
    "labels": "Labels asked",
    "fresh_records": "New real records",
    "evaluations": "Network evaluations",
    "seconds": "Seconds",
}
UNITS = {"records": "trained", "steps": "evaluations", "seconds": "seconds"}
MATCHED = {
    "records": "Every arm sees as many records in training as the plain loop, those of extra networks included",
    "steps": "Every retraining costs as many network evaluations as the plain loop's, sampling included",
    "seconds": "Every retraining takes about as long as the plain loop's, as a pilot measured it on this machine",
}


def write_page(comparison: Comparison, path: str | Path | None = None) -> Path:
    """Writes report.html into the comparison's folder (or to `path`), and figures beside it."""
    from autophage.report.ledger_plots import pictures
    from autophage.report.rendering import write

    path = Path(path) if path is not None else (comparison.folder or Path(".")) / "report.html"
    page = page_of(comparison)
    write(page, path)
    assert page.ledger is not None
    pictures(page.ledger, path.parent / "figures")
    return path


def page_of(comparison: Comparison) -> Page:
    """Everything on the page, as plain values."""
    from autophage.runs.paged import page_of as page_of_runs

    plain = comparison.outcomes[0].run
    name = plain.spec.data.name if hasattr(plain.spec.data, "name") else ""
    page = page_of_runs(
        comparison.runs,
        title=f"Safeguards compared{': ' + name if name else ''}",
        subtitle=_subtitle(comparison),
        lead=PLAIN,
    )
    repeat = [shlex.join(["autophage", "compare", "...", "--budget", comparison.budget])]
    if comparison.folder is not None:
        names = ",".join(o.name for o in comparison.outcomes[1:])
        words = ["autophage", "compare", str(comparison.folder / f"{PLAIN}.yaml"), "--safeguards", names]
        repeat = [shlex.join([*words, "--budget", comparison.budget])]
    return dataclasses.replace(page, ledger=ledger_of(comparison), repeat=repeat)


def _subtitle(comparison: Comparison) -> str:
    spec = comparison.outcomes[0].run.spec
    return (
        f"The plain loop and {len(comparison.outcomes) - 1} safeguards over {spec.generations} generations of "
        f"{spec.replicates} replicates, from the same seeds and the same generation 0; equal in {comparison.budget}."
    )


def ledger_of(comparison: Comparison) -> Ledger:
    """The comparison as a table and two charts."""
    from autophage.report.ledger import Entry, Ledger, Point

    told = [c for c in COLUMNS if any(getattr(o.cost, c) for o in comparison.outcomes)]
    rows = [
        Entry(
            n,
            o.name,
            gained(o.gain),
            number(comparison.last(o)) if np.isfinite(comparison.last(o)) else "–",
            [number(getattr(o.cost, c)) for c in told],
            o.safeguard.knows if o.safeguard else "",
            o.safeguard.blind if o.safeguard else "",
            _remark(o),
        )
        for n, o in enumerate(comparison.outcomes)
    ]
    unit = _unit(comparison)
    points = [
        Point(n, o.name, getattr(o.cost, unit), o.gain.share if o.gain else 0.0, *_ends(o.gain))
        for n, o in enumerate(comparison.outcomes)
        if o.gain is not None or o.name == PLAIN
    ]
    return Ledger(
        sentence(comparison),
        matching(comparison),
        comparison.risk,
        [HEADS[c] for c in told],
        rows,
        points,
        HEADS[unit].lower(),
        _walks(comparison),
        comparison.plane or ("precision", "recall"),
    )


def gained(gain: Gain | None) -> str:
    """A gain in percent, with its interval where there are replicates."""
    if gain is None:
        return "–"
    low, high = gain.interval
    text = f"{100 * gain.share:+.0f} %"
    return text if not np.isfinite(low) else f"{text} [{100 * low:+.0f}, {100 * high:+.0f}]"


def sentence(comparison: Comparison) -> str:
    """Which safeguards helped, which one most, and whether it knew something."""
    found = [o for o in comparison.outcomes[1:] if o.gain is not None]
    if not found:
        return "No safeguard reached the last generation."

    def sure(o: Outcome) -> float:
        low = o.gain.interval[0]  # type: ignore[union-attr]
        return low if np.isfinite(low) else o.gain.share  # type: ignore[union-attr]

    helped = [o for o in found if sure(o) > 0]
    if not helped:
        return f"At an equal budget none of the {len(found)} safeguards ends nearer to the real records than the plain loop."
    best = max(helped, key=lambda o: o.gain.share)  # type: ignore[union-attr]
    words = (
        f"{len(helped)} of {len(found)} safeguards end nearer to the real records than the plain loop at an equal budget; "
        f"{best.name} by most, {gained(best.gain)}"
    )
    knowing = best.safeguard.knows if best.safeguard else ""
    if not knowing:
        return words + "."
    blind = [o for o in helped if not (o.safeguard and o.safeguard.knows)]
    words += f", and it brings in {knowing}"
    if blind:
        second = max(blind, key=lambda o: o.gain.share)  # type: ignore[union-attr]
        words += f"; of those that bring in nothing, {second.name} ({gained(second.gain)})"
    return words + "."


def matching(comparison: Comparison) -> str:
    """How budgets were matched, and where that was not possible."""
    found = [o for o in comparison.outcomes if o.matched is not None]
    if not found:
        return (
            "This learner has no budget of records, so nothing was matched: every arm takes what its training sets ask, and "
            "the costs are told."
        )
    words = MATCHED[comparison.budget]
    less = [f"{o.name} {100 * o.matched.share:.0f} %" for o in found if o.matched and o.matched.share < 0.995]
    words += f": their models are trained on {', '.join(less)} of its records." if less else "."
    over = [o.name for o in found if o.matched and o.matched.over]
    if over:
        words += f" Over the budget even so: {', '.join(over)}."
    return words


def _unit(comparison: Comparison) -> str:
    """What gain is drawn against: what was not made equal and differs most; seconds where only they differ."""
    if comparison.outcomes[0].matched is None:
        return "trained"
    return "evaluations" if comparison.budget == "records" else "seconds"


def _ends(gain: Gain | None) -> tuple[float, float]:
    return gain.interval if gain is not None else (float("nan"), float("nan"))


def _remark(o: Outcome) -> str:
    if o.run.failures:
        return f"{len(o.run.failures)} failed"
    return "over budget" if o.matched is not None and o.matched.over else ""


def _walks(comparison: Comparison) -> list[Walk]:
    import polars as pl

    from autophage.report.ledger import Walk

    if comparison.plane is None:
        return []
    walks = []
    for n, o in enumerate(comparison.outcomes):
        courses = []
        for row in comparison.plane:
            means = (
                o.run.metrics.filter(pl.col("metric") == row)
                .group_by("generation")
                .agg(pl.col("value").mean())
                .sort("generation")
            )
            courses.append(dict(means.iter_rows()))
        both = sorted(set(courses[0]) & set(courses[1]))
        if both:
            walks.append(Walk(n, o.name, both, [courses[0][g] for g in both], [courses[1][g] for g in both]))
    return walks
