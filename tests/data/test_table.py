import gzip
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from autophage.data.table import TableSource
from autophage.errors import DataError, SpecError

REAL = os.environ.get("AUTOPHAGE_DATA")

FRAME = pl.DataFrame(
    {
        "age": [39, 50, 38, 53, 28, 37, 49, 52, 31, 42],
        "pay": [0.5, 1.25, -3.0, 4.0, 5.5, 6.0, 7.0, 8.0, 9.0, 1e-3],
        "job": ["clerk", "boss", "cook", "cook", "boss", "clerk", "cook", "boss", "clerk", "cook"],
        "code": [3, 1, 1, 2, 3, 3, 1, 2, 2, 3],
        "rich": ["no", "yes", "no", "no", "yes", "no", "yes", "no", "yes", "no"],
    }
)


def text(frame, separator=","):
    return frame.write_csv(separator=separator).encode()


@pytest.fixture
def write(tmp_path):
    def writer(content, name="people.csv"):
        path = tmp_path / name
        if isinstance(content, pl.DataFrame):
            content.write_parquet(path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return writer


def rows(source):
    """Every record, decoded, in an order of its own."""
    train, reference = source.train(), source.reference()
    label = None if train.label is None else np.r_[train.label, reference.label]
    return source.decode(np.concatenate([train.x, reference.x]), label)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (text(FRAME), "t.csv"),
        (gzip.compress(text(FRAME)), "t.csv.gz"),
        (text(FRAME, "\t"), "t.TSV"),
        (gzip.compress(text(FRAME, "\t")), "t.tsv.gz"),
        (FRAME, "t.parquet"),
        (b"\xef\xbb\xbf" + text(FRAME).replace(b"\n", b"\r\n") + b"\r\n\r\n", "t.csv"),
        (text(FRAME).replace(b",", b" , "), "t.csv"),
    ],
)
def test_every_format_round_trips(write, content, name):
    source = TableSource(path=write(content, name))
    assert source.dim == 8 and len(source.train()) == 8 and source.classes is None
    assert source.entries == (
        "age",
        "pay",
        "job=boss",
        "job=clerk",
        "job=cook",
        "code",
        "rich=no",
        "rich=yes",
    )
    assert rows(source).sort("age").equals(FRAME.sort("age"))


def test_the_encoding(write):
    source = TableSource(path=write(text(FRAME)), columns=["job", "pay"])
    x = np.concatenate([source.train().x, source.reference().x])
    assert source.entries == ("job=boss", "job=clerk", "job=cook", "pay")
    assert np.array_equal(x[:, :3].sum(1), np.ones(10)) and set(x[:, :3].ravel()) == {0, 1}
    for row in x:
        assert FRAME.filter(pl.col("pay") == row[3])["job"][0] == ("boss", "clerk", "cook")[row[:3].argmax()]


def test_codes_can_be_categories(write):
    for path in (write(text(FRAME)), write(FRAME, "t.parquet")):
        source = TableSource(path=path, categorical=["code"], columns=["age", "code"])
        assert source.entries == ("age", "code=1", "code=2", "code=3")
        assert (
            rows(source).sort("age")["code"].cast(pl.Int64).to_list() == FRAME.sort("age")["code"].to_list()
        )


@pytest.mark.parametrize(
    ("target", "classes"),
    [("rich", ("no", "yes")), ("code", ("1", "2", "3")), ("job", ("boss", "clerk", "cook"))],
)
def test_a_target_becomes_the_label(write, target, classes):
    source = TableSource(path=write(text(FRAME)), target=target)
    assert source.classes == classes and not any(e.startswith(target) for e in source.entries)
    found = rows(source).sort("age").select(FRAME.columns)
    assert found.equals(FRAME.sort("age"))


