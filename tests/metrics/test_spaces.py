"""Feature spaces of pictures: how records become pictures, and the network of the real labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from autophage.data.digits import DigitsSource
from autophage.errors import DataError, SpecError
from autophage.keys import Key
from autophage.metrics.features import Classifier, fit_features, training_records
from autophage.metrics.frechet import Frechet
from autophage.metrics.spaces import cnn, shelf
from autophage.metrics.spaces.cnn import Cnn
from autophage.metrics.spaces.exact import full_precision
from autophage.metrics.spaces.pictures import (
    PictureForm,
    SourceRecords,
    in_parts,
    is_picture,
    natural_shape,
)
from autophage.samples import Samples


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """A folder of caches of this module's own, where every test begins with nothing kept."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("AUTOPHAGE_CACHE", str(folder))
    monkeypatch.setattr(shelf, "_memory", type(shelf._memory)())
    return folder / "classifiers"


@pytest.fixture
def quick(monkeypatch):
    """A few steps of training: enough where any network will do."""
    monkeypatch.setattr(cnn, "PICTURES_SEEN", 200)


@pytest.fixture(scope="module")
def digits() -> tuple[Samples, Samples]:
    source = DigitsSource()
    return training_records(source), source.reference()


def few(n: int = 60, **changed) -> Samples:
    data = load_digits()
    return Samples.of(changed.get("x", data.images[:n]), label=changed.get("label", data.target[:n]))


# Pictures


def test_training_records_remember_what_the_source_says(digits, house, rng):
    train, _ = digits
    assert natural_shape(train) == (8, 8) and train.value_range == (0, 16)
    source = DigitsSource()
    assert training_records(source).fields["x"] is source.train().fields["x"]  # nothing is copied
    plain = Samples.of(rng.normal(size=(9, 3)))
    assert training_records(house.FiniteSource(plain, plain)) is plain
    assert natural_shape(Samples.of(np.zeros((4, 5, 6, 3)))) == (5, 6, 3)
    assert not is_picture((1, 8)) and not is_picture(()) and is_picture((2, 2, 1))


def test_bytes_of_pictures_follow_the_range_of_values():
    x = np.array([[0, 16, 8, 4, -3, 20]], dtype=float)
    plain = Samples.of(x)
    records = SourceRecords(plain.fields, *plain.columns, shape=(2, 3), value_range=(0.0, 16.0))
    found = PictureForm(records, "cnn").colour_bytes(x)
    assert found.shape == (1, 2, 3, 3) and found.dtype == np.uint8
    # 8 / 16 of 255 is 127.5, whose even neighbour is 128; 4 / 16 is 63.75.
    assert found[0, ..., 0].tolist() == [[0, 255, 128], [64, 0, 255]]
    assert (found[..., 0] == found[..., 2]).all()
    signed = SourceRecords(plain.fields, *plain.columns, shape=(2, 3), value_range=(-1.0, 1.0))
    assert PictureForm(signed, "cnn").colour_bytes(np.array([[-1, 1, 0, 0.5, -2, 2.0]]))[
        0, ..., 1
    ].tolist() == [
        [0, 255, 128],
        [191, 0, 255],
    ]
    colour = np.random.default_rng(0).integers(0, 256, (5, 4, 3, 3), dtype=np.uint8)
    form = PictureForm(Samples.of(colour), "cnn")
    np.testing.assert_array_equal(form.colour_bytes(colour.reshape(5, -1)), colour)
    np.testing.assert_array_equal(form.colour_bytes(colour.astype(float) + 0.4), colour)


def test_parts_are_the_whole():
    x = np.arange(22.0).reshape(11, 2)
    for size in (1, 3, 11, 50):
        found = in_parts(x, size, lambda part: np.float32(part[:, :1] * 2))
        np.testing.assert_array_equal(found, np.float32(x[:, :1] * 2))
        assert found.dtype == np.float32
    with pytest.raises(DataError, match="no record"):
        in_parts(x[:0], 4, lambda part: part)


def test_features_are_found_in_full_precision_and_settings_come_back():
    torch.set_float32_matmul_precision("high")
    try:
        with full_precision():
            assert torch.get_float32_matmul_precision() == "highest" and not torch.backends.cudnn.allow_tf32
            assert torch.is_inference_mode_enabled()
        assert torch.get_float32_matmul_precision() == "high" and torch.backends.cudnn.allow_tf32
    finally:
        torch.set_float32_matmul_precision("highest")


