"""Phase diagrams: contours are where the field says, pages are whole, pictures repeat."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from autophage.errors import DataError
from autophage.report.phase_page import PhasePage, render
from autophage.report.phase_plots import picture
from autophage.report.phase_specs import MOST_CELLS, phase_specification
from autophage.report.phases import (
    Curves,
    Line,
    Map,
    Side,
    Strand,
    coarser,
    contour,
    crossings,
    levels,
    named_at,
)


def side(n, log=False, title="n"):
    return Side(title, np.geomspace(1, 100, n) if log else np.linspace(0, 4, n), log)


def field(x, y):
    return np.exp(y.warped(y.values)[:, None] - x.warped(x.values)[None])


def a_map(n=6, **more):
    x, y = side(n), side(n, log=True, title="size")
    z = field(x, y)
    return Map("variance", "Variance", "", x, y, z, 0.1 * z, z, **more)


@pytest.mark.parametrize("log", [False, True])
def test_a_contour_of_a_plane_is_exact_also_on_a_lattice(log):
    """log z is a plane in warped units, so linear interpolation of it is exact, whatever is left out."""
    x, y = side(9), side(12, log=True)
    z = field(x, y)
    z[1::2] = np.nan
    z[:, 3] = np.nan
    (piece,) = contour(x, y, z, 2.0, log=True)
    gap = np.log(piece[:, 1]) - piece[:, 0]
    np.testing.assert_allclose(gap, np.log(2.0), atol=1e-9)
    assert contour(x, y, z, 1e9, log=log) == ()


def test_crossings_of_a_line_are_exact():
    x = side(5, log=True)
    assert crossings(x, 1 / x.values, 0.05, log=True) == pytest.approx([20.0])
    assert crossings(x, 1 / x.values, 2.0, log=True) == []
    assert crossings(side(3), np.array([0.0, np.nan, 2.0]), 1.0) == pytest.approx([2.0])


def test_edges_lie_half_way_between_values_as_drawn():
    np.testing.assert_allclose(Side("k", np.array([1.0, 2, 4])).edges, [0.5, 1.5, 3, 5])
    np.testing.assert_allclose(Side("k", np.array([1.0, 100])).edges, [-48.5, 50.5, 149.5])
    np.testing.assert_allclose(Side("k", np.array([1.0, 100]), log=True).edges, [0.1, 10, 1000])


def test_levels_are_round_and_inside():
    for low, high, log in ((0.013, 0.9, True), (1e-5, 3.0, True), (0.2, 0.9, False), (-3.0, 7.0, False)):
        found = levels(np.array([low, high]), log)
        assert found and all(low < v < high for v in found) and len(found) <= 5
        assert all(float(f"{v:.2g}") == v for v in found)
    assert levels(np.array([1.0, 1.0]), False) == [] and levels(np.array([np.nan]), True) == []


def test_a_coarser_map_keeps_the_mean():
    whole = a_map(130)
    small = coarser(whole, 13)
    assert small.value.shape == (13, 13)
    np.testing.assert_allclose(small.value.mean(), whole.value.mean())
    assert small.remarks and coarser(whole, 130) is whole


def test_a_name_stands_inside_the_diagram():
    x, y = side(6), side(6, log=True)
    for at in (0.0, 2.0, 4.0):
        line = Line(
            "threshold",
            "a name that is not short",
            (np.column_stack([np.full(9, at), np.geomspace(1, 100, 9)]),),
        )
        px, py = named_at(line, x, y)
        assert x.edges[0] < px - 0.1 and px + 0.1 < x.edges[-1] and y.edges[0] < py < y.edges[-1]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Side("k", np.array([2.0, 1.0])),
        lambda: Side("k", np.array([])),
        lambda: Side("k", np.array([0.0, 1.0]), log=True),
        lambda: Map("m", "M", "", side(3), side(4), np.zeros((3, 4)), np.zeros((4, 3)), None),
    ],
)
def test_shapes_that_do_not_fit_are_refused(make):
    with pytest.raises(DataError):
        make()


def diagrams():
    x, y = side(6), side(6, log=True)
    lines = (
        Line("boundary", "theory: a tenth is left", contour(x, y, field(x, y), 2.0, log=True)),
        Line("threshold", "largest provable: 0.5", (np.array([[0.5, 1.0], [0.5, 100.0]]),)),
    )
    holes = a_map().value.copy()
    holes[2, 2] = np.inf
    holes[3] = np.nan
    strands = tuple(
        Strand(n, np.geomspace(1, 1e-4, 6), np.full(6, 0.01), np.geomspace(1, 1e-4, 6)) for n in ("<a>", "b")
    )
    words = Side("kind", np.arange(2.0), words=("mix", "replace"))
    return [
        a_map(lines=lines),
        Map("m", "With holes", "kind mix", x, y, holes, np.full((6, 6), np.nan), None),
        Curves(
            "variance",
            "Curves",
            y,
            strands,
            (Line("boundary", "theory", (np.array([[20.0, 1e-4], [20.0, 1.0]]),)),),
        ),
        Curves("gini", "Words", words, (Strand("", np.array([0.2, 0.4]), np.array([0.1, np.nan]), None),)),
        a_map(70),
    ]


def test_specifications_are_json_without_nan():
    for diagram in diagrams():
        text = json.dumps(phase_specification(diagram), allow_nan=False)
        assert "NaN" not in text and "Infinity" not in text
    large = phase_specification(diagrams()[-1])
    assert len(large["datasets"]["cells"]) <= MOST_CELLS**2


def test_a_page_is_whole_and_the_same_again():
    page = PhasePage(
        title="A <b> & c",
        diagrams=diagrams(),
        findings=["Found </script>."],
        notes=["n"],
        repeat=["autophage sweep x"],
    )
    text = render(page)
    assert text == render(page)
    assert "A &lt;b&gt; &amp; c" in text and "Found &lt;/script&gt;." in text and "<a>" not in text
    drawn = json.loads(re.search(r'id="specifications">(.*?)</script>', text, re.DOTALL).group(1))
    assert len(drawn) == 5 == text.count('class="chart"')
    assert not re.search(r'(src|href)="https?://', text)
    assert "where theory puts the boundary" in text and "a theorem&#39;s threshold" in text


def test_pictures_repeat(tmp_path):
    shown = diagrams()[:3:2]
    first = picture(shown, tmp_path / "a.png").read_bytes()
    assert first == picture(shown, tmp_path / "b.png").read_bytes() and first[:4] == b"\x89PNG"
