"""Long generations: what was trained and drawn of an unfinished one is not lost, and faults leave the finished ones."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autophage.errors import RunError
from autophage.learners.denoising import DenoisingModel
from autophage.runs.folder import get_samples
from autophage.runs.run import run
from autophage.training import shelf, trainer

DEEP: dict[str, Any] = {
    "name": "long",
    "seed": 2,
    "generations": 3,
    "data": {"kind": "digits", "size": 200},
    "learner": {
        "kind": "diffusion",
        "network": {"kind": "small_unet", "width": 8},
        "records": 512,
        "batch_size": 32,
        "warmup": 0,
        "start": "previous",
        "device": "cpu",
    },
    "sampling": {"sampler": "heun", "steps": 2},
    "workflow": {"kind": "replace", "sample_size": 600},
    "metrics": ["training"],
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("whole") / "run"
    run(DEEP, place)
    return place


def drawn(place: Path, generation: int = 1) -> np.ndarray:
    return np.asarray(get_samples(place / "replicate_0000" / f"generation_{generation:04d}" / "main").x)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work is put down at every look."""
    monkeypatch.setattr(shelf, "SECONDS", 0.0)
    monkeypatch.setattr(trainer, "LOOK_EVERY", 4)


@pytest.mark.usefixtures("often")
def test_a_training_goes_on_where_it_stood(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    one = trainer._Run._one

    def dies(self: Any, step: int) -> Any:
        steps.append(step)
        if len(steps) == 16 + 11:  # generation 1, step 10
            raise KeyboardInterrupt
        return one(self, step)

    monkeypatch.setattr(trainer._Run, "_one", dies)
    with pytest.raises(KeyboardInterrupt):
        run(DEEP, tmp_path / "run")
    assert list((tmp_path / "run/replicate_0000/unfinished").iterdir())
    resumed = run(DEEP, tmp_path / "run", resume=True)
    assert steps[27:29] == [8, 9]  # not from the beginning
    assert resumed.status == "completed"
    np.testing.assert_array_equal(drawn(whole), drawn(tmp_path / "run"))
    assert not (tmp_path / "run/replicate_0000/unfinished").exists()


@pytest.mark.usefixtures("often")
def test_a_drawing_goes_on_where_it_stood(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    made = DenoisingModel._made

    def dies(self: Any, first: int, *others: Any) -> Any:
        asked.append(first)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return made(self, first, *others)

    monkeypatch.setattr(DenoisingModel, "_made", dies)
    with pytest.raises(KeyboardInterrupt):
        run(DEEP, tmp_path / "run")
    run(DEEP, tmp_path / "run", resume=True)
    assert asked[:4] == [0, 256, 512, 512]
    for generation in (0, 1):
        np.testing.assert_array_equal(drawn(whole, generation), drawn(tmp_path / "run", generation))


@pytest.mark.usefixtures("often")
def test_a_disk_that_fills_while_sampling_keeps_the_finished_generations(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, full = os.replace, False

    def refuses(source: Any, target: Any) -> None:
        nonlocal full
        # From the moment generation 1 puts half of its drawing down.
        full = full or (
            "unfinished" in str(target)
            and (tmp_path / "run/replicate_0000/generation_0000/done.json").exists()
        )
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuses)
        with pytest.raises(RunError, match="the disk is full; free some space and go on with --resume"):
            run(DEEP, tmp_path / "run")
    assert (tmp_path / "run/replicate_0000/generation_0000/done.json").is_file()
    assert run(DEEP, tmp_path / "run", resume=True).status == "completed"
    np.testing.assert_array_equal(drawn(whole), drawn(tmp_path / "run"))


def test_a_loss_that_breaks_in_a_later_generation_keeps_the_earlier_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gradient, seen = trainer._Run._gradient, []

    def breaks(self: Any, batch: Any) -> Any:
        seen.append(1)
        return gradient(self, batch) * (float("nan") if len(seen) == 20 else 1.0)

    monkeypatch.setattr(trainer._Run, "_gradient", breaks)
    ended = run(DEEP, tmp_path / "run")
    assert ended.status == "failed"
    assert ended.failures[0]["generation"] == 1
    assert "the loss became NaN at step 3 of 16" in ended.failures[0]["reason"]
    assert (tmp_path / "run/replicate_0000/generation_0000/done.json").is_file()
    assert ended.metrics["generation"].max() == 0
