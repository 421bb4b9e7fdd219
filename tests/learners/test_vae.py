"""Variational autoencoders: the loss by hand, bounds against the exact likelihood of linear models, what sampling leaves out."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save

from autophage import laws
from autophage.data.digits import DigitsSource
from autophage.data.gaussian import GaussianSource
from autophage.errors import DataError, FitFailed, SpecError
from autophage.keys import Key
from autophage.learners.record_spaces import Pictures, Vectors
from autophage.learners.vae import Vae, VaeModel, divergence, log_likelihood
from autophage.networks.vae_networks import VaeArchitecture
from autophage.parts import Sampling
from autophage.samples import Samples
from autophage.theory.ppca import eigenvalue_course
from autophage.training.devices import Device

EIGENVALUES = np.array([4.0, 2.0, 1.0])
NOISE = 0.5
"""sigma^2 of the linear models below."""
ROTATION = np.linalg.qr((Key(3) / "rotation").generator().standard_normal((3, 3)))[0]


def ellipsoid(n: int, stream: str = "train") -> np.ndarray:
    z = (Key(1) / stream).generator().standard_normal((n, 3))
    return (z * np.sqrt(EIGENVALUES)) @ ROTATION.T + np.array([1.0, -2.0, 0.5])


def by_eigenvalues(x: np.ndarray, noise: float, latent: int) -> VaeModel:
    """Probabilistic PCA in closed form (Tipping and Bishop 1999, section 3.2) as a linear VAE with its exact posterior.

    W = U (L - sigma^2)^(1/2), M = W'W + sigma^2 I, q(z | x) = N(M^-1 W'(x - mean), sigma^2 M^-1); M is diagonal.
    """
    values, vectors = np.linalg.eigh(np.cov(x.T, ddof=0))
    kept = np.maximum(values[::-1][:latent] - noise, 0)
    loadings = vectors[:, ::-1][:, :latent] * np.sqrt(kept)
    middle = kept + noise
    dim = x.shape[1]
    mean = x.mean(axis=0)
    architecture = VaeArchitecture("linear", (dim,), latent, (), "fixed")
    net = architecture.build(Key(0))
    inward = (loadings / middle).T
    state = {
        "noise": np.full(dim, math.log(noise) / 10),
        "decoder.0.weight": loadings,
        "decoder.0.bias": mean,
        "mean.weight": inward,
        "mean.bias": -inward @ mean,
        "log_variance.value": np.log(noise / middle),
    }
    net.load_state_dict({k: torch.from_numpy(np.array(v)).float() for k, v in state.items()})
    space = Vectors((0.0,) * dim, (1.0,) * dim, "float64")
    return VaeModel(architecture, net, space, "gaussian", 64, Device(), {})


def top(x: np.ndarray, count: int = 2) -> np.ndarray:
    return np.linalg.eigvalsh(np.cov(x.T, ddof=0))[::-1][:count]


def log_normal(x: np.ndarray, mean: np.ndarray, cov: np.ndarray) -> np.ndarray:
    gap = x - mean
    return -0.5 * ((gap * np.linalg.solve(cov, gap.T).T).sum(axis=1) + np.linalg.slogdet(2 * np.pi * cov)[1])


# The loss


def test_divergence_from_the_prior_by_hand() -> None:
    mean, log_variance = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, math.log(4.0)]])
    # 1/2 (1 + 1 - 1 - 0) + 1/2 (4 + 4 - 1 - log 4)
    assert float(divergence(mean, log_variance)) == pytest.approx(0.5 + 3.5 - math.log(2), rel=1e-6)
    assert float(divergence(torch.zeros(1, 3), torch.zeros(1, 3))) == 0


def test_divergence_is_the_mean_of_the_log_ratio() -> None:
    mean, sd = 0.7, 1.6
    z = mean + sd * Key(4).generator().standard_normal(200_000)
    ratio = (-0.5 * ((z - mean) / sd) ** 2 - math.log(sd)) + 0.5 * z**2
    found = float(divergence(torch.tensor([[mean]]), torch.tensor([[2 * math.log(sd)]])))
    assert abs(ratio.mean() - found) < 4 * ratio.std() / math.sqrt(len(ratio))


def test_cross_entropy_of_grey_pixels_by_hand() -> None:
    p = torch.tensor([[0.2, 0.5, 0.9]])
    v = torch.tensor([[0.0, 0.25, 1.0]])
    expected = math.log(0.8) + 0.25 * math.log(0.5) + 0.75 * math.log(0.5) + math.log(0.9)
    found = log_likelihood("bernoulli", torch.logit(p), 2 * v - 1, None)
    assert float(found) == pytest.approx(expected, rel=1e-6)


def test_gaussian_likelihood_by_hand() -> None:
    noise = torch.tensor(math.log(0.25))
    found = log_likelihood("gaussian", torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 1.0]]), noise)
    expected = -0.5 * (0.25 / 0.25 + 1 / 0.25) - math.log(2 * math.pi * 0.25)
    assert float(found) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("beta", [1.0, 4.0])
def test_the_trained_loss_is_reconstruction_plus_beta_times_divergence(beta: float) -> None:
    """The first step's reported loss, from the untrained network and the noise of that step."""
    x = DigitsSource().train().x[:32]
    learner = Vae(latent=3, widths=(8,), batch_size=32, records=1, beta=beta).bound_to(DigitsSource())
    model = learner.fit(Samples.of(x), key=Key(0))
    net = model.architecture.build(Key(0) / "network")
    key = Key(0) / "train"
    rows = (key / "pass" / 0).generator().permutation(32)
    noise = torch.randn(32, 3, generator=torch.Generator().manual_seed((key / "step" / 0).integer(62)))
    v = torch.from_numpy(x[rows] / 16).float().view(32, 1, 8, 8)
    with torch.no_grad():
        mean, log_variance, logits = net(2 * v - 1, noise)
        p = torch.sigmoid(logits)
        reconstruction = -(v * p.log() + (1 - v) * (1 - p).log()).sum(dim=(1, 2, 3))
        sd = (0.5 * log_variance).exp()
        prior = 0.5 * (sd**2 + mean**2 - 1).sum(dim=1) - sd.log().sum(dim=1)
    assert model.report["loss"] == pytest.approx(float((reconstruction + beta * prior).mean()), rel=1e-4)


