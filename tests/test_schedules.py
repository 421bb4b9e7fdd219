"""Sizes and shares that change over generations."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autophage.errors import SpecError
from autophage.schedules import Constant, Power, Scaling, Values, at, ceil, floor, share_at, size_at


def test_every_form():
    assert at(3, 7) == at(Constant(constant=3), 7) == 3.0
    assert [at(Power(power=Scaling(scale=20, exponent=-0.5)), t) for t in (1, 4)] == [20, 10]
    assert [at(Values(values=[5, 6]), t) for t in (1, 2)] == [5, 6]


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_rounding_forgives_the_rounding_of_products(a, b):
    assert ceil(a / b * b) == floor(a / b * b) == a
    assert ceil(a + 0.5) == a + 1 and floor(a + 0.5) == a


def test_sizes_are_rounded_up():
    assert size_at(2.1, 1, "n") == 3
    assert size_at(Power(power=Scaling(scale=1, exponent=0.5)), 2, "n") == 2
    assert size_at(0, 1, "n") == 0


@pytest.mark.parametrize("bad", [-1, math.nan, math.inf, -math.inf])
def test_a_size_must_be_a_number(bad):
    with pytest.raises(SpecError, match=r"workflow\.sample_size is .* at t = 3"):
        size_at(Values(values=[1, 1, bad]), 3, "workflow.sample_size")


@pytest.mark.parametrize("bad", [-0.01, 1.01, math.nan, math.inf])
def test_a_share_lies_between_zero_and_one_or_names_t(bad):
    assert share_at(0, 1, "s") == 0 and share_at(1, 1, "s") == 1
    with pytest.raises(SpecError, match=r"real_share is .* at t = 2; a share must lie in \[0, 1\]"):
        share_at(Values(values=[0.5, bad]), 2, "workflow.real_share")


def test_a_power_that_overflows_is_refused_and_not_a_crash():
    for scale in (1, -1):
        with pytest.raises(SpecError, match="at t = 10"):
            size_at(Power(power=Scaling(scale=scale, exponent=1e6)), 10, "workflow.sample_size")


def test_values_that_are_too_short():
    with pytest.raises(SpecError, match=r"has 2 values .* needs one for t = 3"):
        at(Values(values=[1, 2]), 3, "workflow.real_share")
