from __future__ import annotations

import numpy as np
import pytest

from autophage.errors import DataError
from autophage.keys import Key
from autophage.report.interpolation import SHARES, Blend, between, mixed
from autophage.samples import Samples


class Scaled:
    """A stub: records are noise times `scale` plus the class asked for."""

    def __init__(self, arrays):
        self.held = {k: np.asarray(v) for k, v in arrays.items()}

    def arrays(self):
        return self.held

    def sample(self, n, *, key, given=None):
        noise = key.generator().standard_normal((n, 3))
        shift = 0 if given is None else given.label[:, None]
        return Samples.of(noise * self.held["scale"] + shift)


def test_records_lie_on_the_line_between_the_models():
    a, b = Scaled({"scale": np.full(3, 1.0)}), Scaled({"scale": np.full(3, 5.0)})
    found = between(a, b, SHARES, Key(3), 4, restore=Scaled)
    noise = Key(3).generator().standard_normal((4, 3))
    for share, x in zip(SHARES, found, strict=True):
        np.testing.assert_allclose(x, noise * (1 + 4 * share), rtol=1e-12)


def test_classes_are_asked_for():
    a = Scaled({"scale": np.zeros(3)})
    [x] = between(a, a, [0.5], Key(0), 2, restore=Scaled, given=Samples.of(label=np.array([4, 9])))
    assert x[:, 0].tolist() == [4.0, 9.0]


def test_types_stay_and_both_ends_are_the_models_themselves():
    rng = np.random.default_rng(0)
    for dtype in (np.float16, np.float32, np.float64):
        a, b = ({"w": rng.normal(size=(2, 3)).astype(dtype)} for _ in range(2))
        for share, end in ((0, a), (1, b)):
            result = mixed(a, b, share)["w"]
            assert result.dtype == dtype
            np.testing.assert_array_equal(result, end["w"])


def test_settings_and_counters_come_from_the_nearer_model():
    a = {"header": np.zeros(3, np.uint8), "steps": np.array(10), "w": np.zeros(2)}
    b = {"header": np.ones(7, np.uint8), "steps": np.array(30), "w": np.ones(2)}
    assert len(mixed(a, b, 0.4)["header"]) == 3 and len(mixed(a, b, 0.6)["header"]) == 7
    assert int(mixed(a, b, 0.4)["steps"]) == 10 and int(mixed(a, b, 0.6)["steps"]) == 30


@pytest.mark.parametrize(
    ("change", "share", "said"),
    [
        ({"w": np.zeros(3)}, 0.5, r"w is float64 \(2,\) in one and float64 \(3,\)"),
        ({"w": np.zeros(2, np.float32)}, 0.5, "w is float64"),
        ({"mask": np.array([True, True])}, 0.5, "differ in mask, which is not a weight"),
        ({"extra": np.zeros(1)}, 0.5, "only one of them has extra"),
        ({}, 1.5, r"must lie in \[0, 1\]"),
        ({}, float("nan"), r"must lie in \[0, 1\]"),
    ],
    ids=["shape", "type", "mask", "names", "share", "nan"],
)
def test_what_has_nothing_in_between_is_refused(change, share, said):
    a = {"w": np.zeros(2), "mask": np.array([True, False])}
    with pytest.raises(DataError, match=said):
        mixed(a, {**a, **change}, share)


def test_a_blend_whose_parts_do_not_fit_is_refused():
    with pytest.raises(DataError, match="a blend of 2 shares"):
        Blend("a", "b", (0.0, 1.0), np.zeros((3, 4, 8, 8)))


def test_flows_of_one_generation_zero():
    """Two flows trained on from one: share 0 and 1 give their own records, 1/2 gives finite ones of neither."""
    from autophage.learners.flow import Flow

    rng = np.random.default_rng(0)
    x = np.clip(rng.normal(8, 4, (60, 9)).round(), 0, 16)
    learner = Flow(steps=4, hidden=16, layers=2, start="previous")
    zero = learner.fit(Samples.of(x), key=Key(0))
    a, b = (learner.fit(Samples.of(x[i::2]), start=zero, key=Key(i + 1)) for i in range(2))
    found = between(a, b, (0.0, 0.5, 1.0), Key(7), 5, restore=learner.restore)
    for model, drawn in ((a, found[0]), (b, found[2])):
        np.testing.assert_array_equal(drawn, model.sample(5, key=Key(7)).x)
    assert np.isfinite(found[1]).all()
    other = Flow(steps=4, hidden=24, layers=2).fit(Samples.of(x), key=Key(0))
    with pytest.raises(DataError, match="cannot be interpolated"):
        between(a, other, (0.5,), Key(7), 5, restore=learner.restore)
