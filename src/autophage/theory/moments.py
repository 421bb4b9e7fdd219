"""Exact second moments of a loop, whatever the family.

A learner that fits means and variances by moments (the Gaussian; the categorical, whose records are one-hot
vectors with total variance 1 - sum p^2; the Bernoulli; the kernel density) takes part in a linear recursion
of two numbers,

    V_t = E tr Sigma_t        (total variance of the fitted law)
    M_t = E ||mu_t - mu||^2   (squared error of its mean),

which needs no distribution beyond them. Here are the recursions for replace and for a growing pile;
`moments_mixed` has those with kept or fresh real records, and the one for any choice of whole batches.

Notation: n_t = sizes[t]; n_0 real records; s = total variance of the real law; e_t = total variance of the
records that model t emits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from autophage.errors import SpecError
from autophage.theory.arguments import at_least, sizes_course, unit_interval


class Moments(NamedTuple):
    """Courses (G,) over generations, summed over coordinates."""

    variance: np.ndarray
    """E tr Sigma_t; for a categorical model the mean Gini index E(1 - sum p_t^2)."""
    squared_error: np.ndarray
    """E ||mu_t - mu||^2."""

    @property
    def second(self) -> np.ndarray:
        """E tr Sigma_t + E ||mu_t - mu||^2, the second moment of model t's records about the true mean.

        Conserved (equal to the real variance at every t) for ddof 0, unbiased sampling and any workflow that
        picks records without looking at them: each record of generation t is then an average over records of
        the same second moment. Exact. Source: law of total variance; the known case is replace (Shumailov et
        al. 2024).
        """
        return self.variance + self.squared_error


@dataclass(frozen=True, kw_only=True)
class Refit:
    """How records are turned into a model, and a model into records.

    A model with fitted variance V and squared mean error M emits records of total variance `bias * V +
    added`, or, where the family ties the variance to the mean by a quadratic variance function, `known +
    quadratic * M` (Morris 1982: normal of known variance 0, Poisson 0, exponential 1, Bernoulli -1 with
    `known` the variance at the truth; requires E mu_t = mu).
    """

    real: float = 1.0
    """s, the total variance of the real law (trace of its covariance)."""
    ddof: int = 0
    """The fit divides the scatter by n - ddof."""
    bias: float = 1.0
    """Sampling bias in [0, 1]: records come from a law with `bias` times the fitted variance."""
    added: float = 0.0
    """Variance that sampling adds (a kernel's d h^2)."""
    known: float | None = None
    """Variance of the emitted records at the true mean, where it is not fitted."""
    quadratic: float = 0.0
    """Change of the emitted variance per unit of squared mean error, where it is not fitted."""
    initial: tuple[float, float] | None = None
    """(||mu_0 - mu||^2, tr Sigma_0) of a given generation 0; None: it is fitted to the real records."""
    fixed_real: bool = False
    """Everything given one real set: `real` is its own total variance (ddof 0), errors are taken from its
    mean."""

    def __post_init__(self) -> None:
        at_least(self.real, 0, "the real variance")
        at_least(self.added, 0, "the added variance")
        unit_interval(self.bias, "the sampling bias")
        if self.ddof not in (0, 1):
            raise SpecError(f"ddof is {self.ddof}; it must be 0 (maximum likelihood) or 1 (unbiased)")

    def emitted(self, variance: float, squared_error: float) -> float:
        """e_t, the total variance of model t's records."""
        if self.known is not None:
            return self.bias * (self.known + self.quadratic * squared_error)
        return self.bias * variance + self.added

    def fitted(self, spread: float, n: float) -> float:
        """E tr Sigma of a fit to n records whose mean scatter per record is `spread`."""
        return self.known if self.known is not None else spread * n / (n - self.ddof)

    def real_noise(self, k: float, n: float | None = None) -> float:
        """Mean squared error of the mean of k real records (drawn from a given set of n)."""
        if not self.fixed_real:
            return self.real / k
        n = k if n is None else n
        return 0.0 if k == n else self.real * n / (n - 1) / k * (1 - k / n)

    def real_spread(self, k: float, n: float | None = None) -> float:
        """Mean scatter per record, about their own mean, of k real records (drawn from a given set of n)."""
        if not self.fixed_real:
            return self.real * (1 - 1 / k)
        n = k if n is None else n
        return self.real if k == n else self.real * n / (n - 1) * (1 - 1 / k)

    def first(self, n: float) -> tuple[float, float]:
        """(V_0, M_0)."""
        if self.initial is not None:
            return self.fitted_or(self.initial[1]), self.initial[0]
        return self.fitted(self.real_spread(n), n), self.real_noise(n)

    def fitted_or(self, variance: float) -> float:
        """The known variance where there is one, else the one given."""
        return self.known if self.known is not None else variance

    def smallest(self) -> float:
        """A size must be above this for the fit to exist."""
        return 0 if self.known is not None else self.ddof


def replace(refit: Refit, sizes: Any) -> Moments:
    """Each fit sees n_t samples of the newest model only.

        M_t = M_{t-1} + e_{t-1} / n_t,    V_t = e_{t-1} (n_t - 1) / (n_t - ddof)

    sizes (G,): n_0 real records, then n_t. Status: exact. Sources: Alemohammad et al. (2024, eq. 1-2) for
    ddof 1 with bias; Shumailov et al. (2024) and Kazdan et al. (2024) for ddof 0.

    >>> replace(Refit(ddof=0), [10, 10, 10]).variance.round(4).tolist()
    [0.9, 0.81, 0.729]
    """
    n = sizes_course(sizes, more_than=refit.smallest())
    V, M = np.empty(len(n)), np.empty(len(n))
    V[0], M[0] = refit.first(n[0])
    for t in range(1, len(n)):
        e = refit.emitted(V[t - 1], M[t - 1])
        M[t] = M[t - 1] + e / n[t]
        V[t] = refit.fitted(e * (1 - 1 / n[t]), n[t])
    return Moments(V, M)


def pile(refit: Refit, sizes: Any, *, subsample: bool = False) -> Moments:
    """Real records and all samples so far: every fit sees the whole pile, or n_t of it drawn without
    replacement.

    With N records of variance q (ddof 0) and squared mean error P in the pile, a fit to n of them has

        gap = q N/(N-1) (N-n)/(n N),   M = P + gap,   V from the spread q N/(N-1) (n-1)/n

    (gap 0 and spread q for n = N), and n' new records of variance e move the pile to N' = N + n' with

        P' = P + (n'/N')^2 (gap + e/n'),   q' = [N q + (n'-1) e + (N n'/N') (gap + e/n')] / N'.

    sizes (G,): n_0 real, then what model t-1 adds (and, with `subsample`, the size of fit t). Status: exact.
    Sources: accumulate, Kazdan et al. (2024) and Gerstgrasser et al. (2024); subsample, derived for
    autophage.

    >>> pile(Refit(), [10] * 3).variance.round(5).tolist()
    [0.9, 0.8775, 0.86775]
    """
    n = sizes_course(sizes, more_than=refit.smallest())
    V, M = np.empty(len(n)), np.empty(len(n))
    N, q, P = n[0], refit.real_spread(n[0]), refit.real_noise(n[0])
    gap = cross = 0.0  # E|mu - pile mean|^2, and E<pile mean - mu_true, mu - pile mean>
    for t in range(len(n)):
        if t:
            e = refit.emitted(V[t - 1], M[t - 1])
            share = n[t] / (N + n[t])
            apart = gap + e / n[t]
            P = P + 2 * share * cross + share**2 * apart
            q = ((1 - share) * q) + share * e * (1 - 1 / n[t]) + share * (1 - share) * apart
            N = N + n[t]
        if t == 0 and refit.initial is not None:
            V[0], M[0] = refit.first(n[0])
            gap, cross = M[0] + P, -P
            continue
        size = n[t] if subsample else N
        spread, gap, cross = q, 0.0, 0.0
        if size < N:
            gap = q * N / (N - 1) * (N - size) / (size * N)
            spread = q * N / (N - 1) * (size - 1) / size
        V[t], M[t] = refit.fitted(spread, size), P + gap
    return Moments(V, M)
