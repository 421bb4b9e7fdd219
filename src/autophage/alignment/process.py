"""Reward alignment as a process: generation g stands after g updates, each by a rollout of the model that it changed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from autophage.alignment import base as bases
from autophage.alignment.credit import METHODS, advantages
from autophage.alignment.fidelity import fidelity
from autophage.alignment.policy import Policy, Rollout, roll_out
from autophage.alignment.update import Update, Updated, adam, kl_to_base, moments, resume, update
from autophage.alignment.weights import CONVENTIONS, Steps, Weights, even, reshaped
from autophage.curation.rewards import Reward, reward_of, written
from autophage.data.arguments import not_negative, one_of, positive, whole_number
from autophage.errors import DataError, SpecError
from autophage.keys import Key
from autophage.metrics.features import fitted, training_records
from autophage.metrics.frechet import Frechet
from autophage.metrics.intervals import exact, mean
from autophage.metrics.modes import ModeMap
from autophage.parts import Compared, Measurement
from autophage.processes.process import Finding, Process, Shown, Stepped

if TYPE_CHECKING:
    import polars

    from autophage.report.page import Exhibit, Gallery

SHOWN = 64
"""Records that a gallery keeps."""
FEWEST = 8
"""Records that fidelity is measured on, at least."""
FRONTIER = "A thin line is one replicate from generation 0 on, a thick one the mean where all have had the same reward."
LOST = 0.8
"""Diversity below this share of the base's is diversity lost."""


@dataclass(frozen=True)
class Arm:
    """Where one method stands."""

    weights: Mapping[str, Tensor]
    moments: Mapping[str, Tensor]
    rollout: Rollout | None
    """Of these weights; None where it must be drawn again."""
    reached: int = -1
    """The generation in which the target was reached; -1 before."""
    rows: Mapping[str, Compared] = field(default_factory=dict)
    """What was measured last."""
    shown: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))


@dataclass(frozen=True)
class State:
    """Where a replicate stands."""

    generation: int
    """The generation that the next step measures."""
    key: Key
    base: bases.Base
    reference: np.ndarray
    """(m, d) the base's own samples."""
    arms: Mapping[str, Arm]


