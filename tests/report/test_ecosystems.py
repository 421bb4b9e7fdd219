"""Who trains on whom, and pictures with words under them, as the page shows them."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
from tests.report.test_rendering import Reader

from autophage.ecosystem import Flow
from autophage.errors import DataError
from autophage.report import render
from autophage.report.descriptions import LONGEST, SHOWN, Said, shown
from autophage.report.ecosystem import Agent, Ecosystem, drawn, flowed, percent

REAL = Flow("", -1, "", 0.25)
AGENTS = (
    Agent("painter", "flow", "mix", 0),
    Agent("captioner", "captioner", "mix", 1, given="painter", decoding="decoding greedy"),
    Agent("frozen", "classifier", "accumulate", 2, given="painter", frozen=True),
)
ASKED = {name: {"captioner": 0.6, "frozen": 0.4} for name in ("painter", "captioner", "frozen")}


def mixed(generation, newest=0.45, older=0.0, frozen=0.3):
    return (
        REAL,
        Flow("captioner", generation - 1, f"painter/{generation - 1}", newest),
        *([Flow("captioner", 0, "painter/0", older)] if older else []),
        Flow("frozen", generation - 1, f"painter/{generation - 1}", frozen),
    )


def coupled(**more):
    flows = {a.name: {0: (Flow("", -1, "", 1.0),), 1: mixed(1), 2: mixed(2)} for a in AGENTS}
    return Ecosystem(AGENTS, ASKED, {**flows, **more})


def test_shares_of_synthetic_records_are_of_these_alone():
    real, shares = flowed(mixed(3, newest=0.35, older=0.1))
    assert real == 0.25 and shares == {"captioner": pytest.approx(0.6), "frozen": pytest.approx(0.4)}
    assert flowed(()) == (0.0, {})
    assert [percent(x) for x in (1 / 3, 0.5, 1.0, 1e-5, 0.999)] == [
        "33.3 %",
        "50 %",
        "100 %",
        "<0.1 %",
        "99.9 %",
    ]


def test_a_chain_is_one_origin_and_agents_with_the_same_shares_one_box():
    drawing = drawn(coupled())
    assert drawing.generation == 2 and drawing.even
    assert [box.lines[0][1] for box in drawing.origins] == [
        "real records",
        "painter → captioner",
        "painter → frozen",
    ]
    assert "25 % of a training set" in drawing.origins[0].lines[1][1]
    assert drawing.origins[2].lines[1][1] == "frozen, flow → classifier"
    (box,) = drawing.boxes
    assert [line[1] for line in box.lines[::2]] == ["painter", "captioner", "frozen"]
    assert [band.words for band in drawing.bands] == [
        "real: 25 % of the set",
        "asked 60 %, flowed 60 %",
        "asked 40 %, flowed 40 %",
    ]
    widths = [band.width for band in drawing.bands]
    assert widths[1] / widths[0] == pytest.approx(0.45 / 0.25)


def test_at_theory_scale_what_was_asked_for_is_drawn_alone(page, arm):
    some = [Agent(name, "gaussian", "replace", i) for i, name in enumerate("ab")]
    asked = {"a": {"b": 1.0}, "b": {"a": 0.25, "b": 0.75}}
    found = Ecosystem(some, asked)
    drawing = drawn(found)
    assert drawing.generation is None and not drawing.even and not drawing.rows
    assert [band.words for band in drawing.bands] == ["asked 100 %", "asked 25 %", "asked 75 %"]
    assert [box.lines[0][1] for box in drawing.origins] == ["a", "b"]
    text = Reader(render(page(arm("a"), arm("b", seed=1), ecosystems=[found]))).text
    assert "As asked" in text and "flowed" not in text.split("Who trains on whom")[1].split("Asked and")[0]
    assert "where training sets came from" not in text


def test_what_was_not_asked_for_stands_out_in_a_box_of_its_own():
    drawing = drawn(coupled(frozen={2: mixed(2, newest=0.6, frozen=0.15)}))
    assert len(drawing.boxes) == 2 and not drawing.even
    assert [band.words for band in drawing.bands if band.off] == [
        "asked 60 %, flowed 80 %",
        "asked 40 %, flowed 20 %",
    ]
    one_missing = drawn(coupled(frozen={2: (REAL, Flow("captioner", 1, "painter/1", 0.75))}))
    (missing,) = (band for band in one_missing.bands if band.words == "asked 40 %, flowed 0 %")
    assert missing.off and missing.path == ""


def test_nothing_leaves_the_drawing_or_covers_another_box():
    for agents in range(2, 7):
        some = [Agent(f"agent_{i}", "kde", "replace", i) for i in range(agents)]
        pooled = {a.name: {b.name: 1 / agents for b in some} for a in some}
        flow = tuple(Flow(a.name, 0, "", 1 / agents) for a in some)
        drawing = drawn(Ecosystem(some, pooled, {a.name: {1: flow} for a in some}))
        assert len(drawing.boxes) == agents and len(drawing.bands) == agents**2
        for boxes in (drawing.origins, drawing.boxes):
            ends = [(box.y, box.y + box.height) for box in boxes]
            assert ends[0][0] >= 0 and ends[-1][1] <= drawing.height
            assert all(low[1] < high[0] for low, high in pairwise(ends))
        ys = np.array([[float(y) for y in re.findall(r"[\d.]+ ([\d.]+)", b.path)] for b in drawing.bands])
        assert (ys >= 0).all() and (ys <= drawing.height).all()
        assert len({band.y for band in drawing.bands}) == agents**2


def test_tables_tell_every_generation():
    drawing = drawn(coupled(painter={0: (Flow("", -1, "", 1.0),), 2: mixed(2, newest=0.35, older=0.1)}))
    assert drawing.columns == ("real", "newest of captioner", "newest of frozen", "older")
    rows = {(g, name): cells for g, name, _, cells in drawing.rows}
    assert rows[0, "painter"] == ("100 %", "–", "–", "–")
    assert rows[2, "painter"] == (
        "25 %",
        "35 % (asked 60 %, flowed 60 %)",
        "30 % (asked 40 %, flowed 40 %)",
        "10 %",
    )
    everyone = "painter, captioner, frozen"
    plain = ("0", "painter, generation 0", "frozen (classifier)", "frozen: that of generation 0", "plain")
    assert (*plain, "captioner, frozen") in drawing.said  # the painter's generation 1 is not there
    greedy = (
        "1",
        "painter, generation 1",
        "captioner (captioner)",
        "that of generation 1",
        "decoding greedy",
    )
    assert any(
        row[:5] == greedy and set(row[5].split(", ")) == set(everyone.split(", ")) for row in drawing.said
    )
    alone = Ecosystem([Agent("main", "captioner", "replace", 0, given="real")], {"main": {"main": 1.0}})
    relabels = drawn(Ecosystem(alone.agents, alone.asked, {"main": {1: (Flow("main", 0, "real", 1.0),)}}))
    assert relabels.said[0][1] == "real records"
    assert relabels.origins[1].lines[0][1] == "real → main"


def test_the_page_holds_the_picture_and_what_users_write_stays_text(page, arm):
    arms = [arm(name, seed=i) for i, name in enumerate(("<b>a", "b"))]
    agents = [Agent("<b>a", "<i>x", "mix", 0), Agent("b", "kde", "mix", 1, given="<b>a")]
    asked = {"<b>a": {"b": 1.0}, "b": {"b": 1.0}}
    flow = (REAL, Flow("b", 0, "<b>a/0", 0.75))
    read = Reader(render(page(*arms, ecosystems=[Ecosystem(agents, asked, {a: {1: flow} for a in asked})])))
    assert "Who trains on whom" in read.text and "asked 100 %, flowed 100 %" in read.text
    assert "what flowed is what was asked for" in read.text
    assert not read.all("b") and not read.all("i")
    (drawing,) = (svg for svg in read.all("svg") if svg.get("class") == "eco")
    assert "real records to <b>a and b, 25 % of the set" in drawing["aria-label"]
    assert "Who trains on whom" not in Reader(render(page(*arms))).text


def pictures(generations, n=9, seed=0, colour=False):
    shape = (generations, n, 8, 8, 3) if colour else (generations, n, 8, 8)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_prompts_that_stay_stand_once_above_the_pictures(page, arm):
    prompts = [f"a picture of {i}" for i in range(9)]
    (block,) = shown([arm(said=Said([0, 1, 2], pictures(3), [prompts] * 3, described=False))])
    assert [row.name for row in block.rows] == ["asked for", "generation 0", "generation 1", "generation 2"]
    assert [cell.words for cell in block.rows[0].cells] == prompts[:SHOWN]
    assert all(cell.picture and not cell.words for row in block.rows[1:] for cell in row.cells)
    assert "a picture of 3" in block.rows[1].cells[3].alt


def test_captions_stand_under_the_pictures_and_wrong_classes_in_colour():
    words = [list("012345678"), list("012945678")]
    said = Said([0, 1], pictures(2, colour=True), words, asked=list("012345678"), exact=True)
    (block,) = shown_of(said)
    assert [row.kind for row in block.rows] == ["asked", "said", "said"] and block.brief
    assert [cell.off for cell in block.rows[2].cells] == [False] * 3 + [True] + [False] * 4
    assert not any(cell.off for cell in block.rows[1].cells)
    assert "in colour" in block.reading
    captions = Said([0, 1], pictures(2), words, asked=["zero"] * 9)
    assert not any(cell.off for row in shown_of(captions)[0].rows for cell in row.cells)


def test_pictures_that_stay_stand_once_above_their_captions(page, arm):
    same = np.repeat(pictures(1), 2, axis=0)
    long = "word " * 40
    said = Said([0, 4], same, [["", *["a dog"] * 8], [long, *["a cat"] * 8]])
    (block,) = shown_of(said)
    assert [row.name for row in block.rows] == ["", "generation 0", "generation 4"]
    assert [bool(cell.picture) for cell in block.rows[0].cells] == [True] * SHOWN
    assert not any(cell.picture for row in block.rows[1:] for cell in row.cells)
    assert block.rows[1].cells[0].words == "(nothing)"
    assert len(block.rows[2].cells[0].words) == LONGEST and block.rows[2].cells[0].whole == long
    html = render(page(arm(said=said)))
    assert "a cat" in Reader(html).text and f'title="{long}"' in html


def shown_of(said):
    class One:
        name = "captioner"

    One.said = said
    return shown([One])


def test_words_and_pictures_must_be_as_many():
    with pytest.raises(DataError, match="9 pictures got 8 descriptions"):
        Said([0], pictures(1), [["x"] * 8])
    with pytest.raises(
        DataError, match="descriptions of 2 generations got 1 sheets of pictures and 2 of words"
    ):
        Said([0, 1], pictures(1), [["x"] * 9] * 2)
