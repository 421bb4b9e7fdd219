"""Painted attribute slots against their closed forms: M1 to M5 of the sheet."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.studies.attribute_slots import relabel, simulate
from autophage.theory import attribute_slots as theory


def assert_kept(found, expected, tolerance):
    """The tolerance is the sheet's, and four standard errors fit into it."""
    assert 4 * found.standard_error < tolerance * expected
    assert found.kept == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize(
    "b, replicates",
    [
        pytest.param(0, 14_000, marks=pytest.mark.slow),
        pytest.param(0.25, 12_000, marks=pytest.mark.slow),
        (0.5, 7500),
        (0.75, 2500),
        (0.9, 500),
    ],
)
def test_sheet_m1_slots_named_by_chance(b, replicates):
    found = simulate(10, images=50, rounds=60, replicates=replicates, key=31, named=b)
    assert_kept(found, theory.diversity_course(50, 60, b)[-1], 0.03)


@pytest.mark.slow
@pytest.mark.parametrize("B, replicates", [(0, 2900), (2, 2300), (4, 1300), (6, 450)])
def test_sheet_m2_a_budget_of_slots(B, replicates):
    told = {"budget": B} if B else {"named": 0.0}
    found = simulate(6, 8, images=40, rounds=50, replicates=replicates, key=32, **told)
    assert_kept(found, theory.diversity_course(40, 50, B / 8)[-1], 0.03)


def test_sheet_m2_budgets_at_four_standard_errors_and_the_whole_budget_exactly():
    kept = []
    for B in (2, 4, 6):
        found = simulate(6, 8, images=40, rounds=50, replicates=150, key=33, budget=B)
        assert abs(found.kept - theory.diversity_course(40, 50, B / 8)[-1]) < 4 * found.standard_error < 0.06
        kept.append(found.kept)
    assert kept == sorted(kept)
    assert simulate(6, 8, images=40, rounds=50, replicates=3, key=33, budget=8).kept == 1.0


@pytest.mark.parametrize(
    "M, replicates", [pytest.param(1, 12_000, marks=pytest.mark.slow), (2, 3000), (4, 700)]
)
def test_sheet_m3_pooled_models(M, replicates):
    found = simulate(5, images=50, rounds=50, replicates=replicates, key=34, models=M)
    assert_kept(found, theory.diversity_course(50, 50, models=M)[-1], 0.03)


@pytest.mark.parametrize("M, b", [(1, 0.0), (4, 0.0), (8, 0.0), (2, 0.5)])
def test_sheet_m4_biased_models(M, b):
    """The mean frequencies are exact for any number of images."""
    R = 400
    found = simulate(8, images=100, rounds=100, replicates=R, key=35, models=M, bias=0.05, named=b)
    p = found.frequencies[:, -1, 0]
    expected = theory.biased_frequencies([1 / 8] * 8, 0.05, M, 100, b)[-1]
    error = p.std(axis=0) / np.sqrt(R)
    # A rare value may be met in no replicate at all; its frequency then has no spread either.
    assert (np.abs(p.mean(axis=0) - expected) < 4.5 * np.maximum(error, 5e-4)).all()
    if not b:
        assert found.gini[:, -1].mean() == pytest.approx(1 - 1 / M, abs=0.04)


def test_sheet_m5_labels_of_labels():
    R, N = 60, 2000
    chain = relabel(10, 0.05, images=N, rounds=20, replicates=R, key=36)
    frozen = relabel(10, 0.05, images=N, rounds=20, replicates=R, key=36, labeller="frozen")
    for found, expected in ((chain, 0.386927), (frozen, 0.95)):
        last = found.right[:, -1]
        assert abs(last.mean() - expected) < 4 * last.std() / np.sqrt(R) < 0.01
    # Pairs of labellings share an image: N R labels of error at most 1/2 each, and the variance moves by twice that.
    assert abs(chain.caption_variance[-1] - 0.808526) < 4 / np.sqrt(N * R)
    assert (np.diff(chain.caption_variance) > 0).all()
    steady = theory.caption_variance(10, 0.05, 20, "frozen")
    np.testing.assert_allclose(frozen.caption_variance, steady, atol=4 / np.sqrt(N * R))


def test_a_replicate_does_not_depend_on_how_many_follow():
    from autophage.studies import attribute_slots, designs

    settings = {"images": 20, "rounds": 4, "key": 1, "budget": 2, "models": 2, "bias": 0.1}
    few = simulate(4, 3, replicates=2, **settings).frequencies
    assert attribute_slots.IN_CACHE * 2 * 20 * 3 * 1200 > designs.ENTRIES  # more than one chunk
    many = simulate(4, 3, replicates=1200, **settings).frequencies
    np.testing.assert_array_equal(few, many[:2])


def test_named_slots_are_painted_as_they_were():
    found = simulate(4, 2, images=9, rounds=6, replicates=5, key=2, named=1.0)
    np.testing.assert_array_equal(found.frequencies, np.repeat(found.frequencies[:, :1], 7, axis=1))


def test_the_law_of_the_real_images():
    found = simulate(3, images=2000, rounds=0, replicates=50, key=3, law=[0.7, 0.3, 0.0])
    assert found.frequencies.shape == (50, 1, 1, 3)
    np.testing.assert_allclose(
        found.frequencies.mean(axis=(0, 1, 2)), [0.7, 0.3, 0.0], atol=4 * 0.46 / np.sqrt(1e5)
    )
    assert (found.frequencies[..., 2] == 0).all()


@pytest.mark.parametrize(
    "more, words",
    [
        ({"budget": 0}, "budget is 0"),
        ({"budget": 4}, "budget is 4"),
        ({"budget": 1.5}, "budget is 1.5"),
        ({"budget": 2, "named": 0.5}, "give one of them"),
        ({"models": 0}, "models is 0"),
        ({"models": 6, "bias": 0.1}, "value of its own"),
        ({"named": 1.5}, "named is 1.5"),
        ({"bias": -0.1}, "bias is -0.1"),
        ({"law": [0.5, 0.5]}, "law has 2"),
        ({"law": [0.5, 0.1, 0.1, 0.1, 0.1]}, "sum to one"),
        ({"images": 0}, "images is 0"),
        ({"replicates": 0}, "replicates is 0"),
    ],
)
def test_a10_refusals(more, words):
    with pytest.raises(SpecError, match=words):
        simulate(**{"values": 5, "slots": 3, "images": 10, "rounds": 2, "replicates": 2, "key": 0, **more})


def test_a10_labels_are_refused_too():
    settings = {"images": 10, "rounds": 2, "replicates": 2, "key": 0}
    for more, words in (
        ({"values": 1, "error": 0.1}, "values is 1"),
        ({"values": 3, "error": 1.1}, "error is 1.1"),
        ({"values": 3, "error": 0.1, "labeller": "other"}, "evolving or frozen"),
        ({"values": 3, "error": 0.1, "replicates": 1}, "replicates is 1"),
    ):
        with pytest.raises(SpecError, match=words):
            relabel(**{**settings, **more})
