"""Diffusion models: a network learns to take noise away, and a sampler walks from noise to records.

    fit     minimise  E w |F(c_in y; c_noise) - (x0 - c_skip y) / c_out|^2,   y = x0 + sigma n
    sample  y at the highest level, then down a ladder of levels by a sampler of `autophage.diffusion.samplers`

(Ho, Jain and Abbeel 2020; Nichol and Dhariwal 2021; Song et al. 2021; Karras et al. 2022; Ho and Salimans 2022 for
guidance.) Notation and tables: `autophage.diffusion`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from autophage.data.arguments import whole_number
from autophage.diffusion import learned_variance, noise
from autophage.diffusion.denoiser import Denoiser
from autophage.diffusion.guidance import Decaying, Guided, is_guided
from autophage.diffusion.preconditioning import NetworkDenoiser, Prediction, along, errors
from autophage.diffusion.samplers import SAMPLERS, make_sampler
from autophage.diffusion.samplers.sampler import Draw, Sampler, State
from autophage.errors import SpecError
from autophage.learners.denoising import DenoisingLearner, DenoisingModel, RecordsToLearn, See
from autophage.learners.record_spaces import Pictures, RecordSpace
from autophage.networks import processes
from autophage.parts import Sampling
from autophage.registry import nearest

CHAINS = ("linear", "cosine")
CONTINUOUS: dict[str, type[noise.NoiseLaw]] = {
    "edm": noise.LogNormal,
    "vp": noise.VariancePreserving,
    "ve": noise.VarianceExploding,
}
STEPS = {"ancestral": None, "ddim": 50, "heun": 18, "euler": 50, "dpmpp_2m": 20}
"""Steps of a sampler where none are given; None: every step of the chain."""


@dataclass(frozen=True)
class Process:
    """What a diffusion network has learned: levels, and what it predicts."""

    noise: noise.NoiseLaw
    prediction: Prediction
    data_scale: float = 0.5
    learned_variance: bool = False

    def denoiser(self, net: nn.Module) -> NetworkDenoiser:
        return NetworkDenoiser(net, self.noise, self.prediction, self.data_scale)

    def body(self) -> dict[str, Any]:
        """As plain data: a chain by its betas, another law by its name."""
        law: Any = next((k for k, kind in CONTINUOUS.items() if isinstance(self.noise, kind)), None)
        if isinstance(self.noise, noise.Discrete):
            law = list(self.noise.betas)
        return {**asdict(replace(self, noise=None)), "noise": law}  # type: ignore[arg-type]

    @staticmethod
    def restored(body: Mapping[str, Any]) -> Process:
        """The process that `body` describes."""
        law = body["noise"]
        made = CONTINUOUS[law]() if isinstance(law, str) else noise.Discrete(tuple(law))
        return Process(**{**body, "noise": made})


class DiffusionModel(DenoisingModel):
    """A fitted diffusion model; `process` says what its network has learned."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.process = Process.restored(self.facts["process"])
        self.levels = (self.process.noise.lowest, self.process.noise.highest)

    def denoiser(self) -> Denoiser:
        """The estimate of a record from its noisy form that the sampler uses, guided where `sampling` says so, and extrapolated
        away from an auxiliary where there is one."""
        plain = self._of(self.process.denoiser)
        if not self.guidance:
            return plain
        above, up_to = self.sampling.guidance_interval or (0.0, math.inf)
        rate = self.sampling.guidance_decay
        return Guided(
            plain,
            self.guidance,
            null=self.null or 0,
            above=above,
            up_to=None if up_to == math.inf else up_to,
            schedule=Decaying(rate, self.ladder().tolist()) if rate else None,
        )

    @property
    def sampler(self) -> str:
        """The sampler's name."""
        chain = isinstance(self.process.noise, noise.Discrete)
        return self.sampling.sampler or usual(chain, self.process.learned_variance)

    def ladder(self) -> Tensor:
        """The levels (steps + 1,) that the sampler walks down."""
        return ladder_of(self.process.noise, self.sampler, self.sampling.steps, self.facts["spacing"])

    def way(self) -> tuple[Sampler, Tensor, float]:
        """The sampler, the levels (steps + 1,) that it walks down, and the standard deviation of what it begins with."""
        chain = isinstance(self.process.noise, noise.Discrete)
        asked, name = self.sampling, self.sampler
        settings: dict[str, Any] = {k: v for k in ("eta", "churn") if (v := getattr(asked, k)) is not None}
        if name == "ancestral" and self.process.learned_variance:
            settings["variance"] = "learned"
        if chain and self.facts["clip"]:
            settings["clip"] = (-1.0, 1.0)
        sampler = make_sampler(name, **settings)
        law, ladder = self.process.noise, self.ladder()
        scale = float((1 + ladder[0] ** 2).sqrt() if law.preserving else ladder[0])
        return sampler, ladder, scale

    def decode(self, z: Tensor, label: Tensor | None, draw: Draw, see: See | None = None) -> Tensor:
        sampler, ladder, scale = self.way()
        start = state = State(z * scale)
        denoise = self._watched(self.denoiser(), self.process.denoiser)
        for state in sampler.states(denoise, start, ladder, draw, label):
            if see is not None and state.x0 is not None:
                see(state.x0)
        return state.y

    def published(self) -> dict[str, Any]:
        process = self.process
        if not isinstance(process.noise, noise.Discrete):
            return super().published()
        spacing = self.facts["spacing"]
        return {
            **processes.schedule_of(process.noise.betas),
            "prediction": "v_prediction" if process.prediction == "v" else process.prediction,
            "variance": "learned_range" if process.learned_variance else "fixed_small",
            "clip_sample": self.facts["clip"],
            "timestep_spacing": "trailing" if spacing == "quadratic" else spacing,
        }


