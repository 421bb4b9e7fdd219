"""From settings to predictions: which apply, with which status, and that they say what the theorems say."""

import itertools

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.parts import Prediction
from autophage.theory import predictors
from autophage.theory.linear import window_shares
from autophage.theory.predictors import predict
from autophage.theory.setting import Setting

WORKFLOWS = {
    "replace": {},
    "accumulate": {},
    "accumulate_subsample": {},
    "window": {"window": 2},
    "mix": {"synthetic_ratio": 1.0},
    "keep_real": {"real_shares": 0.2},
    "fresh": {"real_shares": 0.3},
    "something_else": {},
}
LEARNERS = {
    "gaussian": {"data_kind": "gaussian"},
    "kde": {"data_kind": "gaussian", "bandwidth": 0.3},
    "categorical": {"data_kind": "categorical", "dim": 3, "data": {"probabilities": [0.5, 0.3, 0.2]}},
    "poisson": {"data_kind": "poisson", "data": {"mean": 2.0}},
    "bernoulli": {"data_kind": "bernoulli", "data": {"mean": [0.3]}},
    "exponential": {"data_kind": "exponential", "data": {"mean": 2.0}},
    "regression": {"data_kind": "regression", "dim": 4, "data": {"noise": 0.5}},
    "gaussian_mixture": {"data_kind": "eight_gaussians", "dim": 2},
    "flow": {"data_kind": "digits", "dim": 64},
}


def setting(**keys) -> Setting:
    keys.setdefault("generations", 6)
    keys.setdefault("sizes", [20] * keys["generations"])
    return Setting(**keys)


def only(
    found: list[Prediction], metric: str, quantity: str = "mean", status: str | None = None
) -> Prediction:
    chosen = [
        p
        for p in found
        if p.metric == metric and p.quantity == quantity and (status is None or p.status == status)
    ]
    assert len(chosen) == 1, f"{metric}: {len(chosen)} predictions"
    return chosen[0]


def metrics(found: list[Prediction]) -> set[str]:
    return {p.metric for p in found}


@pytest.mark.parametrize(("learner", "workflow"), list(itertools.product(LEARNERS, WORKFLOWS)))
def test_every_prediction_is_well_formed(learner, workflow):
    found = predict(
        setting(learner_kind=learner, workflow_kind=workflow, **LEARNERS[learner], **WORKFLOWS[workflow])
    )
    for p in found:
        one_number = p.quantity in ("limit", "threshold", "rate")
        assert p.values.shape == ((1,) if one_number else (6,)), p.metric
        assert np.isfinite(p.values).all()
        assert (p.side is not None) == (p.status == "bound")
        assert p.statement.endswith(".") and p.source
    if workflow == "something_else":
        assert not found
    elif learner not in ("gaussian_mixture", "flow", "regression"):
        assert any(p.status == "exact" for p in found)


@pytest.mark.parametrize("workflow", [w for w in WORKFLOWS if w != "something_else"])
@pytest.mark.parametrize("learner", ["gaussian", "categorical"])
def test_what_is_lost_in_width_is_found_in_error(learner, workflow):
    """The conserved second moment, through the whole dispatch."""
    found = predict(
        setting(learner_kind=learner, workflow_kind=workflow, **LEARNERS[learner], **WORKFLOWS[workflow])
    )
    if learner == "gaussian":
        width, error, total = only(found, "variance"), only(found, "squared_mean_error"), 1.0
    else:
        width, error, total = only(found, "gini"), only(found, "squared_error"), 0.62
    np.testing.assert_allclose(width.values + error.values, total, rtol=1e-12)
    assert width.status == error.status == "exact"


def test_gaussian_replace_numbers():
    found = predict(setting(generations=10, sizes=[100] * 10, ddof=1))
    assert only(found, "frechet_model", status="exact").values[-1] == pytest.approx(0.149872, abs=5e-7)
    found = predict(setting(generations=20, sizes=[10] * 20, ddof=1))
    assert only(found, "log_det").values[-1] == pytest.approx(-2.30413, abs=5e-6)
    assert only(found, "log_variance").values[-1] == pytest.approx(-2.30413, abs=5e-6)
    assert only(found, "standard_deviation").values[-1] == pytest.approx(0.57440, abs=5e-6)
    assert only(found, "variance", "median").status == "asymptotic"
    tail = only(found, "standard_deviation", "probability")
    assert tail.side == "upper" and tail.parameters["above"] == pytest.approx(0.1)


