"""What a network of ours is told by a caption: its words, as one vector in the place of a class embedding.

    h_i = E[w_i] + P_i                                      word w_i at place i
    bag           h <- SiLU(A SiLU(h))
    transformer   h <- h + attention(LayerNorm(h)),  h <- h + D SiLU(C LayerNorm(h))
    both          c = B LayerNorm(mean_i h_i) + b

Means and attention are over the words only, not over padding. Padding everywhere is the null caption of classifier-free
guidance and has an embedding of its own (Vaswani et al. 2017 for the block; Zaheer et al. 2017 for the bag: with the place inside
the nonlinearity it may depend on order).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from autophage.captions.vocabulary import PAD, SPECIAL, UNKNOWN
from autophage.data.arguments import one_of, whole_number

ENCODERS = ("bag", "transformer")
HEAD = 32
"""Numbers of an attention head."""


@dataclass(frozen=True)
class Words:
    """Captions as a network is told them: int64 (n, length) of numbers below `count`.

    >>> Words(9, 4).nobody(2)
    tensor([[0, 0, 0, 0],
            [0, 0, 0, 0]])
    """

    null: ClassVar[int] = PAD
    """A caption of nothing but this number is no caption."""

    count: int
    """Numbers of words, those of padding, beginning, end and unknown ones among them."""
    length: int
    """Numbers of a caption."""
    encoder: Literal["bag", "transformer"] = "transformer"
    """How they become one vector."""

    def __post_init__(self) -> None:
        whole_number(self.count, "words.count", least=SPECIAL + 1)
        whole_number(self.length, "words.length", least=3)
        one_of(self.encoder, "words.encoder", ENCODERS)

    def nobody(self, n: int, device: torch.device | str = "cpu") -> Tensor:
        """The null caption n times, (n, length)."""
        return torch.full((n, self.length), self.null, dtype=torch.long, device=device)


class WordEncoder(nn.Module):
    """Vectors (n, size) from captions (n, length)."""

    def __init__(self, words: Words, size: int) -> None:
        super().__init__()
        self.words = nn.Embedding(words.count, size)
        self.places = nn.Parameter(torch.randn(words.length, size))
        self.null = nn.Parameter(torch.randn(size))
        with torch.no_grad():
            self.words.weight[[PAD, UNKNOWN]] = 0  # an unknown word says nothing before anyone has learned it
        self.block: nn.Module = _Attending(size) if words.encoder == "transformer" else _Each(size)
        # Of many words' mean, what one word changes is small; the norm makes it as large as what it changes of one word.
        self.norm, self.out = nn.LayerNorm(size), nn.Linear(size, size)

    def forward(self, caption: Tensor) -> Tensor:
        said = caption != PAD
        nobody = ~said.any(dim=1, keepdim=True)
        h = self.block(self.words(caption) + self.places, said | nobody)
        share = said.to(h.dtype) / said.sum(dim=1, keepdim=True).clamp(min=1)
        found = self.out(self.norm((share[:, :, None] * h).sum(dim=1)))
        return torch.where(nobody, self.null.to(found.dtype), found)


class _Each(nn.Module):
    """Every word by itself."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.first = nn.Linear(size, size)

    def forward(self, h: Tensor, said: Tensor) -> Tensor:
        return nn.functional.silu(self.first(nn.functional.silu(h)))


class _Attending(nn.Module):
    """Every word asks every other, the padding aside."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.heads = size // HEAD if size % HEAD == 0 else 1
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in range(2))
        self.asked = nn.Linear(size, 3 * size, bias=False)
        self.found = nn.Linear(size, size)
        self.first, self.second = nn.Linear(size, 2 * size), nn.Linear(2 * size, size)

    def forward(self, h: Tensor, said: Tensor) -> Tensor:
        n, length, size = h.shape
        asked = self.asked(self.norms[0](h)).view(n, length, 3, self.heads, size // self.heads)
        query, key, value = asked.permute(2, 0, 3, 1, 4)
        found = nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=said[:, None, None, :]
        )
        h = h + self.found(found.transpose(1, 2).reshape(n, length, size))
        return h + self.second(nn.functional.silu(self.first(self.norms[1](h))))
