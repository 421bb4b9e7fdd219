"""What a check accepts, what it misses, and what it refuses."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from autophage.errors import SpecError
from autophage.parts import Prediction
from autophage.recipes.checking import outcome

R, G = 200, 4


def table(values):
    """values: metric to (R, G), as a run's metric table, in no particular order of rows."""
    frames = [
        pl.DataFrame(
            {
                "generation": np.tile(np.arange(v.shape[1]), len(v)),
                "replicate": np.repeat(np.arange(len(v)), v.shape[1]),
                "metric": [metric] * v.size,
                "value": v.ravel(),
            }
        )
        for metric, v in values.items()
    ]
    return pl.concat(frames).sample(fraction=1.0, shuffle=True, seed=3)


@pytest.fixture
def runs():
    rng = np.random.default_rng(0)
    a = rng.gamma(2.0, 1.0, (R, G)) + np.arange(G)
    values = {"variance": a, "rest": 10 - a, "other": rng.random((R, G))}
    b = {"variance": a / 2}
    predicted = [
        Prediction("variance", np.full(G, 99.0), "bound", "at most", "me", side="upper"),
        Prediction("variance", np.array([2.0, 3.0, 4.0, 5.0]), "exact", "equal", "me"),
    ]
    whole = SimpleNamespace(
        metrics=table(values),
        predictions=lambda: predicted,
        verdict=lambda: {"D5": SimpleNamespace(verdict="yes")},
    )
    return {"a": whole, "b": SimpleNamespace(metrics=table(b)), "values": values}


def asked(runs, **check):
    return outcome(
        {"what": "it", "from": "someone", **check}, {k: v for k, v in runs.items() if k != "values"}
    )


@pytest.mark.parametrize(
    "off, tolerance, passed",
    [(0.5, "0.6 abs", True), (0.5, "0.4 abs", False), (0.5, 0.6, True), (0.0, "1e-9 abs", True)],
)
def test_tolerance_is_relative_unless_it_says_abs(runs, off, tolerance, passed):
    mean = runs["values"]["variance"][:, 3].mean()
    found = asked(runs, run="a", metric="variance", generation=3, value=mean + off, tolerance=tolerance)
    assert found.passed is passed
    width = 0.6 * (mean + off) if tolerance == 0.6 else float(str(tolerance).removesuffix("abs"))
    assert found.high - found.low == pytest.approx(2 * width)


def test_the_default_is_the_mean_of_the_last_generation(runs):
    mean = runs["values"]["variance"][:, -1].mean()
    found = asked(runs, run="a", metric="variance", value=mean, tolerance="0.001 abs")
    assert found.passed and found.measured == f"{mean:.5g}" and found.source == "someone"


def test_a_pair_of_generations_is_pooled(runs):
    mean = runs["values"]["variance"][:, 1:3].mean()
    assert asked(runs, run="a", metric="variance", generation=[1, 2], value=mean, tolerance="1e-9 abs").passed


def test_several_metrics_are_added_replicate_by_replicate(runs):
    found = asked(
        runs, run="a", metric=["variance", "rest"], generation=2, statistic="sd", band=[-1e-9, 1e-9]
    )
    assert found.passed


def test_relative_to_divides_within_a_replicate(runs):
    v = runs["values"]["variance"]
    expected = (v[:, 3] / v[:, 0]).mean()
    assert asked(runs, run="a", metric="variance", relative_to=0, value=expected, tolerance=1e-9).passed
    assert abs(expected - v[:, 3].mean() / v[:, 0].mean()) > 0.1


@pytest.mark.parametrize(
    "statistic, function",
    [
        ("median", np.median),
        ("var", np.var),
        ("mean_sqrt", lambda v: np.sqrt(v).mean()),
        ("mean_log", lambda v: np.log(v).mean()),
        ("var_log", lambda v: np.log(v).var()),
        ("share_above_2.5", lambda v: (v > 2.5).mean()),
        ("share_below_2.5", lambda v: (v < 2.5).mean()),
    ],
)
def test_statistics(runs, statistic, function):
    expected = float(function(runs["values"]["variance"][:, 1]))
    found = asked(
        runs, run="a", metric="variance", generation=1, statistic=statistic, value=expected, tolerance=1e-9
    )
    assert found.passed


def test_standard_error_is_that_of_the_mean(runs):
    v = runs["values"]["variance"][:, 2]
    found = asked(runs, run="a", metric="variance", generation=2, band=[0, 9])
    # Twenty groups know a standard error to 1 / sqrt(2 x 19) = 16 %; four of these.
    assert found.standard_error == pytest.approx(v.std() / np.sqrt(R), rel=0.65)


