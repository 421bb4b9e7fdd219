"""Rewards of pictures: brightness, and the size of a JPEG."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from autophage.curation.rewards import reward_of, written
from autophage.data.digits import DigitsSource
from autophage.data.eight_gaussians import EightGaussiansSource
from autophage.data.scenes import ScenesSource
from autophage.errors import SpecError
from autophage.keys import Key

DIGITS = DigitsSource()


def scored(given, x, source=DIGITS):
    return reward_of(given, "reward").score(source, {})(x)


def test_brightness_is_a_share_of_white():
    x = np.stack([np.zeros(64), np.full(64, 16.0), np.full(64, 4.0)])
    assert scored("brightness", x).tolist() == [0, 1, 0.25]
    assert scored({"kind": "brightness", "scale": -2.0}, x).tolist() == [0, -2, -0.5]


def test_detail_takes_room_in_a_jpeg():
    noise = Key(0).generator().integers(0, 17, size=(4, 64)).astype(float)
    plain = np.full((4, 64), 8.0)
    assert (scored("jpeg_size", noise) > scored("jpeg_size", plain)).all()
    assert (scored({"kind": "jpeg_size", "scale": -1.0}, noise) == -scored("jpeg_size", noise)).all()
    held = io.BytesIO()
    Image.fromarray(np.rint(noise[0] * 255 / 16).astype(np.uint8).reshape(8, 8)).save(
        held, format="JPEG", quality=30
    )
    assert scored({"kind": "jpeg_size", "quality": 30}, noise)[0] == len(held.getvalue()) / 1000


def test_colours_are_pictures_too():
    source = ScenesSource(size=16)
    x = source.draw(3, key=Key(0)).x[0] if source.unlimited else source.train().flat()[:3]
    assert (scored("jpeg_size", x, source) > 0.3).all()
    assert ((scored("brightness", x, source) >= 0) & (scored("brightness", x, source) <= 1)).all()


@pytest.mark.parametrize("kind", ["brightness", "jpeg_size"])
def test_only_pictures_are_rewarded_so(kind):
    with pytest.raises(SpecError, match="reward needs pictures"):
        reward_of(kind, "reward").check(EightGaussiansSource(), "reward")
    reward_of(kind, "reward").check(DIGITS, "reward")
    assert written(reward_of(kind, "reward"))["kind"] == kind


@pytest.mark.parametrize("change", [{"quality": 0}, {"quality": 96}, {"scale": float("nan")}])
def test_what_cannot_be_is_refused(change):
    with pytest.raises(SpecError, match=f"reward.{next(iter(change))}"):
        reward_of({"kind": "jpeg_size", **change}, "reward")