def law_of(name: str, timesteps: int) -> noise.NoiseLaw:
    """The noise law of that name; a chain of so many steps."""
    chains = {"linear": noise.linear, "cosine": noise.cosine}
    return chains[name](timesteps) if name in chains else CONTINUOUS[name]()


def ladder_of(law: noise.NoiseLaw, name: str, steps: int | None, spacing: noise.Spacing) -> Tensor:
    """The levels that the sampler called `name` walks down, in so many steps where that is said."""
    if isinstance(law, noise.Discrete) and name in ("ancestral", "ddim"):
        return law.timestep_ladder(steps or min(STEPS[name] or law.timesteps, law.timesteps), spacing)
    return law.ladder(steps or STEPS[name] or 50)


def usual(chain: bool, learned_variance: bool) -> str:
    """The sampler where none is asked for."""
    return "ancestral" if learned_variance else "ddim" if chain else "heun"


@dataclass(frozen=True)
class _Objective:
    """Denoising at random levels."""

    records: RecordsToLearn
    process: Process
    bin_width: float

    @property
    def size(self) -> int:
        return len(self.records)

    def batch(self, rows: np.ndarray, generator: torch.Generator) -> Sequence[Tensor | None]:
        x, label, weight = self.records.rows(rows, generator)
        sigma = self.process.noise.draw(len(x), generator)
        n = torch.randn(x.shape, generator=generator, device=x.device)
        return x, sigma, n, label, weight

    def loss(self, net: nn.Module, *batch: Tensor | None) -> Tensor:
        x, sigma, n, label, weight = batch
        assert x is not None and sigma is not None and n is not None
        p = self.process
        each, output = errors(net, p.noise, p.prediction, x, sigma, n, label, p.data_scale)
        if p.learned_variance and isinstance(p.noise, noise.Discrete):
            level = along(sigma, x)
            y = x + level * n
            mean, fraction = output.float().chunk(2, dim=1)
            denoised = (y - level * mean.detach()).clamp(-1, 1)
            term = learned_variance.bound(p.noise, x, y, denoised, (fraction + 1) / 2, sigma, self.bin_width)
            each = each + learned_variance.WEIGHT * p.noise.timesteps * term
        return each if weight is None else weight * each


