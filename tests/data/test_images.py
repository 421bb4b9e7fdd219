"""Every form in which pictures come, and everything that can be wrong with them."""

import gzip
import hashlib
import json
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image

from autophage.data import pictures
from autophage.data.images import ImagesSource
from autophage.data.source import split_rows
from autophage.errors import DataError, SpecError


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def zipped(place, contents, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(place, "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return place


def assert_holds(source, x, label=None):
    """The source is exactly these pictures in this order, split as every finite set is."""
    found = source.load()
    assert found.x.dtype == np.uint8 and np.array_equal(found.x[: len(x)], x)
    train, reference = split_rows(len(x))
    for part, rows in ((source.train(), train), (source.reference(), reference)):
        assert part.x.dtype == np.uint8 and np.array_equal(part.x, x.reshape(len(x), -1)[rows])
        if label is None:
            assert part.label is None
        else:
            assert part.label.dtype == np.int64 and np.array_equal(part.label, np.asarray(label)[rows])
    assert source.shape == x.shape[1:] and source.dim == x[0].size
    assert (source.kind_of_picture, source.value_range, source.domain) == ("image", (0.0, 255.0), "vectors")


# Forms


def test_a_folder_of_image_files(tmp_path, colour, folder_of):
    folder_of(tmp_path / "in", colour)
    (tmp_path / "in" / "README.md").write_text("no picture")
    (tmp_path / "in" / ".hidden.png").write_bytes(b"no picture")
    source = ImagesSource(path=str(tmp_path / "in"))
    assert_holds(source, colour)
    assert source.classes is None and source.notes == ()


def test_grey_pictures_have_no_channel_axis(tmp_path, grey, folder_of):
    assert_holds(ImagesSource(path=str(folder_of(tmp_path, grey))), grey)
    thrice = grey[..., None].repeat(3, axis=3)
    assert_holds(ImagesSource(path=str(folder_of(tmp_path / "thrice", thrice))), grey)


def test_below_the_data_folder(tmp_path, colour, folder_of, monkeypatch):
    folder_of(tmp_path / "mine", colour)
    monkeypatch.setenv("AUTOPHAGE_DATA", str(tmp_path))
    assert_holds(ImagesSource(path="mine"), colour)


def test_lossless_formats_agree_and_jpeg_is_near(tmp_path, encode, grey):
    smooth = np.linspace(0, 255, 20 * 64).astype(np.uint8).reshape(20, 8, 8)
    for format, end in (("PNG", "png"), ("BMP", "bmp"), ("TIFF", "tif"), ("PPM", "pgm"), ("GIF", "gif")):
        place = tmp_path / end
        place.mkdir()
        for i, x in enumerate(smooth):
            (place / f"{i:02d}.{end.upper()}").write_bytes(encode(x, format))
        assert_holds(ImagesSource(path=str(place)), smooth)
    (tmp_path / "jpg").mkdir()
    for i, x in enumerate(smooth):
        (tmp_path / "jpg" / f"{i:02d}.jpg").write_bytes(encode(x, "JPEG", quality=95))
    near = ImagesSource(path=str(tmp_path / "jpg")).load().x
    assert np.abs(near.astype(int) - smooth).max() <= 6


def test_a_zip_of_image_files(tmp_path, colour, encode):
    contents = {f"photos/{i:02d}.png": encode(x) for i, x in enumerate(colour)}
    contents |= {"photos/notes.txt": b"hello", "__MACOSX/photos/00.png": b"junk", "photos/.00.png": b"junk"}
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        source = ImagesSource(path=str(zipped(tmp_path / "in.zip", contents, compression)))
        assert_holds(source, colour)


def test_parquet_of_encoded_pictures(tmp_path, colour, encode):
    pl = pytest.importorskip("polars")
    content = [encode(x) for x in colour]
    label = np.arange(20) % 3
    struct_column = [{"bytes": c, "path": None} for c in content]
    about = {"info": {"features": {"label": {"names": ["cat", "dog", "owl"], "_type": "ClassLabel"}}}}
    for name, column in (("image", content), ("img", struct_column)):
        frame = pl.DataFrame({name: column, "fine_label": label})
        frame.write_parquet(tmp_path / "in.parquet", row_group_size=7)
        source = ImagesSource(path=str(tmp_path / "in.parquet"))
        assert_holds(source, colour, label)
        assert source.classes == ("0", "1", "2")
    shards = tmp_path / "hub" / "plain_text"
    shards.mkdir(parents=True)
    for i, rows in enumerate((slice(0, 12), slice(12, 20))):
        pl.DataFrame({"img": struct_column[rows], "label": label[rows]}).write_parquet(
            shards / f"train-0000{i}-of-00002.parquet", metadata={"huggingface": json.dumps(about)}
        )
    pl.DataFrame({"img": struct_column[:1], "label": [0]}).write_parquet(
        shards / "test-00000-of-00001.parquet"
    )
    source = ImagesSource(path=str(tmp_path / "hub"))
    assert_holds(source, colour, label)
    assert source.classes == ("cat", "dog", "owl")


def test_parquet_without_pictures_or_cut(tmp_path, encode, colour):
    pl = pytest.importorskip("polars")
    path = tmp_path / "in.parquet"
    pl.DataFrame({"height": [1, 2]}).write_parquet(path)
    with pytest.raises(DataError, match="in.parquet has no column of encoded pictures"):
        ImagesSource(path=str(path)).train()
    pl.DataFrame({"image": [encode(x) for x in colour]}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DataError, match="in.parquet is cut off, damaged or not a parquet file"):
        ImagesSource(path=str(path)).train()
    pl.DataFrame(
        {"image": [{"bytes": None, "path": "a.png"}] * 6},
        strict=False,
        schema={"image": pl.Struct({"bytes": pl.Binary, "path": pl.String})},
    ).write_parquet(path)
    with pytest.raises(DataError, match="row 0 of .*in.parquet cannot be read: it holds no bytes"):
        ImagesSource(path=str(path)).train()


def test_arrays(tmp_path, colour, grey):
    np.save(tmp_path / "colour.npy", colour)
    assert_holds(ImagesSource(path=str(tmp_path / "colour.npy")), colour)
    np.save(tmp_path / "planar.npy", np.moveaxis(colour, 3, 1))
    assert_holds(ImagesSource(path=str(tmp_path / "planar.npy")), colour)
    np.save(tmp_path / "one.npy", grey[..., None])
    assert_holds(ImagesSource(path=str(tmp_path / "one.npy")), grey)
    label = np.arange(20, dtype=np.uint8)[:, None] % 4
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "in.npz", x_train=grey, y_train=label, x_test=grey[:3], y_test=label[:3])
        assert_holds(ImagesSource(path=str(tmp_path / "in.npz")), grey, label[:, 0])
    assert_holds(ImagesSource(path=str(tmp_path / "in.npz"), label="none"), grey)
    np.savez(tmp_path / "in.npz", anything=colour, kind=np.array(["b", "a"] * 10))
    source = ImagesSource(path=str(tmp_path / "in.npz"), label="kind")
    assert_holds(source, colour, [1, 0] * 10)
    assert source.classes == ("a", "b")


def test_transparent_arrays_are_laid_on_white(tmp_path, colour):
    opacity = np.full((*colour.shape[:3], 1), 255, np.uint8)
    opacity[3] = 0
    np.save(tmp_path / "in.npy", np.concatenate([colour, opacity], axis=3))
    source = ImagesSource(path=str(tmp_path / "in.npy"))
    expected = colour.copy()
    expected[3] = 255
    assert_holds(source, expected)
    assert source.notes == ("laid on white, since transparent: 1 picture",)


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"x": np.zeros((6, 4, 4))}, r"holds no pictures \(x: \(6, 4, 4\) float64\); .* uint8"),
        ({"x": np.array([None] * 6)}, "holds no pictures"),
        (
            {"a": np.zeros((6, 4, 4), np.uint8), "b": np.zeros((6, 4, 4), np.uint8)},
            r"several arrays of pictures \(a, b\)",
        ),
        (
            {"x": np.zeros((6, 4, 4), np.uint8), "y": np.zeros(5, int)},
            "array 'y' of .* holds 5 labels for the 6 pictures",
        ),
        ({"x": np.zeros((6, 4, 4), np.uint8), "y": np.zeros(6)}, "array 'y' of .* type float64; labels are"),
        ({}, r"holds no pictures \(nothing\)"),
    ],
    ids=["floats", "objects", "several", "wrong-count", "float-labels", "nothing"],
)
def test_arrays_that_are_no_pictures(tmp_path, arrays, match):
    np.savez(tmp_path / "in.npz", **arrays)
    with pytest.raises(DataError, match=match):
        ImagesSource(path=str(tmp_path / "in.npz")).train()


