"""Inception-v3 in the convention of the FID: the parts by name, the network against a second definition, the resize
against TensorFlow 1's rule pixel by pixel, and what is said of wrong files."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from autophage.errors import DataError, SpecError
from autophage.keys import Key
from autophage.metrics.features import fit_features
from autophage.metrics.frechet import Frechet
from autophage.metrics.spaces import inception
from autophage.metrics.spaces.inception import Inception, resized
from autophage.metrics.spaces.inception_network import InceptionV3
from autophage.samples import Samples

PICTURES = Samples.of(np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def net() -> InceptionV3:
    """Random weights that keep the activations' size, and normalisation that is not the identity."""
    with (Key(0) / "inception").globally():
        net = InceptionV3().eval().requires_grad_(False)
        for name, array in net.named_buffers():
            if name.endswith("running_mean"):
                array.normal_(0, 0.1)
            elif name.endswith("running_var"):
                array.uniform_(0.2, 0.6)
    return net


@pytest.fixture(scope="module")
def stored(net, tmp_path_factory):
    """The weights in both formats, one of them with the counters that some copies have and one without."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("weights")
    arrays = {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
    torch.save(net.state_dict(), folder / "weights.pth")
    save_file(arrays, folder / "weights.safetensors")
    return folder


# The parts


CHAINS = {
    "Mixed_5": "branch1x1 branch5x5_1 branch5x5_2 branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3 branch_pool",
    "Mixed_6a": "branch3x3 branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3",
    "Mixed_6": "branch1x1 branch7x7_1 branch7x7_2 branch7x7_3 branch7x7dbl_1 branch7x7dbl_2 branch7x7dbl_3 "
    "branch7x7dbl_4 branch7x7dbl_5 branch_pool",
    "Mixed_7a": "branch3x3_1 branch3x3_2 branch7x7x3_1 branch7x7x3_2 branch7x7x3_3 branch7x7x3_4",
    "Mixed_7": "branch1x1 branch3x3_1 branch3x3_2a branch3x3_2b branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3a "
    "branch3x3dbl_3b branch_pool",
}
"""The convolutions of each block, as the published weights name them."""


def names() -> set[str]:
    parts = ["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3"]
    for block in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"):
        chain = CHAINS.get(f"Mixed_{block}", CHAINS[f"Mixed_{block[0]}"] if block not in ("6a", "7a") else "")
        parts += [f"Mixed_{block}.{name}" for name in chain.split()]
    arrays = [
        "conv.weight",
        "bn.weight",
        "bn.bias",
        "bn.running_mean",
        "bn.running_var",
        "bn.num_batches_tracked",
    ]
    return {f"{part}.{array}" for part in parts for array in arrays} | {"fc.weight", "fc.bias"}


def test_the_arrays_are_those_of_the_published_weights():
    with torch.device("meta"):
        net = InceptionV3()
    arrays = net.state_dict()
    assert set(arrays) == names()
    assert sum(name.endswith("conv.weight") for name in arrays) == 94
    assert sum(p.numel() for p in net.parameters()) == 21_785_568 + 2048 * 1008 + 1008
    assert all(m.eps == 0.001 for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d))
    shapes = {
        "Conv2d_1a_3x3.conv": (32, 3, 3, 3),
        "Conv2d_3b_1x1.conv": (80, 64, 1, 1),
        "Conv2d_4a_3x3.conv": (192, 80, 3, 3),
        "Mixed_5b.branch5x5_2.conv": (64, 48, 5, 5),
        "Mixed_5b.branch_pool.conv": (32, 192, 1, 1),
        "Mixed_5c.branch_pool.conv": (64, 256, 1, 1),
        "Mixed_5d.branch1x1.conv": (64, 288, 1, 1),
        "Mixed_6a.branch3x3.conv": (384, 288, 3, 3),
        "Mixed_6b.branch7x7_2.conv": (128, 128, 1, 7),
        "Mixed_6c.branch7x7dbl_4.conv": (160, 160, 7, 1),
        "Mixed_6e.branch7x7dbl_5.conv": (192, 192, 1, 7),
        "Mixed_7a.branch3x3_2.conv": (320, 192, 3, 3),
        "Mixed_7a.branch7x7x3_3.conv": (192, 192, 7, 1),
        "Mixed_7b.branch3x3dbl_1.conv": (448, 1280, 1, 1),
        "Mixed_7c.branch3x3_2a.conv": (384, 384, 1, 3),
        "Mixed_7c.branch3x3dbl_3b.conv": (384, 384, 3, 1),
        "Mixed_7c.branch1x1.conv": (320, 2048, 1, 1),
        "fc": (1008, 2048),
    }
    assert {name: tuple(arrays[f"{name}.weight"].shape) for name in shapes} == shapes


def second_definition(net: InceptionV3, x: torch.Tensor) -> torch.Tensor:
    """The network written out with plain functions on its arrays."""
    w = net.state_dict()

    def c(name, x, stride=1, padding=0):
        x = functional.conv2d(x, w[f"{name}.conv.weight"], None, stride, padding)
        mean, var, scale, shift = (
            w[f"{name}.bn.{k}"][:, None, None] for k in ("running_mean", "running_var", "weight", "bias")
        )
        return ((x - mean) / (var + 1e-3).sqrt() * scale + shift).clamp(min=0)

    def average(x):
        ones = torch.ones_like(x[:, :1])
        inside = functional.avg_pool2d(ones, 3, 1, 1, count_include_pad=True)
        return functional.avg_pool2d(x, 3, 1, 1, count_include_pad=True) / inside

    def a(n, x):
        return torch.cat(
            [
                c(f"{n}.branch1x1", x),
                c(f"{n}.branch5x5_2", c(f"{n}.branch5x5_1", x), 1, 2),
                c(f"{n}.branch3x3dbl_3", c(f"{n}.branch3x3dbl_2", c(f"{n}.branch3x3dbl_1", x), 1, 1), 1, 1),
                c(f"{n}.branch_pool", average(x)),
            ],
            1,
        )

    def m(n, x):
        across, down = (0, 3), (3, 0)
        y = c(f"{n}.branch7x7_3", c(f"{n}.branch7x7_2", c(f"{n}.branch7x7_1", x), 1, across), 1, down)
        z = c(f"{n}.branch7x7dbl_1", x)
        for i, padding in zip((2, 3, 4, 5), (down, across, down, across), strict=True):
            z = c(f"{n}.branch7x7dbl_{i}", z, 1, padding)
        return torch.cat([c(f"{n}.branch1x1", x), y, z, c(f"{n}.branch_pool", average(x))], 1)

    def e(n, x, pooled):
        y = c(f"{n}.branch3x3_1", x)
        z = c(f"{n}.branch3x3dbl_2", c(f"{n}.branch3x3dbl_1", x), 1, 1)
        return torch.cat(
            [
                c(f"{n}.branch1x1", x),
                c(f"{n}.branch3x3_2a", y, 1, (0, 1)),
                c(f"{n}.branch3x3_2b", y, 1, (1, 0)),
                c(f"{n}.branch3x3dbl_3a", z, 1, (0, 1)),
                c(f"{n}.branch3x3dbl_3b", z, 1, (1, 0)),
                c(f"{n}.branch_pool", pooled),
            ],
            1,
        )

    x = c("Conv2d_2b_3x3", c("Conv2d_2a_3x3", c("Conv2d_1a_3x3", x, 2)), 1, 1)
    x = c("Conv2d_4a_3x3", c("Conv2d_3b_1x1", functional.max_pool2d(x, 3, 2)))
    x = functional.max_pool2d(x, 3, 2)
    x = a("Mixed_5d", a("Mixed_5c", a("Mixed_5b", x)))
    y = c("Mixed_6a.branch3x3dbl_2", c("Mixed_6a.branch3x3dbl_1", x), 1, 1)
    x = torch.cat(
        [c("Mixed_6a.branch3x3", x, 2), c("Mixed_6a.branch3x3dbl_3", y, 2), functional.max_pool2d(x, 3, 2)], 1
    )
    for block in "bcde":
        x = m(f"Mixed_6{block}", x)
    y = c("Mixed_7a.branch7x7x3_2", c("Mixed_7a.branch7x7x3_1", x), 1, (0, 3))
    y = c("Mixed_7a.branch7x7x3_4", c("Mixed_7a.branch7x7x3_3", y, 1, (3, 0)), 2)
    z = c("Mixed_7a.branch3x3_2", c("Mixed_7a.branch3x3_1", x), 2)
    x = torch.cat([z, y, functional.max_pool2d(x, 3, 2)], 1)
    x = e("Mixed_7b", x, average(x))
    x = e("Mixed_7c", x, functional.max_pool2d(x, 3, 1, 1))
    return x.mean((2, 3))


def test_the_network_against_a_second_definition(net):
    """On pictures of 139 pixels, where the last blocks see 3 x 3: borders and their padding are part of the answer."""
    x = torch.randn(2, 3, 139, 139, generator=(Key(1) / "pictures").torch())
    with torch.inference_mode():
        mine, theirs = net(x), second_definition(net, x)
    assert mine.shape == (2, 2048) and float(mine.std()) > 1e-3
    torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))
    # The pooling branches differ from the published network's, and it shows.
    assert (mine > 0).float().mean() > 0.05


# The pictures


def by_the_rule(x: np.ndarray, side: int) -> np.ndarray:
    """TensorFlow 1's bilinear rule for one channel (h, w), pixel by pixel in double precision."""
    h, w = x.shape
    out = np.empty((side, side))
    for i in range(side):
        for j in range(side):
            u, v = i * h / side, j * w / side
            top, left = math.floor(u), math.floor(v)
            down, right = min(top + 1, h - 1), min(left + 1, w - 1)
            a, b = u - top, v - left
            out[i, j] = (
                (1 - a) * (1 - b) * x[top, left]
                + (1 - a) * b * x[top, right]
                + a * (1 - b) * x[down, left]
                + a * b * x[down, right]
            )
    return out


