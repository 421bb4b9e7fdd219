"""Strong model collapse: S1-S5 of the sheet by theory and by simulation, and its bad input."""

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.studies import mixed_labels
from autophage.theory.regression_chain import Stage, test_error
from autophage.theory.regression_spectra import isotropic, power_law
from autophage.theory.strong_collapse import Part, floor, isotropic_mixed_error, mixed_error

FIFTY = isotropic(50)


@pytest.mark.parametrize(
    ("rows", "expected", "tolerance", "replicates"),
    [
        pytest.param((150, 50), 0.20833, 0.04, 2500, id="S1"),
        pytest.param((100, 100), 0.41667, 0.04, 1500, id="S2"),
        pytest.param((1000, 1000), 0.26282, 0.05, 700, id="S3"),
        pytest.param((1980, 20), 0.00676, 0.06, 700, id="S4"),
    ],
)
def test_s1_to_s4_isotropic(rows, expected, tolerance, replicates, close):
    real, synthetic = (Part(n, 0.5) for n in rows)
    theory = mixed_error(*FIFTY, 1 / 50, real, synthetic)
    assert theory.total == pytest.approx(expected, abs=5.1e-6) and theory.bias == 0
    assert isotropic_mixed_error(50, 1.0, real, synthetic) == pytest.approx(theory, rel=1e-12)
    found = mixed_labels.simulate(*FIFTY, 1 / 50, real, synthetic, replicates=replicates, key=1)
    assert found.theory[0] == theory.total
    close(found.errors[:, 0], expected, tolerance)


def test_s3_s4_floors():
    assert floor(FIFTY.eigenvalues, 1 / 50, 0.5) == pytest.approx(0.25)
    assert floor(FIFTY.eigenvalues, 1 / 50, 0.01) == pytest.approx(1e-4)
    for share in (0.5, 0.01):
        n = 1e9
        limit = mixed_error(*FIFTY, 1 / 50, Part((1 - share) * n, 0.5), Part(share * n, 0.5)).total
        assert limit == pytest.approx(floor(FIFTY.eigenvalues, 1 / 50, share), rel=1e-3)


def test_s5_ridge_on_a_falling_spectrum(close):
    s = 1 / np.arange(1.0, 51.0)
    w1 = np.random.default_rng(0).standard_normal(50) / np.sqrt(50)
    found = mixed_labels.simulate(
        s, w1, 0.5 / 50, Part(60, 0.3), Part(40, 0.1), ridges=[1e-3, 3e-2, 0.3], replicates=2200, key=5
    )
    for k in range(3):
        close(found.errors[:, k], found.theory[k], 0.03)


def test_only_a_vanishing_share_restores_scaling():
    """More data at a fixed share of one in a thousand stop helping; at a share of 1/n they do not."""
    law = power_law(2000, 1.5, 0.5)

    def error(n, share):
        return mixed_error(*law, 1.0, Part(n * (1 - share), 0.1), Part(n * share, 0.1), 1 / n).total

    fixed = [error(n, 1e-3) for n in (1e7, 1e9, 1e11)]
    assert fixed[2] / fixed[1] > 0.9 and fixed[2] == pytest.approx(
        floor(law.eigenvalues, 1.0, 1e-3), rel=0.05
    )
    vanishing = [error(n, 1 / n) for n in (1e7, 1e9, 1e11)]
    assert vanishing[2] < 0.2 * vanishing[1] < 0.04 * vanishing[0]


def test_without_synthetic_rows_it_is_clean_ridge():
    law = power_law(80, 1.5, 0.5)
    found = mixed_error(*law, 3.0, Part(60, 0.2), Part(0), 0.05)
    assert found.synthetic == 0.0
    assert found.total == pytest.approx(test_error(*law, [Stage(60, 0.05, 0.2)]), rel=1e-12)


def test_bad_input_one_kind_of_rows_only(close):
    """n1 = 0 is a fit to other weights: its floor is trace(Delta Sigma). n2 = 0 leaves no synthetic part, exactly."""
    s = FIFTY.eigenvalues
    pure = mixed_error(*FIFTY, 0.04, Part(0), Part(1e8, 0.5))
    assert pure.total == pytest.approx(floor(s, 0.04, 1.0), rel=1e-5) == pytest.approx(2.0, rel=1e-5)
    found = mixed_labels.simulate(*FIFTY, 0.04, Part(0), Part(150, 0.5), replicates=2500, key=2)
    close(found.errors[:, 0], found.theory[0], 0.04)
    clean = mixed_labels.simulate(*FIFTY, 0.04, Part(150), Part(0), replicates=3, key=2)
    np.testing.assert_allclose(clean.errors, 0, atol=1e-18)
    assert clean.theory[0] == 0


def test_zero_eigenvalues_take_their_gap_with_them():
    with pytest.warns(UserWarning, match="1 of 3"):
        found = mixed_error(
            [1.0, 0.0, 2.0], [1.0, 9.0, 1.0], [0.1, 7.0, 0.2], Part(20, 0.1), Part(5, 0.1), 0.1
        )
    assert found == mixed_error([1.0, 2.0], [1.0, 1.0], [0.1, 0.2], Part(20, 0.1), Part(5, 0.1), 0.1)


BAD = {
    "Delta < 0": (lambda: mixed_error(*FIFTY, -0.1, Part(60), Part(60)), "below zero"),
    "Delta nan": (lambda: mixed_error(*FIFTY, np.nan, Part(60), Part(60)), "finite"),
    "no rows": (lambda: mixed_error(*FIFTY, 0.1, Part(0), Part(0)), "number of rows"),
    "negative rows": (lambda: Part(-1), "rows is -1"),
    "negative noise": (lambda: Part(1, -1.0), "noise is -1"),
    "threshold": (lambda: mixed_error(*FIFTY, 0.1, Part(25), Part(26)), "infinite variance"),
    "isotropic, few rows": (lambda: isotropic_mixed_error(50, 1.0, Part(25), Part(26)), "at least 52 rows"),
    "share": (lambda: floor([1.0], 1.0, 1.5), r"must lie in \[0, 1\]"),
    "simulated half row": (
        lambda: mixed_labels.simulate(*FIFTY, 0.1, Part(60.5), Part(60), replicates=2, key=0),
        "whole number of rows",
    ),
    "simulated threshold": (
        lambda: mixed_labels.simulate(*FIFTY, 0.1, Part(25), Part(25), replicates=2, key=0),
        "infinite variance",
    ),
    "no penalties": (
        lambda: mixed_labels.simulate(*FIFTY, 0.1, Part(60), Part(60), replicates=2, key=0, ridges=[]),
        "penalties",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
    call, words = BAD[name]
    with pytest.raises(SpecError, match=words):
        call()