def test_damaged_arrays(tmp_path, grey):
    np.save(tmp_path / "in.npy", grey)
    content = (tmp_path / "in.npy").read_bytes()
    (tmp_path / "in.npy").write_bytes(content[:-40])
    with pytest.raises(DataError, match="promises 20 pictures, only 18 are there"):
        ImagesSource(path=str(tmp_path / "in.npy")).train()
    for wrong in (b"", content[:20], b"no numpy at all"):
        (tmp_path / "in.npy").write_bytes(wrong)
        with pytest.raises(DataError, match="in.npy is cut off"):
            ImagesSource(path=str(tmp_path / "in.npy")).train()
    np.savez(tmp_path / "in.npz", x=grey)
    whole = (tmp_path / "in.npz").read_bytes()
    (tmp_path / "in.npz").write_bytes(whole[:-30])
    with pytest.raises(DataError, match="in.npz is cut off, damaged or not a zip"):
        ImagesSource(path=str(tmp_path / "in.npz")).train()
    (tmp_path / "in.npz").write_bytes(whole[:400] + bytes([whole[400] ^ 1]) + whole[401:])
    with pytest.raises(DataError, match="in.npz is cut off or damaged: Bad CRC"):
        ImagesSource(path=str(tmp_path / "in.npz")).train()
    with pytest.raises(SpecError, match=r"data\.label names 'kind', which is no array"):
        np.savez(tmp_path / "in.npz", x=grey)
        ImagesSource(path=str(tmp_path / "in.npz"), label="kind").train()