# Architectures


def test_the_published_network_has_647081_parameters() -> None:
    """Two convolutions (1-64-128, 4 x 4, stride 2) to 128 x 7 x 7, two heads of 20, and the way back."""
    flat = 128 * 7 * 7
    count = (16 * 64 + 64) + (64 * 16 * 128 + 128) + 2 * (flat * 20 + 20)
    count += (20 * flat + flat) + (128 * 16 * 64 + 64) + (64 * 16 + 1)
    learner = Vae().built_for((1, 28, 28), pictures=True)
    net = learner.build(Key(0))
    assert learner.kind == "conv" and learner.latent == 20
    assert sum(p.numel() for p in net.parameters()) == count == 647_081


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 17, 30), (1, 28, 28), (2, 9, 11)])
@pytest.mark.parametrize("kind", ["conv", "mlp", "linear"])
def test_decoders_give_back_the_shape(kind: Any, shape: tuple[int, ...]) -> None:
    net = VaeArchitecture(kind, shape, 5, () if kind == "linear" else (4, 6), "none").build(Key(0))
    x = torch.randn(3, *shape, generator=Key(1).torch())
    mean, log_variance, output = net(x, torch.zeros(3, 5))
    assert output.shape == x.shape and mean.shape == log_variance.shape == (3, 5)


def test_small_pictures_and_vectors_get_hidden_layers() -> None:
    assert Vae().built_for((1, 8, 8), pictures=True).kind == "mlp"
    assert Vae().built_for((3, 16, 16), pictures=True).kind == "conv"
    assert Vae().built_for((784,), pictures=False).kind == "mlp"


# The linear model: probabilistic principal components


