"""CIFAR-10 in every form, and pickles that want more than to be read."""

import gzip
import hashlib
import os
import pickle
import struct

import numpy as np
import pytest

from autophage.data.cifar10 import Cifar10Source
from autophage.data.cifar10_batches import CLASSES, read_python
from autophage.data.images import ImagesSource
from autophage.data.paths import kind_for_path
from autophage.errors import DataError


@pytest.fixture(scope="module")
def x():
    """(15, 32, 32, 3): five batches of three."""
    return np.random.Generator(np.random.SFC64(10)).integers(0, 256, (15, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def label():
    return np.arange(15) * 3 % 10


def planes(x):
    return np.ascontiguousarray(np.moveaxis(x, 3, 1)).reshape(len(x), -1)


def python_batches(place, x, label, protocol=2, text=False):
    """Batches as the authors' archive has them; `text`: keys and lists as python 3 writes them."""
    place.mkdir(parents=True, exist_ok=True)
    for i in range(5):
        rows = slice(3 * i, 3 * i + 3)
        batch = {b"batch_label": b"training batch", b"labels": label[rows].tolist(), b"data": planes(x[rows])}
        batch[b"filenames"] = [b"a.png"] * 3
        if text:
            batch = {k.decode(): v for k, v in batch.items()}
        (place / f"data_batch_{i + 1}").write_bytes(pickle.dumps(batch, protocol=protocol))
    (place / "test_batch").write_bytes(b"left alone")
    (place / "batches.meta").write_bytes(b"left alone")


def assert_holds(source, x, label):
    found = source.load()
    assert np.array_equal(found.x, x) and found.x.dtype == np.uint8 and np.array_equal(found.label, label)
    assert source.classes == CLASSES and source.shape == (32, 32, 3)
    assert len(source.train()) == 12 and len(source.reference()) == 3


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_python_batches(tmp_path, x, label, protocol):
    python_batches(tmp_path / "cifar-10-batches-py", x, label, protocol, text=protocol % 2 == 1)
    assert_holds(Cifar10Source(path=str(tmp_path)), x, label)
    assert_holds(Cifar10Source(path=str(tmp_path / "cifar-10-batches-py")), x, label)
    assert kind_for_path(tmp_path) == "cifar10"


def test_a_batch_as_python_2_wrote_it(tmp_path, x, label):
    """The opcodes of the authors' files, byte by byte: text of eight bits everywhere, numpy.core's names."""
    data = planes(x[:3])

    def short(text):
        return b"U" + bytes([len(text)]) + text

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + b"(K\x00t" + short(b"b") + b"\x87R"
        + b"(K\x01" + b"K\x03M\x00\x0c\x86" + b"cnumpy\ndtype\n" + short(b"u1") + b"K\x00K\x01\x87R"
        + b"(K\x03" + short(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + b"\x89T" + struct.pack("<i", data.nbytes) + data.tobytes() + b"tb"
    )  # fmt: skip
    codes = b"](" + b"".join(b"K" + bytes([c]) for c in label[:3]) + b"e"
    content = b"\x80\x02}(" + short(b"data") + array + short(b"labels") + codes + b"u."
    (tmp_path / "data_batch_1").write_bytes(content)
    assert pickle.loads(content, encoding="bytes")[b"labels"] == label[:3].tolist()
    got, codes = read_python(tmp_path / "data_batch_1")
    assert np.array_equal(got, data) and np.array_equal(codes, label[:3])


def test_binary_batches(tmp_path, x, label):
    place = tmp_path / "cifar-10-batches-bin"
    place.mkdir()
    rows = np.concatenate([label[:, None].astype(np.uint8), planes(x)], axis=1)
    for i in range(5):
        (place / f"data_batch_{i + 1}.bin").write_bytes(rows[3 * i : 3 * i + 3].tobytes())
    assert_holds(Cifar10Source(path=str(tmp_path)), x, label)
    assert kind_for_path(place) == "cifar10"
    (place / "data_batch_5.bin").unlink()
    source = Cifar10Source(path=str(place))
    assert (
        len(source.train()) == 10 and f"4 of CIFAR-10's five training batches are in {place}" in source.notes
    )
    (place / "data_batch_3.bin").write_bytes(rows[6:9].tobytes()[:-1])
    with pytest.raises(DataError, match="data_batch_3.bin is cut off or no CIFAR-10 batch: 9,218 bytes"):
        Cifar10Source(path=str(tmp_path)).train()
    (place / "data_batch_3.bin").write_bytes(b"\x0b" + rows[6].tobytes()[1:])
    with pytest.raises(DataError, match="holds the label 11; those of CIFAR-10 are 0 to 9"):
        Cifar10Source(path=str(tmp_path)).train()


def test_the_hubs_parquet(tmp_path, x, label, encode):
    pl = pytest.importorskip("polars")
    column = [{"bytes": encode(picture), "path": None} for picture in x]
    (tmp_path / "plain_text").mkdir()
    frame = pl.DataFrame({"img": column, "label": label})
    frame.write_parquet(tmp_path / "plain_text" / "train-00000-of-00001.parquet")
    frame[:5].write_parquet(tmp_path / "plain_text" / "test-00000-of-00001.parquet")
    assert_holds(Cifar10Source(path=str(tmp_path)), x, label)


def test_strips_with_a_table(tmp_path, x, label, encode, monkeypatch):
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "cifar10" / "train-000.webp").write_bytes(encode(x.reshape(-1, 32, 3), "WEBP", lossless=True))
    rows = ["index,label,class", *(f"{i},{c},{CLASSES[c]}" for i, c in enumerate(label))]
    (tmp_path / "cifar10" / "train-labels.csv.gz").write_bytes(gzip.compress("\n".join(rows).encode()))
    monkeypatch.setenv("AUTOPHAGE_DATA", str(tmp_path))
    assert_holds(Cifar10Source(), x, label)
    assert Cifar10Source(side=8).shape == (8, 8, 3) and Cifar10Source(channels=1).shape == (32, 32)
    assert len(Cifar10Source(size=10).train()) == 8


def test_folders_of_classes_keep_the_official_codes(tmp_path, x, label, folder_of):
    for i, picture in enumerate(x):
        if label[i] != 0:  # no airplane at all
            folder_of(tmp_path / CLASSES[label[i]], [picture], f"{i}.png")
    source = Cifar10Source(path=str(tmp_path))
    assert source.classes == CLASSES
    codes = {
        row.tobytes(): c
        for part in (source.train(), source.reference())
        for row, c in zip(part.x, part.label, strict=True)
    }
    assert all(codes[x[i].tobytes()] == label[i] for i in range(15) if label[i] != 0)
    assert any("no picture of the class" in note and "'airplane'" in note for note in source.notes)
    folder_of(tmp_path / "lorry", x[:1])
    with pytest.raises(
        DataError, match="holds the label lorry; those of CIFAR-10 are 0 to 9, or airplane to truck"
    ):
        Cifar10Source(path=str(tmp_path)).train()


def test_pictures_without_labels_are_not_cifar10(tmp_path, x, folder_of):
    with pytest.raises(DataError, match="has no labels beside its pictures"):
        Cifar10Source(path=str(folder_of(tmp_path, x))).train()


def test_the_place_is_asked_for(monkeypatch):
    monkeypatch.delenv("AUTOPHAGE_DATA", raising=False)
    with pytest.raises(DataError, match=r"it is not known where cifar10 lies: set data\.path"):
        Cifar10Source().train()


# Pickles that want more


class Evil:
    """What a malicious file holds: something to call when it is read."""

    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


def payloads(mark):
    command = f"touch {mark}"
    yield "system", pickle.dumps({b"data": Evil(os.system, command), b"labels": []})
    yield "eval", pickle.dumps(Evil(eval, f"open({str(mark)!r}, 'w')"))
    yield "getattr", pickle.dumps(Evil(getattr, "", "join"))
    yield "numpy-load", b"\x80\x02cnumpy\nload\nX\x01\x00\x00\x00a\x85R."
    yield "numpy-submodule", b"\x80\x02cnumpy.testing._private.utils\nrunstring\n."
    yield "dotted", b"\x80\x04\x8c\x05numpy\x8c\x0dndarray.tofile\x93."
    yield "instance", b"(S'" + command.encode() + b"'\nios\nsystem\n."
    yield "persistent", b"Psomewhere\n."
    # attributes set on what is allowed: on the stand-ins for numpy's names, and through their state
    yield "build-on-a-name", b"\x80\x02cnumpy\ndtype\n}X\x05\x00\x00\x00_callK\x01sb."
    yield "slots-on-a-name", b"\x80\x02cnumpy\ndtype\nN}X\x05\x00\x00\x00_callK\x01s\x86b."
    yield "codecs", b"\x80\x02c_codecs\nencode\nX\x03\x00\x00\x00abcX\x05\x00\x00\x00rot13\x86R."
    yield "objects", pickle.dumps({b"data": np.array([[None] * 3072]), b"labels": [1]}, protocol=2)


@pytest.mark.parametrize("name", [name for name, _ in payloads("")])
def test_a_malicious_pickle_is_refused(tmp_path, name):
    mark = tmp_path / "mark"
    content = dict(payloads(mark))[name]
    (tmp_path / "data_batch_1").write_bytes(content)
    with pytest.raises(
        DataError, match="data_batch_1 is (not read: it asks for|cut off, damaged or no)"
    ) as caught:
        Cifar10Source(path=str(tmp_path)).train()
    assert not mark.exists() and "\n" not in str(caught.value)


def test_a_refusal_leaves_nothing_behind(tmp_path, x, label):
    for name, content in payloads(tmp_path / "mark"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError):
            read_python(tmp_path / name)
    python_batches(tmp_path / "good", x, label)
    assert_holds(Cifar10Source(path=str(tmp_path / "good")), x, label)


def test_the_refusal_names_what_was_asked_for(tmp_path):
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(Evil(os.system, "true")))
    with pytest.raises(DataError, match=r"it asks for (posix|nt)\.system, which plain data have no use for"):
        Cifar10Source(path=str(tmp_path)).train()


