from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from autophage.errors import DataError
from autophage.report import Gallery
from autophage.report import animation as module
from autophage.report.animation import GROUND, MOST_FRAMES, animation, still


def frames(content: bytes) -> list[np.ndarray]:
    with Image.open(io.BytesIO(content)) as film:
        found = []
        for i in range(film.n_frames):
            film.seek(i)
            found.append(np.asarray(film.convert("RGB")))
        return found


@pytest.fixture
def bright(arm):
    """Two arms of generations 0, 1 and 4; generation g of arm a has the brightness 50 + 40 g + 7 a, in colour."""

    def build(generations=(0, 1, 4), second=(0, 1, 4)):
        def gallery(a, gs):
            samples = np.zeros((len(gs), 12, 8, 8, 3), dtype=np.uint8)
            samples[..., 1] = np.array([50 + 40 * g + 7 * a for g in gs])[:, None, None, None]
            return Gallery("images", gs, samples, value_range=(0, 255))

        return [arm("a", gallery=gallery(0, generations)), arm("b", gallery=gallery(1, second))]

    return build


def test_a_frame_for_each_generation_all_arms_in_it(bright):
    found = frames(animation(bright()))
    assert len(found) == 3
    for g, frame in zip((0, 1, 4), found, strict=True):
        middle = frame.shape[1] // 2
        for a, half in enumerate((frame[:, :middle], frame[:, middle:])):
            assert (half == [0, 50 + 40 * g + 7 * a, 0]).all(axis=2).mean() > 0.4
        assert (frame[0] == GROUND).all()


def test_the_generation_is_written_on_the_frame(bright):
    found = frames(animation(bright()))
    band = [frame[:45].astype(int) for frame in found]
    assert (band[0] != band[1]).any() and (band[0].max(axis=(0, 1)) > 200).all()


def test_an_arm_that_has_ended_shows_its_last_pictures(bright):
    last = frames(animation(bright(second=(0, 1))))[-1]
    assert (last == [0, 50 + 40 + 7, 0]).all(axis=2).any()


def test_the_same_arms_give_the_same_bytes(bright):
    for form in ("webp", "gif"):
        assert animation(bright(), form) == animation(bright(), form)


def test_a_gif_has_the_same_frames(bright):
    content = animation(bright(), "gif")
    assert content.startswith(b"GIF89a") and len(frames(content)) == 3
    with Image.open(io.BytesIO(content)) as film:
        assert film.info["loop"] == 0


def test_the_size_is_bounded(arm):
    rng = np.random.default_rng(0)
    shades = np.linspace(40, 200, 48)[:, None, None] + rng.normal(0, 4, (6, 5, 48, 48, 3))
    noise = Gallery("images", range(6), shades.astype(np.uint8))
    whole = animation([arm(gallery=noise)], most=10**9)
    small = animation([arm(gallery=noise)], most=len(whole) // 2)
    assert len(small) <= len(whole) // 2 and len(frames(small)) == 6
    for form in ("webp", "gif"):
        least = animation([arm(gallery=noise)], form, most=1)
        assert len(frames(least)) == 2
        some = animation([arm(gallery=noise)], form, most=int(2.4 * len(least)))
        assert len(least) <= len(some) <= 2.4 * len(least)


def test_of_many_generations_some_are_shown_the_ends_among_them(bright, monkeypatch):
    monkeypatch.setattr(module, "MOST_FRAMES", 3)
    found = frames(animation(bright(tuple(range(5)), tuple(range(5)))))
    assert len(found) == 3 and MOST_FRAMES == 24
    assert (found[-1] == [0, 50 + 40 * 4, 0]).all(axis=2).any()


def test_readers_who_asked_for_less_motion_get_the_last_frame(bright):
    film = animation(bright())
    seen = np.asarray(Image.open(io.BytesIO(still(film))).convert("RGB")).astype(int)
    assert seen.shape == frames(film)[-1].shape
    assert np.abs(seen - frames(film)[-1]).mean() < 4


@pytest.mark.parametrize("kind", ["clouds", "bars", "table"])
def test_only_pictures_become_a_film(arm, galleries, kind):
    assert animation([arm(gallery=galleries[kind]), arm("b")]) is None


def test_one_generation_is_no_film(arm):
    assert animation([arm(gallery=Gallery("images", [0], np.zeros((1, 3, 8, 8))))]) is None


def test_a_library_without_webp_makes_none(bright, monkeypatch):
    monkeypatch.setattr("autophage.report.animation.features.check", lambda name: False)
    assert animation(bright()) is None and animation(bright(), "gif") is not None


def test_another_form_is_refused(bright):
    with pytest.raises(DataError, match="webp or gif, not 'mp4'"):
        animation(bright(), "mp4")


def test_long_names_are_cut_and_other_alphabets_drawn(bright, arm):
    arms = [arm(name, gallery=a.gallery) for name, a in zip(("λ = ½, " * 40, "Ω"), bright(), strict=True)]
    assert frames(animation(arms))[0].shape == frames(animation(bright()))[0].shape