@dataclass(frozen=True, kw_only=True)
class Diffusion(DenoisingLearner):
    """Denoising diffusion on pictures or vectors, with every process of the field behind one interface."""

    citation: ClassVar[tuple[str, ...]] = (
        "Ho, Jain and Abbeel (2020), Denoising diffusion probabilistic models, NeurIPS, arXiv 2006.11239",
        "Karras, Aittala, Aila and Laine (2022), Elucidating the design space of diffusion-based generative models, "
        "NeurIPS, arXiv 2206.00364",
    )
    sampling_keys: ClassVar[frozenset[str]] = frozenset(
        {
            "bias",
            "guidance",
            "guidance_decay",
            "guidance_interval",
            "sampler",
            "steps",
            "eta",
            "churn",
        }
    )
    model: ClassVar[type[DenoisingModel]] = DiffusionModel

    noise: Literal["edm", "linear", "cosine", "vp", "ve"] = "edm"
    """The levels the network learns at: edm (log-normal), the linear or cosine chain of DDPM, or the continuous
    variance-preserving and -exploding laws."""
    prediction: Literal["auto", "epsilon", "v", "sample"] = "auto"
    """What the network predicts; auto: what the noise law's paper does."""
    timesteps: int = 1000
    """Steps of the linear and cosine chains."""
    learned_variance: bool = False
    """Learn the steps' variances too (improved DDPM); chains with epsilon only."""
    spacing: Literal["trailing", "leading", "linspace", "quadratic"] = "trailing"
    """Which steps of a chain a shorter sampler takes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(self.timesteps, "learner.timesteps", least=2)
        if self.learned_variance and not (self.noise in CHAINS and self.prediction in ("auto", "epsilon")):
            raise SpecError(
                "learner.learned_variance needs learner.noise linear or cosine, and learner.prediction epsilon"
            )
        if self.prediction != "auto" and self.noise == "ve":
            raise SpecError(
                "learner.prediction goes with variance-preserving noise; with learner.noise ve leave it auto"
            )

    @property
    def out_channels(self) -> int:
        return 2 if self.learned_variance else 1

    def process(self, space: RecordSpace) -> Process:
        """What a network learns from scratch, for records of this space."""
        prediction: Any = self.prediction
        if prediction == "auto":
            prediction = {"edm": "edm", "ve": "noise_level"}.get(self.noise, "epsilon")
        scale = 0.5 if isinstance(space, Pictures) else 1.0
        return Process(law_of(self.noise, self.timesteps), prediction, scale, self.learned_variance)

    def facts(self, space: RecordSpace) -> dict[str, Any]:
        return {
            "process": self.process(space).body(),
            "spacing": self.spacing,
            "clip": isinstance(space, Pictures),
        }

    def objective(self, records: RecordsToLearn, facts: Mapping[str, Any]) -> _Objective:
        space = records.space
        levels = space.high - space.low if isinstance(space, Pictures) else 255.0
        return _Objective(records, Process.restored(facts["process"]), 2 / levels)

    def facts_from(self, published: Mapping[str, Any]) -> dict[str, Any]:
        if "timesteps" not in published:
            return super().facts_from(published)
        known = processes.chain(published)
        process = Process(
            noise.Discrete(tuple(processes.betas(known).tolist())),
            "v" if known["prediction"] == "v_prediction" else known["prediction"],
            learned_variance=known["variance"] == "learned_range",
        )
        return {
            "process": process.body(),
            "spacing": known["timestep_spacing"],
            "clip": known["clip_sample"],
        }

    def estimates(self, sampling: Sampling) -> int | None:
        name = sampling.sampler or usual(self.noise in CHAINS, self.learned_variance)
        return len(ladder_of(law_of(self.noise, self.timesteps), name, sampling.steps, self.spacing)) - 1

    def evaluations(self, sampling: Sampling) -> float:
        name = sampling.sampler or usual(self.noise in CHAINS, self.learned_variance)
        steps = sampling.steps or STEPS[name] or self.timesteps
        return make_sampler(name).evaluations(steps) * (2 if is_guided(sampling) else 1)

    def check_sampling(self, sampling: Sampling) -> None:
        super().check_sampling(sampling)
        if sampling.sampler is not None and sampling.sampler not in SAMPLERS:
            raise SpecError(f"sampling.sampler is '{sampling.sampler}'{nearest(sampling.sampler, SAMPLERS)}")
        name = sampling.sampler or usual(self.noise in CHAINS, self.learned_variance)
        for key in ("eta", "churn"):
            if getattr(sampling, key) is not None and key not in SAMPLERS[name].settings():
                would = [n for n, entry in SAMPLERS.items() if key in entry.settings()]
                raise SpecError(
                    f"sampling.{key} is not for sampler {name}; those that take it: {', '.join(would)}"
                )
        if self.noise in CHAINS and name in ("ancestral", "ddim") and (sampling.steps or 1) > self.timesteps:
            raise SpecError(
                f"sampling.steps is {sampling.steps}, but the chain has learner.timesteps = {self.timesteps} to choose from"
            )
