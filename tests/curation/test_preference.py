"""Choices among K: which are refused, which fail and are repeated, and what they cost."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from autophage.curation.preference import Preference, choice_logits
from autophage.data.categorical import CategoricalSource
from autophage.data.gaussian import GaussianSource
from autophage.errors import FilterStarved, FitFailed, SpecError
from autophage.keys import Key
from autophage.loop import Loop
from autophage.samples import Batch, Samples
from autophage.theory import curated

INF = float("inf")


class Fixed:
    """A `interventions.Curating` whose model draws symbols of a law, or the records it is given."""

    def __init__(self, replicates=1, p=(0.5, 0.3, 0.2), deep=False):
        self.generation, self.agent, self.key, self.memo = 2, "main", Key(5) / "curation", {}
        self.source = CategoricalSource(probabilities=tuple(p))
        self.replicates, self.deep = replicates, deep
        self.proposals, self.notes, self.calls = np.zeros(replicates), {}, 0

    def first(self, n):
        self.proposals = np.full(self.replicates, float(n))
        return self._drawn(n, Key(5) / "first")

    def draw(self, n):
        self.calls += 1
        self.proposals = self.proposals + n
        return self._drawn(n, Key(5) / "draw" / self.calls)

    def _drawn(self, n, key):
        batch = self.source.draw(n, key=key, replicates=self.replicates)
        batch = Batch.of(batch.x, generation=2, agent="main")
        return batch.replicate(0) if self.deep else batch

    def note(self, name, values):
        self.notes[name] = np.broadcast_to(values, (self.replicates,)).copy()


def test_the_kept_law_is_theory_s_at_both_scales():
    r = [0.0, 0.7, 1.5]
    for deep in (False, True):
        context = Fixed(deep=deep)
        kept = Preference(reward=r, choices=4).apply(context.first(60_000), context=context)
        x = kept.x if deep else kept.x[0]
        expected = curated.kept([0.5, 0.3, 0.2], r, 4)
        found = np.bincount(x, minlength=3) / 60_000
        assert (np.abs(found - expected) < 4 * np.sqrt(expected * (1 - expected) / 60_000)).all()
        assert len(kept) == 60_000 and (context.proposals == 240_000).all()
        assert (np.asarray(kept.generation) == 2).all()
        np.testing.assert_allclose(context.notes["kept_reward"], np.asarray(r)[x].mean())


def test_temperature_divides_the_reward():
    one, two = (Fixed(20), Fixed(20))
    hot = Preference(reward=[0, 2, 4], temperature=2.0, choices=3).apply(one.first(50), context=one)
    same = Preference(reward=[0, 1, 2], choices=3).apply(two.first(50), context=two)
    assert (hot.x == same.x).all()


def test_one_choice_returns_the_samples_themselves():
    context = Fixed(3)
    samples = context.first(10)
    curation = Preference(reward=[0, 1, 2], choices=1)
    assert curation.apply(samples, context=context) is samples and curation.idle
    assert not Preference(reward=[0, 1, 2]).idle


def test_replicates_do_not_depend_on_how_many_follow():
    """Also where failed choices are repeated, as often as the unluckiest replicate needs."""
    curation = Preference(
        reward=[-INF, -INF, 1.0], choices=2, malicious_share=0.2, malicious_reward=[-INF, 0, -1]
    )
    found = []
    for replicates in (3, 40):
        context = Fixed(replicates)
        found.append((curation.apply(context.first(25), context=context), context))
    (few, seen), (many, noted) = found
    assert (few.x == many.x[:3]).all() and (seen.proposals == noted.proposals[:3]).all()
    for name in seen.notes:
        assert (seen.notes[name] == noted.notes[name][:3]).all(), name
    assert len(set(noted.proposals)) > 5


def test_e_failed_choices_are_repeated_and_counted():
    """A choice among samples of reward -inf does not take place; here that is (4/5)^2 of them."""
    context = Fixed(50)
    kept = Preference(reward=[-INF, -INF, 1.0], choices=2).apply(context.first(40), context=context)
    assert (kept.x == 2).all() and len(kept) == 40 and kept.weight is None
    # As many choices as it takes for 40 to succeed, each with chance 0.36.
    mean, error = context.proposals.mean() / 2, np.sqrt(40 * 0.64) / 0.36 / np.sqrt(50)
    assert abs(mean - 40 / 0.36) < 4 * error
    np.testing.assert_array_equal(context.notes["rejected_choices"], context.proposals / 2 - 40)
    assert (context.notes["rejected_records"] == 0).all()


def test_e_nan_is_rejected_and_counted():
    def reward(x):
        return np.where(x == 0, np.nan, x.astype(float))

    context = Fixed(20)
    kept = Preference(reward=reward, choices=3).apply(context.first(200), context=context)
    assert (kept.x > 0).all() and len(kept) == 200
    # Half of all records have no reward; an eighth of the choices have no other candidate.
    looked = context.proposals.sum()
    assert abs(context.notes["rejected_records"].sum() / looked - 0.5) < 4 * 0.5 / np.sqrt(looked)
    assert abs(context.notes["rejected_choices"].sum() / (looked / 3) - 1 / 8) < 4 * 0.33 / np.sqrt(
        looked / 3
    )


def test_e_huge_and_infinite_rewards():
    rows = np.array(
        [
            [1e308, -1e308, 0.0],
            [INF, 5.0, -INF],
            [INF, INF, 0.0],
            [-INF, -INF, -INF],
            [np.nan, np.nan, -INF],
            [np.nan, 3.0, 3.0],
        ]
    )
    with np.errstate(all="raise"):
        logits, held = choice_logits(rows, 0.5)
    assert held.tolist() == [True, True, False, False, False, True]
    assert logits[0].tolist() == [0, -INF, -INF] and logits[1].tolist() == [0, -INF, -INF]
    assert logits[5].tolist() == [-INF, 0, 0] and not np.isnan(logits).any()


def test_e_one_candidate_of_infinite_reward_wins():
    def reward(x):
        return np.where(x == 2, INF, 0.0)

    context = Fixed(30)
    kept = Preference(reward=reward, choices=2).apply(context.first(100), context=context)
    # Choices with exactly one of them are won by it; those with two are repeated.
    share = 2 * 0.2 * 0.8 / (1 - 0.04)
    assert abs((kept.x == 2).mean() - share) < 4 * np.sqrt(share * (1 - share) / 3000)
    assert context.notes["rejected_choices"].sum() > 0


@pytest.mark.parametrize("deep", [False, True])
def test_nothing_usable_starves_the_fit(deep):
    context = Fixed(2 if not deep else 1, deep=deep)
    with pytest.raises(
        FilterStarved, match="only 0 of 10 choices had a candidate with a usable reward, after 6"
    ):
        Preference(reward=[-INF, -INF, -INF], choices=3).apply(context.first(10), context=context)
    with pytest.raises(FilterStarved, match="no sample has a usable reward"):
        Preference(reward=[-INF] * 3, choices=INF).apply(context.first(10), context=context)


# Pools


def test_e_a_pool_too_small_names_both_counts():
    with pytest.raises(SpecError, match="curation.pool has 3 candidates; a choice of 4 needs at least 4"):
        Preference(reward=[0, 1, 2], choices=4, pool=3)
    context = Fixed()
    with pytest.raises(SpecError, match="curation.pool has 30 candidates, but 10 choices of 4 need 40"):
        Preference(reward=[0, 1, 2], choices=4, pool=30).apply(context.first(10), context=context)
    with pytest.raises(FitFailed, match="a choice of 4 needs 4 samples, and the pool has 3"):
        Preference(reward=[0, 1, 2], choices=4, pool="samples").apply(context.first(3), context=context)


def test_a_pool_of_a_given_size_is_not_exceeded():
    context = Fixed(6)
    curation = Preference(reward=[-INF, 0, 1], choices=2, pool=60)
    kept = curation.apply(context.first(15), context=context)
    assert len(kept) == 15 and (context.proposals == 60).all() and (kept.x > 0).all()
    context = Fixed(6)
    with pytest.raises(FilterStarved, match="of 15 choices had .*, after 30 candidates"):
        Preference(reward=[-INF, 0, 1], choices=2, pool=30).apply(context.first(15), context=context)


def test_the_samples_as_pool_give_one_in_choices():
    for deep in (False, True):
        context = Fixed(1 if deep else 4, deep=deep)
        samples = context.first(43)
        kept = Preference(reward=[0, 1, 2], choices=4, pool="samples").apply(samples, context=context)
        assert len(kept) == 10 and context.calls == 0  # three are left over; no short group is kept
        if not deep:
            groups = samples.x[:, :40].reshape(4, 10, 4)
            assert (groups == kept.x[..., None]).any(axis=2).all()


def test_a_failed_choice_in_a_pool_of_samples_is_dropped():
    curation = Preference(reward=[-INF, 0, 1], choices=2, pool="samples")
    assert curation.weighs
    context = Fixed(5)
    kept = curation.apply(context.first(200), context=context)
    held = kept.weight.sum(axis=1)
    assert ((kept.x > 0) | (kept.weight == 0)).all()
    assert (held < 100).all() and (held == 100 - context.notes["rejected_choices"]).all()
    context = Fixed(deep=True)
    assert (
        len(curation.apply(context.first(200), context=context)) == 100 - context.notes["rejected_choices"][0]
    )


def test_records_that_a_filter_dropped_are_not_chosen():
    context = Fixed(3)
    samples = context.first(400)
    filtered = samples.reweighted((samples.x != 1).astype(float))
    kept = Preference(reward=[0, 5, 1], choices=4, pool="samples").apply(filtered, context=context)
    assert not ((kept.x == 1) & (kept.weights() > 0)).any()
    with pytest.raises(SpecError, match="past the curation before it"):
        Preference(reward=[0, 5, 1], choices=4).apply(filtered, context=context)
    deep = Samples.of(samples.x[0], weight=filtered.weight[0])
    alone = Fixed(deep=True)
    assert not (
        Preference(reward=[0, 5, 1], choices=4, pool="samples").apply(deep, context=alone).x == 1
    ).any()


def test_records_keep_where_they_come_from():
    context = Fixed(2)
    samples = context.first(40)
    mixed = Batch(samples.x, np.where(samples.x == 2, -1, 2), "main")
    kept = Preference(reward=[0, 0, 3], choices=2, pool="samples").apply(mixed, context=context)
    assert ((kept.generation == -1) == (kept.x == 2)).all()


# Many choices, by weights


def test_weights_are_shares_of_e_to_the_reward():
    context = Fixed(3)
    samples = context.first(50)
    kept = Preference(reward=[0, 1, 2], choices=INF, temperature=0.5).apply(samples, context=context)
    expected = np.exp(2.0 * samples.x)
    expected *= 50 / expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(kept.weight, expected)
    np.testing.assert_allclose(context.notes["effective_size"], 50**2 / np.square(expected).sum(axis=1))
    np.testing.assert_allclose(context.notes["kept_reward"], (expected * samples.x).sum(axis=1) / 50)
    alone = Fixed(deep=True)
    deep = Preference(reward=[0, 1, 2], choices=INF, temperature=0.5).apply(
        samples.replicate(0), context=alone
    )
    np.testing.assert_allclose(deep.weight, expected[0])


def test_only_many_choices_and_pools_of_samples_weigh_records():
    """The house refuses what weighs records with a learner that takes no weights."""
    assert (
        Preference(reward="linear", choices=INF).weighs and not Preference(reward="linear", choices=9).weighs
    )
    assert (
        not Preference(reward="linear", pool=20).weighs and Preference(reward="linear", pool="samples").weighs
    )


def test_the_deep_loop_prefers_as_theory_says():
    """scikit-learn's sampler sorts its records by component: groups of neighbours would offer no choice."""
    liked = {"kind": "class_probability", "label": "3"}
    loop = Loop(
        seed=1,
        generations=3,
        data={"kind": "eight_gaussians"},
        learner={
            "kind": "estimator",
            "object": "sklearn.mixture:GaussianMixture",
            "arguments": {"n_components": 8},
        },
        workflow={"kind": "replace", "sample_size": 1000},
        metrics=[{"kind": "reward", "reward": liked}],
        curation=[{"kind": "preference", "reward": liked, "choices": 4}],
    )
    state, found = loop.start(loop.blocks()[0]), []
    while state.generation < 3:
        state, (record,) = loop.step(state)
        found.append({m.metric: m.value[0] for m in record.measurements}["reward"])
    share = curated.course(np.full(8, 1 / 8), [5.0] + [0.0] * 7, 4, 3)[:, 0]
    # Generation g's share carries the sampling errors of g + 1 training sets and of the evaluation draw.
    error = 5 * np.sqrt(share * (1 - share) / 1000)
    assert (np.abs(found - 5 * share) < 4 * np.hypot(error, [0.05, 0.15, 0.2])).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"choices": 0}, "choices is 0; it must be a whole number of at least 1"),
        ({"choices": -3}, "choices is -3"),
        ({"choices": 2.5}, "choices is 2.5"),
        ({"choices": float("nan")}, "choices is nan"),
        ({"choices": -INF}, "choices is -inf"),
        ({"choices": True}, "choices is True"),
        ({"temperature": 0}, "temperature is 0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"malicious_share": 1.2}, "malicious_share is 1.2"),
        ({"malicious_share": 0.2}, "there is no curation.malicious_reward"),
        ({"malicious_share": 0.2, "malicious_reward": "sideways"}, "no reward called 'sideways'"),
        ({"pool": 0}, "pool is 0"),
        ({"pool": 10, "choices": INF}, "no meaning with choices: .inf"),
        ({"reward": None}, "curation.reward is None"),
    ],
)
def test_e_bad_settings(settings, words):
    with pytest.raises(SpecError, match=words):
        Preference(**{"reward": [0, 1, 2], **settings})


