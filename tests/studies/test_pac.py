"""Classification rounds that hold one's own labels: B10-B17 and the bad input of B.7, against theory and small oracles."""

from itertools import pairwise
from math import comb

import numpy as np
import pytest

from autophage.errors import FitFailed, NotRealisable, SpecError
from autophage.keys import Key
from autophage.studies import pac
from autophage.studies.pac.domains import Counts
from autophage.studies.pac.thresholds import Points
from autophage.theory.pac import (
    contradiction_gap,
    never_corrected,
    randomised_error,
    randomised_gap,
    rare_points_error,
    still_wrong,
)

ONE_POINT = pac.FiniteDomain(masses=[1.0], concept=[1])
RARE = pac.rare_points(20, 0.01)
HALF = pac.Thresholds()
LEARNERS = sorted(pac.LEARNERS)
DOMAINS = pytest.mark.parametrize("domain", [RARE, HALF], ids=["rare_points", "thresholds"])


def standard_error(values):
    return values.std() / np.sqrt(len(values))


def close(values, expected, tolerance):
    """The mean over replicates is right within a tolerance of at least four standard errors."""
    error = standard_error(values)
    assert 4 * error <= tolerance, f"{tolerance:g} is below four standard errors of {error:g}"
    assert abs(values.mean() - expected) <= tolerance, f"{values.mean():g} is not {expected:g}"


# B10 to B17


@pytest.mark.parametrize(
    ("contamination", "stalled", "replicates"),
    [
        (0.4, 0, 2000),
        (0.5, 0.0399, 7000),
        (0.6, 0.3333, 37_000),
        (0.8, 0.7500, 32_000),
        (0.9, 0.8889, 17_000),
    ],
    ids=["a04", "a05", "a06", "a08", "a09"],
)
def test_b10_a_wrong_label_stalls(contamination, stalled, replicates):
    """One point, wrong at first (round 1 brings no record), then visited 400 times."""
    course = pac.simulate(
        "repeated_erm", ONE_POINT, contamination, n=[0] + [1] * 400, rounds=401, replicates=replicates, key=0
    )
    assert course.risk[:, 0].all()
    close(course.risk[:, -1], stalled, 0.01)
    assert still_wrong(400, contamination)[-1] == pytest.approx(stalled, abs=5e-5)
    assert (np.diff(course.risk, axis=1) <= 0).all(), "once corrected it stays so"
    middle = course.risk[:, 50]
    close(middle, still_wrong(50, contamination)[-1], max(5 * standard_error(middle), 1e-3))


def test_b11_repeated_erm_keeps_an_error_on_rare_points():
    course = pac.simulate("repeated_erm", RARE, 0.8, n=100, rounds=300, replicates=800, key=0)
    last = course.risk[:, -1]
    assert rare_points_error(20, 0.01, 100, 0.8) == pytest.approx(0.0549, abs=5e-5)
    close(last, (0.0549 + 0.062) / 2, (0.062 - 0.0549) / 2)


def test_b12_the_contradiction_learner_does_not():
    course = pac.simulate("contradiction", RARE, 0.8, n=100, rounds=100, replicates=1000, key=0)
    assert course.mean_risk[-1] < 1e-4
    assert course.mean_risk[0] > 0.05


def test_b13_the_contradiction_learner_on_thresholds():
    course = pac.simulate("contradiction", HALF, 0.8, n=20, rounds=120, replicates=4000, key=0)
    assert contradiction_gap(120, 20, 0.8) == pytest.approx(0.00201, abs=5e-6)
    close(course.risk[:, -1], 0.00201, 0.1 * 0.00201)
    close(course.risk[:, 0], 1 / 21, 0.1 / 21)


def test_b14_repeated_erm_on_thresholds_stalls():
    course = pac.simulate("repeated_erm", HALF, 0.8, n=20, rounds=120, replicates=600, key=0)
    first, last = course.risk[:, 0], course.risk[:, -1]
    assert abs(first.mean() - 0.048) <= 4 * standard_error(first)
    assert 4 * standard_error(last) < 0.0073, "which is how far above 0.03 it is in the long run"
    assert course.mean_risk.min() > 0.03


def test_b15_and_does_not_when_most_labels_are_natural():
    course = pac.simulate("repeated_erm", HALF, 0.3, n=20, rounds=120, replicates=120, key=0)
    last = course.risk[:, -1]
    assert last.mean() + 4 * standard_error(last) < 0.002


@pytest.fixture(scope="module")
def randomised():
    return pac.simulate("randomised_publication", HALF, 0.8, n=20, rounds=400, replicates=2000, key=0)


def test_b16_the_internal_gap_of_randomised_publication(randomised):
    last = randomised.internal[:, -1]
    close(last, 0.0104, 0.15 * 0.0104)
    close(last, randomised_gap(400, 20, 0.8), 4 * standard_error(last))


def test_b17_the_published_error_of_randomised_publication(randomised):
    late = randomised.risk[:, 301:].mean(axis=1)
    assert randomised.late_risk == pytest.approx(randomised.risk[:, 300:].mean())
    close(late, 0.037, 0.1 * 0.037)
    exact = np.mean([randomised_error(t, randomised_gap(t, 20, 0.8)) for t in range(302, 401, 14)])
    close(late, exact, 4 * standard_error(late))


