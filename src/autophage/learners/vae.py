"""Variational autoencoders.

    encoder   q(z | x) = N(m(x), diag s(x)^2)        prior  z ~ N(0, I_k)
    decoder   p(x | z) = Bernoulli(p(z)) per pixel, or N(m'(z), sigma^2 I)
    ELBO(x)   E_q log p(x | z) - KL(q | prior),      KL = 1/2 sum_j (s_j^2 + m_j^2 - 1 - log s_j^2)
    fit       minimise  -E_q log p(x | z) + beta KL

(Kingma and Welling 2014; beta: Higgins et al. 2017.) A model is sampled by decoding z ~ N(0, I). Published loops hand on
the decoder's means, which leaves the observation noise out: a linear model then loses sigma^2 of every retained eigenvalue
in each generation (`autophage.theory.ppca`). With `sampling.observation_noise` the noise is put back, and it does not.

Bernoulli pixels are values in [0, 1]; grey ones serve as targets of the cross-entropy, as in the published experiment. It is
then a score and no density, and it rises with greyness, so that losses of a generation that learned decoder means cannot be
compared with those of generation 0.

Published code draws new synthetic records in every training step. Ask for as many as a training sees (`workflow.sample_size`
equal to `learner.records`) and no record is seen twice, which is the same.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from autophage.data.arguments import positive, whole_number
from autophage.errors import DataError, FitFailed, SpecError
from autophage.keys import Key
from autophage.learners.denoising import RecordsToLearn
from autophage.learners.neural import NetworkModel, NeuralLearner, opened
from autophage.learners.record_spaces import Pictures, RecordSpace, Vectors, restored
from autophage.networks.vae_networks import SWIFT, WIDTHS, VaeArchitecture, VaeNetwork
from autophage.parts import Model, Source
from autophage.samples import Samples, chunks

Likelihood = Literal["bernoulli", "gaussian"]

AT_ONCE = 1024
"""Records that pass through the network together when nothing is learned."""
CONVOLVED = 16
"""Pictures whose sides are at least this long get convolutions where nothing is said."""
LOG_TWO_PI = math.log(2 * math.pi)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, diag exp log_variance) | N(0, I)) (n,) in nats.

    >>> divergence(torch.tensor([[1.0, 0.0]]), torch.zeros(1, 2)).tolist()
    [0.5]
    """
    return 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum(dim=1)


def log_likelihood(likelihood: Likelihood, output: Tensor, x: Tensor, log_noise: Tensor | None) -> Tensor:
    """log p(x | z) (n,) in nats, of network inputs x (n, ...) where the decoder said `output`.

    Bernoulli: output are logits, and x in [-1, 1] stands for values (x + 1) / 2. Gaussian: output are means, `log_noise`
    the log variance around them.
    """
    if likelihood == "bernoulli":
        each = -binary_cross_entropy_with_logits(output.float(), (x + 1) / 2, reduction="none")
    else:
        assert log_noise is not None
        each = -0.5 * ((x - output.float()).square() / log_noise.exp() + log_noise + LOG_TWO_PI)
    return each.flatten(1).sum(dim=1)


def units(space: RecordSpace) -> np.ndarray:
    """How much of a record's own units one unit of a network input is: a number, or (d,)."""
    if isinstance(space, Pictures):
        return np.array((space.high - space.low) / 2)
    assert isinstance(space, Vectors)
    return np.array(space.scale)