def test_whole_numbers_may_be_written_with_a_point():
    assert Preference(reward=[0, 1], choices=4.0).choices == 4


def test_rewards_are_checked_against_the_data_before_a_run():
    spec = {"seed": 1, "data": {"kind": "gaussian"}, "learner": "gaussian"}
    for users in (
        {"reward": [0, 1]},
        {"reward": "linear", "malicious_reward": [0, 1], "malicious_share": 0.1},
    ):
        with pytest.raises(SpecError, match="reward is a table of symbols, and the data are vectors"):
            Loop(**spec, curation=[{"kind": "preference", **users}])


@pytest.mark.parametrize(
    ("data", "label", "words"),
    [
        ("digits", 10, r"label is 10; the classes of the data are 0, 1, .*9"),
        ("digits", "airplane", r"label is 'airplane'; the classes of the data are"),
        ("eight_gaussians", 8, r"label is 8; the classes of the data are"),
        ("two_moons", -1, r"label is -1; the classes|have no labels"),
        ("gaussian", 0, r"rewards classes, and the data have no labels"),
    ],
)
@pytest.mark.parametrize("key", ["reward", "malicious_reward"])
def test_e_a_class_that_is_absent_is_refused_before_a_run(data, label, words, key):
    users = {"kind": "preference", "reward": "linear", "malicious_share": 0.1, "malicious_reward": "opposite"}
    users[key] = {"kind": "class_probability", "label": label}
    learner = {"kind": "estimator", "object": "sklearn.mixture:GaussianMixture"}
    with pytest.raises(SpecError, match=f"curation.{key}.*{words}"):
        Loop(seed=1, data=data, learner=learner, curation=[users])


def test_many_dimensions_are_chosen_whole():
    context = Fixed(4)
    context.source = SimpleNamespace(draw=GaussianSource(dim=3).draw)
    kept = Preference(reward={"kind": "linear", "slope": 50.0}, choices=8).apply(
        context.first(20), context=context
    )
    assert kept.x.shape == (4, 20, 3) and kept.x[..., 0].mean() > 1.2 and abs(kept.x[..., 1].mean()) < 0.5
