"""The pictures of a run, as its page wants them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from autophage import registry
from autophage.errors import UserError
from autophage.runs.blocks import Drawn, asked_classes, gallery_key
from autophage.runs.folder import Folder

if TYPE_CHECKING:
    from autophage.report.descriptions import Said
    from autophage.report.drift import Drift
    from autophage.report.interpolation import Blend
    from autophage.report.judgement import Judgement
    from autophage.report.neighbours import Neighbours
    from autophage.report.page import Gallery
    from autophage.runs.run import Run

REAL = 200
"""Held-out real records that a page may show."""
TELLING = (
    "acceptance",
    "threshold",
    "auc",
    "mean_confidence",
    "kept_reward",
    "replaced",
    "effective_size",
    "probe_accuracy",
)
"""Noted numbers that say why records were kept or dropped."""
FITTED = 600
"""Real records that a plane may be fitted to."""


def gallery(run: Run, agent: str) -> Gallery | None:
    """Samples generation by generation beside real ones, as the data's kind wants to be seen."""
    from autophage.report.page import Gallery

    drawn = None if _describes(run, agent) else _drawn(run, agent)
    if not drawn:
        return None
    source = run.spec.data
    generations = list(drawn)
    samples = [np.asarray(d.x) for d in drawn.values()]
    kind = getattr(source, "kind_of_picture", None)
    if kind == "bars":
        truth = source.truth.probabilities[0] if source.truth is not None else None
        return Gallery("bars", generations, np.array(samples, dtype=np.float64), truth)
    if kind == "image":
        return _images(run, agent, drawn)
    real = np.asarray(source.reference().flat())[: len(samples[0])]
    flat = np.array([s.reshape(len(s), -1) for s in samples], dtype=np.float64)
    if kind == "table" and hasattr(source, "decode"):
        frames = [source.decode(s[:8]) for s in flat]
        rows = [[list(map(_cell, row)) for row in f.rows()] for f in frames]
        return Gallery(
            "table",
            generations,
            rows,
            [list(map(_cell, row)) for row in source.decode(real[:8]).rows()],
            columns=frames[0].columns,
        )
    if hasattr(source, "seen"):
        return Gallery("clouds", generations, source.seen(flat), source.seen(real), caption=source.caption)
    caption = ""
    if flat.shape[2] == 1:
        # One coordinate: spread the points over a second, so that a cloud shows the density.
        height = np.asarray(np.random.Generator(np.random.SFC64(0)).random(flat.shape[1]))
        flat = np.stack([flat[..., 0], np.broadcast_to(height, flat.shape[:2])], axis=-1)
        real = np.stack([real[:, 0], height[: len(real)]], axis=-1)
        caption = "one coordinate; heights are random"
    elif flat.shape[2] > 2:
        centre = real.mean(axis=0)
        axes = np.linalg.svd(real - centre, full_matrices=False)[2][:2].T
        flat, real = (flat - centre) @ axes, (real - centre) @ axes
        caption = "first two principal axes of the real records"
    return Gallery("clouds", generations, flat, real, caption=caption)


def neighbours(run: Run, agent: str) -> Neighbours | None:
    """Pictures of generation 0 and of the last one beside the nearest ones of the real training part; None where
    records are no pictures."""
    drawn = _pictured(run, agent)
    if drawn is None or run.spec.data.unlimited:
        return None
    from autophage.report.neighbours import neighbours as found

    source = run.spec.data
    snap = getattr(source, "snap", np.asarray)
    # As the loop trains on them, so that a copy is one to the last digit.
    ends = {g: snap(drawn[g].x) for g in (min(drawn), max(drawn))}
    train, held_out = source.train().fields["x"], np.asarray(source.reference().fields["x"][:REAL])
    with contextlib.suppress(UserError):  # a model may draw what is not finite: then there is nothing to show
        return found(ends, train, held_out, _shape(source), source.value_range or (0.0, 1.0))
    return None


def drift(run: Run, agent: str) -> Drift | None:
    """The classes of the pictures in the plane of the real ones; None where records are no pictures."""
    drawn = _pictured(run, agent)
    if drawn is None or len(drawn) < 2:
        return None
    from autophage.report.drift import drift as drifted

    source = run.spec.data
    real = source.reference() if source.unlimited else source.train()
    real = real[np.arange(min(FITTED, len(real)))]
    with contextlib.suppress(UserError):
        return drifted(
            {g: d.x for g, d in drawn.items()}, real.x, real.label, _label(drawn), source.classes or ()
        )
    return None


