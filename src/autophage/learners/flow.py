"""Normalising flows, on zuko's networks.

Notation: record x (d numbers), fixed scaling z = s(x), flow u = f(z), latent u ~ N(0, I).

    log p(x) = log N(f(s(x)); 0, I) + log |det df/dz| + log |det ds/dx|

Whole numbers get noise v ~ U[0, 1)^d, and the mean over v of log p(x + v) is a lower bound on the log probability
of x (Theis, van den Oord and Bethge 2016).
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
import zuko
from torch import Tensor

from autophage.data.arguments import not_negative, positive, whole_number
from autophage.errors import FitFailed, SpecError
from autophage.keys import Key
from autophage.learners.flow_scaling import Scaling
from autophage.parts import Learner, Model, Sampling, require_finite
from autophage.samples import REAL, Samples

SMALLEST = 10
"""The fewest records a flow is fitted to."""
SPLINE_DIMS = 8
"""Up to this many dimensions `architecture: auto` takes splines."""
BINS = 16
"""Pieces of a spline over [-5, 5]; standardised data fill about six of them."""
HELD_OUT = 0.1
"""Share of the records that is held out when nothing is said and the fit begins from scratch."""
EVERY = 20
"""Steps between two looks at the held-out loss."""
WARMUP = 20
"""Steps in which the learning rate rises from zero."""
NOISES = 4
"""Draws of the dequantisation noise over which `log_prob` averages."""
AT_ONCE = 8192
"""Records that pass through the network together when nothing is learned."""

Architecture = Literal["realnvp", "spline", "maf"]


@dataclass(frozen=True)
class Defaults:
    """What an architecture takes where the spec leaves a setting open; found on digits and on plane data."""

    layers: int
    hidden: int
    learning_rate: float
    weight_decay: float
    activation: type[torch.nn.Module]


DEFAULTS: dict[Architecture, Defaults] = {
    "realnvp": Defaults(6, 128, 4e-3, 0.3, torch.nn.SiLU),
    "spline": Defaults(2, 64, 1e-2, 0.01, torch.nn.ReLU),
    "maf": Defaults(5, 128, 4e-3, 0.3, torch.nn.SiLU),
}


@dataclass(frozen=True)
class Network:
    """What must be known to build a flow's network."""

    architecture: Architecture
    features: int
    layers: int
    hidden: int

    def build(self, key: Key) -> zuko.flows.Flow:
        """The network before its training: masks, orders and weights from `key`, f close to the identity."""
        shared: dict[str, Any] = {
            "transforms": self.layers,
            "hidden_features": (self.hidden, self.hidden),
            "activation": DEFAULTS[self.architecture].activation,
        }
        shuffled = self.features > 2  # two coordinates take turns as they are
        with key.globally():
            if self.architecture == "realnvp":
                net = zuko.flows.RealNVP(self.features, randmask=shuffled, **shared)
            elif self.architecture == "spline":
                net = zuko.flows.NSF(self.features, passes=2, bins=BINS, randperm=shuffled, **shared)
            else:
                net = zuko.flows.MAF(self.features, randperm=shuffled, **shared)
        with torch.no_grad():
            for transform in net.transform.transforms:
                # One dimension has no network to condition on: its parameters are the transform's own.
                last = transform.hyper[-1] if hasattr(transform, "hyper") else transform
                for parameter in last.parameters():
                    parameter.mul_(0.01)
        return net


