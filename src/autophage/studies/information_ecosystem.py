"""Posts on a web that a language model reads and writes, one after the other (Garetto et al. 2025, reduced).

Every new post is the model's with probability rho, else a human's; it is red (wrong) with probability x_L or
r_h, where x_L = g r_c + (1-g) x_W follows the web's red share x_W at once. Exact means, fixed point and rate:
`autophage.theory.information_ecosystem`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autophage.errors import SpecError
from autophage.keys import Key
from autophage.theory.arguments import unit_interval
from autophage.theory.information_ecosystem import inflow

CHUNK = 4096
"""Posts whose random numbers are drawn at once."""


@dataclass(frozen=True)
class WebCourse:
    """Red shares of the web at some of its ages."""

    posts: np.ndarray
    """(P,) new posts so far; the last entry is all of them."""
    red: np.ndarray
    """(R, P) the web's red share then."""


def simulate(
    model_share: float,
    curated_share: float,
    human_red: float,
    curated_red: float,
    *,
    posts: int = 20_000,
    initial_posts: int = 50,
    initial_red: float | None = None,
    records: int = 50,
    replicates: int = 1,
    key: Key | int = 0,
) -> WebCourse:
    """`posts` new posts on a web of `initial_posts`, of which round(n_0 r_0) are red (r_0 = `initial_red`,
    default r_h), looked at `records` times at even distances. All replicates advance together.

    >>> web = simulate(0.6, 0.2, 0.3, 0.05, posts=2000, replicates=50, key=1)
    >>> web.red.shape, web.posts[-1].item()
    ((50, 50), 2000)
    """
    for name, value in (
        ("posts", posts),
        ("initial_posts", initial_posts),
        ("records", records),
        ("replicates", replicates),
    ):
        if not value >= 1:
            raise SpecError(f"{name} is {value}; it must be at least 1")
    base = inflow(model_share, curated_share, human_red, curated_red)
    slope = model_share * (1 - curated_share)
    first = unit_interval(human_red if initial_red is None else initial_red, "initial_red")
    key = key if isinstance(key, Key) else Key(key)
    looks = np.unique(np.linspace(0, posts, records + 1).round().astype(int))[1:]
    red = np.full(replicates, float(round(initial_posts * first)))
    found = np.empty((replicates, len(looks)))
    chance, hit, column, done = np.empty(replicates), np.empty(replicates, bool), 0, 0
    # A post reads the same place of its replicate's stream however many replicates follow: chunks of a fixed length.
    while done < posts:
        step = min(CHUNK, posts - done)
        u = (key / "posts" / (done // CHUNK)).generator().random((replicates, CHUNK))
        u = np.ascontiguousarray(u.T[:step])
        for i in range(step):
            np.multiply(red, slope / (initial_posts + done), out=chance)
            chance += base
            np.less(u[i], chance, out=hit)
            red += hit
            done += 1
            if done == looks[column]:
                found[:, column] = red / (initial_posts + done)
                column += 1
    return WebCourse(looks, found)
