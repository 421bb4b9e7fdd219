"""Captioners of `transformers` as one network: the log probability of a caption, and captions, of a picture.

    log p(c | x) = sum_i log p(c_i | x, start, c_1 .. c_{i-1}),    c = the caption's words and the end mark

Four families, which differ in where pictures enter and in what the decoder is told first: BLIP (Li et al. 2022), BLIP-2 (Li et
al. 2023; OPT and T5 inside), GIT (Wang et al. 2022), and any vision encoder with any text decoder (ViT-GPT2, TrOCR). All of their
weights are trained, or low-rank additions to some linear maps of the text decoder (`autophage.networks.tuned`).
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from autophage.errors import SpecError
from autophage.keys import Key
from autophage.metrics.spaces.pretrained import processor, quietly
from autophage.networks import tuned
from autophage.networks.tuned import TunedNetwork


class Family(NamedTuple):
    """A kind of captioner."""

    model: str
    """Its class in transformers."""
    text: str
    """Where its text decoder is."""


FAMILIES = {
    "blip": Family("BlipForConditionalGeneration", "text_decoder"),
    "blip-2": Family("Blip2ForConditionalGeneration", "language_model"),
    "git": Family("GitForCausalLM", "git.encoder"),
    "vision-encoder-decoder": Family("VisionEncoderDecoderModel", "decoder"),
}
"""By `model_type` of the checkpoint's config.json."""
ATTENTION = {"q_proj", "v_proj", "query", "value", "q", "v", "c_attn", "q_attn"}
"""Maps of attention to queries and values, as the decoders of these families name them: what LoRA adds to unless told."""
PREPARATION = ("preprocessor_config.json", "processor_config.json")


class Tuning(NamedTuple):
    """Which checkpoint is open, and what of it is trained; as plain data."""

    checkpoint: str
    lora: bool
    rank: int
    alpha: float
    targets: tuple[str, ...] | None


class Decoding(NamedTuple):
    """How captions are chosen: `beams` 1 and not `drawn` is greedy."""

    budget: int
    drawn: bool
    temperature: float
    beams: int


