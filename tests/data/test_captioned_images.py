"""Pictures with captions: every form they come in, on files that the tests write; what is missing is counted or refused."""

import gzip
import io
import json
import tarfile
import zipfile

import numpy as np
import polars as pl
import pytest

from autophage import laws
from autophage.data import pictures
from autophage.data.captioned_images import CaptionedImagesSource
from autophage.data.source import split_rows
from autophage.errors import DataError, SpecError

WORDS = ("red", "green", "blue", "grey")


def say(i):
    return f"picture {i} is {WORDS[i % 4]}"


def several(i):
    return [say(i), *(f"view {j} of {i}" for j in range(i % 3))]


def whole(source):
    """Pictures and captions in the order in which they were found."""
    parts = (source.train(), source.reference())
    order = np.argsort(np.concatenate(split_rows(sum(map(len, parts)))))
    return (np.concatenate([p.x for p in parts])[order], np.concatenate([p.caption for p in parts])[order])


def every(source, count):
    """All captions of the held-out pictures, by the pictures' numbers."""
    return dict(zip(split_rows(count)[1].tolist(), source.references, strict=True))


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def coco(count, texts, folder=""):
    return json.dumps(
        {
            "images": [{"id": 100 + i, "file_name": f"{folder}{i:02d}.png"} for i in reversed(range(count))],
            "annotations": [
                {"id": 7 * i + j, "image_id": 100 + i, "caption": text}
                for i in range(count)
                for j, text in enumerate(texts(i))
            ],
        }
    )


LISTS = {
    "captions.csv": lambda n: (
        "file,caption\n" + "".join(f'{i:02d}.png,"{say(i)}"\n' for i in reversed(range(n)))
    ),
    "captions.csv.gz": lambda n: "caption,file\n" + "".join(f"{say(i)},{i:02d}.png\n" for i in range(n)),
    "metadata.csv": lambda n: "file_name,text\n" + "".join(f"{i:02d}.png,{say(i)}\n" for i in range(n)),
    "captions.tsv": lambda n: "image\tcaption\n" + "".join(f"{i:02d}\t{say(i)}\n" for i in range(n)),
    "metadata.jsonl": lambda n: "".join(
        json.dumps({"file_name": f"{i:02d}.png", "text": say(i)}) + "\n" for i in range(n)
    ),
    "captions_train2017.json": lambda n: coco(n, lambda i: [say(i)]),
    "annotations/captions_train2017.json": lambda n: coco(n, lambda i: [say(i)]),
    "Flickr8k.token.txt": lambda n: "".join(f"{i:02d}.png#0\t{say(i)}\n" for i in range(n)),
    "captions.txt": lambda n: "image,caption\n" + "".join(f"{i:02d}.png,{say(i)}\n" for i in range(n)),
    "results.csv": lambda n: (
        "image_name| comment_number| comment\n" + "".join(f"{i:02d}.png| 0| {say(i)}\n" for i in range(n))
    ),
}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("held", ["folder", "zip"])
def test_lists_of_captions(name, held, tmp_path, folder_of, encode, colour):
    if held == "folder":
        place = folder_of(tmp_path / "set", colour)
        write(place / name, LISTS[name](20))
    else:
        place = tmp_path / "pictures.zip"
        with zipfile.ZipFile(place, "w") as archive:
            for i, picture in enumerate(colour):
                archive.writestr(f"{i:02d}.png", encode(picture))
        write(tmp_path / name, LISTS[name](20))
    source = CaptionedImagesSource(path=str(place))
    x, captions = whole(source)
    assert np.array_equal(x.reshape(20, 6, 5, 3), colour)
    assert captions.tolist() == [say(i) for i in range(20)]
    assert source.notes == () and source.references == tuple((c,) for c in source.reference().caption)


def test_sidecars_and_lists_inside_an_archive(tmp_path, folder_of, encode, colour):
    place = folder_of(tmp_path / "sidecars", colour)
    for i in range(20):
        write(place / f"{i:02d}.txt", say(i).replace(" is", "\n  is") + "\n")
    assert whole(CaptionedImagesSource(path=str(place)))[1].tolist() == [say(i) for i in range(20)]
    place = tmp_path / "only" / "all.zip"
    place.parent.mkdir()
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("set/captions.csv", LISTS["captions.csv"](20))
        for i, picture in enumerate(colour):
            archive.writestr(f"set/img/{i:02d}.png", encode(picture))
    x, captions = whole(CaptionedImagesSource(path=str(place)))
    assert np.array_equal(x.reshape(20, 6, 5, 3), colour) and captions.tolist() == [say(i) for i in range(20)]
    # A folder that holds nothing but an archive is that archive.
    assert np.array_equal(whole(CaptionedImagesSource(path=str(tmp_path / "only")))[1], captions)


