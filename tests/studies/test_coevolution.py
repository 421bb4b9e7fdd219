"""Text and images refitted to each other's output: G1 to G9 of the sheet, the counts, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.studies import coevolution
from autophage.studies.coevolution import posteriors, simulate
from autophage.studies.coevolution_phases import phases
from autophage.theory import coevolution as theory
from autophage.theory.coevolution import CaptionedGaussians, on_circle

ONE = CaptionedGaussians([1.0], [[0.0, 0.0]], [np.eye(2)])
"""A single caption: exactly N images of it in every round."""


def agrees(values, expected, tolerance):
    """Per-replicate values have the expected mean; the tolerance is the sheet's, and four standard errors fit into it."""
    error = values.std() / np.sqrt(len(values))
    assert 4 * error < tolerance * abs(expected), (error, expected)
    assert values.mean() == pytest.approx(expected, rel=tolerance)


def near(values, expected, at_most):
    """Within four standard errors, which must themselves be at most so large."""
    error = values.std() / np.sqrt(len(values))
    assert abs(values.mean() - expected) < 4 * error < at_most, (values.mean(), expected, error)


# Text alone


def text_alone(spread, replicates, rounds=60, **more):
    system = on_circle(5, spread)
    return simulate(
        system, images=100, rounds=rounds, replicates=replicates, key=51, refit_images=False, **more
    )


@pytest.mark.slow
def test_sheet_g1_text_alone():
    agrees(text_alone(0.3, 9000).gini[:, -1], 0.43773, 0.02)


@pytest.mark.parametrize("spread", [0.05, 2.0])
def test_sheet_g1_whatever_the_overlap(spread):
    found = text_alone(spread, 300, rounds=30)
    near(found.gini[:, -1], theory.text_course(0.8, 100, 30)[-1], 0.04)
    assert (np.abs(found.p[:, -1].mean(axis=0) - 0.2) < 4.5 * found.p[:, -1].std(axis=0) / np.sqrt(300)).all()
    assert (found.trace == found.trace[:, :1]).all() and not found.drift.any() and not found.notes


@pytest.mark.slow
@pytest.mark.parametrize("alpha, eps, replicates", [(1, 0.05, 250), (0.2, 0.2, 500), (0.05, 0.5, 3000)])
def test_sheet_g2_corpus_injection(alpha, eps, replicates):
    found = text_alone(0.3, replicates, 200, corpus_chance=alpha, corpus_share=eps)
    agrees(found.gini[:, 80:].mean(axis=1), theory.corpus_limit(100, alpha, eps, 5), 0.01)


def test_sheet_g2_the_way_there_with_a_corpus_of_its_own():
    u = [0.4, 0.3, 0.1, 0.1, 0.1]
    found = text_alone(0.8, 400, 12, corpus_chance=0.3, corpus_share=0.4, corpus=u)
    course = theory.corpus_course([0.2] * 5, 100, 12, 0.3, 0.4, u)
    for t in (1, 4, 12):
        near(found.gini[:, t], course[t], 0.02)


def test_a_corpus_alone():
    found = text_alone(0.3, 3, 2, corpus_chance=1.0, corpus_share=1.0, corpus=[0.5, 0.2, 0.1, 0.1, 0.1])
    np.testing.assert_allclose(
        found.p[:, 1:], np.broadcast_to([0.5, 0.2, 0.1, 0.1, 0.1], (3, 2, 5)), atol=1e-15
    )


def test_sheet_b2_one_step_of_soft_text_given_any_p():
    base = on_circle(5, 0.5)
    system = CaptionedGaussians([0.5, 0.2, 0.15, 0.1, 0.05], base.means, base.covariances)
    settings = {"images": 50, "rounds": 1, "replicates": 4000, "key": 52, "refit_images": False}
    found = simulate(system, text="soft", **settings)
    loss = found.gini[:, 0] - found.gini[:, 1]
    expected = found.gini[0, 0] - theory.soft_text_next(system, 50)
    near(loss, expected, 0.4 * expected)


# Images alone


@pytest.mark.slow
def test_sheet_g3_images_alone_ten_rounds():
    found = simulate(ONE, images=20, rounds=10, replicates=75_000, key=530, text="frozen")
    agrees(found.trace[:, -1, 0], 1.1975, 0.02)
    agrees(found.drift[:, -1, 0], 0.8025, 0.02)


