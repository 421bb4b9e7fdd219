"""Names of columns: which count steps, which are measurements of use, which an objective, and which way is better.

Tools agree on no names, but on habits; what they do not settle, an option does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal

from autophage.verdicts.tables import DISTANCES, RISKS

Better = Literal["lower", "higher"]

STEPS = (
    "step",
    "global_step",
    "trainer/global_step",
    "_step",
    "steps",
    "iteration",
    "iterations",
    "iter",
    "update",
    "updates",
    "num_updates",
    "generation",
    "round",
    "epoch",
    "epochs",
    "batch",
    "tokens",
    "samples",
)

_HELD_OUT = re.compile(r"(^|[/_.\- ])(val|valid|validation|eval|evaluation|dev|test|held_?out)([/_.\- ]|$)")
_OBJECTIVE = re.compile(
    r"(^|[/_.\- ])(train|training)([/_.\- ].*)?(loss|objective|reward)"
    r"|(loss|objective|reward)([/_.\- ].*)?[/_.\- ](train|training)$|^(loss|objective|reward)$"
)
_BOOKKEEPING = re.compile(
    r"runtime|per_second|throughput|seconds|learning_rate|grad_?norm|wall_?time|^_|gpu|cpu|(^|/)(global_)?(step|epoch)s?$"
    r"|(^|[/_])(time|timestamp|eta|lr|memory|mem|flos|tokens|duration)s?$"
)
_LOWER = re.compile(
    r"loss(es)?|err|errors?|nll|perplexity|ppl|mse|rmse|mae|fid|kid|frechet|wasserstein|distance|divergence|kl|wer|cer|bpb|bpc"
    r"|risk|xent|crossentropy|mmd|regret|brier|ece|eer|\w+(loss|error)"
)
_HIGHER = re.compile(
    r"acc|f1|auc|auroc|auprc|precision|recall|bleu|rouge\w?|meteor|cider|chrf|score|reward|returns?|r2|map|m?iou|dice|psnr|ssim"
    r"|coverage|density|likelihood|elbo|diversity|variance|vendi|distinct|corr|correlation|success|winrate|em|match|gold"
    r"|\w*accuracy"
)


def step_column(names: Iterable[str]) -> str | None:
    """The column that counts steps, or None."""
    lower = {name.lower(): name for name in reversed(list(names))}
    return next((lower[s] for s in STEPS if s in lower), None)


def better(name: str) -> Better | None:
    """Which way a metric is better, as far as its name says it.

    >>> better("eval_loss"), better("val/Accuracy"), better("negative_log_likelihood"), better("thing")
    ('lower', 'higher', 'lower', None)
    """
    words = [w for w in re.split(r"[^a-z0-9]+", name.lower()) if w]
    if "cross entropy" in " ".join(words) or ("negative" in words and "likelihood" in words):
        return "lower"
    if any(map(_LOWER.fullmatch, words)):
        return "lower"
    if any(map(_HIGHER.fullmatch, words)):
        return "higher"
    return None


def signed(name: str) -> tuple[str, Better | None]:
    """A name with a minus in front where higher is better, as in a spec's verdict block."""
    return (name[1:], "higher") if name.startswith("-") else (name, None)


def uses(names: Sequence[str]) -> list[str]:
    """The columns that measure use, likeliest first: held-out losses, other held-out metrics, risks and distances of a run."""
    held = [n for n in names if _HELD_OUT.search(n.lower()) and not bookkeeping(n)]
    losses = [n for n in held if "loss" in n.lower()]
    known = [n for n in held if n not in losses and better(n)]
    bare = {n: n.rpartition("/")[2] for n in names}  # an agent may stand in front
    own = [n for risk in RISKS for n in names if bare[n] == risk.removeprefix("-")]
    own += [n for d in DISTANCES for n in names if bare[n] == d or bare[n].startswith(d + "_")]
    return list(dict.fromkeys([*losses, *known, *own]))


def objectives(names: Sequence[str]) -> list[str]:
    """The columns that training improves, likeliest first."""
    return [n for n in names if _OBJECTIVE.search(n.lower()) and not _HELD_OUT.search(n.lower())]


def bookkeeping(name: str) -> bool:
    """Whether a column counts costs and settings rather than quality."""
    return bool(_BOOKKEEPING.search(name.lower()))
