"""Methods against closed forms and each other, and as estimators."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

from autophage.errors import DataError, FitFailed, RunError, SpecError
from autophage.keys import Key
from autophage.multiview import MultiviewEncoder
from autophage.multiview.downstream import scores
from autophage.multiview.linear import CCA, covariances
from autophage.multiview.method import usable
from autophage.multiview.views import CommonRate
from autophage.registry import kinds

DEEP = ("dcca", "dgcca", "dccae", "dcca_private", "nr_dcca", "nr_dgcca")


def seen(n=200, views=2, wide=4, common=2, noise=0.3, seed=0):
    """Linear views with so many columns in common."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((n, common))
    made = [
        np.c_[shared, rng.standard_normal((n, wide - common))] @ rng.standard_normal((wide, wide))
        for _ in range(views)
    ]
    return [x + noise * rng.standard_normal(x.shape) for x in made], shared


def small(method, **settings):
    deep = {"hidden": (8,)} if method in DEEP else {}
    return MultiviewEncoder(method, **{"dim": 2, "epochs": 4, **deep, **settings})


# Laws


def test_linear_representations_are_white_and_agree():
    x, _ = seen()
    for method in ("cca", "gcca"):
        encoder = MultiviewEncoder(method, dim=3).fit(x)
        z = encoder.transform(x)
        for part in z:
            assert np.cov(part.T) == pytest.approx(np.eye(3), abs=1e-9)
        cross = (z[0] - z[0].mean(0)).T @ (z[1] - z[1].mean(0)) / (len(z[0]) - 1)
        assert cross == pytest.approx(np.diag(encoder.weights_["correlations"]), abs=1e-9)


def test_covariances_are_numpys_at_any_piece(monkeypatch):
    x, _ = seen(n=101)
    for piece in (7, 101, 1000):
        monkeypatch.setattr("autophage.multiview.linear.PIECE", piece)
        found = np.block(covariances(x, [v.mean(axis=0) for v in x]))
        assert found == pytest.approx(np.cov(np.hstack(x).T), abs=1e-12)


def test_generalised_analysis_finds_what_three_views_share():
    x, shared = seen(n=400, views=3, noise=0.05)
    z = MultiviewEncoder("gcca", dim=2).fit_transform(x)
    assert scores([z[2]], shared, [z[2]], shared, penalty=0)[0] > 0.98
    assert small("gcca", dim=2).fit(x).weights_["correlations"] == pytest.approx(1, abs=0.05)


def test_linear_encoders_trained_come_to_linear_analysis():
    x, _ = seen(n=100)
    best = MultiviewEncoder("cca", dim=2).fit(x).correlations(x)
    encoder = small("dcca", hidden=(), rate=0.05, epochs=120, ridge=1e-8).fit(x)
    found = encoder.correlations(x)
    assert found == pytest.approx(best, abs=1e-3) and (found <= best + 1e-9).all()


@pytest.mark.parametrize("method", DEEP)
def test_training_on_is_training_at_once(method):
    """From the same object, and from a file."""
    x, _ = seen(n=60)
    whole = small(method, epochs=5).fit(x).transform(x)
    parts = small(method, epochs=2).fit(x).partial_fit(x, 3).transform(x)
    assert all((a == b).all() for a, b in zip(whole, parts, strict=True))


@pytest.mark.parametrize("method", ["cca", "nr_dcca", "dcca_private"])
def test_a_saved_encoder_comes_back_and_trains_on(method, tmp_path):
    x, _ = seen(n=60)
    first = small(method, epochs=2).fit(x)
    first.save(tmp_path / "encoder.npz")
    again = MultiviewEncoder.load(tmp_path / "encoder.npz")
    assert again.get_params() == first.get_params()
    for encoder in (first, again):
        encoder.partial_fit(x, 2)
    assert all((a == b).all() for a, b in zip(first.transform(x), again.transform(x), strict=True))


def test_each_batch_of_an_epoch_is_seen_once_and_in_a_new_order(monkeypatch):
    method = small("dcca", batch=16).part
    batches = [method._batches(50, Key(0) / "epoch" / e) for e in (1, 2)]
    for epoch in batches:
        assert [len(b) for b in epoch] == [16, 16, 16] and len(np.unique(np.concatenate(epoch))) == 48
    assert (np.concatenate(batches[0]) != np.concatenate(batches[1])).any()


def test_batches_train_too_and_the_seed_decides():
    x, _ = seen(n=90)
    a, b, c = (small("nr_dcca", batch=30, seed=s).fit(x).transform(x)[0] for s in (0, 0, 1))
    assert (a == b).all() and (a != c).any()


