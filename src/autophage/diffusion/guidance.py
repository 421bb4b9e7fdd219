"""Classifier-free guidance (Ho and Salimans 2022), and what it is called as a sampling bias (Alemohammad et al. 2024).

    D_w(y; sigma, c) = (1 + w) D(y; sigma, c) - w D(y; sigma)

At each noise level this is the denoiser whose score is that of p(y | c)^(1 + w) / p(y)^w, or p(y | c) p(c | y)^w. The
levels do not fit together, though: noise added to the tilted law at sigma = 0 does not give the tilted law at sigma. What
a sampler draws is therefore not that tilted law; for p(. | c) = N(m, a) and p = N(m, b) it has, by the probability-flow
ODE from a high level, variance a (a/b)^w, where the tilted law has 1 / ((1 + w)/a - w/b). What a loop of such draws comes
to: `autophage.theory.guided_chain`.

The weight may change on the way (`Guided.schedule`), by a decay (`Decaying`) or within an interval of levels only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
import torch
from torch import Tensor

from autophage.data.arguments import not_negative, whole_number
from autophage.diffusion.denoiser import Denoiser
from autophage.errors import SpecError
from autophage.parts import Sampling


@dataclass(frozen=True)
class Guided:
    """A conditional denoiser, guided away from its unconditional self: a `Denoiser` again.

    D_w = D(y; sigma, c) + w (D(y; sigma, c) - D(y; sigma, null)), both halves in one evaluation of twice the records. Where
    nothing is to be guided (w = 0, or a level outside the interval) it is the plain denoiser's own tensor.

    Labels are needed where w is not 0; a record labelled `null` is unconditional and stays as it is, up to rounding. Raises
    `SpecError` without labels.

    Source: Ho and Salimans 2022, equation 6; the interval, Kynkaanniemi et al. 2024.
    """

    denoise: Denoiser
    """The conditional denoiser, which also knows the label `null`."""
    weight: float
    """w, at least -1: 0 is unguided, -1 unconditional."""
    null: int
    """The label of no class: the number of classes, as a rule."""
    above: float = 0.0
    """Guidance acts at noise levels above this one (0 is no bound) ..."""
    up_to: float | None = None
    """... and up to this one; unset, at every level above."""
    schedule: Callable[[Tensor], Tensor] | None = None
    """What the weight is multiplied by at a level () or at levels (n,): finite numbers of 0 or above, of that shape; unset,
    1. Where it is 0, nothing is guided."""

    def __post_init__(self) -> None:
        checked_weight(self.weight)
        whole_number(self.null, "guidance.null", least=0)
        not_negative(self.above, "guidance.above")
        if self.up_to is not None:
            not_negative(self.up_to, "guidance.up_to")
            if not self.up_to > self.above:
                raise SpecError(
                    f"guidance.up_to is {self.up_to}; it must be above guidance.above = {self.above}, or nothing is guided"
                )

    def __call__(self, y: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """D_w of y's shape (n, ...); sigma () or (n,); label (n,)."""
        weight = self._weight_at(sigma)
        if weight is None:
            return self.denoise(y, sigma, label)
        return _away(self.denoise(*self._twice(y, sigma, label)), weight)

    def moments(self, y: Tensor, sigma: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """D_w, and the learned variance of the conditional half; that is None where the denoiser has learned none."""
        known = getattr(self.denoise, "moments", None)
        if known is None:
            return self(y, sigma, label), None
        weight = self._weight_at(sigma)
        if weight is None:
            return known(y, sigma, label)
        x0, v = known(*self._twice(y, sigma, label))
        return _away(x0, weight), None if v is None else v.chunk(2)[0]

    def _weight_at(self, sigma: Tensor) -> float | Tensor | None:
        """w at this level, or (n,) for each record's level; None where nothing is guided."""
        if self.weight == 0:
            return None
        if self.above == 0 and self.up_to is None and self.schedule is None:
            return self.weight
        share = within(sigma, self.above, math.inf if self.up_to is None else self.up_to)
        if self.schedule is not None:
            share = share * self._scheduled(sigma)
        if not share.any():
            return None
        return self.weight * (float(share) if sigma.ndim == 0 else share)

    def _scheduled(self, sigma: Tensor) -> Tensor:
        """The schedule's answer. Raises `SpecError` unless it is one for every level that was asked for."""
        assert self.schedule is not None
        share = torch.as_tensor(self.schedule(sigma), device=sigma.device)
        if share.shape != sigma.shape:
            raise SpecError(
                f"guidance.schedule returned shape {tuple(share.shape)} for levels of shape {tuple(sigma.shape)}; the two must "
                "be equal"
            )
        wrong = ~(share.isfinite() & (share >= 0))
        if wrong.any():
            at, said = (float(v.reshape(-1)[wrong.reshape(-1)][0]) for v in (sigma, share))
            raise SpecError(
                f"guidance.schedule is {said:g} at noise level {at:g}; it must be a finite number, 0 or above, at every level "
                "of the sampler"
            )
        return share

    def _twice(self, y: Tensor, sigma: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        if label is None:
            raise SpecError(
                f"guidance of weight {self.weight:g} needs the class of every record, and none was given; draw labels, or set "
                "the weight to 0"
            )
        both = sigma if sigma.ndim == 0 else torch.cat([sigma, sigma])
        return torch.cat([y, y]), both, torch.cat([label, torch.full_like(label, self.null)])


def within(sigma: Tensor, above: float, up_to: float) -> Tensor:
    """Whether levels lie above the one and up to the other, bool of sigma's shape; 0 and infinity are no bounds."""
    return (sigma > above if above else sigma >= 0) & (sigma <= up_to)


@dataclass(frozen=True)
class Decaying:
    """exp(-rate u) for u in [0, 1], how far sampling has come: a schedule of guidance.

    u is i / N at level i of a ladder of N steps and linear in the level in between; so it is 1 at the end, whatever the
    sampler, and 0 above the ladder, where churn may lead. Raises `SpecError` for a rate that is negative or not finite, and,
    when it is asked, for levels below the ladder or not finite.

    Source: Yoon et al. 2024, a guidance scale that decays while sampling (ReDiFine); the exponential form is the specification's.

    >>> Decaying(2.0, (3.0, 1.0, 0.0))(torch.tensor([9.0, 3.0, 1.0, 0.5, 0.0])).log()
    tensor([ 0.0000,  0.0000, -1.0000, -1.5000, -2.0000])
    """

    rate: float
    """By how many factors of e the weight falls from the first level to the last."""
    ladder: Sequence[float]
    """The sampler's noise levels, falling."""

    def __post_init__(self) -> None:
        not_negative(self.rate, "guidance.rate")
        levels = np.asarray(self.ladder, dtype=np.float64)
        if (
            levels.ndim != 1
            or len(levels) < 2
            or not np.isfinite(levels).all()
            or (np.diff(levels) >= 0).any()
        ):
            raise SpecError(
                "guidance.ladder must be at least two finite noise levels, each below the one before"
            )

    def __call__(self, sigma: Tensor) -> Tensor:
        """Of sigma's shape and type."""
        levels = np.asarray(self.ladder, dtype=np.float64)[::-1]
        at = sigma.detach().cpu().double().numpy()
        if not (np.isfinite(at) & (at >= levels[0])).all():
            raise SpecError(
                f"guidance that decays along levels {levels[-1]:g} to {levels[0]:g} was asked for a level below them or not "
                "finite; it is not defined there"
            )
        come = np.interp(at, levels, np.linspace(1, 0, len(levels)))
        return torch.as_tensor(np.exp(-self.rate * come)).to(sigma)


def is_guided(sampling: Sampling) -> bool:
    """Whether guidance is asked for, as such or as a bias."""
    return bool(sampling.guidance) or sampling.bias not in (None, 1)


def weight_of(sampling: Sampling) -> float:
    """The weight of guidance that is asked for, as such or as a bias; 0 is none."""
    return (sampling.guidance or 0.0) if sampling.bias is None else weight_of_bias(sampling.bias)


def refuse_without_bound(sampling: Sampling) -> None:
    """Raises `SpecError` for a bias of 0."""
    if sampling.bias == 0:
        raise SpecError(
            "sampling.bias is 0, which would be guidance without bound; it must be above zero here"
        )


def weight_of_bias(bias: float) -> float:
    """The guidance weight w that stands for a sampling bias lambda: w = 1 / lambda - 1.

    A convention, not a law of variances. Raises `SpecError` unless lambda lies in (0, 1].

    Source: Alemohammad et al. 2024, section 2 (lambda = 1 / (1 + w)).

    >>> weight_of_bias(0.5), weight_of_bias(1)
    (1.0, 0.0)
    """
    if isinstance(bias, bool) or not isinstance(bias, Real) or not 0 < bias <= 1:
        raise SpecError(
            f"sampling.bias is {bias!r}; for a guided model it must lie in (0, 1], where 1 is unguided and 0 would be a guidance "
            "without bound"
        )
    return 1 / bias - 1


def bias_of_weight(weight: float) -> float:
    """The sampling bias lambda = 1 / (1 + w) of a guidance weight w >= 0. Raises `SpecError` below that: lambda is at most 1.

    Source: Alemohammad et al. 2024, section 2.

    >>> bias_of_weight(1.0), bias_of_weight(0)
    (0.5, 1.0)
    """
    checked_weight(weight)
    if weight < 0:
        raise SpecError(
            f"guidance.weight is {weight}; only a weight of 0 or above is a sampling bias, which is at most 1"
        )
    return 1 / (1 + weight)


def checked_weight(weight: float) -> None:
    """Raises `SpecError` unless `weight` is a finite number of at least -1."""
    if isinstance(weight, bool) or not isinstance(weight, Real) or not -1 <= weight < math.inf:
        raise SpecError(
            f"guidance.weight is {weight!r}; it must be a finite number of at least -1, where 0 is unguided and -1 unconditional"
        )


def _away(both: Tensor, weight: float | Tensor) -> Tensor:
    """free + (1 + w) (given - free) of the two halves given and free; w one number or (n,)."""
    given, free = both.chunk(2)
    if isinstance(weight, Tensor):
        reach = (1 + weight).to(given.dtype).reshape(-1, *(1,) * (given.ndim - 1))
        return torch.lerp(free, given, reach)
    return torch.lerp(free, given, 1 + weight)