def test_r24_decoder_means_lose_the_noise_variance_of_every_axis() -> None:
    """(3.5, 1.5) (3, 1) (2.5, .5) (2, 0) (1.5, 0) in generations 1 to 5, by the exact fit, its own law as data."""
    cov = ROTATION @ np.diag(EIGENVALUES) @ ROTATION.T
    course = eigenvalue_course(EIGENVALUES, NOISE, 2, 6)
    listed = [(4, 2), (3.5, 1.5), (3, 1), (2.5, 0.5), (2, 0), (1.5, 0)]
    for expected, predicted in zip(listed, course, strict=True):
        values, vectors = np.linalg.eigh(cov)
        assert values[::-1][:2] == pytest.approx(expected, abs=1e-3)
        assert predicted == pytest.approx(expected, abs=1e-12)
        loadings = vectors[:, ::-1][:, :2] * np.sqrt(np.maximum(values[::-1][:2] - NOISE, 0))
        cov = loadings @ loadings.T  # of the decoder's means


def test_c26_what_the_exact_model_samples() -> None:
    """Means: each retained eigenvalue less sigma^2. With observation noise: the eigenvalues themselves."""
    x, n = ellipsoid(2000), 50_000
    model = by_eigenvalues(x, NOISE, 2)
    fitted = top(x)
    # An eigenvalue of n Gaussian records has standard deviation sqrt(2 / n) of itself.
    tolerance = 5 * np.sqrt(2 / n)
    means = top(model.sample(n, key=Key(5)).x)
    assert means == pytest.approx(fitted - NOISE, rel=tolerance)
    noisy = model.tuned(Sampling(observation_noise=True)).sample(n, key=Key(5)).x
    assert top(noisy) == pytest.approx(fitted, rel=tolerance)
    assert top(noisy, 3)[2] == pytest.approx(NOISE, rel=tolerance)
    half = model.tuned(Sampling(bias=0.5)).sample(n, key=Key(5)).x
    assert top(half) == pytest.approx((fitted - NOISE) / 2, rel=tolerance)
    still = model.tuned(Sampling(bias=0.0)).sample(10, key=Key(5)).x
    assert np.ptp(still, axis=0) == pytest.approx(np.zeros(3), abs=1e-12)


def test_bounds_of_the_exact_linear_model() -> None:
    """With the exact posterior, ELBO and importance bound are the log marginal density, N(mean, WW' + sigma^2 I)."""
    x = ellipsoid(400)
    model = by_eigenvalues(x, NOISE, 2)
    loadings = model.net.decoder[0].weight.numpy().astype(float)
    exact = log_normal(x, x.mean(axis=0), loadings @ loadings.T + NOISE * np.eye(3))
    assert model.importance_bound(x, Key(0), 1) == pytest.approx(exact, abs=1e-4)
    assert model.importance_bound(x, Key(0), 7) == pytest.approx(exact, abs=1e-4)
    # The ELBO is exact in expectation; its draws vary.
    away = model.elbo(x, Key(0), draws=50) - exact
    assert abs(away.mean()) < 4 * away.std() / math.sqrt(len(x))


def test_importance_weights_rise_from_the_elbo_to_the_likelihood() -> None:
    """A posterior that is too wide and shifted: ELBO < 1 draw's mean < 8 < 64 < exact, each by more than four errors."""
    x = ellipsoid(3000)
    model = by_eigenvalues(x, NOISE, 2)
    loadings = model.net.decoder[0].weight.numpy().astype(float)
    exact = log_normal(x, x.mean(axis=0), loadings @ loadings.T + NOISE * np.eye(3))
    model.net.log_variance.value += math.log(3.0)
    model.net.mean.bias += 0.3
    bounds = [model.elbo(x, Key(0), 4), *(model.importance_bound(x, Key(0) / k, k) for k in (8, 64)), exact]
    for lower, higher in pairwise(bounds):
        rise = higher - lower
        assert rise.mean() > 4 * rise.std() / math.sqrt(len(x))
    assert (exact - bounds[2]).mean() < 0.1 < 0.5 < (exact - bounds[0]).mean()
    # The gap of the ELBO is the divergence of the wrong posterior from the right one, here the same for every record.
    middle = np.square(loadings).sum(axis=0) + NOISE
    gap = 0.5 * np.sum(3 - 1 - math.log(3) + 0.3**2 * middle / NOISE)
    away = exact - bounds[0]
    assert abs(away.mean() - gap) < 4 * away.std() / math.sqrt(len(x))


