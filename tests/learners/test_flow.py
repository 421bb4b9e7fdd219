"""Flows: laws, closed-form oracles, what is refused and what fails."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save

from autophage import laws
from autophage.errors import FitFailed, SpecError
from autophage.keys import Key
from autophage.learners.flow import Flow, FlowModel, held_out
from autophage.learners.flow_scaling import Scaling
from autophage.parts import Sampling
from autophage.samples import Samples

MEAN = np.array([3.0, -1.0])
COVARIANCE = np.array([[2.0, 0.9], [0.9, 1.0]])


def correlated(n: int, name: str) -> np.ndarray:
    return (Key(5) / name).generator().multivariate_normal(MEAN, COVARIANCE, size=n)


def pictures(n: int, name: str = "pictures") -> np.ndarray:
    """Whole numbers 0..16 of shape (n, 3, 3): a bright or dark stroke, and a corner that is always 0."""
    rng = (Key(6) / name).generator()
    x = rng.binomial(16, np.where(rng.random((n, 1, 1)) < 0.5, 0.2, 0.8), size=(n, 3, 3)).astype(np.float64)
    x[:, 0, 0] = 0.0
    return x


@pytest.fixture(scope="module")
def gaussian_model() -> FlowModel:
    return Flow().fit(Samples.of(correlated(2000, "train")), key=Key(0) / "fit")


@pytest.fixture(scope="module")
def picture_model() -> FlowModel:
    return Flow(steps=60).fit(Samples.of(pictures(400)), key=Key(1) / "fit")


@pytest.mark.parametrize("architecture", ["realnvp", "spline", "maf"])
@pytest.mark.parametrize("dim", [1, 2, 5])
def test_laws_of_learners_hold(architecture: Any, dim: int) -> None:
    x = (Key(0) / dim).generator().normal(size=(150, dim))
    laws.learner(Flow(architecture=architecture, steps=3, hidden=16, layers=2), x)


def test_laws_hold_for_pictures_of_whole_numbers() -> None:
    laws.learner(Flow(steps=6, hidden=16, layers=2), pictures(120))


def test_moments_of_a_gaussian_are_recovered(gaussian_model: FlowModel) -> None:
    # Four standard errors of 1,800 training and 20,000 drawn records, plus 5 % for a flow that is not exact.
    x = gaussian_model.sample(20_000, key=Key(0) / "sample").x
    error = np.sqrt(1 / 1800 + 1 / 20_000)
    sd = np.sqrt(np.diag(COVARIANCE))
    assert np.abs(x.mean(0) - MEAN) == pytest.approx(np.zeros(2), abs=(4 * error + 0.05) * sd.min())
    spread = np.cov(x.T) / np.outer(sd, sd) - COVARIANCE / np.outer(sd, sd)
    assert np.abs(spread).max() < 4 * np.sqrt(2) * error + 0.05


def test_log_prob_is_that_of_the_gaussian(gaussian_model: FlowModel) -> None:
    x = correlated(4000, "test")
    gap = x - MEAN
    truth = (
        -0.5 * (gap * np.linalg.solve(COVARIANCE, gap.T).T).sum(1)
        - 0.5 * np.linalg.slogdet(2 * np.pi * COVARIANCE)[1]
    )
    lost = truth - gaussian_model.log_prob(x)
    # A fitted density loses about (parameters / 2n) nats; a wrong jacobian would be off by log 2 or so.
    assert -4 * lost.std() / np.sqrt(len(x)) < lost.mean() < 0.15


@pytest.mark.parametrize("architecture", ["realnvp", "spline", "maf"])
def test_density_integrates_to_one(architecture: Any) -> None:
    x = correlated(300, "train")
    model = Flow(architecture=architecture, steps=30).fit(Samples.of(x), key=Key(2))
    ends, h = 12.0, 0.1
    axis = np.arange(-ends, ends, h)
    grid = np.stack(np.meshgrid(axis + MEAN[0], axis + MEAN[1]), axis=-1).reshape(-1, 2)
    assert np.exp(model.log_prob(grid)).sum() * h**2 == pytest.approx(1.0, abs=0.01)


def test_probability_of_whole_numbers_is_bounded_by_one() -> None:
    x = (Key(3) / "counts").generator().binomial(6, 0.4, size=(600, 2))
    model = Flow(steps=150).fit(Samples.of(x), key=Key(3))
    low, high = x.min(), x.max()
    cells = np.stack(np.meshgrid(*[np.arange(low, high + 1)] * 2), axis=-1).reshape(-1, 2)
    mass = np.exp(model.log_prob(cells))
    assert 0.85 < mass.sum() < 1.0
    expected = np.array([(x == c).all(1).mean() for c in cells])
    assert np.abs(mass - expected).max() < 0.05


def test_cells_of_whole_numbers_are_drawn_as_often_as_they_occur() -> None:
    x = (Key(3) / "counts").generator().binomial(6, 0.4, size=(600, 1))
    drawn = Flow(steps=150).fit(Samples.of(x), key=Key(3)).sample(20_000, key=Key(4)).x
    for value in range(7):
        p = (x == value).mean()
        # Four standard errors of 540 training records, and 2 % for the flow.
        assert (drawn == value).mean() == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 540) + 0.02)


def test_samples_of_pictures_are_legal_records(picture_model: FlowModel) -> None:
    x = picture_model.sample(500, key=Key(2)).x
    assert x.shape == (500, 3, 3) and x.dtype == np.float64
    assert np.array_equal(x, np.round(x)) and x.min() >= 0 and x.max() <= 16
    assert (x[:, 0, 0] == 0).mean() > 0.85  # the tail of the lowest cell reaches into the next


def test_a_record_outside_the_range_has_probability_zero(picture_model: FlowModel) -> None:
    x = pictures(5)
    x[2, 1, 1] = 17.0
    density = picture_model.log_prob(x)
    assert np.isneginf(density[2]) and np.isfinite(np.delete(density, 2)).all()


def test_log_prob_does_not_depend_on_what_follows(picture_model: FlowModel) -> None:
    x = pictures(40)
    assert np.allclose(picture_model.log_prob(x)[:7], picture_model.log_prob(x[:7]), rtol=0, atol=1e-4)


def test_plain_numbers_are_not_dequantised() -> None:
    x = pictures(100).reshape(100, 9)
    plain = Flow(steps=5, dequantise="none").fit(Samples.of(x), key=Key(0)).sample(50, key=Key(1)).x
    assert not np.array_equal(plain, np.round(plain))


def test_samples_keep_the_float_type_and_shape() -> None:
    x = correlated(60, "train").astype(np.float32).reshape(60, 1, 2)
    drawn = Flow(steps=3).fit(Samples.of(x), key=Key(0)).sample(4, key=Key(1))
    assert drawn.x.dtype == np.float32 and drawn.x.shape == (4, 1, 2)


def test_a_constant_column_stays_what_it_is() -> None:
    x = np.column_stack([correlated(200, "train"), np.full(200, 0.37)])
    model = Flow(steps=40).fit(Samples.of(x), key=Key(0))
    assert (model.sample(50, key=Key(1)).x[:, 2] == 0.37).all()
    assert np.isfinite(model.log_prob(x)).all()
    assert model.log_prob(x).mean() < 20  # a bounded density, whatever the flow would like to make of it


def test_a_data_set_of_equal_records_can_be_fitted() -> None:
    model = Flow(steps=5).fit(Samples.of(np.full((30, 2), 0.5)), key=Key(0))
    assert (model.sample(5, key=Key(1)).x == 0.5).all()


def test_large_offsets_lose_no_precision() -> None:
    x = correlated(300, "train") * 1e-3 + 1e6
    drawn = Flow(steps=60).fit(Samples.of(x), key=Key(0)).sample(2000, key=Key(1)).x
    assert drawn.std(0) == pytest.approx(x.std(0), rel=0.4)


def test_bias_scales_the_variance_of_the_latents(gaussian_model: FlowModel) -> None:
    for bias in (0.25, 1.0):
        x = gaussian_model.tuned(Sampling(bias=bias)).sample(4000, key=Key(7)).x
        with torch.no_grad():
            z, _ = gaussian_model.scaling.forward(torch.from_numpy(x))
            latent = gaussian_model.net().transform(z.float()).numpy()
        assert latent.var() == pytest.approx(bias, rel=4 * np.sqrt(2 / 8000))
    still = gaussian_model.tuned(Sampling(bias=0.0)).sample(50, key=Key(7)).x
    assert np.ptp(still, axis=0) == pytest.approx(np.zeros(2), abs=1e-12)
    assert gaussian_model.bias == 1.0
    assert gaussian_model.tuned(Sampling()) is gaussian_model


@pytest.mark.parametrize("fixture", ["gaussian_model", "picture_model"])
def test_a_stored_model_is_the_same_model(fixture: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(fixture).tuned(Sampling(bias=0.5))
    stored = load(save({k: np.asarray(v, order="C") for k, v in model.arrays().items()}))
    restored = Flow().restore(stored)
    drawn = model.sample(30, key=Key(0))
    assert np.array_equal(drawn.x, restored.sample(30, key=Key(0)).x)
    assert np.array_equal(model.log_prob(drawn.x), restored.log_prob(drawn.x))
    assert restored.report == model.report and restored.salt == model.salt and restored.shape == model.shape


def test_global_generators_are_left_alone() -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    model = Flow(steps=3).fit(Samples.of(correlated(40, "train")), key=Key(0))
    Flow().restore(model.arrays()).sample(3, key=Key(1))
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002


def test_a_warm_start_continues_where_the_other_fit_ended(gaussian_model: FlowModel) -> None:
    data = Samples.of(correlated(200, "more") + 5.0)
    barely = Flow(steps=1, learning_rate=1e-9, start="previous")
    same = barely.fit(data, start=gaussian_model, key=Key(3))
    drawn = gaussian_model.sample(100, key=Key(4)).x
    assert np.allclose(same.sample(100, key=Key(4)).x, drawn, atol=1e-3)
    further = Flow(start="previous", steps=60).fit(data, start=gaussian_model, key=Key(3))
    assert further.log_prob(data.x).mean() > same.log_prob(data.x).mean() + 1
    assert torch.equal(further.scaling.mean, gaussian_model.scaling.mean)
    assert np.array_equal(gaussian_model.sample(100, key=Key(4)).x, drawn)


def test_a_warm_start_trains_its_whole_budget_unless_told_to_hold_out(gaussian_model: FlowModel) -> None:
    data = gaussian_model.sample(200, key=Key(8)).stamped(generation=0, agent="main")
    warm = Flow(start="previous", steps=30)
    assert warm.fit(data, start=gaussian_model, key=Key(0)).report["best_step"] == 30
    assert warm.fit(data, start=gaussian_model, key=Key(0)).report["best_validation_loss"] is None
    held = Flow(start="previous", steps=30, validation_share=0.2).fit(data, start=gaussian_model, key=Key(0))
    assert held.report["best_validation_loss"] is not None and held.salt == gaussian_model.salt


def test_a_warm_start_needs_a_flow_of_its_width_and_range(
    gaussian_model: FlowModel, picture_model: FlowModel
) -> None:
    warm = Flow(start="previous", steps=2)
    with pytest.raises(FitFailed, match="of 3 dimensions cannot continue from one of 2"):
        warm.fit(Samples.of(np.zeros((20, 3))), start=gaussian_model, key=Key(0))
    with pytest.raises(FitFailed, match="whole numbers from 0 to 16"):
        warm.fit(Samples.of(pictures(20) + 1), start=picture_model, key=Key(0))


def test_held_out_records_are_real_and_stay_the_same() -> None:
    x = correlated(100, "train")
    generation = np.repeat([-1, 0], 50)
    rows = held_out(x, generation, 0.2, salt=7)
    assert len(rows) == 10 and rows.max() < 50
    order = (Key(0) / "order").generator().permutation(100)
    again = held_out(x[order], generation[order], 0.2, salt=7)
    assert {x[i].tobytes() for i in rows} == {x[order][i].tobytes() for i in again}
    assert set(rows) != set(held_out(x, generation, 0.2, salt=8))
    assert len(held_out(x, np.zeros(100, int), 0.1, salt=7)) == 10
    assert not len(held_out(x, generation, 0.0, salt=7))
    assert len(held_out(x[:10], np.full(10, -1), 0.9, salt=7)) == 9


def test_a_held_out_record_moves_no_weight(gaussian_model: FlowModel) -> None:
    # The one real record is held out. Another in its place gives the same weights: the warm start fixes the scaling,
    # and both approve of the last step, which brings the density to where they and all the others are.
    def weights(real: list[float], share: float) -> np.ndarray:
        x = np.concatenate([correlated(100, "train") + np.array([3.0, 2.0]), [real]])
        data = Samples.of(x, generation=np.append(np.zeros(100, int), -1))
        learner = Flow(start="previous", steps=19, validation_share=share)
        model = learner.fit(data, start=gaussian_model, key=Key(0))
        assert model.report["best_step"] == 19
        return np.concatenate([v.ravel() for k, v in model.arrays().items() if k.startswith("net.")])

    assert np.array_equal(weights([6.0, 1.0], 0.01), weights([6.3, 1.2], 0.01))
    assert not np.array_equal(weights([6.0, 1.0], 0.0), weights([6.3, 1.2], 0.0))


def test_training_stops_when_the_held_out_loss_no_longer_falls() -> None:
    data = Samples.of(correlated(40, "train"))
    eager = Flow(steps=400, patience=40, learning_rate=0.05).fit(data, key=Key(0))
    assert eager.report["stopped_early"] and eager.report["steps"] < 400
    assert eager.report["steps"] - eager.report["best_step"] >= 40
    whole = Flow(steps=30, validation_share=0.0).fit(data, key=Key(0))
    assert whole.report == {
        "steps": 30,
        "best_step": 30,
        "best_validation_loss": None,
        "stopped_early": False,
    }


def test_epochs_take_the_place_of_steps() -> None:
    data = Samples.of(correlated(100, "train"))
    report = Flow(epochs=3, batch_size=40, validation_share=0).fit(data, key=Key(0)).report
    assert report["steps"] == 9


def test_weights_of_records_count() -> None:
    x = np.concatenate([correlated(300, "train"), correlated(300, "train") + 20.0])
    data = Samples.of(x, weight=np.repeat([1.0, 0.0], 300))
    drawn = Flow(steps=50).fit(data, key=Key(0)).sample(500, key=Key(1)).x
    assert np.abs(np.median(drawn, axis=0) - MEAN).max() < 0.5
    assert (drawn[:, 0] < 13).mean() > 0.99


def test_a_weight_is_a_number_of_copies() -> None:
    x = correlated(50, "train")
    doubled = torch.from_numpy(np.concatenate([x, x[:25]]))
    weight = torch.from_numpy(np.repeat([2.0, 1.0], 25))
    one = Scaling.of(torch.from_numpy(x), weight, False)
    two = Scaling.of(doubled, torch.ones(75).double(), False)
    assert torch.allclose(one.mean, two.mean) and torch.allclose(one.scale, two.scale)


@pytest.mark.parametrize("whole", [True, False])
def test_the_scaling_is_inverted_and_its_jacobian_right(whole: bool) -> None:
    x = torch.from_numpy(pictures(30).reshape(30, 9))
    scaling = Scaling.of(x, torch.ones(30).double(), whole)
    y = (x + 0.3).requires_grad_()
    z, jacobian = scaling.forward(y)
    (slope,) = torch.autograd.grad(z.sum(), y)
    assert torch.allclose(slope.log().sum(1), jacobian)
    back = scaling.inverse(z.detach())
    expected = x if whole else torch.where(scaling.constant, scaling.mean, y.detach())
    assert torch.allclose(back, expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_records_that_are_not_finite_fail(bad: float) -> None:
    x = correlated(40, "train")
    x[3, 1] = bad
    with pytest.raises(FitFailed, match="training set is not finite"):
        Flow(steps=2).fit(Samples.of(x), key=Key(0))


def test_too_few_records_fail() -> None:
    with pytest.raises(FitFailed, match="needs 10 or more records, got 9"):
        Flow().fit(Samples.of(np.zeros((9, 2))), key=Key(0))
    assert Flow().smallest(2) == 10


@pytest.mark.parametrize("weight", [np.nan, -1.0, 0.0])
def test_weights_that_are_none_fail(weight: float) -> None:
    with pytest.raises(FitFailed, match="weights must be finite"):
        Flow().fit(Samples.of(np.zeros((20, 2)), weight=weight), key=Key(0))


def test_a_diverged_loss_fails_with_its_step() -> None:
    with pytest.raises(FitFailed, match=r"loss became (NaN|infinite) at step \d+"):
        Flow(learning_rate=1e30, steps=50).fit(Samples.of(correlated(100, "train")), key=Key(0))


def test_dequantisation_needs_whole_numbers() -> None:
    with pytest.raises(FitFailed, match="not all records are whole numbers"):
        Flow(dequantise="uniform").fit(Samples.of(correlated(20, "train")), key=Key(0))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("architecture", "glow"),
        ("schedule", "linear"),
        ("dequantise", "logit"),
        ("device", "tpu"),
        ("start", "base"),
        ("layers", 0),
        ("hidden", 1.5),
        ("steps", None),
        ("steps", True),
        ("epochs", -1),
        ("batch_size", 0),
        ("patience", 0),
        ("learning_rate", float("nan")),
        ("learning_rate", 0.0),
        ("weight_decay", -0.1),
        ("gradient_clip", float("inf")),
        ("validation_share", 0.95),
        ("validation_share", float("nan")),
    ],
)
def test_settings_that_cannot_be_right_are_refused(setting: str, value: Any) -> None:
    with pytest.raises(SpecError, match=rf"learner\.{setting} is"):
        Flow(**{setting: value})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_device_is_refused() -> None:
    with pytest.raises(SpecError, match="torch sees no CUDA device"):
        Flow(device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_device_fits_the_same_law() -> None:
    data = Samples.of(correlated(500, "train"))
    here, there = (Flow(device=d).fit(data, key=Key(0)) for d in ("cpu", "cuda"))
    assert here.log_prob(data.x).mean() == pytest.approx(there.log_prob(data.x).mean(), abs=0.1)


@pytest.mark.slow
def test_digits_degrade_on_their_own_and_hold_with_real_ones() -> None:
    from autophage.data.digits import DigitsSource

    source, learner = DigitsSource(), Flow()
    real, reference = source.train(), source.reference().x
    first = learner.fit(real, key=Key(0) / "first")
    likelihood = {"first": first.log_prob(reference).mean()}
    for arm in ("replaced", "kept"):
        model = first
        for generation in range(2):
            new = model.sample(len(real), key=Key(0) / arm / generation / "sample")
            new = new.stamped(generation=generation, agent="main")
            data = Samples.join([real, new]) if arm == "kept" else new
            model = learner.fit(data, key=Key(0) / arm / generation / "fit")
        likelihood[arm] = model.log_prob(reference).mean()
    # Measured: -93, -107 and -94, each within a nat or two from key to key.
    assert likelihood["first"] > -97
    assert likelihood["kept"] > likelihood["first"] - 4
    assert likelihood["replaced"] < likelihood["first"] - 10
