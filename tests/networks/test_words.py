"""Captions inside networks: what padding, order and the null caption do."""

from __future__ import annotations

import pytest
import torch

from autophage.errors import SpecError
from autophage.keys import Key
from autophage.networks.dit import DiT
from autophage.networks.mlp import MLP
from autophage.networks.network import Net
from autophage.networks.small_unet import SmallUNet
from autophage.networks.unet import UNet
from autophage.networks.words import WordEncoder, Words

CAPTIONS = torch.tensor([[1, 4, 5, 2, 0, 0], [1, 5, 4, 2, 0, 0], [1, 4, 2, 0, 0, 0]])


def encoder(words: Words) -> WordEncoder:
    with (Key(0) / "encoder").globally():
        return WordEncoder(words, 32).requires_grad_(False)


@pytest.mark.parametrize("kind", ["bag", "transformer"])
def test_padding_changes_nothing_and_order_does(kind: str) -> None:
    net = encoder(Words(9, 6, kind))  # type: ignore[arg-type]
    first, second, third = net(CAPTIONS)
    assert (first - second).abs().max() > 0.01 and (first - third).abs().max() > 0.01
    net.words.weight[0] = 1e6
    torch.testing.assert_close(net(CAPTIONS)[0], first)
    short = encoder(Words(9, 6, kind))  # type: ignore[arg-type]
    short.places = torch.nn.Parameter(short.places[:4])
    torch.testing.assert_close(short(CAPTIONS[:1, :4]), first[None])


@pytest.mark.parametrize("kind", ["bag", "transformer"])
def test_the_null_caption_has_its_own_embedding_and_finite_gradients(kind: str) -> None:
    words = Words(9, 6, kind)  # type: ignore[arg-type]
    net = encoder(words).requires_grad_(True)
    told = net(torch.cat([words.nobody(2), CAPTIONS]))
    torch.testing.assert_close(told[:2], net.null.expand(2, -1))
    told.sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.isfinite().all()), name
    torch.testing.assert_close(net.null.grad, torch.full((32,), 2.0))


def test_an_unknown_word_says_only_where_it_stands_before_it_is_learned() -> None:
    net = encoder(Words(9, 6, "bag"))
    assert not net.words.weight[3].any() and net.words.weight[4].any()


@pytest.mark.parametrize("network", [MLP(width=16), SmallUNet(width=8)])
def test_networks_are_told_captions_where_they_are_told_classes(network: MLP | SmallUNet) -> None:
    shape = (4,) if network.vectors else (1, 8, 8)
    net: Net = network.build(shape, shape[0], Words(9, 6), Key(0))
    with torch.no_grad():
        # The last layers of a block begin at zero, and would hide what is told.
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=(Key(0) / "moved").torch()))
        x, noise = torch.ones(3, *shape), torch.full((3,), 5.0)
        said, null = net(x, noise, CAPTIONS), net(x, noise)
        torch.testing.assert_close(null, net(x, noise, Words(9, 6).nobody(3)))
    assert (said - null).abs().max() > 1e-4 and (said[0] - said[1]).abs().max() > 1e-5


@pytest.mark.parametrize("network", [UNet(), DiT(), UNet(from_pretrained="a/b")])
def test_networks_of_others_are_told_no_captions(network: UNet | DiT) -> None:
    with pytest.raises(SpecError, match="classes but no captions; take small_unet or mlp"):
        network.build((1, 8, 8), 1, Words(9, 6), Key(0))


@pytest.mark.parametrize(
    ("arguments", "wrong"), [((4, 6), "count"), ((9, 2), "length"), ((9, 6, "lstm"), "encoder")]
)
def test_words_that_cannot_be_are_refused(arguments: tuple, wrong: str) -> None:
    with pytest.raises(SpecError, match=wrong):
        Words(*arguments)
