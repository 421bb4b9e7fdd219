"""What holds for every source, whatever its law or its file."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from autophage.data.bernoulli import BernoulliSource
from autophage.data.blobs import BlobsSource
from autophage.data.categorical import CategoricalSource, Zipf
from autophage.data.circles import CirclesSource
from autophage.data.digits import DigitsSource
from autophage.data.eight_gaussians import EightGaussiansSource
from autophage.data.exponential import ExponentialSource
from autophage.data.gaussian import GaussianSource
from autophage.data.mnist import MnistSource
from autophage.data.poisson import PoissonSource
from autophage.data.source import FiniteSource, Records, UnlimitedSource
from autophage.data.swiss_roll import SwissRollSource
from autophage.data.table import TableSource
from autophage.data.two_moons import TwoMoonsSource
from autophage.errors import DataError, SpecError
from autophage.keys import Key
from autophage.parts import Source

LAWS = [
    GaussianSource(),
    GaussianSource(mean=[1, 2, 3], cov=[[2, 0.5, 0], [0.5, 1, 0.2], [0, 0.2, 3]]),
    CategoricalSource(zipf=Zipf(symbols=20)),
    BernoulliSource(probability=[0.2, 0.7]),
    PoissonSource(rate=[1, 30]),
    ExponentialSource(mean=[1, 5]),
    EightGaussiansSource(),
    BlobsSource(),
    TwoMoonsSource(),
    CirclesSource(),
    SwissRollSource(),
    SwissRollSource(dim=2),
]


def name(source):
    return f"{type(source).__name__}-{source.dim}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Numbered(FiniteSource):
    """Records whose entries tell which they are."""

    count: int = 100
    loads: list = dataclasses.field(default_factory=list, compare=False)

    def load(self):
        self.loads.append(1)
        x = np.arange(self.count * 6).reshape(self.count, 2, 3)
        return Records(x, np.arange(self.count), "numbers")


@pytest.mark.parametrize("source", LAWS, ids=name)
def test_a_law_draws_batches_of_its_domain(source):
    batch = source.draw(50, key=Key(1), replicates=3)
    assert isinstance(source, Source) and source.unlimited
    assert (batch.replicates, len(batch)) == (3, 50)
    assert (batch.generation == -1).all()
    if source.domain == "symbols":
        assert batch.x.shape == (3, 50) and batch.x.dtype.kind == "i" and source.shape == ()
        assert batch.x.min() >= 0 and batch.x.max() < source.dim
    else:
        assert batch.x.shape == (3, 50, source.dim) and batch.x.dtype == np.float64
        assert source.shape == (source.dim,)
    legal = {
        "counts": lambda x: (x >= 0) & (x == np.round(x)),
        "binary": lambda x: (x == 0) | (x == 1),
        "positive": lambda x: x > 0,
    }.get(source.domain, np.isfinite)
    assert legal(batch.x).all()
    assert source.snap(batch.x) is batch.x


@pytest.mark.parametrize("source", LAWS, ids=name)
def test_a_replicate_does_not_depend_on_how_many_follow(source):
    few, many = (source.draw(40, key=Key(3), replicates=r).x for r in (2, 7))
    assert np.array_equal(few, many[:2])
    assert not np.array_equal(many[0], many[1])
    assert not np.array_equal(few, source.draw(40, key=Key(4), replicates=2).x)


@pytest.mark.parametrize("source", LAWS, ids=name)
def test_the_reference_is_fixed_and_of_the_size_asked_for(source):
    reference = source.reference()
    assert reference is source.reference()
    again = dataclasses.replace(source, reference_size=300)
    assert len(reference) == 1000 and len(again.reference()) == 300
    assert np.array_equal(reference.x, dataclasses.replace(source).reference().x)
    assert reference.x.shape[1:] == source.shape
    if source.classes is None:
        assert reference.label is None
    else:
        assert set(reference.label) == set(range(len(source.classes)))


@pytest.mark.parametrize("source", LAWS, ids=name)
def test_a_law_has_no_training_part(source):
    with pytest.raises(SpecError, match="has no training part"):
        source.train()
    for wrong in (1, 2.5, True, None):
        with pytest.raises(SpecError, match=r"data\.reference_size"):
            dataclasses.replace(source, reference_size=wrong)


@pytest.mark.parametrize(
    "source", [*LAWS, DigitsSource(size=50), TableSource(path="t.csv", columns=["a"])], ids=repr
)
def test_parts_are_plain_values(source):
    assert hash(source) == hash(dataclasses.replace(source)) and source == dataclasses.replace(source)
    json.dumps(dataclasses.asdict(source))


@pytest.mark.parametrize(
    "source", [*LAWS, DigitsSource(size=50), MnistSource(), TableSource(path="t.csv")], ids=repr
)
def test_pydantic_rebuilds_a_part_from_its_plain_fields(source):
    pydantic = pytest.importorskip("pydantic")
    plain = json.loads(json.dumps(dataclasses.asdict(source)))
    plain = {k: v for k, v in plain.items() if v is not None}
    assert pydantic.TypeAdapter(type(source)).validate_python(plain) == source


def test_a_finite_set_is_split_once():
    source = Numbered()
    train, reference = source.train(), source.reference()
    assert (len(train), len(reference)) == (80, 20)
    assert train is source.train() and reference is source.reference() and len(source.loads) == 1
    assert sorted([*train.label, *reference.label]) == list(range(100))
    assert train.label.tolist() != sorted(train.label)
    assert (source.shape, source.dim, train.x.shape, train.x.dtype) == ((2, 3), 6, (80, 6), np.float64)
    assert np.array_equal(train.x[:, 0], 6 * train.label) and np.array_equal(
        train.x[:, 5], 6 * train.label + 5
    )
    assert np.array_equal(Numbered().train().x, train.x)
    with pytest.raises(SpecError, match="finite data set"):
        source.draw(3, key=Key(0))


@pytest.mark.parametrize(("count", "training"), [(5, 4), (6, 5), (9, 8), (10, 8), (1797, 1438)])
def test_the_training_part_is_rounded_up(count, training):
    source = Numbered(count=count)
    assert (len(source.train()), len(source.reference())) == (training, count - training)


def test_size_takes_the_first_records():
    source = Numbered(size=20)
    assert sorted([*source.train().label, *source.reference().label]) == list(range(20))
    assert Numbered(size=100).train().label.tolist() == Numbered().train().label.tolist()
    with pytest.raises(DataError, match=r"data\.size is 101 but numbers holds 100"):
        Numbered(size=101).train()
    for wrong in (4, 10.0, True):
        with pytest.raises(SpecError, match=r"data\.size"):
            Numbered(size=wrong)


def test_too_few_or_equal_records_are_refused():
    with pytest.raises(DataError, match="numbers holds 4 records; at least 5 are needed"):
        Numbered(count=4).train()

    class Same(Numbered):
        def load(self):
            return Records(np.ones((8, 2)), None, "ones")

    with pytest.raises(DataError, match="all 8 records of ones are the same"):
        Same().train()


def test_sources_import_without_heavy_libraries():
    code = (
        "import importlib, pkgutil, sys, autophage.data as d\n"
        "for m in pkgutil.iter_modules(d.__path__): importlib.import_module('autophage.data.' + m.name)\n"
        "heavy = {'polars', 'pydantic', 'sklearn', 'torch', 'matplotlib', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_pictures_say_how_to_show_themselves():
    shown = {type(s).__name__: s.kind_of_picture for s in LAWS}
    assert shown["CategoricalSource"] == "bars" and shown["TwoMoonsSource"] == "cloud"
    assert GaussianSource().kind_of_picture is None and PoissonSource().kind_of_picture is None
    assert DigitsSource().kind_of_picture == MnistSource().kind_of_picture == "image"
    assert TableSource(path="t.csv").kind_of_picture == "table"
    assert all(isinstance(s, UnlimitedSource) for s in LAWS)
