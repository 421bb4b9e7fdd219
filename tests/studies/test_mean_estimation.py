"""Mean estimation from contaminated rounds, simulated: B1-B7 and the bad input of B.7."""

from math import comb

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.studies.mean_estimation import simulate
from autophage.theory import erm

REPLICATES = 50_000


def close(course, expected, tolerance):
    """The last variance is right within a relative tolerance that is at least four standard errors."""
    error, measured = course.standard_error[-1], course.variance[-1]
    assert 4 * error <= tolerance * expected, (
        f"{tolerance} is below four standard errors, {error / expected:g} each"
    )
    assert abs(measured - expected) <= tolerance * expected, f"{measured:g} is not {expected:g}"


@pytest.mark.parametrize(
    ("contamination", "rounds", "plain", "best"),
    [
        (0, 50, 0.02000, 0.02000),
        (0.3, 100, 0.02270, 0.02020),
        (0.5, 100, 0.05611, 0.03883),
        (0.7, 100, 0.18903, 0.10091),
        (0.9, 200, 0.68130, 0.33445),
        (1, 200, 1.63995, 1.00000),
    ],
    ids=["B1", "B2", "B3", "B4", "B5", "B6"],
)
def test_b1_to_b6(contamination, rounds, plain, best):
    run = {"rounds": rounds, "replicates": REPLICATES, "key": 1}
    close(simulate("erm", contamination, **run), plain, 0.03)
    close(simulate("optimal", contamination, assumed=contamination, **run), best, 0.03)


def test_b7_skewed_noise_changes_nothing():
    run = {"rounds": 100, "replicates": REPLICATES, "key": 2, "noise": "exponential"}
    plain = simulate("erm", 0.7, **run)
    close(plain, 0.18903, 0.05)
    close(simulate("optimal", 0.7, assumed=0.7, **run), 0.10091, 0.05)
    first = plain.errors[:, 0]
    skewness = (first**3).mean() / first.var() ** 1.5
    assert skewness == pytest.approx(2, abs=0.3)


def test_any_noise_law_will_do():
    def signs(stream, shape):
        return stream.choice([-1.0, 1.0], shape)

    course = simulate("erm", 0.5, rounds=20, replicates=20_000, key=3, noise=signs)
    close(course, erm.variance(20, 0.5), 0.05)
    assert np.unique(course.errors[:, 0]).tolist() == [-1, 1]


def test_told_which_records_are_natural():
    course = simulate("provenance", 0.7, rounds=60, replicates=20_000, key=4)
    close(course, erm.provenance_variance(60, 0.7), 0.05)
    assert course.predicted == pytest.approx(erm.provenance_variance(np.arange(1, 61), 0.7))


def test_any_gains():
    gains = [1, *[0.2] * 40]
    course = simulate(gains, 0.6, rounds=41, replicates=20_000, key=5)
    close(course, erm.variance_for_gains(gains, 0.6)[-1], 0.05)


def test_the_whole_course_is_predicted():
    course = simulate("erm", 0.7, rounds=50, replicates=20_000, key=6)
    assert (np.abs(course.variance - course.predicted) <= 5 * course.standard_error).all()
    assert course.predicted == pytest.approx(erm.variance_course(50, 0.7))


def test_an_upper_bound_reports_the_variance_of_the_mismatch():
    course = simulate("optimal", 0.5, assumed=0.8, rounds=60, replicates=20_000, key=7)
    assert course.predicted == pytest.approx(erm.mismatched_variance(60, 0.8, 0.5))
    close(course, course.predicted[-1], 0.05)


@pytest.mark.parametrize("weighting", ["erm", "optimal"])
def test_literal_mixtures_of_few_records(weighting):
    """The number of synthetic records is drawn: a larger variance than with a fixed share, as predicted."""
    run = {"rounds": 30, "replicates": 40_000, "sizes": 3, "assumed": 0.8}
    fixed = simulate(weighting, 0.8, key=8, **run)
    drawn = simulate(weighting, 0.8, key=8, literal=True, **run)
    close(drawn, drawn.predicted[-1], 0.05)
    close(fixed, fixed.predicted[-1], 0.05)
    assert drawn.predicted[-1] > fixed.predicted[-1]


def test_literal_mixtures_where_provenance_is_known():
    course = simulate("provenance", 0.5, rounds=10, replicates=40_000, key=9, sizes=4, literal=True)
    # E 1/(4 + B) with B the natural ones of 36 records.
    close(course, sum(comb(36, b) * 0.5**36 / (4 + b) for b in range(37)), 0.05)
    assert course.predicted is None and course.gains is None


def test_unequal_rounds_and_their_cap():
    sizes, shares = [10, 1000, 0, 10], [0, 0.5, 0.9, 0.2]
    course = simulate("optimal", shares, assumed=shares, sizes=sizes, rounds=4, replicates=20_000, key=10)
    close(course, course.predicted[-1], 0.05)
    assert course.predicted == pytest.approx(1 / erm.unequal_rounds(sizes, shares).precisions)
    assert "capped at 1 in round 2" in course.notes[0]
    assert (course.errors[:, 2] == course.errors[:, 1]).all(), "a round without records changes nothing"
    plain = simulate("erm", shares, sizes=sizes, rounds=4, replicates=20_000, key=10)
    close(plain, plain.predicted[-1], 0.05)


def test_a_replicate_does_not_depend_on_how_many_follow():
    few, many = (simulate("erm", 0.5, rounds=5, replicates=R, key=11).errors for R in (3, 50))
    assert (few == many[:3]).all()


# Bad input


@pytest.mark.parametrize("contamination", [-0.1, 1.1, float("nan"), [0, 0.5, 1.5]])
def test_b7_contamination_outside_the_unit_interval(contamination):
    with pytest.raises(ValueError, match="contamination is"):
        simulate("erm", contamination, rounds=3, replicates=2, key=0)


@pytest.mark.parametrize("weighting", ["erm", "optimal", "provenance"])
def test_b7_contamination_of_one_runs_and_is_marked(weighting):
    course = simulate(weighting, 1, assumed=1, rounds=5, replicates=10, key=0)
    assert course.notes == ("no information arrives after round 1",)
    assert np.isfinite(course.errors).all()
    if weighting != "erm":
        assert (course.errors == course.errors[:, :1]).all()
    assert not simulate(weighting, 0.9, assumed=0.9, rounds=5, replicates=10, key=0).notes


def test_b7_optimal_weights_want_an_explicit_contamination():
    with pytest.raises(SpecError, match="assumed.*upper bound"):
        simulate("optimal", 0.5, rounds=3, replicates=2, key=0)


def test_other_bad_input_is_refused():
    for words, arguments in [
        ("weighting is 'best'", {"weighting": "best"}),
        ("noise is 'cauchy'", {"noise": "cauchy"}),
        ("whole numbers", {"literal": True, "sizes": 2.5}),
        ("size of round 1", {"sizes": [0, 1, 1]}),
        ("shape", {"sizes": [1, 1]}),
        ("2 gains for 3 rounds", {"weighting": [1, 0.5]}),
    ]:
        with pytest.raises(SpecError, match=words):
            simulate(
                **{"weighting": "erm", "contamination": 0.5, "rounds": 3, "replicates": 2, "key": 0}
                | arguments
            )
