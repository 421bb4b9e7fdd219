"""Verified labels: the sheet's values and the laws between them."""

from __future__ import annotations

import pytest

from autophage.errors import FilterStarved, FitFailed, SpecError
from autophage.theory import verified

VERIFIERS = [(1.0, 1.0), (0.8, 0.2), (0.9, 0.6), (0.5, 0.7)]


@pytest.mark.parametrize(
    ("phi", "psi", "expected"),
    [(1, 1, 0.5), (0.8, 0.2, 0.8), (0.9, 0.6, 0.6), (0.5, 0.7, 0.41667)],
    ids=["v1", "v2", "v3", "v4"],
)
def test_v1_v4_breakdown(phi, psi, expected):
    assert verified.breakdown(phi, psi) == pytest.approx(expected, abs=5e-6)
    assert verified.breakdown(phi, psi) == pytest.approx(1 / (1 + psi / phi))


def test_residual_noise_of_the_sheet():
    assert verified.residual_noise(0.3, 0.8, 0.2) == pytest.approx(0.096774, abs=5e-7)


@pytest.mark.parametrize(("phi", "psi"), VERIFIERS)
def test_most_kept_labels_are_wrong_exactly_beyond_the_breakdown(phi, psi):
    p = verified.breakdown(phi, psi)
    assert verified.residual_noise(p, phi, psi) == pytest.approx(0.5)
    assert verified.residual_noise(p - 0.01, phi, psi) < 0.5 < verified.residual_noise(p + 0.01, phi, psi)
    assert verified.largest_leak(p) == pytest.approx(psi / phi)


@pytest.mark.parametrize("wrong", [0.05, 0.3, 0.9])
@pytest.mark.parametrize("residual", [0.0, 0.01, 0.4, 0.8])
def test_how_strong_a_verifier_must_be(wrong, residual):
    leak = verified.largest_leak(wrong, residual)
    phi = min(1.0, 1 / leak) if leak else 1.0
    assert verified.residual_noise(wrong, phi, leak * phi) == pytest.approx(residual)


def test_kept_share_counts_both_kinds():
    assert verified.kept_share(0.3, 0.8, 0.2) == pytest.approx(0.7 * 0.8 + 0.3 * 0.2)
    assert verified.kept_share(0.5, 1, 1) == 1 and verified.largest_leak(0) == float("inf")


def test_a_verifier_that_keeps_nothing():
    """The sheet's row: phi = psi = 0 is `FilterStarved`, a failed fit."""
    assert issubclass(FilterStarved, FitFailed)
    for call in (
        lambda: verified.breakdown(0, 0),
        lambda: verified.kept_share(0.3, 0, 0),
        lambda: verified.residual_noise(0.3, 0, 0),
    ):
        with pytest.raises(FilterStarved, match="keeps nothing: phi and psi are both zero"):
            call()
    with pytest.raises(FilterStarved, match="no record passes"):
        verified.residual_noise(1.0, 0.5, 0.0)


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan")])
def test_probabilities_outside_the_unit_interval(bad):
    for call in (
        lambda: verified.breakdown(bad, 0.5),
        lambda: verified.breakdown(0.5, bad),
        lambda: verified.kept_share(bad, 0.5, 0.5),
        lambda: verified.residual_noise(bad, 0.5, 0.5),
        lambda: verified.largest_leak(bad),
        lambda: verified.largest_leak(0.3, bad),
    ):
        with pytest.raises(SpecError, match="must lie in"):
            call()
    with pytest.raises(SpecError, match=r"it must lie in \[0, 1\)"):
        verified.largest_leak(0.3, 1.0)
