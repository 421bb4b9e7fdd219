"""The objective improves while its use decays: found where it is so, and not where noise only looks like it."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.watching.courses import Line
from autophage.watching.decay import decay


def course(values, better="lower", name="use", steps=None):
    values = np.atleast_2d(np.asarray(values, dtype=float))
    steps = np.arange(values.shape[1]) * 10.0 if steps is None else steps
    return Line(name, better, steps, values, tuple(map(str, range(len(values)))))


def vee(n=31, turn=10, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return 1 + 0.05 * np.abs(np.arange(n) - turn) + noise * rng.normal(size=n)


def test_a_peak_in_the_middle():
    train = course(3 - 0.05 * np.arange(31), name="train")
    found = decay(course(vee()), train)
    assert found.answer == "yes" and found.best_step == 100 and found.last_step == 300
    # k = 3: the level of the best window is 1 + 0.1 / 3, that of the last one 1.95.
    assert found.best == pytest.approx(1 + 0.1 / 3) and found.fall == pytest.approx(1.95 - found.best)
    assert found.share == pytest.approx(found.fall / (1.5 - found.best))
    assert found.objective is not None and found.objective.way == "improved"
    # From the middle of the best window to the middle of the last: 19 steps.
    assert found.objective.change == pytest.approx(-0.05 * 19)
    assert "the objective improves while its use decays" in found.sentence
    assert found.recommendation == "Stop, and keep the checkpoint of step 100."


def test_what_is_better_higher_is_the_mirror_image():
    one, other = decay(course(vee(noise=0.02))), decay(course(-vee(noise=0.02), "higher"))
    assert (one.answer, one.best_step, one.fall, one.ci95) == (
        other.answer,
        other.best_step,
        other.fall,
        other.ci95,
    )
    assert other.best == -one.best and "risen" in one.sentence and "fallen" in other.sentence


@pytest.mark.parametrize(
    ("train", "way", "said"),
    [
        (3 - 0.05 * np.arange(31), "improved", "while train went on improving"),
        (1 + vee(), "worsened", "has worsened too"),
        (np.ones(31) + 0.3 * np.tile([1, -1], 16)[:31], "undecided", "going on gains nothing"),
    ],
)
def test_what_the_objective_did_meanwhile(train, way, said):
    found = decay(course(vee()), course(train, name="train"))
    assert found.answer == "yes" and found.objective is not None
    assert found.objective.way == way and said in found.sentence


def test_the_objective_may_have_other_steps():
    steps = np.arange(301.0)
    found = decay(course(vee()), course(3 - 0.005 * steps, name="train", steps=steps))
    assert found.objective is not None and found.objective.way == "improved"
    assert found.objective.change == pytest.approx(-0.005 * (298 - 100), abs=0.006)


def test_a_course_that_is_best_at_its_end_has_lost_nothing():
    found = decay(course(3 - 0.05 * np.arange(31)))
    assert found.answer == "no" and found.fall == 0 and found.recommendation.startswith("Go on")
    assert decay(course([3, 2, 1])).answer == "no"


def test_a_loss_below_a_hundredth_is_none():
    after = np.maximum(np.arange(31) - 20, 0)
    jitter = 1e-3 * np.random.default_rng(0).normal(size=31)
    for level, gained in ((5, 10), (1e4, 5)):  # a hundredth of the level, or of the gain, whichever is less
        falling = jitter + level + gained * (1 - np.minimum(np.arange(31), 20) / 20)
        assert decay(course(falling + 0.002 * after)).answer == "no"
        assert decay(course(falling + 0.1 * after)).answer == "yes"


def test_a_steep_beginning_hides_no_decay():
    x = np.arange(40)
    use = 300 * np.exp(-x / 4) + 0.5 + 0.05 * np.maximum(x - 22, 0)
    found = [
        decay(course(use + 0.02 * np.random.default_rng(s).normal(size=40)), course(use - use, name="train"))
        for s in range(50)
    ]
    assert [f.answer for f in found].count("yes") == 50
    assert all("of what training had gained" not in f.sentence for f in found)  # it would be a share of 300


def test_noise_alone_is_no_decay():
    rng = np.random.default_rng(7)
    for n in (8, 25, 80):
        answers = [decay(course(rng.normal(size=n))).answer for _ in range(300)]
        # 2.5 % by construction: with 300 courses at most 7.5 + 4 standard errors.
        assert answers.count("yes") <= 18
        falling = [decay(course(rng.normal(size=n) - 3.0 * np.arange(n))).answer for _ in range(100)]
        assert falling.count("yes") == 0


def test_a_clear_decay_is_found():
    found = [decay(course(vee(noise=0.05, seed=s))).answer for s in range(100)]
    assert found.count("yes") == 100
    steps = [decay(course(vee(noise=0.05, seed=s))).best_step for s in range(100)]
    assert abs(np.mean(steps) - 100) <= 10


def test_runs_that_disagree_widen_the_interval():
    even = decay(course([vee(seed=s, noise=0.01) for s in range(4)]))
    rng = np.random.default_rng(0)
    apart = decay(course([1 + (vee(seed=s, noise=0.01) - 1) * f for s, f in enumerate(rng.uniform(0, 3, 4))]))
    assert even.answer == "yes"
    assert apart.ci95[1] - apart.ci95[0] > 3 * (even.ci95[1] - even.ci95[0])


def test_three_points_never_show_a_decay():
    found = decay(course([2, 1, 2]))
    assert found.answer == "undecided" and found.best_step == 10 and "may be noise" in found.sentence


def test_a_course_that_never_moves_has_lost_nothing():
    for level in (0.0, 1.0, -3.0):
        assert decay(course(np.full(30, level))).answer == "no"


def test_where_nothing_was_gained_there_is_no_share_of_it():
    rng = np.random.default_rng(0)
    found = decay(course(np.where(np.arange(50) < 30, 2.0, 5.0) + 0.05 * rng.normal(size=50)))
    assert (
        found.answer == "yes"
        and np.isnan(found.share)
        and "of what training had gained" not in found.sentence
    )
