"""Flow matching: the loss by hand, exact velocities, the same model as a denoiser, and trainings of the plane."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save
from scipy.special import ndtr
from torch import Tensor, nn

from autophage import laws
from autophage.data.eight_gaussians import EightGaussiansSource
from autophage.data.two_moons import TwoMoonsSource
from autophage.diffusion.samplers import make_sampler
from autophage.errors import FitFailed, SpecError
from autophage.keys import Key
from autophage.learners.denoising import DenoisingModel, RecordsToLearn
from autophage.learners.flow_matching import FlowMatching, FlowMatchingModel
from autophage.learners.record_spaces import Vectors
from autophage.networks.mlp import MLP
from autophage.parts import Sampling
from autophage.samples import Samples
from autophage.training.devices import Device

PLAIN = Vectors((0.0, 0.0), (1.0, 1.0), "float64")
"""Records as they are."""
SMALL: dict[str, Any] = {
    "network": {"kind": "mlp", "width": 32, "blocks": 2},
    "records": 2560,
    "batch_size": 64,
    "warmup": 0,
    "device": "cpu",
}


class Exact(nn.Module):
    """E[x0 - n | x_t = x] where class c is N(m_c, s_c^2 I), and the null class N(0, I)."""

    means = torch.tensor([[2.0, 0.0], [-1.0, 1.0], [0.0, 0.0]])
    scales = torch.tensor([0.5, 1.5, 1.0])

    def forward(self, x: Tensor, noise: Tensor, label: Tensor | None = None) -> Tensor:
        if label is None:
            label = torch.zeros(len(x), dtype=torch.long)
        t, mean = (noise / 1000)[:, None], self.means[label].to(x.dtype)
        variance = self.scales[label].to(x.dtype)[:, None] ** 2
        gain = (t * variance - (1 - t)) / (t**2 * variance + (1 - t) ** 2)
        return mean + gain * (x - t * mean)


def exact(sampling: Sampling | None = None, shares: tuple[float, ...] | None = (1, 1)) -> FlowMatchingModel:
    facts = {"path": "straight"}
    return FlowMatchingModel(MLP(), Exact(), PLAIN, shares, facts, Device(), {}, sampling)


def noise(n: int = 200) -> Tensor:
    return torch.randn((n, 2), generator=(Key(0) / "noise").torch(), dtype=torch.float64)


def records(
    n: int = 8, label: np.ndarray | None = None, weight: np.ndarray | None = None, hidden: float = 0.0
) -> RecordsToLearn:
    x = (Key(0) / "records").generator().standard_normal((n, 2))
    classes = None if label is None else int(label.max()) + 1
    return RecordsToLearn(x, PLAIN, label, classes, weight, hidden, False, "cpu")


class Told(nn.Module):
    """2 x + the conditioning number / 1000, so that a loss can be worked out by hand."""

    def forward(self, x: Tensor, noise: Tensor, label: Tensor | None = None) -> Tensor:
        return 2 * x + noise[:, None] / 1000


def flat(model: DenoisingModel) -> np.ndarray:
    return np.concatenate([p.numpy().ravel() for p in model.net.state_dict().values()])


# the loss


def test_the_loss_is_that_worked_out_by_hand() -> None:
    objective = FlowMatching().objective(records(), {})
    x, n = torch.tensor([[1.0, 3.0], [0.0, -2.0]]), torch.tensor([[0.0, 1.0], [4.0, 2.0]])
    t = torch.tensor([0.25, 0.5], dtype=torch.float64)
    # x_t = (.25, 1.5) and (2, 0); F = (.75, 3.25) and (4.5, .5); x0 - n = (1, 2) and (-4, -4).
    by_hand = torch.tensor([(0.25**2 + 1.25**2) / 2, (8.5**2 + 4.5**2) / 2])
    assert torch.allclose(objective.loss(Told(), x, n, t, None, None), by_hand)
    weight = torch.tensor([2.0, 0.5])
    assert torch.allclose(objective.loss(Told(), x, n, t, None, weight), by_hand * weight)


def test_the_exact_velocity_has_the_loss_that_no_network_goes_below() -> None:
    """For N(0, I) on both sides the variance of x0 - n given x_t is 1 / (t^2 + (1 - t)^2) an entry."""
    n, trials = 64, 400
    generator, gaps = (Key(0) / "loss").torch(), []
    for _ in range(trials):
        x, z = torch.randn((2, n, 2), generator=generator)
        t = torch.rand(n, generator=generator, dtype=torch.float64)
        each = FlowMatching().objective(records(n), {}).loss(Exact(), x, z, t, torch.full((n,), 2), None)
        gaps.append(float((each - 1 / (t**2 + (1 - t) ** 2)).mean()))
    error = np.std(gaps) / np.sqrt(trials)
    assert abs(np.mean(gaps)) < 4 * error < 0.06


def test_times_are_uniform_or_logit_normal() -> None:
    n, laws_of_t = 4000, {"uniform": lambda t: t, "logit_normal": lambda t: ndtr(np.log(t / (1 - t)))}
    for time, cdf in laws_of_t.items():
        objective = FlowMatching(time=time).objective(records(n), {})  # type: ignore[arg-type]
        t = objective.batch(np.arange(n), (Key(0) / time).torch())[2]
        assert t is not None and t.dtype == torch.float64
        # Kolmogorov and Smirnov: beyond 2.3 / n^(1/2) once in 20,000 times.
        gap = cdf(np.sort(t.numpy())) - (np.arange(n) + 0.5) / n
        assert np.abs(gap).max() < 2.3 / np.sqrt(n)


def test_pairs_are_made_in_the_whole_batch_and_within_true_classes() -> None:
    label = np.arange(64) % 2
    data = records(64, label, hidden=0.5)
    x, n, _, told, _ = (
        FlowMatching(coupling="optimal", labels="use")
        .objective(data, {})
        .batch(np.arange(64), (Key(0) / "pairs").torch())
    )
    assert x is not None and n is not None and told is not None
    assert 10 < int((told == 2).sum()) < 54  # about half is hidden, and keeps to its class nevertheless
    from scipy.optimize import linear_sum_assignment

    for c in (0, 1):
        own = torch.from_numpy(label == c)
        cost = torch.cdist(x[own], n[own]).square().double()
        _, order = linear_sum_assignment(cost.numpy())
        assert float(cost.diagonal().sum()) == pytest.approx(float(cost[range(32), order].sum()), rel=1e-6)
    _, order = linear_sum_assignment(torch.cdist(x, n).square().numpy())
    assert not np.array_equal(order, np.arange(64))  # all together there would be shorter ones


def test_a_batch_is_the_same_but_for_its_pairs_whatever_the_coupling() -> None:
    data, rows = records(32), np.arange(32)
    plain, paired = (
        FlowMatching(coupling=c).objective(data, {}).batch(rows, (Key(3) / "same").torch())
        for c in ("independent", "optimal")
    )
    for i in (0, 2):
        assert torch.equal(plain[i], paired[i])  # type: ignore[arg-type]
    assert sorted(plain[1].tolist()) == sorted(paired[1].tolist())  # type: ignore[union-attr]


def test_an_objective_is_the_same_in_another_process() -> None:
    label, weight = np.arange(32) % 2, np.linspace(0.5, 1.5, 32, dtype=np.float32)
    objective = FlowMatching(coupling="optimal", labels="use").objective(records(32, label, weight, 0.3), {})
    there = pickle.loads(pickle.dumps(objective))
    for a, b in zip(
        *(o.batch(np.arange(32), (Key(0) / "a").torch()) for o in (objective, there)), strict=True
    ):
        assert torch.equal(a, b)


def test_weights_reach_the_loss_and_do_not_bend_the_noise_of_optimal_pairs() -> None:
    """All weight on the right half plane: pairs weighted after the assignment would have the noise of the right half only."""
    n, trials = 64, 300
    data = records(n)
    right = (data.table.rows(np.arange(n))[:, 0] > 0).numpy()
    weight = np.where(right, n / right.sum(), 0.0).astype(np.float32)
    objective = FlowMatching(coupling="optimal").objective(records(n, weight=weight), {})
    generator, drawn = (Key(0) / "weights").torch(), []
    for _ in range(trials):
        x, z, _, _, w = objective.batch(np.arange(n), generator)
        assert x is not None and z is not None and w is not None
        assert torch.allclose(w, torch.ones(n)) and bool((x[:, 0] > 0).all())
        drawn.append(z)
    assert abs(float(torch.cat(drawn)[:, 0].mean())) < 4 / math.sqrt(n * trials)
    plain = FlowMatching().objective(records(n, weight=weight), {})
    assert torch.equal(plain.batch(np.arange(n), generator)[4], torch.from_numpy(weight))  # type: ignore[arg-type]


# the model


@pytest.mark.parametrize("method", ["euler", "midpoint", "heun", "rk4", "dopri5"])
def test_every_sampler_carries_noise_to_the_exact_records(method: str) -> None:
    z, label = noise(), torch.arange(200) % 2
    steps = None if method == "dopri5" else 200
    x = exact(Sampling(sampler=method, steps=steps)).decode(z, label, lambda i: z)
    exactly = Exact.means[label] + Exact.scales[label][:, None] * z
    tolerance = {"euler": 0.1, "dopri5": 2e-3}.get(method, 1e-3)
    assert float((x - exactly).abs().max()) < tolerance


def test_ddim_of_the_denoiser_is_eulers_rule_step_by_step() -> None:
    # From t = 0, where sigma has no number, the first step is Euler's; from there on the two walk side by side.
    model, label, steps = exact(), torch.arange(200) % 2, 20
    euler = model.tuned(Sampling(sampler="euler", steps=steps)).decode(noise(), label, lambda i: noise())
    t = torch.arange(1, steps + 1, dtype=torch.float64) / steps
    x = noise() + model.velocity(noise(), torch.tensor(0.0), label) / steps
    for name in ("ddim", "euler"):
        y = make_sampler(name).sample(model.denoiser(), x / t[0], (1 - t) / t, lambda i: noise(), label)
        assert torch.allclose(y, euler, atol=1e-9)


def test_heun_in_sigma_and_the_ode_meet_as_steps_grow() -> None:
    model, label = exact(), torch.arange(200) % 2
    ode = model.tuned(Sampling(sampler="rk4", steps=200)).decode(noise(), label, lambda i: noise())
    gaps = []
    for steps in (40, 80):
        levels = torch.linspace(1e3 ** (1 / 7), 1e-3 ** (1 / 7), steps, dtype=torch.float64) ** 7
        ladder = torch.cat([levels, torch.zeros(1, dtype=torch.float64)])
        y = make_sampler("heun").sample(model.denoiser(), noise() * 1e3, ladder, lambda i: noise(), label)
        gaps.append(float((y - ode).abs().max()))
    assert gaps[1] < 0.02 and gaps[1] < 0.5 * gaps[0]


def test_the_denoiser_is_the_conditional_mean() -> None:
    """For N(m, s^2): E[x0 | y] = m + s^2 / (s^2 + sigma^2) (y - m)."""
    y, label = 3 * noise(), torch.zeros(200, dtype=torch.long)
    for sigma in (0.0, 0.3, 5.0, 500.0):
        by_hand = Exact.means[0] + 0.25 / (0.25 + sigma**2) * (y - Exact.means[0])
        for level in (torch.tensor(sigma), torch.full((200,), sigma)):
            assert torch.allclose(exact().denoiser()(y, level, label), by_hand, atol=1e-4)


@pytest.mark.parametrize("sampling", [Sampling(guidance=1.5), Sampling(bias=0.4)], ids=["guidance", "bias"])
def test_guidance_is_the_line_through_both_velocities(sampling: Sampling) -> None:
    x, t, label = noise(), torch.full((200,), 0.7, dtype=torch.float64), torch.arange(200) % 2
    given, free = (exact().velocity(x, t, c) for c in (label, torch.full((200,), 2)))
    model = exact(sampling)
    assert torch.allclose(model.velocity(x, t, label), 2.5 * given - 1.5 * free)
    sigma = (1 - t) / t
    given, free = (exact().denoiser()(x, sigma, c) for c in (label, torch.full((200,), 2)))
    assert torch.allclose(model.denoiser()(x, sigma, label), 2.5 * given - 1.5 * free)


def test_samples_come_with_their_labels_and_their_law() -> None:
    found = exact(Sampling(sampler="rk4", steps=20)).sample(4000, key=Key(0) / "sample")
    assert found.label is not None and np.bincount(found.label).tolist() == [2000, 2000]
    for c in (0, 1):
        x, scale = found.x[found.label == c], float(Exact.scales[c])
        assert np.abs(x.mean(0) - Exact.means[c].numpy()).max() < 4.5 * scale / np.sqrt(2000)
        assert np.abs(x.std(0) / scale - 1).max() < 4.5 / np.sqrt(4000)


def test_a_record_does_not_depend_on_those_drawn_after_it_but_for_dopri5s_tolerance() -> None:
    label = np.arange(300) % 2
    for method, tolerance in ((None, 1e-5), ("dopri5", 1e-2)):
        model = exact(Sampling(sampler=method))
        whole, part = (
            model.sample(n, key=Key(0) / "sample", given=Samples.of(np.empty((n, 2)), label=label[:n])).x
            for n in (300, 70)
        )
        np.testing.assert_allclose(whole[:70], part, atol=tolerance)


# the learner


@pytest.mark.parametrize("coupling", ["independent", "optimal"])
def test_laws_of_learners_hold(coupling: Any) -> None:
    x = (Key(0) / "laws").generator().normal(size=(100, 3))
    laws.learner(FlowMatching(**SMALL | {"records": 192}, coupling=coupling), x)


def test_laws_hold_with_labels() -> None:
    generator = (Key(0) / "laws").generator()
    data = Samples.of(generator.normal(size=(100, 2)), label=generator.integers(0, 3, 100))
    laws.learner(FlowMatching(**SMALL | {"records": 192}, labels="use", coupling="optimal"), data)


@pytest.fixture(scope="module")
def labelled() -> Samples:
    """Class 0 around (3, 0), class 1 around (-3, 0)."""
    x = (Key(0) / "labelled").generator().normal(size=(400, 2)) * 0.5
    label = np.arange(400) % 2
    x[:, 0] += np.where(label == 0, 3, -3)
    return Samples.of(x, label=label)


@pytest.fixture(scope="module")
def conditional(labelled: Samples) -> FlowMatchingModel:
    learner = FlowMatching(
        **SMALL | {"records": 8000, "learning_rate": 5e-3}, labels="use", coupling="optimal"
    )
    return learner.fit(labelled, key=Key(0) / "fit")  # type: ignore[return-value]


def test_a_conditional_model_makes_the_class_that_it_is_asked_for(conditional: FlowMatchingModel) -> None:
    given = Samples.of(np.empty((400, 2)), label=np.repeat([0, 1], 200))
    for sampling in (Sampling(), Sampling(guidance=1.0)):
        x = conditional.tuned(sampling).sample(400, key=Key(1), given=given).x
        # The classes' means lie 12 standard deviations apart; a record on the wrong side is one of the other class.
        assert ((x[:, 0] > 0) == (given.label == 0)).mean() > 0.98


def test_a_stored_model_is_the_same_model(conditional: FlowMatchingModel) -> None:
    learner = FlowMatching(**SMALL, labels="use")
    again = learner.restore(load(save(conditional.arrays())))
    assert isinstance(again, FlowMatchingModel) and again.shares == conditional.shares
    assert again.report == dict(conditional.report) and again.facts == conditional.facts
    for sampling in (Sampling(), Sampling(guidance=0.5, sampler="rk4", steps=5)):
        first, second = (m.tuned(sampling).sample(50, key=Key(2)) for m in (conditional, again))
        np.testing.assert_array_equal(first.x, second.x)
        np.testing.assert_array_equal(first.label, second.label)  # type: ignore[arg-type]


def test_the_key_decides_everything_and_the_coupling_matters(labelled: Samples) -> None:
    learner = FlowMatching(**SMALL | {"records": 320})
    one, same, other = (flat(learner.fit(labelled, key=Key(i))) for i in (5, 5, 6))
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    paired = FlowMatching(**SMALL | {"records": 320}, coupling="optimal")
    assert not np.array_equal(one, flat(paired.fit(labelled, key=Key(5))))


def test_micro_batches_see_the_pairs_of_the_whole_batch(labelled: Samples) -> None:
    learner = {**SMALL, "records": 640, "coupling": "optimal"}
    whole, parts = (
        flat(FlowMatching(**learner, micro_batch=m).fit(labelled, key=Key(0))) for m in (None, 13)
    )
    np.testing.assert_allclose(whole, parts, atol=1e-4)


def test_a_training_goes_on_from_its_predecessor(labelled: Samples, conditional: FlowMatchingModel) -> None:
    before = flat(conditional)
    learner = FlowMatching(**SMALL | {"records": 64, "learning_rate": 1e-6}, labels="use")
    warm = learner.fit(labelled, start=conditional, key=Key(9))
    assert np.array_equal(flat(conditional), before)
    assert 0 < np.abs(flat(warm) - before).max() < 1e-4


def test_weights_are_honoured() -> None:
    x = np.concatenate([np.full((200, 2), 4.0), np.full((200, 2), -4.0)])
    x += (Key(0) / "weighted").generator().normal(size=x.shape) * 0.3
    weight = np.repeat([1.0, 3.0], 200)
    short = SMALL | {"records": 20_000, "batch_size": 200, "learning_rate": 5e-3, "schedule": "cosine"}
    for coupling in ("independent", "optimal"):
        learner = FlowMatching(**short, coupling=coupling)  # type: ignore[arg-type]
        made = learner.fit(Samples.of(x, weight=weight), key=Key(0) / "fit").sample(2000, key=Key(1)).x
        # A quarter; so short a training comes to .23 to .27 (twelve keys), and without weights it would be a half.
        assert float((made[:, 0] > 0).mean()) == pytest.approx(0.25, abs=0.1)


# the plane


def sliced(x: np.ndarray, y: np.ndarray) -> float:
    """The 2-Wasserstein distance over 64 directions of the plane, of equally many records."""
    angle = np.arange(64) * np.pi / 64
    directions = np.stack([np.cos(angle), np.sin(angle)])
    gap = np.sort(x @ directions, axis=0) - np.sort(y @ directions, axis=0)
    return float(np.sqrt((gap**2).mean()))


@pytest.mark.slow
@pytest.mark.parametrize(
    "source", [EightGaussiansSource(), TwoMoonsSource()], ids=["eight_gaussians", "two_moons"]
)
def test_a_short_training_learns_the_plane_and_optimal_pairs_make_straighter_paths(source: Any) -> None:
    real, fresh, other = (source.draw(2000, key=Key(0) / i).x[0] for i in ("train", "fresh", "other"))
    shared = SMALL | {"network": {"kind": "mlp", "width": 64, "blocks": 2}, "batch_size": 128}
    # As far as two samples of the truth lie apart, and a tenth of the data's spread.
    band = sliced(fresh, other) + 0.1 * float(real.std())
    bent = {}
    for coupling in ("independent", "optimal"):
        few, many = (
            FlowMatching(**shared | {"records": n, "learning_rate": rate}, coupling=coupling)  # type: ignore[arg-type]
            for n, rate in ((128, 1e-6), (128_000, 3e-3))
        )
        untrained, model = (each.fit(Samples.of(real), key=Key(0) / "fit") for each in (few, many))
        before, found = (sliced(m.sample(2000, key=Key(1)).x, fresh) for m in (untrained, model))
        assert found < band and found < 0.5 * before, (coupling, found, band, before)
        one, fine = (
            model.tuned(Sampling(sampler="euler", steps=steps)).sample(500, key=Key(2)).x for steps in (1, 50)
        )
        bent[coupling] = float(np.sqrt(((one - fine) ** 2).sum(1).mean()))
    # How far a single step along the first velocity misses.
    assert bent["optimal"] < 0.6 * bent["independent"], bent


# what is refused


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"coupling": "ot"}, "learner.coupling is 'ot'; it must be one of: independent, optimal"),
        ({"time": "beta"}, "learner.time is 'beta'; it must be one of: uniform, logit_normal"),
        ({"condition_dropout": 1.0}, "learner.condition_dropout is 1.0"),
        ({"records": 0}, "learner.records is 0"),
    ],
    ids=["coupling", "time", "condition_dropout", "records"],
)
def test_settings_that_are_none_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        FlowMatching(**settings)


@pytest.mark.parametrize(
    ("sampling", "said"),
    [
        (Sampling(sampler="ddim"), "sampling.sampler is 'ddim'"),
        (Sampling(sampler="dopri"), "did you mean 'dopri5'"),
        (Sampling(sampler="dopri5", steps=10), "dopri5 chooses its own"),
        (Sampling(guidance=1.0), "they need learner.labels: use"),
        (Sampling(bias=0.0), "sampling.bias"),
    ],
    ids=["unknown", "misspelt", "dopri5_steps", "guidance", "bias"],
)
def test_samplings_that_cannot_be_are_refused(sampling: Sampling, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        FlowMatching().check_sampling(sampling)


def test_another_kind_of_model_is_not_continued(labelled: Samples, conditional: FlowMatchingModel) -> None:
    class Other(DenoisingModel):
        def decode(self, z: Tensor, label: Tensor | None, draw: Any) -> Tensor:
            return z

    other = Other(conditional.network, conditional.net, PLAIN, (1, 1), {"process": {}}, Device(), {})
    with pytest.raises(FitFailed, match="a FlowMatchingModel cannot continue from a Other"):
        FlowMatching(**SMALL).fit(labelled, start=other, key=Key(0))
    with pytest.raises(SpecError, match="the stored model is another learner's"):
        FlowMatching(**SMALL).restore(other.arrays())


def test_records_that_are_not_finite_fail_the_fit() -> None:
    x = np.zeros((20, 2))
    x[3] = np.nan
    with pytest.raises(FitFailed, match="not finite"):
        FlowMatching(**SMALL, coupling="optimal").fit(Samples.of(x), key=Key(0))


def test_too_large_a_rate_fails_the_fit_in_words(labelled: Samples) -> None:
    learner = FlowMatching(**SMALL | {"learning_rate": 1e30, "gradient_clip": None})
    with pytest.raises(FitFailed, match=r"the loss became|samples are not finite|broke off"):
        learner.fit(labelled, key=Key(0)).sample(10, key=Key(1))