class CaptioningNetwork(TunedNetwork):
    """A captioner that is trained on.

    Dropout stays off, so that the loss of a record is minus its log probability and nothing random is left.
    `tokenizer` and `prepare` (pictures (n, h, w, 3) of bytes to what the model sees) are the checkpoint's own, `digest` names
    the content of its files.
    """

    def __init__(self, tuning: Tuning, place: Path) -> None:
        super().__init__()
        self.tuning, self.place = tuning, place
        self.family = family_at(place)
        self.digest = digest(place)
        base, self.tokenizer, self.prepare = _loaded(place, self.family)
        self.start, self.end, self.pad = _marks(base, self.family, self.tokenizer)
        self.prefix, self.positions = _prefix(base, self.family), _positions(base)
        self.model: Any = base.eval().requires_grad_(False)
        if tuning.lora:
            self.model = _with_adapter(base, tuning, FAMILIES[self.family].text)
        self._keep()

    @property
    def base(self) -> Any:
        """The model of transformers, low-rank additions in place."""
        return self.model.get_base_model() if self.tuning.lora else self.model

    def _draw(self, weight: Tensor, generator: torch.Generator) -> None:
        edge = 1 / math.sqrt(weight.shape[1])
        weight.copy_(torch.rand(weight.shape, generator=generator) * 2 * edge - edge)

    def words(self, captions: Sequence[str], most: int) -> tuple[Tensor, Tensor]:
        """Tokens (n, T) of captions, at most `most` words (tokens) of each, the end mark after them; and where they are, (n, T)."""
        rows = [
            [*self.tokenizer(str(c), add_special_tokens=False).input_ids[:most], self.end] for c in captions
        ]
        ids = torch.full((len(rows), max(map(len, rows))), self.pad)
        there = torch.zeros(ids.shape)
        for i, row in enumerate(rows):
            ids[i, : len(row)], there[i, : len(row)] = torch.tensor(row), 1.0
        return ids, there

    def forward(self, pixels: Tensor, ids: Tensor, there: Tensor) -> Tensor:
        """log p(c | x) (n,) in nats of captions `words(...)` of prepared pictures (n, 3, h, w)."""
        told = torch.cat([ids.new_full((len(ids), 1), self.start), ids[:, :-1]], dim=1)
        logits = self._logits(pixels, told)[:, -ids.shape[1] :].float()
        each = torch.log_softmax(logits, dim=-1).gather(2, ids[..., None])[..., 0]
        return (each * there).sum(dim=1)

    def _logits(self, pixels: Tensor, told: Tensor) -> Tensor:
        """(n, at least T, words): of what comes after each of the tokens `told` (n, T)."""
        if self.family == "vision-encoder-decoder":
            seen = torch.ones_like(told)  # what fills a row comes after its end, where nobody looks
            return self.base(pixel_values=pixels, decoder_input_ids=told, decoder_attention_mask=seen).logits
        first = told.new_tensor(self.prefix).expand(len(told), -1)
        if self._encodes:
            return self.base(pixel_values=pixels, input_ids=first, decoder_input_ids=told).logits
        return self.base(pixel_values=pixels, input_ids=torch.cat([first, told], dim=1)).logits

    @property
    def _encodes(self) -> bool:
        """Whether a language model with an encoder of its own speaks (T5 in BLIP-2)."""
        return self.family == "blip-2" and self.base.config.text_config.is_encoder_decoder

    @torch.no_grad()
    def captions(self, pixels: Tensor, how: Decoding) -> list[str]:
        """Captions of prepared pictures (n, 3, h, w): no mark is said but the end, and that never first. Draws come from torch's
        global generator, the only one that the library knows."""
        from transformers import GenerationConfig

        told: dict[str, Any] = {}
        first = list(self.prefix) + ([] if self._encodes else [self.start])
        if self.family in ("blip-2", "git"):  # the others put the start there themselves
            told["input_ids"] = torch.tensor(first, device=pixels.device).repeat(len(pixels), 1)
        # Everything is said: what is left out would be taken from the checkpoint's own settings.
        settings = GenerationConfig(
            max_new_tokens=how.budget,
            min_new_tokens=1,
            min_length=0,
            suppress_tokens=sorted(set(self.tokenizer.all_special_ids) - {self.end}) or None,
            do_sample=how.drawn,
            num_beams=how.beams,
            length_penalty=1.0,
            early_stopping=False,
            repetition_penalty=1.0,
            no_repeat_ngram_size=0,
            bos_token_id=self.start,
            decoder_start_token_id=self.start,
            eos_token_id=self.end,
            pad_token_id=self.pad,
            **({"temperature": how.temperature, "top_k": 0, "top_p": 1.0} if how.drawn else {}),
        )
        with quietly():
            out = self.base.generate(pixel_values=pixels, generation_config=settings, **told)
        skip = 1 if self._encodes else len(first)
        return [self._said(row[skip:]) for row in out.tolist()]

    def _said(self, ids: list[int]) -> str:
        whole = ids[: ids.index(self.end)] if self.end in ids else ids
        return str(self.tokenizer.decode(whole, skip_special_tokens=True)).strip()

    def publish(self, folder: Path) -> str:
        if self.tuning.lora:
            self.model.save_pretrained(folder)
            return f"{{}} holds LoRA weights: PeftModel.from_pretrained of peft puts them on {self.tuning.checkpoint}"
        with quietly():
            self.model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)
        for name in PREPARATION:
            if (self.place / name).is_file():
                shutil.copy(self.place / name, folder / name)
        return f"{{}} loads in transformers: {FAMILIES[self.family].model}.from_pretrained"