def test_single_precision_starts_alike_and_holds_full_agreement():
    """Copies of one view agree fully: rounding must not lift that above its greatest value."""
    x, _ = seen(n=90)
    copies = [x[0], x[0].copy()]
    low = small("nr_dcca", batch=30, precision="float32", ridge=0.0).fit(copies)
    assert low.weights_["net/encoder0.0.weight"].dtype == np.float32
    z = MultiviewEncoder("dcca", dim=2, hidden=(8,), epochs=60, rate=0.01, precision="float32").fit(copies)
    assert z.correlations(copies).sum() > 1.9


def test_without_weight_the_noise_changes_nothing():
    x, _ = seen(n=80)
    a, b, c = (
        small(*m).fit(x).transform(x)[0] if isinstance(m, list) else m.fit(x).transform(x)[0]
        for m in (["dcca"], small("nr_dcca", alpha=0.0), small("nr_dcca", alpha=5.0))
    )
    assert (a == b).all() and (a != c).any()


def test_two_views_are_a_case_of_more():
    x, _ = seen(n=80)
    for two, more in (("dcca", "dgcca"), ("nr_dcca", "nr_dgcca"), ("cca", "gcca")):
        a, b = (small(m).fit(x).transform(x)[1] for m in (two, more))
        assert (a == b).all()


def test_rebuilding_keeps_what_agreement_does_not_ask_for():
    """Views whose private column is the larger: a decoder needs it, an agreement does not."""
    x, _ = seen(n=100, wide=3, common=1, noise=0.01)
    errors = []
    for weight in (0.0, 50.0):
        z = small("dccae", reconstruction=weight, dim=3, epochs=60, rate=0.02).fit_transform(x)
        errors.append(1 - scores([z[0]], x[0], [z[0]], x[0], penalty=1e-6).mean())
    assert errors[1] < errors[0] and errors[1] < 0.3


@pytest.mark.parametrize("method", [m for m in kinds("multiview") if m not in ("cca", "dcca", "nr_dcca")])
def test_three_views(method):
    x, _ = seen(n=60, views=3)
    z = small(method).fit_transform(x)
    assert len(z) == 3 and all(np.isfinite(part).all() and len(part) == 60 for part in z)


def test_scores_against_closed_forms():
    rng = np.random.default_rng(0)
    z = [rng.standard_normal((400, 3)), rng.standard_normal((400, 2))]
    y = np.hstack(z) @ rng.standard_normal((5, 2))
    assert scores(z, y, z, y, penalty=0) == pytest.approx([1, 1])
    other = rng.standard_normal((400, 1))
    assert scores(z, other, z, other, penalty=0)[0] < 0.05
    assert scores([1000 * z[0], z[1] + 7], y, z[:1] and [1000 * z[0], z[1] + 7], y) == pytest.approx(
        scores(z, y, z, y)
    )
    assert scores(z, y[:, :1], z, y[:, :1], "svr")[0] > 0.9
    label = (z[0][:, 0] > 0).astype(np.int64) * 3
    for regressor in ("ridge", "svr"):
        found = scores(z, label, z, label, regressor)
        assert found.shape == (400,) and found.mean() > 0.95
    dead = [np.c_[z[0], np.ones(400)], z[1]]
    assert scores(dead, y, dead, y, penalty=0) == pytest.approx([1, 1])
    with pytest.raises(FitFailed, match="not finite"):
        scores([z[0] * np.nan], y, z[:1], y)


# As an estimator


@pytest.mark.parametrize("method", kinds("multiview"))
def test_parameters_go_round(method):
    encoder = small(method, seed=3)
    params = encoder.get_params()
    assert params["method"] == method and params["seed"] == 3 and params["dim"] == 2
    again = clone(encoder)
    assert again is not encoder and again.get_params() == params and not hasattr(again, "weights_")
    assert MultiviewEncoder(**params).get_params() == params and method in repr(encoder)
    assert encoder.set_params(dim=3, seed=4) is encoder
    assert encoder.get_params()["dim"] == 3 and encoder.seed == 4


def test_new_parameters_forget_what_was_fitted():
    x, _ = seen(n=50)
    encoder = small("cca").fit(x)
    with pytest.raises(SpecError, match="not been fitted"):
        encoder.set_params(dim=1).transform(x)
    encoder.fit(x)
    assert encoder.set_params(method="dcca").get_params()["dim"] == 20


