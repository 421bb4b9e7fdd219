"""Next-token frequencies: the law of the refit on both paths, contexts that do not occur, streams, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from autophage.errors import DataError, FitFailed, SpecError
from autophage.keys import Key
from autophage.learners.bigram import Bigram, BigramModel
from autophage.learners.categorical import CategoricalModel, normalised
from autophage.loop import Loop
from autophage.parts import Sampling
from autophage.runs.run import run
from autophage.samples import Batch

ROWS = np.array([[0.6, 0.3, 0.1], [0.1, 0.1, 0.8], [0.3, 0.3, 0.4]])
PI = (0.7, 0.25, 0.05)
LEARNER = Bigram(weights=PI, tokens=3)
DATA = {"kind": "bigram", "rows": ROWS.tolist(), "weights": list(PI)}


def model(replicates=1, rows=ROWS):
    return BigramModel(np.asarray(rows)[None], np.array(PI)).spread(replicates)


def near(values, expected):
    """Within four standard errors of the mean over the replicates (the first axis)."""
    error = np.std(values, axis=0) / np.sqrt(len(values))
    assert (np.abs(np.mean(values, axis=0) - expected) <= 4 * error + 1e-12).all()


def fresh(**workflow):
    return {"kind": "fresh", "sample_size": 12, "real_share": 0.3, "initial_size": 9, **workflow}


# One fit


def test_a_row_is_refitted_only_if_its_context_occurs():
    batch = Batch.of(np.array([[0, 0, 1, 6, 7, 7], [3, 3, 3, 3, 4, 5]]))
    first = LEARNER.fit(batch, key=Key(0))
    third = [1 / 3] * 3
    assert np.allclose(first.rows[0], [[2 / 3, 1 / 3, 0], third, [1 / 3, 2 / 3, 0]])
    assert np.allclose(first.rows[1], [third, [4 / 6, 1 / 6, 1 / 6], third])
    later = LEARNER.fit(Batch.of(np.array([[3, 4], [0, 0]])), start=first, key=Key(0))
    assert np.allclose(later.rows[0], [[2 / 3, 1 / 3, 0], [0.5, 0.5, 0], [1 / 3, 2 / 3, 0]])
    assert np.allclose(later.rows[1], [[1, 0, 0], [4 / 6, 1 / 6, 1 / 6], third])


def test_the_model_of_pairs():
    pairs = model(2)
    assert pairs.dim == 9 and pairs.replicates == 2
    np.testing.assert_allclose(pairs.probabilities[1], (np.array(PI)[:, None] * ROWS).ravel())
    np.testing.assert_allclose(pairs.log_prob(np.arange(9))[0], np.log(pairs.probabilities[0]))
    cold = pairs.tuned(Sampling(temperature=0.5))
    np.testing.assert_allclose(cold.rows[0], ROWS**2 / (ROWS**2).sum(axis=1, keepdims=True))
    assert np.array_equal(cold.weights, PI) and pairs.tuned(Sampling()).rows.shape == (2, 3, 3)
    counts = np.bincount(pairs.sample(40_000, key=Key(1)).x[0], minlength=9)
    assert stats.chisquare(counts, 40_000 * pairs.probabilities[0]).pvalue > 1e-5


def test_absorbed_means_every_context_has_one_token_left():
    one, two = np.eye(3), ROWS
    assert model(3, one).absorbed().tolist() == [True] * 3 and model(3, two).absorbed() is None
    mixed = BigramModel(np.stack([one, np.vstack([one[:2], two[2:]])]), np.array(PI))
    assert mixed.absorbed().tolist() == [True, False]


# The law of the refit


@pytest.mark.parametrize("path", ["samples", "statistics"])
def test_counts_follow_the_multinomial_of_pairs_on_both_paths(path):
    n, R, key = 7, 40_000, Key(2) / path
    fitted = model(R)
    drawn = LEARNER.refit(fitted, n, key) if path == "statistics" else LEARNER.resample(fitted, n, key)
    counts = drawn.counts.reshape(R, 9).astype(float)
    p = fitted.probabilities[0]
    assert drawn.count == n and drawn.counts.shape == (R, 3, 3) and (counts.sum(axis=1) == n).all()
    near(counts, n * p)
    gap = counts - n * p
    near(gap[:, :, None] * gap[:, None, :], n * (np.diag(p) - np.outer(p, p)))


def test_a_leap_gives_the_same_models_as_its_steps():
    """Rows are kept across generations that nobody looks at, too."""
    spec = {"seed": 3, "replicates": 30, "generations": 9, "data": DATA, "learner": "bigram", "metrics": []}
    loop = Loop(**spec, workflow={"kind": "replace", "sample_size": 5})
    assert loop.leaps()
    stepped, _ = loop.step(loop.start(loop.blocks()[0]))
    leapt = loop.leap(stepped)
    while stepped.generation < 9:
        stepped, _ = loop.step(stepped)
    assert np.array_equal(stepped.models["main"].rows, leapt.models["main"].rows)


def test_a_replicate_does_not_depend_on_how_many_follow_nor_on_the_horizon():
    few, many = (
        run(
            seed=5,
            data=DATA,
            learner="bigram",
            workflow=fresh(),
            metrics=["squared_error", "entropy"],
            replicates=R,
            generations=G,
        ).metrics
        for R, G in ((3, 4), (7, 6))
    )
    import polars as pl

    assert few.equals(many.filter((pl.col("replicate") < 3) & (pl.col("generation") < 4)))


# One draw for a mixture


def test_a_blend_is_the_law_of_the_mixture():
    law, fitted = model(5), model(5, np.eye(3))
    blend = LEARNER.blend(law, fitted, 0.25)
    np.testing.assert_allclose(blend.rows[0], 0.25 * ROWS + 0.75 * np.eye(3))
    np.testing.assert_allclose(blend.probabilities, 0.25 * law.probabilities + 0.75 * fitted.probabilities)
    other = BigramModel(fitted.rows, np.array([0.5, 0.25, 0.25]))
    assert LEARNER.blend(law, other, 0.25) is None


def test_rounding_is_divided_out_and_more_than_rounding_is_refused():
    p = np.array([[0.5, 0.5 + 1e-9], [0.25, 0.75]])
    assert np.abs(normalised(p).sum(axis=1) - 1).max() < 1e-15
    for worst in (1e-5, float("nan")):
        with pytest.raises(DataError, match="they must sum to 1, up to rounding"):
            normalised(np.array([[0.5, 0.5], [0.5, 0.5 + worst]]))


# Metrics


def test_metrics_are_means_over_contexts():
    found = run(
        seed=0,
        replicates=50,
        generations=1,
        data=DATA,
        learner="bigram",
        workflow=fresh(),
        metrics=["squared_error", "gini", "entropy", "support", "kl_divergence", "total_variation"],
    )
    state = found.loop.start(found.loop.blocks()[0])
    rows = found.loop.step(state)[1][0].model.rows
    q = (np.array(PI)[:, None] * rows).reshape(50, -1)
    p = (np.array(PI)[:, None] * ROWS).ravel()
    expected = {
        "squared_error": ((rows - ROWS) ** 2).sum(axis=2) @ PI,
        "gini": (1 - (rows**2).sum(axis=2)) @ PI,
        "entropy": stats.entropy(rows, axis=2) @ PI,
        "support": (rows > 0).sum(axis=(1, 2)),
        "total_variation": np.abs(q - p).sum(axis=1) / 2,
        "zero_support": (p * (q == 0)).sum(axis=1),
    }
    table = found.metrics
    for name, values in expected.items():
        np.testing.assert_allclose(
            table.filter(table["metric"] == name)["value"].to_numpy(), values, atol=1e-12
        )


def test_a_categorical_learner_sees_the_same_data_as_plain_symbols():
    found = run(
        seed=0,
        replicates=4,
        generations=2,
        data=DATA,
        learner="categorical",
        workflow=fresh(),
        metrics=["squared_error"],
    )
    model = found.loop.step(found.loop.start(found.loop.blocks()[0]))[1][0].model
    assert isinstance(model, CategoricalModel)
    p = (np.array(PI)[:, None] * ROWS).ravel()
    first = found.metrics["value"].to_numpy()[:4]
    np.testing.assert_allclose(first, ((model.probabilities - p) ** 2).sum(axis=1))


def test_everything_that_is_measured_by_default_works(tmp_path):
    found = run(
        seed=0,
        replicates=4,
        generations=4,
        data={**DATA, "reference_size": 60},
        learner="bigram",
        workflow=fresh(),
    )
    assert found.status == "completed" and {"squared_error", "tail_mass_ratio_5"} & set(
        found.metrics["metric"]
    )
    assert found.verdict().regime.regime.name == "plateaus"
    page = found.report(tmp_path / "page.html").read_text()
    assert "In theory this loop plateaus" in page


# Refusals


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"weights": (0.5, 0.5)}, "weights and tokens together"),
        ({"tokens": 3}, "weights and tokens together"),
        ({"weights": (0.5, 0.4), "tokens": 3}, r"learner\.weights sum to 0\.9"),
        ({"weights": (1.5, -0.5), "tokens": 3}, r"learner\.weights\[1\] is -0\.5"),
        ({"weights": (0.5, float("nan")), "tokens": 3}, r"learner\.weights holds a value that is not finite"),
        ({"weights": (0.5, 0.5), "tokens": 1}, r"learner\.tokens is 1"),
    ],
)
def test_bad_settings_are_refused(settings, words):
    with pytest.raises(SpecError, match=words):
        Bigram(**settings)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"data": {"kind": "categorical", "uniform": 6}}, "does not know which symbol is which context"),
        (
            {"learner": {"kind": "bigram", "weights": [0.5, 0.5], "tokens": 4}},
            "2 contexts of 4 tokens but the data has 9",
        ),
        ({"initial_model": {"probabilities": [1]}}, "takes rows"),
        ({"initial_model": {"rows": [[0.5, 0.5]]}}, "3 lists of 3"),
        ({"initial_model": {"rows": [[0.5, 0.5, 0.1]] * 3}}, r"initial_model\.rows\[0\] sum to 1\.1"),
        ({"sampling": {"temperature": 0}}, "temperature is 0"),
    ],
)
def test_a_spec_that_does_not_fit_is_refused(keys, words):
    with pytest.raises(SpecError, match=words):
        Loop(**{"seed": 0, "data": DATA, "learner": "bigram", "workflow": fresh(), "metrics": [], **keys})


def test_a_bigram_of_plain_symbols_may_be_told_its_contexts():
    loop = Loop(
        seed=0,
        data={"kind": "categorical", "uniform": 6},
        learner={"kind": "bigram", "weights": [0.5, 0.5], "tokens": 3},
        workflow=fresh(),
        metrics=["entropy"],
    )
    _, (record,) = loop.step(loop.start(loop.blocks()[0]))
    assert record.model.rows.shape == (1, 2, 3)


def test_a_given_first_model_is_taken():
    rows = [[0.2, 0.3, 0.5]] * 3
    loop = Loop(
        seed=0, data=DATA, learner="bigram", workflow=fresh(), metrics=[], initial_model={"rows": rows}
    )
    _, (record,) = loop.step(loop.start(loop.blocks()[0]))
    assert np.array_equal(record.model.rows[0], rows)


def test_nothing_to_count_is_a_failed_fit():
    with pytest.raises(FitFailed, match="no record"):
        LEARNER.fit(Batch.of(np.zeros((2, 0), np.int64)), key=Key(0))
    with pytest.raises(SpecError, match="weights and tokens"):
        Bigram().fit(Batch.of(np.zeros((2, 3), np.int64)), key=Key(0))
    with pytest.raises(DataError, match="symbol 9 is outside"):
        LEARNER.fit(Batch.of(np.full((2, 3), 9)), key=Key(0))
