"""Safeguards side by side: shared beginnings, matched budgets, and what becomes of arms that fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest

import autophage
from autophage.comparisons import Safeguard, compare
from autophage.comparisons.budgets import matched
from autophage.comparisons.comparison import Gain, opened
from autophage.comparisons.costs import Cost
from autophage.comparisons.safeguards import SAFEGUARDS, safeguards_of
from autophage.errors import RunError, SpecError
from autophage.interventions import Treatment
from autophage.loop import Loop
from autophage.spec import Spec

SPEC: dict[str, Any] = {
    "name": "small",
    "seed": 3,
    "generations": 3,
    "replicates": 2,
    "data": {"kind": "digits"},
    "learner": {
        "kind": "vae",
        "start": "previous",
        "architecture": "linear",
        "first_records": 1000,
        "records": 1000,
        "batch_size": 50,
    },
    "workflow": {"kind": "replace", "sample_size": 200},
    "metrics": ["frechet", {"kind": "precision_recall", "k": 5}],
    "evaluation_size": 100,
}


class Spending(Treatment):
    """Changes nothing, and says that it trained an extra network on 250 records and drew 100 in each generation."""

    spent: ClassVar[dict[str, float]] = {"auxiliary_records": 250.0, "auxiliary_draws": 100.0}

    def apply(self, model: Any, *, context: Any) -> Any:
        context.noted.update({k: np.array([v]) for k, v in self.spent.items()})
        return model


def not_a_number(x: np.ndarray) -> np.ndarray:
    return np.full(len(x), np.nan)


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("comparison") / "here"
    own = Safeguard("spending", {"treatment": {"kind": f"{__name__}:Spending"}}, blind="everything")
    return compare(SPEC, ["real_kept", "correction", own], folder, budget="records")


def course(run: Any, metric: str) -> list[float]:
    return run.metrics.filter(pl.col("metric") == metric).sort("replicate", "generation")["value"].to_list()


def test_the_plain_arm_is_the_plain_loop(comparison: Any) -> None:
    alone = autophage.run(SPEC)
    assert course(comparison.runs["plain"], "frechet_pixels") == course(alone, "frechet_pixels")


def test_all_arms_begin_with_one_generation_0(comparison: Any) -> None:
    first = {
        name: run.metrics.filter((pl.col("metric") == "frechet_pixels") & (pl.col("generation") == 0))[
            "value"
        ].to_list()
        for name, run in comparison.runs.items()
    }
    assert len({tuple(v) for v in first.values()}) == 1
    last = {name: course(run, "frechet_pixels")[2] for name, run in comparison.runs.items()}
    assert last["real_kept"] != last["plain"] != last["correction"]


def test_what_a_safeguard_trains_is_taken_from_its_models_training(comparison: Any) -> None:
    rows = {row["arm"]: row for row in comparison.table()}
    assert rows["plain"]["trained"] == 2 * 1000
    # The extra network is trained in generation 0 too: three times in two retrainings.
    assert rows["spending"]["training_share"] == pytest.approx(0.625)
    assert rows["spending"]["auxiliary_records"] == 3 * 250
    assert rows["spending"]["trained"] + rows["spending"]["auxiliary_records"] == pytest.approx(2000, abs=100)
    spent = 3 * (rows["spending"]["trained"] + 750) + 1.0 * (2 * 200 + 3 * 100)
    assert rows["spending"]["evaluations"] == spent
    assert rows["real_kept"]["training_share"] == 1.0 and rows["correction"]["knows"]


def test_a_comparison_is_there_to_be_repeated_and_opened(comparison: Any) -> None:
    own = Safeguard("spending", {"treatment": {"kind": f"{__name__}:Spending"}}, blind="everything")
    stamp = (comparison.folder / "plain" / "manifest.json").stat().st_mtime_ns
    again = compare(SPEC, ["real_kept", "correction", own], comparison.folder, budget="records")
    assert (comparison.folder / "plain" / "manifest.json").stat().st_mtime_ns == stamp
    for one in (again, opened(comparison.folder)):
        for a, b in zip(one.table(), comparison.table(), strict=True):
            assert {k: v for k, v in a.items() if k != "gain_interval"} == {
                k: v for k, v in b.items() if k != "gain_interval"
            }
    with pytest.raises(RunError, match="holds another comparison"):
        compare(SPEC, ["real_kept"], comparison.folder, budget="records")
    with pytest.raises(RunError, match="there is no comparison"):
        opened(comparison.folder / "plain")


def test_its_page_has_the_ledger_and_what_was_dropped(comparison: Any, tmp_path: Path) -> None:
    page = comparison.report(tmp_path / "report.html").read_text()
    assert "What each safeguard gained" in page and "Fidelity and diversity" in page
    assert "real records, put into the loop again" in page
    assert "What curation kept and dropped" in page and "by correction" in page
    assert (tmp_path / "figures" / "gain.png").stat().st_size > 5000
    assert (tmp_path / "figures" / "plane.png").stat().st_size > 5000


@pytest.mark.slow
def test_processes_find_the_same_numbers(comparison: Any, tmp_path: Path) -> None:
    several = compare(SPEC, ["real_kept", "correction"], tmp_path / "there", budget="records", workers=2)
    for name in ("plain", "real_kept", "correction"):
        assert course(several.runs[name], "frechet_pixels") == course(comparison.runs[name], "frechet_pixels")


def test_an_arm_that_fails_is_an_outcome() -> None:
    bad = Safeguard(
        "bad", {"curation": [{"kind": "preference", "choices": 2, "reward": f"{__name__}:not_a_number"}]}
    )
    found = compare({**SPEC, "replicates": 1, "generations": 2}, [bad, "real_kept"], budget="records")
    rows = {row["arm"]: row for row in found.table()}
    assert rows["bad"]["failures"] and rows["bad"]["gain"] is None
    assert rows["real_kept"]["gain"] is not None and not rows["real_kept"]["failures"]


def test_learners_without_a_budget_are_compared_as_they_are() -> None:
    spec = {
        "seed": 0,
        "generations": 3,
        "replicates": 3,
        "data": {"kind": "two_moons"},
        "learner": {
            "kind": "estimator",
            "object": "sklearn.mixture:GaussianMixture",
            "arguments": {"n_components": 4},
        },
        "workflow": {"kind": "replace", "sample_size": 200},
        "metrics": ["frechet"],
    }
    found = compare(spec, ["real_kept"])
    plain, kept = found.table()
    assert plain["training_share"] is None and kept["trained"] > plain["trained"]
    from autophage.comparisons.paged import matching

    assert "no budget of records" in matching(found)


def test_a_seed_that_was_drawn_is_kept(tmp_path: Path) -> None:
    spec = {k: v for k, v in SPEC.items() if k != "seed"} | {"replicates": 1, "generations": 2}
    first = compare(spec, ["real_kept"], tmp_path / "drawn")
    again = compare(spec, ["real_kept"], tmp_path / "drawn")
    assert course(first.runs["plain"], "frechet_pixels") == course(again.runs["plain"], "frechet_pixels")


def test_gains_are_paired_and_exact() -> None:
    gain = Gain(float(np.log(4.0)), 0.1, 5)
    assert gain.share == pytest.approx(0.75)
    low, high = gain.interval
    reach = 2.7764451 * 0.1  # Student's t, four degrees of freedom
    assert low == pytest.approx(1 - 0.25 * np.exp(reach)) and high == pytest.approx(1 - 0.25 * np.exp(-reach))
    assert np.isnan(Gain(1.0, float("nan"), 1).interval).all()


@pytest.mark.parametrize(
    ("budget", "arm", "records"),
    [
        ("records", Cost(trained=1000, auxiliary_records=300, evaluations=9000, seconds=90), 700),
        ("records", Cost(trained=1200, auxiliary_records=0, evaluations=0, seconds=0), 800),
        ("steps", Cost(trained=1000, auxiliary_records=100, evaluations=5200, seconds=90), 600),
        ("seconds", Cost(trained=1000, evaluations=0, seconds=14), 800),
    ],
)
def test_budgets_take_the_excess_from_training(budget: Any, arm: Cost, records: int) -> None:
    plain = Cost(trained=1000, evaluations=4000, seconds=10)
    found = matched(1000, plain, arm, budget, second=50)
    assert found.records == records and not found.over
    assert matched(1000, plain, plain, budget, second=50).records == 1000


def test_names_files_and_refusals(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(
        "pull: {curation: [{kind: correction, strength: 1, corrector: empirical}], knows: real records}\n"
    )
    found = safeguards_of(f"real_kept,{file}")
    assert [s.name for s in found] == ["real_kept", "pull"] and found[1].knows == "real records"
    assert found[1].applied({"curation": [{"kind": "preference"}]})["curation"][1]["kind"] == "correction"
    with pytest.raises(SpecError, match="no safeguard called 'real_keept'; did you mean 'real_kept'"):
        safeguards_of("real_keept")
    with pytest.raises(SpecError, match="named twice"):
        safeguards_of(["sims", "sims"])
    with pytest.raises(SpecError, match="at least one safeguard"):
        safeguards_of("plain")
    file.write_text("pull: {curations: []}\n")
    with pytest.raises(SpecError, match=r"unknown key 'pull.curations'"):
        safeguards_of(str(file))
    with pytest.raises(SpecError, match="budget is 'record'; did you mean"):
        compare(SPEC, ["real_kept"], budget="record")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="safeguard likelihood_rank: "):
        compare(SPEC, ["likelihood_rank"])
    with pytest.raises(SpecError, match="a folder"):
        compare(SPEC, ["real_kept"], workers=2)


def test_every_known_safeguard_says_what_it_cannot_see() -> None:
    for name, safeguard in SAFEGUARDS.items():
        assert safeguard.name == name and safeguard.blind and safeguard.line()


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from autophage.commands.comparing import compare as command

    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({**SPEC, "replicates": 1, "generations": 2}))
    assert command(str(spec), "real_kept", "records", tmp_path / "out", [], 1, True) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["arms"][1]["arm"] == "real_kept" and said["risk"] == "frechet_pixels"
    assert Path(said["report"]).is_file()
    assert command(str(spec), "real_kept", "records", tmp_path / "out", [], 1, False) == 0
    assert "real_kept" in capsys.readouterr().out


@pytest.mark.parametrize("name", SAFEGUARDS)
def test_every_known_safeguard_fits_a_loop_it_is_for(name: str) -> None:
    deep: dict[str, Any] = {
        "kind": "diffusion",
        "labels": "use",
        "start": "previous",
        "records": 1000,
        "device": "cpu",
    }
    spec: dict[str, Any] = {
        **SPEC,
        "learner": {"kind": "flow"} if name == "likelihood_rank" else deep,
        "sampling": {"guidance": 1.0} if name == "redifine" else {},
    }
    assert Loop(Spec.of(SAFEGUARDS[name].applied(spec))).blocks()