LINEAR: dict[str, Any] = {
    "architecture": "linear",
    "latent": 2,
    "observation_variance": NOISE,
    "records": 100_000,
    "batch_size": 100,
    "learning_rate": 0.1,
    "schedule": "cosine",
    "weight_decay": 0.0,
}


def fitted_linear(x: np.ndarray, **settings: Any) -> VaeModel:
    return Vae(**{**LINEAR, **settings}).fit(Samples.of(x), key=Key(0))


@pytest.fixture(scope="module")
def linear_model() -> VaeModel:
    return fitted_linear(ellipsoid(4000))


def test_c26_a_trained_linear_model_finds_the_principal_components(linear_model: VaeModel) -> None:
    """Means lose sigma^2 = .5 of both eigenvalues, up to a tenth of them for the training; noise puts it back."""
    fitted = top(ellipsoid(4000))
    means = top(linear_model.sample(20_000, key=Key(2)).x)
    assert means == pytest.approx(fitted - NOISE, rel=0.1)
    noisy = top(linear_model.tuned(Sampling(observation_noise=True)).sample(20_000, key=Key(2)).x)
    assert noisy == pytest.approx(fitted, rel=0.1)
    assert linear_model.observation_sd == pytest.approx(np.full(3, math.sqrt(NOISE)), rel=1e-5)


def test_the_elbo_of_a_trained_linear_model_bounds_its_likelihood(linear_model: VaeModel) -> None:
    x = ellipsoid(2000, "held out")
    scale = np.array(linear_model.space.scale)  # type: ignore[attr-defined]
    last = linear_model.net.decoder[0]
    loadings = last.weight.numpy() * scale[:, None]
    mean = last.bias.numpy() * scale + np.array(linear_model.space.mean)  # type: ignore[attr-defined]
    exact = log_normal(x, mean, loadings @ loadings.T + NOISE * np.eye(3))
    elbo = linear_model.elbo(x, Key(0), 8)
    assert (exact - elbo).mean() > 0
    assert linear_model.log_prob(x) == pytest.approx(exact, abs=0.2)
    # No model of two latents and this noise is likelier than the principal components.
    best = by_eigenvalues(x, NOISE, 2).importance_bound(x, Key(0), 1).mean()
    assert best - 0.05 < exact.mean() < best


def test_a_learned_observation_variance_is_the_mean_of_what_is_left() -> None:
    """Tipping and Bishop (1999): of standardised records, the smallest eigenvalue of their correlations."""
    x = ellipsoid(4000)
    model = fitted_linear(x, observation_variance="learned")
    left = np.linalg.eigvalsh(np.corrcoef(x.T))[0]
    assert (model.observation_sd / x.std(axis=0)) ** 2 == pytest.approx(np.full(3, left), rel=0.1)  # type: ignore[operator]


@pytest.mark.slow
@pytest.mark.parametrize("noisy", [False, True])
def test_c26_the_loop_of_trained_linear_models(noisy: bool) -> None:
    """Three refits: eigenvalues fall by .5 each and stay with the noise, within a fifth of a drop each for training and
    sampling."""
    from autophage.loop import Loop

    loop = Loop(
        data=GaussianSource(cov=EIGENVALUES.tolist()),
        learner=Vae(**{**LINEAR, "records": 250_000}),
        workflow={"kind": "replace", "sample_size": 20_000},
        sampling={"observation_noise": noisy},
        generations=4,
        seed=5,
        metrics=[],
    )
    course = eigenvalue_course(EIGENVALUES, NOISE, 2, 4, decoder_means=not noisy)
    state = loop.start(loop.blocks()[0])
    for t in range(3):
        state, (record,) = loop.step(state)
        assert top(record.kept.x) == pytest.approx(course[t + 1], abs=0.1 * (t + 1) * 2)


# Sampling


@pytest.fixture(scope="module")
def digits_model() -> VaeModel:
    source = DigitsSource()
    return Vae(latent=4, widths=(32,), records=5000).bound_to(source).fit(source.train(), key=Key(0))


