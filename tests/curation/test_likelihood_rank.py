"""Selection by the rank of the likelihood, against moments of truncated normals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

import autophage
from autophage.curation.keeping import ranked
from autophage.curation.likelihood_rank import LikelihoodRank
from autophage.errors import FitFailed, SpecError
from autophage.keys import Key

SPEC = {
    "seed": 4,
    "generations": 2,
    "data": {"kind": "gaussian"},
    "learner": {"kind": "gaussian"},
    "workflow": {"kind": "replace", "sample_size": 2000},
    "initial_model": {"mean": 0, "var": 1},
    "metrics": ["noted"],
}


def inside(c):
    """E[x^2; |x| < c] of a standard normal."""
    return 2 * (norm.cdf(c) - 0.5 - c * norm.pdf(c))


def variance(share, side):
    """Of a standard normal's kept share: what is likeliest lies nearest to the middle."""
    if side == "highest":
        return inside(norm.ppf((1 + share) / 2)) / share
    if side == "lowest":
        return (1 - inside(norm.ppf(1 - share / 2))) / share
    low, high = ((1 - share) / 2, (1 + share) / 2)  # of the probability that |x| is smaller
    return (inside(norm.ppf((1 + high) / 2)) - inside(norm.ppf((1 + low) / 2))) / share


@pytest.mark.parametrize("side", ["highest", "lowest", "middle"])
@pytest.mark.parametrize("share", [0.25, 0.8])
def test_the_variance_that_is_kept(side, share):
    R = 40
    loop = autophage.Loop(
        **SPEC, replicates=R, curation=[{"kind": "likelihood_rank", "keep": share, "side": side}]
    )
    state, (first,) = loop.step(loop.start(loop.blocks()[0]))
    _, (second,) = loop.step(state)
    noted = {m.metric: m.value for m in first.measurements}
    assert (noted["proposals"] == 2000 / share).all() and (noted["kept"] == 2000).all()
    assert noted["acceptance"] == pytest.approx(np.full(R, share))
    found = second.model.variances[:, 0]
    expected = variance(share, side)
    # Exact for infinite samples; 2,000 leave a bias of the order 1/2,000.
    assert abs(found.mean() - expected) < 4 * found.std() / np.sqrt(R) + expected / 1000


def test_one_replicate_at_a_time():
    spec = {
        **SPEC,
        "data": {"kind": "labelled_blobs", "size": 500, "deviation": 0.2},
        "learner": "class_gaussian",
    }
    spec |= {"initial_model": None, "workflow": "replace"}
    spread = {}
    for side in ("highest", "lowest"):
        loop = autophage.Loop(**spec, curation=[{"kind": "likelihood_rank", "keep": 0.5, "side": side}])
        state, (first,) = loop.step(loop.start(loop.blocks()[0]))
        assert first.kept.label is not None and len(first.kept) == 400
        _, (second,) = loop.step(state)
        spread[side] = np.trace(second.model.covariances.mean(axis=0)) / 2
        noted = {m.metric: m.value[0] for m in first.measurements}
        assert (noted["kept_variance"] < 1) == (side == "highest")
    # |z|^2 of two normals: the lower half has the mean 2 (1 - ln 2), the upper one 2 (1 + ln 2).
    for side, expected in (("highest", 1 - np.log(2)), ("lowest", 1 + np.log(2))):
        assert spread[side] == pytest.approx(0.04 * expected, rel=0.2)


def test_ranks_are_kept_exactly_and_ties_at_random():
    score = np.array([[3.0, 1, 2, 0, 4], [0, 0, 0, 0, 0]])
    kept = ranked(score, 1, 3, Key(1), "x")
    assert kept[0].tolist() == [False, True, True, False, False] and kept[1].sum() == 2
    places = sum(ranked(score[1:], 1, 3, Key(i), "x")[0].astype(int) for i in range(400))
    assert (abs(places - 160) < 4 * np.sqrt(400 * 0.4 * 0.6)).all()
    assert ranked(np.array([[-np.inf, 1.0]]), 1, 2, Key(0), "x")[0].tolist() == [False, True]
    with pytest.raises(FitFailed, match="x has no score for 1 of 2 records"):
        ranked(np.array([[np.nan, 1.0]]), 0, 1, Key(0), "x")


def test_replicates_do_not_depend_on_how_many_follow():
    few, many = (
        autophage.Loop(**SPEC, replicates=r, curation=[{"kind": "likelihood_rank", "keep": 0.5}])
        for r in (3, 9)
    )
    x = [loop.step(loop.start(loop.blocks()[0]))[1][0].kept.x for loop in (few, many)]
    assert (x[0] == x[1][:3]).all()


@pytest.mark.parametrize("learner", ["gaussian", "kde", "gaussian_mixture"])
def test_g7_keeping_everything_is_the_plain_loop(same_as_plain, learner):
    same_as_plain(
        {"kind": "likelihood_rank", "keep": 1},
        data={"kind": "gaussian", "dim": 2},
        learner=learner,
        workflow={"kind": "replace", "sample_size": 60},
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"keep": 0}, "keep is 0"),
        ({"keep": 2}, "keep is 2"),
        ({"keep": 0.5, "side": "left"}, "side is 'left'"),
    ],
)
def test_e_bad_settings(settings, words):
    with pytest.raises(SpecError, match=words):
        LikelihoodRank(**settings)


def test_a_model_without_a_density_is_refused():
    with pytest.raises(
        SpecError, match="ranks by the log density, and models of learner diffusion have none"
    ):
        autophage.Loop(
            seed=1, data="digits", learner="diffusion", curation=[{"kind": "likelihood_rank", "keep": 0.5}]
        )
