"""The chain of fake labels: R1-R5, R7, R8, R10 of the sheet, and its fits against plain least squares on drawn rows."""

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.keys import Key
from autophage.studies import designs
from autophage.studies.designs import Design, fits
from autophage.studies.label_chain import LabelErrors, simulate
from autophage.theory.regression_chain import Stage, best_ridge, course
from autophage.theory.regression_closed import least_norm_error, least_squares_error
from autophage.theory.regression_spectra import isotropic

HARMONIC = 1 / np.arange(1.0, 101.0)
UNIT = np.random.default_rng(3).standard_normal(100)
UNIT /= np.linalg.norm(UNIT)


@pytest.mark.parametrize(("n", "error"), [(0, 0.03034), (1, 0.15746), (5, 0.66593), (10, 1.30152)])
def test_r1_isotropic_least_squares(n, error, close):
    stages = [Stage(90, 0.0, 0.5)] * n + [Stage(120, 0.0, 0.3)]
    assert least_squares_error(30, stages) == pytest.approx(error, abs=5e-6)
    close(simulate(*isotropic(30), stages, replicates=1200, key=1).errors[:, 0], error, 0.04)


def test_r2_the_spectrum_does_not_matter_to_least_squares(close):
    stages = [Stage(90, 0.0, 0.5)] * 5 + [Stage(120, 0.0, 0.3)]
    found = simulate(HARMONIC[:30], UNIT[:30], stages, replicates=1200, key=2)
    close(found.errors[:, 0], 0.66593, 0.04)


@pytest.mark.parametrize(("n", "error"), [(0, 0.51034), (1, 0.69963), (3, 0.94807), (6, 1.13273)])
def test_r3_the_signal_is_lost_below_the_threshold(n, error, close):
    stages = [Stage(45, 0.0, 0.2)] * n + [Stage(30, 0.0, 0.1)]
    assert least_norm_error(60, 1.0, stages) == pytest.approx(error, abs=5e-6)
    close(simulate(*isotropic(60), stages, replicates=700, key=3).errors[:, 0], error, 0.03)


def test_r4_the_signal_is_lost_without_noise(close):
    found = simulate(*isotropic(60), [Stage(45)] * 4 + [Stage(30)], replicates=600, key=4)
    close(found.errors[:, 0], 0.841797, 0.02)


@pytest.mark.parametrize(("n", "replicates"), [(0, 450), (4, 700)])
def test_r5_ridge_after_least_squares(n, replicates, close):
    stages = [Stage(200, 0.0, 0.3)] * n + [Stage(150, 0.0, 0.3)]
    found = simulate(HARMONIC, UNIT, stages, replicates=replicates, key=5, ridges=[1e-3, 1e-2, 1e-1])
    for k, ridge in enumerate((1e-3, 1e-2, 1e-1)):
        theory = course(HARMONIC, UNIT, [*stages[:-1], Stage(150, ridge, 0.3)])[-1]
        assert found.theory[k] == theory
        close(found.errors[:, k], theory, 0.04)


def test_r7_over_parametrised_generators(close):
    stages = [Stage(60, 0.0, 0.1)] * 3 + [Stage(50, 1e-2, 0.1)]
    found = simulate(HARMONIC, UNIT, stages, replicates=900, key=7)
    close(found.errors[:, 0], found.theory[0], 0.04)


def test_r8_ridge_generators(close):
    found = simulate(HARMONIC, UNIT, [Stage(150, 0.02, 0.1)] * 4, replicates=200, key=8)
    close(found.errors[:, 0], found.theory[0], 0.04)


@pytest.mark.parametrize(
    ("n", "error", "replicates"), [(0, 0.1258, 4000), (2, 0.2573, 2000), (8, 0.5311, 700)]
)
def test_r10_error_at_the_best_ridge(n, error, replicates, close):
    generators = [Stage(120, 0.0, 0.3)] * n
    ridge = best_ridge(*isotropic(60), generators, 90, 0.3).ridge
    found = simulate(*isotropic(60), [*generators, Stage(90, ridge, 0.3)], replicates=replicates, key=10)
    close(found.errors[:, 0], error, 0.03)


# The fits themselves


@pytest.mark.parametrize("rows", [3, 6, 15])
def test_a_design_has_the_law_of_drawn_rows(rows, close):
    """First and second moments of X'X: E X'X = T diag(s), Var (X'X)_ij = T s_i s_j, twice that on the diagonal."""
    s = np.array([2.0, 1.0, 0.5, 0.25, 1.5, 1.0])
    R = 25_000
    B, noise = Design(s, rows, Key(0)).draw(R)
    assert B.shape == (R, 6, min(rows, 6)) and noise.shape == (R, min(rows, 6))
    gram = B @ B.transpose(0, 2, 1)
    for i, j in [(0, 0), (5, 5), (0, 1), (2, 4), (4, 5)]:
        variance = rows * s[i] * s[j] * (2 if i == j else 1)
        close(gram[:, i, j], rows * s[i] * (i == j), 0.04 * np.sqrt(variance), relative=False)
        close((gram[:, i, j] - rows * s[i] * (i == j)) ** 2, variance, 0.12)
    # independent of the trace, and of the noise: what a Wishart's entries say of each other
    close(gram[:, 0, 1] * gram[:, 1, 2] * gram[:, 0, 2], rows * s[0] * s[1] * s[2], 0.35)


