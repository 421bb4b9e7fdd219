"""Where the labels of pictures come from, and what becomes of those that do not fit."""

import gzip
import zipfile

import numpy as np
import pytest

from autophage.data.found import coded
from autophage.data.images import ImagesSource
from autophage.errors import DataError, SpecError


def by_picture(source, x):
    """The name of each picture's class, in the order of x."""
    names = {}
    for part in (source.train(), source.reference()):
        for row, code in zip(part.x, part.label, strict=True):
            names[row.tobytes()] = source.classes[code]
    return [names[picture.tobytes()] for picture in x]


def table(place, header, rows, name="labels.csv"):
    content = "\n".join([header, *rows]) + "\n"
    (place / name).write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())


def test_folders_are_classes(tmp_path, colour, folder_of):
    folder_of(tmp_path / "dog", colour[:12])
    folder_of(tmp_path / "cat" / "indoors", colour[12:])
    source = ImagesSource(path=str(tmp_path))
    assert source.classes == ("cat", "dog") and source.notes == ()
    assert by_picture(source, colour) == ["dog"] * 12 + ["cat"] * 8
    assert ImagesSource(path=str(tmp_path), label="none").train().label is None


def test_folders_of_numbers_are_the_codes(tmp_path, colour, folder_of):
    for i in range(20):
        folder_of(tmp_path / str(i % 10 + 1), colour[i : i + 1], f"{i}.png")
    source = ImagesSource(path=str(tmp_path))
    assert source.classes == tuple(map(str, range(11)))
    assert by_picture(source, colour) == [str(i % 10 + 1) for i in range(20)]
    assert any("no picture of the class" in note and "'0'" in note for note in source.notes)


def test_a_beginning_holds_the_classes_in_their_shares(tmp_path, colour, folder_of):
    folder_of(tmp_path / "a", colour[:15])
    folder_of(tmp_path / "b", colour[15:])
    source = ImagesSource(path=str(tmp_path), size=8)
    both = np.concatenate([source.train().label, source.reference().label])
    assert np.bincount(both).tolist() == [6, 2]


def test_a_zip_of_class_folders(tmp_path, colour, encode):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for i, x in enumerate(colour):
            archive.writestr(f"set/{'ab'[i % 2]}/{i}.png", encode(x))
    source = ImagesSource(path=str(tmp_path / "in.zip"))
    assert by_picture(source, colour) == ["a", "b"] * 10


def test_training_data_are_entered(tmp_path, colour, folder_of):
    folder_of(tmp_path / "set" / "train" / "a", colour[:6])
    folder_of(tmp_path / "set" / "train" / "b", colour[6:12])
    folder_of(tmp_path / "set" / "test" / "a", colour[12:])
    source = ImagesSource(path=str(tmp_path))
    assert (len(source.train()) + len(source.reference()), source.classes) == (12, ("a", "b"))
    assert source.notes[0] == "only what lies below set/train is read"


def test_pictures_beside_and_inside_folders_have_no_class(tmp_path, colour, folder_of):
    folder_of(tmp_path, colour[:10])
    folder_of(tmp_path / "more", colour[10:])
    source = ImagesSource(path=str(tmp_path))
    assert source.classes is None and source.train().label is None
    assert source.notes == ("pictures lie both beside and inside folders, which are no classes therefore",)


@pytest.mark.parametrize(
    ("header", "row"),
    [("file,label", "{:02d}.png,{}"), ("id,class", "{:02d},{}"), ("label,image", "{1},{0:02d}.png")],
    ids=["file", "stem", "image"],
)
def test_a_table_beside_the_pictures(tmp_path, colour, folder_of, header, row):
    folder_of(tmp_path, colour)
    names = ["cat" if i % 3 else "ape" for i in range(20)]
    rows = [row.format(i, names[i]) for i in range(20)]
    for name in ("labels.csv", "train-labels.csv.gz"):
        table(tmp_path, header, rows[::-1], name)
        source = ImagesSource(path=str(tmp_path))
        assert source.classes == ("ape", "cat") and by_picture(source, colour) == names
        (tmp_path / name).unlink()


