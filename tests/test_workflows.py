"""Plans: what enters every training set, how much is asked for, and what is refused before the start."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autophage import laws
from autophage.errors import SpecError
from autophage.schedules import Power, Scaling, Values
from autophage.spec import Spec
from autophage.workflows import (
    Accumulate,
    AccumulateSubsample,
    Fresh,
    KeepReal,
    Mix,
    Replace,
    Window,
    share_matrix,
    shares,
    takes_parts,
)

SIZES = st.one_of(st.none(), st.integers(1, 60))
SHARES = st.floats(0, 1)
ANY = st.one_of(
    st.builds(Replace, sample_size=SIZES),
    st.builds(Accumulate, sample_size=SIZES),
    st.builds(AccumulateSubsample, sample_size=SIZES),
    st.builds(Window, size=st.integers(1, 5), keep_real=st.booleans(), sample_size=SIZES),
    st.builds(Mix, synthetic_ratio=st.floats(0, 3), real=st.one_of(st.just("all"), st.integers(1, 40))),
    st.builds(KeepReal, real_share=SHARES, sample_size=st.integers(1, 40)),
    st.builds(Fresh, real_share=SHARES, counts=st.sampled_from(["mixture", "exact"]), sample_size=SIZES),
)


@given(ANY)
@settings(max_examples=150, deadline=None)
def test_the_laws_hold_for_any_settings(workflow):
    laws.workflow(workflow, generations=6, real=40)


def test_share_matrices_by_hand():
    A, fresh, sizes = share_matrix(Accumulate(sample_size=10), 4, 10)
    assert np.allclose(A, np.tril(np.ones((4, 4))) / np.arange(1, 5)[:, None])
    assert not fresh.any() and sizes.tolist() == [10] * 4
    A, fresh, sizes = share_matrix(Mix(synthetic_ratio=0.5), 3, 10)
    assert A[2].tolist() == [2 / 3, 0, 1 / 3] and sizes.tolist() == [10, 5, 5]
    A, fresh, sizes = share_matrix(Fresh(real_share=0.25, counts="exact", sample_size=10), 3, 8)
    assert A[2].tolist() == [0, 0, 0.7] and fresh[2] == 0.3 and sizes.tolist() == [8, 7, 7]
    A, fresh, _ = share_matrix(Fresh(real_share=0.25), 3, 8)
    assert np.allclose(A[2], [0, 0, 0.75]) and fresh[2] == 0.25
    A, _, _ = share_matrix(Window(size=2, keep_real=True), 5, 6)
    assert np.allclose(A[4], [1 / 3, 0, 0, 1 / 3, 1 / 3])
    A, _, _ = share_matrix(KeepReal(real_share=0.1, sample_size=30), 3, 40)
    assert np.allclose(A[1], [0.1, 0.9, 0])  # 3 records of 30, not 4
    A, _, _ = share_matrix(AccumulateSubsample(sample_size=5), 3, 5)
    assert np.allclose(A[2], 1 / 3)
    assert shares(Replace().plan(1, 5), [5, 5])[0].tolist() == [0, 1]


def test_windows_count_the_real_set_as_batch_zero():
    assert [len(Window(size=3).plan(t, 9).rows) for t in (1, 2, 3)] == [2, 2, 1]
    row = Window(size=3).plan(3, 9).rows[-1]
    assert (row.first, row.last) == (0, 2)


def test_sizes_follow_schedules_and_are_rounded():
    plan = Replace(sample_size=Power(power=Scaling(scale=10, exponent=0.5)))
    assert [plan.plan(t, 7).new for t in (1, 2, 4)] == [10, 15, 20]
    assert Mix(synthetic_ratio=0.29).plan(1, 100).new == 29
    assert KeepReal(real_share=0.1, sample_size=10).plan(1, 100).rows[0].count == 1
    assert Fresh(counts="exact", real_share=0.1, sample_size=10).plan(1, 100).new == 9


def test_generation_zero():
    assert Replace().start_size(70) == 70
    assert Replace(initial_size=30).start_size(70) == 30
    assert Replace(sample_size=20).start_size(None) == 20
    assert Replace(sample_size=20).start_size(70) == 70
    assert Replace().start_size(None) == 1000
    assert Mix(real=50).start_size(None) == 50
    assert Replace(sample_size=Values(values=[5, 9])).start_size(None) == 5


def test_which_plans_only_records_can_give():
    for workflow, needs in (
        (Replace(), False),
        (Accumulate(), False),
        (Window(size=2), False),
        (Mix(), False),
        (Fresh(), False),
        (AccumulateSubsample(), True),
        (Mix(real=5), True),
        (KeepReal(), True),
    ):
        assert takes_parts(workflow.plan(2, 10), 10) == needs, workflow


def test_a_ratio_too_small_for_one_record_warns():
    warnings = Mix(synthetic_ratio=0.04).check(4, 20)
    assert len(warnings) == 1 and "as if the ratio were 0" in warnings[0] and "t = 1" in warnings[0]
    assert Mix(synthetic_ratio=0).check(4, 20) == []


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Window(size=0), "a window holds at least one batch"),
        (lambda: Replace(initial_size=0), "generation 0 needs at least one real record"),
        (
            lambda: Replace(initial_size=9).start_size(5),
            "asks for 9 real records but the training part has 5",
        ),
        (lambda: Mix(sample_size=5), "takes synthetic_ratio, not sample_size"),
        (lambda: Mix(real=0), "a number of records above zero"),
        (lambda: Mix(real=11).plan(1, 10), "asks for 11 real records but generation 0 has 10"),
        (lambda: Mix(synthetic_ratio=-1).check(3, 10), r"is -1 at t = 1; it must be zero or more"),
        (lambda: Mix(synthetic_ratio=float("nan")).check(3, 10), "is nan at t = 1"),
        (lambda: Mix(synthetic_ratio=float("inf")).check(3, 10), "write workflow: replace"),
        (lambda: Replace(sample_size=Values(values=[5])).check(4, 10), "has 1 values; 4 generations need 3"),
        (lambda: Replace(sample_size=Values(values=[5, -1, 5])).check(4, 10), "is -1 at t = 2"),
        (lambda: Replace(sample_size=Values(values=[5, 0, 5])).check(4, 10), "empty training set at t = 2"),
        (lambda: KeepReal(real_share=1.5).check(3, 10), r"is 1.5 at t = 1; a share must lie in \[0, 1\]"),
        (lambda: KeepReal(real_share=0.9, sample_size=20).check(3, 10), "asks for 18 real records at t = 1"),
        (
            lambda: Fresh(real_share=Power(power=Scaling(scale=0.5, exponent=1))).check(4, 10),
            r"is 1.5 at t = 3; a share must lie in \[0, 1\]",
        ),
        (lambda: Fresh(real_share=Values(values=[0.5])).check(4, 10), "needs one for t = 2"),
        (lambda: Fresh(real_share=float("nan")).check(4, 10), "is nan at t = 1"),
    ],
)
def test_refusals(make, said):
    with pytest.raises(SpecError, match=said) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_an_unknown_workflow_is_answered_with_the_known_ones():
    with pytest.raises(
        ValueError, match="no workflow called 'discard'; known: replace, accumulate, .*fresh"
    ) as caught:
        Spec.of(seed=0, data="gaussian", learner="gaussian", workflow="discard")
    assert isinstance(caught.value, SpecError)
    with pytest.raises(SpecError, match="no workflow called 'acumulate'; did you mean 'accumulate'"):
        Spec.of(seed=0, data="gaussian", learner="gaussian", workflow="acumulate")
