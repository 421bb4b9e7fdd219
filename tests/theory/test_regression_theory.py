"""Chains of regressions in theory: R6, R9, R11-R18, G1, G4 of the sheet, its bad input, and each form against another."""

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.theory import regression_chain, regression_closed, regression_scaling
from autophage.theory.predictors import predict
from autophage.theory.regression_chain import Stage, best_ridge, course, generation_errors, kappa, test_error
from autophage.theory.regression_spectra import diagonalised, directions, isotropic, power_law
from autophage.theory.setting import Setting

HARMONIC = 1 / np.arange(1.0, 101.0)
UNIT = np.random.default_rng(3).standard_normal(100)
UNIT /= np.linalg.norm(UNIT)
POWER = {"capacity": 1.5, "source": 0.375}


def backward(s, w0, stages):
    """The chain's quadratic form from the last stage to the first: the sheet's own recursion, with bisection for kappa."""
    A, g, N = s.copy(), np.ones_like(s), 0.0
    for stage in reversed(stages):
        low, high = 1e-30, stage.ridge + s.sum()
        for _ in range(300):
            k = np.sqrt(low * high)
            low, high = (low, k) if k - stage.ridge - k * (s / (s + k)).sum() / stage.rows > 0 else (k, high)
        G = 1 / (s + k)
        c = (A * s * G**2).sum() / stage.rows / (1 - ((s * G) ** 2).sum() / stage.rows)
        N += stage.noise**2 * c
        A = A * (s * G) ** 2 + c * k**2 * s * G**2
        g = g * s * G
    return (w0**2 * (A - 2 * s * g + s)).sum() + N


CHAINS = {
    "ridge": [Stage(150, 0.02, 0.1)] * 3,
    "over-parametrised": [Stage(60, 0.0, 0.1), Stage(50, 1e-2, 0.1)],
    "mixed": [
        Stage(300, 0.0, 0.2),
        Stage(40, 0.0, 0.3),
        Stage(120, 0.5, 0.0),
        Stage(80, 1e-3, 0.1),
        Stage(250),
    ],
    "one": [Stage(70, 0.1, 1.0)],
}


@pytest.mark.parametrize("name", CHAINS)
def test_forward_is_backward(name):
    stages = CHAINS[name]
    assert test_error(HARMONIC, UNIT, stages) == pytest.approx(backward(HARMONIC, UNIT, stages), rel=1e-9)
    each = [test_error(HARMONIC, UNIT, stages[: t + 1]) for t in range(len(stages))]
    np.testing.assert_allclose(course(HARMONIC, UNIT, stages), each, rtol=1e-14)


def test_the_effective_penalty_solves_its_equation():
    s = power_law(500, 1.5, 0.4).eigenvalues
    for rows, ridge in [
        (100, 0.0),
        (498, 0.0),
        (100, 1e-12),
        (700, 1e-12),
        (500, 0.3),
        (10, 1e6),
        (1e9, 1e-3),
    ]:
        k = kappa(s, rows, ridge)
        assert k - ridge == pytest.approx(k * (s / (s + k)).sum() / rows, rel=1e-9, abs=1e-12 * ridge)
    assert kappa(s, 502) == 0.0
    # isotropic: a quadratic
    for phi, ridge in [(0.5, 0.2), (2.0, 0.2), (2.0, 0.0)]:
        b = 1 - phi - ridge
        exact = (-b + np.sqrt(b**2 + 4 * ridge)) / 2
        assert kappa(np.ones(60), 60 / phi, ridge) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("ridge", [1e-3, 1e-2, 1e-1])
def test_r6_the_increment_per_generation_is_rho(ridge):
    downstream = Stage(150, ridge, 0.3)
    errors = generation_errors(HARMONIC, UNIT, Stage(200, 0.0, 0.3), downstream, 4)
    rho = regression_closed.generation_increment(HARMONIC, downstream, 200)
    np.testing.assert_allclose(np.diff(errors), 0.09 * rho, rtol=1e-8)
    assert errors[0] == pytest.approx(regression_closed.clean_error(HARMONIC, UNIT, downstream), rel=1e-10)
    affine = regression_closed.affine_errors(HARMONIC, UNIT, Stage(200, 0.0, 0.3), downstream, 4)
    np.testing.assert_allclose(affine, errors, rtol=1e-8)


