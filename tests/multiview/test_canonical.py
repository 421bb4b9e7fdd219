"""The agreement of views against closed forms, its own invariances, scikit-learn and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.cross_decomposition import CCA as Oracle

from autophage.errors import DataError, FitFailed, SpecError
from autophage.multiview.canonical import agreement, canonical_correlations, correlation
from autophage.multiview.nesum import redundancy
from autophage.multiview.noise import drawn, expected, noise_term


def normals(*shape, seed=0):
    return torch.as_tensor(np.random.default_rng(seed).standard_normal(shape))


def test_full_rank_maps_leave_the_correlation_with_noise():
    """Sheet N1."""
    x, a, w = normals(2000, 20), normals(2000, 20, seed=1), normals(20, 20, seed=2)
    eta = abs(correlation(x @ w, a @ w) - correlation(x, a))
    assert float(eta) < 1e-10


@pytest.mark.parametrize(("rank", "value"), [(20, 1.698), (10, 0.600), (5, 0.212)])
def test_a_map_of_low_rank_lowers_it(rank, value, close):
    """Sheet N2: 8 / (3 pi) q^(3/2) / sqrt N; more draws than the sheet's 20, so that 5 % is four standard errors."""
    rng = np.random.default_rng(rank)
    draws = []
    for _ in range({20: 30, 10: 100, 5: 300}[rank]):
        x, a = torch.as_tensor(rng.standard_normal((2, 2000, 20)))
        w = torch.as_tensor(rng.standard_normal((20, rank)))
        draws.append(float(correlation(x @ w, a @ w)))
    assert expected(rank, 2000) == pytest.approx(value, abs=5e-4)
    close(np.array(draws), value, 0.05)


def test_a_map_of_low_rank_in_full_width_is_its_rank():
    """Sheet N2 with 20 columns of rank 5: directions without variance count for nothing."""
    x, a, w = normals(500, 20), normals(500, 20, seed=1), normals(20, 5, seed=2)
    wide = w @ normals(5, 20, seed=3)
    assert float(correlation(x @ wide, a @ wide)) == pytest.approx(float(correlation(x @ w, a @ w)), abs=1e-9)


def test_invertible_maps_change_nothing():
    """Sheet N3."""
    x, y = normals(300, 6), normals(300, 4, seed=1)
    y[:, :3] += x[:, :3]
    plain = correlation(x, y)
    assert abs(correlation(x @ normals(6, 6, seed=2) + 3, y) - plain) < 1e-9
    assert abs(correlation(x, y @ normals(4, 4, seed=3) - 2) - plain) < 1e-9
    views = [normals(300, 4, seed=s) + y for s in (4, 5, 6)]
    mapped = [v @ normals(4, 4, seed=7 + k) for k, v in enumerate(views)]
    assert abs(agreement(mapped) - agreement(views)) < 1e-9


def test_shared_latents():
    """Sheet N4: c / (1 + s^2) = 3.2, and the bias of chance above it."""
    rng = np.random.default_rng(0)
    common = rng.standard_normal((20_000, 4))
    x, y = (
        np.c_[common, rng.standard_normal((20_000, 4))] + 0.5 * rng.standard_normal((20_000, 8))
        for _ in range(2)
    )
    total = canonical_correlations(x, y).sum()
    assert 3.2 < total < 3.3
    assert total == pytest.approx(3.2 + expected(4, 20_000), abs=0.03)


@pytest.mark.parametrize("rank", [1, 4, 7])
def test_a_view_agrees_with_itself_by_its_rank(rank):
    """Sheet N5."""
    x = normals(200, rank) @ normals(rank, 7, seed=1)
    assert float(correlation(x, x)) == pytest.approx(rank, abs=1e-9)


@pytest.mark.parametrize("ridge", [0.0, 1e-3])
@pytest.mark.parametrize("widths", [(4, 4), (5, 3), (3, 3, 3), (2, 2, 2, 2)])
def test_gradients_are_those_of_finite_differences(widths, ridge):
    """Sheet N6."""
    common = normals(60, 3, seed=9)
    views = [normals(60, w, seed=k) for k, w in enumerate(widths)]
    for v in views:
        v[:, :2] += common[:, :2]
        v.requires_grad_()
    value = correlation if len(set(widths)) > 1 else lambda *v: None
    call = (lambda *v: value(*v, ridge)) if len(set(widths)) > 1 else (lambda *v: agreement(v, ridge))
    gradients = torch.autograd.grad(call(*views), views)
    step = 1e-5
    for k, view in enumerate(views):
        direction = normals(*view.shape, seed=20 + k)
        ends = []
        for sign in (1, -1):
            moved = [
                v.detach() + sign * step * direction if i == k else v.detach() for i, v in enumerate(views)
            ]
            ends.append(float(call(*moved)))
        slope = (ends[0] - ends[1]) / (2 * step)
        assert float((gradients[k] * direction).sum()) == pytest.approx(slope, rel=1e-5)


def test_equal_eigenvalues_and_lost_ranks_have_finite_gradients():
    """Where the derivative of an eigendecomposition divides by zero."""
    x = torch.zeros(40, 4, dtype=torch.float64)
    x[:4], x[4:8] = 2 * torch.eye(4), -2 * torch.eye(4)
    y = normals(40, 4)
    flat = torch.cat([y[:, :2], y[:, :2]], dim=1)
    for a, b in ((x, x.clone()), (x, y), (flat, y), (torch.zeros_like(x), y)):
        a, b = a.clone().requires_grad_(), b.clone().requires_grad_()
        for ridge in (0.0, 1e-4):
            value = correlation(a, b, ridge)
            assert (
                all(torch.isfinite(g).all() for g in torch.autograd.grad(value, (a, b)))
                and 0 <= value <= 4.0001
            )


