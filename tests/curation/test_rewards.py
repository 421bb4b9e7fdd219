"""Rewards: what they score, and what is refused before a run."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.curation.rewards import (
    ClassProbability,
    Distance,
    Linear,
    Own,
    Reward,
    Table,
    reward_of,
    written,
)
from autophage.data.categorical import CategoricalSource
from autophage.data.digits import DigitsSource
from autophage.data.eight_gaussians import EightGaussiansSource
from autophage.data.gaussian import GaussianSource
from autophage.data.two_moons import TwoMoonsSource
from autophage.errors import FitFailed, SpecError
from autophage.keys import Key
from autophage.spec import Spec

SYMBOLS, PLANE = CategoricalSource(probabilities=(0.5, 0.3, 0.2)), GaussianSource(dim=2)


def second(x):
    return x[:, 1]


class Height:
    def __call__(self, x):
        return x[:, 0] ** 2


def test_a_table_gives_each_symbol_its_number():
    score = reward_of([0, 1.5, -np.inf], "reward").score(SYMBOLS, {})
    assert score(np.array([2, 0, 1, 1])).tolist() == [-np.inf, 0, 1.5, 1.5]


def test_distance_beyond_a_radius():
    score = Distance(point=(1.0, 1.0), radius=2.0, scale=0.5).score(PLANE, {})
    assert score(np.array([[1.0, 2.0], [1.0, 6.0]])).tolist() == [0.0, -4.5]
    same = Distance(point=1.0, radius=2.0, scale=0.5).score(PLANE, {})
    assert same(np.array([[1.0, 6.0]])).tolist() == [-4.5]


def test_pictures_are_read_as_their_numbers():
    x = np.arange(12.0).reshape(2, 2, 3)
    assert Linear(coordinate=4).score(PLANE, {})(x).tolist() == [4.0, 10.0]


def test_class_probability_of_a_mixture_is_its_posterior():
    source, memo = EightGaussiansSource(), {}
    x, label = source.records(4000, Key(1), 1)
    for number in (0, 5):
        score = ClassProbability(label=number, scale=2.0).score(source, memo)
        found = score(x[0])
        assert ((found >= 0) & (found <= 2)).all()
        # A calibrated posterior: the mean chance of a class is its share of the records.
        assert abs(found.mean() / 2 - (label[0] == number).mean()) < 4 * 0.33 / np.sqrt(4000)
    best = ClassProbability(scale=1.0).score(source, memo)(x[0])
    every = np.stack([ClassProbability(label=k, scale=1.0).score(source, memo)(x[0]) for k in range(8)])
    np.testing.assert_allclose(best, every.max(axis=0))
    np.testing.assert_allclose(every.sum(axis=0), 1)
    logs = ClassProbability(label=3, scale=1.0, log=True).score(source, memo)(x[0])
    np.testing.assert_allclose(np.exp(logs), every[3], atol=1e-12)


def test_classes_are_learnt_from_labelled_records_once():
    source, memo = TwoMoonsSource(), {}
    held = source.reference()
    score = ClassProbability(label=source.classes[1], scale=1.0).score(source, memo)
    chance = score(held.x)
    assert chance[held.label == 1].mean() > 0.7 > 0.3 > chance[held.label != 1].mean()
    (first,) = memo.values()
    ClassProbability(label=0).score(source, memo)
    assert memo["class posterior"] is first


@pytest.mark.parametrize(
    "given",
    [second, f"{__name__}:second", Height(), np.sum],
    ids=["function", "path", "object", "wrong shape"],
)
def test_own_functions(given):
    if given == f"{__name__}:second":
        given = second  # what registry.load would find; tests are no package
    reward = reward_of(given, "reward")
    assert isinstance(reward, Own)
    score = reward.score(PLANE, {})
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    if given is np.sum:
        with pytest.raises(FitFailed, match="the reward sum gave float64 of shape .* for 2 records"):
            score(x)
    else:
        assert score(x).tolist() == given(x).tolist()


def test_an_import_path_is_loaded():
    assert reward_of("numpy:ravel", "reward").score(PLANE, {})(np.ones((3, 1))).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "reward",
    [
        Table(values=(0.0, 1.0)),
        Linear(coordinate=1, slope=-2.0),
        Distance(point=(0.0, 1.0), radius=0.5),
        ClassProbability(label="3", scale=2.0, log=True),
    ],
    ids=lambda r: type(r).__name__,
)
def test_a_reward_is_written_and_read_again(reward):
    assert reward_of(written(reward), "reward") == reward


def test_a_stranger_s_reward_stays_what_it_is():
    class Mine(Reward):
        def score(self, source, memo):
            return lambda x: np.zeros(len(x))

    mine = Mine()
    assert written(mine) is mine and reward_of(mine, "reward") is mine
    assert written(Own(function=second)) is second


@pytest.mark.parametrize(
    "curation",
    [
        {"kind": "preference", "reward": [0.0, 1.0, float("-inf")], "choices": 3},
        {"kind": "preference", "reward": {"kind": "table", "values": [0, 1, 2]}, "choices": float("inf")},
        {"kind": "preference", "reward": [0, 1, 2], "malicious_share": 0.2, "malicious_reward": "opposite"},
    ],
    ids=["list", "table", "opposite"],
)
def test_a_spec_with_a_reward_re_creates_itself(curation):
    given = {"seed": 1, "data": {"kind": "categorical", "uniform": 3}, "learner": "categorical"}
    spec = Spec.of(given, curation=[curation])
    assert spec.repeatable and Spec.of(spec.to_dict()).to_dict() == spec.to_dict()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("linaer", "no reward called 'linaer'; did you mean 'linear'"),
        ({"slope": 2}, "no reward called None"),
        ({"kind": "linear", "slop": 2}, "unknown key 'reward.slop'; did you mean 'slope'"),
        ({"kind": "linear", "slope": float("nan")}, "reward.slope holds a value that is not finite"),
        ({"kind": "linear", "coordinate": -1}, "reward.coordinate is -1"),
        ({"kind": "distance"}, "the reward distance needs point"),
        ({"kind": "distance", "point": [0, 0], "radius": -1}, "reward.radius is -1"),
        ({"kind": "distance", "point": [0, float("inf")]}, "reward.point holds a value"),
        ({"kind": "class_probability", "scale": 0}, "reward.scale is 0"),
        ([0.0, float("nan")], "holds NaN or \\+inf"),
        ([0.0, float("inf")], "holds NaN or \\+inf"),
        ([], "flat list"),
        ([[1, 2], [3, 4]], "flat list"),
        (["a", "b"], "one number per symbol"),
        (3, "reward is 3; give one number per symbol"),
        ("nowhere:reward", "no module called 'nowhere'"),
        ("numpy:nothing_of_the_kind", "has no 'nothing_of_the_kind'"),
        ("fractions:Fraction", "names a class"),
    ],
)
def test_what_is_no_reward(given, words):
    with pytest.raises(SpecError, match=words):
        reward_of(given, "reward")


@pytest.mark.parametrize(
    ("reward", "source", "words"),
    [
        ([0, 1], SYMBOLS, "has 2 numbers; the data have 3 symbols"),
        ([0, 1, 2], PLANE, "is a table of symbols, and the data are vectors"),
        ("linear", SYMBOLS, "symbols have no coordinates"),
        ({"kind": "linear", "coordinate": 2}, PLANE, "coordinates 0 to 1"),
        ({"kind": "distance", "point": [1, 2, 3]}, PLANE, "has 3 numbers; records of the data have 2"),
        ({"kind": "distance", "point": 0}, SYMBOLS, "symbols have no distance"),
        ("class_probability", PLANE, "the data have no labels"),
        (
            {"kind": "class_probability", "label": "airplane"},
            DigitsSource(),
            "'airplane'; the classes of the data are",
        ),
        ({"kind": "class_probability", "label": 10}, DigitsSource(), "is 10; the classes of the data are"),
    ],
    ids=[
        "short table",
        "table of vectors",
        "linear",
        "coordinate",
        "point",
        "distance",
        "no labels",
        "class",
        "number",
    ],
)
def test_e_rewards_that_do_not_fit_the_data_are_refused_before_the_run(reward, source, words):
    with pytest.raises(SpecError, match=words):
        reward_of(reward, "reward").check(source, "reward")