@pytest.mark.parametrize(("n", "ridge", "error"), [(0, 0.063, 0.1258), (2, 0.112, 0.2573), (8, 0.50, 0.5311)])
def test_r9_best_ridge_of_a_chain(n, ridge, error):
    found = best_ridge(*isotropic(60), [Stage(120, 0.0, 0.3)] * n, 90, 0.3)
    assert found.ridge == pytest.approx(ridge, rel=0.1)
    assert found.error == pytest.approx(error, rel=2e-3)  # the sheet's is the least of a grid
    grid = np.geomspace(found.ridge / 30, found.ridge * 30, 61)
    values = [test_error(*isotropic(60), [*[Stage(120, 0.0, 0.3)] * n, Stage(90, c, 0.3)]) for c in grid]
    assert found.error <= min(values) * (1 + 1e-12) and grid[np.argmin(values)] == pytest.approx(
        found.ridge, rel=0.15
    )


def test_best_ridge_where_it_is_known():
    s, w = isotropic(60, norm=2.0)
    assert best_ridge(s, w, [], 90, 0.3).ridge == pytest.approx(0.09 * 60 / 90 / 4, rel=1e-4)
    assert best_ridge(s, w, [], 90, 0.0) == (0.0, 0.0)
    nothing = best_ridge(s, np.zeros(60), [], 90, 0.3)
    assert nothing == (np.inf, 0.0)


def test_r11_constant_increment():
    errors = generation_errors(*isotropic(60), Stage(120, 0.0, 0.3), Stage(90, 0.1, 0.3), 8)
    assert np.diff(errors)[0] == pytest.approx(0.062807, abs=5e-7)
    k = (2 / 3 - 0.9 + np.sqrt((0.9 - 2 / 3) ** 2 + 0.4)) / 2  # k^2 + (1 - d/T - lambda) k = lambda
    df2 = 60 / (1 + k) ** 2
    np.testing.assert_allclose(np.diff(errors), 0.09 / 60 * df2 * (1 + k**2 * df2 / (90 - df2)), rtol=1e-8)


def test_r12_r13_power_law_on_real_labels():
    law = power_law(200_000, **POWER)
    errors = np.array([test_error(*law, [Stage(T, T**-0.70588, 0.5)]) for T in (1e3, 1e4, 1e5)])
    np.testing.assert_allclose(errors, [0.025357, 0.0072734, 0.0021299], rtol=1e-3)
    slope = np.log10(errors[2] / errors[1])
    assert slope == pytest.approx(-regression_scaling.clean_exponent(**POWER), abs=0.01)
    assert slope == pytest.approx(-0.5294, abs=0.01)


ROWS = (100, 300, 1000, 3000, 10_000, 100_000)


def test_r14_crossover_at_the_clean_penalty():
    law, generator = power_law(300, **POWER), Stage(600, 0.0, 0.5)
    l_crit = regression_scaling.critical_exponent(**POWER)
    errors = np.array([generation_errors(*law, generator, Stage(T, T**-l_crit, 0.5), 5)[-1] for T in ROWS])
    np.testing.assert_allclose(errors, [0.1857, 0.1310, 0.1243, 0.1607, 0.2528, 0.6076], rtol=0.01)
    turning = regression_scaling.turning_rows(
        **POWER, noise=0.5, generators=5, generator_noise=0.5, generator_rows=600, dim=300
    )
    assert 1 / 4 < turning / ROWS[np.argmin(errors)] < 4


def test_r15_best_penalty_instead():
    law, generators = power_law(300, **POWER), [Stage(600, 0.0, 0.5)] * 5
    found = [best_ridge(*law, generators, T, 0.5) for T in ROWS]
    errors = np.array([b.error for b in found])
    exponents = np.array([-np.log(b.ridge) / np.log(T) for b, T in zip(found, ROWS, strict=True)])
    assert (np.diff(errors) < 0).all() and (np.diff(exponents) < 0).all()
    np.testing.assert_allclose(errors[[0, -1]], [0.1826, 0.0815], rtol=0.02)
    np.testing.assert_allclose(exponents[[0, -1]], [0.644, 0.342], rtol=0.02)


