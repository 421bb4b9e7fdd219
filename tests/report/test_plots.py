from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from autophage.errors import DataError, RunError
from autophage.report import figures

MAGIC = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


def test_every_format_is_written_and_the_same_again(page, arm, table, galleries, tmp_path):
    frame = table({"loss_of_$x_$y": np.ones((2, 3)) * [1, 2, 3]})
    shown = page(*(arm(n, metrics=frame, gallery=galleries["images"]) for n in ("costs $5 or $6", "b")))
    files = figures(shown, tmp_path / "one")
    again = figures(shown, tmp_path / "two", ("svg", "pdf"))
    assert [f.name for f in files] == [
        f"{n}.{f}" for n in ("courses", "gallery") for f in ("png", "svg", "pdf")
    ]
    for file in files:
        assert file.read_bytes().startswith(MAGIC[file.suffix[1:]]) and file.stat().st_size > 2000
    for file in again:
        assert file.read_bytes() == (tmp_path / "one" / file.name).read_bytes()


@pytest.mark.parametrize("kind", ["clouds", "bars", "colour"])
def test_galleries_of_every_kind(page, arm, galleries, tmp_path, kind):
    shown = page(arm("a", gallery=galleries[kind], replicates=20), arm("b", gallery=galleries[kind]))
    assert [f.name for f in figures(shown, tmp_path, ["svg"])] == ["courses.svg", "gallery.svg"]


def test_only_what_there_is(page, arm, table, galleries, tmp_path):
    assert [f.name for f in figures(page(arm(gallery=galleries["table"])), tmp_path, ["svg"])] == [
        "courses.svg"
    ]
    nothing = arm(metrics=table({"loss": np.full((2, 2), np.nan)}))
    assert figures(page(nothing), tmp_path / "none", ["svg"]) == []


def test_an_unknown_format_is_refused_before_anything_is_written(page, tmp_path):
    with pytest.raises(DataError, match="png, svg or pdf, not 'gif'"):
        figures(page(), tmp_path / "out", ["svg", "gif"])
    assert not (tmp_path / "out").exists()


def test_an_unwritable_folder(page, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="could not be written"):
        figures(page(), tmp_path / "file" / "sub", ["svg"])


def test_pages_do_not_import_matplotlib():
    code = "import autophage.report.rendering, sys; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
