"""A distribution over captions and a Gaussian of images for each, refitted to each other's output (after Gao & Li 2025).

One round: n captions c_i ~ p and images x_i ~ N(mu_{c_i}, S_{c_i}); each Gaussian is refitted to its caption's images, together
with m fresh real images that users bring; every generated image gets a caption from the posterior under the Gaussians as they
are now and the old p, drawn or as weights, and p becomes their mean; with some probability a corpus is mixed into p. The system
and its closed forms are stated in `theory.coevolution`; everything here is drawn, nothing is taken from them.

A caption with too few images to fit (fewer than 3, or than d + 1) keeps its Gaussian, and so does one whose images lie on a line
to rounding. An image whose posterior is below the smallest number for every caption goes to the nearest mean. Both are counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from autophage.errors import SpecError
from autophage.keys import Key
from autophage.studies.designs import chunks
from autophage.theory.arguments import unit_interval, whole
from autophage.theory.coevolution import CaptionedGaussians, distribution

IN_CACHE = 16
"""Chunks of replicates are so many times smaller than those of other studies: their arrays then stay in a processor's cache."""
FEWEST = 3
"""Images that a Gaussian is fitted to, at least; in d > 2 dimensions d + 1."""
SMALLEST = -745.0
"""Logarithm of the smallest number that a float holds."""

Text = Literal["sampled", "soft", "frozen"]


@dataclass(frozen=True)
class Coevolution:
    """States of R replicates: entry t after t rounds, entry 0 as given."""

    p: np.ndarray
    """(R, T + 1, K) shares of the captions."""
    trace: np.ndarray
    """(R, T + 1, K) tr S_k."""
    log_det: np.ndarray
    """(R, T + 1, K) log det S_k."""
    drift: np.ndarray
    """(R, T + 1, K) squared distance of mu_k from the real mean."""
    alignment: np.ndarray | None
    """(R, T + 1) mean probability that the given system, as a frozen judge, has for the caption of a generated image; None where
    it was not asked."""
    kept: np.ndarray
    """(R, T) captions that kept their Gaussian for want of images, in each round."""
    underflowed: np.ndarray
    """(R, T) images that went to the nearest mean."""
    images: int
    """n of each round."""

    @property
    def gini(self) -> np.ndarray:
        """(R, T + 1) H = 1 - sum_k p_k^2."""
        return 1 - (self.p**2).sum(axis=2)

    @property
    def trace_ratio(self) -> np.ndarray:
        """(R, T + 1) tr S_t over tr S_0, mean over captions."""
        return (self.trace / self.trace[:, :1]).mean(axis=2)

    @property
    def matthew(self) -> np.ndarray:
        """(T + 1,) correlation of log p_k with log tr S_k over all captions of all replicates whose share is at least that of one
        image: above zero where dominant captions keep wider images. Not a number where neither differs, as at the start."""
        found = np.full(self.p.shape[1], np.nan)
        for t in range(len(found)):
            alive = self.p[:, t] >= 1 / self.images
            logs = np.log(self.p[:, t][alive]), np.log(self.trace[:, t][alive])
            if min(np.ptp(v) for v in logs) > 1e-9:
                found[t] = np.corrcoef(*logs)[0, 1]
        return found

    @property
    def notes(self) -> tuple[str, ...]:
        """What should be known before the numbers are read."""
        found = []
        if self.kept.any():
            found.append(
                f"{int(self.kept.sum())} times a caption had too few images to fit and kept its Gaussian, "
                f"in {(self.kept > 0).mean():.1%} of all rounds"
            )
        if self.underflowed.any():
            found.append(
                f"{int(self.underflowed.sum())} images had no posterior and went to the nearest mean"
            )
        return tuple(found)