@pytest.mark.long
def test_sheet_g3_images_alone_forty_rounds():
    """tr S_40 has a spread of seven times its mean: two per cent would take two million replicates."""
    parts = [
        simulate(ONE, images=20, rounds=40, replicates=75_000, key=key, text="frozen")
        for key in (531, 532, 533)
    ]
    agrees(np.concatenate([found.drift[:, -1, 0] for found in parts]), 1.7430, 0.02)
    near(np.concatenate([found.trace[:, -1, 0] for found in parts]), 0.2570, 0.03)


def test_sheet_g3_round_by_round():
    """The mean of tr S_40 rests on rare courses; the mean of each round's factor does not, nor does the step of the mean."""
    found = simulate(ONE, images=20, rounds=40, replicates=1500, key=530, text="frozen")
    trace, drift = found.trace[..., 0], found.drift[..., 0]
    near((trace[:, 1:] / trace[:, :-1]).mean(axis=1), 0.95, 0.005)
    near((np.diff(drift) / trace[:, :-1]).mean(axis=1), 1 / 20, 0.03)


def test_sheet_g3_in_one_and_in_three_dimensions():
    for d in (1, 3):
        S = np.diag(np.arange(1.0, d + 1))
        system = CaptionedGaussians([1.0], np.zeros((1, d)), S[None])
        found = simulate(system, images=10, rounds=5, replicates=3000, key=54, text="frozen")
        variance, moved = (course[-1] for course in theory.image_course(10, 5, trace=np.trace(S)))
        near(found.trace[:, -1, 0], variance, 0.15 * variance)
        near(found.drift[:, -1, 0], moved, 0.15 * moved)


def settled(N, m, rounds, after, replicates):
    settings = {"images": N, "rounds": rounds, "replicates": replicates, "key": 55, "user_images": m}
    return simulate(ONE, text="frozen", **settings).trace[:, after:, 0].mean(axis=1)


@pytest.mark.parametrize("N, m, expected", [(20, 20, 1.9344)])
def test_sheet_g4_user_content(N, m, expected):
    agrees(settled(N, m, 60, 10, 500), expected, 0.01)


@pytest.mark.parametrize(
    "N, m, expected, rounds, after, replicates",
    [
        pytest.param(50, 5, 1.8087, 150, 30, 3200, marks=pytest.mark.slow),
        pytest.param(100, 2, 1.5952, 420, 100, 17_000, marks=pytest.mark.long),
    ],
)
def test_sheet_g4_more_user_content(N, m, expected, rounds, after, replicates):
    agrees(settled(N, m, rounds, after, replicates), expected, 0.01)


@pytest.mark.parametrize("N, m", [(50, 5), (100, 2)])
def test_sheet_g4_round_by_round(N, m):
    """Both means in a round given the one before: what the limit is solved from."""
    found = simulate(ONE, images=N, rounds=60, replicates=400, key=55, text="frozen", user_images=m)
    trace, drift, f = found.trace[..., 0], found.drift[..., 0], N / (N + m)
    moved = f**2 * (drift + trace / N) + (1 - f) ** 2 * 2 / m
    near((drift[:, 1:] - moved[:, :-1]).mean(axis=1), 0, 0.01)
    total = f * (trace + drift) + (1 - f) * 2
    near(((trace + drift)[:, 1:] - total[:, :-1]).mean(axis=1), 0, 0.01)


def test_sheet_g5_log_determinant():
    settings = {"images": 20, "rounds": 40, "replicates": 9000, "key": 56}
    found = simulate(ONE, text="frozen", ddof=1, **settings)
    agrees((found.log_det[:, -1, 0] - found.log_det[:, 0, 0]) / 40, -0.16420, 0.02)
    assert not found.kept.any()


# Both


def both(spread, rounds, replicates, **more):
    return simulate(on_circle(5, spread), images=100, rounds=rounds, replicates=replicates, key=57, **more)


@pytest.mark.slow
def test_sheet_g6_images_that_move_speed_up_the_loss_of_text():
    still = both(0.8, 40, 600, text="soft", refit_images=False).gini[:, -1]
    assert 4 * still.std() / np.sqrt(600) < 0.015 and abs(still.mean() - 0.709) < 0.015
    moving = both(0.8, 40, 600, text="soft").gini[:, -1]
    assert moving.mean() + 4 * moving.std() / np.sqrt(600) < 0.65


