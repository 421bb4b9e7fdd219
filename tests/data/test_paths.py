import numpy as np
import pytest

from autophage.data.arguments import array, not_negative, positive, vector, whole_number
from autophage.data.paths import kind_for_path
from autophage.errors import DataError, SpecError


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("people.csv", "table"),
        ("People.CSV.gz", "table"),
        ("people.tsv", "table"),
        ("people.tsv.gz", "table"),
        ("people.parquet", "table"),
        ("train-images-idx3-ubyte.gz", "mnist"),
        ("train-images.idx3-ubyte", "mnist"),
    ],
)
def test_names_tell_kinds(tmp_path, name, kind):
    (tmp_path / name).touch()
    assert kind_for_path(tmp_path / name) == kind


def test_folders(tmp_path):
    with pytest.raises(DataError, match="is a folder without idx pictures"):
        kind_for_path(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").touch()
    assert kind_for_path(str(tmp_path)) == "mnist"


@pytest.mark.parametrize("name", ["people.xlsx", "people", "people.parquet.gz", "train-labels-idx1-ubyte.gz"])
def test_unknown_names_are_refused(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"it is not known what .* holds"):
        kind_for_path(tmp_path / name)


def test_a_missing_path_is_refused(tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        kind_for_path(tmp_path / "people.csv")


def test_argument_checks_name_the_key():
    assert vector(3, "k").tolist() == [3.0] and array([[1, 2]], "k").shape == (1, 2)
    whole_number(np.int64(3), "k", least=3)
    positive(np.float32(0.5), "k")
    not_negative(0, "k")
    for wrong in (True, [True], "1", None, object(), 1j):
        with pytest.raises(SpecError, match="k is"):
            array(wrong, "k")
    for check in (positive, not_negative):
        for wrong in (-1, float("nan"), float("inf"), "1", None, True):
            with pytest.raises(SpecError, match="k is"):
                check(wrong, "k")
    with pytest.raises(SpecError, match="k is 0"):
        positive(0, "k")
