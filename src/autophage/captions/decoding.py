"""Words from a network that says what follows: the likeliest ones, drawn ones, or the best of several beams.

    greedy   c_t = argmax q(. | c_<t, x)
    sample   c_t ~ q(. | c_<t, x)^(1/T), normalised
    beam     the caption of the largest log q(c | x) = sum_t log q(c_t | c_<t, x), its end included, among those that k beams
             reach and the greedy one, which beam search alone may miss

No caption is empty, and none has more than `most` words; what beams reach within them has ended there by its own choice.
Padding and beginnings have no probability; an unknown word has one, but is never said.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from autophage.captions.vocabulary import BEGIN, END, PAD, UNKNOWN

Next = Callable[[Tensor, Tensor], Tensor]
"""Logits (m, K) of the next word after ids (m, l), for the records rows (m,)."""


def log_q(logits: Tensor, ids: Tensor) -> Tensor:
    """log q(c | x) (n,) of captions ids (n, l + 1) where the network said `logits` (n, l, K) after their first l words; of the
    logits' precision."""
    said, word = _normalised(logits), ids[:, 1:]
    each = said.gather(2, torch.where(word == PAD, END, word)[:, :, None]).squeeze(2)
    return torch.where(word == PAD, 0.0, each).sum(dim=1)


def _normalised(logits: Tensor, begins: bool = True) -> Tensor:
    """log q (n, l, K): nothing follows as padding or beginning, and no caption ends before its first word."""
    closed = torch.zeros(logits.shape[1:], dtype=torch.bool, device=logits.device)
    closed[:, [PAD, BEGIN]] = True
    if begins:
        closed[0, END] = True
    return logits.masked_fill(closed, -torch.inf).log_softmax(dim=2)


def log_said(logits: Tensor, first: bool) -> Tensor:
    """log q (m, K) float64 of the next word, of those only that may be said."""
    said = _normalised(logits.double()[:, None], first)[:, 0]
    said[:, UNKNOWN] = -torch.inf
    return said


def greedy(following: Next, n: int, most: int, device: str = "cpu") -> Tensor:
    """The likeliest words one by one: ids (n, most + 2)."""
    return _one_by_one(following, n, most, device, lambda said, _: said.argmax(dim=1))


def sampled(following: Next, uniforms: Tensor, most: int, temperature: float) -> Tensor:
    """Words drawn with uniforms (n, most), one for each: ids (n, most + 2)."""

    def drawn(said: Tensor, t: int) -> Tensor:
        below = (said / temperature).softmax(dim=1).cumsum(dim=1)
        # The last sum may stay below one by rounding, and no word may be drawn that cannot be said.
        at = uniforms[:, t : t + 1].to(below) * below[:, -1:]
        return torch.searchsorted(below, at, right=True).squeeze(1).clamp(max=said.shape[1] - 1)

    return _one_by_one(following, len(uniforms), most, str(uniforms.device), drawn)


def _one_by_one(
    following: Next, n: int, most: int, device: str, chosen: Callable[[Tensor, int], Tensor]
) -> Tensor:
    ids = torch.full((n, most + 2), PAD, dtype=torch.long, device=device)
    ids[:, 0] = BEGIN
    going = torch.ones(n, dtype=torch.bool, device=device)
    rows = torch.arange(n, device=device)
    for t in range(most):
        said = log_said(following(ids[:, : t + 1], rows), first=t == 0)
        ids[:, t + 1] = torch.where(going, chosen(said, t), PAD)
        going &= ids[:, t + 1] != END
        if not bool(going.any()):
            return ids
    ids[going, most + 1] = END
    return ids


def beams(following: Next, n: int, most: int, width: int, device: str = "cpu") -> Tensor:
    """The best of `width` beams: ids (n, most + 2)."""
    plain = greedy(following, n, most, device)
    ids = torch.full((n, 1, most + 2), PAD, dtype=torch.long, device=device)
    ids[:, :, 0] = BEGIN
    score = torch.zeros(n, 1, dtype=torch.float64, device=device)
    ended = torch.zeros(n, 1, dtype=torch.bool, device=device)
    for t in range(most + 1):
        k = ids.shape[1]
        rows = torch.arange(n, device=device).repeat_interleave(k)
        said = log_said(following(ids.flatten(0, 1)[:, : t + 1], rows), first=t == 0)
        said = said.view(n, k, -1)
        size = said.shape[2]
        if t == most:  # no more words: whatever has not ended must end here
            closed = torch.full_like(said, -torch.inf)
            closed[:, :, END] = said[:, :, END]
            said = closed
        waits = torch.full_like(said, -torch.inf)
        waits[:, :, PAD] = 0.0
        said = torch.where(ended[:, :, None], waits, said)
        total = (score[:, :, None] + said).flatten(1)
        score, best = total.topk(min(width, total.shape[1]), dim=1)
        beam, word = best // size, best % size
        ids = ids.gather(1, beam[:, :, None].expand(-1, -1, ids.shape[2])).clone()
        ids[:, :, t + 1] = word
        ended = ended.gather(1, beam) | (word == END)
        if bool((ended | score.isneginf()).all()):
            break
    found = ids[:, 0]
    better = score[:, 0] >= _scored(following, plain)
    return torch.where(better[:, None], found, plain)


def _scored(following: Next, ids: Tensor) -> Tensor:
    """log q(c | x) (n,) float64 of said captions ids (n, l)."""
    rows = torch.arange(len(ids), device=ids.device)
    total = torch.zeros(len(ids), dtype=torch.float64, device=ids.device)
    for t in range(ids.shape[1] - 1):
        word = ids[:, t + 1]
        said = log_said(following(ids[:, : t + 1], rows), first=t == 0)
        total += torch.where(word == PAD, 0.0, said.gather(1, word[:, None]).squeeze(1))
    return total
