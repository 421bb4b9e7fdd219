"""The page on watching: its Python blocks run."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "watching.md"


def test_the_python_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    exec(compile(blocks[0], str(PAGE), "exec"), {})
    said = capsys.readouterr().out
    assert "the objective improves while its use decays" in said and "extrapolation - " in said
    assert "is above 1.2" in said and (tmp_path / "watched.html").is_file()