def test_idx_files(tmp_path, grey):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(grey)))
    label = np.arange(20, dtype=np.uint8) % 10
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(label)))
    for path in (tmp_path, tmp_path / "train-images-idx3-ubyte.gz"):
        assert_holds(ImagesSource(path=str(path)), grey, label)
    assert_holds(ImagesSource(path=str(tmp_path), label="none"), grey)
    with pytest.raises(SpecError, match="idx labels have no name"):
        ImagesSource(path=str(tmp_path), label="digit").train()


def test_strips_of_tiles(tmp_path, encode):
    x = np.random.Generator(np.random.SFC64(3)).integers(0, 256, (25, 4, 4, 3), dtype=np.uint8)
    for name, rows in (
        ("train-0.png", slice(0, 10)),
        ("train-1.png", slice(10, 17)),
        ("train-2.png", slice(17, 25)),
    ):
        (tmp_path / name).write_bytes(encode(x[rows].reshape(-1, 4, 3)))
    source = ImagesSource(
        path=str(tmp_path), size=25
    )  # the second strip is no long one, but there is a first
    assert_holds(source, x)
    one = tmp_path / "faces.png"
    one.write_bytes(encode(x.reshape(-1, 4, 3)))
    assert_holds(ImagesSource(path=str(one)), x)
    assert_holds(ImagesSource(path=str(one), side=4, tile=4, size=12), x[:12])
    whole = ImagesSource(path=str(tmp_path), tile="none", side=8, size=None)
    with pytest.raises(DataError, match="holds 4 records"):
        whole.train()


def test_sheets_of_tiles_are_cut_row_by_row(tmp_path, encode, grey):
    sheet = grey.reshape(4, 5, 6, 6).swapaxes(1, 2).reshape(24, 30)
    (tmp_path / "sheet.png").write_bytes(encode(sheet))
    assert_holds(ImagesSource(path=str(tmp_path / "sheet.png"), tile=6), grey)
    with pytest.raises(
        DataError, match=r"sheet.png is 30 x 24 pixels, which tiles of 7 x 7 do not fill; set data\.tile"
    ):
        ImagesSource(path=str(tmp_path / "sheet.png"), tile=7).train()