@pytest.mark.parametrize("shape", [(8, 8), (5, 40), (41, 64), (27, 27)], ids=str)
def test_resize_is_tensorflow_1s(shape):
    x = np.random.default_rng(0).integers(0, 256, (2, 3, *shape)).astype(np.float32)
    found = resized(torch.from_numpy(x), 27).numpy()
    wanted = np.stack([[by_the_rule(channel, 27) for channel in picture] for picture in x])
    np.testing.assert_allclose(found, wanted, atol=2e-3)


def test_resize_differs_from_what_torch_does():
    """The two conventions shift a picture against each other: mixing them is the classic mistake."""
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    torch.testing.assert_close(resized(ramp, 16)[0, 0, 0, :4], torch.tensor([0.0, 0.5, 1.0, 1.5]))
    other = functional.interpolate(ramp, size=16, mode="bilinear", align_corners=False)
    torch.testing.assert_close(other[0, 0, 0, :4], torch.tensor([0.0, 0.25, 0.75, 1.25]))


def test_what_the_network_is_shown(stored):
    found = Inception(str(stored / "weights.pth"), PICTURES)
    seen = []
    found.net = lambda x: seen.append(x) or torch.zeros(len(x), 2048)
    grey = np.stack([np.full((8, 8, 3), v, dtype=np.uint8) for v in (0, 128, 255)])
    assert found(grey).shape == (3, 2048)
    (x,) = seen
    assert x.shape == (3, 3, 299, 299) and x.dtype == torch.float32
    assert [float(p.double().mean()) for p in x] == [-1.0, 0.0, 127 / 128]