@pytest.mark.parametrize(("rows", "ridge"), [(20, 0.0), (5, 0.0), (20, 0.3), (5, 0.3)])
def test_the_chain_has_the_law_of_plain_least_squares(rows, ridge):
    """Means and variances of the error against `lstsq` on rows that were drawn one by one."""
    rng = np.random.default_rng(6)
    s, w0 = np.array([2.0, 1.0, 0.5, 0.25, 1.5, 1.0, 0.1, 0.3]), np.linspace(-1, 1, 8)
    R, drawn = 800, []
    for _ in range(R):
        w = w0
        for noise in (0.5, 0.2):
            X = rng.standard_normal((rows, 8)) * np.sqrt(s)
            y = X @ w + noise * rng.standard_normal(rows)
            whole = np.concatenate([X, np.sqrt(rows * ridge) * np.eye(8)]) if ridge else X
            w = np.linalg.lstsq(whole, np.append(y, np.zeros(8)) if ridge else y, rcond=None)[0]
        drawn.append((w - w0) ** 2 @ s)
    found = simulate(s, w0, [Stage(rows, ridge, 0.5), Stage(rows, ridge, 0.2)], replicates=6000, key=6)
    a, b = np.log(np.array(drawn)), np.log(found.errors[:, 0])
    error = np.sqrt(a.var() / R + b.var() / len(b))
    assert abs(a.mean() - b.mean()) < 4.5 * error
    spread = np.sqrt(((a - a.mean()) ** 2).var() / R + ((b - b.mean()) ** 2).var() / len(b))
    assert abs(a.var() - b.var()) < 4.5 * spread


@pytest.mark.parametrize("k", [3, 6, 9])
def test_fits_are_those_of_least_squares(k):
    rng = np.random.default_rng(1)
    B, y = rng.standard_normal((2, 6, k)), rng.standard_normal((2, k))
    penalties = np.array([0.0, 0.5, 3.0])
    together = fits(B, y, np.append(penalties, np.arange(1.0, 9.0)))
    few = fits(B, y, penalties)
    for r in range(2):
        for i, c in enumerate(penalties):
            whole = np.concatenate([B[r].T, np.sqrt(c) * np.eye(6)])
            expected = np.linalg.lstsq(whole, np.append(y[r], np.zeros(6)), rcond=None)[0]
            np.testing.assert_allclose(together[r, i], expected, rtol=1e-7, atol=1e-9)
            np.testing.assert_allclose(few[r, i], expected, rtol=1e-7, atol=1e-9)
            alone = fits(B, y, np.array([c]))
            np.testing.assert_allclose(alone[r, 0], expected, rtol=1e-7, atol=1e-9)


def test_a_replicate_does_not_depend_on_how_many_follow(monkeypatch):
    stages = [Stage(12, 0.0, 0.3), Stage(5, 0.0, 0.1), Stage(9, 0.2, 0.1)]
    many = simulate(*isotropic(8), stages, replicates=40, key=3).errors
    few = simulate(*isotropic(8), stages, replicates=7, key=Key(3)).errors
    np.testing.assert_array_equal(few, many[:7])
    monkeypatch.setattr(designs, "ENTRIES", 8 * 8 * 3)  # three replicates at a time
    np.testing.assert_array_equal(simulate(*isotropic(8), stages, replicates=40, key=3).errors, many)
    assert not np.array_equal(simulate(*isotropic(8), stages, replicates=40, key=4).errors, many)


def test_a_grid_of_ridges_shares_its_draws():
    stages = [Stage(30, 0.0, 0.5), Stage(20, 0.0, 0.5)]
    grid = simulate(*isotropic(8), stages, replicates=30, key=0, ridges=[0.01, 1.0])
    for k, ridge in enumerate((0.01, 1.0)):
        alone = simulate(*isotropic(8), [stages[0], Stage(20, ridge, 0.5)], replicates=30, key=0)
        np.testing.assert_allclose(grid.errors[:, k], alone.errors[:, 0], rtol=1e-10)
        assert grid.theory[k] == alone.theory[0]


def test_cells_that_miss_theory_are_flagged():
    errors = np.random.default_rng(0).normal(1.0, 0.1, (400, 3))
    found = LabelErrors(
        np.zeros(3), errors, np.array([1.0, 1.02, 1.1])
    )  # within noise, within 3 %, outside both
    assert found.flagged.tolist() == [False, False, True]
    assert np.isnan(LabelErrors(np.zeros(1), np.ones((1, 1)), np.ones(1)).standard_error).all()


LAW = isotropic(8)


@pytest.mark.parametrize(
    ("stages", "keys", "words"),
    [
        ([Stage(8)], {}, "infinite variance at the interpolation threshold"),
        ([Stage(9), Stage(30)], {}, "infinite variance"),
        ([Stage(7)], {}, "infinite variance"),
        ([Stage(8, 0.1)], {"ridges": [0.1, 0.0]}, "infinite variance"),
        ([Stage(30)], {"ridges": [-0.1]}, "ridge is -0.1"),
        ([Stage(30)], {"ridges": [[0.1]]}, "list of penalties"),
        ([Stage(30)], {"ridges": []}, "list of penalties"),
        ([Stage(30.5)], {}, "whole number of rows"),
        ([], {}, "at least one stage"),
        ([Stage(30)], {"replicates": 0}, "replicates is 0"),
    ],
    ids=[
        "T = d", "T = d + 1", "T = d - 1", "ridge 0 in a grid", "negative ridge", "ridges' shape", "no ridges",
        "half a row", "no stage", "no replicates",
    ],
)  # fmt: skip
def test_bad_input(stages, keys, words):
    with pytest.raises(SpecError, match=words):
        simulate(*LAW, stages, **{"replicates": 2, "key": 0, **keys})