def simulate(
    system: CaptionedGaussians,
    *,
    images: int,
    rounds: int,
    replicates: int,
    key: Key | int,
    text: Text = "sampled",
    refit_images: bool = True,
    ddof: int = 0,
    corpus_chance: float = 0.0,
    corpus_share: float = 0.0,
    corpus: Any = None,
    user_images: int = 0,
    judged: bool = False,
) -> Coevolution:
    """R replicates of T rounds with n images each.

    text: how p is refitted, `frozen` for not at all. refit_images: whether the Gaussians are, with divisor N - ddof. corpus_chance,
    corpus_share, corpus: alpha, eps and u (K,), default uniform. user_images: m, of every caption in every round; they train the
    image model and are not captioned. judged: measures `alignment`, at about half as much time again. Raises `SpecError` for
    fewer images than captions, chances outside [0, 1], a corpus without a caption that p has, or a remedy for a frozen model.

    >>> from autophage.theory.coevolution import on_circle
    >>> both = simulate(on_circle(5, 0.8), images=100, rounds=20, replicates=50, key=0)
    >>> both.gini.shape, bool(both.gini[:, -1].mean() < 0.75), bool(both.trace_ratio[:, -1].mean() < 0.6)
    ((50, 21), True, True)
    """
    K = len(system.p)
    n, T, R = whole(images, 1, "images"), whole(rounds, 0, "rounds"), whole(replicates, 1, "replicates")
    if n < K:
        raise SpecError(f"images is {n} for {K} captions; a round needs at least one image per caption")
    if text not in ("sampled", "soft", "frozen"):
        raise SpecError(f"text is {text!r}; it must be sampled, soft or frozen")
    if ddof not in (0, 1):
        raise SpecError(f"ddof is {ddof}; it must be 0 (largest likelihood) or 1 (unbiased)")
    alpha, eps = unit_interval(corpus_chance, "corpus_chance"), unit_interval(corpus_share, "corpus_share")
    u = np.full(K, 1 / K) if corpus is None else distribution(corpus, "corpus")
    if len(u) != K:
        raise SpecError(f"corpus has {len(u)} captions and the system has {K}")
    if ((u == 0) & (system.p > 0)).any():
        lost = int(np.argmax((u == 0) & (system.p > 0)))
        raise SpecError(
            f"corpus gives caption {lost} no chance, though p does; give it some, or it would be unlearned"
        )
    m = whole(user_images, 0, "user_images")
    if text == "frozen" and alpha * eps:
        raise SpecError(
            "text is frozen, so that no corpus can enter it; leave out corpus_chance or refit the text"
        )
    if m and not refit_images:
        raise SpecError(f"user_images is {m}, but no image model is refitted to them; set refit_images")
    key = key if isinstance(key, Key) else Key(key)

    factors = np.linalg.cholesky(system.covariances)
    judge = _State(system.p[None], system.means[None], factors[None])
    state = _State(*(np.repeat(a, R, axis=0) for a in (judge.p, judge.means, judge.factors)))
    course = Coevolution(
        p=np.empty((R, T + 1, K)),
        trace=np.empty((R, T + 1, K)),
        log_det=np.empty((R, T + 1, K)),
        drift=np.empty((R, T + 1, K)),
        alignment=np.empty((R, T + 1)) if judged else None,
        kept=np.zeros((R, T), dtype=int),
        underflowed=np.zeros((R, T), dtype=int),
        images=n,
    )
    for t in range(T + 1):
        _look(course, t, state, system.means)
        if t == T and course.alignment is None:
            break
        streams = {
            name: (key / t / name).generator() for name in ("draw", "image", "user", "caption", "corpus")
        }
        for part in chunks(R, IN_CACHE * K * (n + 2 * m)):
            now = state.of(part)
            drawn = _captions(now.p, streams["draw"].random((len(now.p), n)))
            x = _images(now, drawn, streams["image"])
            if course.alignment is not None:
                course.alignment[part, t] = _agreement(judge, x, drawn)
            if t == T:
                continue
            if refit_images:
                given = _images(judge, None, streams["user"], (len(now.p), K, m)) if m else None
                now.means, now.factors, course.kept[part, t] = _refitted(now, x, drawn, given, ddof)
            if text != "frozen":
                weights, course.underflowed[part, t] = _posteriors(now, x)
                if text == "soft":
                    now.p = (weights / weights.sum(axis=1, keepdims=True)).mean(axis=2)
                else:
                    named = _picked(weights, streams["caption"].random((len(now.p), n)))
                    now.p = _counts(named, K) / n
                mixed = streams["corpus"].random(len(now.p)) < alpha
                now.p = np.where(mixed[:, None], (1 - eps) * now.p + eps * u, now.p)
            state.put(part, now)
    return course


