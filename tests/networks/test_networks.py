"""Our own networks: shapes, weights from keys, classes, padding, life in every parameter, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autophage.errors import SpecError
from autophage.keys import Key
from autophage.networks.conditioning import Conditioning
from autophage.networks.kinds import NETWORKS, network_from
from autophage.networks.mlp import MLP
from autophage.networks.network import Margin, Net, Network, parameters
from autophage.networks.small_unet import SmallUNet

IMAGES = [
    (1, 8, 8),
    (3, 8, 8),
    (1, 16, 16),
    (1, 28, 28),
    (3, 32, 32),
    (1, 7, 9),
    (3, 13, 13),
    (2, 1, 1),
    (1, 33, 20),
]
CASES: list[tuple[Network, tuple[int, ...]]] = [
    *((SmallUNet(), shape) for shape in IMAGES),
    (SmallUNet(attention=True, blocks=2, width=16, multipliers=(1, 2, 3), patch_size=1), (1, 10, 10)),
    (SmallUNet(width=4, multipliers=(1,), patch_size=4), (3, 8, 8)),
    (MLP(), (2,)),
    (MLP(width=8, blocks=1), (64,)),
]
NAMES = [f"{network.kind}-{'x'.join(map(str, shape))}" for network, shape in CASES]


def batch(shape: tuple[int, ...], n: int = 4, name: str = "x") -> tuple[Tensor, Tensor]:
    generator = (Key(3) / name).torch()
    return torch.randn((n, *shape), generator=generator), 1000 * torch.rand(n, generator=generator)


def alive(net: nn.Module, seed: int = 0) -> nn.Module:
    """The network with random weights everywhere, so that nothing is hidden by layers that begin at zero."""
    generator = (Key(seed) / "alive").torch()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return net


@pytest.mark.parametrize("classes", [None, 3], ids=["plain", "classes"])
@pytest.mark.parametrize(("network", "shape"), CASES, ids=NAMES)
def test_output_has_the_channels_asked_for_and_the_sides_of_the_input(
    network: Network, shape: tuple[int, ...], classes: int | None
) -> None:
    net = network.build(shape, 2 * shape[0], classes, Key(0))
    x, noise = batch(shape)
    out = alive(net)(x, noise)
    assert out.shape == (4, 2 * shape[0], *shape[1:])
    assert out.dtype == torch.float32 and bool(out.isfinite().all()) and float(out.detach().std()) > 0


@pytest.mark.parametrize(("network", "shape"), CASES, ids=NAMES)
def test_it_begins_with_zero_and_every_parameter_comes_alive(
    network: Network, shape: tuple[int, ...]
) -> None:
    """Zeroed layers pass no gradient on at first; two steps later nothing may be without one."""
    net = network.build(shape, shape[0], 2, Key(0))
    x, noise = batch(shape, n=6)
    label = torch.tensor([0, 1, 2, 0, 1, 2])
    assert not net(x, noise, label).any()
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(3):
        optimiser.zero_grad()
        (net(x, noise, label) - x.flip(0)).square().mean().backward()
        optimiser.step()
    dead = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    # One place alone has nothing to attend to or compare with; no case here has attention on one.
    assert dead == []


@pytest.mark.parametrize("network", [SmallUNet(), MLP()], ids=lambda network: network.kind)
def test_the_key_and_nothing_else_decides_the_weights(network: Network) -> None:
    shape = (2,) if network.vectors else (1, 8, 8)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = network.build(shape, shape[0], 3, Key(0) / "a").state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    same = network.build(shape, shape[0], 3, Key(0) / "a").state_dict()
    other = network.build(shape, shape[0], 3, Key(0) / "b").state_dict()
    assert all(torch.equal(one[k], same[k]) for k in one)
    assert any(not torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("network", [SmallUNet(), MLP()], ids=lambda network: network.kind)
def test_no_label_is_the_null_label_and_labels_matter(network: Network) -> None:
    shape = (2,) if network.vectors else (1, 8, 8)
    net = alive(network.build(shape, shape[0], 3, Key(0)))
    x, noise = batch(shape)
    told = [net(x, noise, torch.full((4,), k)) for k in range(4)]
    assert torch.equal(net(x, noise), told[3])
    assert all(not torch.allclose(told[i], told[j]) for i in range(4) for j in range(i))
    with pytest.raises(SpecError, match="knows no classes"):
        network.build(shape, shape[0], None, Key(0))(x, noise, torch.zeros(4, dtype=torch.long))


@pytest.mark.parametrize("network", [SmallUNet(attention=True), MLP()], ids=lambda network: network.kind)
def test_a_record_does_not_depend_on_its_neighbours_and_noise_matters(network: Network) -> None:
    shape = (2,) if network.vectors else (3, 10, 10)
    net = alive(network.build(shape, shape[0], None, Key(0))).eval()
    x, noise = batch(shape)
    together = net(x, noise)
    alone = torch.cat([net(x[i : i + 1], noise[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together, net(x, noise.flip(0)))


@pytest.mark.parametrize(
    "shape", [(1, 28, 28), (2, 7, 9), (1, 5, 12)], ids=lambda shape: "x".join(map(str, shape))
)
def test_padding_is_that_of_a_network_for_the_padded_image(shape: tuple[int, int, int]) -> None:
    """Cutting the output of the wider network, given zeros around the image, is the same; nothing else is read."""
    network = SmallUNet(patch_size=2, width=8, multipliers=(1, 2, 2))
    net = alive(network.build(shape, 1, None, Key(0)))
    margin = Margin(shape[1], shape[2], 8)
    assert margin.needed and all(
        side % 8 == 0 and 0 <= side - s < 8 for side, s in zip(margin.padded, shape[1:], strict=True)
    )
    wide = network.build((shape[0], *margin.padded), 1, None, Key(0))
    wide.load_state_dict(net.state_dict())
    x, noise = batch(shape)
    padded = torch.zeros(4, shape[0], *margin.padded)
    padded[:, :, margin.top : margin.top + shape[1], margin.left : margin.left + shape[2]] = x
    cut = wide(padded, noise)[:, :, margin.top : margin.top + shape[1], margin.left : margin.left + shape[2]]
    assert torch.equal(net(x, noise), cut)


def test_sides_that_divide_are_not_padded() -> None:
    x = torch.randn(2, 1, 8, 16)
    margin = Margin(8, 16, 4)
    assert not margin.needed and margin.wider(x) is x and margin.cut(x) is x


def test_the_conditioning_is_that_of_its_formula() -> None:
    told = alive(Conditioning(5, 2))
    noise, label = torch.tensor([0.0, 999.5]), torch.tensor([2, 0])
    state = {k: v.double() for k, v in told.state_dict().items()}
    rates = torch.tensor([10000 ** (-i / 32) for i in range(32)], dtype=torch.float64)
    waves = torch.cat([(noise.double()[:, None] * rates).cos(), (noise.double()[:, None] * rates).sin()], 1)
    hidden = nn.functional.silu(waves @ state["first.weight"].T + state["first.bias"])
    expected = hidden @ state["second.weight"].T + state["second.bias"] + state["classes.weight"][label]
    torch.testing.assert_close(
        told(noise, label).double(), nn.functional.silu(expected), rtol=1e-3, atol=1e-3
    )


def test_dropout_acts_while_learning_only() -> None:
    for network, shape in ((SmallUNet(dropout=0.5), (1, 8, 8)), (MLP(dropout=0.5), (2,))):
        net = alive(network.build(shape, shape[0], None, Key(0)))
        x, noise = batch(shape)
        assert not torch.equal(net.train()(x, noise), net(x, noise))
        assert torch.equal(net.eval()(x, noise), net(x, noise))


def test_double_precision_passes_through() -> None:
    for network, shape in ((SmallUNet(attention=True), (1, 9, 9)), (MLP(), (2,))):
        net = alive(network.build(shape, shape[0], None, Key(0))).double()
        x, noise = batch(shape)
        assert net(x.double(), noise.double()).dtype == torch.float64


def test_a_network_learns() -> None:
    """x0 from x0 + noise on two patterns: the error falls far below that of the best constant, which is one."""
    net = SmallUNet(width=8).build((1, 8, 8), 1, None, Key(0))
    generator = (Key(0) / "learns").torch()
    pattern = torch.ones(8, 8)
    pattern[:, 4:] = -1
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(60):
        sign = torch.randint(2, (32, 1, 1, 1), generator=generator) * 2.0 - 1
        clean = sign * pattern
        loss = (
            (net(clean + torch.randn(clean.shape, generator=generator), torch.full((32,), 500.0)) - clean)
            .square()
            .mean()
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.2


def test_parameters_are_counted() -> None:
    net = MLP(width=4, blocks=1).build((2,), 2, None, Key(0))
    told = 64 * 4 + 4 + 4 * 4 + 4
    block = 2 * 4 + (4 * 4 + 4) + (4 * 8 + 8) + (4 * 4 + 4)
    assert parameters(net) == told + (2 * 4 + 4) + block + 2 * 4 + (4 * 2 + 2)
    net.out.requires_grad_(False)  # type: ignore[operator, union-attr]
    assert parameters(net) == told + (2 * 4 + 4) + block + 2 * 4


def test_defaults_follow_the_shape() -> None:
    chosen = {shape: (SmallUNet().patches(shape), SmallUNet().widths(shape)) for shape in IMAGES[:5]}
    assert chosen == {
        (1, 8, 8): (2, (32, 64)),
        (3, 8, 8): (2, (32, 64)),
        (1, 16, 16): (2, (32, 64)),
        (1, 28, 28): (2, (32, 64)),
        (3, 32, 32): (2, (32, 64)),
    }
    assert SmallUNet().patches((3, 64, 64)) == 4
    assert SmallUNet(patch_size=1).widths((1, 8, 8)) == (16, 64)
    assert SmallUNet(patch_size=1).widths((1, 16, 16)) == (16, 48)


# Specs


EVERY: list[dict[str, Any]] = [
    {"kind": "small_unet", "width": 8, "multipliers": [1, 2], "attention": True},
    {"kind": "mlp", "width": 16},
    {"kind": "unet", "block_out_channels": [8, 16], "attention": [], "settings": {"norm_eps": 1e-6}},
    {"kind": "unet", "preset": "edm_cifar10", "dropout": 0.2},
    {"kind": "dit", "layers": 2, "settings": {"attention_bias": False}},
]


@pytest.mark.parametrize("body", EVERY, ids=lambda body: f"{body['kind']}-{len(body)}")
def test_a_spec_goes_through_plain_data_unchanged(body: dict[str, Any]) -> None:
    network = network_from(body)
    again = network_from(json.loads(json.dumps(network.body())))
    assert again == network and hash(again) == hash(network) and again.kind == body["kind"]


def test_every_kind_has_defaults() -> None:
    assert list(NETWORKS) == ["small_unet", "unet", "dit", "mlp"]
    assert all(network_from({"kind": kind}) == NETWORKS[kind]() for kind in NETWORKS)


def test_a_network_knows_what_it_was_built_from() -> None:
    network = SmallUNet(width=8)
    net = network.build((1, 8, 8), 2, 3, Key(0))
    assert isinstance(net, Net)
    assert (net.network, net.shape, net.out_channels, net.classes) == (network, (1, 8, 8), 2, 3)
    again = net.network.build(net.shape, net.out_channels, net.classes, Key(1))
    again.load_state_dict(net.state_dict())


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"kind": "resnet"}, "network.kind is 'resnet'; it must be one of: small_unet, unet, dit, mlp"),
    ({}, "network.kind is None"),
    ({"kind": "mlp", "depth": 3}, "network mlp has no key 'depth'; it knows: width, blocks, dropout"),
    ({"kind": "mlp", "width": 0}, "network.width is 0"),
    ({"kind": "mlp", "blocks": 1.5}, "network.blocks is 1.5"),
    ({"kind": "mlp", "dropout": 1.0}, "network.dropout is 1.0; it must lie in"),
    ({"kind": "mlp", "dropout": float("nan")}, "network.dropout is nan"),
    ({"kind": "small_unet", "width": True}, "network.width is True"),
    ({"kind": "small_unet", "blocks": 0}, "network.blocks is 0"),
    ({"kind": "small_unet", "patch_size": -1}, "network.patch_size is -1"),
    ({"kind": "small_unet", "multipliers": []}, "network.multipliers is empty"),
    ({"kind": "small_unet", "multipliers": "12"}, "network.multipliers is '12'; it must be a list"),
    ({"kind": "small_unet", "multipliers": [1, 0]}, "network.multipliers is 0"),
    ({"kind": "small_unet", "attention": 1}, "network.attention is 1; it must be true or false"),
    ({"kind": "small_unet", "dropout": "0"}, "network.dropout is '0'"),
    (
        {"kind": "unet", "preset": "adm"},
        "network.preset is 'adm'; it must be one of: ddpm_cifar10, edm_cifar10",
    ),
    ({"kind": "unet", "block_out_channels": 64}, "network.block_out_channels is 64; it must be a list"),
    ({"kind": "unet", "attention": [-1]}, "network.attention is -1"),
    ({"kind": "unet", "layers_per_block": 0}, "network.layers_per_block is 0"),
    ({"kind": "unet", "dropout": float("inf")}, "network.dropout is inf"),
    ({"kind": "unet", "settings": [1]}, r"network.settings is \[1\]; it must be a mapping"),
    ({"kind": "unet", "settings": {"in_channels": 3}}, "network.settings.in_channels follows from the data"),
    (
        {"kind": "unet", "settings": {"norm_num_groups": 8}},
        "settings.norm_num_groups is what network.norm_groups says",
    ),
    ({"kind": "unet", "attention": [0], "settings": {"down_block_types": ["DownBlock2D"]}}, "leave one out"),
    ({"kind": "unet", "from_pretrained": ""}, "network.from_pretrained is ''"),
    (
        {"kind": "unet", "from_pretrained": "x", "dropout": 0.1},
        "network.from_pretrained brings its own sizes",
    ),
    ({"kind": "dit", "heads": 0}, "network.heads is 0"),
    ({"kind": "dit", "heads": 1, "head_size": 6}, "network.heads x network.head_size is 6"),
    ({"kind": "dit", "settings": {"num_layers": 2}}, "settings.num_layers is what network.layers says"),
]


@pytest.mark.parametrize(("body", "said"), REFUSED, ids=[f"{i}" for i in range(len(REFUSED))])
def test_a_wrong_spec_is_refused_in_a_sentence(body: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        network_from(body)


@pytest.mark.parametrize(
    ("network", "shape", "out", "classes", "said"),
    [
        (
            SmallUNet(),
            (64,),
            1,
            None,
            r"network small_unet is for images \(c, h, w\); the records have the shape",
        ),
        (MLP(), (1, 8, 8), 1, None, r"network mlp is for vectors \(d,\)"),
        (MLP(), (0,), 1, None, "network mlp: d of the records' shape is 0"),
        (SmallUNet(), (1, 8, 8), 0, None, "network small_unet: out_channels is 0"),
        (SmallUNet(), (1, 8, 8), 1, 0, "network small_unet: classes is 0"),
    ],
    ids=["vector", "image", "empty", "channels", "classes"],
)
def test_what_a_network_cannot_be_built_for(
    network: Network, shape: tuple[int, ...], out: int, classes: int | None, said: str
) -> None:
    with pytest.raises(SpecError, match=said):
        network.build(shape, out, classes, Key(0))
