"""Large sets: decoded once, mapped from disk, never twice in memory."""

import gc
import os
import pickle
import shutil
import threading
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from autophage.data import kept, pictures, spool
from autophage.data.images import ImagesSource
from autophage.data.source import split_rows
from autophage.data.spool import Spool
from autophage.errors import DataError

MIB = 1 << 20


@pytest.fixture
def small(monkeypatch):
    """Every set is too large for memory."""
    monkeypatch.setattr(pictures, "IN_MEMORY", 100)


def entries(cache):
    return sorted(p.name for p in cache.iterdir() if not p.name.startswith("."))


def test_a_large_set_is_mapped(tmp_path, colour, folder_of, small):
    folder_of(tmp_path / "a", colour[:10])
    folder_of(tmp_path / "b", colour[10:])
    settings = {"path": str(tmp_path), "cache": str(tmp_path / "cache")}
    plain = ImagesSource(**{**settings, "cache": "none"})
    for _ in range(2):  # decoded, then found
        source = ImagesSource(**settings)
        for part, theirs in ((source.train(), plain.train()), (source.reference(), plain.reference())):
            assert isinstance(part.fields["x"], np.memmap) and not part.fields["x"].flags.writeable
            assert np.array_equal(part.x, theirs.x) and np.array_equal(part.label, theirs.label)
            assert part.x.dtype == np.uint8 and part.label.dtype == np.int64
        assert (source.shape, source.classes, source.notes) == (plain.shape, plain.classes, plain.notes)
    (entry,) = entries(tmp_path / "cache")
    held = sorted(p.name for p in (tmp_path / "cache" / entry).iterdir())
    assert held == ["about.json", "reference.npy", "reference_label.npy", "train.npy", "train_label.npy"]
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [entry]


def test_a_small_set_touches_no_cache(tmp_path, colour, folder_of):
    folder_of(tmp_path / "in", colour)
    ImagesSource(path=str(tmp_path / "in"), cache=str(tmp_path / "cache")).train()
    assert entries(tmp_path / "cache") == []


def test_the_usual_folder(tmp_path, colour, folder_of, small, monkeypatch):
    folder_of(tmp_path / "in", colour)
    monkeypatch.setenv("AUTOPHAGE_CACHE", str(tmp_path / "named"))
    ImagesSource(path=str(tmp_path / "in")).train()
    assert len(entries(tmp_path / "named")) == 1
    monkeypatch.delenv("AUTOPHAGE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert kept.usual_folder() == tmp_path / "xdg" / "autophage"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert kept.usual_folder() == tmp_path / "home" / ".cache" / "autophage"


def test_what_was_decoded_is_used_until_something_changes(
    tmp_path, colour, folder_of, small, encode, monkeypatch
):
    folder_of(tmp_path / "in", colour)
    settings = {"path": str(tmp_path / "in"), "cache": str(tmp_path / "cache")}
    ImagesSource(**settings).train()
    with monkeypatch.context() as patch:
        patch.setattr(pictures.PictureSource, "_decoded", None)  # would fail if anything were decoded
        ImagesSource(**settings).train()
    other = 255 - colour[7]
    (tmp_path / "in" / "07.png").write_bytes(encode(other))
    os.utime(tmp_path / "in" / "07.png", ns=(1, 1))
    found = ImagesSource(**settings)
    x = np.concatenate([found.train().x, found.reference().x])
    assert (x == other.ravel()).all(axis=1).any() and not (x == colour[7].ravel()).all(axis=1).any()
    for i, more in enumerate(
        ({"side": 4}, {"size": 10}, {"channels": 1}, {"label": "none"}, {"damaged": "skip"})
    ):
        ImagesSource(**settings, **more).train()
        assert len(entries(tmp_path / "cache")) == 3 + i
    (tmp_path / "in" / "labels.csv").write_text(
        "file,label\n" + "\n".join(f"{i:02d}.png,{i % 2}" for i in range(20))
    )
    assert ImagesSource(**settings).classes == ("0", "1")


@pytest.mark.parametrize("damage", ["gone", "cut", "junk"])
def test_a_broken_entry_is_made_again(tmp_path, colour, folder_of, small, damage):
    folder_of(tmp_path / "in", colour)
    settings = {"path": str(tmp_path / "in"), "cache": str(tmp_path / "cache")}
    expected = np.array(ImagesSource(**settings).train().x)
    (entry,) = entries(tmp_path / "cache")
    file = tmp_path / "cache" / entry / "train.npy"
    if damage == "gone":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-50])
    else:
        (file.parent / "about.json").write_text("{")
    source = ImagesSource(**settings)
    assert isinstance(source.train().fields["x"], np.memmap) and np.array_equal(source.train().x, expected)
    assert entries(tmp_path / "cache") == [entry]


def test_two_that_decode_at_once_agree(tmp_path, colour, folder_of, small):
    folder_of(tmp_path / "in", colour)
    sources = [ImagesSource(path=str(tmp_path / "in"), cache=str(tmp_path / "cache")) for _ in range(4)]
    threads = [threading.Thread(target=source.train) for source in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(s.train().x, sources[0].train().x) for s in sources)
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_an_unwritable_cache_means_memory_and_a_note(tmp_path, colour, folder_of, small):
    folder_of(tmp_path / "in", colour)
    (tmp_path / "file").write_text("no folder")
    source = ImagesSource(path=str(tmp_path / "in"), cache=str(tmp_path / "file" / "below"))
    assert not isinstance(source.train().fields["x"], np.memmap)
    assert np.array_equal(source.train().x, colour.reshape(20, -1)[split_rows(20)[0]])
    (note,) = source.notes
    assert (
        "of memory, since" in note
        and "cannot be written (Not a directory); set data.cache to another folder" in note
    )