def shard(path, rows, encode, texts, form):
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for i, picture in rows:
            told = json.dumps({"caption": texts(i)}) if form == "json" else texts(i)[0]
            for ending, content in (("png", encode(picture)), (form, told.encode()), ("cls", b"3")):
                about = tarfile.TarInfo(f"part/{i:04d}.{ending}")
                about.size = len(content)
                archive.addfile(about, io.BytesIO(content))


@pytest.mark.parametrize("form", ["txt", "json"])
def test_webdataset_shards(form, tmp_path, encode, colour):
    rows = list(enumerate(colour))
    shard(tmp_path / "a-000.tar", rows[:12], encode, several, form)
    shard(tmp_path / "a-001.tar", rows[12:], encode, several, form)
    source = CaptionedImagesSource(path=str(tmp_path))
    x, captions = whole(source)
    assert np.array_equal(x.reshape(20, 6, 5, 3), colour)
    if form == "txt":
        assert captions.tolist() == [say(i) for i in range(20)]
    else:
        assert (
            all(c in several(i) for i, c in enumerate(captions))
            and len({c.split()[0] for c in captions}) == 2
        )
        assert {i: list(r) for i, r in every(source, 20).items()} == {
            i: several(i) for i in split_rows(20)[1]
        }
    shard(tmp_path / "b.tar.gz", rows, encode, several, form)
    assert np.array_equal(whole(CaptionedImagesSource(path=str(tmp_path / "b.tar.gz")))[0], x)


@pytest.mark.parametrize("column", ["caption", "sentences"])
def test_parquet(column, tmp_path, encode, colour):
    texts = [say(i) if column == "caption" else several(i) for i in range(20)]
    frame = pl.DataFrame({"image": [{"bytes": encode(x), "path": None} for x in colour], column: texts})
    frame[:15].write_parquet(tmp_path / "train-0.parquet")
    frame[15:].write_parquet(tmp_path / "train-1.parquet")
    source = CaptionedImagesSource(path=str(tmp_path))
    x, captions = whole(source)
    assert np.array_equal(x.reshape(20, 6, 5, 3), colour)
    assert all(c in several(i) for i, c in enumerate(captions))
    if column == "sentences":
        assert all(list(r) == several(i) for i, r in every(source, 20).items())


def test_one_of_several_captions_is_chosen_at_random_for_ever(tmp_path, folder_of):
    draw = np.random.Generator(np.random.SFC64(5))
    place = folder_of(tmp_path / "set", draw.integers(0, 256, (300, 4, 4, 3), dtype=np.uint8), "{:03d}.png")
    texts = "".join(f"{i:03d}.png#{j}\tcaption {'abcde'[j]} of {i}\n" for i in range(300) for j in range(5))
    write(place / "results_20130124.token", texts)
    source = CaptionedImagesSource(path=str(place))
    _, captions = whole(source)
    chosen = np.array(["abcde".index(c.split()[1]) for c in captions])
    counts = np.bincount(chosen, minlength=5)
    assert (np.abs(counts - 60) < 5 * np.sqrt(300 * 0.2 * 0.8)).all()
    assert all(
        len(r) == 5 and c in r for r, c in zip(source.references, source.reference().caption, strict=True)
    )
    # The choice depends neither on the run nor on how many pictures are used.
    fewer = CaptionedImagesSource(path=str(place), size=100)
    assert np.array_equal(whole(fewer)[1], captions[:100])


def test_what_was_decoded_is_kept_with_its_captions(tmp_path, folder_of, colour, monkeypatch):
    monkeypatch.setattr(pictures, "IN_MEMORY", 300)
    place = folder_of(tmp_path / "set", colour)
    write(place / "captions.json", coco(20, several))
    settings = {"path": str(place), "cache": str(tmp_path / "cache"), "side": 5, "channels": 1}
    first = CaptionedImagesSource(**settings)
    x, captions = whole(first)
    assert len(list((tmp_path / "cache").glob("*/train_caption.npy"))) == 1

    def never(*_):
        raise AssertionError("decoded again")

    monkeypatch.setattr(CaptionedImagesSource, "_decoded", never)
    again = CaptionedImagesSource(**settings)
    assert isinstance(again.train().fields["x"], np.memmap)
    assert np.array_equal(whole(again)[0], x) and np.array_equal(whole(again)[1], captions)
    assert again.references == first.references and again.notes == first.notes and again.shape == (5, 5)
    # Captions that change are another set.
    write(place / "captions.json", coco(20, lambda i: [say(i) + " now"]))
    with pytest.raises(AssertionError, match="decoded again"):
        CaptionedImagesSource(**settings).train()