@pytest.mark.parametrize(
    ("capacity", "source", "chain", "excess", "error", "ridge"),
    [
        pytest.param(1.5, 0.375, 0.2, 0.8, -0.318, -0.424, id="R16"),
        pytest.param(1.25, 0.5, 0.3, 0.8, -0.278, -0.278, id="R17"),
        pytest.param(1.5, 0.375, 0.0, 0.7, -0.371, -0.494, id="R18"),
    ],
)
def test_r16_r17_r18_adaptive_exponents(capacity, source, chain, excess, error, ridge):
    rule = regression_scaling.adaptive_exponents(capacity, source, chain, excess)
    assert (-rule.error, -rule.ridge) == pytest.approx((error, ridge), abs=5e-4)
    law = power_law(20_000, capacity, source)
    # n least squares generators are one with sqrt(n) times the noise, for any n
    found = [
        best_ridge(*law, [Stage(20_000 + T**excess, 0.0, 0.5 * T ** (chain / 2))], T, 0.5) for T in (1e6, 1e7)
    ]
    assert np.log10(found[1].error / found[0].error) == pytest.approx(error, abs=0.01)
    assert np.log10(found[1].ridge / found[0].ridge) == pytest.approx(ridge, abs=0.01)


# Closed forms


def test_g1_noise_in_one_fit():
    assert regression_closed.label_error(10, 60, 1.0) == pytest.approx(10 / 49, rel=1e-14)
    assert regression_closed.label_error(10, 60, 1.0) == pytest.approx(0.204082, abs=5e-7)


def test_g4_accumulate_never_exceeds_its_bound():
    bound = regression_closed.accumulate_bound(10, 60, 1.0)
    assert bound == pytest.approx(0.335701, abs=5e-7)
    kept = regression_closed.accumulate_course(10, 60, 1.0, 3000)
    assert (kept < bound).all() and kept[-1] > 0.999 * bound and (np.diff(kept) > 0).all()
    replaced = regression_closed.replace_course(10, [60] * 12, 1.0)
    np.testing.assert_allclose(replaced, np.arange(1, 13) * 10 / 49, rtol=1e-13)
    assert (kept < regression_closed.editing_bound(10, 60, 1.0)).all()


def test_without_noise_nothing_is_wrong_above_the_threshold():
    assert not regression_closed.replace_course(10, [60] * 5, 0.0).any()
    assert not regression_closed.accumulate_course(10, 60, 0.0, 5).any()
    assert not course(*isotropic(10), [Stage(60)] * 5).any()


def test_closed_forms_are_the_limit_of_the_recursion():
    """In high dimension the finite-size corrections are gone; above the threshold both closed forms are one."""
    d = 4000
    law = isotropic(d, norm=1.5)
    under = [Stage(3 * d, 0.0, 0.5)] * 3 + [Stage(2 * d, 0.0, 0.3)]
    over = [Stage(0.75 * d, 0.0, 0.2)] * 2 + [Stage(3 * d, 0.0, 0.4), Stage(0.5 * d, 0.0, 0.1)]
    exact = regression_closed.least_squares_error(d, under)
    assert exact == pytest.approx(regression_closed.least_norm_error(d, law.energy, under), rel=1e-13)
    assert course(*law, under)[-1] == pytest.approx(exact, rel=2e-3)
    assert course(*law, over)[-1] == pytest.approx(
        regression_closed.least_norm_error(d, law.energy, over), rel=2e-3
    )


def test_law_of_the_scaling_turns_where_it_says():
    keys = {
        **POWER,
        "noise": 0.5,
        "generators": 3,
        "generator_noise": 0.5,
        "generator_rows": 5000,
        "dim": 300,
    }
    T = np.geomspace(100, 1e6, 4001)
    both = regression_scaling.law(T, regression_scaling.critical_exponent(**POWER), **keys)
    total = both.clean + both.synthetic
    assert T[np.argmin(total)] == pytest.approx(regression_scaling.turning_rows(**keys), rel=0.01)
    assert np.diff(np.log(total[-2:])) / np.diff(np.log(T[-2:])) == pytest.approx(
        1 - regression_scaling.clean_exponent(**POWER), abs=0.01
    )
    assert regression_scaling.turning_rows(**{**keys, "generators": 0}) == np.inf
    assert not regression_scaling.law(T, 0.5, **POWER, noise=1.0).synthetic.any()


