import gzip
import hashlib
import os
import struct

import numpy as np
import pytest

from autophage.data.mnist import MnistSource, pooled, read_idx
from autophage.errors import DataError, SpecError

REAL = os.environ.get("AUTOPHAGE_DATA")


def idx(array, *, kind=8, shape=None):
    shape = array.shape if shape is None else shape
    return (
        bytes([0, 0, kind, len(shape)])
        + struct.pack(f">{len(shape)}I", *shape)
        + array.astype(np.uint8).tobytes()
    )


@pytest.fixture
def pictures():
    return np.arange(20 * 4 * 6).reshape(20, 4, 6) % 251


@pytest.fixture
def folder(tmp_path, pictures):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(pictures)))
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.arange(20) % 3)))
    return tmp_path


def test_pictures_and_labels(folder, pictures):
    source = MnistSource(path=str(folder))
    train, reference = source.train(), source.reference()
    assert (len(train), len(reference), source.shape, source.dim) == (16, 4, (4, 6), 24)
    assert train.x.dtype == np.float32 and source.value_range == (0, 255)
    assert source.classes == tuple("0123456789")
    for part in (train, reference):
        for x, label in zip(part.x, part.label, strict=True):
            number = next(i for i in range(20) if np.array_equal(pictures[i].ravel(), x))
            assert label == number % 3


def test_plain_files_single_files_and_the_data_folder(folder, pictures, tmp_path_factory, monkeypatch):
    expected = MnistSource(path=str(folder)).train()
    plain = tmp_path_factory.mktemp("plain")
    (plain / "mnist").mkdir()
    (plain / "mnist" / "train-images.idx3-ubyte").write_bytes(idx(pictures))
    (plain / "mnist" / "train-labels.idx1-ubyte").write_bytes(idx(np.arange(20) % 3))
    (plain / "mnist" / "t10k-images.idx3-ubyte").write_bytes(idx(pictures[:5]))
    monkeypatch.setenv("AUTOPHAGE_DATA", str(plain))
    for source in (
        MnistSource(),
        MnistSource(path="mnist"),
        MnistSource(path=folder / "train-images-idx3-ubyte.gz"),
    ):
        assert np.array_equal(source.train().x, expected.x)
        assert np.array_equal(source.train().label, expected.label)


def test_pictures_without_labels(tmp_path, pictures):
    path = tmp_path / "shapes-idx3-ubyte"
    path.write_bytes(idx(pictures))
    source = MnistSource(path=str(path))
    assert source.train().label is None and source.classes is None


def test_a_prefix_is_all_that_is_read(folder, pictures):
    whole = gzip.compress(idx(pictures), mtime=0)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(whole)
    source = MnistSource(path=str(folder), size=10)
    seen = np.concatenate([source.train().x, source.reference().x])
    assert sorted(map(tuple, seen)) == sorted(map(tuple, pictures[:10].reshape(10, -1)))
    with pytest.raises(DataError, match=r"data\.size is 21 but .* holds 20 records"):
        MnistSource(path=str(folder), size=21).train()


def test_pooling(folder, pictures):
    assert np.array_equal(pooled(pictures, 2)[3, 1, 2], pictures[3, 2:4, 4:6].mean(dtype=np.float32))
    source = MnistSource(path=str(folder), pool=2)
    assert source.shape == (2, 3)
    assert source.train().x.mean() == pytest.approx(MnistSource(path=str(folder)).train().x.mean(), rel=1e-6)
    with pytest.raises(SpecError, match=r"data\.pool is 4, which does not divide pictures of 4 x 6"):
        MnistSource(path=str(folder), pool=4).train()
    for wrong in (0, 1.5, True):
        with pytest.raises(SpecError, match=r"data\.pool"):
            MnistSource(pool=wrong)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "is empty"),
        (b"\x00\x00", "does not start with an idx header"),
        (b"hello, world", "does not start with an idx header"),
        (b"\x00\x00\x08\x03\x00\x00", "cut off inside its idx header"),
        (idx(np.ones((20, 4, 6)), kind=13), "type 0x0d"),
        (idx(np.ones(20)), "1 axes where pictures"),
        (idx(np.ones((0, 4, 6))), "holds no records"),
        (idx(np.ones((20, 4, 6)))[:-1], "promises 20 records of 24 bytes, only 19 are there"),
        (idx(np.ones((2, 4, 6)), shape=(2**32 - 1, 2**31, 2**31)), "only 0 are there"),
        (idx(np.ones((20, 4, 6))) + b"x", "holds more than the 20 records"),
        (gzip.compress(idx(np.ones((20, 4, 6))))[:-9], "cut off or damaged"),
        (gzip.compress(idx(np.ones((20, 4, 6))))[:6], "cut off or damaged"),
        (b"\x1f\x8bnot gzip at all", "cut off or damaged"),
        (idx(np.ones((20, 4, 6))), "all 20 records of .* are the same"),
        (idx(np.arange(96).reshape(4, 4, 6)), "holds 4 records; at least 5"),
    ],
)
def test_bad_files_are_refused(tmp_path, content, match):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataError, match=match) as caught:
        MnistSource(path=str(path)).train()
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_labels_must_fit(folder):
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.arange(19))))
    with pytest.raises(DataError, match="holds 19 labels for the 20 pictures"):
        MnistSource(path=str(folder)).train()


def test_missing_places(tmp_path, monkeypatch):
    monkeypatch.delenv("AUTOPHAGE_DATA", raising=False)
    with pytest.raises(
        DataError, match=r"set data\.path to its place, or the environment variable AUTOPHAGE_DATA"
    ):
        MnistSource().train()
    with pytest.raises(DataError, match="there is no file"):
        MnistSource(path=str(tmp_path / "nowhere")).train()
    with pytest.raises(DataError, match="holds no idx pictures"):
        MnistSource(path=str(tmp_path)).train()
    monkeypatch.setenv("AUTOPHAGE_DATA", str(tmp_path))
    with pytest.raises(DataError, match="AUTOPHAGE_DATA to the folder that holds mnist"):
        MnistSource().train()
    for split in "ab":
        (tmp_path / f"{split}-images-idx3-ubyte").write_bytes(idx(np.zeros((5, 2, 2))))
    with pytest.raises(DataError, match=r"several files of idx pictures; set data\.path"):
        MnistSource(path=str(tmp_path)).train()


@pytest.mark.skipif(not REAL, reason="AUTOPHAGE_DATA is not set")
def test_the_real_mnist():
    source = MnistSource(size=2000)
    assert (source.shape, len(source.train()), len(source.reference())) == ((28, 28), 1600, 400)
    x, label = source.train(), source.reference()
    distance = (label.x**2).sum(1)[:, None] - 2 * label.x @ x.x.T + (x.x**2).sum(1)
    assert (x.label[distance.argmin(1)] == label.label).mean() > 0.8


@pytest.mark.slow
@pytest.mark.skipif(not REAL, reason="AUTOPHAGE_DATA is not set")
def test_all_of_the_real_mnist():
    from autophage.data.files import locate

    labels = read_idx(locate("mnist") / "train-labels-idx1-ubyte.gz", axes=1)
    assert np.bincount(labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    pictures = read_idx(locate("mnist") / "train-images-idx3-ubyte.gz", axes=3)
    # The checksum of the original file without its header's 16 bytes would need them back: put them in front.
    header = bytes([0, 0, 8, 3]) + struct.pack(">3I", 60000, 28, 28)
    assert hashlib.md5(header + pictures.tobytes()).hexdigest() == "6bbc9ace898e44ae57da46a324031adb"
    assert len(MnistSource(pool=2).train()) == 48000
