"""What a detector of synthetic records is worth."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from autophage.errors import SpecError
from autophage.keys import Key
from autophage.planner.answer import Answer, Line, Trial
from autophage.planner.inversion import based_on, crossing, example, level
from autophage.spec import Spec
from autophage.studies.detected_provenance import simulate
from autophage.theory.arguments import unit_interval, whole
from autophage.theory.contaminated import gini
from autophage.theory.provenance import detector_gain

DEFAULT = {
    "data": {"kind": "categorical", "zipf": {"symbols": 20, "exponent": 1}},
    "learner": {"kind": "categorical"},
    "workflow": {"kind": "fresh"},
}


def detector(
    *,
    target: float | str | None = None,
    horizon: int,
    spec: Any = None,
    data: Any = None,
    real_share: float | None = None,
    error: float | None = None,
    size: int | None = None,
    initial_size: int | None = None,
    kind: Literal["symmetric", "erasure"] = "symmetric",
    **given: Any,
) -> Answer:
    """The real records that a detector saves, batch by batch.

    A batch of n records of hidden provenance, real with probability alpha, informs the best estimator like n
    alpha^2 real records; a detector whose verdicts have the laws Q1 (real) and Q0 multiplies this by 1 + chi2(Q1 ||
    alpha Q1 + (1 - alpha) Q0), and full knowledge would make it n alpha (Kanabar & Gastpar 2025). Worth: n alpha^2
    chi2 real records a batch. With a target, the largest error whose risk after T batches stays under it.
    """
    if real_share is None or size is None:
        raise SpecError(
            "plan detector needs real_share and size: the share of real records in a batch, and its records"
        )
    alpha, n = unit_interval(real_share, "real_share"), whole(size, 1, "size")
    if not 0 < alpha < 1:
        raise SpecError(
            f"real_share is {alpha:g}; a detector can help only where it lies strictly between 0 and 1"
        )
    start = n if initial_size is None else whole(initial_size, 1, "initial_size")
    source = Spec.of({**based_on(spec, data, DEFAULT, **given), "seed": 0, "metrics": []}).data
    if source.domain != "symbols" or source.truth is None:
        raise SpecError("plan detector speaks about symbols; give categorical data, or a categorical column")
    p = source.truth.probabilities[0]
    t = np.arange(horizon + 1)

    def risk(worth: float) -> np.ndarray:
        return gini(p) / (start + t * worth)

    without, oracle = risk(n * alpha**2), risk(n * alpha)
    limit, needless = None, False
    if target is not None:
        if error is not None:
            raise SpecError("plan detector takes the detector's error or a target to find it for, not both")
        limit = level(target, float(without[0]), "squared_error")
        if not oracle[-1] <= limit:
            raise SpecError(
                f"no detector brings squared_error under {limit:g} in {horizon} batches: with all provenance known it ends at "
                f"{oracle[-1]:.4g}; take larger batches or a higher target"
            )
        top = 0.5 if kind == "symmetric" else 1.0
        needless = bool(without[-1] <= limit)
        # The gain falls in the error: the accuracy 1 - error / top is what is looked for.
        accuracy = (
            0.0
            if needless
            else crossing(
                lambda a: bool(risk(n * alpha**2 * detector_gain(alpha, top * (1 - a), kind))[-1] <= limit),
                0.0,
                1.0,
            )
        )
        error = top * (1 - accuracy)
    if error is None:
        raise SpecError("plan detector needs the error of the detector, or a target to find it for")
    gain = detector_gain(alpha, error, kind)
    worth = n * alpha**2 * gain
    extra = worth - n * alpha**2
    chosen = risk(worth)

    def run(flip: float | None) -> Any:
        def course(replicates: int, key: Key) -> np.ndarray:
            return simulate(
                p,
                sizes=[start] + [n] * horizon,
                real_share=alpha,
                error=flip,
                kind=kind,
                replicates=replicates,
                key=key,
            )

        return course

    rows = [
        {
            "detector error": e,
            "worth real records a batch": n * alpha**2 * (detector_gain(alpha, e, kind) - 1),
            "risk at the end": float(risk(n * alpha**2 * detector_gain(alpha, e, kind))[-1]),
        }
        for e in (0.0, 0.01, 0.05, 0.1, 0.2, 0.4)
    ]
    what = "records" if kind == "symmetric" else "records, on which it stays silent"
    said = f"{100 * error:.3g} % of {what}"
    if needless:
        sentence = f"No detector is needed: squared_error ends under {limit:.4g} after {horizon} batches without one."
    elif limit is not None:
        sentence = (
            f"A detector may err in at most {said}: then squared_error ends under {limit:.4g} after {horizon} batches of "
            f"{n:,} records, each worth {extra:,.3g} more real records than without a detector."
        )
    else:
        sentence = (
            f"A detector that errs in {said} is worth {extra:,.3g} real records in every batch of {n:,} ({gain:.3g} times the "
            f"information); knowing all provenance would be worth {n * alpha * (1 - alpha):,.3g}."
        )
    return Answer(
        question="detector",
        value=error if target is not None else extra,
        unit="largest error of the detector" if target is not None else "real records per batch",
        sentence=sentence,
        status="asymptotic",
        theorem="A detector multiplies the effective size n alpha^2 of a batch by 1 + chi2(Q1 || alpha Q1 + "
        "(1-alpha) Q0). Kanabar & "
        "Gastpar 2025; closed forms of the two channels derived for autophage.",
        assumptions=(
            f"records of a batch are real with probability {alpha:g}, the others samples of the last published estimate",
            "the share and the detector's error are known, and its errors are independent of the record",
            f"the first {start:,} records are real",
        ),
        quantity="squared_error",
        points=t,
        lines=(
            Line(f"with the detector (error {error:.3g})", chosen, "with"),
            Line("without a detector", without, "without"),
            Line("all provenance known", oracle),
        ),
        target=limit,
        table=rows,
        notes=example(spec, data, {"data": DEFAULT["data"]}),
        trial=Trial(
            simulate=run(error),
            expected=chosen,
            limit=limit,
            less=run(None) if gain > 1.3 else None,
            margin="doing without a detector",
            only_last=True,
            tolerance=0.05,
        ),
    )
