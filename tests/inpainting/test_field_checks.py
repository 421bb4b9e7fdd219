"""Sheet C.3, I2 to I5: an 8 x 8 field with covariance .8^distance, 16 squares of 2 x 2. I1 is in test_squares.

The exact recursion of second moments must give what the sheet expects; a simulation must agree with the recursion within
four of its own standard errors.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import autophage
from autophage.data.gaussian_field import GaussianFieldSource
from autophage.inpainting.squares import Grid
from autophage.theory.recursive_inpainting import second_moments

FILLS = [0, 160, 640]
TAUS = (0.0, 0.5, 1.0)


@pytest.fixture(scope="module")
def exact():
    field, grid = GaussianFieldSource(side=8, correlation=0.8), Grid(8, 8, 2)
    return {tau: second_moments(field.covariance(), grid, tau, FILLS) for tau in TAUS}


def test_i2_fair_fills_keep_the_variance_and_lose_the_picture(exact):
    assert exact[1.0].variance == pytest.approx(1.0, abs=1e-9)
    assert 1.3 < exact[1.0].mse()[2] < 2.0


def test_i3_half_the_noise(exact):
    _, middle, end = exact[0.5].variance
    assert 1 > middle > end > 0.25
    assert (middle, end) == pytest.approx((0.602, 0.393), abs=0.02)  # as measured on 3,000 fields


def test_i4_no_noise(exact):
    _, middle, end = exact[0.0].variance
    assert 1 > middle > end > 0
    assert (middle, end) == pytest.approx((0.451, 0.179), abs=0.02)


def test_i5_information_is_lost_equally_at_any_tau(exact):
    for tau in TAUS:
        assert exact[tau].covariance == pytest.approx(exact[1.0].covariance, abs=1e-12)
    assert exact[1.0].covariance[1] == pytest.approx(0.582, abs=0.03)


@pytest.fixture(scope="module")
def simulated():
    arms = {f"tau_{i}": {"kind": "gaussian_field", "tau": tau} for i, tau in enumerate(TAUS)}
    return autophage.run(
        {
            "seed": 0,
            "generations": 3,
            "process": {
                "kind": "inpainting",
                "data": {"kind": "gaussian_field"},
                "inpainter": arms,
                "square": 2,
                "pictures": 3000,
                "volume_step": 1000,
                "features": "none",
            },
        }
    )


def test_the_simulation_agrees_with_the_recursion(simulated):
    """Generations 0, 1, 2 are 0, 160 and 320 fills. Intervals are 1.96 standard errors wide."""
    for p in simulated.predictions():
        if p.metric == "untouched":
            continue
        rows = simulated.rows(p.agent).filter(pl.col("metric") == p.metric).sort("generation")
        off = np.abs(rows["value"].to_numpy() - p.values)
        error = (rows["high"] - rows["low"]).to_numpy() / 2 / 1.96
        assert (off <= 4 * error + 1e-12).all(), (p.agent, p.metric, off / np.maximum(error, 1e-12))
        assert (4 * error <= 0.1 * max(1.0, p.values.max())).all()


def test_i5_on_the_same_fields(simulated):
    """All arms begin with the same fields and meet the same squares and noise."""
    at = simulated.metrics.filter(
        (pl.col("metric") == "covariance_with_original") & (pl.col("generation") == 1)
    )
    assert at["value"].max() - at["value"].min() < 0.03


def test_both_findings_are_told_apart(simulated):
    found = {agent: {f.key: f for f in simulated.findings(agent)} for agent in simulated.spec.process.agents}
    assert [f["degeneration"].answer for f in found.values()] == ["yes", "yes", "no"]
    assert [f["information"].answer for f in found.values()] == ["yes"] * 3
    shares = [f["information"].effect for f in found.values()]
    assert max(shares) - min(shares) < 0.03


def test_fine_detail_goes_first(simulated):
    rows = simulated.rows("tau_0").filter(pl.col("metric") == "high_frequency").sort("generation")["value"]
    variance = simulated.rows("tau_0").filter(pl.col("metric") == "variance").sort("generation")["value"]
    assert (np.diff(rows.to_numpy()) < 0).all()
    assert rows[1] / rows[0] < variance[1] / variance[0]
