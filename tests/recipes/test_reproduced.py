"""The recipes run and come out. Each check's band must leave its measured number at least four standard errors."""

from __future__ import annotations

import json

import pytest

from autophage.processes.spec import spec_of
from autophage.recipes import recipes
from autophage.recipes.checking import outcome
from autophage.runs.run import run

KNOWN_TO = 0.65
"""Standard errors come from twenty groups of replicates, so they are themselves known to 16 %; two of these."""


WARNED = {"lsf_top": "mode seeking"}
"""Runs that are there to show what they are warned of, and a word of the warning."""


def reproduced(name, only=None):
    recipe = recipes()[name]
    checks = recipe.checks_at("small")
    specs = {n: raw for n, raw in recipe.specs("small").items() if only is None or n in only}
    first = {}
    runs = {n: run(spec_of(raw), pictures=False, first_models=first) for n, raw in specs.items()}
    for n, done in runs.items():
        assert not done.failures, f"{n}: {done.failures}"
        unexpected = [w for w in done.warnings if n not in WARNED or WARNED[n] not in w]
        assert not unexpected, f"{n}: {unexpected}"
    if only is not None:
        several = ("order", "ratio", "effective_size")
        checks = [
            c
            for c in checks
            if {c.get("run"), *(n for how in several for n in c.get(how, ()))} <= {*only, None}
        ]
    return [(check, outcome(check, runs)) for check in checks]


def assert_reproduced(found):
    missed = [f"{o.what}: {o.measured}, expected {o.expected}" for _, o in found if not o.passed]
    assert not missed, missed
    for check, o in found:
        if "tolerance" in check and o.standard_error is not None:
            assert (o.high - o.low) / 2 >= 4 * KNOWN_TO * o.standard_error, (
                f"{o.what}: the band is too narrow to mean much"
            )


def test_a_quick_part_of_suresh2024():
    found = reproduced("suresh2024", only={"zipf", "mandelbrot_1", "mandelbrot_2"})
    assert len(found) >= 8
    assert_reproduced(found)


def test_the_command_prints_its_table_and_tells_by_its_exit_code(monkeypatch, capsys):
    """One band moved out of reach: the same runs, and exit code 1."""
    from dataclasses import replace

    from autophage.commands import reproducing

    whole = recipes()["suresh2024"]
    checks = tuple(c for c in whole.checks if c.get("run") == "zipf" or "function" in c)
    small = replace(whole, runs={"zipf": whole.runs["zipf"]}, checks=checks)
    monkeypatch.setattr(reproducing, "recipes", lambda: {"suresh2024": small})
    assert reproducing.reproduce("suresh2024", "small", None, 1, False) == 0
    text = capsys.readouterr().out
    assert f"{len(checks)} of {len(checks)} checks" in text and "2412.17646" in text

    spoiled = replace(small, checks=(*checks[:-1], {**checks[-1], "value": 3.0}))
    monkeypatch.setattr(reproducing, "recipes", lambda: {"suresh2024": spoiled})
    assert reproducing.reproduce("suresh2024", "small", None, 1, True) == 1
    body = json.loads(capsys.readouterr().out)
    assert body["passed"] == len(checks) - 1 == body["of"] - 1
    assert [c["passed"] for c in body["checks"]][-1] is False


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(recipes()))
def test_small_scale(name, capsys):
    found = reproduced(name)
    assert_reproduced(found)
    assert capsys.readouterr().out == ""