def test_what_has_no_partner_is_counted(tmp_path, folder_of, colour):
    place = folder_of(tmp_path / "set", colour)
    rows = [f"{i:02d}.png,{say(i)}" for i in range(17)] + [
        "03.png,second view",
        "04.png,--",
        "18.png,?",
        "99.png,gone",
    ]
    write(place / "captions.csv", "file,caption\n" + "\n".join(rows) + "\n")
    source = CaptionedImagesSource(path=str(place))
    x, captions = whole(source)
    assert len(x) == 17 and np.array_equal(x.reshape(17, 6, 5, 3), colour[:17])
    assert captions[4] == say(4) and captions[3] in (say(3), "second view")
    assert source.notes == (
        "2 captions without a word were left out",
        "1 picture that captions.csv has captions for is not there, first 99.png",
        "3 pictures without a caption left out, first 17.png",
    )


def test_damaged_pictures_take_their_captions_with_them(tmp_path, folder_of, colour):
    place = folder_of(tmp_path / "set", colour)
    write(place / "captions.csv", LISTS["captions.csv"](20))
    (place / "05.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"05\.png cannot be read"):
        CaptionedImagesSource(path=str(place)).train()
    source = CaptionedImagesSource(path=str(place), damaged="skip")
    assert whole(source)[1].tolist() == [say(i) for i in range(20) if i != 5]
    assert "left out for damage: 1 picture" in source.notes[0]


def test_budgets_cut_captions(tmp_path, folder_of, colour):
    place = folder_of(tmp_path / "set", colour)
    write(place / "captions.csv", LISTS["captions.csv"](20))
    source = CaptionedImagesSource(path=str(place), budget=2)
    assert whole(source)[1].tolist() == [f"picture {i}" for i in range(20)]
    assert source.references == tuple((c,) for c in source.reference().caption)
    laws.source(source)
    with pytest.raises(DataError, match=r"all 20 captions of .*set are 'picture'; two different ones"):
        CaptionedImagesSource(path=str(place), budget=1).train()
    with pytest.raises(SpecError, match=r"data\.budget is 0"):
        CaptionedImagesSource(path=str(place), budget=0)


def test_names_with_folders_and_the_choice_of_a_file(tmp_path, folder_of, colour):
    for part in range(2):
        folder_of(tmp_path / "set" / f"part{part}", colour[part * 10 : part * 10 + 10])
    rows = "".join(f"part{i // 10}/{i % 10:02d}.png,{say(i)},{say(19 - i)}\n" for i in range(20))
    write(tmp_path / "set" / "captions.csv", "file,caption,other\n" + rows)
    source = CaptionedImagesSource(path=str(tmp_path / "set"))
    assert whole(source)[1].tolist() == [say(i) for i in range(20)]
    other = CaptionedImagesSource(path=str(tmp_path / "set"), column="other")
    assert whole(other)[1].tolist() == [say(19 - i) for i in range(20)]
    write(
        tmp_path / "set" / "my words.csv",
        "file,caption\n" + rows.replace(",picture", ",drawing").replace(",other", ""),
    )
    write(
        tmp_path / "set" / "mine.tsv",
        "file\tcaption\n" + "".join(f"part{i // 10}/{i % 10:02d}.png\tn {i}\n" for i in range(20)),
    )
    mine = CaptionedImagesSource(path=str(tmp_path / "set"), captions="mine.tsv")
    assert whole(mine)[1].tolist() == [f"n {i}" for i in range(20)]
    write(tmp_path / "set" / "captions.csv", "file,caption\n00.png,one\n")
    with pytest.raises(
        DataError, match=r"'00\.png' of .*captions\.csv fits several pictures .*with their folders"
    ):
        CaptionedImagesSource(path=str(tmp_path / "set")).train()


BROKEN = {
    "no captions": ({}, r"has pictures but no file of captions"),
    "two files": (
        {"captions.csv": "file,caption\n", "captions.tsv": "file\tcaption\n"},
        r"captions\.csv and captions\.tsv both look like captions; set data\.captions",
    ),
    "strangers": (
        {"captions.csv": "file,caption\na.png,x\nb.png,y\n"},
        r"no caption of .* fits a picture of .*'a\.png'",
    ),
    "no words": ({"captions.csv": "file,caption\n00.png,--\n"}, r"no caption of .* fits a picture"),
    "columns": ({"captions.csv": "a,b\n1,2\n"}, r"needs a column of files .* its columns are a, b"),
    "no rows": ({"captions.csv": "file,caption\n"}, r"holds no rows"),
    "not coco": ({"captions.json": "[1]"}, r"no JSON of captions as COCO has it"),
    "half json": ({"captions.json": '{"images": ['}, r"no JSON of captions as COCO has it"),
    "lost image": (
        {"captions.json": '{"images": [], "annotations": [{"image_id": 3, "caption": "x"}]}'},
        r"a caption for the image 3, which is not among its images",
    ),
    "lines": ({"captions.txt": "00.png,a dog\nnothing\n"}, r"line 2 of .*captions\.txt is 'nothing'"),
    "jsonl": (
        {"metadata.jsonl": '{"file_name": "00.png"}\n'},
        r"line 1 of .*metadata\.jsonl is no JSON object",
    ),
    "latin": ({"captions.txt": "00.png,caf\xe9".encode("latin-1")}, r"is not UTF-8"),
}
"""What is wrong, by name: files to write beside the pictures, and the refusal."""


@pytest.mark.parametrize("what", BROKEN)
def test_lists_that_do_not_fit_are_refused(what, tmp_path, folder_of, colour):
    place = folder_of(tmp_path / "set", colour)
    files, match = BROKEN[what]
    for name, text in files.items():
        write(place / name, text)
    with pytest.raises(DataError, match=match):
        CaptionedImagesSource(path=str(place)).train()


def test_archives_and_tables_that_do_not_fit_are_refused(tmp_path, encode, colour):
    def refused(path, match, **settings):
        with pytest.raises((DataError, SpecError), match=match):
            CaptionedImagesSource(path=str(path), **settings).train()

    rows = list(enumerate(colour))
    shard(tmp_path / "whole.tar", rows, encode, several, "txt")
    (tmp_path / "cut.tar").write_bytes((tmp_path / "whole.tar").read_bytes()[:3000])
    refused(tmp_path / "cut.tar", r"cut\.tar is cut off, damaged or not a tar archive")
    (tmp_path / "no.tar").write_bytes(b"nothing" * 300)
    refused(tmp_path / "no.tar", r"no\.tar is cut off, damaged or not a tar archive")
    shard(tmp_path / "mute.tar", rows, encode, lambda i: ["..."], "txt")
    refused(tmp_path / "mute.tar", r"none of the 20 pictures of .* has a caption")
    frame = pl.DataFrame({"image": [encode(x) for x in colour], "words": [say(i) for i in range(20)]})
    frame.write_parquet(tmp_path / "t.parquet")
    refused(
        tmp_path / "t.parquet",
        r"has no column of captions .* set data\.column to one of its columns: image, words",
    )
    refused(tmp_path / "t.parquet", r"data\.column names 'word', which is no column", column="word")
    assert whole(CaptionedImagesSource(path=str(tmp_path / "t.parquet"), column="words"))[1][3] == say(3)
    frame.with_columns(caption=pl.lit(3)).write_parquet(tmp_path / "n.parquet")
    refused(tmp_path / "n.parquet", r"column 'caption' of .* holds Int32, which are no captions")
    with zipfile.ZipFile(tmp_path / "alone.zip", "w") as archive:
        archive.writestr("0.png", encode(colour[0]))
    refused(tmp_path / "alone.zip", r"alone\.zip has pictures but no file of captions")
    refused(tmp_path / "alone.zip", r"there is no file gone\.csv", captions="gone.csv")
    (tmp_path / "x.bin").write_bytes(b"x")
    refused(tmp_path / "x.bin", r"it is not known how .*x\.bin holds pictures with captions")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", r"empty holds no pictures")


def test_the_emoji_of_the_data_folder(real_data):
    if not (real_data / "emoji" / "images.zip").exists():
        pytest.skip("the data folder holds no emoji")
    source = CaptionedImagesSource(path="emoji", side=16, size=400)
    assert len(source.train()) == 320 and source.shape == (16, 16, 3) and source.notes == ()
    x, captions = whole(source)
    assert captions[:3].tolist() == ["number sign", "keycap #", "asterisk"] and len(np.unique(captions)) > 390
    assert len(np.unique(x, axis=0)) > 390
