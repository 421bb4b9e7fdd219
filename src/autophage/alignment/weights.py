"""The weight that a sampler's arithmetic puts in front of every step's gradient, and how it is made even.

    DDIM    x' = sqrt(a_s) x0 + sqrt(1 - a_s - sigma^2) eps + sigma z,     a = alpha-bar before (t) and after (s) the step
            C  = sqrt(1 - a_t) / sqrt(a_t / a_s) - sqrt(1 - a_s - sigma^2)
    flow    x' = x - Dt (v + sigma^2 / (2 t) (x + (1 - t) v)) + sigma sqrt(Dt) z,     t from 1, noise, to 0
            C  = Dt (1 + (1 - t) sigma^2 / (2 t)),  its noise sigma sqrt(Dt)

    log p_new(x') - log p_old(x') = -(w D.z + w^2 |D|^2 / 2),   w = C / sigma

for a change D of the prediction. `std` reads w, `var` reads C / sigma^2 (one in front of the noise as it is added, sigma z).
With full noise w = sqrt((1 - alpha) / (alpha (1 - a_s))), alpha = a_t / a_s, which no other sigma goes below.

Even credit is had by another noise, which makes C / sigma the same number w* in every step,

    std     sigma = (a w* - sqrt(b^2 (1 + w*^2) - a^2)) / (1 + w*^2),   a^2 = (1 - a_t) / alpha,  b^2 = 1 - a_s
    var     sigma = sqrt(b^2 - u^2),  u = (1 + sqrt(1 - 4 w* (a - w* b^2))) / (2 w*)

where w* is large enough: sqrt(a^2 - b^2) / b, and 1 / (2 (a - sqrt(a^2 - b^2))); or by another weight in the loss
alone, the mean one for diffusion and zeta Dt, zeta = sum w, for flows. Exact. (Lee and Ye 2026, section 4; the closed
forms are derived.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from autophage.data.arguments import one_of, positive, whole_number
from autophage.errors import SpecError

Convention = Literal["std", "var"]
CONVENTIONS = ("std", "var")
UNIT = 1e-6
"""How far the lengths of a flow's steps may sum from 1."""