# The network


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory) -> Cnn:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOPHAGE_CACHE", str(tmp_path_factory.mktemp("trained")))
        return Cnn(digits[0])


def test_it_learns_digits_and_says_how_well(digits, trained):
    _, held_out = digits
    posterior = trained.posterior(held_out.x)
    assert posterior.shape == (359, 10) and posterior.dtype == np.float64
    np.testing.assert_allclose(posterior.sum(axis=1), 1)
    accuracy = (trained.classes[posterior.argmax(axis=1)] == held_out.label).mean()
    # 359 records: four standard errors below 0.97 are 0.934.
    assert accuracy > 0.934
    report = trained.report
    assert report["accuracy"] > 0.9 and report["accuracy_records"] == 143 and report["trained_on"] == 1295
    features = trained(held_out.x)
    assert features.shape == (359, 128) and features.dtype == np.float32 and (features >= 0).all()
    np.testing.assert_array_equal(trained.posterior_of(features), posterior)


def test_the_perceptron_keeps_its_meaning(digits):
    train, held_out = digits
    net = fit_features("classifier", lambda: train)
    assert isinstance(net, Classifier) and net(held_out.x).shape == (359, 64)
    logits = net(held_out.x) @ net.weights[1] + net.offsets[1]
    np.testing.assert_array_equal(net.posterior(held_out.x).argmax(axis=1), logits.argmax(axis=1))
    assert Frechet(features="classifier").space == "classifier_real_labels"
    part = Frechet(features="cnn")
    assert part.space == "cnn_real_labels" and "labels" in part.needs


def test_the_same_pictures_give_the_same_network_whatever_else_happens(quick, cache):
    first = Cnn(few())
    for file in cache.iterdir():
        file.unlink()
    torch.manual_seed(77)
    before = torch.get_rng_state()
    torch.set_num_threads(2)
    again = Cnn(few())
    assert torch.get_num_threads() == 2 and torch.equal(torch.get_rng_state(), before)
    x = load_digits().data[100:150]
    np.testing.assert_array_equal(first(x), again(x))
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)


def test_flat_records_bytes_and_floats_are_the_same_pictures(quick, monkeypatch):
    first = Cnn(few())
    monkeypatch.setattr(Cnn, "_learn", _refused)
    data = load_digits()
    flat = Samples.of(data.data[:60].astype(np.uint8), label=data.target[:60])
    records = SourceRecords(flat.fields, *flat.columns, shape=(8, 8))
    np.testing.assert_array_equal(first(data.images[:9]), Cnn(records)(data.data[:9].astype(np.float32)))


def test_larger_pictures_are_averaged_down(quick):
    rng = np.random.default_rng(3)
    small = rng.integers(0, 256, (40, 16, 32, 3)).astype(float)
    large = small.repeat(2, axis=1).repeat(2, axis=2) + np.tile([-1.0, 1.0], 32)[None, None, :, None]
    label = np.arange(40) % 4
    a, b = Cnn(Samples.of(small, label=label)), Cnn(Samples.of(large, label=label))
    np.testing.assert_allclose(a(small), b(large), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(2, 2), (3, 17, 1), (16, 16, 3), (5, 64)], ids=str)
def test_any_shape_of_picture(shape, quick):
    x = np.random.default_rng(0).normal(size=(24, *shape))
    found = Cnn(Samples.of(x, label=np.arange(24) % 2))
    assert found(x).shape == (24, 128) and np.isfinite(found.posterior(x)).all()


def test_two_pictures_of_two_classes(quick):
    x = np.random.default_rng(0).normal(size=(2, 4, 4))
    found = Cnn(Samples.of(x, label=np.array([8, 5])))
    assert found.classes.tolist() == [5, 8] and found.report["accuracy"] is None
    assert np.isfinite(found(np.zeros((3, 16)))).all()


def test_a_constant_channel_and_many_records(quick, monkeypatch):
    monkeypatch.setattr(cnn, "RECORDS", 50)
    x = np.zeros((80, 8, 8, 3))
    x[..., 0] = load_digits().images[:80]
    found = Cnn(Samples.of(x, label=load_digits().target[:80]))
    assert found.report["trained_on"] == 45 and np.isfinite(found(x)).all()


# What is kept


def _refused(*_):
    raise AssertionError("it was trained again")