def blend(runs: Mapping[str, Run]) -> Blend | None:
    """Pictures of the models between the last ones of the first and of the last arm; None where these are not stored,
    or have no weights in common."""
    if len(runs) < 2:
        return None
    from autophage.report.gallery import MOST_CLASSES, MOST_TRACED
    from autophage.report.interpolation import SHARES, Blend, between
    from autophage.report.montage import as_bytes, fitted

    (first, a), *_, (second, b) = runs.items()
    agent, source = next(iter(a.spec.agents)), a.spec.data
    if getattr(source, "kind_of_picture", None) != "image" or agent not in b.spec.agents:
        return None
    sampling = a.spec.agents[agent].sampling
    ends = [_last_model(run, agent) for run in (a, b)]
    if ends[0] is None or ends[1] is None or b.spec.agents[agent].sampling != sampling:
        return None
    learner = a.loop.agents[agent].learner

    def restored(arrays: Mapping[str, np.ndarray]) -> Any:
        model = learner.restore(arrays)
        return model.tuned(sampling) if sampling.chosen() else model

    names = source.classes or ()
    classes = asked_classes(a.loop, agent, min(len(names), MOST_CLASSES))
    count = MOST_TRACED if classes is None else len(classes)
    key = gallery_key(a.loop, agent)
    with contextlib.suppress(UserError, NotImplementedError):  # two architectures have nothing in between
        drawn = between(ends[0], ends[1], SHARES, key, count, restore=restored, given=classes)
        shape, bounds = _shape(source), source.value_range or (0.0, 1.0)
        images = [fitted(as_bytes(x.reshape(len(x), *shape), bounds)) for x in drawn]
        heads = () if classes is None else tuple(names[:count])
        return Blend(first, second, SHARES, np.array(images), heads)
    return None


def said(run: Run, agent: str) -> Said | None:
    """Pictures with the captions that an agent paints, or with what it says of them; None where there are no pictures or no
    words, and for classes that a model is asked for: these stand beside its pictures already."""
    from autophage.report.descriptions import SHOWN, Said
    from autophage.report.montage import as_bytes, spread_of

    source, describes = run.spec.data, _describes(run, agent)
    drawn = _drawn(run, agent) if getattr(source, "kind_of_picture", None) == "image" else None
    if not drawn or not (describes or any(d.caption is not None for d in drawn.values())):
        return None
    words = _words(run, drawn)
    if words is None:
        return None
    shape, prompts = _shape(source), None
    given = run.spec.agents[agent].given
    before = _drawn(run, given) if describes and given in run.spec.agents else None
    asked = _words(run, before) if before and list(before) == list(drawn) else None
    if asked is not None and all(a == asked[0] for a in asked):
        prompts = asked[0][:SHOWN]
    pictures = [np.asarray(d.x)[:SHOWN].reshape(-1, *shape) for d in drawn.values()]
    bounds = source.value_range or spread_of(pictures[0])
    labelled = all(d.caption is None for d in drawn.values())
    return Said(
        list(drawn),
        np.array([as_bytes(x, bounds) for x in pictures]),
        [w[:SHOWN] for w in words],
        describes,
        prompts or (),
        exact=describes and labelled,
    )


def judgement(run: Run, agent: str) -> Judgement | None:
    """Pictures that curation kept and dropped in the last generation that has some; None where records are no pictures."""
    found = run.judged.get(agent)
    source = run.spec.data
    if not found or getattr(source, "kind_of_picture", None) != "image":
        return None
    from autophage.report.judgement import Judgement
    from autophage.report.montage import as_bytes, spread_of

    generation = max(found)
    kept, dropped = (np.asarray(x).reshape(-1, *_shape(source)) for x in found[generation])
    bounds = source.value_range or spread_of(kept)
    kinds = ", then ".join(registry.kind_of("curation", c) for c in run.loop.agents[agent].curation)
    return Judgement(
        generation, as_bytes(kept, bounds), as_bytes(dropped, bounds), _why(run, agent, generation, kinds)
    )