def test_correlated_gaussians_in_three_dimensions():
    """Against a loop on raw records: exact rows within error, the bound below, the expansion close."""
    rng = np.random.default_rng(0)
    cov = np.array([[2.0, 0.8, 0.0], [0.8, 1.0, 0.3], [0.0, 0.3, 0.5]])
    R, G, n = 1500, 3, 60
    found = predict(
        setting(generations=G, sizes=[n] * G, ddof=1, dim=3, data={"cov": cov, "mean": [1, 2, 3]})
    )
    L = np.linalg.cholesky(cov)
    x = rng.standard_normal((R, n, 3)) @ L.T
    values, vectors = np.linalg.eigh(cov)
    root = (vectors * np.sqrt(values)) @ vectors.T
    for t in range(G):
        m = x.mean(axis=1)
        centred = x - m[:, None]
        S = np.einsum("rni,rnj->rij", centred, centred) / (n - 1)
        cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ S @ root), 0)).sum(axis=1)
        width = np.trace(S, axis1=1, axis2=2)
        measured = {
            "variance": width / 3,
            "squared_mean_error": (m**2).sum(axis=1),
            "log_det": np.linalg.slogdet(S)[1],
            "log_variance": np.log(np.diagonal(S, axis1=1, axis2=2)).mean(axis=1),
            "standard_deviation": np.sqrt(np.diagonal(S, axis1=1, axis2=2)).mean(axis=1),
        }
        for metric, sample in measured.items():
            exact = only(found, metric, status="exact").values[t]
            assert abs(sample.mean() - exact) < 4.5 * sample.std() / np.sqrt(R), (metric, t)
        w2 = (m**2).sum(axis=1) + width + np.trace(cov) - 2 * cross
        error = 4.5 * w2.std() / np.sqrt(R)
        assert only(found, "frechet_model", status="bound").values[t] < w2.mean() + error
        assert only(found, "frechet_model", status="asymptotic").values[t] == pytest.approx(
            w2.mean(), rel=0.12
        )
        x = m[:, None] + rng.standard_normal((R, n, 3)) @ np.linalg.cholesky(S).transpose(0, 2, 1)


def test_a_diagonal_fit_is_exact_where_coordinates_are_independent():
    found = predict(setting(dim=2, covariance="diagonal", data={"cov": [4.0, 1.0]}))
    distance = only(found, "frechet_model")
    assert distance.status == "exact"
    one = only(predict(setting()), "frechet_model").values
    np.testing.assert_allclose(distance.values, 5 * one, rtol=1e-12)  # proportional to the total variance


def test_given_start():
    found = predict(setting(dim=1, ddof=1, bias=0.9, initial={"mean": 2.0, "var": 4.0}, sizes=[50] * 6))
    np.testing.assert_allclose(only(found, "variance").values, 4 * 0.9 ** np.arange(6), rtol=1e-12)
    assert only(found, "squared_mean_error").values[0] == 4.0
    assert only(found, "frechet_model").values[0] == pytest.approx(4 + 1)
    assert only(found, "log_det").values[0] == pytest.approx(np.log(4))
    assert "relative_excess_risk" not in metrics(found)  # it is about loops that start from real data


def test_known_covariance_predicts_the_mean_only():
    found = predict(setting(covariance="known", known_variance=2.0, data={"cov": 2.0}))
    assert {"squared_mean_error", "relative_excess_risk"} == metrics(found)
    np.testing.assert_allclose(only(found, "squared_mean_error").values, np.arange(1, 7) * 2 / 20, rtol=1e-12)


def test_limits_are_where_the_courses_go():
    G = 3000
    for workflow, keys in {
        "accumulate": {},
        "mix": {"synthetic_ratio": 1.0},
        "fresh": {"real_shares": 0.25, "counts": "exact", "ddof": 1, "bias": 0.9},
    }.items():
        found = predict(setting(generations=G, sizes=[20] * G, workflow_kind=workflow, **keys))
        limit = only(found, "variance", "limit").values[0]
        assert only(found, "variance").values[-1] == pytest.approx(limit, rel=1e-3)
    found = predict(setting(generations=G, sizes=[20] * G, learner_kind="kde", bandwidth=0.3))
    assert only(found, "variance").values[-1] == pytest.approx(
        only(found, "variance", "limit").values[0], rel=1e-3
    )