class FlowModel(Model):
    """A fitted flow.

    `report` says how its training went: steps, best_step, best_validation_loss (nats per record), stopped_early.
    `salt` decides which records were held out, so that a fit that continues from here holds out the same ones.
    """

    def __init__(
        self,
        network: Network,
        net: zuko.flows.Flow,
        scaling: Scaling,
        shape: tuple[int, ...],
        dtype: str,
        report: Mapping[str, Any],
        salt: int,
        bias: float = 1.0,
    ) -> None:
        self.network, self.scaling, self.shape, self.dtype = network, scaling, shape, dtype
        self.net = net.eval().requires_grad_(False)
        self.report = dict(report)
        self.salt, self.bias = salt, bias

    def tuned(self, sampling: Sampling) -> FlowModel:
        """Latents from N(0, bias I) (Alemohammad et al. 2024); `log_prob` stays that of the fitted law."""
        if sampling.bias is None:
            return self
        tuned = copy.copy(self)
        tuned.bias = sampling.bias
        return tuned

    def sample(self, n: int, *, key: Key, given: Samples | None = None) -> Samples:
        """`x` (n, ...) in the shape and float type of the training data."""
        latent = (key / "latent").generator().standard_normal((n, self.network.features), dtype=np.float32)
        latent *= np.float32(math.sqrt(self.bias))
        out = np.empty(latent.shape, self.dtype)
        inverse = self.net().transform.inv
        with torch.no_grad():
            for start in range(0, n, AT_ONCE):
                z = inverse(torch.from_numpy(latent[start : start + AT_ONCE])).double()
                out[start : start + AT_ONCE] = self.scaling.inverse(z).numpy()
        return Samples.of(out.reshape(n, *self.shape))

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """(n,) nats per record x (n, ...): the log density; for whole numbers a lower bound on the log probability,
        with the same noise for every model and call, and -inf outside the range of the training data."""
        records = torch.from_numpy(np.array(x, dtype=np.float64).reshape(len(x), -1))
        uniform = (Key(0) / "flow" / "noise").generator()
        out = np.empty(len(records))
        for start in range(0, len(records), AT_ONCE):
            part = records[start : start + AT_ONCE]
            noises = np.zeros((1, 1, 1))
            if self.scaling.whole:
                half = uniform.random((len(part), NOISES // 2, part.shape[1]))
                noises = np.concatenate([half, 1 - half], axis=1).swapaxes(0, 1)
            legal = self.scaling.legal(part)
            inside = torch.where(legal[:, None], part, self.scaling.low)
            with torch.no_grad():
                draws = [_log_density(self.net, self.scaling, inside + torch.from_numpy(v)) for v in noises]
            mean = torch.stack(draws).mean(0)
            out[start : start + AT_ONCE] = torch.where(legal, mean, -torch.inf).numpy()
        return out

    def arrays(self) -> dict[str, np.ndarray]:
        header = {
            "network": asdict(self.network),
            "scaling": self.scaling.bounds(),
            "shape": self.shape,
            "dtype": self.dtype,
            "report": self.report,
            "salt": self.salt,
            "bias": self.bias,
        }
        return {
            "header": np.frombuffer(json.dumps(header).encode(), dtype=np.uint8),
            **{f"scaling.{k}": v for k, v in self.scaling.arrays().items()},
            **{f"net.{k}": v.numpy() for k, v in self.net.state_dict().items()},
        }


def _log_density(net: zuko.flows.Flow, scaling: Scaling, y: Tensor) -> Tensor:
    """log p(y) (n,) in nats; y (n, d) has its noise already."""
    z, jacobian = scaling.forward(y)
    return net().log_prob(z.float()) + jacobian


@dataclass(frozen=True, kw_only=True)
class Flow(Learner):
    """A normalising flow by maximum likelihood, for vectors and small pictures.

    The defaults fit 1,438 digits of 8 x 8 pixels in about four seconds of one thread. The scaling is computed from
    the training set, or taken over from the model that a fit starts from. Raises `FitFailed` when the loss is no
    longer finite, when the records are not, or when there are fewer than ten.

    >>> x = np.random.default_rng(0).normal(size=(200, 2))
    >>> model = Flow(steps=5).fit(Samples.of(x), key=Key(0))
    >>> model.sample(3, key=Key(1)).x.shape, model.log_prob(x).shape, model.report["steps"]
    ((3, 2), (200,), 5)
    """

    has_log_prob: ClassVar[bool] = True
    weighted: ClassVar[bool] = True
    warm_starts: ClassVar[bool] = True
    domains: ClassVar[frozenset[str]] = frozenset({"vectors", "counts"})
    sampling_keys: ClassVar[frozenset[str]] = frozenset({"bias"})
    citation: ClassVar[tuple[str, ...]] = (
        "Dinh, Sohl-Dickstein and Bengio (2017), Density estimation using Real NVP, ICLR",
        "Durkan, Bekasov, Murray and Papamakarios (2019), Neural spline flows, NeurIPS",
        "Papamakarios, Pavlakou and Murray (2017), Masked autoregressive flow for density estimation, NeurIPS",
        "Rozet et al. (2022), Zuko: normalizing flows in PyTorch",
    )

    architecture: Literal["auto", "realnvp", "spline", "maf"] = "auto"
    """Affine coupling (`realnvp`), rational-quadratic splines as coupling (`spline`), or masked autoregressive
    (`maf`: better likelihood, sampling in d passes). `auto`: `spline` up to 8 dimensions, else `realnvp`."""
    layers: int | None = None
    """Transformations in a row; unset: 6 for `realnvp`, 2 for `spline`, 5 for `maf`."""
    hidden: int | None = None
    """Width of the two hidden layers of each transformation's network; unset: 128, for `spline` 64."""
    steps: int = 300
    """Minibatches a fit sees at most, whatever the number of records."""
    epochs: int | None = None
    """Passes over the training set at most; takes the place of `steps` where given."""
    batch_size: int = 128
    """Records in a minibatch."""
    learning_rate: float | None = None
    """Adam's step size at its highest; unset: 0.004, for `spline` 0.01."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """The learning rate falls to zero along a half cosine, or stays."""
    weight_decay: float | None = None
    """Decoupled weight decay (AdamW): each step shrinks the weights by learning_rate x weight_decay; unset: 0.3, for
    `spline` 0.01."""
    gradient_clip: float = 5.0
    """The gradient's norm is cut to this."""
    validation_share: float | None = None
    """Share of the training set's real records (of all its records, where none is real) held out from training; the
    weights with the lowest loss on them are returned. 0: none is held out, and the last weights are returned. Unset:
    0.1 from scratch, and 0 when continuing from a model: fully synthetic, no training improves on the model that made
    the records, and the best weights would be the previous ones, unchanged."""
    patience: int = 100
    """Steps without a lower held-out loss after which training stops."""
    dequantise: Literal["auto", "none", "uniform"] = "auto"
    """Uniform noise on whole numbers, and samples rounded down. `auto`: where all records are whole numbers."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where training runs; `auto` takes a CUDA device if there is one. Models live on the CPU."""

    def __post_init__(self) -> None:
        choices = {
            "architecture": ("auto", *get_args(Architecture)),
            "schedule": ("cosine", "constant"),
            "dequantise": ("auto", "none", "uniform"),
            "device": ("auto", "cpu", "cuda"),
            "start": ("scratch", "previous"),
        }
        for key, known in choices.items():
            if getattr(self, key) not in known:
                raise SpecError(
                    f"learner.{key} is {getattr(self, key)!r}; it must be one of: {', '.join(known)}"
                )
        for key in ("layers", "hidden", "steps", "epochs", "batch_size", "patience"):
            if getattr(self, key) is not None or key in ("steps", "batch_size", "patience"):
                whole_number(getattr(self, key), f"learner.{key}", least=1)
        positive(self.gradient_clip, "learner.gradient_clip")
        if self.learning_rate is not None:
            positive(self.learning_rate, "learner.learning_rate")
        if self.weight_decay is not None:
            not_negative(self.weight_decay, "learner.weight_decay")
        if self.validation_share is not None:
            not_negative(self.validation_share, "learner.validation_share")
            if self.validation_share > 0.9:
                raise SpecError(
                    f"learner.validation_share is {self.validation_share}; it must lie in [0, 0.9]"
                )
        if self.device == "cuda" and not torch.cuda.is_available():
            raise SpecError("learner.device is `cuda` but torch sees no CUDA device; write `auto` or `cpu`")

    def smallest(self, dim: int) -> int:
        return SMALLEST

    def fit(self, data: Samples, *, start: Model | None = None, key: Key) -> FlowModel:
        if len(data) < SMALLEST:
            raise FitFailed(f"a flow needs {SMALLEST} or more records, got {len(data)}")
        x = torch.from_numpy(require_finite(data.flat(), "the flow's training set"))
        weight = torch.from_numpy(np.array(data.weight, dtype=np.float64))
        if not bool(weight.isfinite().all() and (weight >= 0).all() and weight.sum() > 0):
            raise FitFailed("the records' weights must be finite, zero or above, and not all zero")
        network, net, scaling = self._begin(x, weight, start, key)
        salt = start.salt if isinstance(start, FlowModel) else (key / "held_out").integer()
        share = self.validation_share
        if share is None:
            share = HELD_OUT if start is None else 0.0
        held = held_out(x.numpy(), np.asarray(data.generation), share, salt)
        report = self._train(network, net, scaling, x, weight, held, key)
        dtype = data.x.dtype.name if data.x.dtype in (np.float32, np.float64) else "float64"
        return FlowModel(network, net, scaling, data.x.shape[1:], dtype, report, salt)

    def _begin(
        self, x: Tensor, weight: Tensor, start: Model | None, key: Key
    ) -> tuple[Network, zuko.flows.Flow, Scaling]:
        d = x.shape[1]
        if start is not None:
            if not isinstance(start, FlowModel) or start.network.features != d:
                raise FitFailed(f"a flow of {d} dimensions cannot continue from {_described(start)}")
            scaling = start.scaling
            if scaling.whole and not bool((x == x.floor()).all() and scaling.legal(x).all()):
                raise FitFailed(
                    f"the flow to continue from knows whole numbers from {scaling.low:g} to {scaling.high:g} only, and "
                    "there are other records; take learner.start: scratch or learner.dequantise: none"
                )
            net = start.network.build(key / "network")
            net.load_state_dict(start.net.state_dict())
            return start.network, net, scaling
        whole = self.dequantise != "none" and bool((x == x.floor()).all())
        if self.dequantise == "uniform" and not whole:
            raise FitFailed("learner.dequantise is `uniform` but not all records are whole numbers")
        architecture = self.architecture
        if architecture == "auto":
            architecture = "spline" if d <= SPLINE_DIMS else "realnvp"
        usual = DEFAULTS[architecture]
        network = Network(architecture, d, self.layers or usual.layers, self.hidden or usual.hidden)
        return network, network.build(key / "network"), Scaling.of(x, weight, whole)

    def _train(
        self,
        network: Network,
        net: zuko.flows.Flow,
        scaling: Scaling,
        x: Tensor,
        weight: Tensor,
        held: np.ndarray,
        key: Key,
    ) -> dict[str, Any]:
        """Trains `net` in place and says how it went; `held` are the records that are only looked at."""
        kept = np.setdiff1d(np.arange(len(x)), held)
        size = min(self.batch_size, len(kept))
        steps = self.steps if self.epochs is None else self.epochs * math.ceil(len(kept) / size)
        noise, shuffle = (key / "noise").torch(), (key / "batches").generator()
        noise_of_held = scaling.noise(len(held), (key / "held_out_noise").torch())
        typical = float(weight[kept].mean()) or 1.0
        typical_held = float(weight[held].mean()) or 1.0 if len(held) else 1.0
        usual = DEFAULTS[network.architecture]
        highest = self.learning_rate or usual.learning_rate
        device = "cuda" if self.device != "cpu" and torch.cuda.is_available() else "cpu"
        net.to(device)
        optimiser = torch.optim.AdamW(
            net.parameters(),
            lr=highest,
            weight_decay=usual.weight_decay if self.weight_decay is None else self.weight_decay,
            fused=True,
        )

        def loss(rows: np.ndarray, drawn: Tensor, mean_weight: float) -> Tensor:
            z, jacobian = scaling.forward(x[rows] + drawn)
            log_density = net().log_prob(z.float().to(device)) + jacobian.to(device)
            return -(weight[rows].to(device) * log_density).mean() / mean_weight

        best, best_step, best_weights, order = math.inf, 0, None, np.empty(0, np.int64)
        for step in range(steps + 1):
            if len(held) and (step % EVERY == 0 or step == steps):
                with torch.no_grad():
                    value = _finite(loss(held, noise_of_held, typical_held), step)
                if value < best:
                    best, best_step = value, step
                    best_weights = {k: v.clone() for k, v in net.state_dict().items()}
                elif step - best_step >= self.patience:
                    break
            if step == steps:
                break
            if len(order) < size:
                order = shuffle.permutation(kept)
            rows, order = order[:size], order[size:]
            for group in optimiser.param_groups:
                group["lr"] = highest * self._rate(step, steps)
            batch_loss = loss(rows, scaling.noise(size, noise), typical)
            _finite(batch_loss, step)
            optimiser.zero_grad()
            batch_loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), self.gradient_clip)
            optimiser.step()
        if best_weights is not None:
            net.load_state_dict(best_weights)
        net.to("cpu")
        return {
            "steps": step,
            "best_step": best_step if len(held) else step,
            "best_validation_loss": best if len(held) else None,
            "stopped_early": step < steps,
        }

    def _rate(self, step: int, steps: int) -> float:
        """The learning rate relative to its highest."""
        rise = min(1.0, (step + 1) / min(WARMUP, steps))
        fall = 0.5 * (1 + math.cos(math.pi * step / steps)) if self.schedule == "cosine" else 1.0
        return rise * fall

    def restore(self, arrays: Mapping[str, np.ndarray]) -> FlowModel:
        header = json.loads(np.asarray(arrays["header"], dtype=np.uint8).tobytes())
        network = Network(**header["network"])
        net = network.build(Key(0))
        net.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in _below(arrays, "net.").items()})
        return FlowModel(
            network,
            net,
            Scaling.restored(_below(arrays, "scaling."), header["scaling"]),
            tuple(header["shape"]),
            header["dtype"],
            header["report"],
            header["salt"],
            header["bias"],
        )