class VaeModel(NetworkModel):
    """A fitted variational autoencoder; `architecture`, `likelihood` and `space` say what the network has learned.

    Sampled with a bias, latents are from N(0, bias I) (Alemohammad et al. 2024).
    """

    net: VaeNetwork

    def __init__(
        self,
        architecture: VaeArchitecture,
        net: VaeNetwork,
        space: RecordSpace,
        likelihood: Likelihood,
        importance: int,
        *kept: Any,
        **more: Any,
    ) -> None:
        super().__init__(net, space, *kept, **more)
        self.architecture, self.likelihood, self.importance = architecture, likelihood, importance

    @property
    def observation_sd(self) -> np.ndarray | None:
        """Standard deviation of the Gaussian observation noise, in the records' units: a number, or (d,); None with
        Bernoulli pixels."""
        if self.net.log_noise is None:
            return None
        return (0.5 * self.net.log_noise.double()).exp().numpy().ravel().squeeze() * units(self.space)

    def sample(self, n: int, *, key: Key, given: Samples | None = None) -> Samples:
        """n records: the decoder's means, or with `sampling.observation_noise` draws around them.

        Raises `FitFailed` when they are not finite.
        """
        bias = 1.0 if self.sampling.bias is None else self.sampling.bias
        latent, noise = (key / "latent").generator(), (key / "observation").generator()
        out = np.empty((n, math.prod(self.space.shape)), self.space.dtype)
        with self.at_work() as device:
            for low in range(0, n, AT_ONCE):
                high = min(low + AT_ONCE, n)
                z = latent.standard_normal((high - low, self.net.latent), dtype=np.float32) * math.sqrt(bias)
                with self.device.autocast():
                    said = self.net.decode(torch.from_numpy(z).float().to(device)).float()
                if not bool(said.isfinite().all()):
                    raise FitFailed("the model's samples are not finite")
                out[low:high] = self.space.leave(self._observed(said, noise))
        return Samples.of(out)

    def _observed(self, said: Tensor, noise: np.random.Generator) -> Tensor:
        """Network inputs from what the decoder said."""
        noisy = bool(self.sampling.observation_noise)
        if self.likelihood == "bernoulli":
            p = torch.sigmoid(said)
            if noisy:
                p = (torch.from_numpy(noise.random(said.shape, dtype=np.float32)).to(p) < p).float()
            return 2 * p - 1
        if not noisy:
            return said
        assert self.net.log_noise is not None
        drawn = torch.from_numpy(noise.standard_normal(said.shape, dtype=np.float32)).to(said)
        return said + (0.5 * self.net.log_noise).exp() * drawn

    def encode(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Means and standard deviations (n, k) of q(z | x) for records x (n, ...)."""
        parts: list[tuple[np.ndarray, np.ndarray]] = []
        with self.at_work() as device:
            for low in range(0, len(x), AT_ONCE):
                mean, log_variance = self.net.encode(self._entered(x[low : low + AT_ONCE], device))
                parts.append((mean.float().cpu().numpy(), (0.5 * log_variance).exp().float().cpu().numpy()))
        means, sds = zip(*parts, strict=True)
        return np.concatenate(means), np.concatenate(sds)

    def latents(self, x: np.ndarray, *, noise: float = 0.0, key: Key | None = None) -> np.ndarray:
        """The encoder's means (n, k) of records x (n, ...); an autoencoder knows no noise levels."""
        return np.asarray(self.encode(x)[0] if len(x) else np.empty((0, self.net.latent)), dtype=np.float64)

    def elbo(self, x: np.ndarray, key: Key, draws: int = 1) -> np.ndarray:
        """E_q log p(x | z) - KL(q | prior) (n,), in nats per record x (n, ...) and its own units, over `draws` latents each.

        KL in closed form. Of a Gaussian decoder a lower bound on the log density, in expectation over the draws; with
        Bernoulli pixels on the log probability of binary records, and a score of grey ones.
        """
        scores = self._scores(x, key, draws, exact=True)
        return np.mean(scores, axis=0)

    def importance_bound(self, x: np.ndarray, key: Key, draws: int) -> np.ndarray:
        """log of the mean of p(x, z) / q(z | x) over `draws` latents z ~ q(z | x): (n,) in nats per record x (n, ...).

        Status: lower bound on the log density in expectation, which rises with `draws` and tends to it. Source: Burda,
        Grosse and Salakhutdinov (2016), theorem 1.
        """
        scores = self._scores(x, key, draws, exact=False)
        most = scores.max(axis=0)
        return most + np.log(np.exp(scores - most).mean(axis=0))

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """The `importance_bound` (n,) with the learner's `importance` draws, the same for every model and call: a lower
        bound on the log density, not the density itself. Raises `DataError` for grey records where pixels are Bernoulli."""
        if self.likelihood == "bernoulli" and not np.isin(x, self._ends()).all():
            raise DataError(
                "a model of binary pixels has no density on grey ones; take learner.likelihood: gaussian"
            )
        return self.importance_bound(x, Key(0) / "vae" / "importance", self.importance)

    def _ends(self) -> tuple[float, float]:
        if isinstance(self.space, Pictures):
            return self.space.low, self.space.high
        return 0.0, 1.0

    def _scores(self, x: np.ndarray, key: Key, draws: int, exact: bool) -> np.ndarray:
        """log p(x | z) less the divergence, or less log q(z | x) / p(z), for each draw (draws, n)."""
        out = np.empty((draws, len(x)))
        with self.at_work() as device:
            entered = [
                self._entered(x[low : low + AT_ONCE], device).float() for low in range(0, len(x), AT_ONCE)
            ]
            posteriors = [self.net.encode(part) for part in entered]
            for i in range(draws):
                noises = (key / "draw" / i).generator()
                low = 0
                for part, (mean, log_variance) in zip(entered, posteriors, strict=True):
                    drawn = noises.standard_normal((len(part), self.net.latent), dtype=np.float32)
                    noise = torch.from_numpy(drawn).to(mean)
                    z = mean + (0.5 * log_variance).exp() * noise
                    said = self.net.decode(z)
                    score = log_likelihood(self.likelihood, said, part, self.net.log_noise).double()
                    if exact:
                        score -= divergence(mean, log_variance)
                    else:
                        score -= 0.5 * (z.square() - noise.square() - log_variance).sum(dim=1)
                    out[i, low : low + len(part)] = score.cpu().numpy()
                    low += len(part)
        if self.likelihood == "gaussian":
            size = math.prod(self.space.shape)
            out -= np.broadcast_to(np.log(units(self.space)), (size,)).sum()
        return out

    def _entered(self, x: np.ndarray, device: str) -> Tensor:
        flat = np.ascontiguousarray(np.asarray(x).reshape(len(x), -1))
        return self.space.enter(torch.from_numpy(flat).to(device))

    def header(self) -> dict[str, Any]:
        return {
            "architecture": self.architecture.stored(),
            "space": self.space.stored(),
            "likelihood": self.likelihood,
            "importance": self.importance,
        }


@dataclass(frozen=True)
class _Objective:
    """The negative ELBO, its divergence times beta."""

    records: RecordsToLearn
    likelihood: Likelihood
    latent: int
    beta: float

    @property
    def size(self) -> int:
        return len(self.records)

    def batch(self, rows: np.ndarray, generator: torch.Generator) -> Sequence[Tensor | None]:
        x, _, weight = self.records.rows(rows, generator)
        return x, torch.randn((len(x), self.latent), generator=generator, device=x.device), weight

    def loss(self, net: nn.Module, *batch: Tensor | None) -> Tensor:
        x, noise, weight = batch
        assert x is not None
        mean, log_variance, output = net(x, noise)
        log_noise: Any = net.log_noise
        each = -log_likelihood(self.likelihood, output, x, log_noise)
        each = each + self.beta * divergence(mean.float(), log_variance.float())
        return each if weight is None else weight * each


@dataclass(frozen=True, kw_only=True)
class Vae(NeuralLearner):
    """A variational autoencoder on pictures or vectors.

    The defaults are those of the published loop on MNIST (Adam at 0.001, weight decay 1e-5, batches of 256, twenty latents,
    no averaged weights). Raises `SpecError` when the architecture does not fit the records, `FitFailed` when the loss is not
    finite, records are too few, not finite or, with Bernoulli pixels, outside their range.

    >>> x = np.random.default_rng(0).normal(size=(200, 3))
    >>> model = Vae(latent=2, records=512).fit(Samples.of(x), key=Key(0))
    >>> model.sample(4, key=Key(1)).x.shape, model.elbo(x, Key(2)).shape, model.likelihood
    ((4, 3), (200,), 'gaussian')
    """

    citation: ClassVar[tuple[str, ...]] = (
        "Kingma and Welling (2014), Auto-encoding variational Bayes, ICLR, arXiv 1312.6114",
        "Burda, Grosse and Salakhutdinov (2016), Importance weighted autoencoders, ICLR, arXiv 1509.00519",
    )
    has_latents: ClassVar[bool] = True
    sampling_keys: ClassVar[frozenset[str]] = frozenset({"bias", "observation_noise"})

    batch_size: int = 256
    """Records in a step."""
    warmup: int = 0
    """Records over which the learning rate rises from zero, anew in every generation."""
    weight_decay: float = 1e-5
    """Of AdamW."""
    gradient_clip: float | None = None
    """Largest gradient norm; null for none."""
    ema_decay: float | None = 0.0
    """Averaged weights keep this share of themselves in a step; 0 samples the last weights, null lets `ema_half_life`
    decide."""
    likelihood: Literal["auto", "bernoulli", "gaussian"] = "auto"
    """What the decoder says of a record: bernoulli (values in [0, 1], grey ones as targets too; pictures unless said
    otherwise) or gaussian (vectors)."""
    observation_variance: float | Literal["learned"] = "learned"
    """sigma^2 of a Gaussian decoder: a number in the records' units squared, or one learned scale of the standardised
    records."""
    beta: float = 1.0
    """Weight of the divergence from the prior in the loss."""
    latent: int = 20
    """Numbers in a latent."""
    architecture: Literal["auto", "conv", "mlp", "linear"] = "auto"
    """conv: convolutions of stride 2 (pictures of 16 pixels a side and more, unless said otherwise), mlp: hidden layers,
    linear: none, which is probabilistic principal component analysis."""
    widths: tuple[int, ...] | None = None
    """Channels of the convolutions, each halving the picture, or neurons of the hidden layers; (64, 128) and (256, 256)
    unless given."""
    augment: Literal["none", "flip"] = "none"
    """Mirror pictures at random while learning."""
    importance: int = 64
    """Latents per record in `log_prob`, which bounds the log density from below."""

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self.beta, "learner.beta")
        whole_number(self.latent, "learner.latent", least=1)
        whole_number(self.importance, "learner.importance", least=1)
        choices = {
            "likelihood": ("auto", "bernoulli", "gaussian"),
            "architecture": ("auto", "conv", "mlp", "linear"),
            "augment": ("none", "flip"),
        }
        for key, known in choices.items():
            if getattr(self, key) not in known:
                raise SpecError(
                    f"learner.{key} is {getattr(self, key)!r}; it must be one of: {', '.join(known)}"
                )
        if self.observation_variance != "learned":
            positive(self.observation_variance, "learner.observation_variance")
            if self.likelihood == "bernoulli":
                raise SpecError(
                    "learner.observation_variance says nothing of binary pixels; take learner.likelihood: gaussian"
                )
        if self.widths is not None:
            for width in self.widths:
                whole_number(width, "learner.widths", least=1)
            object.__setattr__(self, "widths", tuple(self.widths))
            if self.architecture == "linear" and self.widths:
                raise SpecError(
                    "learner.widths is given but learner.architecture linear has no hidden layers"
                )
            if self.architecture == "conv" and not self.widths:
                raise SpecError(
                    "learner.widths is empty; learner.architecture conv needs at least one number of channels"
                )
        object.__setattr__(self, "has_log_prob", self.likelihood == "gaussian")

    def bound_to(self, source: Source) -> Self:
        bound = super().bound_to(source)
        if source.domain == "vectors":
            space = bound.bound.space
            self.built_for(source.shape if space is None else space.shape, pictures=space is not None)  # type: ignore[attr-defined]
            chosen = self.likelihood_of(space is not None)
            object.__setattr__(bound, "has_log_prob", chosen == "gaussian")
        return bound

    def likelihood_of(self, pictures: bool) -> Likelihood:
        """The likelihood used for pictures, or for vectors."""
        if self.likelihood != "auto":
            return self.likelihood
        return "bernoulli" if pictures and self.observation_variance == "learned" else "gaussian"

    def built_for(self, shape: Sequence[int], pictures: bool) -> VaeArchitecture:
        """The network for records of this shape, (c, h, w) or (d,). Raises `SpecError` when it cannot be built."""
        kind: Any = self.architecture
        if kind == "auto":
            kind = "conv" if pictures and min(shape[1:]) >= CONVOLVED else "mlp"
        widths = WIDTHS[kind] if self.widths is None else self.widths
        if kind == "conv" and not pictures:
            raise SpecError("learner.architecture conv needs pictures; take mlp or linear for vectors")
        if kind == "conv" and min(shape[1:]) >> len(widths) < 1:
            raise SpecError(
                f"learner.widths asks for {len(widths)} halvings of pictures of {shape[1]} x {shape[2]} pixels; "
                "give fewer, or take learner.architecture: mlp"
            )
        likelihood = self.likelihood_of(pictures)
        noise: Any = "none" if likelihood == "bernoulli" else "fixed"
        if likelihood == "gaussian" and self.observation_variance == "learned":
            noise = "learned"
        return VaeArchitecture(kind, tuple(shape), self.latent, tuple(widths), noise)

    def space_of(self, data: Samples, start: Any) -> RecordSpace:
        space = super().space_of(data, start)
        binary = self.likelihood_of(isinstance(space, Pictures)) == "bernoulli"
        if start is None and binary and isinstance(space, Vectors):
            half = (0.5,) * len(space.mean)
            space = Vectors(half, half, space.dtype)
        if binary if start is None else start.likelihood == "bernoulli":
            low, high = (space.low, space.high) if isinstance(space, Pictures) else (0.0, 1.0)
            for part in chunks(data.fields["x"]):
                if not bool(((part >= low) & (part <= high)).all()):
                    raise FitFailed(
                        f"the training set holds values outside {low:g} to {high:g}, which no binary pixel can be; "
                        "take learner.likelihood: gaussian"
                    )
        return space

    def fit(self, data: Samples, *, start: Model | None = None, key: Key) -> VaeModel:
        if start is not None and not isinstance(start, VaeModel):
            raise FitFailed(f"this learner cannot continue from a {type(start).__name__}")
        space = self.space_of(data, start)
        course = self.course(start is None)
        if start is None:
            architecture = self.built_for(space.shape, isinstance(space, Pictures))
            net = architecture.build(key / "network")
            if architecture.observation == "fixed":
                sd = np.broadcast_to(math.sqrt(float(self.observation_variance)) / units(space), space.shape)
                net.noise = torch.from_numpy(2 * np.log(sd) / SWIFT).float()
            likelihood = self.likelihood_of(isinstance(space, Pictures))
        else:
            architecture, likelihood = start.architecture, start.likelihood
            net = copy.deepcopy(start.net)
        flip = self.augment == "flip" and isinstance(space, Pictures)
        records = RecordsToLearn(
            data.fields["x"], space, None, None, self.weights_of(data), 0.0, flip, course.device.name
        )
        objective: Any = _Objective(records, likelihood, architecture.latent, self.beta)
        kept = self.trained(net, objective, course, start, key)
        return VaeModel(architecture, net, space, likelihood, self.importance, **kept)

    def restore(self, arrays: Mapping[str, np.ndarray]) -> VaeModel:
        header, groups = opened(arrays)
        architecture = VaeArchitecture.restored(header["architecture"])
        net = architecture.build(Key(0))
        net.load_state_dict(groups["net"] or {})
        return VaeModel(
            architecture,
            net,
            restored(header["space"]),
            header["likelihood"],
            header["importance"],
            **self.kept_of(header, groups),
        )