def test_the_score_reads_targets_and_classes():
    x, shared = seen(n=300, noise=0.05)
    encoder = MultiviewEncoder("cca", dim=2).fit(x)
    halves = [[v[:150] for v in x], [v[150:] for v in x]]
    split = encoder.score(halves[1], shared[150:], train=(halves[0], shared[:150]))
    assert encoder.score(x, shared) == pytest.approx(split) and split > 0.95
    assert encoder.score(x, (shared[:, 0] > 0).astype(int)) > 0.9


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"method": "dccca"}, "did you mean 'dcca'"),
        ({"method": "dcca", "alpha": 5.0}, "unknown key 'method.alpha'"),
        ({"method": "nr_dcca", "alpha": -1.0}, "method.alpha is -1.0"),
        ({"method": "nr_dcca", "ridge": -1e-3}, "method.ridge is -0.001"),
        ({"method": "nr_dcca", "noise": "cauchy"}, "cauchy"),
        ({"method": "dcca", "batch": 20}, "needs at least 22 records"),
        ({"method": "dcca", "hidden": (0,)}, "hidden"),
        ({"method": "dcca", "epochs": -1}, "epochs is -1"),
        ({"method": "dcca", "dim": 0}, "method.dim is 0"),
        ({"method": "dcca", "rate": 0.0}, "method.rate is 0.0"),
    ],
)
def test_settings_refused(settings, words):
    """Sheet 8, and keys that do not fit."""
    with pytest.raises(SpecError, match=words):
        MultiviewEncoder(**settings)


@pytest.mark.parametrize(
    ("change", "settings", "words"),
    [
        (lambda x: [x[0], x[1][:-1]], {}, "hold 60, 59 records"),
        (
            lambda x: [x[0], np.where(x[1] > 2, np.nan, x[1])],
            {},
            r"views\[1\] holds entries that are not finite",
        ),
        (
            lambda x: [np.c_[x[0], np.ones(60)], x[1]],
            {},
            r"views\[0\] has a column without variance, number 4",
        ),
        (lambda x: x[:1], {}, "holds 1 view"),
        (lambda x: x[0], {}, "is one array"),
        (lambda x: [x[0][:, 0], x[1]], {}, r"must be \(records, columns\)"),
        (lambda x: [["a"], ["b"]], {}, "not an array of numbers"),
        (lambda x: [v[:4] for v in x], {"dim": 3, "ridge": 0.0}, "bring at least 5"),
        (lambda x: [*x, x[0]], {}, "takes 2 views and 3 were given"),
        (lambda x: x, {"batch": 61}, "there are 60 records"),
        (lambda x: x, {"method": "cca", "dim": 5}, "narrowest view has 4"),
        (lambda x: [v[:5] for v in x], {"method": "cca"}, "views 4 wide have a singular"),
    ],
)
def test_views_refused(change, settings, words):
    """Sheet 8."""
    x, _ = seen(n=60)
    encoder = small(settings.pop("method", "dcca"), **settings)
    with pytest.raises((DataError, SpecError), match=words):
        encoder.fit(change(x))


def test_few_records_are_warned_of_and_a_ridge_makes_them_legal():
    """Sheet 8: N below 5 m."""
    x, _ = seen(n=9)
    with pytest.warns(UserWarning, match="9 records for 2 dimensions"):
        small("dcca").fit(x)
    x, _ = seen(n=4)
    with pytest.warns(UserWarning, match="largely chance"):
        assert np.isfinite(small("dcca", dim=3, ridge=0.1).fit_transform(x)[0]).all()


def test_other_views_than_the_fitted_ones_are_refused(tmp_path):
    x, _ = seen(n=50)
    encoder = small("cca")
    with pytest.raises(SpecError, match="not been fitted"):
        encoder.transform(x)
    with pytest.raises(DataError, match=r"\[4, 3\] wide"):
        encoder.fit(x).transform([x[0], x[1][:, :3]])
    with pytest.raises(DataError, match="one row for each record"):
        encoder.score(x, np.zeros(3))
    with pytest.raises(RunError, match="not a saved encoder"):
        np.savez(tmp_path / "other.npz", a=np.zeros(2))
        MultiviewEncoder.load(tmp_path / "other.npz")


def test_a_training_that_diverges_says_so():
    x, _ = seen(n=50)
    with pytest.raises(FitFailed):
        small("dccae", rate=1e200, epochs=20).fit(x)


# Synthetic views


@pytest.mark.parametrize(
    ("rate", "views", "latent"), [(0.0, 2, 40), (0.4, 2, 32), (1.0, 2, 20), (0.4, 3, 44)]
)
def test_views_have_their_share_in_common(rate, views, latent):
    source = CommonRate(common_rate=rate, views=views, records=2000, held_out=100)
    assert source.latent == latent and source.shape == ([20] * views, 2000)
    v = source.drawn(Key(0))
    assert [x.shape for x in v.train] == [(2000, 20)] * views and v.test_targets.shape == (100, 20)
    total = CCA(dim=20).start(v.train, Key(0))["correlations"].sum() if views == 2 else None
    if rate in (0.0, 1.0):  # nothing in common is chance, everything nearly all
        assert total < 3 if rate == 0 else total > 10
    again = source.drawn(Key(0))
    assert all((a == b).all() for a, b in zip(v.train, again.train, strict=True))


def test_usable_takes_rows():
    assert [x.shape for x in usable([[[1, 2], [3, 4]], [[1.0], [2.0]]])] == [(2, 2), (2, 1)]
