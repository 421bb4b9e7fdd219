"""What the planner cannot answer it says in one sentence."""

from __future__ import annotations

import json

import pytest

from autophage import plan
from autophage.errors import DataError, SpecError

WORDS = {
    "seed": 0,
    "data": {"kind": "categorical", "uniform": 8},
    "learner": {"kind": "categorical"},
    "workflow": {"kind": "fresh", "sample_size": 50},
}


@pytest.mark.parametrize(
    "question, given, said",
    [
        ("shares", {}, "no question called 'shares'; did you mean 'share'"),
        ("share", {"horizon": 0}, "the horizon is 0; it must be a whole number of retrainings"),
        ("share", {"horizon": True}, "the horizon is True"),
        ("share", {"horizon": 10**8, "target": 1}, "plans look at most 2,000 ahead"),
        ("share", {}, "the plan needs a target"),
        ("share", {"target": "low"}, "the target is 'low'; it must be a number, or for example 2x"),
        ("share", {"target": -1}, "must be above zero and finite"),
        ("share", {"target": float("nan")}, "must be above zero and finite"),
        ("share", {"target": 1e-6, "spec": WORDS}, "no real share keeps squared_error under 1e-06"),
        (
            "share",
            {"target": 1, "spec": WORDS, "metric": "support"},
            "a plan keeps a risk low, and support is none",
        ),
        ("share", {"target": 1, "spec": WORDS, "data": "t.csv"}, "a plan takes a spec or data, not both"),
        ("share", {"target": 1, "column": "a"}, "column can be given beside data only"),
        (
            "share",
            {
                "target": 1,
                "spec": {
                    **WORDS,
                    "learner": {"kind": "estimator", "object": "sklearn.mixture:GaussianMixture"},
                },
            },
            "",
        ),
        (
            "size",
            {
                "target": 0.01,
                "horizon": 5,
                "spec": {**WORDS, "workflow": {"kind": "replace", "initial_size": 20}},
            },
            "no size up to",
        ),
        ("ratio", {"horizon": 5, "eps": -1}, "eps is -1"),
        ("ratio", {"horizon": 5, "curvature": 0}, "curvature is 0"),
        ("ratio", {"target": 1e-9}, "no ratio keeps"),
        ("schedule", {"target": 0.01, "synthetic_price": 2}, "synthetic_price is 2; it must lie in [0, 1]"),
        ("weight", {}, "plan weight needs real and synthetic"),
        ("weight", {"real": 0, "synthetic": 10}, "real"),
        ("weight", {"real": 5, "synthetic": 10, "target": 1}, "plan weight needs two numbers only"),
        ("detector", {}, "plan detector needs real_share and size"),
        ("detector", {"real_share": 0, "size": 10, "error": 0.1}, "strictly between 0 and 1"),
        ("detector", {"real_share": 0.1, "size": 10}, "needs the error of the detector, or a target"),
        (
            "detector",
            {
                "real_share": 0.1,
                "size": 10,
                "error": 0.1,
                "spec": {"data": "gaussian", "learner": "gaussian"},
            },
            "speaks about symbols",
        ),
        (
            "detector",
            {"real_share": 0.1, "size": 10, "target": 1e-7},
            "no detector brings squared_error under",
        ),
        ("verifier", {}, "plan verifier needs label_error"),
        ("verifier", {"label_error": 1.2}, "label_error is 1.2; it must lie in [0, 1]"),
        ("verifier", {"label_error": 0.0}, "leave nothing to verify"),
        ("verifier", {"label_error": 0.2, "target": 0.7}, "must lie in (0, 0.5]"),
        ("verifier", {"label_error": 0.2, "target": "2x"}, "the target is 2x; the wrong share"),
        ("verifier", {"label_error": 0.2, "target": [0.1]}, "the target is [0.1]; the wrong share"),
        ("verifier", {"label_error": "many"}, "label_error is many; it must lie in [0, 1]"),
        ("verifier", {"label_error": 0.2, "keep_correct": [1]}, "keep_correct is [1]"),
        ("weight", {"real": "ten", "synthetic": 10}, "real is ten; it must be a whole number of at least 1"),
        ("weight", {"real": 2.5, "synthetic": 10}, "real is 2.5; it must be a whole number"),
        ("weight", {"real": float("nan"), "synthetic": 10}, "real is nan; it must be a whole number"),
        ("weight", {"real": float("inf"), "synthetic": 10}, "real is inf; it must be a whole number"),
        ("weight", {"real": 10**400, "synthetic": 10}, "it must be a whole number"),
        ("weight", {"real": True, "synthetic": 10}, "real is True; it must be a whole number"),
        ("weight", {"real": 10, "synthetic": 0}, "synthetic is 0; it must be a whole number of at least 1"),
        ("detector", {"real_share": "a", "size": 10, "error": 0.1}, "real_share is a; it must lie in [0, 1]"),
        ("detector", {"real_share": 0.1, "size": "b", "error": 0.1}, "size is b; it must be a whole number"),
        (
            "detector",
            {"real_share": 0.1, "size": 9.5, "error": 0.1},
            "size is 9.5; it must be a whole number",
        ),
        ("detector", {"real_share": 0.1, "size": 9, "error": "c"}, "error is c; it must lie in [0, 1]"),
        ("detector", {"real_share": 0.1, "size": 9, "error": 0.1, "target": 0.01}, "not both"),
        ("ratio", {"eps": "small"}, "eps is small; it must be a finite number of at least 0"),
        ("schedule", {"target": 0.01, "synthetic_price": "low"}, "synthetic_price is low; it must lie in"),
        (
            "schedule",
            {
                "target": 0.01,
                "synthetic_price": 0,
                "spec": {**WORDS, "workflow": {"kind": "replace", "sample_size": 50}},
            },
            "costs nothing at a synthetic_price of 0",
        ),
        ("share", {"target": "2x", "metric": "variance"}, "a plan keeps a risk low, and variance is none"),
        (
            "share",
            {
                "target": "2x",
                "spec": {**WORDS, "sampling": {"temperature": 0.8}, "treatment": {"kind": "gain"}},
            },
            "under workflow fresh with treatment and sampling; run the loop instead",
        ),
        (
            "size",
            {
                "target": 0.009,
                "spec": {
                    **WORDS,
                    "workflow": {
                        "kind": "keep_real",
                        "sample_size": 50,
                        "initial_size": 50,
                        "real_share": 0.1,
                    },
                },
            },
            "leave initial_size out, so that it grows with the size",
        ),
        ("ridge", {"target": 0.1}, "it takes no target"),
        ("ridge", {"spec": WORDS}, "plan ridge"),
    ],
)
def test_refusals_are_one_sentence(question, given, said):
    with pytest.raises(SpecError) as refusal:
        plan(question, **given)
    text = str(refusal.value)
    assert said in text and "\n" not in text and "Traceback" not in text