@pytest.mark.parametrize(
    "held",
    [
        [1, 2],
        {},
        {b"data": np.zeros((2, 3072), np.uint8)},
        {b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]},
        {b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, "2"]},
        {b"data": np.zeros((2, 30), np.uint8), b"labels": [1, 2]},
        {b"data": np.zeros((2, 3072)), b"labels": [1, 2]},
        {b"data": "text", b"labels": [1, 2]},
        {b"data": np.zeros((1, 3072), np.uint8), b"labels": [10]},
        {b"data": np.zeros((1, 3072), np.uint8), b"labels": [-1]},
    ],
    ids=[
        "list",
        "empty",
        "no-labels",
        "too-few",
        "text-label",
        "narrow",
        "floats",
        "text",
        "eleventh",
        "negative",
    ],
)
def test_other_plain_data_are_no_batch(tmp_path, held):
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(held, protocol=2))
    with pytest.raises(
        DataError, match="data_batch_1 (is no CIFAR-10 batch|is cut off, damaged or no|holds the label)"
    ):
        Cifar10Source(path=str(tmp_path)).train()


def test_cut_pickles(tmp_path, x, label):
    python_batches(tmp_path, x, label)
    whole = (tmp_path / "data_batch_1").read_bytes()
    for cut in (1, 10, 200, len(whole) - 1):
        (tmp_path / "data_batch_1").write_bytes(whole[:cut])
        with pytest.raises(DataError, match="data_batch_1 is cut off, damaged"):
            Cifar10Source(path=str(tmp_path)).train()
    (tmp_path / "data_batch_1").write_bytes(b"")
    with pytest.raises(DataError, match="data_batch_1 is empty"):
        Cifar10Source(path=str(tmp_path)).train()


