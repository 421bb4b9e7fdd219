"""Laws of the pages: links lead somewhere, blocks run, specs hold together, names are names of something."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from autophage import registry

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, info: str) -> list[tuple[int, str]]:
    """The fenced blocks of a page with this info string, each with the line it begins on."""
    text = page.read_text(encoding="utf-8")
    found = [
        (text.count("\n", 0, m.start(2)), m.group(2)) for m in FENCE.finditer(text) if m.group(1) == info
    ]
    return found


def anchors(page: Path) -> set[str]:
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ +(.*?) *$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_relative_link_leads_somewhere(page):
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    targets = re.findall(r"\]\(([^)\s]+)\)|<img[^>]*\ssrc=\"([^\"]+)\"", prose)
    dead = []
    for target in (first or second for first, second in targets):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and there.suffix == ".md" and anchor not in anchors(there)):
            dead.append(target)
    assert dead == []


@pytest.mark.parametrize("name", ["README.md", "docs/guide.md", "docs/extending.md"])
def test_the_python_blocks_run_in_order_as_one_script(name, tmp_path):
    lines: list[str] = []
    found = blocks(ROOT / name, "python")
    assert found
    for start, code in found:  # at their own line numbers, so that a traceback points into the page
        lines += [""] * (start - len(lines)) + code.splitlines()
    script = tmp_path / (Path(name).stem + "_page.py")
    script.write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        [sys.executable, script.name],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip()


SPECS = [
    (name, start, text)
    for page, name in zip(PAGES, NAMES, strict=True)
    for start, text in blocks(page, "yaml")
]


@pytest.mark.parametrize(
    ("name", "start", "text"), SPECS, ids=[f"{name}:{start + 1}" for name, start, _ in SPECS]
)
def test_every_spec_on_a_page_is_accepted(name, start, text):
    from autophage import Loop, Spec
    from autophage.processes.spec import ProcessSpec

    raw = {"seed": 0, **yaml.safe_load(text)}
    if "process" in raw:
        process = ProcessSpec.of(raw).process
        process.check()
        assert not process.warnings
        return
    loop = Loop(Spec.of(raw))
    assert loop.warnings == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_tables_of_kinds_name_known_parts(page):
    known = {kind for slot in registry.PARTS.values() for kind in slot}
    named = set()
    inside = False
    for line in FENCE.sub("", page.read_text(encoding="utf-8")).splitlines():
        inside = line.startswith("| kind |") or (inside and line.startswith("|"))
        if inside:
            named |= set(re.findall(r"`(\w+)`", line.split("|")[1]))
    assert named - known == set()


def test_the_commands_on_the_pages_exist():
    done = subprocess.run(
        [sys.executable, "-m", "autophage", "--help"],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "TERMINAL_WIDTH": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    used = set()
    for page in PAGES:
        prose = page.read_text(encoding="utf-8")
        shell = "\n".join(code for _, code in blocks(page, "sh"))
        used |= set(re.findall(r"^autophage ([a-z]+)", shell, re.MULTILINE)) | set(
            re.findall(r"`autophage ([a-z]+)", prose)
        )
    assert {"run", "predict", "report"} <= used
    assert {verb for verb in used if not re.search(rf"\b{verb}\b", done.stdout)} == set()


def test_the_readme_names_the_only_two_set_up_commands():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in text and "make test" in text
