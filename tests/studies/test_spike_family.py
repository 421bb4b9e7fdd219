"""The family of Barzilai & Shamir: exact maximum likelihood, and what becomes of its second fit."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.keys import Key
from autophage.studies import spike_family
from autophage.theory import consistency

N, R = 200, 10_000


@pytest.fixture(scope="module")
def found():
    return spike_family.simulate(N, 2, replicates=R, key=7)


def rate(hits, expected):
    error = np.sqrt(expected * (1 - expected) / len(hits))
    assert abs(hits.mean() - expected) < 4 * error
    return error


def test_sheet_4_the_second_data_set_hits_the_spike(found):
    error = rate(found.hit[:, 1], consistency.spike_hit(N))
    assert 4 * error < 0.05 and abs(found.hit[:, 1].mean() - 0.22) < 0.05  # the sheet's own measurement


def test_sheet_4_one_spike_record_makes_the_refit_jump(found):
    assert (found.jumped[:, 1] == (found.spiked[:, 1] == 1)).all()
    error = rate(found.jumped[:, 1], consistency.spike_single(N))
    assert 4 * error < 0.03 and abs(found.jumped[:, 1].mean() - 0.165) < 0.03
    assert found.distance[found.jumped[:, 1], 1].min() >= consistency.spike_distance(0.125)


def test_sheet_4_the_first_fit_is_excellent(found):
    a = found.a[:, 0]
    assert not found.jumped[:, 0].any() and not found.spiked[:, 0].any()
    error = a.std() / np.sqrt(R)
    # A few samples give up their largest record, which moves the mean by less than the band.
    assert abs(a.mean() - consistency.spike_first_fit(N)) < 0.1 * a.mean() and 4 * error < 0.1 * a.mean()
    for share in (0.5, 0.9):  # quantiles of Exp(1) / (2n)
        quantile = -np.log(1 - share) / (2 * N)
        assert abs((a < quantile).mean() - share) < 0.03
    assert found.distance[:, 0].max() < 10 * np.log(N) / N


def log_likelihood(records, a, n):
    """Of p_{a,mu} at its best mu, from the density itself."""
    inside, spiked = records[records <= 1], records[records > 1]
    with np.errstate(divide="ignore"):
        total = np.log(np.where(inside <= 1 - 2 * a + 1e-15, (1 - a) / (1 - 2 * a), 0) + a / 2).sum()
        if len(spiked):
            total += len(spiked) * np.log(a / 2)
    if len(spiked) and a > 0.125:
        alone = (spiked == spiked[0]).all() and spiked[0] <= 3
        total = total + 50 * n * len(spiked) if alone else -np.inf
    return total


@pytest.mark.parametrize("spiked", [0, 1, 2])
def test_the_fit_is_the_maximum(spiked):
    """Against a fine grid of a, in small samples where records are given up."""
    rng = np.random.default_rng(spiked)
    given_up = 0
    for n in (2, 3, 5, 8, 12):
        for _ in range(3):
            records = np.concatenate([rng.random(n), 2.2 + 0.7 * rng.random(spiked)])
            ((a,), (mu,), (count,)) = spike_family.fitted(records[None], n)
            best = max(log_likelihood(records, g, n) for g in np.linspace(0, 0.25, 801))
            assert log_likelihood(records, a, n) >= best - 1e-12
            assert count == spiked and (not spiked or mu == records[records > 1].min())
            given_up += (records[records <= 1] > 1 - 2 * a + 1e-12).any()
    assert given_up > 0 or not spiked


def test_a_spike_beyond_the_reach_of_mu_is_no_spike():
    records = np.array([[0.1, 0.2, 0.4, 3.5]])
    a, mu, _ = spike_family.fitted(records, 4)
    assert a[0] <= 0.125 and mu[0] == 3


def test_records_follow_the_family():
    a, mu = np.full(1000, 0.1), np.full(1000, 2.5)
    x = spike_family.sampled(a, mu, 400, Key(3))
    flat = x.ravel()
    for share, expected in (
        ((flat <= 0.8).mean(), 0.9 + 0.05 * 0.8),
        (((flat > 0.8) & (flat <= 1)).mean(), 0.05 * 0.2),
        (((flat >= 2.5) & (flat <= 3.5)).mean(), 0.05),
    ):
        assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / flat.size)
    narrow = spike_family.sampled(np.full(1, 0.2), np.full(1, 2.5), 1000, Key(4))
    assert set(narrow[narrow > 1]) == {2.5}


def test_a_replicate_does_not_depend_on_how_many_follow():
    few, many = (spike_family.simulate(20, 3, replicates=r, key=1) for r in (3, 8))
    for name in ("a", "mu", "spiked"):
        np.testing.assert_array_equal(getattr(few, name), getattr(many, name)[:3])


@pytest.mark.parametrize("name", ["n", "generations", "replicates"])
def test_refusals(name):
    with pytest.raises(SpecError, match=f"{name} is 0"):
        spike_family.simulate(**{"n": 5, "generations": 2, "replicates": 2, name: 0})