def test_a_folder_without_permission(tmp_path, colour, folder_of, small):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    folder_of(tmp_path / "in", colour)
    (tmp_path / "cache").mkdir(mode=0o500)
    source = ImagesSource(path=str(tmp_path / "in"), cache=str(tmp_path / "cache"))
    assert len(source.train()) == 16 and "(Permission denied)" in source.notes[0]


@pytest.mark.parametrize("when", [0, 1, 5], ids=["at-once", "after-one", "after-five"])
def test_a_disk_that_fills_while_decoding(tmp_path, colour, folder_of, small, monkeypatch, when):
    folder_of(tmp_path / "in", colour)
    write, calls = spool._write, []

    def full(file, content):
        calls.append(1)
        if len(calls) > when:
            file.write(content[: len(content) // 2])
            raise OSError(28, "No space left on device")
        write(file, content)

    monkeypatch.setattr(spool, "_write", full)
    source = ImagesSource(path=str(tmp_path / "in"), cache=str(tmp_path / "cache"))
    assert np.array_equal(source.train().x, colour.reshape(20, -1)[split_rows(20)[0]])
    assert "(No space left on device)" in source.notes[0]
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_disk_that_fills_while_splitting(tmp_path, colour, folder_of, small, monkeypatch):
    folder_of(tmp_path / "in", colour)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pictures, "put", full)
    source = ImagesSource(path=str(tmp_path / "in"), cache=str(tmp_path / "cache"))
    assert np.array_equal(source.train().x, colour.reshape(20, -1)[split_rows(20)[0]])
    assert "(No space left on device)" in source.notes[0] and entries(tmp_path / "cache") == []


def test_what_was_left_behind_long_ago_is_removed(tmp_path, colour, folder_of, small):
    folder_of(tmp_path / "in", colour)
    cache = tmp_path / "cache"
    for name, age in (("old", 3 * kept.DAY), ("new", 60)):
        (cache / f".{name}.x.part").mkdir(parents=True)
        os.utime(cache / f".{name}.x.part", (time.time() - age,) * 2)
    ImagesSource(path=str(tmp_path / "in"), cache=str(cache)).train()
    assert [p.name for p in cache.iterdir() if p.name.startswith(".")] == [".new.x.part"]


def test_a_file_that_disappears_is_named(tmp_path, colour, folder_of, monkeypatch):
    folder_of(tmp_path, colour)
    source = ImagesSource(path=str(tmp_path))
    found = source.find()
    (tmp_path / "03.png").unlink()
    monkeypatch.setattr(ImagesSource, "find", lambda self: found)
    with pytest.raises(DataError, match="03.png cannot be read: No such file"):
        source.train()


def anonymous():
    """Bytes of memory that lie in no file."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon")


def test_decoding_and_keeping_cost_no_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "IN_MEMORY", 4 * MIB)
    n = 16_384
    x = np.lib.format.open_memmap(tmp_path / "in.npy", "w+", np.uint8, (n, 32, 32, 3))  # 48 MiB
    for low in range(0, n, 1024):
        x[low : low + 1024] = np.random.Generator(np.random.SFC64(low)).integers(
            0, 256, (1024, 32, 32, 3), dtype=np.uint8
        )
    x.flush()
    gc.collect()
    before = anonymous() if Path("/proc/self/status").exists() else 0
    tracemalloc.start()
    try:
        source = ImagesSource(path=str(tmp_path / "in.npy"), cache=str(tmp_path / "cache"))
        train = source.train()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40 * MIB < x.nbytes  # a few blocks of 8 MiB each
    if before:
        gc.collect()
        assert anonymous() - before < 12 * MIB
    rows = split_rows(n)[0]
    assert np.array_equal(train.x[::997], x.reshape(n, -1)[rows[::997]])


# The spool by itself


@pytest.mark.parametrize("most", [0, 10**9], ids=["disk", "memory"])
def test_a_spool_gives_back_what_it_got(tmp_path, colour, grey, most):
    held = Spool(tmp_path / "deep" / "spool", most)
    for low in range(0, 20, 7):
        held.add(grey[low : low + 7, ..., None])
    held.add(colour[:, :5, :5].repeat(2, axis=1)[:, :6, :5].repeat(2, axis=2)[:, :, :6])
    held.add(grey[..., None])
    x = held.array()
    assert held.on_disk == (most == 0) and x.shape == (60, 6, 6, 3)
    for c in range(3):
        assert np.array_equal(x[:20, ..., c], grey) and np.array_equal(x[40:, ..., c], grey)
    held.close()
    assert np.array_equal(x[:20, ..., 0], grey)  # still readable
    assert not any(p.is_file() for p in tmp_path.rglob("*"))


def test_a_source_that_was_used_can_still_be_copied_to_another_process(tmp_path, colour, folder_of, small):
    folder_of(tmp_path / "in", colour)
    source = ImagesSource(path=str(tmp_path / "in"), cache=str(tmp_path / "cache"))
    source.train()
    again = pickle.loads(pickle.dumps(source))
    assert again == source and np.array_equal(again.train().x, source.train().x)
    shutil.rmtree(tmp_path / "cache")
    assert len(source.train().x) == 16  # what is mapped stays