def test_standard_error_counts_replicates_not_generations(runs):
    """A course that never moves is one observation a replicate, however many generations are pooled."""
    still = np.tile(np.random.default_rng(1).random((R, 1)), (1, 50))
    found = asked(
        {"a": SimpleNamespace(metrics=table({"variance": still}))},
        run="a",
        metric="variance",
        generation=[0, 49],
        band=[0, 1],
    )
    assert found.standard_error > 0.35 * still[:, 0].std() / np.sqrt(R)


def test_theory_is_the_expected_value_and_a_bound_is_not(runs):
    found = asked(runs, run="a", metric="variance", theory="mean", generation=2, tolerance="0.5 abs")
    assert found.passed and found.expected.startswith("4 ")
    with pytest.raises(SpecError, match="no median"):
        asked(runs, run="a", metric="variance", theory="median", tolerance=0.1)


def test_order_must_fall(runs):
    assert asked(runs, metric="variance", order=["a", "b"]).passed
    assert not asked(runs, metric="variance", order=["b", "a"]).passed
    assert not asked(runs, metric="variance", order=["a", "a"]).passed


def test_ratio_of_two_runs(runs):
    assert asked(runs, metric="variance", ratio=["a", "b"], band=[1.999, 2.001]).passed
    assert not asked(runs, metric="variance", ratio=["b", "a"], band=[1.999, 2.001]).passed


def of_size(size, *distances):
    values = np.array([distances])
    return SimpleNamespace(metrics=table({"distance": values}), loop=SimpleNamespace(real={"main": size}))


@pytest.mark.parametrize(
    "distance, records, passed",
    [(12.0, 200.0, True), (8.0, 400.0, True), (17.0, 0.0, False), (3.0, 1e9, False)],
)
def test_effective_size_inverts_the_curve_of_generation_0(distance, records, passed):
    """Outside the curve nothing is extrapolated: worse than its fewest records passes no band."""
    curve = {f"n{n}": of_size(n, d, 99.0) for n, d in [(100, 16.0), (400, 8.0), (1600, 4.0)]}
    found = asked(
        {**curve, "loop": of_size(100, 16.0, distance)},
        run="loop",
        metric="distance",
        effective_size=["n1600", "n100", "n400"],
        value=records,
        tolerance="1e-6 abs",
    )
    assert found.passed is passed


@pytest.mark.parametrize(
    "value, passed", [("yes", True), (True, True), ("no", False), (False, False), ("undecided", False)]
)
def test_verdict(runs, value, passed):
    """YAML reads a bare yes as true."""
    assert asked(runs, run="a", verdict="D5", value=value).passed is passed


def test_function_with_arguments_that_are_functions():
    nested = {"function": "numpy:full", "arguments": {"shape": 3, "fill_value": 10}}
    check = {
        "function": "autophage.theory.gaussian_replace:mean_sd",
        "arguments": {"sizes": nested, "ddof": 1},
    }
    assert asked({}, **check, pick=[2], value=0.9726593**3, tolerance="1e-6 abs").passed
    assert not asked({}, **check, pick=[1], value=0.9726593**3, tolerance="1e-6 abs").passed


def test_pick_takes_attributes_and_entries():
    check = {"function": "autophage.theory.stability:stability"}
    arguments = {"ratio": 0.3, "eps": 0.1, "lipschitz": 2.0, "curvature": 1.0}
    assert asked({}, **check, arguments=arguments, pick=["rate"], value=0.5625, tolerance="1e-9 abs").passed


def test_nan_passes_no_band(runs):
    v = np.full((R, 1), np.nan)
    found = asked(
        {"a": SimpleNamespace(metrics=table({"variance": v}))}, run="a", metric="variance", band=[-1e9, 1e9]
    )
    assert not found.passed


@pytest.mark.parametrize(
    "check, words",
    [
        ({"run": "c", "metric": "variance", "band": [0, 1]}, "names a run 'c'"),
        ({"run": "a", "metric": "variances", "band": [0, 1]}, "measured no 'variances'"),
        ({"run": "a", "metric": "variance", "generation": 9, "band": [0, 1]}, "at generation 9"),
        ({"run": "a", "metric": "variance", "statistic": "mode", "band": [0, 1]}, "no statistic 'mode'"),
        ({"function": "autophage.theory.nothing:x", "value": 1, "tolerance": 1}, "autophage.theory.nothing"),
    ],
)
def test_a_malformed_check_is_refused(runs, check, words):
    with pytest.raises(SpecError, match=words):
        asked(runs, **check)