def test_sheet_g7_dominant_captions_keep_wider_images():
    found = both(0.5, 30, 150)
    alive = found.p[:, -1] > 0
    tracks = [np.log(found.p[:, -1][alive]), np.log(found.trace[:, -1][alive])]
    assert np.corrcoef(tracks)[0, 1] == pytest.approx(found.matthew[-1], rel=1e-9)
    # Captions of a replicate hang together: groups of replicates tell the error.
    p, trace = np.log(np.where(alive, found.p[:, -1], np.nan)), np.log(found.trace[:, -1])
    parts = [
        np.corrcoef(a[np.isfinite(a)], b[np.isfinite(a)])[0, 1]
        for a, b in zip(np.split(p, 15), np.split(trace, 15), strict=True)
    ]
    assert found.matthew[-1] - 4 * np.std(parts) / np.sqrt(15) > 0.3
    assert np.isnan(found.matthew[0])


@pytest.mark.slow
def test_sheet_g8_alignment_rises_while_images_collapse():
    """The rise is 0.019, to 0.0013. The sheet's single measurement of 0.045 lies within the spread (0.12) of few replicates, and
    its line of 0.02 is not the mean's: what is asserted is a rise of more than half of that."""
    found = both(0.8, 40, 6000, judged=True)
    start = (1 - 0.8) + theory.overlap(on_circle(5, 0.8)) * 0.8
    near(found.alignment[:, 0], start, 0.002)
    rise = found.alignment[:, -1] - found.alignment[:, 0]
    error = rise.std() / np.sqrt(6000)
    assert 4 * error < 0.008 and rise.mean() - 4 * error > 0.01
    assert found.trace_ratio[:, -1].mean() < 0.3


def test_sheet_g9_text_frozen():
    found = both(0.3, 40, 600, text="frozen")
    ratio = found.trace_ratio[:, -1]
    assert ratio.mean() + 2 * ratio.std() / np.sqrt(600) < 0.15
    assert (found.p == found.p[0, 0]).all()
    near(found.drift[:, -1].mean(axis=1), 0.18 * (1 - ratio.mean()), 0.03)  # bounded by tr S_0


def test_one_step_of_images_with_counts_that_are_drawn():
    """E(1 - 1/N_k) over the binomial number of a caption's images, those with fewer than three left out."""
    from scipy.stats import binom

    found = simulate(on_circle(5, 0.3), images=15, rounds=1, replicates=8000, key=58, text="frozen")
    N = np.arange(16)
    factor = np.where(N >= 3, 1 - 1 / np.maximum(N, 1), 1.0)
    weight = binom.pmf(N, 15, 0.2)
    near(found.trace_ratio[:, -1], weight @ factor, 0.02)
    near(found.kept[:, 0], 5 * weight[:3].sum(), 0.1)
    assert "kept its Gaussian" in found.notes[0]


def test_b5_phases_agree_with_the_closed_forms_of_one_model_alone():
    found = phases([0.1, 0.4], [0.4, 1.0], rounds=30, replicates=40, key=59)
    for name in ("gini", "trace"):
        away = np.abs(getattr(found, name) - getattr(found, f"{name}_theory"))
        assert (away < 4.5 * getattr(found, f"{name}_error") + 0.003).all()
    assert found.departure < 0.02
    gini, trace = found.maps()
    assert gini.value.shape == (2, 2) and trace.theory is not None and gini.x.log
    with pytest.raises(SpecError, match="without them all is lost"):
        phases([0.1], [0.0])


# Counting, and streams


def test_posteriors_by_their_definition_and_an_image_far_from_all():
    rng = np.random.default_rng(0)
    half = rng.standard_normal((3, 2, 2))
    system = CaptionedGaussians(
        [0.5, 0.3, 0.2], rng.standard_normal((3, 2)), half @ half.transpose(0, 2, 1) + np.eye(2)
    )
    x = np.concatenate([rng.standard_normal((40, 2)), [[1e4, 0.0], [-300.0, 400.0]]])
    gamma, lost = posteriors(system, x)
    away = x[:, None] - system.means
    inverse = np.linalg.inv(system.covariances)
    density = np.exp(-np.einsum("nki,kij,nkj->nk", away, inverse, away) / 2)
    density *= system.p / np.sqrt(np.linalg.det(system.covariances))
    np.testing.assert_allclose(gamma[:, :40].T, density[:40] / density[:40].sum(1, keepdims=True), atol=1e-12)
    assert lost == 2
    nearest = np.linalg.norm(away[40:], axis=2).argmin(axis=1)
    np.testing.assert_array_equal(gamma[:, 40:].T, np.eye(3)[nearest])