# The real pictures


def test_the_real_cifar10(real_data, monkeypatch):
    monkeypatch.setenv("AUTOPHAGE_DATA", str(real_data))
    source = Cifar10Source(size=1000)
    assert (source.shape, source.dim, len(source.train())) == ((32, 32, 3), 3072, 800)
    assert source.classes == CLASSES and source.notes == ()


@pytest.mark.slow
def test_the_real_cifar10_has_its_checksums(real_data, monkeypatch):
    monkeypatch.setenv("AUTOPHAGE_DATA", str(real_data))
    found = Cifar10Source().load()
    pixels = "ba38444c9f23aad32c792265c749a85e7c68ff7dbd72ac9742490da1b805def8"
    labels = "948fcec477d1e44f6fb39c1e221ea79aac1b2744d6600cbf18ed68349c1c2dde"
    assert hashlib.sha256(found.x.tobytes()).hexdigest() == pixels
    assert hashlib.sha256(found.label.astype(np.uint8).tobytes()).hexdigest() == labels
    assert np.bincount(found.label).tolist() == [2030, 2016, 2004, 1963, 2027, 1964, 1962, 2010, 1998, 2026]
    plain = ImagesSource(path="cifar10")
    assert plain.classes == CLASSES and np.array_equal(plain.load().label, found.label)