@dataclass(frozen=True, kw_only=True)
class Alignment(Process):
    """Aligns a generator with a reward by policy gradient on its own samples, and watches what that costs in fidelity
    and diversity. Several methods begin with the same model and draw the same noise."""

    citation: ClassVar[tuple[str, ...]] = (
        "Lee and Ye (2026), PCPO: proportionate credit policy optimization for aligning image generation models, ICLR, "
        "arXiv 2509.25774",
        "Black, Janner, Du, Kostrikov and Levine (2024), Training diffusion models with reinforcement learning, ICLR, "
        "arXiv 2305.13301",
    )
    nested: ClassVar[Mapping[str, str]] = {"data": "data", "learner": "learner"}
    about: ClassVar[str] = "Reward alignment"
    directions: ClassVar[Mapping[str, str]] = {
        "reward": "higher",
        "frechet_to_base": "lower",
        "diversity": "higher",
        "precision": "higher",
        "recall": "higher",
        "effective_modes": "higher",
        "kl_to_base": "lower",
    }

    data: Any = "eight_gaussians"
    """The real records: what the base model is trained on, or a mixture of Gaussians whose exact score is the base."""
    learner: Any = None
    """What generates: diffusion or flow_matching with their settings, or text_to_image with a checkpoint (LoRA); the
    exact score of the data's law unless given."""
    checkpoint: str | None = None
    """Where the base model is, as `initial_model.checkpoint` of a loop has it; unless given it is trained first."""
    training: int = 2000
    """Records that it is trained on, where the data are a law without end."""
    reward: Any = None
    """What is rewarded: a kind (distance, linear, class_probability, brightness, jpeg_size), a mapping with kind and
    its settings, or module:function of records."""
    method: str | tuple[str, ...] = "ppo"
    """ppo, grpo, base, pcpo-sigma or pcpo-loss; or a list of them, which become arms."""
    samples: int = 256
    """Samples of a rollout."""
    group: int | None = None
    """Samples that share a prompt or a class, and are compared with each other; all of them where nothing is told, else 8."""
    prompts: tuple[str, ...] = ()
    """Captions to paint, for text_to_image."""
    guidance: float = 0.0
    """Weight of classifier-free guidance while sampling, for text_to_image."""
    steps: int = 12
    """Steps of a walk."""
    betas: tuple[float, float] = (0.03, 0.45)
    """First and last beta of the chain beside an exact score."""
    last_noise: float | None = None
    """Noise of a last step that ends without any; without it that step is not trained."""
    flow_noise: float = 0.3
    """sigma of a flow's stochastic equation, or its level."""
    flow_law: Literal["constant", "root"] = "constant"
    """Whether sigma is constant or goes as sqrt(t / (1 - t))."""
    shift: float = 1.0
    """Shift of a flow's times: above 1 more steps are near noise."""
    clip: float = 0.1
    """xi, the half width of the range that a ratio may leave its start by."""
    learning_rate: float = 1e-3
    """Of Adam."""
    passes: int = 2
    """Passes over a rollout."""
    minibatches: int = 2
    """Optimiser steps of a pass."""
    kl: float = 0.0
    """Weight of the KL divergence from the base model in the loss."""
    gradient_clip: float | None = None
    """Largest gradient norm; none unless given."""
    convention: Literal["std", "var"] = "std"
    """What even credit makes equal: C/sigma or C/sigma^2."""
    weight: float | None = None
    """w*, the even weight; the mean native one unless given."""
    infeasible: Literal["error", "keep-native"] = "error"
    """What becomes of a step whose noise cannot be reshaped to w*, for pcpo-sigma."""
    target: float | None = None
    """The mean reward at which methods are compared."""
    at_target: Literal["go_on", "rest"] = "go_on"
    """Whether a method that has reached the target goes on, or rests and carries its numbers forward."""
    features: str = "pixels"
    """The space in which records are compared with the base's, as metrics name it."""
    components: int = 16
    """Principal components, for `features: pca`."""
    reference: int = 1000
    """The base's own samples that records are compared with."""
    width: int = 64
    """Units of the network beside an exact score."""
    at_once: int | None = None
    """Steps of samples that pass through the network together: 4096 beside an exact score, 256 of a learner's, 4 of a pipeline's
    unless given."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("steps", "passes", "minibatches", "width", "at_once"):
            if key != "at_once" or self.at_once is not None:
                whole_number(getattr(self, key), f"process.{key}", least=1)
        for key, least in (("samples", FEWEST), ("reference", FEWEST), ("training", 10)):
            whole_number(getattr(self, key), f"process.{key}", least=least)
        for key in ("clip", "learning_rate", "shift", "flow_noise"):
            positive(getattr(self, key), f"process.{key}")
        for key in ("last_noise", "weight", "gradient_clip"):
            if getattr(self, key) is not None:
                positive(getattr(self, key), f"process.{key}")
        not_negative(self.kl, "process.kl")
        not_negative(self.guidance, "process.guidance")
        one_of(self.convention, "process.convention", CONVENTIONS)
        one_of(self.infeasible, "process.infeasible", ("error", "keep-native"))
        one_of(self.flow_law, "process.flow_law", ("constant", "root"))
        one_of(self.at_target, "process.at_target", ("go_on", "rest"))
        for key in ("method", "prompts", "betas"):
            if isinstance(getattr(self, key), list):
                object.__setattr__(self, key, tuple(getattr(self, key)))
        if not self.agents or len(set(self.agents)) < len(self.agents):
            raise SpecError("process.method must name one method, or several different ones")
        for name in self.agents:
            one_of(name, "process.method", METHODS)
        if not (len(self.betas) == 2 and 0 < self.betas[0] <= self.betas[1] < 1):
            raise SpecError(
                f"process.betas is {list(self.betas)}; it must be two numbers between 0 and 1, the smaller first"
            )
        if self.reward is None:
            raise SpecError("process.reward is missing: say what is rewarded, such as {kind: brightness}")
        object.__setattr__(self, "reward", written(self._reward))
        if self.size_of_group < 2:
            raise SpecError(
                "process.group is 1; a sample alone cannot be compared with anything, so take 2 or more"
            )
        if self.samples % self.size_of_group:
            raise SpecError(
                f"process.samples is {self.samples}, which is no multiple of process.group = {self.size_of_group}"
            )
        if self.at_target == "rest" and self.target is None:
            raise SpecError(
                "process.at_target is rest, and process.target is missing: say at which mean reward"
            )
        if self.learner is None and self.checkpoint is not None:
            raise SpecError("process.checkpoint needs process.learner: the learner whose model it holds")

    @cached_property
    def _reward(self) -> Reward:
        return reward_of(self.reward, "process.reward")

    @property
    def agents(self) -> tuple[str, ...]:
        return (self.method,) if isinstance(self.method, str) else tuple(self.method)

    @property
    def is_pipeline(self) -> bool:
        """Whether the generator is a pipeline of diffusers."""
        return getattr(self.learner, "needs_captions", False) and bool(
            getattr(self.learner, "checkpoint", None)
        )

    @property
    def _at_once(self) -> int:
        return self.at_once or (4096 if self.learner is None else 4 if self.is_pipeline else 256)

    @property
    def size_of_group(self) -> int:
        told = bool(self.prompts) or getattr(self.learner, "labels", "ignore") == "use"
        return self.group if self.group is not None else 8 if told else self.samples

    @property
    def verdict(self) -> Mapping[str, Any]:  # type: ignore[override]
        name = self._space().space
        return {"risk": f"frechet_to_base_{name}", "diversity": f"diversity_{name}"}

    def _space(self) -> Frechet:
        """What metrics know of the feature space."""
        return Frechet(features=self.features, components=self.components)

    def check(self) -> None:
        from autophage.learners.diffusion import Diffusion
        from autophage.learners.flow_matching import FlowMatching

        if self.learner is None and not bases.is_mixture(self.data.truth):
            raise SpecError(
                "process.learner is missing; without one the data's law must be a mixture of Gaussians, such as eight_gaussians"
            )
        self._reward.check(self.data, "process.reward")
        self._space().check(self.data)
        if not (
            self.learner is None or self.is_pipeline or isinstance(self.learner, Diffusion | FlowMatching)
        ):
            raise SpecError(
                "process.learner must be of kind diffusion, flow_matching, or text_to_image with a checkpoint"
            )
        if isinstance(self.learner, FlowMatching) and "pcpo-sigma" in self.agents:
            raise SpecError(
                "process.method pcpo-sigma reshapes the noise of DDIM; for flow_matching take pcpo-loss"
            )
        if self.is_pipeline != bool(self.prompts):
            raise SpecError(
                "process.prompts is missing: the captions that text_to_image paints"
                if self.is_pipeline
                else "process.prompts is for text_to_image with a checkpoint; leave it out"
            )
        planned = bases.planned(self)
        if planned is not None:
            self._methods_fit(planned)

    def _methods_fit(self, steps: Steps) -> None:
        for name in self.agents:
            self._walk(steps, name)

    def _walk(self, steps: Steps, name: str) -> Steps:
        """The steps that a method takes."""
        if name != "pcpo-sigma":
            return steps
        drawing = steps.trained
        found, _ = reshaped(steps.only(drawing), self.weight, self.convention, self.infeasible)
        held = {}
        for key in ("noise", "gain", "spread"):
            values = getattr(steps, key).copy()
            values[drawing] = getattr(found, key)
            held[key] = values
        return Steps(steps.kind, steps.before, steps.after, **held)

    def _weights(self, steps: Steps, name: str) -> np.ndarray:
        """(T,) what a method forms log rho with; 0 where a step draws nothing."""
        found, drawing = np.zeros(len(steps)), steps.trained
        some = steps.only(drawing)
        found[drawing] = (
            even(some, self.weight, self.convention) if name == "pcpo-loss" else Weights.of(some).std
        )
        return found

    def start(self, key: Key) -> State:
        base = bases.begun(self, key)
        policy = base.policy
        self._methods_fit(policy.steps)
        first = policy.weights()
        reference = self._drawn(base, policy, self.reference, key / "reference")
        arms = {name: Arm(first, {}, None) for name in self.agents}
        return State(0, key, base, reference, arms)

    def _drawn(self, base: bases.Base, policy: Policy, n: int, key: Key) -> np.ndarray:
        """n records of the policy as it is."""
        size = self.samples
        parts = []
        for i in range(0, n, size):
            told, group = base.told(self, key / i / "told")
            parts.append(roll_out(policy, size, key / i, told, group, at_once=self._at_once).records)
        return np.concatenate(parts)[:n]

    def step(self, state: State, key: Key) -> Stepped:
        arms, measured, shown = {}, {}, {}
        g = state.generation
        for name, arm in state.arms.items():
            policy = state.base.policy.walking(self._walk(state.base.policy.steps, name))
            if not (self.at_target == "rest" and arm.reached >= 0):
                arm = self._stepped(state, policy, name, arm)
            arms[name] = arm
            measured[name] = [
                Measurement(m, np.array([c.value]), np.array([c.low]), np.array([c.high]), c.n)
                for m, c in arm.rows.items()
            ]
            shown[name] = self._shown(arm.shown)
        return Stepped(State(g + 1, state.key, state.base, state.reference, arms), measured, shown)

    def _stepped(self, state: State, policy: Policy, name: str, arm: Arm) -> Arm:
        """One arm's next generation: an update by the rollout it stands at, and a new rollout."""
        g = state.generation
        policy.load(arm.weights)
        went: Updated | None = None
        held = arm.moments
        if g:
            rollout = arm.rollout or self._rolled(state, policy, g - 1)
            optimiser = adam(policy, self.learning_rate)
            if arm.moments:
                resume(optimiser, arm.moments)
            how = Update(
                name,
                self._weights(policy.steps, name),
                self.clip,
                self.passes,
                self.minibatches,
                self.kl,
                self.gradient_clip,
                self._at_once,
            )
            went = update(policy, rollout, how, optimiser, state.key / "update" / g)
            held = moments(optimiser)
        rollout = self._rolled(state, policy, g)
        rows = self._rows(state, policy, rollout, went)
        reached = arm.reached
        if reached < 0 and self.target is not None and rows["reward"].value >= self.target:
            reached = g
        if self.target is not None:
            rows["reached_target"] = exact(float(reached >= 0))
            rows["epochs_to_target"] = exact(float(reached if reached >= 0 else g))
        return Arm(policy.weights(), held, rollout, reached, rows, rollout.records[:SHOWN])

    def _rolled(self, state: State, policy: Policy, g: int) -> Rollout:
        """The rollout of generation g, of the policy as it is: equal whenever it is drawn."""
        key = state.key / "rollout" / g
        told, group = state.base.told(self, key / "told")
        found = roll_out(policy, self.samples, key, told, group, at_once=self._at_once)
        reward = np.asarray(self._reward.score(self.data, self._memo)(found.records), np.float64)
        found = replace(found, reward=reward)
        advantages(found.reward, found.group)  # too many that are no numbers end it here
        return found

    def _rows(
        self, state: State, policy: Policy, rollout: Rollout, went: Updated | None
    ) -> dict[str, Compared]:
        usable = np.isfinite(rollout.reward)
        name = self._space().space
        rows = {"reward": mean(rollout.reward[usable])}
        rows |= fidelity(rollout.records, state.reference, name, self._features, self._modes)
        rows["kl_to_base"] = mean(kl_to_base(policy, rollout, self._at_once))
        rows["rewards_dropped"] = exact(float((~usable).sum()), len(usable))
        if went is None and bases.planned(self) is None:
            # Not known before there is a model, so not among the facts.
            for name, w in vars(Weights.of(policy.steps.only(policy.steps.trained))).items():
                for what, number in (("least", w.min()), ("mean", w.mean()), ("largest", w.max())):
                    rows[f"native_weight_{name}_{what}"] = exact(float(number))
        if went is not None:
            rows["clipped"] = exact(float(went.clipped.mean()))
            width = len(str(len(policy.steps)))
            rows |= {
                f"clipped_step_{i + 1:0{width}}": exact(float(share))
                for i, share in zip(rollout.at, went.clipped, strict=True)
            }
        return rows

    def _features(self, flat: np.ndarray) -> np.ndarray:
        return fitted(
            self._memo, self.features, lambda: training_records(self.data), components=self.components
        )(flat)

    @cached_property
    def _modes(self) -> ModeMap | None:
        law = self.data.truth
        if not bases.is_mixture(law):
            return None
        return ModeMap.of_mixture(law.weights[0], law.means[0], law.covariances[0])

    @cached_property
    def _memo(self) -> dict:
        return {}

    def arrays(self, state: State) -> dict[str, np.ndarray]:
        found = {"generation": np.array(state.generation), "reference": state.reference}
        found |= {f"base/{k}": v for k, v in state.base.stored.items()}
        for name, arm in state.arms.items():
            for group, tensors in (("net", arm.weights), ("adam", arm.moments)):
                found |= {f"arm/{name}/{group}/{k}": v.numpy() for k, v in tensors.items()}
            rows = json.dumps({m: [c.value, c.low, c.high, c.n] for m, c in arm.rows.items()})
            found |= {
                f"arm/{name}/reached": np.array(arm.reached),
                f"arm/{name}/shown": arm.shown,
                f"arm/{name}/rows": np.frombuffer(rows.encode(), np.uint8),
            }
        return found

    def restored(self, arrays: Mapping[str, np.ndarray], key: Key) -> State:
        base = bases.restored(self, _below(arrays, "base/"), key)
        arms = {}
        for name in self.agents:
            own = _below(arrays, f"arm/{name}/")
            rows = json.loads(np.asarray(own["rows"], np.uint8).tobytes())
            arms[name] = Arm(
                {k: torch.from_numpy(v.copy()) for k, v in _below(own, "net/").items()},
                {k: torch.from_numpy(np.array(v)) for k, v in _below(own, "adam/").items()},
                None,
                int(own["reached"]),
                {m: Compared(*values) for m, values in rows.items()},
                own["shown"],
            )
        return State(int(arrays["generation"]), key, base, arrays["reference"], arms)

    def model(self, state: State, agent: str | None = None) -> Any:
        """The aligned model of an arm: what samples, stores and publishes as the base model does. Raises `SpecError`
        where the base is an exact score."""
        policy = state.base.policy
        if not hasattr(policy, "aligned"):
            raise SpecError("an exact score has no model to hand out; name a process.learner")
        policy.load(state.arms[agent or self.agents[0]].weights)
        return policy.aligned()

    def findings(self, metrics: polars.DataFrame) -> list[Finding]:
        from autophage.alignment.frontier import findings

        return findings(metrics, self.target, LOST)

    def exhibits(self, metrics: polars.DataFrame) -> list[Exhibit]:
        """The frontier: what each method's reward costs in fidelity, and in diversity."""
        from autophage.alignment.frontier import drawn
        from autophage.report.page import Exhibit

        found = []
        for row, title in (
            (self.verdict["risk"], "Reward against distance from the base"),
            (self.verdict["diversity"], "Reward against diversity"),
        ):
            with contextlib.suppress(DataError):
                found.append(Exhibit(title, drawn(metrics, row, agents=self.agents), FRONTIER))
        return found

    def _shown(self, x: np.ndarray) -> Shown:
        shape = tuple(self.data.shape)
        return Shown(np.asarray(x).reshape(len(x), *shape))

    def gallery(self, agent: str, shown: Mapping[int, Shown]) -> Gallery | None:
        from autophage.report.page import Gallery

        if not shown or not (self.data.kind_of_picture == "image" or self.data.dim == 2):
            return None
        pictures = self.data.kind_of_picture == "image"
        return Gallery(
            "images" if pictures else "clouds",
            list(shown),
            np.stack([s.x for s in shown.values()]),
            value_range=self.data.value_range if pictures else None,
            caption="One generation is one update by the samples before it; generation 0 is the model before alignment.",
        )

    def facts(self) -> list[tuple[str, Any]]:
        found: list[tuple[str, Any]] = [
            ("samples of a rollout", f"{self.samples:,} in groups of {self.size_of_group:,}"),
            ("steps of a walk", self.steps),
            ("clip range", self.clip),
            ("learning rate", self.learning_rate),
            ("features", self.features),
        ]
        steps = bases.planned(self)
        if steps is not None:
            lines = Weights.of(steps.only(steps.trained)).lines()
            found += [(f"native {name}, least / mean / largest", said) for name, said in lines]
        return found


def _below(arrays: Mapping[str, np.ndarray], before: str) -> dict[str, np.ndarray]:
    return {k.removeprefix(before): v for k, v in arrays.items() if k.startswith(before)}