def test_means_of_binary_pixels_are_grey_and_draws_are_black_or_white(digits_model: VaeModel) -> None:
    means = digits_model.sample(300, key=Key(1)).x
    assert means.shape == (300, 64) and means.dtype == np.float64
    assert means.min() >= 0 and means.max() <= 16
    assert ((means > 0.5) & (means < 15.5)).mean() > 0.3
    noisy = digits_model.tuned(Sampling(observation_noise=True)).sample(300, key=Key(1)).x
    assert set(np.unique(noisy)) == {0.0, 16.0}
    # The same latents, so that a pixel is white as often as its mean says.
    error = np.sqrt((means / 16 * (1 - means / 16)).sum()) / means.size
    assert abs(noisy.mean() / 16 - means.mean() / 16) < 4 * error
    assert digits_model.observation_sd is None


def test_a_record_does_not_depend_on_how_many_follow(
    digits_model: VaeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autophage.learners import vae

    noisy = digits_model.tuned(Sampling(observation_noise=True))
    many, few = (noisy.sample(n, key=Key(2)).x for n in (200, 70))
    assert np.array_equal(many[:70], few)
    means = digits_model.sample(200, key=Key(2)).x
    assert digits_model.sample(70, key=Key(2)).x == pytest.approx(means[:70], abs=1e-4)
    monkeypatch.setattr(vae, "AT_ONCE", 64)
    assert digits_model.sample(200, key=Key(2)).x == pytest.approx(means, abs=1e-4)
    assert len(digits_model.sample(0, key=Key(2))) == 0


def test_bounds_do_not_depend_on_what_follows_nor_on_the_pieces(
    digits_model: VaeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autophage.learners import vae

    x = DigitsSource().reference().x
    whole = digits_model.elbo(x, Key(3), 2)
    assert digits_model.elbo(x[:50], Key(3), 2) == pytest.approx(whole[:50], abs=1e-3)
    means, sds = digits_model.encode(x)
    monkeypatch.setattr(vae, "AT_ONCE", 32)
    assert digits_model.elbo(x, Key(3), 2) == pytest.approx(whole, abs=1e-3)
    assert digits_model.encode(x)[0] == pytest.approx(means, abs=1e-4)
    assert means.shape == sds.shape == (len(x), 4) and (sds > 0).all()


def test_gaussian_pictures_are_clipped_to_their_range() -> None:
    source = DigitsSource()
    learner = Vae(likelihood="gaussian", latent=2, widths=(8,), records=2000, batch_size=64).bound_to(source)
    model = learner.fit(source.train(), key=Key(0))
    x = model.tuned(Sampling(observation_noise=True)).sample(100, key=Key(0)).x
    assert x.min() == 0 and x.max() == 16
    assert np.ndim(model.observation_sd) == 0


def test_densities_are_in_the_units_of_the_records() -> None:
    """Ten times wider records have a density lower by d log 10, for the same network."""
    x = ellipsoid(300)
    learner = Vae(latent=2, widths=(8,), records=3000, batch_size=64)
    here, there = (learner.fit(Samples.of(x * by), key=Key(0)) for by in (1.0, 10.0))
    assert there.log_prob(10 * x) == pytest.approx(here.log_prob(x) - 3 * math.log(10), abs=1e-3)
    assert there.elbo(10 * x, Key(1)) == pytest.approx(here.elbo(x, Key(1)) - 3 * math.log(10), abs=1e-3)


def test_probabilities_of_all_binary_records_sum_to_at_most_one() -> None:
    """Four binary pixels have sixteen values: the bound sums to one from below, up to its draws."""
    x = ((Key(6) / "binary").generator().random((500, 4)) < [0.2, 0.5, 0.5, 0.9]).astype(float)
    learner = Vae(likelihood="bernoulli", latent=2, widths=(16,), records=30_000, learning_rate=0.02)
    model = learner.fit(Samples.of(x), key=Key(0))
    every = np.array([[int(b) for b in f"{i:04b}"] for i in range(16)], float)
    mass = np.exp(model.log_prob(every))
    assert 0.98 < mass.sum() < 1.02
    shares = np.array([(x == row).all(axis=1).mean() for row in every])
    assert mass == pytest.approx(shares, abs=0.05)
    with pytest.raises(DataError, match="grey"):
        model.log_prob(every + 0.25)


# The contract


def test_vectors_and_pictures_keep_the_learner_laws() -> None:
    small: dict[str, Any] = {"latent": 2, "widths": (8,), "records": 300, "batch_size": 32}
    laws.learner(Vae(**small), ellipsoid(60))
    laws.learner(Vae(**small).bound_to(DigitsSource()), DigitsSource().train()[:60])
    conv = Vae(**{**small, "architecture": "conv", "widths": (4, 8)})
    laws.learner(conv.bound_to(DigitsSource()), DigitsSource().train()[:60])


@pytest.mark.parametrize("optimiser", ["fresh", "carried"])
def test_a_stored_model_is_the_same_model(optimiser: Any) -> None:
    learner = Vae(likelihood="gaussian", latent=2, widths=(8,), records=500, optimiser=optimiser)
    model = learner.fit(Samples.of(ellipsoid(100)), key=Key(0))
    stored = load(save({k: np.asarray(v, order="C") for k, v in model.arrays().items()}))
    again = learner.restore(stored)
    x = ellipsoid(20, "other")
    assert np.array_equal(model.sample(30, key=Key(1)).x, again.sample(30, key=Key(1)).x)
    assert np.array_equal(model.elbo(x, Key(2)), again.elbo(x, Key(2)))
    assert np.array_equal(model.log_prob(x), again.log_prob(x))
    assert again.report == model.report and (again.optimiser is None) == (optimiser == "fresh")
    warm = {"start": model, "key": Key(3)}
    data = Samples.of(x)
    first, second = (learner.fit(data, **{**warm, "start": m}) for m in (model, again))  # type: ignore[arg-type]
    assert np.array_equal(first.sample(5, key=Key(1)).x, second.sample(5, key=Key(1)).x)


def test_a_warm_start_goes_on_where_its_predecessor_ended(linear_model: VaeModel) -> None:
    x = ellipsoid(500) + 2.0
    barely = fitted_barely(linear_model, x, learning_rate=1e-9)
    drawn = linear_model.sample(50, key=Key(4)).x
    assert barely.sample(50, key=Key(4)).x == pytest.approx(drawn, abs=1e-4)
    further = fitted_barely(linear_model, x, learning_rate=0.05, records=5000)
    assert further.log_prob(x).mean() > barely.log_prob(x).mean() + 0.5
    assert further.space is linear_model.space
    assert np.array_equal(linear_model.sample(50, key=Key(4)).x, drawn)
    with pytest.raises(FitFailed, match="records of 2 numbers cannot continue a model of 3"):
        fitted_barely(linear_model, x[:, :2])
    with pytest.raises(FitFailed, match="cannot continue from a str"):
        Vae().fit(Samples.of(x), start="model", key=Key(0))  # type: ignore[arg-type]


def fitted_barely(start: VaeModel, x: np.ndarray, **settings: Any) -> VaeModel:
    learner = Vae(**{"records": 200, "weight_decay": 0.0, "start": "previous", **settings})
    return learner.fit(Samples.of(x), start=start, key=Key(7))


def test_weights_of_records_count() -> None:
    x = np.concatenate([ellipsoid(300), ellipsoid(300) + 30.0])
    data = Samples.of(x, weight=np.repeat([1.0, 0.0], 300))
    model = Vae(latent=2, widths=(16,), records=20_000, learning_rate=0.01).fit(data, key=Key(0))
    drawn = model.sample(200, key=Key(1)).x
    assert np.abs(drawn.mean(axis=0) - ellipsoid(300).mean(axis=0)).max() < 5


def test_pictures_may_be_mirrored() -> None:
    """Training data with all ink on the left: mirrored, the model puts half of it on the right."""
    x = np.zeros((200, 64))
    x.reshape(200, 8, 8)[:, :, :4] = 16.0
    source = DigitsSource()
    settings: dict[str, Any] = {"latent": 2, "widths": (16,), "records": 10_000, "learning_rate": 0.03}
    data = Samples.of(x)
    shares = []
    for augment in ("none", "flip"):
        learner = Vae(augment=augment, **settings).bound_to(source)  # type: ignore[arg-type]
        drawn = learner.fit(data, key=Key(0)).sample(200, key=Key(1)).x.reshape(200, 8, 8)
        shares.append(drawn[:, :, 4:].sum() / drawn.sum())
    assert shares[0] < 0.05 and 0.3 < shares[1] < 0.7


# Refusals


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"latent": 0}, r"learner\.latent is 0"),
        ({"latent": 2.5}, r"learner\.latent is 2.5"),
        ({"beta": 0.0}, r"learner\.beta is 0.0"),
        ({"beta": math.nan}, r"learner\.beta is nan"),
        ({"beta": math.inf}, r"learner\.beta is inf"),
        ({"importance": 0}, r"learner\.importance is 0"),
        ({"likelihood": "poisson"}, r"learner\.likelihood is 'poisson'"),
        ({"architecture": "resnet"}, r"learner\.architecture is 'resnet'"),
        ({"augment": "rotate"}, r"learner\.augment is 'rotate'"),
        ({"observation_variance": 0.0}, r"learner\.observation_variance is 0.0"),
        ({"observation_variance": math.nan}, r"learner\.observation_variance is nan"),
        ({"observation_variance": "free"}, r"learner\.observation_variance is 'free'"),
        ({"likelihood": "bernoulli", "observation_variance": 0.5}, "says nothing of binary pixels"),
        ({"widths": (4, 0)}, r"learner\.widths is 0"),
        ({"widths": (4,), "architecture": "linear"}, "linear has no hidden layers"),
        ({"widths": (), "architecture": "conv"}, "at least one number of channels"),
        ({"records": 0}, r"learner\.records is 0"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "says",
)
def test_settings_that_cannot_be_right_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Vae(**settings)


