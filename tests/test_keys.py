"""Named random streams: a stream depends on its name and on nothing else."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from autophage.keys import Key

NAMES = st.lists(st.one_of(st.text(max_size=4), st.integers(0, 99)), min_size=1, max_size=4)


def path(names):
    key = Key(0)
    for name in names:
        key = key / name
    return key


@given(NAMES, NAMES)
@settings(max_examples=100, deadline=None)
def test_no_two_paths_run_together(one, two):
    same = [str(n) for n in one] == [str(n) for n in two]
    assert (path(one) == path(two)) == same
    assert (path(one).digest() == path(two).digest()) == same


def test_separators_in_names_do_not_split_them():
    for names in (("a/b",), ("a%2Fb",), ("a", "", "b"), ("a", "b", "")):
        assert path(names) != path(("a", "b"))


def test_a_tuple_is_a_path():
    assert Key(3) / ("a", 1) == Key(3) / "a" / 1 == Key(3, ("a", 1))
    assert hash(Key(3) / "a") == hash(Key(3, ("a",)))
    assert Key(3) != Key(4) and Key(3) != "3"
    assert pickle.loads(pickle.dumps(Key(3) / "a")) == Key(3) / "a"


def test_streams_are_the_same_in_every_process():
    line = "from autophage.keys import Key; print((Key(7) / 'fit' / 2).generator().random(3).tolist())"
    other = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == str((Key(7) / "fit" / 2).generator().random(3).tolist())


def test_streams_look_random_and_unrelated():
    n = 20_000
    a, b = ((Key(0) / name).generator().standard_normal(n) for name in ("a", "b"))
    assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(n)
    first = np.array([(Key(0) / i).generator().random() for i in range(4000)])
    assert abs(first.mean() - 0.5) < 4 * np.sqrt(1 / 12 / 4000)
    # Kolmogorov: the first numbers of consecutive streams are uniform.
    assert np.abs(np.sort(first) - (np.arange(4000) + 0.5) / 4000).max() < 2.2 / np.sqrt(4000)
    whole = np.array([(Key(0) / i).integer(8) for i in range(4000)])
    assert whole.min() >= 0 and whole.max() < 256 and abs(whole.mean() - 127.5) < 4 * 256 / np.sqrt(12 * 4000)


def test_replicate_r_does_not_depend_on_how_many_follow():
    key = Key(1) / "x"
    assert np.array_equal(
        key.generator().standard_normal((3, 5)), key.generator().standard_normal((9, 5))[:3]
    )


def test_global_generators_are_put_back():
    import torch

    def seed_all(seed):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)

    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002

    seed_all(1)
    expected = draw()
    seed_all(1)
    inside = []
    for _ in range(2):
        try:
            with (Key(0) / "legacy").globally():
                inside.append(draw())
                raise KeyError
        except KeyError:
            pass
    assert inside[0] == inside[1]
    assert draw() == expected


def test_torch_generators_are_named_too():
    import torch

    a, b = (torch.rand(4, generator=(Key(0) / name).torch()) for name in ("a", "a"))
    assert torch.equal(a, b)
    assert not torch.equal(a, torch.rand(4, generator=(Key(0) / "b").torch()))
