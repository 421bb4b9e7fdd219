"""Every recipe is well formed: its runs resolve, and each check can be answered."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from autophage import registry
from autophage.errors import SpecError
from autophage.loop import Loop
from autophage.processes.spec import ProcessSpec, spec_of
from autophage.recipes import SCALES, laid_over, recipes
from autophage.recipes.checking import statistic

NAMES = (
    "alemohammad2023",
    "amin2026",
    "bakshi2026",
    "barzilai2025",
    "bertrand2024",
    "dohmatob2024",
    "dohmatob2024_strong",
    "dohmatob2024_tails",
    "feng2024",
    "ferbach2024",
    "fu2025",
    "gao2025",
    "garetto2025",
    "gerstgrasser2024",
    "gillman2024",
    "han2025",
    "he2025",
    "kanabar2025",
    "kazdan2024",
    "marchi2024",
    "seddik2024",
    "shumailov2024",
    "suresh2024",
    "wei2025",
    "xu2025",
)
HOW = ("function", "order", "ratio", "verdict", "run")


def at_scales(name):
    return [(scale, recipes()[name].specs(scale)) for scale in SCALES if scale in recipes()[name].scales]


def test_the_statistical_recipes_are_there():
    assert set(NAMES) <= set(recipes())


@pytest.mark.parametrize("name", sorted(recipes()))
def test_runs_resolve_at_every_scale(name):
    """The parts exist and fit each other, and data that come with the package suffice at the small scale."""
    assert "small" in recipes()[name].scales
    for scale, specs in at_scales(name):
        for run, raw in specs.items():
            spec = spec_of(raw)
            assert not spec.seed_drawn, f"{name}.{run}: a recipe names its seed"
            if scale == "small" and isinstance(spec, ProcessSpec):
                spec.process.check()
            elif scale == "small":
                Loop(spec)


@pytest.mark.parametrize("name", sorted(recipes()))
def test_checks_can_be_answered(name):
    recipe = recipes()[name]
    assert recipe.title and recipe.citations and recipe.checks
    for check in recipe.checks:
        what = f"{name}: {check['what']}"
        assert check.get("from"), f"{what}: says no source"
        how = [k for k in HOW if k in check and not (k == "run" and "verdict" in check)]
        assert len(how) == 1, f"{what}: is {how or 'no kind of check'}"
        measured = how[0] in ("run", "order", "ratio") and "verdict" not in check
        assert not measured or check.get("metric"), f"{what}: measures nothing"
        if how[0] != "order" and "verdict" not in check:
            told = "band" in check or ("tolerance" in check and ("value" in check or "theory" in check))
            assert told, f"{what}: has no band"
        if "band" in check:
            assert check["band"][0] < check["band"][1]
        if "function" in check:
            assert callable(registry.load(check["function"], what))
    for scale, specs in at_scales(name):
        asked = recipe.checks_at(scale)
        assert asked
        for check in asked:
            for run in [
                *check.get("order", ()),
                *check.get("ratio", ()),
                *([check["run"]] if "run" in check else []),
            ]:
                assert run in specs, f"{name} at {scale}: '{check['what']}' names no run of this scale: {run}"
                generations = check.get("generation", -1)
                last = max(generations) if isinstance(generations, list) else generations
                assert last < specs[run]["generations"]
            assert set(check.get("effective_size", ())) <= set(specs)
        several = ("order", "ratio", "effective_size")
        used = {r for c in asked for r in [c.get("run"), *(n for how in several for n in c.get(how, ()))]}
        assert set(specs) <= used, f"{name} at {scale}: runs nobody checks: {set(specs) - used}"


@pytest.mark.parametrize("name", sorted(recipes()))
def test_readme_says_what_is_and_is_not_reproduced(name):
    text = (files("autophage.recipes") / name / "README.md").read_text(encoding="utf-8")
    for heading in ("What the paper does", "What is reproduced", "What is not reproduced", "Cite"):
        assert re.search(rf"^## {heading}$", text, re.MULTILINE), f"{name}: no section '{heading}'"
    assert f"autophage reproduce {name}" in text


def test_another_kind_drops_the_old_settings_and_nothing_else():
    base = {
        "workflow": {"kind": "replace", "sample_size": 5},
        "data": {"kind": "gaussian", "dim": 2},
        "seed": 1,
    }
    laid = laid_over(base, {"workflow": {"kind": "mix", "real": 3}, "data": {"dim": 4}})
    assert laid == {"workflow": {"kind": "mix", "real": 3}, "data": {"kind": "gaussian", "dim": 4}, "seed": 1}
    assert base["data"] == {"kind": "gaussian", "dim": 2}


def test_unknown_scale_is_refused():
    with pytest.raises(SpecError, match="small"):
        recipes()["suresh2024"].specs("huge")


def test_unknown_statistic_is_refused():
    import numpy as np

    with pytest.raises(SpecError, match="mean_log"):
        statistic(np.ones(3), "mean_logs")