def test_both_formats_give_the_same_features_in_a_run(stored, net, monkeypatch):
    monkeypatch.setattr(inception, "AT_ONCE", 3)
    found = fit_features(f"inception:{stored / 'weights.pth'}", lambda: PICTURES)
    features = found(PICTURES.x)
    assert features.shape == (4, 2048) and features.dtype == np.float32
    with torch.inference_mode():
        x = torch.from_numpy(PICTURES.x[:1]).movedim(3, 1).float()
        wanted = net((resized(x) - 128) / 128).numpy()
    np.testing.assert_allclose(features[:1], wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())
    other = Inception(str(stored / "weights.safetensors"), PICTURES)
    for mine, theirs in zip(found.net.parameters(), other.net.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    part = Frechet(features=f"inception:{stored / 'weights.pth'}")
    memo = {("metrics", "extractor", part.features, 16): lambda x: features[: len(x)]}
    rows = part.compare(PICTURES, PICTURES, key=Key(0), memo=memo)
    assert "frechet_inception" in rows


# Wrong files


def test_a_missing_file_is_refused_before_the_run(tmp_path):
    from autophage import Loop

    with pytest.raises(
        SpecError, match="there is no such file; download pt_inception.*https://github.com"
    ) as caught:
        Loop(
            data={"kind": "digits", "size": 50},
            learner={"kind": "gaussian", "ridge": 1.0},
            workflow="replace",
            metrics=[{"kind": "frechet", "features": f"inception:{tmp_path / 'none.pth'}"}],
        )
    assert "\n" not in str(caught.value)


def wrong(arrays, what):
    name = "Mixed_6b.branch1x1.conv.weight"
    if what == "lacks":
        return {k: v for k, v in arrays.items() if not k.startswith("fc.")}
    if what == "shape":
        return {**arrays, name: arrays[name][:, :5]}
    if what == "foreign":
        return {**arrays, "AuxLogits.conv0.conv.weight": torch.zeros(1)}
    return [1, 2, 3] if what == "list" else {"fc.weight": 3}


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("lacks", "has no array 'fc.weight' \\(2 of 472 are missing\\)"),
        (
            "shape",
            "'Mixed_6b.branch1x1.conv.weight' of shape \\(192, 5, 1, 1\\) instead of \\(192, 768, 1, 1\\)",
        ),
        ("foreign", "'AuxLogits.conv0.conv.weight' that the network of the FID has not"),
        ("list", "holds no named arrays"),
        ("number", "holds no named arrays"),
    ],
)
def test_weights_of_another_network_are_refused(what, said, net, tmp_path):
    meta = {k: v.to("meta") for k, v in net.state_dict().items()}
    arrays = {k: torch.zeros(()).expand(v.shape) for k, v in meta.items()}  # a file of a few kilobytes
    torch.save(wrong(arrays, what), tmp_path / "weights.pth")
    with pytest.raises(SpecError, match=f"{said}.*it must be pt_inception"):
        Inception(str(tmp_path / "weights.pth"), PICTURES)


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize(
    "content", [b"", b"plain text, not arrays", b"PK\x03\x04cut"], ids=["empty", "text", "cut"]
)
def test_files_that_hold_no_arrays_are_refused(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SpecError, match="cannot be read as arrays"):
        Inception(str(tmp_path / name), PICTURES)


class Trap:
    """What a hostile file would hold: something that runs when it is unpickled."""

    def __reduce__(self):
        raise_alarm = "raise SystemExit('it ran')"
        return exec, (raise_alarm,)


def test_nothing_is_unpickled(tmp_path):
    torch.save({"fc.weight": Trap()}, tmp_path / "weights.pth")
    with pytest.raises(SpecError, match="cannot be read as arrays"):
        Inception(str(tmp_path / "weights.pth"), PICTURES)


def test_records_that_are_no_pictures(stored):
    flat = Samples.of(np.zeros((4, 12)))
    with pytest.raises(DataError, match="inception needs pictures"):
        Inception(str(stored / "weights.pth"), flat)
    found = Inception(str(stored / "weights.pth"), Samples.of(np.zeros((4, 8, 8))))
    with pytest.raises(DataError, match="black and white"):
        found(np.zeros((2, 64)))