def test_booleans_and_small_integers_of_parquet(write):
    frame = FRAME.with_columns(
        pl.col("age").cast(pl.UInt8),
        (pl.col("rich") == "yes").alias("rich"),
        pl.col("job").cast(pl.Categorical),
        pl.col("pay").cast(pl.Float32),
    )
    source = TableSource(path=write(frame, "t.parquet"))
    found = rows(source).sort("age")
    assert found["rich"].to_list() == frame.sort("age")["rich"].to_list()
    assert found["age"].to_list() == frame.sort("age")["age"].to_list()
    assert found["job"].to_list() == frame.sort("age")["job"].cast(pl.String).to_list()
    assert source.train().x.dtype == np.float64


def test_snap_makes_blocks_legal_and_leaves_numbers(write):
    source = TableSource(path=write(text(FRAME)))
    noisy = np.random.default_rng(0).normal(size=(3, 50, 8))
    legal = source.snap(noisy)
    assert np.array_equal(legal[..., [0, 1, 5]], noisy[..., [0, 1, 5]])
    for block in (slice(2, 5), slice(6, 8)):
        assert np.array_equal(legal[..., block].argmax(-1), noisy[..., block].argmax(-1))
        assert np.array_equal(np.sort(legal[..., block], -1)[..., -2:], np.broadcast_to([0, 1], (3, 50, 2)))
    assert np.array_equal(source.snap(legal), legal)
    assert np.array_equal(source.snap(source.train().x), source.train().x)


def test_decode_rounds_whole_numbers_and_refuses_what_is_no_row(write):
    source = TableSource(path=write(text(FRAME)))
    x = source.train().x[:2].copy()
    x[:, 0], x[:, 1] = [30.4, -1e30], [0.25, 0.75]
    frame = source.decode(x)
    assert frame["age"].dtype == pl.Int64 and frame["age"].to_list() == [30, -(2**53)]
    assert frame["pay"].to_list() == [0.25, 0.75]
    with pytest.raises(DataError, match=r"\(n, 8\) is"):
        source.decode(x[:, :5])
    with pytest.raises(DataError, match=r"not finite"):
        source.decode(np.full((2, 8), np.nan))


def test_location_and_scale_of_the_training_part(write):
    frame = FRAME.with_columns(pl.lit(7).alias("seven"))
    source = TableSource(path=write(text(frame)))
    x = source.train().x
    scale = x.std(0)
    assert scale[-1] == 0 and np.allclose(source.location, x.mean(0)) and source.scale[-1] == 1
    assert np.allclose(source.scale[scale > 0], scale[scale > 0])
    assert "seven" in source.constant_columns and "age" not in source.constant_columns
    assert any("never changes in the training part" in note for note in source.notes)


def test_rows_with_missing_values(write):
    content = text(FRAME).replace(b"boss", b"?").replace(b"0.001", b"")
    with pytest.raises(
        DataError, match=r"column 'pay' of .* has no value in row 10 \(1 of 10 rows lack one\)"
    ):
        TableSource(path=write(content)).train()
    with pytest.raises(
        DataError, match=r"column 'job' of .* has no value in row 2 \(3 of 10 rows lack one\)"
    ):
        TableSource(path=write(content), missing=["?"], columns=["age", "job"]).train()
    source = TableSource(path=write(content), missing=["?"], drop_missing=True)
    assert source.dropped == 4 and len(source.train()) + len(source.reference()) == 6
    assert any("4 rows of people.csv were left out" in note for note in source.notes)
    kept = TableSource(path=write(content), columns=["age", "job"])
    assert kept.dropped == 0 and "job=?" in kept.entries
    assert any("keeps '?' as a category" in note for note in kept.notes)


@pytest.mark.parametrize("mark", ["", "nan", "NaN", '""', " "])
def test_what_always_counts_as_missing(write, mark):
    content = text(FRAME).replace(b"cook", mark.encode())
    with pytest.raises(DataError, match=r"column 'job' of .* has no value in row 3"):
        TableSource(path=write(content)).train()
    frame = FRAME.with_columns(
        pl.when(pl.col("age") > 50).then(float("nan")).otherwise(pl.col("pay")).alias("pay")
    )
    with pytest.raises(DataError, match=r"column 'pay' of .* has no value in row 4"):
        TableSource(path=write(frame, "t.parquet")).train()