def test_an_architecture_that_does_not_fit_the_data_is_refused_before_the_run() -> None:
    with pytest.raises(SpecError, match="conv needs pictures"):
        Vae(architecture="conv").bound_to(GaussianSource(dim=3))
    with pytest.raises(SpecError, match="4 halvings of pictures of 8 x 8"):
        Vae(architecture="conv", widths=(4, 4, 4, 4)).bound_to(DigitsSource())


def test_a_density_is_declared_only_where_there_is_one() -> None:
    assert not Vae().has_log_prob and not Vae().bound_to(DigitsSource()).has_log_prob
    assert Vae().bound_to(GaussianSource(dim=2)).has_log_prob
    assert Vae(likelihood="gaussian").bound_to(DigitsSource()).has_log_prob
    assert not Vae(likelihood="bernoulli").bound_to(GaussianSource(dim=2)).has_log_prob
    assert Vae(observation_variance=1.0).bound_to(DigitsSource()).has_log_prob


def test_data_that_cannot_be_learned_fail() -> None:
    x = ellipsoid(50)
    with pytest.raises(FitFailed, match="outside 0 to 1, which no binary pixel can be"):
        Vae(likelihood="bernoulli", records=100).fit(Samples.of(x), key=Key(0))
    with pytest.raises(FitFailed, match="outside 0 to 16"):
        Vae(records=100).bound_to(DigitsSource()).fit(Samples.of(np.full((50, 64), 16.5)), key=Key(0))
    x[3, 1] = np.nan
    with pytest.raises(FitFailed, match="not finite"):
        Vae(records=100).fit(Samples.of(x), key=Key(0))
    with pytest.raises(FitFailed, match="10 or more records, got 9"):
        Vae().fit(Samples.of(ellipsoid(9)), key=Key(0))
    with pytest.raises(FitFailed, match="loss became"):
        Vae(learning_rate=1e30, records=20_000).fit(Samples.of(ellipsoid(500)), key=Key(0))


def test_binary_vectors_are_seen_between_zero_and_one() -> None:
    model = Vae(likelihood="bernoulli", latent=1, widths=(4,), records=100).fit(
        Samples.of(np.tile([[0.0, 1.0]], (20, 1))), key=Key(0)
    )
    assert model.space == Vectors((0.5, 0.5), (0.5, 0.5), "float64")
    assert not isinstance(model.space, Pictures) and model.sample(5, key=Key(0)).x.min() >= 0