def test_fresh_loop_of_alemohammad():
    found = predict(
        setting(
            generations=61,
            sizes=[100] + [1000] * 60,
            dim=100,
            ddof=1,
            bias=0.8,
            workflow_kind="fresh",
            real_shares=0.1,
            counts="exact",
        )
    )
    assert only(found, "frechet_model").values[-1] == pytest.approx(20.65, abs=0.4)
    assert only(found, "frechet_model", "limit").values[0] < 20.65
    assert only(found, "synthetic_size", "threshold").unit == "records"


def test_relative_risk_is_the_linear_predictor():
    for workflow, keys, expected in [
        ("replace", {}, 20.0),
        ("accumulate", {}, 1.5962),
        ("window", {"window": 3}, 5.7153),
        ("window", {"window": 3, "keep_real": True}, 1.5981),
        ("mix", {}, 1.3333),
    ]:
        for learner, status in [("gaussian", "asymptotic"), ("flow", "conjecture")]:
            found = predict(
                setting(generations=20, sizes=[50] * 20, workflow_kind=workflow, learner_kind=learner, **keys)
            )
            risk = only(found, "relative_excess_risk")
            assert risk.values[-1] == pytest.approx(expected, abs=5.1e-5)
            assert risk.values[0] == 1 and risk.status == status


def test_share_matrices_of_unknown_workflows():
    A = window_shares([20] * 6, 3)
    found = predict(setting(workflow_kind="custom", share_matrix=A))
    by_name = predict(setting(workflow_kind="window", window=3))
    np.testing.assert_allclose(
        only(found, "relative_excess_risk").values, only(by_name, "relative_excess_risk").values
    )
    part = np.diag(np.full(6, 0.5))
    part[:, 0] += 0.5
    # Half of a set cannot be all of a batch twice as large: how many records there are is not known.
    assert not predict(setting(workflow_kind="custom", share_matrix=part, sizes=[20, 40, 40, 40, 40, 40]))


def test_categorical_support():
    p = np.full(50, 0.02)
    keys = {
        "learner_kind": "categorical",
        "data_kind": "categorical",
        "dim": 50,
        "data": {"probabilities": p},
    }
    rng = np.random.default_rng(0)
    R = 4000
    q = np.broadcast_to(p, (R, 50))
    exact = only(predict(setting(**keys)), "support")
    assert exact.status == "exact"
    for t in range(6):
        q = rng.multinomial(20, q) / 20
        alive = (q > 0).sum(axis=1)
        assert abs(alive.mean() - exact.values[t]) < 4.5 * alive.std() / np.sqrt(R)
    kept = only(predict(setting(workflow_kind="accumulate", **keys)), "support")
    np.testing.assert_allclose(kept.values, exact.values[0], rtol=1e-9)
    growing = only(predict(setting(sizes=[20, 21, 22, 23, 24, 25], **keys)), "support")
    assert growing.status == "bound" and growing.side == "lower"
    fresh = only(predict(setting(workflow_kind="fresh", real_shares=0.5, **keys)), "support")
    q = rng.multinomial(20, np.broadcast_to(p, (R, 50))) / 20
    for _ in range(5):
        q = rng.multinomial(20, 0.5 * p + 0.5 * q) / 20
    alive = (q > 0).sum(axis=1)
    error = 4.5 * alive.std() / np.sqrt(R)
    assert alive.mean() * 0.97 - error < fresh.values[-1] <= alive.mean() + error


def test_one_parameter_families():
    found = predict(setting(generations=20, sizes=[10] * 20, learner_kind="poisson", data={"mean": 1.0}))
    alive = only(found, "alive", "probability")
    np.testing.assert_allclose(alive.values[[0, 4, 19]], [0.99995, 0.95588, 0.60006], atol=5e-6)
    np.testing.assert_allclose(only(found, "squared_error").values, np.arange(1, 21) / 10, rtol=1e-12)
    found = predict(setting(sizes=[1000] * 6, learner_kind="bernoulli", data={"mean": 0.001}))
    sides = {p.side: p.values for p in found if p.metric == "alive"}
    assert (sides["lower"] <= sides["upper"]).all()
    flips = only(predict(setting(learner_kind="bernoulli", data={"mean": [0.3, 0.5]}, dim=2)), "variance")
    np.testing.assert_allclose(flips.values, (0.21 + 0.25) / 2 * 0.95 ** np.arange(1, 7), rtol=1e-12)


