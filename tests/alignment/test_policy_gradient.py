"""Walks and updates against closed forms: one Gaussian step, the exact score, the samplers of the diffusion room."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from autophage.alignment.policy import DiffusionPolicy, FlowPolicy, Policy, ScorePolicy, roll_out
from autophage.alignment.update import Update, adam, kl_to_base, moments, resume, update
from autophage.alignment.weights import Weights, ddim, even, flow, reshaped, shifted
from autophage.diffusion.exact import ExactGaussian
from autophage.diffusion.ode import integrate
from autophage.diffusion.samplers import make_sampler
from autophage.errors import FitFailed, RunError
from autophage.keys import Key
from autophage.learners.diffusion import Diffusion
from autophage.learners.flow_matching import FlowMatching
from autophage.parts import Sampling
from autophage.samples import Samples

ONE = ddim([0.4], [0.8], [0.2])


class Shift(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(d))


class OneStep(Policy):
    """A prediction that is one vector theta, whatever x is."""

    def __init__(self, steps, d=3):
        self.steps, self.shape, self.net = steps, (d,), Shift(d)

    def predict(self, x, at, told):
        return self.net.theta.expand_as(x)

    def predict_base(self, x, at, told):
        return torch.zeros_like(x)

    def records(self, x):
        return x.numpy()


class Recorder(torch.optim.SGD):
    """Keeps the gradient of each step and moves nothing."""

    def __init__(self, parameters):
        super().__init__(parameters, lr=0.0)
        self.seen = []

    def step(self):
        self.seen.append([p.grad.clone() for p in self.param_groups[0]["params"]])


def weights_of(method, steps):
    return even(steps, 3.0) if method == "pcpo-loss" else Weights.of(steps).std


@pytest.mark.parametrize("method", ["ppo", "grpo", "base", "pcpo-sigma", "pcpo-loss"])
def test_the_gradient_of_one_gaussian_step_in_closed_form(method):
    """r = c.x' and x' = m - C theta + sigma z give A = c.z / |c| and the loss the gradient w c / |c|, for every arm with its own w."""
    steps = reshaped(ONE, 3.0)[0] if method == "pcpo-sigma" else ONE
    policy, n = OneStep(steps), 100_000
    c = np.array([1.0, -2.0, 0.5])
    rollout = roll_out(policy, n, Key(1))
    # The start is a nuisance here: rewarded is what the step itself did.
    moved = rollout.records - (steps.carry[0] * rollout.x[0]).numpy()
    rollout = replace(rollout, reward=moved @ c)
    w = weights_of(method, steps)
    optimiser = Recorder(policy.parameters())
    update(policy, rollout, Update(method, w, clip=0.1, passes=1, minibatches=1), optimiser, Key(2))
    ((found,),) = optimiser.seen
    wanted = w[0] * c / np.linalg.norm(c)
    # The standard error of mean(A z) is at most root 2 over root n.
    assert np.abs(found.numpy() - wanted).max() < 5 * w[0] * np.sqrt(2 / n)
    # Up to the scale of the reward this is the gradient of E r = const - C c.theta, for weights of the sampler's own.
    if method != "pcpo-loss":
        assert np.allclose(wanted * steps.noise[0] * np.linalg.norm(c), steps.gain[0] * c)


@pytest.mark.parametrize("method", ["ppo", "base", "pcpo-loss"])
def test_chunks_and_minibatches_leave_the_gradient_as_it_is(method):
    steps = ddim([0.2, 0.4], [0.4, 0.8])
    policy = OneStep(steps)
    rollout = roll_out(policy, 40, Key(1))
    rollout = replace(rollout, reward=rollout.records[:, 0].astype(float))
    found = []
    for at_once, parts in ((4096, 1), (7, 1), (7, 4)):
        how = Update(method, weights_of(method, steps), passes=1, minibatches=parts, at_once=at_once)
        optimiser = Recorder(policy.parameters())
        update(policy, rollout, how, optimiser, Key(2))
        assert len(optimiser.seen) == parts
        found.append(torch.stack([g for (g,) in optimiser.seen]).mean(0))
    assert torch.allclose(found[0], found[1], atol=1e-6) and torch.allclose(found[0], found[2], atol=1e-6)


def test_the_kl_term_pulls_back_to_the_base():
    policy = OneStep(ONE)
    with torch.no_grad():
        policy.net.theta += torch.tensor([0.3, 0.0, -0.1])
    rollout = replace(roll_out(policy, 16, Key(1)), reward=np.ones(16))
    optimiser = Recorder(policy.parameters())
    how = Update("base", Weights.of(ONE).std, kl=0.5, passes=1, minibatches=1)
    update(policy, rollout, how, optimiser, Key(2))
    w = Weights.of(ONE).std[0]
    assert torch.allclose(optimiser.seen[0][0], 0.5 * w**2 * policy.net.theta.detach(), rtol=1e-5)
    assert np.allclose(kl_to_base(policy, rollout), 0.5 * w**2 * 0.1, rtol=1e-5)


def test_a_rollout_of_another_schedule_is_refused():
    policy = OneStep(ONE)
    rollout = replace(roll_out(policy, 16, Key(1)), reward=np.arange(16.0))
    other = policy.walking(ddim([0.4], [0.8], [0.19]))
    how = Update("base", Weights.of(ONE).std)
    with pytest.raises(RunError, match=f"{ONE.digest}, and the sampler now takes {other.steps.digest}"):
        update(other, rollout, how, adam(other, 1e-3), Key(2))


def test_a_loss_that_is_not_finite_ends_it():
    policy = OneStep(ONE)
    rollout = replace(roll_out(policy, 16, Key(1)), reward=np.arange(16.0))
    with torch.no_grad():
        policy.net.theta += float("nan")
    with pytest.raises(FitFailed, match="no longer finite; lower process.learning_rate"):
        update(policy, rollout, Update("base", Weights.of(ONE).std), adam(policy, 1e-3), Key(2))
    with pytest.raises(FitFailed, match="step 1 of 1"):
        roll_out(policy, 4, Key(1))


def test_the_optimiser_comes_back_as_it_was():
    policies = [OneStep(ONE), OneStep(ONE)]
    rollout = replace(roll_out(policies[0], 16, Key(1)), reward=np.arange(16.0))
    how, first = Update("ppo", Weights.of(ONE).std), adam(policies[0], 1e-2)
    update(policies[0], rollout, how, first, Key(2))
    second = adam(policies[1], 1e-2)
    policies[1].load(policies[0].weights())
    resume(second, moments(first))
    for policy, optimiser in zip(policies, (first, second), strict=True):
        update(policy, rollout, how, optimiser, Key(3))
    assert torch.equal(policies[0].net.theta, policies[1].net.theta)
    with pytest.raises(RunError, match="another|not those"):
        policies[0].load({"theta": torch.zeros(4)})


def test_an_exact_score_walks_to_the_law_of_its_steps():
    """N(m, diag l) stays Gaussian: x' = (carry - C g) (x - mean) + sigma z along each axis, g = s / ((l + s^2) sqrt(a))."""
    mean, law = np.array([0.5, -1.0]), np.array([0.5, 0.2])
    kept = 1 / (1 + np.geomspace(30, 0.01, 60) ** 2)
    steps = ddim(kept, np.append(kept[1:], 1.0), last=0.001)
    policy = ScorePolicy(ExactGaussian(mean, law), 2, steps, Key(0), width=4)
    n = 20_000
    rollout = roll_out(policy, n, Key(1), at_once=n)
    assert (rollout.p == 0).all()  # the residual begins at nothing
    level = np.sqrt((1 - kept) / kept)[:, None]
    slope = steps.carry[:, None] - steps.gain[:, None] * level / ((law + level**2) * np.sqrt(kept)[:, None])
    off, variance = -mean * np.sqrt(kept[0]), np.ones(2)
    for c, sigma in zip(slope, steps.noise, strict=True):
        off, variance = c * off, c**2 * variance + sigma**2
    x = rollout.records
    assert (np.abs(x.mean(0) - mean - off) < 5 * np.sqrt(variance / n)).all()
    assert (np.abs(x.var(0) / variance - 1) < 5 * np.sqrt(2 / n)).all()
    # and the steps' law is near that of the data, by the width of the steps
    assert np.allclose(variance, law, rtol=0.15) and np.allclose(off, 0, atol=0.01)


