"""Flow matching: a network learns the velocity that carries noise to records, and an ODE solver follows it.

    path    x_t = (1 - t) n + t x0,   n ~ N(0, I),   from noise at t = 0 to the record at t = 1
    fit     minimise  E w |F(x_t; 1000 t) - (x0 - n)|^2,   whose minimum is v(x, t) = E[x0 - n | x_t = x]
    sample  dx / dt = v(x, t) from x(0) ~ N(0, I) to x(1), by a method of `autophage.diffusion.ode`

(Lipman et al. 2023 with sigma_min = 0; Tong et al. 2024, I-CFM and OT-CFM with sigma = 0; Liu, Gong and Liu 2023.) The
square is the mean over a record's entries.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from autophage.diffusion.coupling import COUPLINGS, equalised
from autophage.diffusion.denoiser import Denoiser
from autophage.diffusion.guidance import Guided, is_guided, within
from autophage.diffusion.negative import of_velocity
from autophage.diffusion.ode import METHODS, RULES, integrate
from autophage.diffusion.preconditioning import along
from autophage.diffusion.samplers.sampler import Draw
from autophage.errors import SpecError
from autophage.learners.denoising import DenoisingLearner, DenoisingModel, RecordsToLearn, See
from autophage.learners.record_spaces import RecordSpace
from autophage.parts import Sampling
from autophage.registry import nearest

PATH = "x_t = (1 - t) n + t x0"
LONGEST = 1000.0
"""What the network is told of the time is this many times t: numbers of the size of a timestep."""
METHOD = "midpoint"
"""How records are made where nothing is said. On digits of 8 x 8 pixels 13 steps of it are as good as 25 of heun or 12 of rk4,
and 5 as good as 100 of euler: where records are nearly Gaussian its error is of order 3 (`tests/diffusion/test_ode.py`)."""
STEPS = {"euler": 50, "midpoint": 15, "heun": 25, "rk4": 12}
"""Steps of a method where none are given: enough that more change nothing that Fréchet distances show."""


class FlowMatchingModel(DenoisingModel):
    """A fitted velocity field.

    A record does not depend on how many others are drawn, up to rounding; with `dopri5`, whose steps are chosen for all records
    that pass through the network together, up to its tolerance of 1e-5 a step.
    """

    def velocity(self, x: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        """v(x, t; label) of x's shape (n, ...) in network space; t () or (n,) in [0, 1]; label (n,).

        Guided where `sampling` says so, with weight w: (1 + w) v(x, t; label) - w v(x, t; none); and each half extrapolated away
        from an auxiliary where there is one.
        """
        return self._watched(self._steered(), self._velocity_of, of_velocity)(x, t, label)

    def _steered(self) -> Denoiser:
        plain = self._of(self._velocity_of)
        if not self.guidance:
            return plain
        assert self.null is not None  # a run refuses guidance where nothing is told
        # Guidance is the same line through two estimates, whether these are of a record or of a velocity.
        asked = self.sampling
        changes = asked.guidance_decay is not None or asked.guidance_interval is not None
        schedule = self._schedule if changes else None
        return Guided(plain, self.guidance, null=self.null, schedule=schedule)

    def _schedule(self, t: Tensor) -> Tensor:
        """What the weight of guidance is multiplied by at time t: u = t, and the noise level is (1 - t) / t."""
        low, high = self.sampling.guidance_interval or (0.0, math.inf)
        return (-(self.sampling.guidance_decay or 0.0) * t).exp() * within((1 - t) / t, low, high)

    @staticmethod
    def _velocity_of(net: nn.Module) -> Denoiser:
        """A network's velocity, with the arguments of a `Denoiser`: x_t, t and the class."""

        def velocity(y: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
            told = (LONGEST * torch.as_tensor(sigma, device=y.device)).expand(len(y))
            return net(y, told.to(y.dtype), label)

        return velocity

    def denoiser(self) -> Denoiser:
        """The same model as an estimate of E[x0 | y], y = x0 + sigma n: what diffusion samplers ask for.

            D(y; sigma) = t y + (1 - t) v(t y, t),   t = 1 / (1 + sigma)

        for sigma finite and zero or above: x_t = t y. Euler's rule for the ODE in t is then DDIM without noise (Euler's rule in
        sigma) on the levels (1 - t) / t, step by step.
        """

        def denoise(y: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
            t = 1 / (1 + torch.as_tensor(sigma, dtype=torch.float64, device=y.device))
            share = along(t, y)
            x = share * y
            return x + (1 - share) * self.velocity(x, t, label).to(y.dtype)

        return denoise

    def decode(self, z: Tensor, label: Tensor | None, draw: Draw, see: See | None = None) -> Tensor:
        """Records (n, ...) in network space, by the ODE from z. What is seen on the way is x + (1 - t) v(x, t) at the beginning of
        each step of a method of fixed steps: the model's E[x0 | x_t = x]."""
        method = self.sampling.sampler or METHOD
        steps = self.sampling.steps or STEPS.get(method, 1)
        # The errors that dopri5 looks for drown in the rounding of bfloat16, and it would take ever smaller steps.
        with torch.autocast(z.device.type, enabled=False) if method == "dopri5" else nullcontext():
            if see is None or method not in RULES:
                return integrate(lambda x, t: self.velocity(x, t, label), z, method, steps=steps).x
            stages, asked = len(RULES[method].nodes), itertools.count()

            def velocity(x: Tensor, t: Tensor) -> Tensor:
                v = self.velocity(x, t, label)
                if next(asked) % stages == 0:
                    see(x + along(1 - t, x) * v.to(x.dtype))
                return v

            return integrate(velocity, z, method, steps=steps).x


@dataclass(frozen=True)
class _Objective:
    """Velocities at random times between paired noise and records."""

    records: RecordsToLearn
    coupling: str
    time: str

    @property
    def size(self) -> int:
        return len(self.records)

    def batch(self, rows: np.ndarray, generator: torch.Generator) -> Sequence[Tensor | None]:
        """x0, n, t, label, weight. Pairs are made over the whole batch, before it is split over micro-batches or processes."""
        group, weight = self._groups(rows), self.records.weight
        equal = None
        if self.coupling == "optimal" and weight is not None:
            mine = weight[torch.from_numpy(rows).to(weight.device)].cpu().numpy()
            places, shared = equalised(mine, group, generator)
            rows, equal = rows[places], torch.from_numpy(shared).to(weight.device)
        x, label, given = self.records.rows(rows, generator)
        n = torch.randn(x.shape, generator=generator, device=x.device)
        n = COUPLINGS[self.coupling](n, x, group)
        kind: dict[str, Any] = {"generator": generator, "device": x.device, "dtype": torch.float64}
        if self.time == "logit_normal":
            t = torch.randn(len(x), **kind).sigmoid()
        else:
            t = torch.rand(len(x), **kind)
        return x, n, t, label, given if equal is None else equal

    def _groups(self, rows: np.ndarray) -> np.ndarray | None:
        """The true classes (or captions, numbered) of these rows, also where the network is not told them."""
        label = self.records.label
        if self.coupling == "independent" or label is None:
            return None
        told = label[torch.from_numpy(rows).to(label.device)].cpu().numpy()
        return told if told.ndim == 1 else np.unique(told, axis=0, return_inverse=True)[1].reshape(-1)

    def loss(self, net: nn.Module, *batch: Tensor | None) -> Tensor:
        x, n, t, label, weight = batch
        assert x is not None and n is not None and t is not None
        output = net(torch.lerp(n, x, along(t, x)), (LONGEST * t).to(x.dtype), label)
        each = (output - (x - n)).square().flatten(1).mean(1)
        return each if weight is None else weight * each


@dataclass(frozen=True, kw_only=True)
class FlowMatching(DenoisingLearner):
    """Flow matching on pictures or vectors: straight paths from noise to records, paired at random or by optimal transport.

    Raises `FitFailed` when the loss is no longer finite, when records are too few or not finite, or when it is to continue from
    another kind of model.
    """

    citation: ClassVar[tuple[str, ...]] = (
        "Lipman, Chen, Ben-Hamu, Nickel and Le (2023), Flow matching for generative modeling, ICLR, arXiv 2210.02747",
        "Tong, Fatras, Malkin, Huguet, Zhang, Rector-Brooks, Wolf and Bengio (2024), Improving and generalizing flow-based "
        "generative models with minibatch optimal transport, TMLR, arXiv 2302.00482",
        "Esser et al. (2024), Scaling rectified flow transformers for high-resolution image synthesis, ICML, "
        "arXiv 2403.03206 (learner.time: logit_normal)",
    )
    sampling_keys: ClassVar[frozenset[str]] = frozenset(
        {"bias", "guidance", "guidance_decay", "guidance_interval", "sampler", "steps"}
    )
    model: ClassVar[type[DenoisingModel]] = FlowMatchingModel

    coupling: Literal["independent", "optimal"] = "independent"
    """Which noise goes with which record of a batch: as drawn, or so that the sum of their squared distances is smallest
    (minibatch optimal transport), within each class where labels are used. Optimal pairs make straighter paths, which need
    fewer steps."""
    time: Literal["uniform", "logit_normal"] = "uniform"
    """Times to learn at: evenly spread over [0, 1], or 1 / (1 + exp(-u)) of u ~ N(0, 1), which stays away from the ends."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, known in (("coupling", tuple(COUPLINGS)), ("time", ("uniform", "logit_normal"))):
            if getattr(self, key) not in known:
                raise SpecError(
                    f"learner.{key} is {getattr(self, key)!r}; it must be one of: {', '.join(known)}"
                )

    def facts(self, space: RecordSpace) -> dict[str, Any]:
        return {"path": PATH}

    def objective(self, records: RecordsToLearn, facts: Mapping[str, Any]) -> _Objective:
        return _Objective(records, self.coupling, self.time)

    def estimates(self, sampling: Sampling) -> int | None:
        method = sampling.sampler or METHOD
        return (sampling.steps or STEPS[method]) if method in STEPS else None

    def evaluations(self, sampling: Sampling) -> float:
        method = sampling.sampler or METHOD
        # dopri5 chooses its steps; ten that it accepts are usual.
        stages, steps = (
            (len(RULES[method].nodes), sampling.steps or STEPS.get(method, 1)) if method in RULES else (6, 10)
        )
        return stages * steps * (2 if is_guided(sampling) else 1)

    def check_sampling(self, sampling: Sampling) -> None:
        super().check_sampling(sampling)
        if sampling.sampler is not None and sampling.sampler not in METHODS:
            raise SpecError(f"sampling.sampler is '{sampling.sampler}'{nearest(sampling.sampler, METHODS)}")
        if sampling.sampler == "dopri5" and sampling.steps is not None:
            raise SpecError(
                "sampling.steps is for methods of fixed steps; dopri5 chooses its own, so leave it out or take another sampler"
            )
