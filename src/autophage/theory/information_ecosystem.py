"""The web as a store of right and wrong statements that a language model reads and writes (Garetto et al. 2025).

The reduced model (the paper's rate functions are not all public): coupons are red (wrong) or not. A share rho
of all new posts on the web comes from the model, the rest from humans, who are wrong with probability r_h. The
model is trained on a share g of curated coupons, wrong with probability r_c, and else on the web, so that it is
wrong with probability x_L = g r_c + (1-g) x_W, x_W being the red share of the web.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import gammaln

from autophage.errors import SpecError
from autophage.theory.arguments import at_least, unit_interval


def inflow(model_share: float, curated_share: float, human_red: float, curated_red: float) -> float:
    """b = (1-rho) r_h + rho g r_c: the chance that a new post is red on a web without any red. Exact."""
    rho = unit_interval(model_share, "the model's share")
    g = unit_interval(curated_share, "the curated share")
    r_h = unit_interval(human_red, "the humans' red share")
    r_c = unit_interval(curated_red, "the curated red share")
    return (1 - rho) * r_h + rho * g * r_c


def approach_rate(model_share: float, curated_share: float) -> float:
    """kappa = 1 - rho (1-g): the web's deviation from its fixed point falls like t^-kappa. Zero where the model
    writes everything and reads nothing but the web. Status: exact. Source: derived for autophage.

    >>> round(approach_rate(0.6, 0.2), 9)
    0.52
    """
    rho = unit_interval(model_share, "the model's share")
    return 1 - rho * (1 - unit_interval(curated_share, "the curated share"))


def fixed_point(model_share: float, curated_share: float, human_red: float, curated_red: float) -> float:
    """x_W = [(1-rho) r_h + rho g r_c] / [1 - rho (1-g)]. Status: exact. Raises `SpecError` where the model
    writes everything and reads nothing but the web: every x_W is then a fixed point. Source: derived for
    autophage.

    >>> round(fixed_point(0.6, 0.2, 0.3, 0.05), 6)
    0.242308
    """
    kappa = approach_rate(model_share, curated_share)
    b = inflow(model_share, curated_share, human_red, curated_red)
    if kappa == 0:
        raise SpecError(
            "the model writes everything and reads nothing but the web, so its red share has no fixed point"
        )
    return b / kappa


def course(
    model_share: float,
    curated_share: float,
    human_red: float,
    curated_red: float,
    posts: Any,
    initial_posts: int = 50,
    initial_red: float | None = None,
) -> np.ndarray:
    """E x_W after `posts` new posts (any shape), from a web of n_0 posts whose red share is r_0 (default r_h):

        x* + (r_0 - x*) prod_{k=n_0+1}^{n_0+posts} (1 - kappa/k).

    Status: exact. Source: derived for autophage.

    >>> course(0.6, 0.2, 0.3, 0.05, [0, 20_000]).round(4).tolist()
    [0.3, 0.2449]
    """
    n = at_least(initial_posts, 1, "initial_posts")
    r0 = unit_interval(human_red if initial_red is None else initial_red, "initial_red")
    more = np.asarray(posts, dtype=np.float64)
    if not (more >= 0).all():
        raise SpecError("posts must be zero or more")
    kappa = approach_rate(model_share, curated_share)
    if kappa == 0:
        return np.full(more.shape, r0)
    x = fixed_point(model_share, curated_share, human_red, curated_red)
    left = np.exp(
        gammaln(n + more + 1 - kappa) - gammaln(n + 1 - kappa) + gammaln(n + 1) - gammaln(n + more + 1)
    )
    return x + (r0 - x) * left


def model_red(web_red: Any, curated_share: float, curated_red: float) -> np.ndarray:
    """x_L = g r_c + (1-g) x_W: how often the model is wrong, given the web. Exact by definition.

    >>> model_red(0.25, 0.2, 0.05).round(3).item()
    0.21
    """
    g = unit_interval(curated_share, "the curated share")
    return np.asarray(g * unit_interval(curated_red, "the curated red share") + (1 - g) * np.asarray(web_red))
