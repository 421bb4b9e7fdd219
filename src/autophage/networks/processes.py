"""What a checkpoint says of the process its network has learned, and how diffusers says it.

Facts are plain data. Of a chain x_k = sqrt(abar_k) x0 + sqrt(1 - abar_k) n, abar_k = prod_{i <= k} (1 - beta_i):

| key | values | in `scheduler_config.json` |
|---|---|---|
| timesteps | T | num_train_timesteps |
| schedule | linear: beta evenly spaced from beta_start to beta_end | beta_schedule |
| | scaled_linear: sqrt(beta) evenly spaced | |
| | cosine: equation 17 of Nichol and Dhariwal (2021), beta at most .999 | squaredcos_cap_v2 |
| | betas: the list under `betas` | trained_betas |
| prediction | epsilon (n), v_prediction (sqrt(abar) n - sqrt(1 - abar) x0), sample (x0) | prediction_type |
| variance | of an ancestral step: fixed_small, fixed_large, or learned_range (a second half of the output) | variance_type |
| clip_sample | estimates of x0 are cut to [-1, 1] while sampling | clip_sample |
| timestep_spacing | which steps a shorter sampler takes: trailing, leading, linspace | timestep_spacing |

Facts without `timesteps` are those of another process (EDM, flow matching): kept as they are, unknown to diffusers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from autophage.data.arguments import not_negative, positive, vector, whole_number
from autophage.diffusion.noise import cosine
from autophage.errors import SpecError

SCHEDULES = {
    "linear": "linear",
    "scaled_linear": "scaled_linear",
    "cosine": "squaredcos_cap_v2",
    "betas": "trained_betas",
}
"""Our names of the schedules, and those of diffusers."""
CHOICES = {
    "schedule": tuple(SCHEDULES),
    "prediction": ("epsilon", "v_prediction", "sample"),
    "variance": ("fixed_small", "fixed_large", "learned_range"),
    "timestep_spacing": ("trailing", "leading", "linspace"),
}
USUAL: dict[str, Any] = {
    "schedule": "linear",
    "prediction": "epsilon",
    "variance": "fixed_small",
    "clip_sample": False,
    "timestep_spacing": "trailing",
}
ENDS = {"beta_start": 1e-4, "beta_end": 0.02}
OF_CHAINS = (
    "DDPMScheduler",
    "DDPMParallelScheduler",
    "DDIMScheduler",
    "DDIMParallelScheduler",
    "PNDMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "UniPCMultistepScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "LMSDiscreteScheduler",
)
"""Schedulers of diffusers that sample from a network which has learned a chain."""


def chain(process: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a chain, what is not said filled in. Raises `SpecError` where they do not hold together.

    >>> chain({"timesteps": 100})["beta_end"]
    0.02
    """
    whole_number(process.get("timesteps"), "process.timesteps", least=1)
    facts = {"timesteps": int(process["timesteps"]), **USUAL, **process}
    for key, known in CHOICES.items():
        if facts[key] not in known:
            raise SpecError(f"process.{key} is {facts[key]!r}; it must be one of: {', '.join(known)}")
    if not isinstance(facts["clip_sample"], bool):
        raise SpecError(f"process.clip_sample is {facts['clip_sample']!r}; it must be true or false")
    schedule = facts["schedule"]
    more: tuple[str, ...] = ()
    if schedule in ("linear", "scaled_linear"):
        more = tuple(ENDS)
        facts = {**ENDS, **facts}
        for key in more:
            not_negative(facts[key], f"process.{key}")
        positive(facts["beta_end"], "process.beta_end")
        if facts["beta_start"] >= 1 or facts["beta_end"] >= 1:
            raise SpecError("process.beta_start and process.beta_end must lie below 1")
    elif schedule == "betas":
        more = ("betas",)
        given = vector(facts.get("betas", ()), "process.betas")
        if len(given) != facts["timesteps"] or not ((given > 0) & (given < 1)).all():
            raise SpecError(
                f"process.betas holds {len(given)} numbers; {facts['timesteps']} (process.timesteps) in (0, 1) are needed"
            )
        facts["betas"] = given.tolist()
    known_keys = ("timesteps", *USUAL, *more)
    for key in facts:
        if key not in known_keys:
            raise SpecError(
                f"process.{key} is not known with schedule {schedule}; known are: {', '.join(known_keys)}"
            )
    return facts