def test_the_adaptive_rule_is_capped():
    clean = regression_scaling.adaptive_exponents(1.5, 0.375, 0.0, 3.0)
    assert clean == (
        regression_scaling.critical_exponent(**POWER),
        regression_scaling.clean_exponent(**POWER),
    )
    assert regression_scaling.adaptive_exponents(1.5, 0.375, 0.9, 0.5) == (0.0, 0.0)
    # ridge saturates at source 1
    assert regression_scaling.clean_exponent(1.5, 4.0) == regression_scaling.clean_exponent(1.5, 1.0)


# Spectra


def test_a_full_covariance_is_rotated_once():
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.standard_normal((40, 40)))[0]
    s, w = power_law(40, 1.5, 0.5)
    cov, weights = (Q * s) @ Q.T, Q @ w
    found = diagonalised(cov, weights)
    np.testing.assert_allclose(found.eigenvalues, s, rtol=1e-9)
    np.testing.assert_allclose(found.signal**2, w**2, rtol=1e-6)
    assert found.energy == pytest.approx(weights @ cov @ weights, rel=1e-12)
    stages = [Stage(30, 0.0, 0.1), Stage(60, 0.05, 0.2)]
    assert test_error(*found, stages) == pytest.approx(test_error(s, w, stages), rel=1e-9)


def test_bad_input_zero_eigenvalues_are_dropped_with_a_warning():
    with pytest.warns(UserWarning, match="1 of 3 eigenvalues are zero"):
        s, w = directions([2.0, 0.0, 1.0], [1.0, 5.0, 3.0])
    assert s.tolist() == [2.0, 1.0] and w.tolist() == [1.0, 3.0]
    with pytest.warns(UserWarning, match="zero"):
        assert len(diagonalised(np.diag([1.0, 0.0, 2.0]), np.ones(3)).eigenvalues) == 2
    with pytest.warns(UserWarning), pytest.raises(SpecError, match="threshold"):
        test_error([1.0, 1.0, 0.0], 1.0, [Stage(3)])  # two directions are left


def test_bad_input_the_solver_fails_loudly(monkeypatch):
    with pytest.raises(SpecError, match="bracketed"):
        kappa([1e308, 1e308, 1e308], 10, 0.1)
    monkeypatch.setattr(regression_chain, "STEPS", 2)
    with pytest.raises(SpecError, match="not found in 2 steps"):
        kappa(HARMONIC, 50, 0.01)


