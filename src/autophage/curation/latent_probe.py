"""Generation 0's latent space as a ruler: its encoder, the noise level at which it tells classes apart best, and a probe.

    codes        h = e0(x, noise), e0 the encoder of the model that was fitted to real records only
    probe        softmax regression on the standardised codes of the real records and their labels, trained once
    confidence   xi(x, y) = softmax(probe(h))_y

(Cai, Wang, Liu and Zhang 2026.) The ruler stays the same through a run. The noise that is added before encoding is named by the
record itself, so that a code depends on nothing but its record.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from autophage.errors import AutophageError, FitFailed
from autophage.keys import Key
from autophage.parts import Model
from autophage.samples import REAL, Samples
from autophage.theory.orthogonality import Orthogonality, orthogonality

LEVELS = (0.0, 0.02, 0.1, 0.3, 0.6)
"""Noise levels among which `auto` chooses."""
HELD_OUT = 2000
"""Held-out real records that are looked at, at most."""
PROBES = 4
"""Rulers that are kept in a run's memo: of the replicates and agents that were last at work."""
STREAM = Key(0) / "latents"
INFORMATIVE = 1.5
"""A probe must be right this many times as often as a blind guess."""


class Codes(NamedTuple):
    """Latent codes and where they come from: codes of different encoders or noise levels must not be compared."""

    values: np.ndarray
    """(n, k); rows that are not finite belong to records that the encoder cannot see."""
    encoder: str
    noise: float


def encode(model: Model, x: np.ndarray, noise: float, encoder: str) -> Codes:
    """The codes of records x (n, ...). Raises `FitFailed` where the model has none, or gives something else than a row of
    numbers for each record."""
    name = f"latents of {type(model).__name__}"
    if not len(x):
        return Codes(np.empty((0, 0)), encoder, noise)
    try:
        found = np.asarray(model.latents(x, noise=noise, key=STREAM), dtype=np.float64)
    except AutophageError:
        raise
    except NotImplementedError as error:
        raise FitFailed(f"{error}; latent filtering needs a model with an encoder") from error
    except Exception as error:
        said = str(error).splitlines() or ["no message"]
        raise FitFailed(f"{name} fails: {type(error).__name__}: {said[0]}") from error
    if found.ndim != 2 or len(found) != len(x) or not found.shape[1]:
        raise FitFailed(f"{name} gave shape {found.shape} for {len(x)} records; ({len(x)}, k) would be right")
    return Codes(found, encoder, noise)


class Probe:
    """Softmax regression on standardised codes (n, k) with classes (n,).

    The penalty on the weights, |W|^2 / 2 beside the summed loss, does not change under rotations, so with more numbers in a
    code than records it is fitted, exactly, in the codes' own span.
    """

    def __init__(self, codes: Codes, labels: np.ndarray) -> None:
        from sklearn.linear_model import LogisticRegression

        self.encoder, self.noise, self.width = codes.encoder, codes.noise, codes.values.shape[1]
        x = codes.values
        self.mean, scale = x.mean(axis=0), x.std(axis=0)
        self.scale = np.where(scale > 1e-12 * (1 + np.abs(self.mean)), scale, 1.0)
        z = (x - self.mean) / self.scale
        self.axes = np.linalg.svd(z, full_matrices=False)[2].T if z.shape[1] > len(z) else None
        self._fitted = LogisticRegression(max_iter=1000).fit(self._seen(z), labels)
        self.classes: np.ndarray = self._fitted.classes_

    def _seen(self, z: np.ndarray) -> np.ndarray:
        return z if self.axes is None else z @ self.axes

    def posterior(self, codes: Codes) -> np.ndarray:
        """Class probabilities (n, C). Raises `FitFailed` for codes of another width, encoder or noise level."""
        if (codes.encoder, codes.noise) != (self.encoder, self.noise):
            raise FitFailed(
                f"the probe was trained on codes of {self.encoder} at noise {self.noise:g}; these are of {codes.encoder} at "
                f"noise {codes.noise:g}"
            )
        if codes.values.shape[1] != self.width:
            raise FitFailed(
                f"the probe reads codes of {self.width} numbers; these have {codes.values.shape[1]}"
            )
        return self._fitted.predict_proba(self._seen((codes.values - self.mean) / self.scale))

    def confidence(self, codes: Codes, labels: np.ndarray) -> np.ndarray:
        """xi (n,): the probability of each record's own class, NaN where its code is not finite. Raises `FitFailed` for a class
        that no real record had."""
        unknown = np.setdiff1d(labels, self.classes)
        if len(unknown):
            raise FitFailed(
                f"there are records of class {unknown[0]}, of which there is no real record to learn from"
            )
        xi = np.full(len(labels), np.nan)
        seen = np.isfinite(codes.values).all(axis=1)
        if seen.any():
            found = self.posterior(codes._replace(values=codes.values[seen]))
            xi[seen] = found[np.arange(len(found)), np.searchsorted(self.classes, labels[seen])]
        return xi