def test_a_table_names_whole_paths_first(tmp_path, colour, folder_of):
    folder_of(tmp_path / "in" / "a", colour[:10])
    folder_of(tmp_path / "in" / "b", colour[10:])
    rows = [f"{f}/{i:02d}.png,{k}" for k, f in enumerate("ab") for i in range(10)]
    table(tmp_path / "in", "path,label", rows)
    assert by_picture(ImagesSource(path=str(tmp_path / "in")), colour) == ["0"] * 10 + ["1"] * 10
    table(tmp_path / "in", "path,label", [f"{i:02d}.png,{i}" for i in range(10)])
    with pytest.raises(DataError, match="fits several pictures of .* at once; name them with their folders"):
        ImagesSource(path=str(tmp_path / "in")).train()


def test_rows_by_number_and_by_order(tmp_path, encode, grey):
    (tmp_path / "train-0.png").write_bytes(encode(grey.reshape(-1, 6)))
    names = [f"class {i % 4}" for i in range(20)]
    table(tmp_path, "index,label", [f"{i},{names[i]}" for i in reversed(range(20))])
    assert by_picture(ImagesSource(path=str(tmp_path)), grey) == names
    table(tmp_path, "label", names)
    assert by_picture(ImagesSource(path=str(tmp_path)), grey) == names
    table(tmp_path, "index,label", [f"{i // 2},{names[i]}" for i in range(20)])
    with pytest.raises(DataError, match="column 'index' of .* must number the pictures 0 to 19, each once"):
        ImagesSource(path=str(tmp_path)).train()
    table(tmp_path, "label", names[:19])
    with pytest.raises(
        DataError, match="labels.csv holds 19 labels for the 20 pictures of .*; they must be as many"
    ):
        ImagesSource(path=str(tmp_path)).train()


def test_another_column_and_names_of_numbers(tmp_path, encode, grey):
    (tmp_path / "strip.png").write_bytes(encode(grey.reshape(-1, 6)))
    table(tmp_path, "label,class,person", [f"{i % 3},{'abc'[i % 3]},{100 + 7 * i}" for i in range(20)])
    source = ImagesSource(path=str(tmp_path))
    assert source.classes == ("a", "b", "c") and by_picture(source, grey) == ["abc"[i % 3] for i in range(20)]
    source = ImagesSource(path=str(tmp_path), label="person")
    assert len(source.classes) == 20 and by_picture(source, grey)[3] == "121"
    with pytest.raises(
        SpecError, match=r"data\.label names 'persn', which is no column of the table; did you mean 'person'"
    ):
        ImagesSource(path=str(tmp_path), label="persn").train()


def test_a_table_without_a_usual_column_is_noted(tmp_path, encode, grey):
    (tmp_path / "strip.png").write_bytes(encode(grey.reshape(-1, 6)))
    table(tmp_path, "index,person,mood", [f"{i},{i // 2},{'x' if i else ''}" for i in range(20)])
    source = ImagesSource(path=str(tmp_path))
    assert source.classes is None and source.train().label is None
    assert source.notes == (
        "no labels are taken from labels.csv: set data.label to one of its columns (person, mood)",
    )
    source = ImagesSource(path=str(tmp_path), label="mood")
    assert source.classes == ("none", "x")
    assert "1 rows of labels.csv have no 'mood': they are the class 'none'" in source.notes


def test_a_table_of_another_name_is_found_by_its_column(tmp_path, colour, folder_of):
    folder_of(tmp_path, colour)
    table(
        tmp_path,
        "file,caption,tone",
        [f"{i:02d}.png,text {i},{'ab'[i % 2]}" for i in range(20)],
        "captions.csv",
    )
    assert ImagesSource(path=str(tmp_path)).classes is None
    assert by_picture(ImagesSource(path=str(tmp_path), label="tone"), colour) == ["a", "b"] * 10
    with pytest.raises(SpecError, match=r"data\.label is 'shade' but no table beside .* has such a column"):
        ImagesSource(path=str(tmp_path), label="shade").train()
    table(tmp_path, "file,tone", ["00.png,a"], "other.csv")
    with pytest.raises(DataError, match="captions.csv and other.csv both look like the labels"):
        ImagesSource(path=str(tmp_path), label="tone").train()


