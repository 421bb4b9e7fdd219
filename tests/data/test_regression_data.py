"""Regression data: the law against its moments, spectra and signals of every form, tables, labelled digits, and refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from autophage import laws
from autophage.data.labelled_digits import LabelledDigitsSource
from autophage.data.pairs import GaussianInputs, RowInputs, inputs_of, outputs_of
from autophage.data.regression import RegressionSource
from autophage.data.regression_table import RegressionTableSource
from autophage.errors import DataError, SpecError
from autophage.intake import part
from autophage.keys import Key

KEY = Key(0) / "test_regression_data"
N = 200_000


def source(**settings):
    return part("data", {"kind": "regression", **settings}, "data")


@pytest.mark.parametrize(
    "settings",
    [
        {"dim": 3, "noise": 0.5},
        {"spectrum": [4.0, 1.0, 0.25], "signal": [1.0, -1.0, 2.0], "noise": 0.3},
        {"spectrum": [[2.0, 1.0], [1.0, 2.0]], "signal": [1.0, 0.5], "noise": 0.2},
        {"dim": 4, "spectrum": {"power_law": {"capacity": 1.5, "source": 0.375}}, "noise": 0.1},
    ],
    ids=["isotropic", "eigenvalues", "matrix", "power law"],
)
def test_records_have_the_law_that_is_asked_for(settings):
    data = source(**settings)
    s, w = data.directions
    x = data.draw(N, key=KEY).x[0]
    inputs, labels = x[:, :-1], x[:, -1]
    assert x.shape == (N, data.dim + 1)
    squares = inputs[:, :, None] * inputs[:, None, :]
    assert np.all(np.abs(squares.mean(0) - np.diag(s)) < 5 * squares.std(0) / math.sqrt(N))
    rest = labels - inputs @ w
    assert abs(rest.std() - data.noise) < 5 * data.noise / math.sqrt(2 * N)
    across = inputs * rest[:, None]
    assert np.all(np.abs(across.mean(0)) < 5 * across.std(0) / math.sqrt(N))
    laws.source(data)


def test_a_matrix_is_rotated_and_the_signal_with_it():
    cov, w = np.array([[2.0, 0.6, 0.1], [0.6, 1.0, 0.2], [0.1, 0.2, 0.5]]), np.array([1.0, -2.0, 0.5])
    data = RegressionSource(spectrum=cov.tolist(), signal=w.tolist())
    s, rotated = data.directions
    assert np.allclose(s, np.linalg.eigvalsh(cov)[::-1])
    assert math.isclose(s @ rotated**2, w @ cov @ w) and math.isclose(rotated @ rotated, w @ w)


def test_a_power_law_is_that_of_theory():
    from autophage.theory.regression_spectra import power_law

    data = source(dim=50, spectrum={"power_law": {"capacity": 1.5, "source": 0.375}})
    assert np.array_equal(data.directions.eigenvalues, power_law(50, 1.5, 0.375).eigenvalues)
    assert np.array_equal(data.directions.signal, power_law(50, 1.5, 0.375).signal)


def test_a_signal_given_as_a_length_points_where_no_seed_moves_it():
    a, b = (source(dim=30, signal=2.0).directions.signal for _ in range(2))
    assert np.array_equal(a, b) and math.isclose(np.linalg.norm(a), 2.0)
    assert not source(dim=3, signal=0).directions.signal.any()
    assert math.isclose(np.linalg.norm(source(dim=7).directions.signal), 1.0)


def test_directions_of_no_variance_are_left_out_with_a_note():
    data = source(spectrum=[2.0, 0.0, 1.0, 0.0], signal=[1.0, 2.0, 3.0, 4.0])
    assert data.dim == 2 and data.directions.signal.tolist() == [1.0, 3.0]
    assert "2 of 4 eigenvalues" in data.notes[0]
    flat = source(spectrum=[[1.0, 1.0], [1.0, 1.0]], signal=[1.0, 0.0])
    assert flat.dim == 1 and np.allclose(flat.directions.eigenvalues, 2.0)


@pytest.mark.parametrize(
    "settings",
    [
        {"spectrum": [2.0, 0.0, 1.0], "signal": 1.0},
        {"spectrum": [[2.0, 0.5], [0.5, 1.0]], "signal": [1.0, 2.0]},
        {"dim": 5, "spectrum": {"power_law": {"capacity": 1.2, "source": 0.5}}},
        {"dim": 5, "spectrum": 2.0},
    ],
    ids=["zeros", "matrix", "power law", "number"],
)
def test_a_resolved_spec_is_read_back_as_it_was(settings):
    from autophage.spec import Spec

    spec = Spec.of(seed=0, data={"kind": "regression", **settings}, learner="regression")
    again = Spec.of(spec.to_dict())
    assert again.digest == spec.digest and again.data == spec.data


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"noise": -1}, "noise"),
        ({"noise": math.nan}, "noise"),
        ({"spectrum": [1, -1]}, "not negative"),
        ({"spectrum": [0, 0]}, "do not vary"),
        ({"spectrum": [1, math.inf]}, "not finite"),
        ({"spectrum": [[1, 0.5], [0.4, 1]]}, "not symmetric"),
        ({"spectrum": [[1, 2], [2, 1]]}, "positive semidefinite"),
        ({"spectrum": [[1, 2, 3], [2, 1, 3]]}, "square"),
        ({"spectrum": [1, 2], "signal": [1, 2, 3]}, "make them agree"),
        ({"dim": 3, "spectrum": [1, 2]}, "make them agree"),
        ({"signal": -1}, "zero or more"),
        ({"signal": [1, math.nan]}, "not finite"),
        ({"dim": 0}, "dim"),
        ({"spectrum": {"power_law": {"capacity": 1, "source": 0.5}}}, "capacity"),
        ({"spectrum": {"power_law": {"capacity": 1.5, "source": 0}}}, "source"),
        ({"spectrum": {"power_law": {"capacity": 1.5}}}, "source"),
    ],
    ids=[
        "a7-negative-noise",
        "a7-nan-noise",
        "a7-negative-eigenvalue",
        "a7-no-variance",
        "a7-infinite-eigenvalue",
        "a7-not-symmetric",
        "a7-not-psd",
        "not-square",
        "signal-too-long",
        "dim-disagrees",
        "negative-length",
        "nan-signal",
        "no-inputs",
        "a7-capacity",
        "a7-source",
        "power-law-incomplete",
    ],
)
def test_a7_bad_data_are_refused_in_one_sentence(settings, match):
    with pytest.raises(SpecError, match=match) as refusal:
        source(**settings)
    assert "\n" not in str(refusal.value)


def test_symmetry_is_asked_for_to_one_part_in_ten_billion():
    assert source(spectrum=[[1.0, 0.5], [0.5 + 4e-11, 1.0]]).dim == 2
    with pytest.raises(SpecError, match="symmetric"):
        source(spectrum=[[1.0, 0.5], [0.5 + 1e-9, 1.0]])


def table(folder, n=300, noise=0.4):
    draw = KEY.generator()
    x = draw.standard_normal((n, 3)) * [1, 5, 0.2] + [0, 100, -3]
    y = x @ [2.0, -0.3, 4.0] + 7 + noise * draw.standard_normal(n)
    path = folder / "houses.csv"
    rows = [",".join(map(repr, map(float, row))) for row in np.column_stack([x, y])]
    path.write_text("a,b,c,price\n" + "\n".join(rows) + "\n")
    return path


def test_a_table_becomes_pairs(tmp_path):
    data = part("data", {"kind": "regression_table", "path": str(table(tmp_path)), "target": "price"}, "data")
    laws.source(data)
    train = data.train().x
    assert data.dim == 3 and train.shape == (240, 4) and len(data.reference()) == 60
    assert np.allclose(train.mean(0), 0) and np.allclose(train.std(0), 1)
    # In units of the label: its standard deviation is divided by that of the whole label.
    raw = RegressionTableSource(path=data.path, target="price", standardise=False)
    assert math.isclose(data.noise * raw.train().x[:, -1].std(), 0.4, rel_tol=0.25)
    assert RegressionTableSource(path=data.path, target="price", noise=0.1).noise == 0.1
    back = data.decode(train[:5]).to_numpy()
    assert np.allclose(back, raw.train().x[:5]) and data.decode(train[:2]).columns == ["a", "b", "c", "price"]
    assert isinstance(inputs_of(data), RowInputs) and outputs_of(data) == 1


def test_chosen_columns_only(tmp_path):
    data = RegressionTableSource(path=str(table(tmp_path)), target="price", columns=("c", "a"))
    assert data.dim == 2 and data.names == ("c", "a", "price")


@pytest.mark.parametrize(
    ("text", "settings", "error", "match"),
    [
        ("a,y\n1,2\n2,\n3,1\n4,2\n5,3\n", {"target": "y"}, DataError, "row 2"),
        ("a,y\nx,2\nz,4\nx,1\nz,2\nx,3\n", {"target": "y"}, DataError, "text"),
        ("a,y\n1,2\n2,2\n3,2\n4,2\n5,2\n", {"target": "y"}, DataError, "never changes"),
        ("a,y\n1,2\n2,4\n3,1\n4,2\n5,3\n", {"target": "z"}, SpecError, "data.target"),
        ("a,y\n1,2\n2,4\n3,1\n4,2\n5,3\n", {"target": "y", "columns": ["y"]}, SpecError, "its own input"),
        ("a,y\n1,2\n2,4\n3,1\n4,2\n5,3\n", {"target": "y", "noise": -1}, SpecError, "data.noise"),
        ("y\n1\n2\n3\n4\n5\n", {"target": "y"}, SpecError, "only column"),
    ],
    ids=[
        "missing",
        "text",
        "constant-label",
        "no-such-column",
        "own-input",
        "negative-noise",
        "nothing-left",
    ],
)
def test_bad_tables_are_refused(tmp_path, text, settings, error, match):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(error, match=match):
        part("data", {"kind": "regression_table", "path": str(path), **settings}, "data").train()


def test_digits_with_their_classes():
    data = LabelledDigitsSource(size=400)
    x = data.train().x
    assert data.dim == 64 and data.outputs == 10 and x.shape == (320, 74)
    assert (x[:, 64:].sum(axis=1) == 1).all() and set(np.unique(x[:, 64:])) == {0.0, 1.0}
    assert np.allclose(x[:, :64].mean(axis=0), 0) and np.abs(x[:, :64]).max() <= 1


def test_inputs_of_a_law_are_drawn_from_it():
    data = source(spectrum=[4.0, 1.0])
    assert isinstance(inputs_of(data), GaussianInputs) and inputs_of(data).power == 5.0
    rows = RowInputs(np.array([[3.0, 4.0], [0.0, 0.0]]))
    assert rows.power == 12.5 and rows.dim == 2 and rows.draw(3, 2, KEY).shape == (2, 3, 2)
