"""Certificates by quadrature: against closed forms, against simulation, and for filters that do not contract."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from autophage.curation.anchor import KnownAnchor
from autophage.curation.certificate import by_quadrature, certify
from autophage.curation.family import Normal, PoissonAround, law_of
from autophage.curation.logistic import Logistic
from autophage.curation.tilt import Tilt
from autophage.curation.truncation import Truncation
from autophage.errors import SpecError
from autophage.learners.gaussian import GaussianMeanModel
from autophage.learners.poisson import PoissonModel
from autophage.theory.contraction import lyapunov, rate_of_pull
from autophage.theory.filter_pulls import interval_response, largest_pull, logistic_pull, tilt_effective_share

HERE = KnownAnchor(mean=0.0)


@pytest.mark.parametrize("b", [0.05, 0.3, 1.0, 1.8])
def test_a_tilt_contracts_at_its_rate_everywhere(b):
    found = Tilt(anchor=HERE, pull=b).certificate(Normal())
    assert found.contraction == pytest.approx(rate_of_pull(b), rel=1e-6) and found.contractive
    assert found.pull_at_zero == pytest.approx(0.0, abs=1e-12)
    assert found.acceptance[1] == pytest.approx(1.0)
    if b <= 1:  # beyond that the weights live where a quadrature of 101 nodes has few
        assert found.acceptance[0] == pytest.approx(float(tilt_effective_share(b, 3.0)), rel=1e-3)


@pytest.mark.parametrize("k", [0.1, 0.5, 3.0])
def test_a_logistic_filter_against_its_pull(k):
    found = Logistic(anchor=HERE, slope=k).certificate(Normal())
    e = np.linspace(0.3, 3, 61)
    expected = (1 - ((e + logistic_pull(k * e)) / e) ** 2).min()
    assert found.contraction == pytest.approx(expected, abs=2e-3)
    np.testing.assert_allclose(found.acceptance, 0.5, atol=1e-9)


def test_truncation_contracts_only_beyond_half_its_pull():
    pull = float(largest_pull(0.8))
    part = Truncation(anchor=HERE, share=0.8, require_contraction=False)
    e = np.linspace(0.3, 3, 61)
    assert part.certificate(Normal()).contraction == pytest.approx(
        (1 - ((e - pull) / e) ** 2).min(), rel=1e-9
    )
    for low, contracts in ((0.51 * pull, True), (0.49 * pull, False)):
        near = Truncation(anchor=HERE, share=0.8, region=(low, 3.0), require_contraction=False)
        assert near.certificate(Normal()).contractive is contracts


def test_an_interval_verifier_contracts_towards_its_centre():
    """For any filter with a response: errors from the centre, in standard deviations."""

    def response(delta, law):
        moved, kept = interval_response(delta, 0.0, 1.0)
        return moved - delta, kept

    found = certify(response)
    assert found.contractive and found.pull_at_zero == pytest.approx(0.0, abs=1e-12)
    assert found.acceptance[1] == pytest.approx(0.682689, abs=1e-6)


def test_what_pushes_away_gets_no_label():
    away = certify(by_quadrature(lambda z, delta: expit(0.5 * delta * z)))
    assert away.contraction < 0 and not away.contractive and away.label.startswith("not contractive")
    nothing = certify(by_quadrature(lambda z, delta: np.ones_like(z * delta)))
    assert (
        nothing.contraction == pytest.approx(0.0, abs=1e-12)
        and nothing.acceptance == (pytest.approx(1.0),) * 2
    )
    blind = certify(by_quadrature(lambda z, delta: expit(-z + 0 * delta)))
    assert abs(blind.pull_at_zero) > 0.3 and not blind.contractive


def test_a_filter_that_keeps_nothing_somewhere_is_not_contractive():
    found = certify(by_quadrature(lambda z, delta: np.where(np.abs(delta) > 2, 0.0, 1.0) * np.ones_like(z)))
    assert found.contraction == -np.inf and not found.contractive
    nan = certify(by_quadrature(lambda z, delta: np.full(np.broadcast_shapes(z.shape, delta.shape), np.nan)))
    assert not nan.contractive


@pytest.mark.parametrize("region", [(0.0, 1.0), (1.0, 1.0), (1.0, float("inf")), (float("nan"), 2.0)])
def test_regions_that_are_none_are_refused(region):
    with pytest.raises(SpecError, match="curation.region"):
        certify(by_quadrature(lambda z, delta: expit(-delta * z)), region)


@pytest.mark.parametrize("law", [Normal(), PoissonAround(4.0)], ids=["normal", "poisson"])
def test_nodes_and_draws_are_of_one_standardised_law(law):
    delta = np.array([-2.0, 0.0, 1.5])
    z, mass = law.nodes(delta)
    np.testing.assert_allclose(mass.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose((mass * z).sum(axis=1), 0, atol=1e-9)
    np.testing.assert_allclose((mass * z**2).sum(axis=1), 1, rtol=1e-9)
    drawn = law.draws(delta, 200_000, np.random.default_rng(0))
    third = (mass * z**3).sum(axis=1)
    error = (drawn**3).std(axis=1) / np.sqrt(200_000)
    assert (np.abs((drawn**3).mean(axis=1) - third) < 4 * error).all()


def test_the_law_is_exact_for_one_count_about_a_known_anchor():
    known = KnownAnchor(mean=4.0)
    assert law_of(PoissonModel, 1, known) == PoissonAround(4.0)
    for model, dim, anchor in (
        (PoissonModel, 2, known),
        (PoissonModel, 1, "real"),
        (GaussianMeanModel, 1, known),
        (None, 1, known),
    ):
        assert law_of(model, dim, anchor) == Normal()


@pytest.mark.parametrize(
    "part",
    [
        Logistic(anchor=KnownAnchor(mean=4.0), slope=0.5),
        Truncation(anchor=KnownAnchor(mean=4.0), share=0.8, require_contraction=False),
    ],
    ids=["logistic", "truncation"],
)
def test_a_poisson_certificate_is_what_the_filter_does(part):
    """The response at mu = 9 (delta = 5/3) against filtering many counts."""
    law = PoissonAround(4.0)
    delta = np.array([5 / 3])
    pull, share = part.response(delta, law)
    rng = np.random.default_rng(0)
    x = rng.poisson(9.0, 400_000).astype(float)
    z = (x - 9) / 3
    if isinstance(part, Logistic):
        w = expit(-0.5 * delta * z)
    else:
        w = np.zeros(len(x))
        w[np.argsort(x, kind="stable")[: int(0.8 * len(x))]] = 1
    assert pull[0] == pytest.approx((w * z).sum() / w.sum(), abs=4 / np.sqrt(w.sum()))
    assert share[0] == pytest.approx(w.mean(), abs=0.003)


def test_a_tilt_of_counts_overshoots_where_counts_are_rare():
    """Linear only to first order: about a mean of 20 it contracts on the whole region, about 1 only near its anchor."""

    def found(anchor, region):
        part = Tilt(anchor=KnownAnchor(mean=anchor), pull=0.5, region=region, require_contraction=False)
        return part.certificate(PoissonAround(anchor)).contractive

    assert found(20.0, (0.3, 3.0)) and not found(1.0, (0.3, 3.0)) and found(1.0, (0.3, 1.0))


def test_a_matrix_tilt_is_certified_by_lyapunov():
    B = ((0.2, -0.3), (0.0, 0.3))
    found = Tilt(anchor=HERE, pull=B).certificate(Normal())
    A = np.eye(2) - np.array(B)
    assert 0 < found.contraction < 1 - np.abs(np.linalg.eigvals(A)).max() ** 2 + 1e-12
    P = sum(np.linalg.matrix_power(A.T, k) @ np.linalg.matrix_power(A, k) for k in range(400))
    assert found.contraction == pytest.approx(lyapunov(A, P, 1.0).contraction, rel=1e-9)
    far = Tilt(
        anchor=HERE, pull=((0.5, 1.5), (0.0, 0.5))
    )  # |I - B| > 1, and yet it contracts in the right metric
    assert np.linalg.norm(np.eye(2) - np.array(far.pull), 2) > 1 and far.certificate(Normal()).contractive
