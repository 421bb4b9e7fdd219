"""A text model and an image model that are each refitted to what the other made (after Gao & Li 2025).

The text model is a distribution p over K captions, the image model a Gaussian N(mu_k, S_k) for each. One round: captions
c_i ~ p and images x_i ~ N(mu_{c_i}, S_{c_i}), i = 1..n; each Gaussian is refitted to the images of its caption; every image
gets a caption of its own from the posterior

    gamma_k(x) = p_k N(x; mu_k, S_k) / sum_j p_j N(x; mu_j, S_j),

drawn (`sampled`) or as weights (`soft`), and p becomes their mean. H = 1 - sum_k p_k^2 is the diversity of the text, tr S_k
that of a caption's images, |mu_k - mu_k,0|^2 their infidelity. The paper's update rules and constants were not readable: these
rules, and all closed forms here, were derived for autophage. They describe the noise of finite samples, nothing else: a
captioner that is wrong in a systematic way needs more real data than they say.

Courses have entry t for the state after t rounds; entry 0 is the given start. The simulation is `studies.coevolution`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri, psi

from autophage.errors import SpecError
from autophage.theory.arguments import positive, unit_interval, whole

SUM = 1e-6
"""How far the sum of a distribution may be from one."""
NODES = 64
"""Points of the Gauss rule along each of up to two dimensions."""
POINTS = 2**14
"""Quasi-random points for each caption in more dimensions."""


@dataclass(frozen=True)
class CaptionedGaussians:
    """K captions, each with its share and its law of images.

    Raises `SpecError` for shares that are no distribution, or a covariance that is not symmetric and positive definite.
    """

    p: np.ndarray
    """(K,) shares of the captions."""
    means: np.ndarray
    """(K, d) mean image of each."""
    covariances: np.ndarray
    """(K, d, d)."""

    def __post_init__(self) -> None:
        p = distribution(self.p, "p")
        means = np.asarray(self.means, dtype=np.float64)
        if means.ndim != 2 or len(means) != len(p) or not np.isfinite(means).all():
            raise SpecError(
                f"means must be {len(p)} finite vectors, one per caption; got shape {means.shape}"
            )
        S = np.asarray(self.covariances, dtype=np.float64)
        if S.shape != (*means.shape, means.shape[1]):
            raise SpecError(
                f"covariances must have shape {(*means.shape, means.shape[1])}, one matrix per caption; got {S.shape}"
            )
        for k, matrix in enumerate(S):
            if not np.isfinite(matrix).all() or not np.allclose(matrix, matrix.T, rtol=1e-9, atol=0):
                raise SpecError(f"the covariance of caption {k} is not symmetric")
            if np.linalg.eigvalsh(matrix)[0] <= 1e-12 * np.trace(matrix) or np.trace(matrix) <= 0:
                raise SpecError(f"the covariance of caption {k} is not positive definite")
        for name, value in (("p", p), ("means", means), ("covariances", S)):
            object.__setattr__(self, name, value)

    @property
    def dim(self) -> int:
        return self.means.shape[1]

    @property
    def traces(self) -> np.ndarray:
        """(K,) tr S_k."""
        return np.trace(self.covariances, axis1=1, axis2=2)


def distribution(p: Any, name: str) -> np.ndarray:
    """A distribution (K,), its sum put right. Raises `SpecError` for negative entries or a sum that is off by more than 1e-6."""
    vector = np.asarray(p, dtype=np.float64)
    if vector.ndim != 1 or not len(vector) or not (vector >= 0).all() or not abs(vector.sum() - 1) <= SUM:
        raise SpecError(f"{name} must be numbers of zero or more that sum to one")
    return vector / vector.sum()


def on_circle(captions: int = 5, spread: float = 0.3, radius: float = 1.0) -> CaptionedGaussians:
    """The paper's system: K equally likely captions, their means equally spaced on a circle, standard deviation `spread` in
    both coordinates.

    >>> on_circle(4, 0.5).means.round(9).tolist()
    [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [-0.0, -1.0]]
    """
    K = whole(captions, 1, "captions")
    angle = 2 * np.pi * np.arange(K) / K
    means = positive(radius, "radius") * np.column_stack([np.cos(angle), np.sin(angle)])
    S = np.broadcast_to(positive(spread, "spread") ** 2 * np.eye(2), (K, 2, 2))
    return CaptionedGaussians(np.full(K, 1 / K), means, S)


def text_course(gini: float, images: int, rounds: int) -> np.ndarray:
    """E H_t = H_0 (1 - 1/n)^t, shape (rounds + 1,): text alone, sampled captions, whatever the overlap of the images.

    Given p each new caption has law p again, so that p is a martingale and its next value multinomial. Status: exact.

    >>> text_course(0.8, 100, 60)[-1].round(5).item()
    0.43773
    """
    n = whole(images, 1, "images")
    return unit_interval(gini, "gini") * (1 - 1 / n) ** np.arange(whole(rounds, 0, "rounds") + 1)


def overlap(system: CaptionedGaussians) -> float:
    """rho = sum_k Var gamma_k(x) / H in [0, 1], x ~ sum_k p_k N(mu_k, S_k): 1 for images that tell their caption for certain,
    0 for images that say nothing.

    By a Gauss rule of `NODES` points a dimension for d <= 2 (to 1e-4 unless captions are very unequal in width), else by a
    Sobol set (to about 1e-3). One caption alone has no diversity, and rho 1. Status: exact up to the rule.

    >>> [round(overlap(on_circle(5, s)), 3) for s in (0.3, 0.5, 0.8)]
    [0.906, 0.589, 0.302]
    """
    p, H = system.p, 1 - (system.p**2).sum()
    if H < 1e-12:
        return 1.0
    z, share = _standard_points(system.dim)
    factors = np.linalg.cholesky(system.covariances)
    squares = np.zeros(len(p))
    for k in np.flatnonzero(p):
        x = system.means[k] + z @ factors[k].T
        log = np.full((len(x), len(p)), -np.inf)
        for j in np.flatnonzero(p):
            white = np.linalg.solve(factors[j], (x - system.means[j]).T)
            log[:, j] = np.log(p[j] / np.diag(factors[j]).prod()) - (white**2).sum(axis=0) / 2
        gamma = np.exp(log - log.max(axis=1, keepdims=True))
        gamma /= gamma.sum(axis=1, keepdims=True)
        squares += p[k] * (share @ gamma**2)
    return float(np.clip((squares - p**2).sum() / H, 0.0, 1.0))


def soft_text_next(system: CaptionedGaussians, images: int) -> float:
    """E[H_{t+1} | p] = H_t (1 - rho/n): text alone, soft captions. Images that contract overlap less, and rho rises to 1: the
    collapse of the images speeds up that of the text. Status: exact given p and the Gaussians, up to the rule for rho.

    >>> round(soft_text_next(on_circle(5, 0.8), 100), 4)
    0.7976
    """
    H = 1 - (system.p**2).sum()
    return float(H * (1 - overlap(system) / whole(images, 1, "images")))


def image_course(
    images: int, rounds: int, trace: float = 1.0, ddof: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """E tr S_t and E|mu_t - mu_0|^2, each (rounds + 1,): images alone, N images of a caption in every round, ddof 0 or 1.

        ddof 0:  (1-1/N)^t tr S_0  and  (1 - (1-1/N)^t) tr S_0: their sum is conserved, infidelity is bounded by tr S_0;
        ddof 1:  tr S_0  and  (t/N) tr S_0: the mean is kept by ever rarer courses (see `log_det_rate`).

    Status: exact, in any dimension.

    >>> [course[[10, 40]].round(4).tolist() for course in image_course(20, 40, trace=2.0)]
    [[1.1975, 0.257], [0.8025, 1.743]]
    """
    N, t = whole(images, 2, "images"), np.arange(whole(rounds, 0, "rounds") + 1)
    start = positive(trace, "trace")
    if _ddof(ddof):
        return np.full(len(t), start), start * t / N
    left = (1 - 1 / N) ** t
    return start * left, start * (1 - left)


def log_det_rate(images: int, dim: int, ddof: int = 1) -> float:
    """E log det S_{t+1} - log det S_t = sum_{i<d} psi((N-1-i)/2) + d ln 2 - d ln(N - ddof), below zero for either ddof: the
    typical course collapses even where the mean stands still. N > d. Status: exact (law of Wishart determinants).

    >>> round(log_det_rate(20, 2), 4)
    -0.1642
    """
    d = whole(dim, 1, "dim")
    N = whole(images, d + 1, "images")
    i = np.arange(d)
    return float(psi((N - 1 - i) / 2).sum() + d * np.log(2) - d * np.log(N - _ddof(ddof)))


def contraction_rates(p: Any, images: int) -> np.ndarray:
    """1/(n p_k), (K,): the share of its variance that a caption's image model loses in a round of n images in all. The rarer a
    caption, the faster: the rich stay wide (Matthew effect). At most 1, where a caption has no second image. Status: exact
    for N_k = n p_k images, first order in 1/N for their random number.

    >>> contraction_rates([0.5, 0.4, 0.1], 100).round(3).tolist()
    [0.02, 0.025, 0.1]
    """
    expected = distribution(p, "p") * whole(images, 1, "images")
    return 1 / np.maximum(expected, 1.0)


def user_content_course(
    images: int, user_images: int, rounds: int, trace: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """E tr S_t and E|mu_t - mu_0|^2, each (rounds + 1,): N generated and m fresh real images of a caption in every round,
    ddof 0. With T = N + m, f = N/T:

        d_t = d* (1 - r^t),   r = f^2 (1 - 1/N),   d* = tr S_0 / (T (1 - f^2) + f),   E tr S_t = tr S_0 - d_t.

    Status: exact, in any dimension. m = 0 is `image_course`.

    >>> [float(course[-1].round(3)) for course in user_content_course(50, 5, 200, trace=2.0)]
    [1.809, 0.191]
    """
    N, m = whole(images, 1, "images"), whole(user_images, 0, "user_images")
    T, f = N + m, N / (N + m)
    drift = positive(trace, "trace") / (T * (1 - f**2) + f)
    gone = 1 - (f**2 * (1 - 1 / N)) ** np.arange(whole(rounds, 0, "rounds") + 1)
    return trace - drift * gone, drift * gone


def user_content(images: int, user_images: int, trace: float = 1.0) -> tuple[float, float]:
    """The limits of `user_content_course`: tr S* = tr S_0 - d*, and d*. Zero variance without user images. Status: exact.

    >>> [round(user_content(N, m, 2.0)[0], 4) for N, m in ((50, 5), (20, 20), (100, 2))]
    [1.8087, 1.9344, 1.5952]
    """
    N, m = whole(images, 1, "images"), whole(user_images, 0, "user_images")
    T, f = N + m, N / (N + m)
    drift = positive(trace, "trace") / (T * (1 - f**2) + f)
    return trace - drift, drift


def user_images_needed(images: int, kept: float) -> int:
    """The fewest user images m per N generated ones that keep a share `kept` < 1 of the image variance for ever: the least m
    with m (2N + m)/(N + m) + N/(N + m) >= 1/(1 - kept).

    For large N this is kept / (2 (1 - kept)), whatever N: five images of each caption in a round keep 90 %, of however many.
    Status: exact.

    >>> user_images_needed(50, 0.9), user_images_needed(100, 0.8), user_images_needed(10_000, 0.9)
    (5, 3, 5)
    """
    N, share = whole(images, 1, "images"), unit_interval(kept, "kept")
    if share == 1:
        raise SpecError("kept is 1; a finite number of user images keeps any share below 1")
    c = 1 / (1 - share)
    b = 2 * N - c
    m = (np.sqrt(b**2 + 4 * N * (c - 1)) - b) / 2
    return int(np.ceil(m - 1e-9))


def corpus_limit(images: int, chance: float, share: float, corpus: Any = 5) -> float:
    """H* of sampled text into which a corpus u is mixed: with probability alpha (`chance`) p <- (1-eps) p + eps u after a
    refit, eps being `share`.

        A = 1 - alpha (2 eps - eps^2),   H* = (1 - A) H_u / (1 - A (1 - 1/n)),   H_u = 1 - sum u^2.

    corpus: u (K,), or K for the uniform one, where H_u = 1 - 1/K. Zero where nothing is mixed in. Status: exact.

    >>> [round(corpus_limit(100, a, e), 5) for a, e in ((1, 0.05), (0.2, 0.2), (0.05, 0.5))]
    [0.73222, 0.70866, 0.6366]
    """
    n = whole(images, 1, "images")
    A = _memory(chance, share)
    return float((1 - A) * (1 - (_corpus(corpus) ** 2).sum()) / (1 - A * (1 - 1 / n)))


def corpus_course(
    p: Any, images: int, rounds: int, chance: float, share: float, corpus: Any = None
) -> np.ndarray:
    """E H_t on the way to `corpus_limit`, (rounds + 1,), from any p (K,); corpus u (K,), default uniform. With Q = 1 - H and
    q_t = u.E p_t = u.u + (1 - alpha eps)^t u.(p - u):

        Q_{t+1} = A ((1-1/n) Q_t + 1/n) + 2 alpha eps (1-eps) q_t + alpha eps^2 u.u.

    Status: exact.

    >>> corpus_course([0.2] * 5, 100, 200, 1, 0.05)[[0, 1, 200]].round(5).tolist()
    [0.8, 0.79278, 0.73222]
    """
    first, n = distribution(p, "p"), whole(images, 1, "images")
    u = _corpus(len(first) if corpus is None else corpus)
    if len(u) != len(first):
        raise SpecError(
            f"corpus has {len(u)} captions and p has {len(first)}; both speak of the same captions"
        )
    A, pull = _memory(chance, share), chance * share
    t = np.arange(whole(rounds, 0, "rounds") + 1)
    inner = u @ u + (1 - pull) ** t * (u @ (first - u))
    Q = np.empty(len(t))
    Q[0] = first @ first
    for i in t[1:]:
        Q[i] = (
            A * ((1 - 1 / n) * Q[i - 1] + 1 / n)
            + 2 * pull * (1 - share) * inner[i - 1]
            + pull * share * (u @ u)
        )
    return 1 - Q


def _memory(chance: float, share: float) -> float:
    """A, the factor of what p still knows of itself in sum p^2."""
    eps = unit_interval(share, "share")
    return 1 - unit_interval(chance, "chance") * (2 * eps - eps**2)


def _corpus(corpus: Any) -> np.ndarray:
    if np.ndim(corpus) == 0:
        K = whole(corpus, 1, "corpus")
        return np.full(K, 1 / K)
    return distribution(corpus, "corpus")


def _ddof(ddof: int) -> int:
    if ddof not in (0, 1):
        raise SpecError(f"ddof is {ddof}; it must be 0 (largest likelihood) or 1 (unbiased)")
    return int(ddof)


def _standard_points(dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (m, d) and weights (m,) that integrate over a standard normal vector."""
    if dim <= 2:
        nodes, share = np.polynomial.hermite_e.hermegauss(NODES)
        share = share / share.sum()
        if dim == 1:
            return nodes[:, None], share
        both = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2)
        return both, np.outer(share, share).ravel()
    from scipy.stats import qmc

    uniform = qmc.Sobol(dim, seed=0).random(POINTS)
    return ndtri(np.clip(uniform, 1e-12, 1 - 1e-12)), np.full(POINTS, 1 / POINTS)