NARROW = "a,b\n" + "".join(f"{i},{i % 3}.5\n" for i in range(9))


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("a,b\n", "holds no rows below its column names"),
        ("a,b\n1,2\n3,4\n5,6\n7,8\n", "holds 4 records; at least 5 are needed"),
        (NARROW + "1,2,3\n", "line 11 of .* has 3 cells where the first line names 2 columns"),
        (NARROW + "1\n2,3\n", "line 11 of .* has 1 cells where the first line names 2 columns"),
        (NARROW + "x,1\n", "column 'a' holds 'x' in row 10 where most rows hold numbers"),
        (NARROW + "1,inf\n", "column 'b' is infinite in row 10"),
        (NARROW + "1,-1e999\n", "column 'b' is infinite in row 10"),
        (NARROW + '1,"2\n', "is not well formed"),
        (NARROW + "\n3,4\n", "column 'a' of .* has no value in row 10"),
        (NARROW.replace("a,b", "a,a"), "names the column 'a' twice"),
        (NARROW.replace("a,b", "a,"), "column 2 of .* has no name"),
        (NARROW.replace("a,b", "1,2"), "starts with numbers"),
        (NARROW.replace(",", ";"), r"separates its columns by ';'; set data\.separator"),
        (NARROW.encode() + b"1,\xe9\n", "line 11 of .* is not UTF-8"),
        (NARROW.encode("utf-16"), "not text in UTF-8"),
        (NARROW.replace("a,b", "a,\xe9").encode("latin1"), "first line of .* in UTF-8"),
        ("a,b\n" + "1,x\n" * 9, "none of the columns 'a', 'b' changes over the 9 rows"),
        ("a\n" + "1\n" * 9, "column 'a' never changes over the 9 rows"),
        ("a,b\n" + "".join(f"{i},name{i}\n" for i in range(300)), "column 'b' has 300 different values"),
        (gzip.compress(NARROW.encode())[:-12], "cut off or damaged"),
    ],
)
def test_bad_text_is_refused(write, content, match):
    path = write(content)
    with pytest.raises(DataError, match=match) as caught:
        TableSource(path=path).train()
    assert "\n" not in str(caught.value)