def test_a_damaged_strip_loses_its_tiles_only(tmp_path, encode):
    x = np.random.Generator(np.random.SFC64(3)).integers(0, 256, (30, 16, 16), dtype=np.uint8)
    for i in range(3):
        (tmp_path / f"{i}.png").write_bytes(encode(x[10 * i : 10 * i + 10].reshape(-1, 16)))
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:1000])
    (tmp_path / "labels.csv").write_text("label\n" + "\n".join(str(i % 5) for i in range(30)))
    left = np.r_[0:10, 20:30]
    source = ImagesSource(path=str(tmp_path), damaged="skip")
    assert_holds(source, x[left], left % 5)
    assert source.notes[0].startswith("left out for damage: 10 pictures of")
    (tmp_path / "1.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match="1.png cannot be read .*so its tiles cannot be counted"):
        ImagesSource(path=str(tmp_path), damaged="skip").train()


def test_a_folder_that_holds_one_archive(tmp_path, colour, encode):
    zipped(tmp_path / "images.zip", {f"{i:02d}.png": encode(x) for i, x in enumerate(colour)})
    (tmp_path / "README.md").write_text("one archive")
    assert_holds(ImagesSource(path=str(tmp_path)), colour)
    zipped(tmp_path / "more.zip", {"0.png": encode(colour[0])})
    with pytest.raises(DataError, match=r"holds images.zip and more.zip; set data\.path to one of them"):
        ImagesSource(path=str(tmp_path)).train()


def test_places_without_pictures(tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        ImagesSource(path=str(tmp_path / "nowhere")).train()
    with pytest.raises(DataError, match="holds no pictures; expected are image files"):
        ImagesSource(path=str(tmp_path)).train()
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match="it is not known how .*notes.txt holds pictures"):
        ImagesSource(path=str(tmp_path / "notes.txt")).train()
    zipped(tmp_path / "in.zip", {"notes.txt": b"hello"})
    with pytest.raises(DataError, match="in.zip holds no image files"):
        ImagesSource(path=str(tmp_path / "in.zip")).train()


# Sizes and channels


def test_mixed_sizes_are_refused_by_name(tmp_path, colour, folder_of, encode):
    folder_of(tmp_path, colour)
    (tmp_path / "07.png").write_bytes(encode(np.zeros((9, 4), np.uint8)))
    (tmp_path / "09.png").write_bytes(encode(np.zeros((3, 3), np.uint8)))
    with pytest.raises(DataError) as caught:
        ImagesSource(path=str(tmp_path)).train()
    assert str(caught.value) == (
        f"pictures differ in size: {tmp_path}/00.png is 5 x 6 pixels, {tmp_path}/07.png is 4 x 9; set data.side to bring "
        "all to one size"
    )
    source = ImagesSource(path=str(tmp_path), side=4)
    assert source.shape == (4, 4, 3) and len(source.train()) == 16


def test_side_cuts_the_central_square_and_resizes_by_lanczos(tmp_path, folder_of):
    wide = np.random.Generator(np.random.SFC64(5)).integers(0, 256, (6, 20, 33, 3), dtype=np.uint8)
    found = ImagesSource(path=str(folder_of(tmp_path, wide)), side=7).load().x
    for got, x in zip(found, wide, strict=True):
        square = Image.fromarray(np.ascontiguousarray(x[:, 6:26]))
        assert np.array_equal(got, np.asarray(square.resize((7, 7), Image.Resampling.LANCZOS)))
    same = wide[:, :, :20]
    assert_holds(ImagesSource(path=str(folder_of(tmp_path / "same", same)), side=20), same)


def test_channels(tmp_path, colour, grey, folder_of):
    folder_of(tmp_path / "colour", colour)
    luma = np.stack([np.asarray(Image.fromarray(x).convert("L")) for x in colour])
    assert_holds(ImagesSource(path=str(tmp_path / "colour"), channels=1), luma)
    folder_of(tmp_path / "grey", grey)
    assert_holds(ImagesSource(path=str(tmp_path / "grey"), channels=3), grey[..., None].repeat(3, axis=3))


@pytest.mark.parametrize("first", [0, 3, 19], ids=["first", "fourth", "last"])
def test_grey_among_colour_becomes_colour_and_is_noted(tmp_path, folder_of, encode, first):
    x = np.random.Generator(np.random.SFC64(6)).integers(0, 256, (20, 5, 5, 3), dtype=np.uint8)
    lone = x[..., :1].repeat(3, axis=3)
    lone[first] = x[first]  # a single picture has colours
    place = folder_of(tmp_path, [p if i == first else p[..., 0] for i, p in enumerate(lone)])
    source = ImagesSource(path=str(place))
    assert_holds(source, lone)
    assert source.notes == (
        "grey among colour ones, so that they got three equal channels: 19 of 20 pictures",
    )
    assert ImagesSource(path=str(place), channels=3).notes == ()


def test_what_lies_beyond_the_size_decides_nothing(tmp_path, colour):
    x = colour.copy()
    x[:12] = x[:12, ..., :1]
    np.save(tmp_path / "in.npy", x)
    assert_holds(ImagesSource(path=str(tmp_path / "in.npy"), size=12), x[:12, ..., 0])
    assert_holds(ImagesSource(path=str(tmp_path / "in.npy"), size=13), x[:13])


# Damage


def test_a_corrupt_image_is_refused_or_left_out(tmp_path, colour, folder_of, encode):
    folder_of(tmp_path, colour)
    (tmp_path / "labels.csv").write_text("file,label\n" + "\n".join(f"{i:02d}.png,{i}" for i in range(20)))
    whole = (tmp_path / "04.png").read_bytes()
    (tmp_path / "04.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "05.png").write_bytes(b"")
    (tmp_path / "11.png").write_bytes(b"<html>not found</html>")
    with pytest.raises(
        DataError, match=r"04\.png cannot be read: .*; mend or remove it, or set data\.damaged: skip$"
    ):
        ImagesSource(path=str(tmp_path)).train()
    left = np.setdiff1d(np.arange(20), [4, 5, 11])
    source = ImagesSource(path=str(tmp_path), damaged="skip")
    assert_holds(source, colour[left], left)
    assert source.notes[0].startswith(
        f"left out for damage: 3 pictures of {tmp_path}, first {tmp_path}/04.png ("
    )
    ten = ImagesSource(path=str(tmp_path), damaged="skip", size=10)
    assert_holds(ten, colour[left[:10]], left[:10])


@pytest.mark.parametrize(
    ("content", "match"),
    [(b"", "it is empty"), (b"<html>", "no image format is recognised")],
    ids=["empty", "text"],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, colour, folder_of, content, match):
    folder_of(tmp_path, colour)
    (tmp_path / "00.png").write_bytes(content)
    with pytest.raises(DataError, match=f"00.png cannot be read: {match}"):
        ImagesSource(path=str(tmp_path)).train()


def test_a_folder_of_nothing_but_damage(tmp_path):
    for i in range(6):
        (tmp_path / f"{i}.png").write_bytes(b"junk")
    with pytest.raises(DataError, match="holds no picture that can be read"):
        ImagesSource(path=str(tmp_path), damaged="skip").train()


def test_damage_inside_an_archive_names_the_member(tmp_path, colour, encode):
    contents = {f"{i:02d}.png": encode(x) for i, x in enumerate(colour)}
    path = zipped(tmp_path / "in.zip", contents)
    whole = bytearray(path.read_bytes())
    at = whole.index(contents["03.png"]) + 60
    whole[at] ^= 0xFF
    path.write_bytes(whole)
    with pytest.raises(DataError, match=r"03\.png of .*in\.zip cannot be read: Bad CRC-32"):
        ImagesSource(path=str(path)).train()
    left = np.setdiff1d(np.arange(20), [3])
    assert_holds(ImagesSource(path=str(path), damaged="skip"), colour[left])


def test_a_truncated_archive(tmp_path, colour, encode):
    path = zipped(tmp_path / "in.zip", {f"{i:02d}.png": encode(x) for i, x in enumerate(colour)})
    whole = path.read_bytes()
    for cut in (whole[:-10], whole[: len(whole) // 2], b""):
        path.write_bytes(cut)
        with pytest.raises(DataError, match=r"in\.zip is cut off, damaged or not a zip archive"):
            ImagesSource(path=str(path), damaged="skip").train()


def test_an_encrypted_archive(tmp_path, colour, encode):
    path = zipped(tmp_path / "in.zip", {"0.png": encode(colour[0])})
    whole = bytearray(path.read_bytes())
    whole[6] |= 1  # the flag of encryption, in both places where it stands
    whole[whole.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(whole)
    with pytest.raises(DataError, match=r"0\.png of .*in\.zip is encrypted"):
        ImagesSource(path=str(path)).train()


def test_too_few_or_equal_pictures(tmp_path, folder_of, colour):
    with pytest.raises(DataError, match="holds 4 records; at least 5 are needed"):
        ImagesSource(path=str(folder_of(tmp_path / "few", colour[:4]))).train()
    with pytest.raises(DataError, match="all 6 pictures of .* are the same"):
        ImagesSource(path=str(folder_of(tmp_path / "same", colour[[0] * 6]))).train()
    with pytest.raises(DataError, match=r"data\.size is 21 but .* holds 20 records"):
        ImagesSource(path=str(folder_of(tmp_path / "in", colour)), size=21).train()


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"side": 0}, r"data\.side is 0"),
        ({"side": 2.5}, r"data\.side is 2\.5"),
        ({"side": float("nan")}, r"data\.side is nan"),
        ({"side": True}, r"data\.side is True"),
        ({"channels": 2}, r"data\.channels is 2; it must be auto, 1 or 3"),
        ({"channels": True}, r"data\.channels is True"),
        ({"channels": "grey"}, r"data\.channels is 'grey'"),
        ({"tile": "strip"}, r"data\.tile is 'strip'; it must be auto, none or"),
        ({"tile": 0}, r"data\.tile is 0"),
        ({"tile": 1.5}, r"data\.tile is 1\.5"),
        ({"damaged": "ignore"}, r"data\.damaged is 'ignore'; it must be refuse or skip"),
        ({"size": 4}, r"data\.size is 4"),
    ],
)
def test_settings_that_cannot_be(settings, match):
    with pytest.raises(SpecError, match=match):
        ImagesSource(path="in", **settings)


# Legal records


def test_snap_gives_the_nearest_picture(tmp_path, colour, folder_of):
    source = ImagesSource(path=str(folder_of(tmp_path, colour)))
    snapped = source.snap(np.array([[-3.0, 0.49, 0.5, 1.5, 254.6, 255.4, 1e9]]))
    assert snapped.dtype == np.uint8 and snapped.tolist() == [[0, 0, 0, 2, 255, 255, 255]]
    x = colour.reshape(20, -1)
    assert source.snap(x) is x and np.array_equal(source.snap(x + 0.3), x)


# Real data sets


REAL = [
    ("cifar10", {}, (20000, 32, 32, 3), "ba38444c9f23aad32c792265c749a85e7c68ff7dbd72ac9742490da1b805def8"),
    (
        "faces64",
        {"label": "expression"},
        (9934, 64, 64),
        "f2a43b01e07748ac9fb823199b1804c7a64bf0f2139df7169905d4a76c349305",
    ),
    ("olivetti", {}, (400, 64, 64), "a930f7e04cf72764b54438c7acf016ebd7b6184646a55263bd26f740d8320d72"),
]


@pytest.mark.parametrize(
    ("name", "settings", "shape", "checksum"),
    [
        pytest.param(*case, marks=[] if case[0] == "olivetti" else pytest.mark.slow, id=case[0])
        for case in REAL
    ],
)
def test_real_strips_have_their_checksums(real_data, name, settings, shape, checksum):
    source = ImagesSource(path=str(real_data / name), **settings)
    x = source.load().x
    assert x.shape == shape
    assert hashlib.sha256(x.tobytes()).hexdigest() == checksum


@pytest.mark.slow
def test_the_real_expressions_are_counted(real_data):
    source = ImagesSource(path=str(real_data / "faces64"), label="expression", side=8)
    both = np.concatenate([source.train().label, source.reference().label])
    counts = dict(zip(source.classes, np.bincount(both).tolist(), strict=True))
    assert counts == {
        "anger": 183, "contempt": 9, "disgust": 8, "fear": 11, "happiness": 4237, "neutral": 5101, "none": 32,
        "sadness": 88, "surprise": 265,
    }  # fmt: skip
    assert "32 rows of train-labels.csv.gz have no 'expression'" in source.notes[0]
    plain = ImagesSource(path=str(real_data / "faces64"), size=500)
    assert (
        plain.classes is None
        and "set data.label to one of its columns (person_id, expression)" in plain.notes[0]
    )


def test_the_real_mnist_and_emoji(real_data):
    mnist = ImagesSource(path=str(real_data / "mnist"), size=1000)
    assert mnist.shape == (28, 28) and mnist.classes == tuple("0123456789")
    emoji = ImagesSource(path=str(real_data / "emoji"), label="skin_tone", size=200)
    assert emoji.shape == (64, 64, 3) and len(emoji.classes) == 6 and emoji.classes[-1] == "none"


@pytest.mark.slow
def test_the_real_cifake_by_archive(real_data):
    source = ImagesSource(path=str(real_data / "cifake" / "train-real.zip"), size=300)
    assert source.shape == (32, 32, 3)
    assert source.classes == (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    )
    fake = ImagesSource(path=str(real_data / "cifake" / "train-fake.zip"), size=300, label="synthetic")
    assert set(fake.train().label) == {1}
    assert any("no picture of the class '0'" in note for note in fake.notes)


def test_the_limit_of_memory_is_what_the_documentation_says():
    assert pictures.IN_MEMORY == 64 * 2**20
