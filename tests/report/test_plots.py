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


def test_neighbours_have_a_figure_and_the_film_a_gif(page, arm, galleries, near, tmp_path):
    shown = page(*(arm(n, gallery=galleries["colour"], neighbours=near) for n in ("a", "b")))
    files = figures(shown, tmp_path, ["png", "gif"])
    assert [f.name for f in files] == ["courses.png", "gallery.png", "neighbours.png", "collapse.gif"]
    assert files[-1].read_bytes().startswith(b"GIF89a")
    assert [f.name for f in figures(shown, tmp_path / "alone", ["gif"])] == ["collapse.gif"]


def test_an_unknown_format_is_refused_before_anything_is_written(page, tmp_path):
    with pytest.raises(DataError, match="png, svg, pdf or gif, not 'tiff'"):
        figures(page(), tmp_path / "out", ["svg", "tiff"])
    assert not (tmp_path / "out").exists()


def test_an_unwritable_folder(page, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="could not be written"):
        figures(page(), tmp_path / "file" / "sub", ["svg"])


def test_pages_do_not_import_matplotlib():
    code = "import autophage.report.rendering, sys; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
