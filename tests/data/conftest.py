"""Pictures that the tests make themselves."""

import io

import numpy as np
import pytest
from PIL import Image


def encode(x, format="PNG", **settings):
    """An array (h, w) or (h, w, c) of bytes, or a Pillow image, as the bytes of an image file."""
    held = io.BytesIO()
    (x if isinstance(x, Image.Image) else Image.fromarray(np.asarray(x))).save(held, format, **settings)
    return held.getvalue()


@pytest.fixture(name="encode", scope="session")
def encode_fixture():
    return encode


@pytest.fixture(scope="session")
def colour():
    """(20, 6, 5, 3): every picture differs, none is grey."""
    return np.random.Generator(np.random.SFC64(1)).integers(0, 256, (20, 6, 5, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def grey():
    """(20, 6, 6)"""
    return np.random.Generator(np.random.SFC64(2)).integers(0, 256, (20, 6, 6), dtype=np.uint8)


@pytest.fixture
def folder_of():
    """folder_of(place, x): a folder of PNG files 00.png, 01.png, ..."""

    def made(place, x, names="{:02d}.png"):
        place.mkdir(parents=True, exist_ok=True)
        for i, picture in enumerate(x):
            name = place / names.format(i)
            name.parent.mkdir(parents=True, exist_ok=True)
            name.write_bytes(encode(picture))
        return place

    return made


@pytest.fixture(autouse=True)
def cache_of_the_test(tmp_path_factory, monkeypatch):
    """No test writes into the user's folder of caches."""
    monkeypatch.setenv("AUTOPHAGE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