def test_images_without_a_posterior_are_counted():
    """A refitted Gaussian holds its own images, so that a run seldom meets one; it is told all the same."""
    S = np.array([[[1e-6]], [[1e-6]]])
    system = CaptionedGaussians([0.5, 0.5], [[0.0], [1.0]], S)
    found = simulate(system, images=10, rounds=2, replicates=4, key=61)
    assert not found.underflowed.any()
    away, lost = posteriors(system, [[0.4], [0.6]])
    assert lost == 2 and away.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    noted = coevolution.Coevolution(
        found.p, found.trace, found.log_det, found.drift, None, found.kept * 0, found.underflowed + 1, 10
    )
    assert noted.notes == ("8 images had no posterior and went to the nearest mean",)


def test_a_caption_with_fewer_than_three_images_keeps_its_gaussian():
    base = on_circle(5, 0.5)
    rare = CaptionedGaussians([0.97, 0.0, 0.0, 0.0, 0.03], base.means, base.covariances)
    found = simulate(rare, images=10, rounds=1, replicates=500, key=62)
    same = found.trace[:, 1] == found.trace[:, 0]
    assert same[:, 1:4].all() and same[:, 4].mean() > 0.9 and not same[:, 0].any()
    np.testing.assert_array_equal(found.kept[:, 0], same.sum(axis=1))
    fed = simulate(rare, images=10, rounds=1, replicates=50, key=62, user_images=3)
    assert not fed.kept.any() and (fed.trace[:, 1] != fed.trace[:, 0]).all()


def test_a_long_course_stays_finite():
    found = simulate(on_circle(5, 0.8), images=10, rounds=150, replicates=20, key=63, judged=True)
    for name in ("p", "trace", "log_det", "drift", "alignment"):
        assert np.isfinite(getattr(found, name)).all()
    assert found.gini[:, -1].max() < 0.7 and np.allclose(found.p.sum(axis=2), 1)


@pytest.mark.parametrize("text", ["sampled", "soft"])
def test_a_replicate_does_not_depend_on_how_many_follow(text):
    settings = {"images": 40, "rounds": 3, "key": 5, "text": text, "user_images": 2, "judged": True}
    settings |= {"corpus_chance": 0.5, "corpus_share": 0.1}
    few = simulate(on_circle(5, 0.5), replicates=2, **settings)
    many = simulate(on_circle(5, 0.5), replicates=1500, **settings)  # several chunks
    for name in ("p", "trace", "drift", "alignment"):
        np.testing.assert_array_equal(getattr(few, name), getattr(many, name)[:2])


@pytest.mark.parametrize(
    "more, words",
    [
        ({"images": 4}, "images is 4 for 5 captions"),
        ({"corpus_chance": 1.1}, "corpus_chance is 1.1"),
        ({"corpus_share": -0.1}, "corpus_share is -0.1"),
        ({"corpus_share": float("nan")}, "corpus_share"),
        ({"user_images": -1}, "user_images is -1"),
        ({"corpus": [0.5, 0.5, 0, 0, 0]}, "no chance"),
        ({"corpus": [0.5, 0.5]}, "corpus has 2 captions"),
        ({"corpus": [0.5, 0.6, 0, 0, 0]}, "sum to one"),
        ({"text": "frozen", "corpus_chance": 0.5, "corpus_share": 0.1}, "text is frozen"),
        ({"user_images": 2, "refit_images": False}, "no image model is refitted"),
        ({"text": "greedy"}, "sampled, soft or frozen"),
        ({"ddof": 2}, "ddof is 2"),
        ({"rounds": -1}, "rounds is -1"),
        ({"replicates": 0}, "replicates is 0"),
    ],
)
def test_b6_refusals(more, words):
    settings = {"images": 50, "rounds": 2, "replicates": 2, "key": 0, **more}
    with pytest.raises(SpecError, match=words):
        simulate(on_circle(5, 0.5), **settings)


def test_b6_a_corpus_may_leave_out_what_p_has_not():
    base = on_circle(3, 0.5)
    system = CaptionedGaussians([0.5, 0.5, 0.0], base.means, base.covariances)
    simulate(
        system,
        images=10,
        rounds=1,
        replicates=2,
        key=0,
        corpus=[0.4, 0.6, 0.0],
        corpus_share=0.1,
        corpus_chance=1,
    )
    with pytest.raises(SpecError, match=r"shape \(n, 2\)"):
        posteriors(system, [0.0, 1.0])