def held_out(x: np.ndarray, generation: np.ndarray, share: float, salt: int) -> np.ndarray:
    """The numbers of the records x (n, d) to hold out: a share of the real ones, or of all where none is real.

    A record's own digits and the salt decide. So a fit that continues from an earlier one holds out the same real
    records wherever they stand, and is never judged on what it was once trained on; and equal records stay together.
    """
    pool = np.flatnonzero(generation == REAL)
    if not len(pool):
        pool = np.arange(len(x))
    count = min(math.ceil(share * len(pool)), len(x) - 1)
    if not count:
        return pool[:0]
    seed = salt.to_bytes(8, "little")
    drawn = [hashlib.blake2b(x[i].tobytes(), digest_size=8, key=seed).digest() for i in pool]
    return np.sort(pool[np.argsort(np.array(drawn, dtype="V8").view(">u8"), kind="stable")[:count]])


def _finite(loss: Tensor, step: int) -> float:
    value = float(loss.detach())
    if not math.isfinite(value):
        what = "NaN" if math.isnan(value) else "infinite"
        raise FitFailed(
            f"the flow's loss became {what} at step {step}; a lower learner.learning_rate may help"
        )
    return value


def _described(model: Model) -> str:
    if isinstance(model, FlowModel):
        return f"one of {model.network.features}"
    return f"a {type(model).__name__}"


def _below(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