def test_a_missing_table_is_said():
    with pytest.raises(DataError, match=r"nowhere\.csv"):
        plan("share", target="2x", data="nowhere.csv")


@pytest.fixture
def table(tmp_path):

    from autophage.keys import Key

    rng = (Key(4) / "table").generator()
    x = rng.standard_normal((400, 3)) * [1.0, 2.0, 0.5]
    y = x @ [1.0, -0.5, 2.0] + 0.4 * rng.standard_normal(400)
    word = rng.choice(list("abcdef"), 400, p=[0.4, 0.25, 0.15, 0.1, 0.06, 0.04])
    rows = ["a,b,c,y,word,same"] + [
        ",".join([*(f"{v:.6f}" for v in row), f"{label:.6f}", w, "1"])
        for row, label, w in zip(x, y, word, strict=True)
    ]
    path = tmp_path / "own.csv"
    path.write_text("\n".join(rows))
    return path


def test_parameters_come_from_the_users_data(table):
    from autophage.planner.parameters import from_table

    keys, rows = from_table(table, column="word")
    assert (
        rows == 400
        and keys["data"]["kind"] == "categorical"
        and abs(keys["data"]["probabilities"][0] - 0.4) < 0.12
    )
    keys, _ = from_table(table, columns=["a", "b", "c"], label="y")
    assert keys["data"]["dim"] == 3 and abs(keys["data"]["noise"] - 0.4) < 0.07
    # A rotation of the inputs: lengths are kept.
    assert abs(sum(w**2 for w in keys["data"]["signal"]) - (1 + 0.25 + 4)) < 0.3
    assert keys["data"]["spectrum"] == sorted(keys["data"]["spectrum"], reverse=True)
    keys, _ = from_table(table, columns=["a", "b"])
    assert keys["data"]["dim"] == 2 and abs(keys["data"]["cov"][1][1] - 4) < 1.2