ONES = np.ones(20)
BAD = {
    "T = d": (
        lambda: test_error(ONES, ONES, [Stage(20)]),
        "infinite variance at the interpolation threshold",
    ),
    "T = d + 1": (lambda: test_error(ONES, ONES, [Stage(40), Stage(21)]), "infinite variance"),
    "T = d - 1": (lambda: generation_errors(ONES, ONES, Stage(19), Stage(40), 1), "infinite variance"),
    "T = d, exact": (lambda: regression_closed.least_squares_error(20, [Stage(20)]), "infinite variance"),
    "T = d + 1, exact": (lambda: regression_closed.label_error(20, 21, 1.0), "infinite variance"),
    "T = d - 1, exact": (
        lambda: regression_closed.least_norm_error(20, 1.0, [Stage(19)]),
        "infinite variance",
    ),
    "T < d, exact": (lambda: regression_closed.least_squares_error(20, [Stage(10)]), "at least 22 rows"),
    "G: T = d + 1": (lambda: regression_closed.accumulate_course(10, 11, 1.0, 3), "infinite variance"),
    "G: T < d": (lambda: regression_closed.replace_course(10, [60, 5], 1.0), "at least 12 rows"),
    "G: no first fit": (lambda: regression_closed.accumulate_course(10, 60, 1.0, 0), "generation 0"),
    "beta <= 1": (lambda: power_law(10, 1.0, 0.5), "capacity exponent is 1.0"),
    "beta nan": (lambda: regression_scaling.critical_exponent(float("nan"), 0.5), "capacity"),
    "r <= 0": (lambda: regression_scaling.clean_exponent(1.5, 0.0), "source exponent is 0.0"),
    "r inf": (lambda: regression_scaling.adaptive_exponents(1.5, np.inf, 0.1, 0.5), "source"),
    "lambda < 0": (lambda: Stage(10, -0.1), "ridge is -0.1"),
    "lambda nan": (lambda: kappa(ONES, 40, float("nan")), "ridge is nan"),
    "noise < 0": (lambda: Stage(10, 0.0, -1.0), "noise is -1"),
    "no rows": (lambda: Stage(0), "rows is 0"),
    "eigenvalue < 0": (lambda: kappa([1.0, -0.5], 10), "above zero"),
    "eigenvalue nan": (lambda: kappa([1.0, np.nan], 10), "finite"),
    "no variation": (lambda: kappa([0.0, 0.0], 10), "do not vary"),
    "spectrum's shape": (lambda: kappa(np.eye(2), 10), r"shape \(2, 2\)"),
    "signal's shape": (lambda: directions(ONES, np.ones(3)), "20 eigenvalues"),
    "signal nan": (lambda: directions(ONES, np.nan), "weights must be finite"),
    "asymmetric": (lambda: diagonalised([[1.0, 1e-9], [0.0, 1.0]], [1, 1]), "not symmetric"),
    "indefinite": (lambda: diagonalised([[1.0, 2.0], [2.0, 1.0]], [1, 1]), "not positive semidefinite"),
    "not square": (lambda: diagonalised(np.ones((2, 3)), [1, 1]), "square"),
    "not finite": (lambda: diagonalised([[np.inf, 0], [0, 1]], [1, 1]), "finite"),
    "rotated signal": (lambda: diagonalised(np.eye(2), [1, 1, 1]), r"needs \(2,\)"),
    "dimension": (lambda: isotropic(2.5), "whole number"),
    "no stage": (lambda: test_error(ONES, ONES, []), "at least one stage"),
    "no stage, exact": (lambda: regression_closed.least_squares_error(20, []), "at least one stage"),
    "ridge, exact": (lambda: regression_closed.least_norm_error(20, 1.0, [Stage(9, 0.1)]), "ridge 0"),
    "count": (lambda: generation_errors(ONES, ONES, Stage(40), Stage(40), 1.5), "whole number"),
    "generators too small": (
        lambda: regression_scaling.law(10, 0.5, **POWER, noise=1, generator_rows=5, dim=9),
        "more rows",
    ),
    "no turning": (
        lambda: regression_scaling.turning_rows(
            **POWER, noise=1, generators=1, generator_noise=1, generator_rows=9, dim=9
        ),
        "more rows",
    ),
    "rows below one": (lambda: regression_scaling.law([0.5], 0.5, **POWER, noise=1), "at least 1"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
    call, words = BAD[name]
    with pytest.raises(SpecError, match=words):
        call()


def test_near_symmetric_is_symmetric():
    assert len(diagonalised([[1.0, 1e-11], [0.0, 1.0]], [1, 1]).eigenvalues) == 2


# Predictions


def predicted(**keys):
    keys = {"generations": 5, "dim": 12, "data": {"noise": 0.4}, **keys}
    keys.setdefault("sizes", [40] * keys["generations"])
    found = predict(Setting(learner_kind="regression", data_kind="regression", **keys))
    risks = [p for p in found if p.metric == "excess_risk"]
    assert len(risks) <= 1
    return risks[0] if risks else None


LAW = {"noise": 0.4, "spectrum": 1 / np.arange(1.0, 13.0), "signal": np.ones(12)}
ISOTROPIC = {"noise": 0.4, "spectrum": np.full(12, 2.0), "signal": np.ones(12)}


def test_replace_with_a_penalty_is_the_chain():
    risk = predicted(ridge=0.05, data=LAW)
    assert risk.status == "asymptotic"
    np.testing.assert_allclose(
        risk.values, course(LAW["spectrum"], LAW["signal"], [Stage(40, 0.05, 0.4)] * 5), rtol=1e-12
    )
    ridges, noises, sizes = [0.1, 0.0, 0.2, 0.3, 0.0], [0.1, 0.2, 0.3, 0.4, 0.5], [40, 50, 6, 30, 8]
    risk = predicted(data={**LAW, "ridges": ridges, "label_noises": noises}, sizes=sizes)
    stages = [Stage(*stage) for stage in zip(sizes, ridges, noises, strict=True)]
    np.testing.assert_allclose(risk.values, course(LAW["spectrum"], LAW["signal"], stages), rtol=1e-12)
    assert predicted(ridge=0.05) is None  # the spectrum is not known
    assert predicted(ridge=0.05, data=LAW, design="fixed") is None
    assert predicted(ridge=0.05, data=LAW, workflow_kind="accumulate") is None


def test_replace_without_a_penalty_is_exact():
    for data in ({"noise": 0.4}, LAW):
        risk = predicted(data=data, sizes=[40, 20, 15, 40, 14])
        assert risk.status == "exact"
        np.testing.assert_allclose(
            risk.values, 0.16 * np.cumsum(12 / (np.array([40, 20, 15, 40, 14]) - 13)), rtol=1e-12
        )
    below = predicted(data=ISOTROPIC, sizes=[6, 8, 40, 5, 5])
    assert below.status == "exact"
    stages = [Stage(n, 0.0, 0.4) for n in (6, 8, 40, 5, 5)]
    np.testing.assert_allclose(
        below.values,
        [regression_closed.least_norm_error(12, 24.0, stages[: t + 1]) for t in range(5)],
        rtol=1e-12,
    )
    assert predicted(data=LAW, sizes=[6] * 5).status == "asymptotic"
    assert predicted(sizes=[6] * 5) is None
    for threshold in (11, 12, 13):
        assert predicted(data=ISOTROPIC, sizes=[40, 40, threshold, 40, 40]) is None


@pytest.mark.parametrize("rows", [20, 6])
@pytest.mark.parametrize("workflow", ["replace", "accumulate"])
def test_one_design_against_its_own_pseudo_inverse(rows, workflow, close):
    """`exact` means exact: w_t = w_{t-1} + X^+ noise, over `t + 1` label sets where they accumulate."""
    rng = np.random.default_rng(5)
    R = 10_000
    w0 = np.ones(12)
    X = rng.standard_normal((R, rows, 12)) * np.sqrt(2.0)
    inverse = X.transpose(0, 2, 1) @ np.linalg.inv(X @ X.transpose(0, 2, 1)) if rows < 12 else None
    if inverse is None:
        inverse = np.linalg.solve(X.transpose(0, 2, 1) @ X, X.transpose(0, 2, 1))
    w, labels = np.broadcast_to(w0, (R, 12)), 0.0
    risk = predicted(data=ISOTROPIC, sizes=[rows] * 3, generations=3, design="fixed", workflow_kind=workflow)
    assert risk.status == "exact"
    for t in range(3):
        new = (X @ w[..., None])[..., 0] + 0.4 * rng.standard_normal((R, rows))
        labels = new if workflow == "replace" else labels + (new - labels) / (t + 1)
        w = (inverse @ labels[..., None])[..., 0]
        close(2.0 * ((w - w0) ** 2).sum(axis=1), risk.values[t], 0.04)


def test_workflows_without_a_course_of_their_own_keep_the_linear_predictor():
    for workflow, keys in {"mix": {}, "window": {"window": 2}, "accumulate": {}}.items():
        risk = predicted(workflow_kind=workflow, **keys)
        assert risk.status == "asymptotic"
        assert risk.values[0] == pytest.approx(0.16 * 12 / 27, rel=1e-12)
    assert predicted(workflow_kind="window", window=2, design="fixed").status == "exact"
    assert predicted(data={}) is None
    noises = {"noise": 0.4, "label_noises": [0.1, 0.2, 0.3, 0.4, 0.5]}
    assert predicted(workflow_kind="accumulate", data=noises) is None
    fixed = predicted(design="fixed", data=noises)
    np.testing.assert_allclose(fixed.values, np.cumsum(np.arange(1, 6) ** 2) * 0.01 * 12 / 27, rtol=1e-12)
