import pickle

import numpy as np
import pytest
from scipy.special import logsumexp

import autophage.learners.kernel_sums as module
from autophage.learners.kernel_sums import KernelSums, log_add, log_kernel_sums


def exactly(centres, x, h):
    gaps = x[None, :, None, :] - centres[:, None, :, :]
    return logsumexp(-0.5 * (gaps**2).sum(axis=3) / np.reshape(h, (-1, 1, 1)) ** 2, axis=2)


@pytest.mark.parametrize("d", [1, 2, 3, 6])
@pytest.mark.parametrize("h", [0.02, 0.3, 5.0])
def test_log_sums_equal_scipys(d, h):
    rng = np.random.default_rng(d)
    centres, x = rng.normal(size=(3, 70, d)), rng.normal(size=(40, d))
    assert log_kernel_sums(centres, x, np.array([h])) == pytest.approx(
        exactly(centres, x, h), rel=1e-5, abs=1e-5
    )


def test_far_points_do_not_underflow():
    centres, x = np.array([[[0.0], [0.1]]]), np.array([[-40.0], [0.0], [5.0], [40.0]])
    for h in (1.0, 0.05):  # in single precision, and where only double precision will do
        assert log_kernel_sums(centres, x, np.array([h])) == pytest.approx(exactly(centres, x, h), rel=1e-6)


def test_far_from_the_origin_no_digits_are_lost():
    rng = np.random.default_rng(0)
    centres, x = 1e6 + rng.normal(size=(2, 50, 1)), 1e6 + rng.normal(size=(30, 1))
    assert log_kernel_sums(centres, x, np.array([0.1])) == pytest.approx(
        exactly(centres, x, 0.1), rel=1e-5, abs=1e-5
    )


def test_blocks_do_not_matter(monkeypatch):
    rng = np.random.default_rng(1)
    centres, x = rng.normal(size=(4, 300, 2)), rng.normal(size=(90, 2))
    whole = log_kernel_sums(centres, x, np.array([0.3]))
    monkeypatch.setattr(module, "BLOCK", 2048)
    monkeypatch.setattr(module, "CENTRES", 100)
    assert log_kernel_sums(centres, x, np.array([0.3])) == pytest.approx(whole, rel=1e-5, abs=1e-5)


def test_replicates_may_have_their_own_bandwidth_and_points():
    rng = np.random.default_rng(2)
    centres, x, h = rng.normal(size=(3, 20, 2)), rng.normal(size=(10, 2)), np.array([0.2, 0.5, 1.0])
    assert log_kernel_sums(centres, x, h) == pytest.approx(exactly(centres, x, h), rel=1e-9)
    assert log_kernel_sums(centres[:1], x, h) == pytest.approx(
        exactly(np.repeat(centres[:1], 3, 0), x, h), rel=1e-9
    )
    own = rng.normal(size=(3, 10, 2))
    each = np.stack([exactly(centres[r : r + 1], own[r], h[r])[0] for r in range(3)])
    assert log_kernel_sums(centres, own, h) == pytest.approx(each, rel=1e-9)


def test_log_add_is_the_logarithm_of_the_sum():
    a, b = np.array([0.0, -1000.0, 800.0]), np.array([1.0, -1001.0, -800.0])
    assert log_add(a, b) == pytest.approx(np.logaddexp(a, b))


@pytest.fixture
def counted(monkeypatch):
    """How many centres were evaluated."""
    seen = []
    plain = log_kernel_sums

    def counting(centres, x, h):
        seen.append(centres.shape[1])
        return plain(centres, x, h)

    monkeypatch.setattr(module, "log_kernel_sums", counting)
    return seen


def segments(rng, *sizes):
    return [rng.normal(size=(2, n, 1)) for n in sizes]


def test_a_growing_pile_costs_its_newest_segment_only(counted):
    rng, sums = np.random.default_rng(3), KernelSums()
    x, h, pile = rng.normal(size=(7, 1)), np.array([0.3]), segments(rng, 5, 6, 7, 8)
    for t in range(1, 5):
        views = [s[:, :] for s in pile[:t]]  # new views of the same memory, and a copy of the points
        got = sums.log_sums(views, x.copy(), h)
        assert np.array_equal(got, KernelSums().log_sums(pile[:t], x, h))
    assert counted == [*[5, 5], *[6, 5, 6], *[7, 5, 6, 7], *[8, 5, 6, 7, 8]]  # remembered, then anew


def test_the_first_segment_is_remembered_when_the_rest_changes(counted):
    rng, sums = np.random.default_rng(4), KernelSums()
    x, h, (real, *newest) = rng.normal(size=(7, 1)), np.array([0.3]), segments(rng, 50, 6, 7, 8)
    for new in newest:
        sums.log_sums([real, new], x, h)
    assert counted == [50, 6, 7, 8]


def test_other_points_bandwidths_or_centres_are_computed_anew(counted):
    rng, sums = np.random.default_rng(5), KernelSums()
    x, (a, b) = rng.normal(size=(7, 1)), segments(rng, 5, 5)
    for centres, points, h in ((a, x, 0.3), (a, x + 1, 0.3), (a, x, 0.4), (b, x, 0.3), (a[:, 1:], x, 0.3)):
        got = sums.log_sums([centres], points, np.array([h]))
        assert np.array_equal(got, KernelSums().log_sums([centres], points, np.array([h])))
    assert len(counted) == 10


def test_memory_that_was_freed_is_not_mistaken_for_what_lies_there_now():
    rng, sums, x, h = np.random.default_rng(6), KernelSums(), np.zeros((1, 1)), np.array([1.0])
    for _ in range(50):
        centres = rng.normal(size=(1, 3, 1))
        assert np.array_equal(sums.log_sums([centres], x, h), log_kernel_sums(centres, x, h))
        del centres


def test_a_copy_in_another_process_starts_empty():
    sums = KernelSums()
    sums.log_sums([np.zeros((1, 2, 1))], np.zeros((1, 1)), np.array([1.0]))
    assert pickle.loads(pickle.dumps(sums))._courses == []