@dataclass(frozen=True, eq=False)
class Steps:
    """The steps of a walk in the order they are taken, noisiest first; all arrays (T,) float64."""

    kind: Literal["diffusion", "flow"]
    before: np.ndarray
    """alpha-bar (diffusion) or time t in (0, 1] (flow) that a step leaves."""
    after: np.ndarray
    """The same where it ends."""
    noise: np.ndarray
    """The standard deviation of what a step adds: sigma, or sigma sqrt(Dt) of a flow; 0 where it adds none."""
    gain: np.ndarray
    """C: how far the mean moves for a unit of the prediction."""
    spread: np.ndarray
    """sigma of a flow's stochastic equation; equal to `noise` for diffusion."""

    def __len__(self) -> int:
        return len(self.before)

    @property
    def trained(self) -> np.ndarray:
        """(T,) the steps that draw, and so have a likelihood."""
        return self.noise > 0

    @property
    def carry(self) -> np.ndarray:
        """What is left of x in the mean of a step, m(x, p) = carry x - C p: sqrt(a_s / a_t), or 1 - Dt sigma^2 / (2
        t) of a flow."""
        if self.kind == "diffusion":
            return np.sqrt(self.after / self.before)
        return 1 - self.lengths * self.spread**2 / (2 * self.before)

    @property
    def lengths(self) -> np.ndarray:
        """Dt of a flow's steps."""
        return self.before - self.after

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of the whole schedule."""
        hashed = hashlib.blake2b(self.kind.encode(), digest_size=8)
        for values in (self.before, self.after, self.noise, self.gain):
            hashed.update(np.ascontiguousarray(values, np.float64).tobytes())
        return hashed.hexdigest()

    def named(self, which: np.ndarray) -> str:
        """Steps (T,) bool by what is left to do when they are taken: t = T for the first, t = 1 for the last."""
        return ", ".join(f"t = {len(self) - i}" for i in np.flatnonzero(which))

    def check(self) -> None:
        """Raises `SpecError`, naming the steps, where one to be trained draws nothing."""
        if not self.trained.all():
            raise SpecError(
                f"step {self.named(~self.trained)} of {len(self)} adds no noise, so that its likelihood is undefined; give every "
                "step that is trained a sigma above 0 (eta: 1), or leave it out"
            )

    def only(self, which: np.ndarray) -> Steps:
        """Some of the steps: (T,) bool."""
        names = ("before", "after", "noise", "gain", "spread")
        return replace(self, **{name: getattr(self, name)[which] for name in names})


def ddim(
    kept: Sequence[float] | np.ndarray,
    kept_after: Sequence[float] | np.ndarray,
    sigma: Sequence[float] | np.ndarray | None = None,
    *,
    last: float | None = None,
) -> Steps:
    """Steps of DDIM from alpha-bar `kept` (T,) to `kept_after` (T,), with noise `sigma` (T,), full noise (eta = 1)
    unless given.

    `last` is the noise of a final step that ends at alpha-bar 1, whose mean is the estimate of the record and stays
    so. Raises `SpecError` where a chain does not rise or a variance exceeds what the step has room for, naming the steps.
    """
    before, after = np.asarray(kept, np.float64), np.asarray(kept_after, np.float64)
    if before.ndim != 1 or before.shape != after.shape or not len(before):
        raise SpecError("alpha-bar must be two flat lists of one length, before and after every step")
    if not ((before > 0) & (before < after) & (after <= 1)).all():
        raise SpecError("alpha-bar must rise in every step, from above 0 to at most 1")
    room = 1 - after
    noise = full_noise(before, after) if sigma is None else np.array(sigma, np.float64)
    if noise.shape != before.shape or not (np.isfinite(noise) & (noise >= 0)).all():
        raise SpecError("sigma must be a finite number, zero or above, for every step")
    steps = Steps("diffusion", before, after, noise, np.zeros_like(before), noise)
    # Full noise fills the room of a step exactly where nothing was left in it; rounding must not refuse that.
    wide = noise**2 > room * (1 + 1e-12)
    if wide.any():
        raise SpecError(
            f"sigma^2 exceeds 1 - alpha-bar at the end of step {steps.named(wide)}: a step cannot add more noise than is left "
            "after it"
        )
    direction = np.sqrt(np.maximum(room - noise**2, 0))
    if last is not None and after[-1] == 1:
        positive(last, "the noise of the last step")
        noise[-1], direction[-1] = last, 0.0
    gain = np.sqrt((1 - before) * after / before) - direction
    return replace(steps, noise=noise, gain=gain, spread=noise)


def full_noise(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """sigma (T,) of DDIM with eta = 1, that of the ancestral chain."""
    return np.sqrt((1 - after) / (1 - before) * (1 - before / after))


def full_noise_weight(steps: Steps) -> np.ndarray:
    """C / sigma (T,) with full noise, the least there is: sqrt((1 - alpha) / (alpha (1 - a_s))); 0 for a step that
    ends at alpha-bar 1, whose noise may be anything."""
    left = 1 - steps.after
    with np.errstate(divide="ignore"):
        alpha = steps.before / steps.after
        return np.where(left > 0, np.sqrt((1 - alpha) / (alpha * left)), 0.0)


def flow(times: Sequence[float] | np.ndarray, sigma: Sequence[float] | np.ndarray | float) -> Steps:
    """Steps of a flow's stochastic equation between `times` (T + 1,) falling from 1, noise, to 0, with `sigma` (T,)
    or one number.

    Raises `SpecError` where times do not fall, their steps do not sum to 1, or sigma is not finite and zero or above
    (sigma as a multiple of sqrt(t / (1 - t)) has no value at t = 1: `spread_of_flow` holds t there).
    """
    times = np.asarray(times, np.float64)
    if times.ndim != 1 or len(times) < 2 or not np.isfinite(times).all():
        raise SpecError("times must be a flat list of at least two finite numbers")
    lengths = times[:-1] - times[1:]
    if not (lengths > 0).all() or times[-1] < -UNIT:
        raise SpecError("times must fall in every step, from 1 to 0")
    if abs(lengths.sum() - 1) > UNIT:
        raise SpecError(f"the steps of a flow sum to {lengths.sum():.8g}; they must lead from 1 to 0")
    spread = np.broadcast_to(np.asarray(sigma, np.float64), lengths.shape).copy()
    if not (np.isfinite(spread) & (spread >= 0)).all():
        raise SpecError("sigma must be a finite number, zero or above, in every step of a flow")
    t = times[:-1]
    gain = lengths * (1 + (1 - t) * spread**2 / (2 * t))
    return Steps("flow", t, times[1:], spread * np.sqrt(lengths), gain, spread)


def shifted(steps: int, shift: float = 1.0) -> np.ndarray:
    """Times (steps + 1,) from 1 to 0, s u / (1 + (s - 1) u) of even u: more of them near noise where the shift s is
    above 1."""
    whole_number(steps, "steps", least=1)
    positive(shift, "shift")
    u = np.linspace(1, 0, steps + 1)
    return shift * u / (1 + (shift - 1) * u)


def spread_of_flow(times: np.ndarray, level: float, law: str = "root", most: float = 0.96) -> np.ndarray:
    """sigma (T,) at the beginning of every step: `level` (law constant), or level sqrt(t / (1 - t)) (law root) with t
    held at `most` where it is above."""
    one_of(law, "law", ("constant", "root"))
    t = np.minimum(np.asarray(times, np.float64)[:-1], most)
    return np.full_like(t, level) if law == "constant" else level * np.sqrt(t / (1 - t))


@dataclass(frozen=True, eq=False)
class Weights:
    """Both conventions' weights (T,) of the same steps."""

    std: np.ndarray
    """C / sigma."""
    var: np.ndarray
    """C / sigma^2, sigma the standard deviation that a step adds."""

    @staticmethod
    def of(steps: Steps) -> Weights:
        """The native weights. Raises `SpecError`, naming the steps, where one draws nothing."""
        steps.check()
        return Weights(steps.gain / steps.noise, steps.gain / steps.noise**2)

    def read(self, convention: str) -> np.ndarray:
        one_of(convention, "convention", CONVENTIONS)
        return self.std if convention == "std" else self.var

    @property
    def dispersion(self) -> float:
        """1 + CV^2 of `std`: the total KL at this mean weight over the least there is, that of even weights."""
        return float(np.mean(self.std**2) / np.mean(self.std) ** 2)

    @property
    def ratio(self) -> float:
        """The largest of `std` over the smallest."""
        return float(self.std.max() / self.std.min())

    def lines(self) -> list[tuple[str, str]]:
        """What is said of them wherever one is used: least, mean and largest of both."""
        return [
            (name, f"{w.min():.5g} / {w.mean():.5g} / {w.max():.5g}")
            for name, w in (("C/sigma", self.std), ("C/sigma^2", self.var))
        ]

    def table(self) -> str:
        """Both conventions as a small table.

        >>> print(Weights(np.array([1.0, 3.0]), np.array([2.0, 4.0])).table())
        weight          min / mean / max
        C/sigma         1 / 2 / 3
        C/sigma^2       2 / 3 / 4
        """
        return "\n".join(
            f"{name:<16}{said}" for name, said in [("weight", "min / mean / max"), *self.lines()]
        )


