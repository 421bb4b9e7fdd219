"""A tale of tails: T1-T5 of the sheet by sums and by simulation, and its bad input."""

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.studies import memoriser
from autophage.theory import tails

BETA = 1.5


@pytest.mark.parametrize(
    ("rows", "error", "law", "replicates"),
    [(1000, 0.09342, 0.09416, 150), (10_000, 0.04296, 0.04370, 50), (100_000, 0.01953, 0.02029, 8)],
)
def test_t1_clean(rows, error, law, replicates, close):
    found = tails.clean(BETA, rows)
    assert found.error == pytest.approx(error, abs=5.1e-6)
    assert tails.clean_law(BETA, rows) == pytest.approx(law, abs=5.1e-6)
    # what the alphabet leaves out is what the endless law is above the sum
    assert found.missing == pytest.approx(law - error, rel=0.05)
    drawn = memoriser.simulate_mixing(BETA, rows, 0, 0, replicates=replicates, key=1)
    assert drawn.missing == found.missing
    close(drawn.errors, error, 0.02)


@pytest.mark.parametrize(("rank", "error"), [(10, 0.23561), (100, 0.07575), (1000, 0.04334)])
def test_t2_cut(rank, error, close):
    found = tails.cut(BETA, 10_000, rank)
    assert found.error == pytest.approx(error, abs=5.1e-6)
    p = tails.masses(BETA)
    q = p[:rank] / p[:rank].sum()
    assert found.error == pytest.approx((p[:rank] * (1 - q) ** 10_000).sum() + p[rank:].sum(), rel=1e-12)
    # more data do not pass the floor
    limit = tails.cut(BETA, 10**9, rank)
    assert limit.error + limit.missing == pytest.approx(tails.cut_floor(BETA, rank), rel=0.06)
    if rank == 1000:
        close(memoriser.simulate_mixing(BETA, 0, 10_000, rank, replicates=30, key=2).errors, error, 0.02)


@pytest.mark.parametrize(
    ("real", "rows", "error", "replicates"),
    [(1000, 100_000, 0.09344, 100), (1000, 1000, 0.1090, 100), (10_000, 1000, 0.09501, 100)],
)
def test_t3_synthetic_set(real, rows, error, replicates, close):
    course = tails.replaced(BETA, [real, rows]).error
    assert course[1] == pytest.approx(error, abs=5.1e-5 if rows == real else 5.1e-6)
    p = tails.masses(BETA)
    assert course[1] == pytest.approx((p * np.exp(-real * p * -np.expm1(-rows / real))).sum(), rel=1e-12)
    close(memoriser.simulate(BETA, [real, rows], replicates=replicates, key=3).errors[:, 1], error, 0.03)


def test_t4_generations_of_replacement(close):
    found = tails.replaced(BETA, [1000] * 20)
    drawn = memoriser.simulate(BETA, [1000] * 20, replicates=250, key=4)
    assert drawn.errors.shape == (250, 20) and drawn.missing == found.missing
    for fit, error in {1: 0.0934, 2: 0.1090, 5: 0.1381, 10: 0.1685, 20: 0.2082}.items():
        assert found.error[fit - 1] == pytest.approx(error, abs=5.1e-5)
        close(drawn.errors[:, fit - 1], error, 0.04)
    law = tails.replaced_law(BETA, 1000, 20)
    assert law[0] == tails.clean_law(BETA, 1000)
    # growth like t^c, c = 1 - 1/beta, far below linear
    far = tails.replaced_law(BETA, 1e6, 2000)
    assert np.log(far[1999] / far[199]) / np.log(10) == pytest.approx(1 / 3, abs=0.01)


def test_t5_mixing(close):
    expected = {0: 0.07566, 10: 0.07559, 100: 0.07494, 1000: 0.06912, 10_000: 0.04283, 100_000: 0.01953}
    for real, error in expected.items():
        assert tails.mixed(BETA, real, 100_000, 100).error == pytest.approx(error, abs=5.1e-6)
    drawn = memoriser.simulate_mixing(BETA, 1000, 2000, 100, replicates=150, key=5)
    close(drawn.errors, tails.mixed(BETA, 1000, 2000, 100).error, 0.02)


