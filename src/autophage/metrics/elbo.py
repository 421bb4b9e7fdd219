"""The evidence lower bound of models that have one, and what generation 0's encoder makes of later samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from autophage.data.arguments import whole_number
from autophage.errors import DataError
from autophage.metrics.intervals import mean, normal
from autophage.metrics.model_metric import ReadingMetric
from autophage.metrics.records import FIXED, subset
from autophage.parts import Compared, Measurement, View, measurements


@dataclass(frozen=True, kw_only=True)
class Elbo(ReadingMetric):
    """Mean evidence lower bound, in nats per record: `elbo_train` over generation 0's real training set, `elbo_held_out`
    over the held-out real records, and `generalisation_gap`, the first less the second.

    The same records and the same latent noise in every generation and run. Intervals are normal ones over records, for
    the fitted model as it is. Status: lower bound on the log-likelihood. Source of the gap: Xiao, Zenn and Bamler (2023).
    """

    citation: ClassVar[tuple[str, ...]] = (
        "T. Z. Xiao, J. Zenn, R. Bamler (2023), A note on generalization in variational autoencoders: how effective is "
        "synthetic data & overparameterization?, arXiv 2310.19653",
    )
    needs: ClassVar[frozenset[str]] = frozenset({"train"})
    reads: ClassVar[frozenset[str]] = frozenset({"elbo"})
    of_some: ClassVar[bool] = True

    draws: int = 1
    """Latents per record."""
    most: int = 5000
    """Records of either set that are looked at, at most."""

    def __post_init__(self) -> None:
        whole_number(self.draws, "metric elbo: draws", least=1)
        whole_number(self.most, "metric elbo: most", least=2)

    def measure(self, view: View) -> list[Measurement]:
        if self.lacking(view.model):
            return []
        model: Any = view.model
        found: dict[str, Compared] = {}
        errors = []
        for row, against in (("elbo_train", "train"), ("elbo_held_out", "reference")):
            x = subset(view.reference(0, against).x, self.most, FIXED / "elbo" / against)
            each = model.elbo(x, FIXED / "elbo" / against / "latent", self.draws)
            found[row] = mean(each)
            errors.append(each.std(ddof=1) / np.sqrt(len(each)))
        train, held_out = found["elbo_train"], found["elbo_held_out"]
        gap = normal(train.value - held_out.value, float(np.hypot(*errors)), held_out.n)
        return measurements([{**found, "generalisation_gap": gap}])


def encoder_spread(means: np.ndarray) -> Compared:
    """The standard deviation of encoder means (n, k), pooled over records and latents.

    Interval: normal, by the delta method over records.
    """
    if len(means) < 2:
        raise DataError("a spread needs at least two records")
    each = np.square(means - means.mean()).mean(axis=1)
    value = float(np.sqrt(each.mean()))
    error = each.std(ddof=1) / np.sqrt(len(each)) / (2 * value) if value else 0.0
    return normal(value, error, len(each))


@dataclass(frozen=True, kw_only=True)
class EncoderSpread(ReadingMetric):
    """Standard deviation of the means that generation 0's encoder gives to this generation's samples (row
    `encoder_spread`), pooled over records and latents: it falls as the samples of a collapsing loop draw together.

    The ruler stays generation 0's model throughout, also of a run that was interrupted. Source: Shumailov et al. (2024),
    experiment on MNIST.
    """

    citation: ClassVar[tuple[str, ...]] = (
        "I. Shumailov, Z. Shumaylov, Y. Zhao, N. Papernot, R. Anderson, Y. Gal (2024), AI models collapse when trained on "
        "recursively generated data. Nature 631, 755-759; arXiv 2305.17493",
    )
    direction: ClassVar[Literal["lower", "higher", "none"]] = "none"
    needs: ClassVar[frozenset[str]] = frozenset({"samples", "first"})
    reads: ClassVar[frozenset[str]] = frozenset({"encode"})
    of_some: ClassVar[bool] = True

    def measure(self, view: View) -> list[Measurement]:
        if self.lacking(view.model):
            return []
        first: Any = view.first()
        means, _ = first.encode(view.generated(0).x)
        return measurements([{"encoder_spread": encoder_spread(np.asarray(means, dtype=np.float64))}])
