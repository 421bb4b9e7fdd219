"""What image files of every kind become."""

import contextlib
import struct
import zlib
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from autophage.data.decoding import REMARKS, Damaged, decoded, greyed, laid_on_white, squared
from autophage.data.images import ImagesSource

RAMP = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5


def test_plain_pictures(encode):
    colour = np.stack([RAMP, 255 - RAMP, RAMP // 2], axis=2)
    assert np.array_equal(decoded(encode(RAMP)), RAMP)
    assert np.array_equal(decoded(encode(colour)), colour)
    assert np.array_equal(decoded(encode(colour, "WEBP", lossless=True)), colour)


def test_one_bit_pictures_are_black_and_white(encode):
    bits = RAMP > 100
    assert np.array_equal(decoded(encode(Image.fromarray(bits))), bits * np.uint8(255))


def test_palettes_become_colours(encode):
    image = Image.fromarray(RAMP // 64).convert("P")
    image.putpalette([10, 20, 30, 200, 0, 0, 0, 200, 0, 0, 0, 200])
    colours = np.array([[10, 20, 30], [200, 0, 0], [0, 200, 0], [0, 0, 200]], np.uint8)
    remarks = Counter()
    assert np.array_equal(decoded(encode(image), remarks), colours[RAMP // 64])
    assert not remarks
    clear = decoded(encode(image, transparency=1), remarks)
    assert remarks == {"transparent": 1}
    colours[1] = 255
    assert np.array_equal(clear, colours[RAMP // 64])


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pictures_are_laid_on_white(encode, mode):
    opacity = np.zeros((6, 8), np.uint8)
    opacity[:, 2:4], opacity[:, 4:] = 100, 255
    image = Image.fromarray(RAMP).convert(mode)
    image.putalpha(Image.fromarray(opacity))
    remarks = Counter()
    found = decoded(encode(image), remarks)
    paper = Image.new("RGBA", (8, 6), "white")
    theirs = np.asarray(Image.alpha_composite(paper, image.convert("RGBA")).convert("RGB"))
    assert np.abs(found.astype(int) - theirs).max() <= 1
    assert (found[:, :2] == 255).all() and np.array_equal(found[:, 4:, 0], RAMP[:, 4:])
    assert remarks == {"transparent": 1}
    image.putalpha(255)
    assert np.array_equal(decoded(encode(image), remarks)[..., 1], RAMP) and remarks == {"transparent": 1}


def test_laying_on_white_rounds_to_the_nearest():
    colour, opacity = (a.ravel() for a in np.meshgrid(np.arange(256), np.arange(256)))
    x = np.stack([colour] * 3 + [opacity], axis=1).astype(np.uint8)
    exact = (colour * opacity + 255 * (255 - opacity)) / 255
    assert np.abs(laid_on_white(x)[:, 0] - exact).max() <= 0.5


def test_sixteen_bits_keep_their_brightness(encode):
    deep = np.arange(0, 65536, 1365, dtype=np.uint16)[:48].reshape(6, 8)
    for content in (encode(Image.fromarray(deep)), encode(Image.fromarray(deep), "TIFF")):
        remarks = Counter()
        found = decoded(content, remarks)
        assert remarks == {"deep": 1}
        assert np.array_equal(found, np.floor(deep / 257 + 0.5).astype(np.uint8))


def test_sixteen_bit_colour(encode):
    deep = np.stack([RAMP.astype(np.uint16) * 257] * 2 + [np.full((6, 8), 65535, np.uint16)], axis=2)
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 8, 6, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(raw)),
        (b"IEND", b""),
    ]
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks
    )
    assert np.array_equal(decoded(content), (deep // 257).astype(np.uint8))


def test_measured_numbers_are_refused(encode):
    for x in (RAMP.astype(np.float32), RAMP.astype(np.int32) - 7, RAMP.astype(np.int32) * 1000):
        with pytest.raises(Damaged, match="its pixels are measured numbers"):
            decoded(encode(Image.fromarray(x), "TIFF"))


def test_other_colour_spaces(encode):
    colour = np.stack([RAMP] * 3, axis=2)
    found = decoded(encode(Image.fromarray(colour).convert("CMYK"), "TIFF"))
    assert found.shape == (6, 8, 3) and np.abs(found.astype(int) - colour).max() <= 1


def test_the_first_frame_of_an_animation(encode):
    frames = [Image.fromarray(x) for x in (RAMP, 255 - RAMP, RAMP // 3)]
    content = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    remarks = Counter()
    assert np.array_equal(decoded(content, remarks).reshape(6, 8, -1)[..., 0], RAMP)
    assert remarks == {"animated": 1}


def test_pictures_are_set_upright(encode):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by a quarter
    content = encode(Image.fromarray(RAMP), exif=exif)
    assert np.array_equal(decoded(content), np.rot90(RAMP, -1))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("cut", [0, 1, 8, 40, 60], ids=lambda cut: f"{cut}-bytes")
def test_cut_files_are_damaged(encode, cut):
    for format in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"):
        with pytest.raises(Damaged) as caught:
            decoded(encode(np.stack([RAMP] * 3, axis=2), format)[:cut])
        assert str(caught.value)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_random_bytes_never_raise_anything_else(encode):
    rng = np.random.Generator(np.random.SFC64(0))
    contents = [
        encode(np.stack([RAMP] * 3, axis=2), format) for format in ("PNG", "JPEG", "WEBP", "GIF", "TIFF")
    ]
    survived = 0
    for _ in range(300):
        content = bytearray(contents[rng.integers(len(contents))])
        for at in rng.integers(0, len(content), 3):
            content[at] = rng.integers(256)
        with contextlib.suppress(Damaged):
            survived += decoded(bytes(content)).dtype == np.uint8
    assert survived > 0


def test_every_remark_is_a_note(tmp_path, encode):
    rng = np.random.Generator(np.random.SFC64(4))
    for i in range(6):
        (tmp_path / f"{i}.png").write_bytes(
            encode(rng.integers(0, 256, (6, 8, 4 if i < 2 else 3), dtype=np.uint8))
        )
    (tmp_path / "6.png").write_bytes(encode(Image.fromarray(RAMP.astype(np.uint16) * 257)))
    (tmp_path / "7.gif").write_bytes(
        encode(Image.fromarray(RAMP), "GIF", save_all=True, append_images=[Image.fromarray(RAMP // 2)])
    )
    notes = ImagesSource(path=str(tmp_path)).notes
    counts = {"transparent": "2 pictures", "deep": "1 picture", "animated": "1 picture"}
    assert {REMARKS[name].format(count) for name, count in counts.items()} <= set(notes)


def test_luma_is_pillows():
    x = np.random.Generator(np.random.SFC64(7)).integers(0, 256, (50, 40, 3), dtype=np.uint8)
    assert np.array_equal(greyed(x), np.asarray(Image.fromarray(x).convert("L")))


def test_cutting_to_the_centre():
    tall = np.arange(9 * 4, dtype=np.uint8).reshape(9, 4)
    assert np.array_equal(squared(tall, 4), tall[2:6])
    assert squared(tall.T, 4).tolist() == tall.T[:, 2:6].tolist()
    assert squared(tall, 2).shape == (2, 2) and squared(tall, 9).shape == (9, 9)
