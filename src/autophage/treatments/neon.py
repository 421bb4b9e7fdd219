"""Negative extrapolation from self-training: away from one's own samples in weight space (Alemohammad, Wang and Baraniuk 2026).

    theta = (1 + w) theta_r - w theta_s

theta_r are the fit's weights, theta_s those after a brief training on the fit's own samples. One merge, and no cost in
sampling. Where the population's gradients on synthetic and on real records point against each other, it undoes what training on
own samples does; samplers that seek modes see to that near a good model. For Gaussians: `autophage.theory.extrapolation`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from autophage.errors import FitFailed, SpecError
from autophage.parts import Learner
from autophage.treatments.auxiliary import Extrapolation


@dataclass(frozen=True, kw_only=True)
class Neon(Extrapolation):
    """The fit's weights, moved away from those of a copy that was trained on a little on the fit's own samples; for learners
    of one network (diffusion, flow_matching, vae).

        theta = (1 + strength) theta_fit - strength theta_copy

    Weights that layers share move once; buffers, such as running means, stay the fit's. Averaged weights are meant on both sides,
    as they are what is sampled; a training that goes on goes on from the merged ones. With strength 0 the loop is the plain one,
    bit for bit. The brief training runs at a tenth of the learner's rate unless `learning_rate_factor` says otherwise.

    `strength: auto` takes the strength of the grid whose draws are nearest to the real training records (`treatments.choice`).
    Where the sampler seeks diversity (a temperature above 1), the best strength lies in (-1, 0): `allow_negative` admits it.
    Notes: `strength`, `distance_at_<strength>`, and the costs.

    Raises `SpecError` for a strength below 0 without `allow_negative`, one of -1 or below, fewer than 100 samples, and learners
    without a network; `FitFailed` where a training, a draw or a merged weight is not finite.
    """

    citation: ClassVar[tuple[str, ...]] = (
        "S. Alemohammad, Z. Wang, R. Baraniuk (2026), Neon: negative extrapolation from self-training improves image "
        "generation. ICLR; arXiv 2510.03597",
    )

    name: ClassVar[str] = "neon"
    how_far: ClassVar[str] = "strength"

    strength: float | Literal["auto"] = "auto"
    """w, how far away from the copy's weights: a number, 0 for not at all, or `auto`."""
    learning_rate_factor: float = 0.1
    """Times `learner.learning_rate`, the rate of the brief training."""

    def check(self, learner: Learner, workflow: Any) -> None:
        if not getattr(learner, "has_network", False):
            raise SpecError(
                "treatment neon merges the weights of a network: it takes learner diffusion, flow_matching or vae, not "
                f"{type(learner).__name__.lower()}"
            )

    def moved(self, model: Any, auxiliary: Any, strength: float) -> Any:
        merged = copy.copy(model)
        merged.net = extrapolated_weights(model.net, auxiliary.net, strength)
        merged.last = None  # the weights that a training would go on from are the merged ones
        return merged


def extrapolated_weights(base: Any, auxiliary: Any, strength: float) -> Any:
    """A copy of the network `base` with parameters (1 + strength) base - strength auxiliary, each moved once; buffers are the
    base's. Raises `SpecError` where the two have different parameters, `FitFailed` where one is no longer finite."""
    import torch

    ours, theirs = dict(base.named_parameters()), dict(auxiliary.named_parameters())
    if {k: p.shape for k, p in ours.items()} != {k: p.shape for k, p in theirs.items()}:
        raise SpecError("the base and the auxiliary are different networks; their weights cannot be merged")
    net = copy.deepcopy(base)
    with torch.no_grad():
        for name, weight in net.named_parameters():
            weight.copy_(torch.lerp(theirs[name], ours[name], 1 + strength))
            if not bool(weight.isfinite().all()):
                raise FitFailed(f"the merged weight {name} is not finite at strength {strength:g}")
    return net