class Ruler:
    """Generation 0's encoder with its probe; remembers the confidences of the records it has seen.

    Raises `FitFailed` where real records carry no labels, or fewer than two classes, or more than 1 % of their codes are
    not finite.
    """

    def __init__(self, model: Model, real: Samples, held_out: Samples, noise: float | str) -> None:
        if real.label is None or held_out.label is None:
            raise FitFailed("a probe needs labelled real records, and these carry none")
        self.model, self.encoder = model, f"generation 0's {type(model).__name__}"
        held_out = held_out[np.arange(min(HELD_OUT, len(held_out)))]
        self.noise = best_level(model, held_out) if isinstance(noise, str) else float(noise)
        codes, labels = self.codes(real), np.asarray(real.label)
        seen = finite(codes.values, "real records")
        if len(np.unique(labels[seen])) < 2:
            raise FitFailed(
                f"all real records are of class {labels[seen][0]}; a probe tells at least two classes apart"
            )
        self.probe = Probe(codes._replace(values=codes.values[seen]), labels[seen])
        known = held_out[np.isin(np.asarray(held_out.label), self.probe.classes)]
        if not len(known):
            raise FitFailed("no held-out real record is of a class that the real training records have")
        codes, truth = self.codes(known), np.asarray(known.label)
        seen = finite(codes.values, "held-out real records")
        found = self.probe.posterior(codes._replace(values=codes.values[seen]))
        self.accuracy = float((self.probe.classes[found.argmax(axis=1)] == truth[seen]).mean())
        """Share of right answers on held-out real records."""
        self.held_out = found[np.arange(len(found)), np.searchsorted(self.probe.classes, truth[seen])]
        """(m,) confidences of held-out real records."""
        self._known: dict[bytes, float] = {}

    @property
    def informative(self) -> bool:
        return self.accuracy >= INFORMATIVE / len(self.probe.classes)

    def codes(self, samples: Samples) -> Codes:
        return encode(self.model, samples.x, self.noise, self.encoder)

    def judged(self, samples: Samples) -> tuple[np.ndarray, Orthogonality | None]:
        """xi (n,) of labelled samples, and how orthogonal the classes of their newest generation are (None where all are
        real). Batches are encoded whole, the newest one always: what an older one has is remembered."""
        label = np.asarray(samples.label)
        xi = np.empty(len(samples))
        found = None
        for rows, newest in _batches(samples):
            part = samples[rows]
            names = _names(part.x, label[rows])
            if newest or not all(name in self._known for name in names):
                codes = self.codes(part)
                each = self.probe.confidence(codes, label[rows])
                for name, value in zip(names, each.tolist(), strict=True):
                    self._known.setdefault(name, value)
                if newest:
                    seen = np.isfinite(codes.values).all(axis=1)
                    found = orthogonality(codes.values[seen], label[rows][seen])
            xi[rows] = [self._known[name] for name in names]
        return xi, found


def ruler_of(
    memo: dict[Any, Any], model: Model, real: Samples, held_out: Samples, noise: float | str
) -> Ruler:
    """The ruler that `model` makes, made once as long as the memo remembers it."""
    shelf: OrderedDict = memo.setdefault("latent rulers", OrderedDict())
    name = (id(model), noise)  # the ruler keeps the model, so that no other can have its id
    if name not in shelf:
        shelf[name] = Ruler(model, real, held_out, noise)
        if len(shelf) > PROBES:
            shelf.popitem(last=False)
    return shelf[name]


def best_level(model: Model, held_out: Samples) -> float:
    """The noise level at which the classes of held-out real records are nearest to orthogonal, by OLE over the nuclear norm:
    OLE itself would fall wherever codes shrink. 0 for a model whose codes know no noise."""
    label, best, first = np.asarray(held_out.label), (np.inf, 0.0), None
    for level in LEVELS:
        values = encode(model, held_out.x, level, "").values
        if first is not None and np.array_equal(first, values, equal_nan=True):
            return 0.0
        first = values if first is None else first
        seen = finite(values, "held-out real records")
        best = min(best, (orthogonality(values[seen], label[seen]).relative, level))
    return best[1]


def finite(values: np.ndarray, what: str, most: float = 0.01) -> np.ndarray:
    """(n,) which codes are finite. Raises `FitFailed` when more than `most` of them are not."""
    seen = np.isfinite(values).all(axis=1) if values.ndim == 2 else np.isfinite(values)
    if (~seen).sum() > most * len(seen):
        raise FitFailed(
            f"{(~seen).sum()} of the latents of {len(seen)} {what} are not finite, more than {most:.0%}"
        )
    return seen


def _batches(samples: Samples) -> Iterator[tuple[np.ndarray, bool]]:
    """The rows of each batch, oldest first, and whether it is the newest synthetic one."""
    generation, agent = np.asarray(samples.generation), np.asarray(samples.agent)
    last = generation.max()
    for g in np.unique(generation):
        whose = np.unique(agent[generation == g]) if g < last or g == REAL else [None]
        for name in whose:
            rows = generation == g if name is None else (generation == g) & (agent == name)
            yield np.flatnonzero(rows), bool(g == last and g != REAL)


def _names(x: np.ndarray, label: np.ndarray) -> list[bytes]:
    """What tells labelled records apart."""
    flat = np.ascontiguousarray(x.reshape(len(x), -1))
    return [
        hashlib.blake2b(row.tobytes() + y.tobytes(), digest_size=16).digest()
        for row, y in zip(flat, np.asarray(label, dtype=np.int64), strict=True)
    ]