def test_bad_parquet_is_refused(write, tmp_path):
    whole = Path(write(FRAME, "whole.parquet")).read_bytes()
    for content in (
        whole[:-20],
        whole[: len(whole) // 2],
        b"PAR1",
        b"no parquet",
        whole[: -len(whole) // 3] + whole[-8:],
    ):
        with pytest.raises(DataError, match=r"cut off, damaged or not a parquet file at all"):
            TableSource(path=write(content, "cut.parquet")).train()
    with pytest.raises(DataError, match=r"is empty"):
        TableSource(path=write(b"", "cut.parquet")).train()
    with pytest.raises(DataError, match=r"holds no rows"):
        TableSource(path=write(FRAME.head(0), "cut.parquet")).train()
    dated = FRAME.with_columns(pl.lit("2024-05-01").str.to_date().alias("day"))
    with pytest.raises(DataError, match=r"column 'day' holds Date, which is neither numbers nor text"):
        TableSource(path=write(dated, "cut.parquet")).train()
    assert TableSource(path=write(dated, "cut.parquet"), columns=["age", "pay"]).dim == 2
    hollow = FRAME.with_columns(pl.lit(None).alias("void"))
    with pytest.raises(DataError, match=r"column 'void' of .* has no value in row 1"):
        TableSource(path=write(hollow, "cut.parquet")).train()
    with pytest.raises(DataError, match=r"every row of .* has a missing value, most often in column 'void'"):
        TableSource(path=write(hollow, "cut.parquet"), drop_missing=True).train()


def test_places_that_are_no_table(write, tmp_path, monkeypatch):
    monkeypatch.delenv("AUTOPHAGE_DATA", raising=False)
    with pytest.raises(DataError, match=r"there is no file .*nowhere.csv"):
        TableSource(path=str(tmp_path / "nowhere.csv")).train()
    with pytest.raises(DataError, match=r"ends in \.csv, \.tsv"):
        TableSource(path=write(NARROW, "t.xlsx")).train()
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match=r"is a folder"):
        TableSource(path=str(tmp_path / "folder.csv")).train()
    write(NARROW, "below.csv")
    monkeypatch.setenv("AUTOPHAGE_DATA", str(tmp_path))
    assert TableSource(path="below.csv").dim == 2
    with pytest.raises(DataError, match=r"nor below AUTOPHAGE_DATA"):
        TableSource(path="above.csv").train()


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"target": "rihc"}, r"data\.target names 'rihc', which is no column of the table.*'rich'"),
        ({"columns": ["age", "jop"]}, r"data\.columns names 'jop'.*'job'"),
        ({"categorical": ["cod"]}, r"data\.categorical names 'cod'.*'code'"),
        ({"columns": "age"}, r"data\.columns is the text 'age'; it must be a list"),
        ({"columns": ["age", "age"]}, r"data\.columns names 'age' twice"),
        ({"columns": []}, "leaves no column to model"),
        ({"columns": ["rich"], "target": "rich"}, "leaves no column to model"),
        ({"separator": "ab"}, r"data\.separator is 'ab'"),
        ({"most_levels": 1}, r"data\.most_levels is 1"),
        ({"size": 3}, r"data\.size is 3"),
    ],
)
def test_bad_settings_are_refused(write, settings, match):
    with pytest.raises(SpecError, match=match):
        TableSource(path=write(text(FRAME)), **settings).train()


def test_a_target_must_be_a_class(write):
    with pytest.raises(
        DataError, match=r"data\.target 'pay' holds measured numbers such as 0\.5, not classes"
    ):
        TableSource(path=write(text(FRAME)), target="pay").train()
    with pytest.raises(SpecError, match=r"the only column"):
        TableSource(path=write(text(FRAME.select("rich"))), target="rich").train()


def test_another_separator(write):
    source = TableSource(path=write(text(FRAME, ";")), separator=";")
    assert rows(source).sort("age").equals(FRAME.sort("age"))


real = pytest.mark.skipif(not REAL, reason="AUTOPHAGE_DATA is not set")


@real
def test_adult():
    path = "tabular/adult.csv.gz"
    with pytest.raises(DataError, match=r"column 'workclass' of .* in row 28 \(1,836 of 32,561 rows"):
        TableSource(path=path, missing=["?"]).train()
    source = TableSource(path=path, missing=["?"], drop_missing=True, target="income")
    assert source.dropped == 2399 and len(source.train()) + len(source.reference()) == 30162
    assert source.classes == ("<=50K", ">50K") and source.dim == 104
    found = source.decode(source.train().x[:500], source.train().label[:500])
    there = pl.read_csv(os.path.join(REAL, path)).unique()
    assert found.unique().join(there, on=found.columns, how="anti").height == 0


@real
def test_california():
    with pytest.raises(DataError, match=r"column 'total_bedrooms' of .* in row 291 .207 of 20,640 rows"):
        TableSource(path="tabular/california-housing.csv.gz").train()
    source = TableSource(path="tabular/california-housing.csv.gz", drop_missing=True)
    assert (source.dropped, source.dim, len(source.train())) == (207, 14, 16347)


@real
def test_abalone():
    source = TableSource(path="tabular/abalone.csv.gz", target="rings")
    assert (source.dim, len(source.classes), len(source.train()), len(source.reference())) == (
        10,
        28,
        3342,
        835,
    )