def test_two_views_agree_by_their_correlation_and_copies_fully():
    x, y = normals(100, 3), normals(100, 3, seed=1)
    assert float(agreement([x, y], 1e-2)) == pytest.approx(float(correlation(x, y, 1e-2)), abs=1e-12)
    assert float(agreement([x, x @ normals(3, 3, seed=2), -x, x + 1])) == pytest.approx(3, abs=1e-9)


def test_single_precision_is_near():
    x, y = normals(400, 5), normals(400, 5, seed=1)
    low = correlation(x.float(), y.float(), 1e-4)
    assert low.dtype == torch.float32
    assert float(low) == pytest.approx(float(correlation(x, y, 1e-4)), abs=1e-4)


def test_correlations_are_those_of_scikit_learn():
    rng = np.random.default_rng(3)
    common = rng.standard_normal((500, 2))
    x, y = (
        np.c_[common, rng.standard_normal((500, w))] @ rng.standard_normal((w + 2, w + 2)) for w in (2, 1)
    )
    x, y = x + 0.3 * rng.standard_normal(x.shape), y + 0.3 * rng.standard_normal(y.shape)
    u, v = Oracle(n_components=3, max_iter=10_000, tol=1e-12).fit_transform(x, y)
    found = [np.corrcoef(a, b)[0, 1] for a, b in zip(u.T, v.T, strict=True)]
    assert canonical_correlations(x, y) == pytest.approx(found, abs=1e-6)


# The noise term


def test_the_noise_term_of_an_invertible_map_is_zero_and_of_a_low_rank_is_not():
    x, a = normals(1000, 10), normals(1000, 10, seed=1)
    w = normals(10, 10, seed=2)
    assert float(noise_term(x @ w, a @ w, x, a)) < 1e-10
    flat = w[:, :3] @ normals(3, 10, seed=3)
    lost = float(noise_term(x @ flat, a @ flat, x, a))
    assert lost == pytest.approx(expected(10, 1000) - expected(3, 1000), rel=0.3)


def test_its_target_fits_representations_of_another_width(close):
    """Sheet 5: without (m / d)^(3/2) a random map from 20 to 10 columns misses its target by a factor of 2.8."""
    rng = np.random.default_rng(0)
    signed = []
    for _ in range(60):
        x, a = torch.as_tensor(rng.standard_normal((2, 2000, 20)))
        w = torch.as_tensor(rng.standard_normal((20, 10)))
        signed.append(float(noise_term(x @ w, a @ w, x, a)) / expected(10, 2000))
    assert np.mean(signed) < 0.15
    assert expected(20, 2000) / expected(10, 2000) == pytest.approx(2**1.5)


@pytest.mark.parametrize("law", ["gaussian", "uniform"])
def test_noise_has_mean_0_and_variance_1(law):
    a = drawn(torch.zeros(200_000, 1, dtype=torch.float64), law, torch.Generator().manual_seed(0))
    assert abs(float(a.mean())) < 4 / math.sqrt(200_000) and abs(float(a.var()) - 1) < 4 * math.sqrt(
        2 / 200_000
    )
    assert law == "gaussian" or float(a.abs().max()) <= math.sqrt(3)


def test_redundancy():
    assert redundancy(np.eye(5)) == 5 and redundancy(np.ones((4, 3))) == pytest.approx(1)
    assert redundancy(np.zeros((2, 2))) == 0
    w = np.random.default_rng(0).standard_normal((6, 4))
    assert redundancy(3 * w.T) == pytest.approx(redundancy(w)) and redundancy(w, squared=True) < redundancy(w)
    with pytest.raises(DataError, match="finite matrix"):
        redundancy([1.0, 2.0])


# Sheet 8


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: correlation(x, x[:-1]), DataError, "hold 30, 29 records"),
        (lambda x: correlation(x[:5], x[:5]), DataError, "bring at least 6, or a ridge"),
        (lambda x: correlation(x, x * math.nan, 1.0), FitFailed, "not finite"),
        (lambda x: correlation(x, x, -1.0), SpecError, "ridge is -1.0"),
        (lambda x: correlation(x, x, math.nan), SpecError, "ridge is nan"),
        (lambda x: agreement([x]), DataError, "needs two or more"),
        (lambda x: agreement([x, x[:, :2]]), DataError, "must have one width"),
        (lambda x: noise_term(x, x, x, x[:, :2]), DataError, "noise has shape"),
        (lambda x: noise_term(x, x[:, :2], x, x), DataError, "encoded noise has shape"),
    ],
)
def test_refused(call, error, words):
    with pytest.raises(error, match=words):
        call(normals(30, 4))


def test_a_ridge_makes_few_records_legal():
    x, y = normals(5, 4), normals(5, 4, seed=1)
    assert 0 < float(correlation(x, y, 0.1)) < 4


def test_a_failed_whitening_stops(monkeypatch):
    from autophage.multiview import canonical as module

    monkeypatch.setattr(module, "directions", lambda *a: (np.full(4, 1.1), np.zeros((8, 4))))
    with pytest.raises(FitFailed, match="whitening failed: 4 correlations came to 4.4"):
        correlation(normals(30, 4), normals(30, 4, seed=1))