def test_a_kept_network_is_not_trained_again(quick, cache, monkeypatch):
    first = Cnn(few())
    (file,) = cache.iterdir()
    assert file.suffix == ".safetensors"
    monkeypatch.setattr(Cnn, "_learn", _refused)
    again = Cnn(few())
    x = load_digits().data[200:230]
    np.testing.assert_array_equal(first(x), again(x))
    assert again.report == first.report


def test_other_pictures_labels_or_recipes_have_a_network_of_their_own(quick, cache, monkeypatch):
    data = load_digits()
    Cnn(few())
    Cnn(few(x=data.images[:60] + 0.5))
    Cnn(few(label=(data.target[:60] + 1) % 10))
    assert len(list(cache.iterdir())) == 3
    monkeypatch.setattr(cnn, "RECIPE", cnn.RECIPE + 1)
    Cnn(few())
    assert len(list(cache.iterdir())) == 4


@pytest.mark.parametrize("damage", [b"", b"not arrays at all", None], ids=["empty", "other", "cut"])
def test_a_damaged_file_is_replaced(damage, quick, cache):
    first = Cnn(few())
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-100] if damage is None else damage)
    x = load_digits().data[:20]
    np.testing.assert_array_equal(Cnn(few())(x), first(x))
    assert file.read_bytes() == whole


def test_where_nothing_can_be_written_it_stays_in_memory(quick, cache, monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("AUTOPHAGE_CACHE", str(blocked))
    first = Cnn(few())
    with monkeypatch.context() as patch:
        patch.setattr(Cnn, "_learn", _refused)
        x = load_digits().data[:20]
        np.testing.assert_array_equal(Cnn(few())(x), first(x))
    for i in range(6):  # and does not pile up there
        shelf.keep(f"net-{i}", {"a": np.zeros(2)}, {})
    assert len(shelf._memory) == 4 and shelf.fetch("net-0") is None
    arrays, report = shelf.fetch("net-5")
    assert arrays["a"].tolist() == [0, 0] and report == {}


# In a run


def test_frechet_in_its_space_sees_lost_classes(digits, trained, house):
    train, _ = digits
    source = DigitsSource()
    view = house.View(source, [train[:360], train[train.label < 5][:360]], replicates=2)
    view.memo["metrics", "extractor", "cnn", 16] = trained
    (row,) = Frechet(features="cnn").measure(view)
    assert row.metric == "frechet_cnn_real_labels" and row.value[1] > 2 * row.value[0]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "size", "least"), [("mnist", 10_000, 0.97), ("cifar10", 5_000, 0.54)])
def test_accuracy_on_real_pictures(kind, size, least, real_data):
    """Measured: 0.984 of 2,000 (MNIST), 0.609 of 1,000 (CIFAR-10); the bounds lie four standard errors below."""
    from autophage import registry

    source = registry.find("data", kind)(size=size)
    net = Cnn(training_records(source))
    reference = source.reference()
    right = net.classes[net.posterior(reference.x).argmax(axis=1)] == reference.label
    assert right.mean() > least


def test_bad_input(quick):
    x = np.random.default_rng(0).normal(size=(10, 4, 4))
    with pytest.raises(DataError, match="cnn needs pictures.*of shape \\(16,\\)"):
        Cnn(Samples.of(x.reshape(10, 16), label=np.arange(10)))
    with pytest.raises(DataError, match="with labels"):
        Cnn(Samples.of(x))
    with pytest.raises(DataError, match="two classes"):
        Cnn(Samples.of(x, label=np.zeros(10)))
    with pytest.raises(DataError, match="infinity"):
        Cnn(Samples.of(np.where(x > 2, np.inf, x) + np.where(x < 9, np.inf, 0), label=np.arange(10) % 2))
    net = Cnn(Samples.of(x, label=np.arange(10) % 2))
    with pytest.raises(DataError, match="4 x 4 x 1 = 16 numbers, got records of 9"):
        net(np.zeros((5, 9)))
    with pytest.raises(DataError, match="infinity"):
        net(np.full((5, 16), np.nan))
    with pytest.raises(DataError, match="black and white"):
        PictureForm(Samples.of(x), "inception").colour_bytes(x)
    for space in ("inception:", "transformers:", "cnm"):
        with pytest.raises(SpecError, match="known: pixels, .*cnn, inception:FILE"):
            Frechet(features=space)
    with pytest.raises(DataError, match="labels"):
        Frechet(features="cnn").compare(Samples.of(x), Samples.of(x), key=Key(0), memo={})
