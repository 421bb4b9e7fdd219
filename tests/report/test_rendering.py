from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pytest

from autophage.errors import DataError, RunError
from autophage.parts import Prediction
from autophage.report import Arm, Gallery, Page, render, write
from autophage.report.courses import charts
from autophage.report.vegalite import specification


class Reader(HTMLParser):
    """What a browser makes of a page: elements, attributes, text outside and inside script elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self.open: str | None = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.open = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self.open = None

    def handle_data(self, data):
        if self.open == "script":
            self.scripts[-1] += data
        elif self.open != "style":
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def specifications(self) -> list[dict]:
        [found] = [
            script
            for script, attributes in zip(self.scripts, self.all("script"), strict=True)
            if attributes.get("id") == "specifications"
        ]
        return json.loads(found, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))


def full(page, arm, profile, galleries, kind):
    return page(
        arm(gallery=galleries[kind]),
        subtitle="Nothing to see.",
        profile=profile,
        advice={
            "sentence": "Keep real data.",
            "change": {"workflow": {"synthetic_ratio": 0.5}},
            "expected": "Half.",
        },
        facts=[("Data", "digits"), ("Replicates", 4)],
        repeat=["autophage run spec.yaml"],
        spec_yaml="schema: 1\n",
        citations=["Nobody. Nothing. https://example.org/paper/1."],
        notes=["Replicate 3 failed in generation 2: the covariance is not finite."],
        directions={"frechet_model": "lower"},
    )


@pytest.mark.parametrize("kind", ["images", "colour", "clouds", "bars", "table"])
def test_a_full_page(page, arm, profile, galleries, kind):
    read = Reader(render(full(page, arm, profile, galleries, kind)))
    for words in [
        "A run",
        "Nothing to see.",
        "Variance collapses.",
        "Keep real data.",
        "workflow.synthetic_ratio: 0.5",
        "Half.",
        "Replicate 3 failed in generation 2",
        "autophage run spec.yaml",
        "schema: 1",
        "↓ lower is better",
        "It never exceeds 1.2.",
        "upper bound",
        "2.5 [1.5, 3.5]",
        "because 8",
    ]:
        assert words in read.text, words
    assert [d.get("class") for d in read.all("details")].count("chip yes") == 2
    assert len(read.specifications()) == 2
    assert (
        read.text.index("Variance collapses.")
        < read.text.index("Keep real data.")
        < read.text.index("Courses")
    )
    pictures = read.all("img")
    assert len(pictures) == {"images": 8, "colour": 4}.get(kind, 0)  # real columns, generations, the film
    assert all(p["alt"] and p["src"].startswith("data:image/") for p in pictures)
    assert all(a.get("aria-label") for a in read.all("svg") if a.get("role") == "img")
    if kind == "table":
        assert "Oslo" in read.text and "Bern" in read.text


def test_a_bare_page(page, arm):
    read = Reader(render(page(arm(predictions=()))))
    assert "No verdict was asked of this run." in read.text
    assert "What theory says" not in read.text and "Please note" not in read.text
    assert len(read.specifications()) == 2


def test_a_page_without_a_single_number(page, arm, table):
    html = render(page(arm(metrics=table({"loss": np.full((2, 3), np.nan)}), predictions=())))
    assert "vegaEmbed" not in html and "Courses" not in Reader(html).text
    nothing = table({"loss": np.ones((1, 1))}).clear()
    assert "A run" in Reader(render(page(arm(metrics=nothing, predictions=())))).text


def test_arms_stand_side_by_side(page, arm, profile, galleries):
    other = {**profile, "sentence": "All is well.", "verdicts": profile["verdicts"][:7]}
    shown = page(
        arm(
            "replace", profile=profile, gallery=galleries["images"], advice={"sentence": "Mix in real data."}
        ),
        arm("mix", seed=1, profile=other, gallery=galleries["images"]),
        subtitle="Two ways.",
    )
    html = render(shown)
    read = Reader(html)
    assert "Variance collapses." in read.text and "All is well." in read.text
    assert "Recommended next action for replace" in read.text
    assert len(re.findall(r'<tr><th scope="row"><span class="code">D\d', html)) == 8
    assert len(read.all("img")) == 11  # four real columns for both arms, three generations of each, one film
    for drawn in read.specifications():
        assert {row["s"] for row in drawn["datasets"]["middle"]} == {"replace", "mix"}


def test_nothing_is_loaded_from_anywhere(page, arm, profile, galleries):
    html = render(full(page, arm, profile, galleries, "images"))
    read = Reader(html)
    for tag, attributes in read.elements:
        for name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href"):
            value = attributes.get(name)
            if value and not (tag == "a" and name == "href"):
                assert value.startswith("data:"), (tag, name, value)
        assert tag not in ("iframe", "object", "embed", "base")
    styles = re.findall(r"<style>(.*?)</style>", html, flags=re.DOTALL)
    assert styles and not any("url(" in s or "@import" in s for s in styles)
    assert "sourceMappingURL" not in html
    links = [a["href"] for a in read.all("a")]
    assert links == ["https://example.org/paper/1"]


EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u2028{{ 7 * 7 }}"


def test_what_users_write_stays_text(page, arm, table, galleries):
    profile = {
        "sentence": EVIL,
        "verdicts": [{"definition": EVIL, "name": EVIL, "verdict": EVIL, "effect": EVIL, "evidence": [EVIL]}],
    }
    prediction = Prediction(EVIL, np.ones(3), "exact", EVIL, EVIL)
    frame = table({EVIL: np.ones((2, 3)), "loss": np.full((2, 3), np.nan)}, agent=EVIL)
    gallery = type(galleries["table"])(
        kind="table", generations=[0], columns=[EVIL], samples=[[[EVIL]]], caption=EVIL
    )
    plain = render(page())
    html = render(
        Page(
            EVIL,
            [Arm(name, frame, [prediction], gallery, profile, {"sentence": EVIL}) for name in (EVIL, "b")],
            EVIL,
            EVIL,
            profile,
            {"sentence": EVIL, "change": {EVIL: EVIL}, "expected": EVIL},
            [(EVIL, EVIL)],
            [EVIL],
            EVIL,
            [EVIL],
            [EVIL],
            {EVIL: "lower"},
        )
    )
    read = Reader(html)
    assert len(read.all("script")) == len(Reader(plain).all("script"))
    assert not any("onerror" in attributes for _, attributes in read.elements)
    assert "{{ 7 * 7 }}" in read.text
    [drawn] = read.specifications()
    assert drawn["datasets"]["middle"][0]["s"].startswith(EVIL)
    assert "\u2028" not in html[html.index('id="specifications"') :].split("</script>")[0]


def test_values_that_are_not_finite_leave_the_json_whole(page, arm, table):
    value = np.random.default_rng(0).random((4, 6)) + 1
    value[0, 1], value[1, 2], value[:, 4] = np.nan, np.inf, np.nan
    predictions = [
        Prediction("loss", np.array([1.5, np.inf, np.nan, 1.5, 1.5, 1.5]), "exact", "s", "t"),
        Prediction("loss", np.full(6, np.nan), "bound", "s", "t", side="lower"),
    ]
    profile = {
        "sentence": "Infinite.",
        "verdicts": [{"definition": "D1", "verdict": "yes", "effect": np.inf, "ci95": [1.0, np.nan]}],
    }
    read = Reader(render(page(arm(metrics=table({"loss": value}), predictions=predictions), profile=profile)))
    [drawn] = read.specifications()
    assert [row["v"] for row in drawn["datasets"]["middle"]][4] is None
    assert "6 values are not finite" in read.text and "Effect: infinite" in read.text


def test_thousands_of_replicates_make_no_larger_page(page, arm):
    few, many = (Reader(render(page(arm(replicates=r)))).specifications() for r in (20, 3000))
    assert len(json.dumps(many)) < 1.2 * len(json.dumps(few))


def test_the_same_page_gives_the_same_text(page, arm, profile, galleries):
    first = render(full(page, arm, profile, galleries, "clouds"))
    assert first == render(full(page, arm, profile, galleries, "clouds"))


def test_writing_is_all_or_nothing(page, tmp_path, monkeypatch):
    target = tmp_path / "deep" / "report.html"
    assert write(page(), target) == target and target.read_text(encoding="utf-8") == render(page())
    target.write_text("before")

    def die(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", die)
    with pytest.raises(RunError, match="No space left"):
        write(page(), target)
    assert target.read_text() == "before" and [p.name for p in target.parent.iterdir()] == ["report.html"]


def test_the_film_lies_beside_the_page(page, arm, galleries, tmp_path):
    shown = page(arm(gallery=galleries["colour"]))
    write(shown, tmp_path / "report.html")
    write(shown, tmp_path / "mine.html")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "collapse.webp",
        "mine-collapse.webp",
        "mine.html",
        "report.html",
    ]
    assert (tmp_path / "collapse.webp").read_bytes()[8:12] == b"WEBP"


def test_a_page_of_pictures(page, arm, galleries, near, drifting, blend):
    def one(name, **more):
        return arm(name, gallery=galleries["traced"], neighbours=near, drift=drifting, **more)

    html = render(page(one("own"), one("half"), one("<real>"), blend=blend))
    read = Reader(html)
    for words in [
        "The same noise, arm by arm",
        "From own to <real>",
        "Nearest real pictures",
        "1 copy among them",
        "Where the classes go",
        "by generation",
    ]:
        assert words in read.text, words
    pairs = [p for p in read.all("img") if "nearest real picture" in p["alt"]]
    assert len(pairs) == 2 * 3  # all three arms share both generations, which are shown once
    assert sum("a copy" in p["alt"] for p in pairs) == 1 and html.count('class="copied"') == 1
    assert all(p["src"].startswith("data:image/") for p in read.all("img"))
    assert [a["media"] for a in read.all("source")] == ["(prefers-reduced-motion: reduce)"]
    drawings = [a for a in read.all("svg") if a.get("role") == "img"]
    assert len(drawings) == 3 * 4 and all(a["aria-label"] for a in drawings)
    assert not any("nan" in path.lower() for path in re.findall(r' d="([^"]*)"', html))
    assert html == render(page(one("own"), one("half"), one("<real>"), blend=blend))


def test_two_arms_with_a_blend_show_their_last_pictures_once(page, arm, galleries, blend):
    arms = [arm(n, gallery=galleries["traced"]) for n in ("own", "<real>")]
    assert "The last generation of each arm" in Reader(render(page(*arms))).text
    assert "The last generation of each arm" not in Reader(render(page(*arms, blend=blend))).text


def test_arms_of_other_noise_do_not_stand_side_by_side(page, arm, galleries):
    other = replace(galleries["traced"], noise="another")
    text = Reader(render(page(arm("a", gallery=galleries["traced"]), arm("b", gallery=other)))).text
    assert "The same noise, arm by arm" not in text


def test_a_page_of_three_arms_in_colour_is_small(page, arm, blend):
    """Noise, which no format makes smaller: 3 arms x 10 generations x 8 pictures of 32 x 32 x 3, and the film."""
    rng = np.random.default_rng(0)
    samples = rng.integers(0, 256, (10, 12, 32, 32, 3), dtype=np.uint8)
    arms = [arm(n, gallery=Gallery("images", range(10), samples, noise="n")) for n in "abc"]
    assert len(render(page(*arms))) < 4_000_000


def test_an_unwritable_place(page, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="could not be written"):
        write(page(), tmp_path / "file" / "report.html")


def test_pages_that_make_no_sense_are_refused(page, arm, table):
    with pytest.raises(DataError, match="at least one arm"):
        Page("x", [])
    with pytest.raises(DataError, match="different names"):
        page(arm("a"), arm("a"))
    with pytest.raises(DataError, match="lacks the columns agent"):
        arm(metrics=table({"loss": np.ones((1, 1))}).drop("agent"))


def test_the_bundles_are_the_ones_the_licence_note_names():
    assets = files("autophage.report") / "assets"
    note = (assets / "LICENSES.txt").read_text(encoding="utf-8")
    named = dict(re.findall(r"^  (\S+\.min\.js) .*sha256 (\w{64})$", note, flags=re.MULTILINE))
    assert set(named) == {"vega.min.js", "vega-lite.min.js", "vega-embed.min.js"}
    for name, digest in named.items():
        assert hashlib.sha256((assets / name).read_bytes()).hexdigest() == digest


DRAW = """
const [assets, path] = process.argv.slice(1);
const Module = require("module"), load = Module._load, vega = require(assets + "/vega.min.js");
Module._load = (name, ...rest) => name === "vega" ? vega : load(name, ...rest);
const lite = require(assets + "/vega-lite.min.js");
const said = [], log = (...words) => said.push(words.join(" "));
const logger = { level() { return this; }, error: log, warn: log, info() {}, debug() {} };
const draw = (chart) => {
    const parsed = vega.parse(lite.compile({...chart, width: 300}, { logger }).spec);
    return new vega.View(parsed, { renderer: "none", logger }).toSVG();
};
Promise.all(JSON.parse(require("fs").readFileSync(path)).map(draw))
    .then((drawings) => console.log(JSON.stringify({ said, drawings })));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_vega_draws_every_chart_without_a_warning(page, arm, table, tmp_path):
    decay = np.exp(-np.arange(30.0) + np.random.default_rng(0).normal(0, 0.3, (40, 30)))
    shown = page(arm("a", replicates=20), arm("b", seed=1), arm("c", metrics=table({"variance": decay})))
    (tmp_path / "charts.json").write_text(json.dumps([specification(c) for c in charts(shown)]))
    done = subprocess.run(
        ["node", "-e", DRAW, str(files("autophage.report") / "assets"), str(tmp_path / "charts.json")],
        capture_output=True,
        text=True,
        check=True,
    )
    answer = json.loads(done.stdout)
    assert answer["said"] == []
    assert len(answer["drawings"]) == 2
    for drawing in answer["drawings"]:
        assert "var(--key-0)" in drawing and "NaN" not in drawing
        assert "upper bound · a" in drawing or "exact · a" in drawing
