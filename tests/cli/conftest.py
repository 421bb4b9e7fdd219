"""The command line in this process, which is fast, and in one of its own, which is what users have."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml


class Answer(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path


@pytest.fixture
def autophage(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Answer]:
    """`autophage WORDS...` in this process."""
    from autophage.cli import main

    def called(*words: Any) -> Answer:
        monkeypatch.setattr(sys, "argv", ["autophage", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        code = left.value.code
        return Answer(code if isinstance(code, int) else 0, said.out, said.err)

    return called


@pytest.fixture
def process(here: Path, environment: dict[str, str]) -> Callable[..., Answer]:
    """`autophage WORDS...` in a process of its own."""

    def called(*words: Any) -> Answer:
        done = subprocess.run(
            [sys.executable, "-m", "autophage", *map(str, words)],
            env=environment,
            cwd=here,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    return called


@pytest.fixture
def spec(here: Path) -> Path:
    """A small spec in a file."""
    path = here / "small.yaml"
    body = {
        "name": "small",
        "seed": 1,
        "replicates": 20,
        "generations": 4,
        "data": {"kind": "gaussian"},
        "learner": {"kind": "gaussian"},
        "workflow": {"kind": "replace", "sample_size": 20},
    }
    path.write_text(yaml.safe_dump(body))
    return path