def test_labels_that_do_not_match_files(tmp_path, colour, folder_of):
    folder_of(tmp_path, colour)
    table(tmp_path, "file,label", [f"{i:02d}.png,{i % 2}" for i in range(18)])
    with pytest.raises(
        DataError, match="labels.csv has no row for 18.png of .*, nor for 1 more; column 'file' must name"
    ):
        ImagesSource(path=str(tmp_path)).train()
    table(tmp_path, "file,label", [f"{i:02d}.png,{i % 2}" for i in range(25)])
    assert ImagesSource(path=str(tmp_path)).notes == (
        "5 rows of labels.csv name a picture that is not there",
    )
    table(tmp_path, "file,label", [f"{i % 18:02d}.png,{i % 2}" for i in range(20)])
    with pytest.raises(DataError, match="labels.csv names a picture twice in column 'file'"):
        ImagesSource(path=str(tmp_path)).train()
    table(tmp_path, "file,label", [f"{i:02d}.png,{i / 7:.3f}" for i in range(20)])
    with pytest.raises(
        DataError, match="column 'label' of .* holds measured numbers such as 0.0, not classes"
    ):
        ImagesSource(path=str(tmp_path)).train()


def test_an_archive_takes_its_own_rows(tmp_path, colour, encode):
    for name, part in (("fake.zip", colour[:10]), ("real.zip", colour[10:])):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for i, x in enumerate(part):
                archive.writestr(f"{i}.png", encode(x))
    rows = [
        f"{name},{i}.png,{(i + k) % 2}" for k, name in enumerate(("fake.zip", "real.zip")) for i in range(10)
    ]
    table(tmp_path, "archive,file,label", rows, "train-labels.csv.gz")
    source = ImagesSource(path=str(tmp_path / "real.zip"))
    assert not any("train-labels" in note for note in source.notes)  # no row is idle
    assert by_picture(source, colour[10:]) == [str((i + 1) % 2) for i in range(10)]
    table(tmp_path, "file,label", [f"{i}.png,7" for i in range(10)], "real-labels.csv")
    assert set(by_picture(ImagesSource(path=str(tmp_path / "real.zip")), colour[10:])) == {"7"}


def test_a_missing_class_is_noted(tmp_path, colour, folder_of):
    folder_of(tmp_path / "a", colour[:19])
    folder_of(tmp_path / "b", colour[19:])
    source = ImagesSource(path=str(tmp_path))
    missing = [
        part for part in ("training part", "held-out part") if any(part in note for note in source.notes)
    ]
    assert len(missing) == 1 and f"the {missing[0]} has no picture of the class 'b'" in source.notes
    for i in range(8):
        folder_of(tmp_path / f"c{i}", colour[i : i + 1] // 2)
    source = ImagesSource(path=str(tmp_path))
    held = np.bincount(source.reference().label, minlength=10)
    gone = [source.classes[i] for i in np.flatnonzero(held == 0)]
    shown = ", ".join(f"'{name}'" for name in gone[:3])
    assert len(gone) > 3  # five or six pictures are held out, of ten classes
    assert f"the held-out part has no picture of the classes {shown} and {len(gone) - 3} more" in source.notes


def test_coding():
    assert coded([2, 0, 1, 1]).codes.tolist() == [2, 0, 1, 1]
    assert coded([0, 3]).classes == ("0", "1", "2", "3")  # half of them occur
    assert coded([0, 4]).classes == ("0", "4") and coded([0, 4]).codes.tolist() == [0, 1]
    assert coded([-1, 1]).classes == ("-1", "1")
    assert coded([None, "x"]).classes == ("none", "x")
    assert coded([0, 1], {0: "ant", 1: "bee", 2: "cow"}).classes == ("ant", "bee", "cow")
    assert coded([5], {5: "bee"}).classes == ("bee",)