def test_the_exponents():
    for beta in (1.2, 1.5, 2.0, 3.0):
        errors = tails.clean_law(beta, np.array([1e3, 1e6]))
        assert np.log(errors[1] / errors[0]) / np.log(1e3) == pytest.approx(-(1 - 1 / beta))
        # a cut where the generator's data end costs as much as having no more data than it
        k = tails.effective_rank(beta, 1e6)
        assert 1 / 3 < tails.cut_floor(beta, round(k)) / errors[1] < 3
    heavy = tails.clean(2.0, 5000)
    assert heavy.error == pytest.approx(tails.clean_law(2.0, 5000), rel=2e-3)


def test_bad_input_nothing_learned_is_error_one():
    for found in (
        tails.clean(BETA, 0),
        tails.cut(BETA, 0, 50),
        tails.cut(BETA, 1000, 0),
        tails.mixed(BETA, 0, 0, 9),
    ):
        assert found.error == pytest.approx(1.0, rel=1e-12)
    assert tails.cut_floor(BETA, 0) == 1.0
    assert memoriser.simulate_mixing(BETA, 0, 0, 9, replicates=3, key=0).errors.tolist() == [1.0] * 3
    assert memoriser.simulate_mixing(BETA, 0, 50, 0, replicates=3, key=0).errors.tolist() == [1.0] * 3


def test_bad_input_a_truncated_alphabet_says_what_is_missing():
    for symbols in (10, 1000):
        found = tails.clean(BETA, 100, symbols)
        endless = (np.arange(1, 4_000_001) ** -BETA)[symbols:].sum() / 2.6123753
        assert found.missing == pytest.approx(endless, abs=5e-4)
        assert memoriser.simulate(BETA, [5], replicates=1, key=0, symbols=symbols).missing == found.missing
    assert tails.replaced(BETA, [10, 10], 1000).missing == tails.missing_mass(BETA, 1000)
    one = tails.mixed(BETA, 1, 1, 1, symbols=1)
    assert one.error == pytest.approx(0.0, abs=1e-12)
    assert tails.mixed(BETA, 0, 1, 1, symbols=1).error == pytest.approx(0.0, abs=1e-12)
    assert tails.mixed(BETA, 0, 0, 1, symbols=1).error == 1.0


def test_a_replicate_does_not_depend_on_how_many_follow():
    many = memoriser.simulate(BETA, [200, 100, 300], replicates=9, key=3, symbols=5000).errors
    few = memoriser.simulate(BETA, [200, 100, 300], replicates=4, key=3, symbols=5000).errors
    np.testing.assert_array_equal(few, many[:4])
    assert np.isnan(memoriser.simulate(BETA, [5], replicates=1, key=3, symbols=50).standard_error).all()
    assert (many[:, 1:] >= many[:, :1]).all()  # what is forgotten stays forgotten


BAD = {
    "beta = 1": (lambda: tails.clean(1.0, 10), "beta is 1.0"),
    "beta nan": (lambda: tails.clean_law(float("nan"), 10), "beta"),
    "beta < 1, floor": (lambda: tails.cut_floor(0.5, 10), "beta"),
    "beta inf": (lambda: tails.constant(np.inf), "beta"),
    "beta = 1, simulated": (lambda: memoriser.simulate(1.0, [10], replicates=1, key=0), "beta"),
    "k < 0": (lambda: tails.cut(BETA, 10, -1), "rank is -1"),
    "k = 2.5": (lambda: tails.cut_floor(BETA, 2.5), "whole number"),
    "T < 0": (lambda: tails.clean(BETA, -1), "real rows is -1"),
    "T_ai < 0": (lambda: tails.mixed(BETA, 1, -1, 5), "synthetic rows is -1"),
    "no size": (lambda: tails.replaced(BETA, [100, 0]), "size at generation 1"),
    "no symbols": (lambda: tails.masses(BETA, 0), "symbols is 0"),
    "no generations": (lambda: tails.replaced_law(BETA, 100, 0), "generations"),
    "no size, simulated": (lambda: memoriser.simulate(BETA, [5, 0], replicates=1, key=0), "above zero"),
    "half a size, simulated": (lambda: memoriser.simulate(BETA, [5.5], replicates=1, key=0), "whole number"),
    "no replicates": (lambda: memoriser.simulate(BETA, [5], replicates=0, key=0), "replicates is 0"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
    call, words = BAD[name]
    with pytest.raises(SpecError, match=words):
        call()
