"""Do pictures and captions point the same way in a space that both are mapped into by encoders that never learn from the loop?

    A_cos = mean of cos(e_img(x), e_txt(c)) over the generated pairs

The built-in encoders are linear: regularised canonical correlation (Hotelling 1936; Vinod 1976) of features f(x) and of bags of
words w(c), fitted once to real pairs that the loop does not train on. With covariances S of these,

    (S_ff + r_f I)^(-1/2) S_fw (S_ww + r_w I)^(-1/2) = U diag(rho) V',   r = ridge times the mean variance
    e_img(x) = diag(rho) U' (S_ff + r_f I)^(-1/2) (f(x) - mean),   e_txt(c) likewise

each direction weighed by its correlation rho, so that those which say nothing of the other side do not dilute the cosine. Or the
two towers of a checkpoint like CLIP (Radford et al. 2021); 100 max(A, 0) of a record is its CLIPScore up to a factor (Hessel et al.
2021).
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from autophage.data.arguments import positive, whole_number
from autophage.errors import DataError, MissingExtra, SpecError
from autophage.metrics.descriptions import Bags, as_many, described, require_descriptions
from autophage.metrics.features import OUTSIDE, SPACES, TRAINED_ELSEWHERE, fit_features
from autophage.metrics.intervals import mean
from autophage.metrics.judge_records import Pairs, at_most, pairs_of, real_pairs
from autophage.metrics.records import VECTORS, matrix
from autophage.metrics.spaces.pictures import SourceRecords, require_pictures
from autophage.parts import Compared, Measurement, Metric, Source, View, measurements
from autophage.samples import Samples

MOST_WORDS = 2_000
"""The built-in encoder of captions knows the most frequent words only."""
TEXTS_AT_ONCE = 256


def canonical(x: np.ndarray, y: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Maps A (d, k), B (e, k) of centred pairs x (n, d), y (n, e), and the regularised correlations (k,) between x A and y B,
    k = min(d, e); the columns of A and B are weighed by them.

    >>> t = np.linspace(-1, 1, 9)[:, None]
    >>> A, B, rho = canonical(t, -3 * t, 1e-9)
    >>> rho.round(6).tolist(), bool((np.sign(A * B) == -1).all())
    ([1.0], True)
    """
    roots = []
    for z in (x, y):
        values, vectors = np.linalg.eigh(z.T @ z / len(z))
        values = np.maximum(values, 0)
        shrunk = values + ridge * max(values.mean(), np.finfo(float).tiny)
        roots.append((vectors / np.sqrt(shrunk)) @ vectors.T)
    U, rho, Vt = np.linalg.svd(roots[0] @ (x.T @ y / len(x)) @ roots[1], full_matrices=False)
    return roots[0] @ U * rho, roots[1] @ Vt.T * rho, rho


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The cosine (n,) of vectors (n, k) pair by pair, 0 where one of them is null."""
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.where(lengths > 0, (a * b).sum(axis=1) / np.where(lengths > 0, lengths, 1.0), 0.0)


class Linear:
    """The built-in encoders, fitted to real pairs."""

    def __init__(self, pairs: Samples, features: str, components: int, ridge: float) -> None:
        said = described(pairs, "cosine_alignment", "the judge's real")
        self.extract = fit_features(features, lambda: pairs, components=at_most(components, pairs))
        x = matrix(self.extract(pairs.x), "the features")
        bags = Bags.of(said, most=MOST_WORDS)
        if not bags.words:
            raise DataError("cosine_alignment needs captions with words, and the real ones hold none")
        self.words = bags.words
        y = bags.dense()
        self.centres = x.mean(axis=0), y.mean(axis=0)
        self.maps = canonical(x - self.centres[0], y - self.centres[1], ridge)[:2]

    def __call__(self, x: np.ndarray, said: np.ndarray) -> np.ndarray:
        seen = matrix(self.extract(x), "the features") - self.centres[0]
        told = Bags.of(said, vocabulary=self.words).dense() - self.centres[1]
        return cosines(seen @ self.maps[0], told @ self.maps[1])


class Towers:
    """The two towers of a checkpoint like CLIP, through `transformers`, in float32; on a CUDA device if there is one.

    Raises `SpecError` where no such model loads from `path`, a name on the hub or a folder.
    """

    def __init__(self, path: str, real: Samples, names: tuple[str, ...] | None, prompt: str) -> None:
        import torch

        from autophage.metrics.spaces.pretrained import Pretrained
        from autophage.training.devices import world

        self.images = Pretrained(path, real)
        self.model: Any = self.images.model
        place = Path(path).expanduser()
        if not hasattr(self.model, "get_text_features"):
            raise SpecError(
                f"metric cosine_alignment: encoder {path} is a {type(self.model).__name__}, which reads no text; a model with "
                "two towers is needed, such as openai/clip-vit-base-patch32"
            )
        from transformers import AutoTokenizer

        try:
            self.tokenizer = AutoTokenizer.from_pretrained(str(place) if place.exists() else path)
        except (OSError, ValueError, KeyError, TypeError) as error:
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise SpecError(
                f"metric cosine_alignment: encoder {path} has no tokenizer that loads ({said})"
            ) from error
        self.names, self.prompt, self.device, self.torch = names, prompt, world().device, torch

    def texts(self, said: np.ndarray) -> list[str]:
        """Captions as they are; classes by their names, in the prompt."""
        if said.dtype.kind in "US":
            return said.tolist()
        names = self.names
        return [self.prompt.format(names[c] if names and 0 <= c < len(names) else c) for c in said.tolist()]

    def __call__(self, x: np.ndarray, said: np.ndarray) -> np.ndarray:
        from autophage.metrics.spaces.exact import full_precision

        different, which = np.unique(said, return_inverse=True)
        texts = self.texts(different)
        limit = getattr(getattr(self.model.config, "text_config", None), "max_position_embeddings", None)
        found = []
        with full_precision():
            for start in range(0, len(texts), TEXTS_AT_ONCE):
                tokens = self.tokenizer(
                    texts[start : start + TEXTS_AT_ONCE],
                    padding=True,
                    truncation=limit is not None,
                    max_length=limit,
                    return_tensors="pt",
                ).to(self.device)
                out = self.model.get_text_features(
                    input_ids=tokens["input_ids"], attention_mask=tokens.get("attention_mask")
                )
                out = out if isinstance(out, self.torch.Tensor) else out.pooler_output
                found.append(out.float().cpu().numpy())
        told = np.concatenate(found)[which.reshape(-1)]
        return cosines(np.asarray(self.images(x), np.float64), np.asarray(told, np.float64))


@dataclass(frozen=True, kw_only=True)
class CosineAlignment(Metric):
    """Mean cosine of pictures and their descriptions in a joint space of frozen encoders. Rows:

    - `cosine_alignment`: of the generated pairs;
    - `cosine_alignment_real`: of held-out real pairs that the built-in encoders did not learn from, the same in every generation.

    `features` other than scaled_pca, or the `encoder`, are added to the names. Cosines of different encoders have nothing in
    common. Raises `DataError` where generated records carry neither captions nor labels.
    """

    direction: ClassVar[Literal["lower", "higher", "none"]] = "higher"
    needs: ClassVar[frozenset[str]] = frozenset({"samples"})
    domains: ClassVar[frozenset[str]] = VECTORS
    of_descriptions: ClassVar[bool] = True

    encoder: str | None = None
    """A model with an image and a text tower that `transformers` loads, such as CLIP: a name on the hub, or a folder. Unless
    given, linear encoders are fitted to real pairs."""
    prompt: str = "a photo of a {}"
    """What an `encoder` is told of a class, {} being its name; captions are told as they are."""
    judge_size: int | None = None
    """Real pairs that the linear encoders learn from, as for judge_alignment."""
    features: str = "scaled_pca"
    """Where the linear encoders see records, as for other metrics."""
    components: int = 20
    """Principal components, for `features: pca` and `scaled_pca`; as many as records have numbers, at most."""
    ridge: float = 0.01
    """Regularisation of the linear encoders, in units of the mean variance."""

    def __post_init__(self) -> None:
        for key, least in (("judge_size", 2), ("components", 1)):
            if getattr(self, key) is not None:
                whole_number(getattr(self, key), f"metric cosine_alignment: {key}", least=least)
        positive(self.ridge, "metric cosine_alignment: ridge")
        if "{}" not in self.prompt:
            raise SpecError(
                f"metric cosine_alignment: prompt is {self.prompt!r}; it must have {{}} where the class goes"
            )
        if self.features not in SPACES and not self.features.partition(":")[2]:
            raise SpecError(f"features is '{self.features}'; known: {', '.join(SPACES)}, {OUTSIDE}")

    @property
    def directions(self) -> dict[str, str]:
        """Which way is better, by row name."""
        return {self.row("cosine_alignment"): "higher", self.row("cosine_alignment_real"): "none"}

    def row(self, name: str) -> str:
        """A row's name with the encoder, or the space of the built-in ones, where these were chosen."""
        chosen = self.encoder or ("" if self.features == "scaled_pca" else self.features)
        last = re.split(r"[/\\:]", chosen.rstrip("/\\"))[-1]
        return f"{name}_{re.sub(r'[^0-9a-z]+', '_', last.lower()).strip('_')}" if chosen else name

    def check(self, source: Source) -> None:
        """Raises `SpecError` or `MissingExtra` where records have no descriptions, or the encoders cannot look at them."""
        require_descriptions(source, "cosine_alignment")
        origin, _, path = self.features.partition(":")
        if self.encoder is not None:
            require_pictures(source, "metric cosine_alignment: encoder")
            if importlib.util.find_spec("transformers") is None:
                raise MissingExtra(
                    f"metric cosine_alignment: encoder {self.encoder} needs transformers, which is not installed; pip install "
                    "'autophage[multimodal]'"
                )
        elif self.features == "cnn" or (path and origin in TRAINED_ELSEWHERE):
            require_pictures(source, f"features: {self.features}")

    def check_real(self, source: Source, used: int) -> None:
        """Raises `SpecError` where the loop uses the first `used` real records and too few are left for the encoders."""
        if self.encoder is None:
            real_pairs(source, used, self.judge_size, "cosine_alignment")

    def measure(self, view: View) -> list[Measurement]:
        pairs = pairs_of(view, None if self.encoder else self.judge_size, "cosine_alignment")
        encoders, real = self._fitted(view, pairs)
        found = []
        for r in range(view.replicates):
            made = view.generated(r)
            value = self._alignment(encoders, made, "the generated")
            found.append({self.row("cosine_alignment"): value, self.row("cosine_alignment_real"): real})
        return measurements(found)

    def _alignment(self, encoders: Any, records: Samples, whose: str) -> Compared:
        said = described(records, "cosine_alignment", whose)
        as_many(records.fields["x"], said, "cosine_alignment")
        return mean(encoders(records.x, said))

    def _fitted(self, view: View, pairs: Pairs) -> tuple[Any, Compared]:
        """The encoders, and the cosine of held-out real pairs: once a run."""
        settings = (self.encoder, self.prompt, self.judge_size, self.features, self.components, self.ridge)
        name = ("metrics", "encoders", *settings)
        if name not in view.memo or view.memo[name][0] is not pairs:
            encoders: Any
            if self.encoder is not None:
                real = SourceRecords.of_source(view.source.reference()[:1], view.source)
                encoders = Towers(self.encoder, real, getattr(view.source, "classes", None), self.prompt)
            else:
                encoders = Linear(pairs.learnt, self.features, self.components, self.ridge)
            view.memo[name] = pairs, encoders, self._alignment(encoders, pairs.held_out, "the real")
        return view.memo[name][1:]