@functools.lru_cache(maxsize=2)
def opened(tuning: Tuning) -> CaptioningNetwork:
    """The network of a checkpoint, a folder or a hub id where the hub can be reached; one for all models that rest on it, which
    load their weights into it.

    Raises `SpecError` where there is none or it is no captioner, `MissingExtra` where transformers or peft are not installed.
    """
    require(*(["peft"] if tuning.lora else []))
    return CaptioningNetwork(tuning, found(tuning.checkpoint))


def require(*further: str) -> None:
    """Raises `MissingExtra` unless transformers and `further` packages are installed; imports none of them."""
    tuned.require("learner pretrained_captioner", "transformers", *further)


def examined(checkpoint: str) -> None:
    """Raises `SpecError` where a folder is missing or says that it is no captioner; imports nothing, and asks no hub."""
    if (place := tuned.folder_of(checkpoint)) is not None:
        family_at(place)


def family_at(place: Path) -> str:
    """Which of `FAMILIES` a folder holds. Raises `SpecError` where it is none of them."""
    try:
        kind = json.loads((place / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        raise SpecError(
            f"learner.checkpoint: {place} holds no config.json that can be read; name a folder that save_pretrained wrote"
        ) from None
    if kind not in FAMILIES:
        raise SpecError(
            f"learner.checkpoint: {place} is a model of type {kind}, no captioner; known are {', '.join(FAMILIES)}"
        )
    return str(kind)


def found(checkpoint: str) -> Path:
    """The folder of a checkpoint, fetched where it is on the hub. Raises `SpecError` where it is not there."""
    examined(checkpoint)
    place = Path(checkpoint).expanduser()
    if place.is_dir():
        return place
    try:
        from huggingface_hub import snapshot_download

        # The configuration first, so that no weights are fetched in vain.
        place = Path(snapshot_download(checkpoint, allow_patterns=["*.json", "*.txt", "*.model"]))
        family_at(place)
        snapshot_download(checkpoint, allow_patterns=["*.safetensors"])
        if not any(place.glob("*.safetensors")):
            snapshot_download(checkpoint, allow_patterns=["*.bin"])
    except SpecError:
        raise
    except Exception as error:  # of many libraries: sockets, HTTP, the hub's own
        raise SpecError(
            f"learner.checkpoint: {checkpoint} is no folder here, and the hub does not give it: {error}"
        ) from error
    return place


def digest(place: Path) -> str:
    """32 hexadecimal digits of what a checkpoint's weights, settings and words are."""
    weights = sorted(place.glob("*.safetensors")) or sorted(place.glob("*.bin"))
    hashed = hashlib.blake2b(digest_size=16)
    for file in [*sorted(place.glob("*.json")), *sorted(place.glob("*.txt")), *weights]:
        hashed.update(f"{file.name}:{file.stat().st_size}:".encode())
        with file.open("rb") as stream:
            while block := stream.read(2**22):
                hashed.update(block)
    return hashed.hexdigest()


def _loaded(place: Path, family: str) -> tuple[Any, Any, Any]:
    """The model in float32, its tokenizer, and what makes pictures ready for it."""
    import transformers

    kind = getattr(transformers, FAMILIES[family].model)
    try:
        with Key(0).globally(), quietly():
            model, info = kind.from_pretrained(str(place), dtype=torch.float32, output_loading_info=True)
            tokenizer = transformers.AutoTokenizer.from_pretrained(str(place))
            prepare = processor(str(place))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError) as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise SpecError(
            f"learner.checkpoint: {place} cannot be loaded ({said}); a folder needs the weights, config.json, a tokenizer "
            "and preprocessor_config.json"
        ) from error
    if info["missing_keys"]:
        raise SpecError(
            f"learner.checkpoint: {place} lacks weights: {', '.join(sorted(info['missing_keys'])[:3])}"
        )
    return model, tokenizer, prepare


def _marks(model: Any, family: str, tokenizer: Any) -> tuple[int, int, int]:
    """The tokens that begin and end a caption and fill what is left. Raises `SpecError` where the checkpoint does not say."""
    config, settings = model.config, model.generation_config
    text = getattr(config, "text_config", None) or getattr(config, "decoder", None) or config
    if family == "vision-encoder-decoder" or getattr(text, "is_encoder_decoder", False):
        starts = [settings.decoder_start_token_id, getattr(config, "decoder_start_token_id", None)]
        starts += [getattr(text, "decoder_start_token_id", None), text.bos_token_id]
    else:
        starts = [text.bos_token_id]
    ends = [settings.eos_token_id, getattr(config, "eos_token_id", None), text.eos_token_id]
    if family == "blip":  # whose text configuration calls the end mark so, as its `generate` does
        ends = [text.sep_token_id]
    start, end = _first(starts), _first([*ends, tokenizer.eos_token_id])
    if start is None or end is None:
        raise SpecError(
            f"learner.checkpoint: {model.name_or_path} does not say which token {'begins' if start is None else 'ends'} a caption"
        )
    pad = _first([tokenizer.pad_token_id, getattr(text, "pad_token_id", None), end])
    assert pad is not None
    return start, end, pad


def _first(tokens: Sequence[Any]) -> int | None:
    """The first that is said, of several the first."""
    for token in tokens:
        if isinstance(token, list | tuple) and token:
            return int(token[0])
        if isinstance(token, int):
            return token
    return None


def _prefix(model: Any, family: str) -> tuple[int, ...]:
    """Tokens that stand for the picture."""
    if family != "blip-2":
        return ()
    config = model.config
    token = _first([getattr(config, "image_token_index", None), getattr(config, "image_token_id", None)])
    if token is None:
        raise SpecError(
            f"learner.checkpoint: {model.name_or_path} does not say which token stands for a picture"
        )
    return (token,) * config.num_query_tokens


def _positions(model: Any) -> int | None:
    """The most tokens that the decoder can place, where there is a bound."""
    text = (
        getattr(model.config, "text_config", None) or getattr(model.config, "decoder", None) or model.config
    )
    if getattr(text, "is_encoder_decoder", False):
        return None  # relative positions
    return _first([getattr(text, "max_position_embeddings", None), getattr(text, "n_positions", None)])


def _with_adapter(base: Any, tuning: Tuning, text: str) -> Any:
    """The model with low-rank additions. Raises `SpecError` where there is nothing to add them to."""
    import peft

    linear = {
        n: m for n, m in base.named_modules() if isinstance(m, nn.Linear) or type(m).__name__ == "Conv1D"
    }
    if tuning.targets is None:
        chosen = [n for n in linear if n.startswith(f"{text}.") and n.rpartition(".")[2] in ATTENTION]
    else:
        chosen = [n for n in linear if any(n == t or n.endswith(f".{t}") for t in tuning.targets)]
    if not chosen:
        wanted = "queries and values" if tuning.targets is None else ", ".join(tuning.targets)
        known = sorted({n.rpartition(".")[2] for n in linear})
        raise SpecError(
            f"learner.lora.target_modules: {tuning.checkpoint} has no linear maps for {wanted}; it has {', '.join(known)}"
        )
    config = peft.LoraConfig(
        r=tuning.rank,
        lora_alpha=tuning.alpha,  # type: ignore[arg-type]
        target_modules=chosen,
        lora_dropout=0.0,
        bias="none",
        fan_in_fan_out=all(type(linear[n]).__name__ == "Conv1D" for n in chosen),
    )
    with Key(0).globally(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of what peft asks transformers for
        return peft.get_peft_model(base, config).eval()


def colour_bytes(z: Tensor) -> np.ndarray:
    """Pictures (n, c, h, w) in [-1, 1] as bytes (n, h, w, 3), grey ones in three equal channels.

    >>> colour_bytes(torch.tensor([[[[-1.0, 1.0]]]])).tolist()
    [[[[0, 0, 0], [255, 255, 255]]]]
    """
    x = ((z.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
    return x.expand(*x.shape[:3], 3).contiguous().numpy() if x.shape[3] == 1 else x.contiguous().numpy()