class ExactFlow(OneStep):
    """The velocity E[eps - x0 | x] of N(m, s^2 I)."""

    m, s = 0.7, 0.5

    def predict(self, x, at, told):
        t = torch.as_tensor(self.steps.before)[at].to(x)[:, None]
        total = (1 - t) ** 2 * self.s**2 + t**2
        off = (x - (1 - t) * self.m) / total
        return t * off - self.m - (1 - t) * self.s**2 * off


@pytest.mark.parametrize("sigma", [1e-6, 0.3, 0.8])
def test_a_flow_keeps_its_law_whatever_its_noise(sigma):
    policy = ExactFlow(flow(shifted(150), sigma), d=1)
    x = roll_out(policy, 6_000, Key(1), at_once=6_000).records
    assert x.mean() == pytest.approx(0.7, abs=0.03)
    assert x.std() == pytest.approx(0.5, abs=0.03)


@pytest.fixture(scope="module")
def plane():
    rng = Key(7).generator()
    return Samples.of(rng.standard_normal((200, 2)) * [1.0, 0.3] + [2.0, 0.0])


TINY = {
    "records": 2000,
    "batch_size": 64,
    "warmup": 64,
    "network": {"kind": "mlp", "width": 16, "blocks": 1},
    "device": "cpu",
}