def least_weight(steps: Steps, convention: Convention = "std") -> np.ndarray:
    """(T,) the smallest w* that a step's noise can be reshaped to; 0 where any can."""
    a, b2 = _sides(steps)
    if convention == "std":
        return full_noise_weight(steps)
    root = np.sqrt(np.maximum(a**2 - b2, 0))
    with np.errstate(divide="ignore"):
        return np.where(b2 > 0, 1 / (2 * (a - root)), 0.0)


def reshaped(
    steps: Steps,
    weight: float | None = None,
    convention: Convention = "std",
    infeasible: Literal["error", "keep-native"] = "error",
) -> tuple[Steps, np.ndarray]:
    """The same walk with the noise that gives every step the weight w*, the mean native one unless given; and (T,)
    which steps could.

    A step that no noise brings to w* is an error that names it and the smallest w* that would do, or keeps its noise
    (`keep-native`). Raises `SpecError` for a flow, whose noise is no free choice of the loss.
    """
    one_of(infeasible, "infeasible", ("error", "keep-native"))
    if steps.kind != "diffusion":
        raise SpecError(
            "the noise of a flow is not reshaped; take method pcpo-loss, which weighs its loss instead"
        )
    native = Weights.of(steps).read(convention)
    w = float(native.mean()) if weight is None else weight
    positive(w, "weight")
    least = least_weight(steps, convention)
    possible = w >= least * (1 - 1e-12)
    if not possible.all() and infeasible == "error":
        raise SpecError(
            f"no noise gives step {steps.named(~possible)} of {len(steps)} the weight {w:.6g} ({convention}); the smallest that "
            f"all steps can have is {least.max():.6g}, or write infeasible: keep-native"
        )
    a, b2 = _sides(steps)
    free = b2 == 0  # a last step: its mean holds no direction, whatever its noise
    with np.errstate(invalid="ignore"):
        if convention == "std":
            u = None
            sigma = (a * w - np.sqrt(np.maximum(b2 * (1 + w * w) - a * a, 0))) / (1 + w * w)
            sigma = np.where(free, a / w, sigma)
        else:
            u = (1 + np.sqrt(np.maximum(1 - 4 * w * (a - w * b2), 0))) / (2 * w)
            sigma = np.where(free, np.sqrt(a / w), np.sqrt(np.maximum(b2 - u * u, 0)))
    noise = np.where(possible, sigma, steps.noise)
    direction = np.where(free, 0.0, np.sqrt(np.maximum(b2 - noise**2, 0)))
    return replace(steps, noise=noise, gain=a - direction, spread=noise), possible


