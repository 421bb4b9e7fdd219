"""Latent codes: what a model's encoder makes of a record depends on the record, the noise and the key, and on nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.errors import AutophageError, FitFailed, SpecError
from autophage.intake import part
from autophage.keys import Key
from autophage.learners.estimator import Estimator
from autophage.networks.kinds import network_from
from autophage.networks.network import Net
from autophage.parts import Sampling
from autophage.samples import Samples

KEY = Key(0) / "test_latents"
TINY = {"records": 256, "batch_size": 64, "warmup": 0, "device": "cpu"}
MODELS = {
    "edm": {"kind": "diffusion", "labels": "use", **TINY},
    "chain": {"kind": "diffusion", "noise": "linear", "timesteps": 50, "labels": "use", **TINY},
    "flow_matching": {"kind": "flow_matching", "labels": "use", **TINY},
    "vae": {"kind": "vae", "latent": 3, "widths": [16], **TINY},
}


@pytest.fixture(scope="module", params=sorted(MODELS))
def fitted(request):
    source = part("data", {"kind": "digits", "size": 200}, "data")
    learner = part("learner", MODELS[request.param], "learner")
    assert learner.has_latents
    return learner.bound_to(source), learner.bound_to(source).fit(source.train(), key=KEY), source


def test_codes_are_repeatable_and_do_not_depend_on_the_company(fitted):
    """Up to rounding: a record alone passes through other kernels than among many."""
    learner, model, source = fitted
    x = source.train().x[:70]
    whole = model.latents(x, noise=0.3, key=KEY)
    assert whole.dtype == np.float64 and whole.ndim == 2 and len(whole) == 70 and np.isfinite(whole).all()
    np.testing.assert_array_equal(whole, model.latents(x, noise=0.3, key=KEY))
    scale = np.abs(whole).max()
    np.testing.assert_allclose(model.latents(x[::-1], noise=0.3, key=KEY)[::-1], whole, atol=1e-5 * scale)
    np.testing.assert_allclose(model.latents(x[5:6], noise=0.3, key=KEY), whole[5:6], atol=1e-5 * scale)
    again = learner.restore(model.arrays())
    np.testing.assert_array_equal(again.latents(x, noise=0.3, key=KEY), whole)


def test_noise_and_key_matter_where_there_are_levels(fitted):
    _, model, source = fitted
    x = source.train().x[:20]
    clean, noisy = (model.latents(x, noise=level, key=KEY) for level in (0.0, 0.5))
    other = model.latents(x, noise=0.5, key=KEY / "other")
    if type(model).__name__ == "VaeModel":
        np.testing.assert_array_equal(clean, noisy)
        np.testing.assert_array_equal(noisy, other)
        np.testing.assert_allclose(clean, model.encode(x)[0])
    else:
        assert not np.allclose(clean, noisy) and not np.allclose(noisy, other)


def test_how_the_model_is_sampled_does_not_enter(fitted):
    _, model, source = fitted
    if type(model).__name__ == "VaeModel":
        pytest.skip("an autoencoder has no guidance")
    x = source.train().x[:10]
    guided = model.tuned(Sampling(guidance=3.0))
    np.testing.assert_array_equal(guided.latents(x, noise=0.1, key=KEY), model.latents(x, noise=0.1, key=KEY))
    with pytest.raises(AutophageError, match=r"noise in \[0, 1\)"):
        model.latents(x, noise=1.0, key=KEY)
    with pytest.raises(AutophageError, match="records of 64 numbers, got 10"):
        model.latents(x[:, :10], key=KEY)


def test_the_noise_is_standard_normal_and_of_the_share_asked():
    """y = x0 + sigma n with sigma^2 / (1 + sigma^2) = noise, seen by a network whose bottleneck is its input."""
    import torch
    from torch import nn

    source = part("data", {"kind": "digits", "size": 200}, "data")
    model = part("learner", MODELS["edm"], "learner").bound_to(source).fit(source.train(), key=KEY)

    class Through(nn.Module):
        def __init__(self):
            super().__init__()
            self.bottleneck = nn.Identity()

        def forward(self, x, noise, label=None):
            return self.bottleneck(x)

    model.net = Through()
    x = source.train().x
    sigma2 = 0.2 / 0.8
    seen = model.latents(x, noise=0.2, key=KEY) * np.sqrt(sigma2 + model.process.data_scale**2)
    entered = model.space.enter(torch.from_numpy(x)).flatten(1).double().numpy()
    noise = seen - entered
    n = noise.size
    assert abs(noise.mean()) < 4.5 * np.sqrt(sigma2 / n)
    assert abs(noise.var() / sigma2 - 1) < 4.5 * np.sqrt(2 / n)
    assert abs(np.corrcoef(noise[0], noise[1])[0, 1]) < 4.5 / 8  # each record has its own


@pytest.mark.parametrize(
    ("body", "shape", "width"),
    [
        ({"kind": "small_unet"}, (1, 8, 8), 256),
        ({"kind": "small_unet", "attention": True, "width": 8}, (1, 8, 8), 64),
        ({"kind": "mlp", "width": 12}, (3,), 12),
        pytest.param(
            {"kind": "unet", "block_out_channels": [8, 16]}, (1, 8, 8), 16 * 16, marks=pytest.mark.slow
        ),
        pytest.param(
            {"kind": "dit", "layers": 2, "heads": 2, "head_size": 8},
            (1, 8, 8),
            16 * 16,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_networks_say_where_their_bottleneck_is(body, shape, width):
    import torch

    if body["kind"] in ("unet", "dit"):
        pytest.importorskip("diffusers")
    net = network_from(body).build(shape, shape[0], 3, KEY).eval()
    seen = []
    net.bottleneck.register_forward_hook(lambda *a: seen.append(a[2].flatten(1)))
    with torch.no_grad():
        net(torch.zeros(2, *shape), torch.zeros(2))
    assert [s.shape for s in seen] == [(2, width)]


def test_a_network_that_does_not_say_is_told_so():
    made = network_from({"kind": "mlp"})
    with pytest.raises(SpecError, match="mlp does not say where its bottleneck is"):
        _ = Net(made, (3,), 3, None).bottleneck


class Encodes:
    """A stranger's model with an encoder."""

    wrong = False

    def fit(self, x):
        return self

    def sample(self, n):
        return np.zeros((n, 2))

    def latents(self, x, noise=0.0):
        return np.zeros(3) if self.wrong else x[:, :1] + noise


def test_a_strangers_latents_are_taken_and_checked():
    learner = Estimator(object=Encodes)
    model = learner.fit(Samples.of(np.ones((4, 2))), key=KEY)
    assert learner.has_latents and not Estimator(object="sklearn.mixture:GaussianMixture").has_latents
    assert model.latents(np.ones((4, 2)), noise=0.5, key=KEY).tolist() == [[1.5]] * 4
    model.fitted.wrong = True
    with pytest.raises(FitFailed, match=r"Encodes\.latents gave shape \(3,\)"):
        model.latents(np.ones((4, 2)), key=KEY)