def test_a_plan_for_the_users_data(table):
    for given in ({"column": "word"}, {"columns": ["a", "b"]}, {"columns": ["a", "b", "c"], "label": "y"}):
        answer = plan("share", target="2x", horizon=5, data=str(table), **given)
        assert 0 < answer.value < 1


@pytest.mark.parametrize(
    "given, said",
    [
        ({"column": "none"}, "none"),
        (
            {"columns": ["a", "word"]},
            r"column 'word' is categorical among others; .*\(column=word\).*\(columns=a\)$",
        ),
        ({"label": "z"}, "there is no column 'z' to take labels from; there are a, b, c, y, word, same"),
        ({"columns": ["a", "same"]}, "column 'same' is constant"),
        ({"column": "a", "label": "y"}, "name one column, or columns and a label, not both"),
    ],
)
def test_columns_that_do_not_serve(table, given, said):
    with pytest.raises((SpecError, DataError), match=said):
        plan("share", target="2x", data=str(table), **given)


def test_the_verb(tmp_path, capsys, monkeypatch):
    from autophage.commands import planning

    monkeypatch.chdir(tmp_path)
    code = planning.plan(
        "weight", None, 10, None, None, [], ["real=40", "synthetic=80"], False, None, tmp_path / "p", False
    )
    shown = capsys.readouterr().out
    assert code == 0 and "Give the 40 new real records the weight 0.5" in shown and "exact" in shown
    page = (tmp_path / "p" / "report.html").read_text()
    assert (
        "Give the 40 new real records" in page and "golden-ratio" in page and "autophage plan weight" in page
    )
    code = planning.plan("verifier", "0.05", 1, None, None, [], ["label_error=0.3"], True, 400, None, True)
    body = json.loads(capsys.readouterr().out)
    assert (
        code == 0
        and body["confirmation"]["confirmed"]
        and body["value"] == pytest.approx(0.7 * 0.05 / (0.3 * 0.95))
    )
    assert body["report"].startswith("runs/plan-verifier-")
    for given, said in (("error:1", "NAME=VALUE"), ("eror=1", "did you mean 'error'")):
        with pytest.raises(SpecError, match=said):
            planning.plan("detector", None, 1, None, None, [], [given], False, None, None, False)
    with pytest.raises(SpecError, match="--set changes keys of a spec"):
        planning.plan("share", "2x", 1, None, None, ["a=1"], [], False, None, None, False)


def test_the_table_says_how_many_records_there_are(table):
    """Defaults of a question never stand in for what the user's table says."""
    words = {"data": str(table), "column": "word"}
    ratio = plan("ratio", target="1.2x", horizon=5, **words)
    assert ratio.change["workflow"]["initial_size"] == 400
    share = plan("share", target="2x", horizon=5, **words)
    assert share.change["workflow"]["sample_size"] == 400 and "of 400 records)" in share.sentence
    assert any("6 symbols, their law estimated from the table" in a for a in share.assumptions)
    detector = plan("detector", horizon=5, real_share=0.3, size=100, error=0.1, **words)
    assert detector.lines[1].values[0] < 1 / 100


def test_an_answer_about_an_example_says_so(table):
    (note,) = plan("share", target="2x", horizon=3).notes
    assert note == (
        "No spec and no data were given, so this is the answer for an example: data gaussian, learner gaussian, "
        "workflow fresh (sample_size 1000)."
    )
    assert not plan("share", target="2x", horizon=3, spec=WORDS).notes


def test_replicates_without_a_simulation_are_a_mistake():
    from autophage.commands import planning

    with pytest.raises(SpecError, match="ask for it with --confirm"):
        planning.plan("weight", None, 1, None, None, [], ["real=4", "synthetic=8"], False, 50, None, False)
