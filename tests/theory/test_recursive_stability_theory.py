"""Fu et al.: the sheet's values and the recursions behind the closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.theory.recursive_stability import accumulated_shift, index_course, limit


def test_sheet_5_stability_index():
    course = index_course(100, 0.2, 400)
    assert course[[0, 1, 10]] == pytest.approx([0.01, 0.018, 0.045705], abs=1e-6)
    assert course[-1] == pytest.approx(0.05, abs=1e-12) and limit(1 / 100, 0.2) == pytest.approx(0.05)


def test_sheet_5_accumulated_shift():
    course = accumulated_shift(0.2, 0.01, 400)
    assert course[10] == pytest.approx(0.0446313, abs=1e-7)
    assert course[0] == 0 and course[-1] == pytest.approx(limit(0.01, 0.2))


@pytest.mark.parametrize("a", [0.0, 1e-12, 0.2, 0.7, 1.0])
def test_closed_forms_follow_their_recursions(a):
    shift, index = accumulated_shift(a, 0.01, 50), index_course(40, a, 50)
    np.testing.assert_allclose(shift[1:], (1 - a) * shift[:-1] + 0.01, rtol=1e-9)
    np.testing.assert_allclose(index[1:], 1 / 40 + (1 - a) * index[:-1], rtol=1e-9)
    assert index[0] == pytest.approx(1 / 40)


def test_without_real_data_nothing_is_bounded():
    assert limit(0.01, 0.0) == float("inf") and limit(0.0, 0.0) == 0
    assert index_course(10, 0.0, 5).tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: accumulated_shift(1.2, 0.01, 5), "the real share"),
        (lambda: accumulated_shift(0.2, float("nan"), 5), "the step error"),
        (lambda: accumulated_shift(0.2, 0.01, 0), "generations"),
        (lambda: index_course(0, 0.2, 5), "n is 0"),
        (lambda: index_course(10, 0.2, 0), "generations"),
        (lambda: limit(-1.0, 0.2), "the first step"),
        (lambda: limit(1.0, float("nan")), "the real share"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(SpecError, match=words):
        call()