def _why(run: Run, agent: str, generation: int, kinds: str) -> str:
    """What judged, and the numbers that it noted in that generation."""
    import polars as pl

    rows = run.metrics.filter(
        (pl.col("agent") == agent) & (pl.col("generation") == generation) & pl.col("metric").is_in(TELLING)
    )
    means = rows.group_by("metric", maintain_order=True).agg(pl.col("value").mean())
    told = [f"{name.replace('_', ' ')} {value:.3g}" for name, value in means.iter_rows()]
    return f"by {kinds}" + (f": {', '.join(told)}" if told else "")


def _images(run: Run, agent: str, drawn: Mapping[int, Drawn]) -> Gallery:
    """Pictures as bytes: those of many generations of a large model need little memory so."""
    from autophage.report.montage import as_bytes, spread_of
    from autophage.report.page import Gallery

    source = run.spec.data
    shape, reference = _shape(source), source.reference()
    some = reference[np.arange(min(REAL, len(reference)))]
    real = some.x.reshape(-1, *shape)
    bounds = source.value_range or spread_of(real)
    samples = [as_bytes(d.x.reshape(-1, *shape), bounds) for d in drawn.values()]
    return Gallery(
        "images",
        list(drawn),
        np.array(samples),
        as_bytes(real, bounds),
        label=_label(drawn),
        real_label=some.label if source.classes else None,
        classes=source.classes or (),
        noise=f"{registry.kind_of('learner', run.spec.agents[agent].learner)} {gallery_key(run.loop, agent).name}",
    )


def _drawn(run: Run, agent: str) -> dict[int, Drawn] | None:
    """What the generations' galleries hold, in order; None where they differ in shape."""
    found = run.pictures.get(agent) or _redrawn(run).get(agent)
    if not found or len({np.shape(d.x) for d in found.values()}) > 1:
        return None
    return {g: found[g] for g in sorted(found)}


def _pictured(run: Run, agent: str) -> dict[int, Drawn] | None:
    """The pictures that an agent makes; None where it makes none of its own."""
    if getattr(run.spec.data, "kind_of_picture", None) != "image" or _describes(run, agent):
        return None
    return _drawn(run, agent)


def _describes(run: Run, agent: str) -> bool:
    return bool(getattr(run.spec.agents[agent].learner, "describes", False))


def _words(run: Run, drawn: Mapping[int, Drawn]) -> list[list[str]] | None:
    """The captions of each generation's records, or else the names of their classes; None where some have neither."""
    names, found = run.spec.data.classes or (), []
    for d in drawn.values():
        if d.caption is not None:
            found.append([str(caption) for caption in d.caption])
        elif d.label is not None:
            found.append([str(names[c]) if 0 <= c < len(names) else str(c) for c in map(int, d.label)])
        else:
            return None
    return found


def _label(drawn: Mapping[int, Drawn]) -> np.ndarray | None:
    """The classes of the pictures, where they are known and the same in every generation."""
    labels = [d.label for d in drawn.values() if d.label is not None]
    alike = len(labels) == len(drawn) and all(np.array_equal(label, labels[0]) for label in labels)
    return labels[0] if alike else None


def _shape(source: Any) -> tuple[int, ...]:
    """Height, width and, of colour pictures, three."""
    shape = tuple(source.shape)
    return shape[:2] if len(shape) == 3 and shape[2] == 1 else shape


def _last_model(run: Run, agent: str) -> Any:
    """Replicate 0's last model, where it is stored."""
    from safetensors.numpy import load

    drawn = run.pictures.get(agent)
    if run.folder is None or run.loop.batched or not drawn:
        return None
    place = Folder(run.folder).generation(0, max(drawn), agent) / "model.safetensors"
    return run.loop.agents[agent].learner.restore(load(place.read_bytes())) if place.is_file() else None


def _redrawn(run: Run) -> dict[str, dict[int, Drawn]]:
    """Replicate 0 once more: it does not depend on how many follow, so these are its very samples."""
    from autophage.runs.run import run as rerun

    if not run.loop.batched:
        return {}
    alone = run.spec.model_copy(update={"replicates": 1, "metrics": ()})
    run.pictures = rerun(alone, pictures=True).pictures
    return run.pictures


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
