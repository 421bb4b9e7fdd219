"""The reduced web model of Garetto et al. by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.studies.information_ecosystem import simulate
from autophage.theory.information_ecosystem import course

SHEET = (0.6, 0.2, 0.3, 0.05)


def test_sheet_9_posts_settle_where_theory_says():
    web = simulate(*SHEET, posts=20_000, initial_posts=50, replicates=400, key=4)
    last = web.red[:, -1]
    error = last.std() / np.sqrt(len(last))
    assert 4 * error < 0.004 and abs(last.mean() - 0.2449) < 0.004
    expected = course(*SHEET, web.posts)
    errors = web.red.std(axis=0) / np.sqrt(len(web.red))
    assert (np.abs(web.red.mean(axis=0) - expected) < 5 * errors).all()  # fifty looks, hence five


def test_another_beginning():
    web = simulate(0.9, 0.0, 0.2, 0.0, posts=500, initial_posts=10, initial_red=1.0, replicates=2000, key=2)
    expected = course(0.9, 0.0, 0.2, 0.0, web.posts[-1], initial_posts=10, initial_red=1.0)
    last = web.red[:, -1]
    assert abs(last.mean() - expected) < 4 * last.std() / np.sqrt(len(last)) < 0.03


def test_a_replicate_does_not_depend_on_how_many_follow():
    few, many = (simulate(*SHEET, posts=5000, replicates=r, key=1).red for r in (2, 5))
    np.testing.assert_array_equal(few, many[:2])


def test_where_it_is_looked_at():
    web = simulate(*SHEET, posts=7, records=50, replicates=2)
    assert web.posts.tolist() == [1, 2, 3, 4, 5, 6, 7] and web.red.shape == (2, 7)
    assert simulate(*SHEET, posts=10, records=2, replicates=1).posts.tolist() == [5, 10]


@pytest.mark.parametrize(
    "more, words",
    [
        ({"posts": 0}, "posts is 0"),
        ({"initial_posts": 0}, "initial_posts is 0"),
        ({"replicates": 0}, "replicates is 0"),
        ({"records": 0}, "records is 0"),
        ({"initial_red": float("nan")}, "initial_red"),
        ({"model_share": 1.5}, "the model's share"),
    ],
)
def test_refusals(more, words):
    names = ("model_share", "curated_share", "human_red", "curated_red")
    with pytest.raises(SpecError, match=words):
        simulate(**{**dict(zip(names, SHEET, strict=True)), **more})
