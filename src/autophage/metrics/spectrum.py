"""Spatial power spectrum of pictures: generators lose fine detail, or add some, long before it shows.

A picture's power at frequency (u, v) in cycles per pixel is the squared modulus of its discrete Fourier transform over its
number of pixels, averaged over channels. Frequencies are gathered in rings of radius |f| N, N the shorter side, rounded to
a whole number; ring 0 (the mean brightness) is left out, corners beyond the Nyquist frequency of a side are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from autophage.errors import DataError, SpecError
from autophage.metrics.intervals import NAN, normal, ratio
from autophage.metrics.records import remembered
from autophage.metrics.spaces.pictures import require_pictures
from autophage.parts import Compared, Measurement, Metric, Source, View, measurements
from autophage.samples import Field, chunks

FLOOR = 1e-10
"""Power that counts as none, relative to the real pictures' mean power."""
_NUMBERS = 2**21


class SpectralDistance(NamedTuple):
    """How far two mean spectra are apart, and how much of the power is fine detail."""

    distance: Compared
    high_share: Compared
    high_relative: Compared


class Spectra(NamedTuple):
    """Power of each picture, ring by ring (n, rings), ring 0 left out; how many frequencies each ring has (rings,); and its power
    at more than half the Nyquist frequency (n,), over a quarter cycle per pixel."""

    power: np.ndarray
    frequencies: np.ndarray
    high: np.ndarray


def spectra(pictures: Field, shape: tuple[int, ...]) -> Spectra:
    """The mean power in each ring, for pictures (n, ...) of a shape (h, w) or (h, w, c), values in C order.

    Raises `SpecError` unless the shape is that of a picture of at least 4 x 4, `DataError` when records do not have it or hold
    NaN.
    """
    if len(shape) not in (2, 3) or min(shape[:2]) < 4:
        raise SpecError(
            f"a spectrum needs pictures of at least 4 x 4, height x width or height x width x channels; records have shape {shape}"
        )
    if len(pictures) == 0 or int(np.prod(pictures.shape[1:])) != int(np.prod(shape)):
        raise DataError(f"records of shape {tuple(pictures.shape)} are no pictures of shape {tuple(shape)}")
    h, w = shape[:2]
    frequency = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w))
    # The transform of real pictures is symmetric: most columns of the half that is kept stand for two.
    weight = np.full(frequency.shape, 2.0)
    weight[:, 0] = 1
    if w % 2 == 0:
        weight[:, -1] = 1
    ring = np.rint(frequency * min(h, w)).astype(int)
    count = np.bincount(ring.ravel(), weight.ravel())
    member = (ring.ravel()[:, None] == np.arange(len(count))) * weight.reshape(-1, 1)
    fine = (weight * (frequency > 0.25)).reshape(-1)
    power, high = [], []
    for part in chunks(pictures, max(1, _NUMBERS // int(np.prod(shape)))):
        x = np.asarray(part, np.float64).reshape(len(part), h, w, -1)
        if not np.isfinite(x).all():
            raise DataError("the pictures hold NaN or infinity; a metric needs finite numbers")
        square = np.square(np.abs(np.fft.rfft2(x, axes=(1, 2)))).mean(axis=3).reshape(len(x), -1) / (h * w)
        power.append(square @ member / count)
        high.append(square @ fine)
    return Spectra(np.concatenate(power)[:, 1:], count[1:], np.concatenate(high))


def spectral_distance(real: Spectra, generated: Spectra) -> SpectralDistance:
    """Of the spectra of pictures of one shape:

    distance: mean over rings of the squared log-ratio of the sets' mean powers; 0 is right. Interval: normal, by the delta
    method on the mean powers, terms of second order included; it speaks of the expected distance at these sample sizes,
    which lies above that of the laws by about the variance of the log-ratios. high_share: the share of the generated
    pictures' power, ring 0 left out, at more than half the Nyquist frequency (0.25 cycles per pixel); high_relative: that over
    the real pictures'; 1 is right, below 1 blurred, above noisy. Intervals: normal, of a ratio of means.

    Where a mean power is zero it counts as 1e-10 of the real pictures' mean power.

    Raises `DataError` when the rings differ, or the real pictures have no detail at all.
    """
    if real.power.shape[1] != generated.power.shape[1]:
        raise DataError(
            f"spectra of {real.power.shape[1]} and {generated.power.shape[1]} rings cannot be compared"
        )
    floor = FLOOR * real.power.mean()
    if not floor > 0:
        raise DataError("every real picture is one plain area; there is no spectrum to compare with")
    p, q = (np.maximum(s.power.mean(axis=0), floor) for s in (real, generated))
    log = np.log(q / p)
    rings = len(log)
    covariance = _spread(real.power / p) + _spread(generated.power / q)
    variance = (4 * log @ covariance @ log + 2 * np.square(covariance).sum()) / rings**2
    m = len(generated.power)
    share, usual = _share(generated), _share(real)
    return SpectralDistance(normal(np.square(log).mean(), np.sqrt(variance), m), share, ratio(share, usual))


def _spread(powers: np.ndarray) -> np.ndarray:
    """The covariance of a mean (rings, rings); NaN for a single picture."""
    n = len(powers)
    return (
        np.cov(powers.T, ddof=1).reshape(2 * (powers.shape[1],)) / n
        if n > 1
        else np.full(2 * (powers.shape[1],), NAN)
    )


def _share(s: Spectra) -> Compared:
    total = s.power @ s.frequencies
    n = len(total)
    if not total.sum() > 0:
        return Compared(NAN, n=n)
    share = s.high.sum() / total.sum()
    error = (s.high - share * total).std(ddof=1) / (total.mean() * np.sqrt(n)) if n > 1 else NAN
    return normal(share, error, n)


@dataclass(frozen=True, kw_only=True)
class Spectrum(Metric):
    """Distance of the mean power spectra of generated and real pictures (row `spectrum`), the share of power in fine detail
    (row `spectrum_high_share`), and that over the real pictures' (row `spectrum_high_relative`; 1 is right)."""

    domains: ClassVar[frozenset[str]] = frozenset({"vectors", "counts", "binary"})
    needs: ClassVar[frozenset[str]] = frozenset({"samples"})
    direction: ClassVar[Literal["lower", "higher", "none"]] = "lower"
    directions: ClassVar[dict[str, str]] = {
        f"spectrum_high_{name}{suffix}": "none" for name in ("share", "relative") for suffix in ("", "_train")
    }

    against: Literal["reference", "train"] = "reference"
    """The held-out part, or the training part of the real records (adds `_train` to the row name)."""

    def __post_init__(self) -> None:
        if self.against not in ("reference", "train"):
            raise SpecError(f"against is {self.against!r}; it must be reference or train")

    def check(self, source: Source) -> None:
        """Raises `SpecError` where the records are no pictures."""
        require_pictures(source, "metric spectrum")

    def measure(self, view: View) -> list[Measurement]:
        shape = tuple(getattr(view.source, "shape", ()))
        answers = []
        for r in range(view.replicates):
            real = view.reference(r, self.against)
            usual = remembered(view.memo, ("spectra", shape), real, partial(spectra, real.fields["x"], shape))
            found = spectral_distance(usual, spectra(view.generated(r).fields["x"], shape))
            answers.append(
                {
                    "spectrum": found.distance,
                    "spectrum_high_share": found.high_share,
                    "spectrum_high_relative": found.high_relative,
                }
            )
        return measurements(answers, "_train" if self.against == "train" else "")