# Theory against second ways


@pytest.mark.parametrize("contamination", [0, 0.3, 0.5, 0.8, 1])
def test_first_passage_is_counted_by_catalan_numbers(contamination):
    a, course = contamination, still_wrong(41, contamination)
    first = [comb(2 * k, k) / (k + 1) * a**k * (1 - a) ** (k + 1) for k in range(21)]
    expected = [1 - sum(first[: (v + 1) // 2]) for v in range(42)]
    np.testing.assert_allclose(course, expected, atol=1e-14)
    assert still_wrong(4000, a)[-1] == pytest.approx(never_corrected(a), abs=0.02)


def test_gaps_of_round_1_are_those_of_n_records():
    assert randomised_gap(1, 20, 0.8) == pytest.approx(1 / 21, rel=1e-5)
    assert contradiction_gap(1, 20, 0.8) == pytest.approx(1 / 21)


def test_theory_refuses_what_has_no_meaning():
    for call, words in [
        (lambda: never_corrected(1.1), "contamination is 1.1"),
        (lambda: still_wrong(5, float("nan")), "contamination is nan"),
        (lambda: still_wrong(-1, 0.5), "visits"),
        (lambda: rare_points_error(20, 0.06, 10, 0.5), "domain of mass 1"),
        (lambda: contradiction_gap(0, 20, 0.5), "number of rounds"),
        (lambda: contradiction_gap(5, 0, 0.5), "records per round"),
        (lambda: randomised_gap(5, 20, -1), "contamination is -1"),
        (lambda: randomised_error(0, 0.1), "the round"),
    ]:
        with pytest.raises(SpecError, match=words):
            call()


# Domains and learners against small oracles


def test_the_best_threshold_is_the_one_a_search_finds():
    """Every cell between two points is tried; of equally good ones the nearest to the old threshold wins."""
    stream = np.random.default_rng(0)
    for trial in range(200):
        x, label = stream.random((3, 7)), stream.random((3, 7)) < 0.5
        present, near = stream.random((3, 7)) < 0.8, stream.random(3)
        pile = HALF.collect(None, Points(x[:, :4], label[:, :4], present[:, :4]))
        pile = HALF.collect(pile, Points(x[:, 4:], label[:, 4:], present[:, 4:]))
        found = HALF.minimiser(pile, near if trial % 2 else np.ones(3))
        for r in range(3):
            old = near[r] if trial % 2 else 1.0
            places = np.sort(x[r, present[r]])
            edges = np.concatenate([[-1], places, [3]])
            tries = [min(max(old, np.nextafter(a, 3)), b) for a, b in pairwise(edges)]
            wrong = [((x[r] >= t) != label[r])[present[r]].sum() for t in tries]
            best = [t for t, w in zip(tries, wrong, strict=True) if w == min(wrong)]
            assert found[r] == pytest.approx(min(best, key=lambda t: abs(t - old)), abs=1e-12)


def test_votes_decide_on_a_finite_domain_and_ties_keep():
    domain = pac.FiniteDomain(masses=[0.5, 0.3, 0.2], concept=[0, 1, 1])
    pile = domain.collect(None, Counts(np.array([[3, 0, 1]]), np.array([[1, 2, 1]])))
    for kept in (False, True):
        near = np.full((1, 3), kept)
        assert domain.minimiser(pile, near).tolist() == [[False, True, kept]]
    assert domain.risk(np.array([[True, True, False]])).tolist() == [0.7]


@DOMAINS
def test_draws_have_the_shares_and_labels_they_should(domain):
    published = domain.constant(np.zeros(400, dtype=bool))
    records, natural = domain.draw(50, 0.7, published, Key(0))

    def counted(part):
        if isinstance(part, Counts):
            return part.zeros.sum(axis=1), part.ones.sum(axis=1)
        return (part.present & ~part.label).sum(axis=1), (part.present & part.label).sum(axis=1)

    zeros, ones = counted(records)
    clean_zeros, clean_ones = counted(natural)
    assert (zeros + ones == 50).all()
    assert (ones == clean_ones).all(), "what is published says 0 everywhere: a 1 is natural"
    drawn = clean_zeros + clean_ones
    close(drawn, 15, 4.5 * standard_error(drawn))
    contradicting = counted(domain.contradicting(records, published))
    assert (contradicting[0] == 0).all() and (contradicting[1] == ones).all()


@DOMAINS
def test_not_knowing_provenance_costs_the_contradiction_learner_nothing(domain):
    """A natural record that agrees with what is published changes no mind: the same draws, the same course."""
    told, untold = (
        pac.simulate(learner, domain, 0.7, n=15, rounds=60, replicates=60, key=3).risk
        for learner in ("oracle", "contradiction")
    )
    np.testing.assert_allclose(untold, told, atol=1e-12)
    assert told[:, -1].mean() < told[:, 0].mean() / 3


@DOMAINS
@pytest.mark.parametrize("learner", LEARNERS)
def test_without_contamination_every_learner_learns(learner, domain):
    course = pac.simulate(learner, domain, 0, n=20, rounds=60, replicates=50, key=1)
    assert course.mean_internal[-1] < course.mean_internal[0] / 2
    assert ((course.risk >= 0) & (course.risk <= 1)).all()


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_replicate_does_not_depend_on_how_many_follow(learner):
    for domain in (RARE, HALF):
        few, many = (
            pac.simulate(learner, domain, 0.6, n=5, rounds=6, replicates=R, key=2).risk for R in (3, 70)
        )
        assert (few == many[:3]).all()


def test_a_learner_of_ones_own():
    class Stubborn:
        knows_provenance = False

        def learn(self, memory, published, records, *, domain, round, key):
            return pac.Learned(published, published, memory)

    course = pac.simulate(Stubborn(), HALF, 0.5, n=5, rounds=4, replicates=2, key=0)
    assert (course.risk == 0.5).all()


# Bad input


@pytest.mark.parametrize("contamination", [-0.1, 1.1, float("nan")])
def test_b7_contamination_outside_the_unit_interval(contamination):
    with pytest.raises(ValueError, match=r"contamination is .*\[0, 1\]"):
        pac.simulate("oracle", RARE, contamination, n=5, rounds=3, replicates=2, key=0)


@DOMAINS
@pytest.mark.parametrize("learner", LEARNERS)
def test_b7_contamination_of_one_runs_and_is_marked(learner, domain):
    course = pac.simulate(learner, domain, 1, n=10, rounds=6, replicates=20, key=0)
    assert course.notes == ("no information arrives after round 1",)
    assert (course.internal == course.internal[:, :1]).all()
    assert not pac.simulate(learner, domain, 0.9, n=10, rounds=2, replicates=2, key=0).notes


@pytest.mark.parametrize("learner", ["contradiction", "randomised_publication"])
@pytest.mark.parametrize(
    "domain",
    [pac.rare_points(20, 0.01, label_noise=0.2), pac.Thresholds(label_noise=0.2)],
    ids=["rare_points", "thresholds"],
)
def test_b7_label_noise_is_not_realisable(learner, domain):
    with pytest.raises(NotRealisable, match="of 30 replicates"):
        pac.simulate(learner, domain, 0.5, n=50, rounds=40, replicates=30, key=0)
    assert issubclass(NotRealisable, FitFailed)


@pytest.mark.parametrize("learner", ["repeated_erm", "oracle"])
def test_learners_that_count_votes_bear_label_noise(learner):
    for domain in (pac.rare_points(20, 0.01, label_noise=0.2), pac.Thresholds(label_noise=0.2)):
        course = pac.simulate(learner, domain, 0, n=50, rounds=40, replicates=30, key=0)
        assert course.mean_risk[-1] < 0.05


@DOMAINS
@pytest.mark.parametrize("learner", LEARNERS)
def test_b7_a_round_without_records_is_skipped(learner, domain):
    sizes = [8, 0, 8, 0, 0]
    course = pac.simulate(learner, domain, 0.5, n=sizes, rounds=5, replicates=20, key=0)
    for t, size in enumerate(sizes):
        if not size:
            assert (course.risk[:, t] == course.risk[:, t - 1]).all()
    nothing = pac.simulate(learner, domain, 0.5, n=0, rounds=2, replicates=3, key=0)
    assert (nothing.risk == domain.risk(domain.start(3))[:, None]).all()


def test_other_bad_input_is_refused():
    good = {
        "learner": "oracle",
        "domain": RARE,
        "contamination": 0.5,
        "n": 5,
        "rounds": 3,
        "replicates": 2,
        "key": 0,
    }
    for words, arguments in [
        ("'repeated_erm'", {"learner": "repeated_em"}),
        ("n is -1 in round 1", {"n": -1}),
        ("n is 2.5 in round 2", {"n": [1, 2.5, 1]}),
        ("n is nan", {"n": float("nan")}),
        ("shape", {"n": [1, 1]}),
        ("rounds is 0", {"rounds": 0}),
        ("replicates is 0", {"replicates": 0}),
    ]:
        with pytest.raises(SpecError, match=words):
            pac.simulate(**{**good, **arguments})
    for words, build in [
        ("sum to one", lambda: pac.FiniteDomain(masses=[0.5, 0.6], concept=[0, 1])),
        ("sum to one", lambda: pac.FiniteDomain(masses=[float("nan"), 1], concept=[0, 1])),
        ("one label", lambda: pac.FiniteDomain(masses=[0.5, 0.5], concept=[0, 2])),
        ("label_noise", lambda: pac.FiniteDomain(masses=[1.0], concept=[0], label_noise=2)),
        ("theta is 1.5", lambda: pac.Thresholds(theta=1.5)),
        ("label_noise is -1", lambda: pac.Thresholds(label_noise=-1)),
        ("do not fit", lambda: pac.rare_points(20, 0.06)),
        ("rare points", lambda: pac.rare_points(0, 0.06)),
    ]:
        with pytest.raises(SpecError, match=words):
            build()
