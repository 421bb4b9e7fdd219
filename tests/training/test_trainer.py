"""A training: its budget, its rate, what it reports, and that nothing but rounding depends on how it is cut up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from autophage.errors import FitFailed, RunError
from autophage.keys import Key
from autophage.training import shelf
from autophage.training.averaging import Averaging
from autophage.training.trainer import Course, Trained, train

COURSE = Course(640, batch=32, learning_rate=1e-2, averaging=Averaging(decay=0.9))


class Line:
    """Least squares on y = 2 x + noise."""

    def __init__(self, n: int = 100, most: int | None = None) -> None:
        self.x = (Key(0) / "x").generator().standard_normal((n, 3)).astype(np.float32)
        self.size, self.most = n, most
        self.seen: list[np.ndarray] = []
        self.widths: list[int] = []

    def batch(self, rows: np.ndarray, generator: torch.Generator) -> Sequence[Tensor | None]:
        self.seen.append(rows)
        x = torch.from_numpy(self.x[rows])
        return x, 2 * x + 0.1 * torch.randn(x.shape, generator=generator), None

    def loss(self, net: nn.Module, *batch: Tensor | None) -> Tensor:
        x, y, _ = batch
        assert x is not None and y is not None
        self.widths.append(len(x))
        if self.most is not None and len(x) > self.most:
            raise torch.OutOfMemoryError("out of memory")
        return (net(x) - y).square().mean(1)


def network(dropout: float = 0.0) -> nn.Sequential:
    with Key(3).globally():
        return nn.Sequential(nn.Linear(3, 8), nn.SiLU(), nn.Dropout(dropout), nn.Linear(8, 3))


def trained(course: Course = COURSE, line: Line | None = None, **kept: object) -> tuple[nn.Module, Trained]:
    net = network()
    return net, train(net, line or Line(), course, Key(1) / "fit", **kept)  # type: ignore[arg-type]


def weights(net: nn.Module) -> np.ndarray:
    return np.concatenate([p.detach().numpy().ravel() for p in net.parameters()])


def test_the_budget_counts_records_and_every_pass_sees_each_record_once() -> None:
    line = Line(100)
    _, done = trained(replace(COURSE, records=1000), line)
    assert done.report["steps"] == 32 and done.report["records"] == 1024
    seen = np.concatenate(line.seen)
    assert np.array_equal(np.sort(seen[:100]), np.arange(100))
    assert np.array_equal(np.sort(seen[100:200]), np.arange(100))
    assert not np.array_equal(seen[:100], seen[100:200])


def test_a_set_smaller_than_a_batch_is_its_own_batch() -> None:
    line = Line(20)
    _, done = trained(COURSE, line)
    assert done.report["records"] == 640 and {len(rows) for rows in line.seen} == {20}


def test_the_rate_rises_and_falls_as_told() -> None:
    course = Course(1000, batch=10, learning_rate=1.0, warmup=200, schedule="cosine")
    assert course.rate(0) == pytest.approx(0.05)
    assert course.rate(19) == pytest.approx(0.5 * (1 + np.cos(np.pi * 0.19)))
    assert replace(course, schedule="constant").rate(50) == 1.0
    _, done = trained(replace(COURSE, warmup=64_000))
    assert done.report["highest_rate"] == pytest.approx(
        1e-2 * 640 / 64_000
    )  # a warm-up that hides the training
    assert done.report["nominal_rate"] == 1e-2


def test_the_average_is_the_recursion_and_its_lag_is_reported() -> None:
    plain, done = trained(replace(COURSE, averaging=None))
    assert done.report["average_moved"] == 1.0
    # By hand: the weights after each step are those of shorter trainings, for the rate is constant.
    by_hand = weights(network())
    for step in range(1, 21):
        net, _ = trained(replace(COURSE, averaging=None, records=32 * step))
        by_hand = 0.9 * by_hand + 0.1 * weights(net)
    averaged, done = trained()
    np.testing.assert_allclose(weights(averaged), by_hand, atol=2e-6)
    assert done.report["average_moved"] == pytest.approx(1 - 0.9**20)
    np.testing.assert_array_equal(
        np.concatenate([v.numpy().ravel() for v in done.last.values()]), weights(plain)
    )


@pytest.mark.parametrize(("steps", "moved"), [(390, 0.038), (7812, 0.542)])
def test_a8_the_lag_of_published_loops(steps: int, moved: float) -> None:
    assert 1 - Averaging(decay=0.9999).lag(steps * 128, 128, steps) == pytest.approx(moved, abs=5e-4)


def test_a_half_life_halves() -> None:
    law = Averaging(half_life=1000, ramp=1.0)
    assert law.keeps(10**6, 100) ** 10 == pytest.approx(0.5)
    assert law.keeps(500, 100) ** 5 == pytest.approx(0.5)  # no longer than what was seen


@pytest.mark.parametrize("micro", [1, 7, 16])
def test_micro_batches_change_nothing_but_rounding(micro: int) -> None:
    whole, _ = trained()
    parts, _ = trained(replace(COURSE, micro_batch=micro))
    np.testing.assert_allclose(weights(whole), weights(parts), atol=1e-5)


def test_out_of_memory_falls_back_to_smaller_parts_with_the_same_result() -> None:
    whole, _ = trained()
    line = Line(most=10)
    parts, done = trained(line=line)
    np.testing.assert_allclose(weights(whole), weights(parts), atol=1e-5)
    assert line.widths[:3] == [32, 16, 8] and done.report["micro_batch"] == 8
    with pytest.raises(RunError, match="not even one record fits into memory"):
        trained(line=Line(most=0))


def test_put_down_and_picked_up_it_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, done = trained()
    monkeypatch.setattr(shelf, "SECONDS", 0.0)
    monkeypatch.setattr("autophage.training.trainer.LOOK_EVERY", 6)

    class Dies(Line):
        def batch(self, rows: np.ndarray, generator: torch.Generator) -> Sequence[Tensor | None]:
            if len(self.seen) == 14:
                raise KeyboardInterrupt
            return super().batch(rows, generator)

    with shelf.shelf_at(tmp_path), pytest.raises(KeyboardInterrupt):
        trained(line=Dies())
    line = Line()
    with shelf.shelf_at(tmp_path):
        again, second = trained(line=line)
    assert len(line.seen) == 20 - 12  # went on from step 12
    np.testing.assert_array_equal(weights(whole), weights(again))
    assert second.report == done.report
    assert not list(tmp_path.iterdir())  # nothing is left lying about


def test_dropout_is_repeatable_and_the_global_stream_is_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    found = []
    for _ in range(2):
        net = network(0.5)
        train(net, Line(), COURSE, Key(1))
        found.append(weights(net))
    np.testing.assert_array_equal(*found)
    assert torch.equal(before, torch.get_rng_state())
    assert not np.array_equal(found[0], weights(trained()[0]))


def test_moments_are_carried() -> None:
    _, first = trained()
    net = network()
    train(net, Line(), COURSE, Key(2), last=first.last, optimiser=first.optimiser)
    fresh = network()
    train(fresh, Line(), COURSE, Key(2), last=first.last)
    assert not np.array_equal(weights(net), weights(fresh))
    assert float(first.optimiser["steps"]) == 20
    _, second = trained(last=first.last, optimiser=first.optimiser)
    assert float(second.optimiser["steps"]) == 40


def test_a_loss_that_is_not_finite_is_a_failed_fit() -> None:
    class Breaks(Line):
        def loss(self, net: nn.Module, *batch: Tensor | None) -> Tensor:
            return super().loss(net, *batch) * (float("nan") if len(self.seen) == 5 else 1.0)

    with pytest.raises(
        FitFailed, match=r"the loss became NaN at step 4 of 20; a lower learner.learning_rate"
    ):
        trained(line=Breaks())


def test_a_training_that_moves_nothing_is_an_error() -> None:
    with pytest.raises(FitFailed, match="no parameter moved"):
        trained(replace(COURSE, learning_rate=0.0))


def test_nothing_to_learn_from() -> None:
    with pytest.raises(FitFailed, match="the training set is empty"):
        trained(line=Line(0))


def test_progress_is_told() -> None:
    told: list[tuple[str, float]] = []
    with shelf.shelf_at(None, lambda what, share: told.append((what, share))):
        trained()
    assert told[-1] == ("training", 1.0)
