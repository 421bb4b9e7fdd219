"""A fixed real set kept, and samples of the newest model (Bertrand et al. 2024): where the Gaussian loop
settles.

Courses come from `moments_mixed.mix`; here are its limits for n real records and a constant ratio lambda =
synthetic per real record, one coordinate, ddof 0.
"""

from __future__ import annotations

from autophage.theory.arguments import at_least


def excess(n: float, ratio: float) -> float:
    """kappa = lambda / (n (1 + 2 lambda)). Status: exact. Source: derived for autophage."""
    at_least(n, 1, "n")
    at_least(ratio, 0, "the synthetic ratio")
    return ratio / (n * (1 + 2 * ratio))


def variance_limit(n: float, ratio: float, real: float = 1.0) -> float:
    """lim E v_t = s2 / (1 + kappa) given a real set of variance s2 (ddof 0): at least s2 / (1 + 1/(2n)) for
    every lambda, so there is no collapse. Status: exact. Source: derived for autophage.

    >>> round(variance_limit(20, 1.0), 7)
    0.9836066
    """
    return real / (1 + excess(n, ratio))


def squared_error_limit(n: float, ratio: float, real: float = 1.0) -> float:
    """lim E (mu_t - real mean)^2 = kappa s2 / (1 + kappa) given a real set of variance s2 (ddof 0). Status:
    exact.

    >>> round(squared_error_limit(20, 1.0), 7)
    0.0163934
    """
    kappa = excess(n, ratio)
    return real * kappa / (1 + kappa)


def known_variance_limit(n: float, ratio: float, variance: float = 1.0) -> float:
    """lim E (mu_t - mu)^2 = (sigma^2/n)(1 + lambda/(1 + 2 lambda)), the variance known and the real set
    random: between 1 and 1.5 times the error of real data only. Status: exact. Source: derived for autophage.

    >>> round(known_variance_limit(25, 1.0), 7)
    0.0533333
    """
    return variance / n + excess(n, ratio) * variance