def betas(process: Mapping[str, Any]) -> np.ndarray:
    """beta (T,) of a chain's facts, float64.

    >>> betas({"timesteps": 3, "beta_start": 0.1, "beta_end": 0.3}).round(6).tolist()
    [0.1, 0.2, 0.3]
    """
    facts = chain(process)
    T, schedule = facts["timesteps"], facts["schedule"]
    if schedule == "betas":
        return np.array(facts["betas"])
    if schedule == "cosine":
        return np.array(cosine(T).betas)
    power = 1.0 if schedule == "linear" else 0.5
    return np.linspace(facts["beta_start"] ** power, facts["beta_end"] ** power, T) ** (1 / power)


def schedule_of(betas: Any) -> dict[str, Any]:
    """The facts that say these betas (T,): by the schedule's name where they are a known one's, else one by one.

    >>> schedule_of([0.1, 0.2, 0.3])
    {'timesteps': 3, 'schedule': 'linear', 'beta_start': 0.1, 'beta_end': 0.3}
    """
    given = vector(betas, "betas")
    T = len(given)
    ends = {"beta_start": float(given[0]), "beta_end": float(given[-1])}
    if np.allclose(given, np.linspace(given[0], given[-1], T), rtol=1e-10, atol=0):
        return {"timesteps": T, "schedule": "linear", **ends}
    if np.allclose(given, cosine(T).betas, rtol=1e-10, atol=0):
        return {"timesteps": T, "schedule": "cosine"}
    return {"timesteps": T, "schedule": "betas", "betas": given.tolist()}


def to_scheduler(process: Mapping[str, Any]) -> dict[str, Any]:
    """What a `DDIMScheduler` of diffusers is made with, or with a learned variance a `DDPMScheduler`. The last level of a
    sampler is sigma = 0 (set_alpha_to_one)."""
    facts = chain(process)
    config: dict[str, Any] = {
        "num_train_timesteps": facts["timesteps"],
        "prediction_type": facts["prediction"],
        "clip_sample": facts["clip_sample"],
        "timestep_spacing": facts["timestep_spacing"],
    }
    if facts["schedule"] == "betas":
        config["trained_betas"] = facts["betas"]
    else:
        config["beta_schedule"] = SCHEDULES[facts["schedule"]]
        config |= {key: facts[key] for key in ENDS if key in facts}
    if facts["variance"] == "learned_range":
        return config | {"variance_type": "learned_range"}
    return config | {"set_alpha_to_one": True, "steps_offset": 0}


def from_scheduler(config: Mapping[str, Any]) -> dict[str, Any]:
    """The facts that a `scheduler_config.json` states; what it leaves out is as diffusers has it. What only concerns one
    solver (steps_offset, set_alpha_to_one, orders) is not a fact of the network.

    Raises `SpecError` where the process is no chain of the kind above.
    """
    name = config.get("_class_name")
    if name not in OF_CHAINS:
        raise SpecError(
            f"the checkpoint's scheduler is {name}; only chains of steps (DDPMScheduler, DDIMScheduler and their solvers) "
            "can be continued"
        )
    for key in ("thresholding", "rescale_betas_zero_snr", "use_flow_sigmas"):
        if config.get(key):
            raise SpecError(f"the checkpoint's scheduler sets {key}, which is not supported")
    facts: dict[str, Any] = {
        "timesteps": config.get("num_train_timesteps", 1000),
        "prediction": config.get("prediction_type", "epsilon"),
        "variance": "fixed_large" if "large" in str(config.get("variance_type")) else "fixed_small",
        # Only these two cut by default.
        "clip_sample": config.get("clip_sample", str(name).startswith(("DDPM", "DDIM"))),
        "timestep_spacing": config.get("timestep_spacing", "leading"),
    }
    if str(config.get("variance_type")).startswith("learned"):
        facts["variance"] = config["variance_type"]
    if config.get("clip_sample_range", 1.0) != 1.0 and facts["clip_sample"]:
        raise SpecError("the checkpoint's scheduler sets clip_sample_range, which is not supported")
    if config.get("trained_betas") is not None:
        return chain(facts | {"schedule": "betas", "betas": config["trained_betas"]})
    spoken = config.get("beta_schedule", "linear")
    ours = next((ours for ours, theirs in SCHEDULES.items() if theirs == spoken), None)
    if ours in (None, "betas"):
        raise SpecError(
            f"the checkpoint's beta_schedule is {spoken!r}; known are linear, scaled_linear, squaredcos_cap_v2"
        )
    facts["schedule"] = ours
    if ours != "cosine":
        facts |= {key: config.get(key, usual) for key, usual in ENDS.items()}
    return chain(facts)
