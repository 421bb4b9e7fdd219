"""Captions from the names of classes."""

import numpy as np
import pytest

from autophage import laws
from autophage.data.class_captions import DIGITS
from autophage.data.digits import DigitsSource
from autophage.data.images import ImagesSource
from autophage.errors import DataError, SpecError


def test_digits_are_captioned_by_their_words():
    plain, told = DigitsSource(), DigitsSource(captions="classes")
    for a, b in ((plain.train(), told.train()), (plain.reference(), told.reference())):
        assert np.array_equal(a.x, b.x) and np.array_equal(a.label, b.label) and a.caption is None
        assert np.array_equal(b.caption, np.array(DIGITS)[b.label])
    assert told.classes == plain.classes and plain.references is None
    assert told.references == tuple((c,) for c in told.reference().caption)
    laws.source(told)


def test_pictures_are_captioned_by_their_folders(tmp_path, folder_of, colour):
    for i, name in enumerate(("cat", "big_dog")):
        folder_of(tmp_path / name, colour[i::2])
    source = ImagesSource(path=str(tmp_path), captions="classes")
    part = source.train()
    assert source.classes == ("big_dog", "cat")
    assert np.array_equal(part.caption, np.array(source.classes)[part.label])
    # What was decoded is the same with captions and without: no second entry in the cache.
    assert np.array_equal(ImagesSource(path=str(tmp_path)).train().x, part.x)


def test_mnist_is_captioned_by_words(real_data):
    from autophage.data.mnist import MnistSource

    part = MnistSource(size=100, captions="classes").train()
    assert np.array_equal(part.caption, np.array(DIGITS)[part.label])


def test_captions_of_classes_need_classes(tmp_path, folder_of, colour):
    source = ImagesSource(path=str(folder_of(tmp_path / "x", colour)), captions="classes")
    with pytest.raises(DataError, match=r"data\.captions is classes, but these records carry no labels"):
        source.train()
    for i, name in enumerate(("ant", "--")):
        folder_of(tmp_path / "y" / name, colour[i::2])
    with pytest.raises(DataError, match=r"the class '--' has no word in its name"):
        ImagesSource(path=str(tmp_path / "y"), captions="classes").train()
    with pytest.raises(SpecError, match=r"data\.captions is 'labels'; it must be one of: none, classes"):
        DigitsSource(captions="labels")