def test_regression_excess_risk():
    keys = {
        "learner_kind": "regression",
        "data_kind": "regression",
        "dim": 10,
        "data": {"noise": 1.0},
        "generations": 12,
        "sizes": [60] * 12,
    }
    grown = only(predict(setting(**keys)), "excess_risk")
    assert grown.status == "exact"
    np.testing.assert_allclose(grown.values[[0, 1, 4, 11]], [0.204082, 0.4082, 1.0204, 2.4490], atol=5e-5)
    kept = only(predict(setting(workflow_kind="accumulate", design="fixed", **keys)), "excess_risk")
    assert kept.status == "exact"
    np.testing.assert_allclose(kept.values[[1, 4, 11]], [0.2551, 0.2987, 0.3194], atol=5e-5)
    assert (kept.values < 0.335701).all()
    fresh = only(predict(setting(workflow_kind="accumulate", **keys)), "excess_risk")
    assert fresh.status == "asymptotic"
    assert "excess_risk" not in metrics(predict(setting(**keys | {"sizes": [11] * 12})))
    assert "excess_risk" not in metrics(predict(setting(ridge=0.1, **keys)))


def test_learners_without_closed_forms():
    for learner in ("flow", "estimator", "gaussian_mixture"):
        alone = predict(setting(learner_kind=learner, data_kind="eight_gaussians", dim=2))
        assert metrics(alone) == {"variance", "relative_excess_risk"}
        assert {p.status for p in alone} == {"conjecture"}
        mixed = predict(
            setting(
                learner_kind=learner,
                data_kind="eight_gaussians",
                dim=2,
                workflow_kind="mix",
                synthetic_ratio=0.25,
                sizes=[200] + [50] * 5,
            )
        )
        threshold = only(mixed, "synthetic_ratio", "threshold")
        assert threshold.values == [0.5] and threshold.status == "bound" and threshold.side == "upper"
        rate = only(mixed, "distance_to_optimum", "rate")
        assert rate.values == pytest.approx(0.2) and rate.status == "conjecture"
    family = predict(setting(workflow_kind="mix", synthetic_ratio=0.25, sizes=[20] + [5] * 5))
    assert only(family, "distance_to_optimum", "rate").status == "exact"


def test_one_shared_real_set():
    """The variance course is conditional on the set; nothing is said about the unknown truth."""
    found = predict(
        setting(data_kind="digits", dim=2, data={"cov": [[2.0, 0.0], [0.0, 4.0]]}, real_fixed=True)
    )
    np.testing.assert_allclose(only(found, "variance").values, 3 * 0.95 ** np.arange(6), rtol=1e-12)
    assert not metrics(found) & {"squared_mean_error", "frechet_model", "log_det"}
    symbols = predict(setting(**LEARNERS["categorical"], learner_kind="categorical", real_fixed=True))
    assert only(symbols, "gini").values[0] == pytest.approx(0.62)
    assert not metrics(symbols) & {"squared_error", "support"}


def test_what_no_theorem_covers_gets_no_prediction():
    assert predict(setting(curation=True)) == []
    assert predict(setting(agents=2)) == []
    # A penalty biases every fit: the risk does not follow from the shares of batches.
    assert not predict(setting(ridge=0.1))
    assert "gini" not in metrics(
        predict(setting(**LEARNERS["categorical"], learner_kind="categorical", temperature=0.9))
    )
    assert not predict(setting(workflow_kind="fresh", real_shares=0.3, provenance="known"))
    assert "variance" not in metrics(predict(setting(data_kind="digits", dim=64)))
    # A fit that does not exist is the run's failure to report, not theory's.
    assert "variance" not in metrics(predict(setting(ddof=1, sizes=[20, 20, 1, 20, 20, 20])))
    assert predict(setting(workflow_kind="accumulate", sizes=[20, 0, 5, 5, 5, 5])) == []


def test_a_size_for_every_generation():
    with pytest.raises(SpecError, match="one size per generation"):
        Setting(generations=4, sizes=[10] * 3)


def test_predictors_can_be_added(monkeypatch):
    mine = Prediction("mine", np.zeros(6), "conjecture", "Nothing changes.", "a friend")
    monkeypatch.setattr(predictors, "PREDICTORS", [*predictors.PREDICTORS, lambda s: [mine]])
    assert predict(setting())[-1] is mine