def even(steps: Steps, weight: float | None = None, convention: Convention = "std") -> np.ndarray:
    """Weights (T,) to put into the loss in place of the native ones: w* for diffusion (`var`: w* sigma), and zeta Dt
    for flows, whose zeta = sum w is w* times the number of steps where w* is given."""
    native = Weights.of(steps).read(convention)
    w = float(native.mean()) if weight is None else weight
    positive(w, "weight")
    if steps.kind == "flow":
        return w * len(steps) * steps.lengths * (steps.noise if convention == "var" else 1.0)
    return np.full(len(steps), w) if convention == "std" else w * steps.noise


def stable_diffusion(steps: int = 50) -> Steps:
    """The walk of Stable Diffusion's DDIM sampler with full noise: 1,000 steps whose beta's roots are linear from
    .00085 to .012, every 1000 / steps-th of them, offset 1, ending at the first of them instead of at 1."""
    whole_number(steps, "steps", least=1)
    kept = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
    stride = 1000 // steps
    at = (np.arange(steps) * stride)[::-1] + 1
    before = kept[at]
    after = np.where(at - stride >= 0, kept[np.maximum(at - stride, 0)], kept[0])
    return ddim(before, after)


def _sides(steps: Steps) -> tuple[np.ndarray, np.ndarray]:
    """a and b^2 of a diffusion's steps."""
    return np.sqrt((1 - steps.before) * steps.after / steps.before), 1 - steps.after