@pytest.mark.parametrize("noise", ["linear", "edm"])
def test_a_diffusion_model_walks_as_its_own_sampler(noise, plane):
    model = Diffusion(noise=noise, **TINY).fit(plane, key=Key(0))
    model = model.tuned(Sampling(sampler="ddim", steps=6, eta=1.0))
    ladder = model.ladder()
    kept = 1 / (1 + ladder.numpy() ** 2)
    policy = DiffusionPolicy(model, ddim(kept[:-1], kept[1:]))
    rollout = roll_out(policy, 9, Key(1))
    assert rollout.at.tolist() == [0, 1, 2, 3, 4]  # the last step draws nothing
    y = rollout.x[0] / kept[0] ** 0.5
    sampler = make_sampler("ddim", eta=1.0)
    draws = dict(enumerate(rollout.z))
    found = sampler.sample(model.denoiser(), y, ladder, lambda i: draws[i])
    assert np.allclose(model.space.leave(found), rollout.records, atol=2e-3)
    ancestral = make_sampler("ancestral").sample(model.denoiser(), y, ladder, lambda i: draws[i])
    assert np.allclose(model.space.leave(ancestral), rollout.records, atol=2e-3)


def test_a_flow_model_without_noise_walks_as_its_own_ode(plane):
    model = FlowMatching(**TINY).fit(plane, key=Key(0))
    policy = FlowPolicy(model, flow(shifted(8), 1e-7))
    rollout = roll_out(policy, 9, Key(1))
    ode = integrate(lambda x, t: model.velocity(x, t), rollout.x[0], "euler", steps=8)
    assert np.allclose(model.space.leave(ode.x), rollout.records, atol=1e-4)


def test_what_a_rollout_predicted_is_what_the_policy_predicts(plane):
    model = FlowMatching(**TINY).fit(plane, key=Key(0))
    policy = FlowPolicy(model, flow(shifted(4), 0.3))
    rollout = roll_out(policy, 8, Key(1), at_once=3)
    assert torch.equal(rollout.x[0], roll_out(policy, 8, Key(1)).x[0])
    assert kl_to_base(policy, rollout).max() < 1e-8
    at = torch.from_numpy(np.repeat(rollout.at, 8))
    again = policy.predict(rollout.x.flatten(0, 1), at, None)
    assert torch.allclose(again, rollout.p.flatten(0, 1), atol=1e-5)