def posteriors(system: CaptionedGaussians, x: Any) -> tuple[np.ndarray, int]:
    """gamma_k(x), (K, n), of images x (n, d), and how many of them had none and went to the nearest mean.

    >>> from autophage.theory.coevolution import on_circle
    >>> gamma, lost = posteriors(on_circle(2, 0.1), [[0.9, 0.0], [-50.0, 0.0]])
    >>> gamma.round(6).tolist(), lost
    ([[1.0, 0.0], [0.0, 1.0]], 1)
    """
    points = np.asarray(x, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != system.dim:
        raise SpecError(f"x must have shape (n, {system.dim}); got {points.shape}")
    state = _State(system.p[None], system.means[None], np.linalg.cholesky(system.covariances)[None])
    weights, lost = _posteriors(state, points.T[:, None])
    return (weights / weights.sum(axis=1, keepdims=True))[0], int(lost[0])


@dataclass
class _State:
    """p (r, K), means (r, K, d) and lower factors (r, K, d, d) of the covariances."""

    p: np.ndarray
    means: np.ndarray
    factors: np.ndarray

    def of(self, part: slice) -> _State:
        return _State(self.p[part], self.means[part], self.factors[part])

    def put(self, part: slice, new: _State) -> None:
        self.p[part], self.means[part], self.factors[part] = new.p, new.means, new.factors


def _look(course: Coevolution, t: int, state: _State, real: np.ndarray) -> None:
    course.p[:, t] = state.p
    course.trace[:, t] = (state.factors**2).sum(axis=(2, 3))
    diagonal = np.diagonal(state.factors, axis1=2, axis2=3)
    course.log_det[:, t] = 2 * np.log(diagonal).sum(axis=2)
    course.drift[:, t] = ((state.means - real) ** 2).sum(axis=2)


def _captions(p: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    return _picked(np.broadcast_to(p[:, :, None], (*p.shape, 1)), uniform)


def _picked(weights: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """(r, n) captions, each drawn by its column of weights (r, K, n or 1), which need not sum to one."""
    below = [weights[:, 0]]
    for k in range(1, weights.shape[1]):
        below.append(below[-1] + weights[:, k])
    sought = uniform * below[-1]
    picked = np.zeros(sought.shape, dtype=np.intp)
    for edge in below[:-1]:
        picked += edge <= sought
    return picked


def _images(
    state: _State, captions: np.ndarray | None, stream: np.random.Generator, shape: tuple[int, ...] = ()
) -> np.ndarray:
    """Images (d, r, n) of captions (r, n), or (d, r, K, m) of each caption as often as the next."""
    K, d = state.means.shape[1:]
    if captions is not None:
        place = _places(captions, K)
        z = stream.standard_normal((*captions.shape, d))
        mean = [state.means[..., i].ravel()[place] for i in range(d)]
        factor = [[state.factors[..., i, j].ravel()[place] for j in range(i + 1)] for i in range(d)]
    else:
        z = stream.standard_normal((*shape, d))
        mean = [state.means[..., i, None] for i in range(d)]
        factor = [[state.factors[..., i, j, None] for j in range(i + 1)] for i in range(d)]
    return np.stack([sum((factor[i][j] * z[..., j] for j in range(i + 1)), start=mean[i]) for i in range(d)])


def _places(captions: np.ndarray, K: int) -> np.ndarray:
    return captions + K * np.arange(len(captions))[:, None]


def _counts(captions: np.ndarray, K: int) -> np.ndarray:
    return np.bincount(_places(captions, K).ravel(), minlength=len(captions) * K).reshape(-1, K)


def _refitted(
    state: _State, x: np.ndarray, captions: np.ndarray, given: np.ndarray | None, ddof: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means, factors, and how many captions kept theirs."""
    r, K, d = state.means.shape
    place = _places(captions, K)

    def summed(values: np.ndarray) -> np.ndarray:
        return np.bincount(place.ravel(), values.ravel(), minlength=r * K).reshape(r, K)

    count = _counts(captions, K).astype(np.float64)
    total = np.stack([summed(x[i]) for i in range(d)])
    if given is not None:
        count += given.shape[3]
        total += given.sum(axis=3)
    enough = count >= max(FEWEST, d + 1)
    mean = total / np.where(enough, count, 1.0)
    away = x - mean.reshape(d, -1)[:, place]
    real = None if given is None else given - mean[..., None]
    S = np.empty((r, K, d, d))
    divisor = np.where(enough, count - ddof, 1.0)
    for i in range(d):
        for j in range(i + 1):
            scatter = summed(away[i] * away[j])
            if real is not None:
                scatter += (real[i] * real[j]).sum(axis=2)
            S[:, :, i, j] = scatter / divisor
    factors, sound = _factors(S)
    keep = ~(enough & sound)
    means = np.where(keep[..., None], state.means, np.moveaxis(mean, 0, -1))
    return means, np.where(keep[..., None, None], state.factors, factors), keep.sum(axis=1)


def _factors(S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower factors (r, K, d, d), and where there is one: a library's would fail all for the sake of one."""
    d = S.shape[-1]
    L, sound = np.zeros_like(S), np.ones(S.shape[:2], dtype=bool)
    for j in range(d):
        pivot = S[..., j, j] - (L[..., j, :j] ** 2).sum(axis=-1)
        sound &= pivot > np.maximum(1e-13 * S[..., j, j], 1e-280)
        L[..., j, j] = np.sqrt(np.where(sound, pivot, 1.0))
        for i in range(j + 1, d):
            L[..., i, j] = (S[..., i, j] - (L[..., i, :j] * L[..., j, :j]).sum(axis=-1)) / L[..., j, j]
    return L, sound


def _posteriors(state: _State, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """gamma up to a factor of each image, (r, K, n), of images (d, r, n); and images without one, (r,)."""
    log = _log_joint(state, x)
    top = log.max(axis=1, keepdims=True)
    lost = top[:, 0] < SMALLEST
    log -= np.where(np.isfinite(top), top, 0.0)
    np.exp(log, out=log)
    if lost.any():
        row, image = np.nonzero(lost)
        means = np.broadcast_to(state.means, (len(lost), *state.means.shape[1:]))[row]
        distance = ((x[:, row, image].T[:, None] - means) ** 2).sum(axis=2)
        log[row, :, image] = np.eye(log.shape[1])[distance.argmin(axis=1)]
    return log, lost.sum(axis=1)


def _log_joint(state: _State, x: np.ndarray) -> np.ndarray:
    """log p_k N(x; mu_k, S_k), (r, K, n)."""
    d = len(x)
    with np.errstate(divide="ignore"):
        level = np.log(state.p)
    level = (
        level - np.log(np.diagonal(state.factors, axis1=2, axis2=3)).sum(axis=2) - d / 2 * np.log(2 * np.pi)
    )
    white: list[np.ndarray] = []
    squares: Any = 0.0
    for i in range(d):
        y = x[i][:, None] - state.means[:, :, None, i]
        for j in range(i):
            y -= state.factors[:, :, None, i, j] * white[j]
        y /= state.factors[:, :, None, i, i]
        squares = squares + y * y
        white.append(y)
    squares *= -0.5
    squares += level[:, :, None]
    return squares


def _agreement(judge: _State, x: np.ndarray, captions: np.ndarray) -> np.ndarray:
    """(r,) the judge's mean probability of the captions that images were made for."""
    weights, _ = _posteriors(judge, x)
    own = np.take_along_axis(weights, captions[:, None], axis=1)[:, 0]
    return (own / weights.sum(axis=1)).mean(axis=1)
