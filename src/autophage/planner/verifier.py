"""How strong a verifier of labels must be."""

from __future__ import annotations

from typing import Any

import numpy as np

from autophage.errors import SpecError
from autophage.keys import Key
from autophage.planner.answer import Answer, Line, Trial
from autophage.theory.arguments import unit_interval
from autophage.theory.verified import largest_leak, residual_noise

RECORDS = 2000
"""Labels that each simulated replicate has verified."""


def verifier(
    *,
    target: float | str | None = None,
    horizon: int,
    spec: Any = None,
    data: Any = None,
    label_error: float | None = None,
    keep_correct: float = 1.0,
) -> Answer:
    """The largest chance psi of keeping a wrong label, where a correct one is kept with chance phi.

    Synthetic labels are wrong with probability p. Among those kept the wrong share is r = p psi / (p psi + (1-p)
    phi); a linear classifier fitted to them tends to the Bayes classifier where r < 1/2, that is psi/phi <
    (1-p)/p, and to its opposite beyond (Feng et al. 2024). With a target r: psi = phi (1-p) r / (p (1-r)).
    """
    if spec is not None or data is not None:
        raise SpecError(
            "plan verifier takes label_error and keep_correct; the breakdown point needs no spec or data"
        )
    if label_error is None:
        raise SpecError("plan verifier needs label_error: the share of synthetic labels that are wrong")
    p, phi = unit_interval(label_error, "label_error"), unit_interval(keep_correct, "keep_correct")
    if not (0 < p < 1 and phi > 0):
        raise SpecError(
            f"label_error {p:g} and keep_correct {phi:g} leave nothing to verify; the first must lie strictly between 0 and 1, the "
            "second above 0"
        )
    noise = 0.5
    if target is not None:
        try:
            noise = float(target)
        except (TypeError, ValueError):
            noise = float("nan")
        if not 0 < noise <= 0.5:
            raise SpecError(f"the target is {target}; the wrong share among kept labels must lie in (0, 0.5]")
    exact = phi * largest_leak(p, noise)
    value = min(exact, 1.0)
    points = np.linspace(0.0, 1.0, 41)
    kept_wrong = np.array([residual_noise(p, phi, psi) for psi in points.tolist()])

    def simulated(psi: np.ndarray) -> Any:
        def simulate(replicates: int, key: Key) -> np.ndarray:
            rng = key.generator()
            wrong = rng.binomial(RECORDS, p, (replicates, 1))
            bad = rng.binomial(wrong, psi, (replicates, len(psi)))
            good = rng.binomial(RECORDS - wrong, phi, (replicates, len(psi)))
            return bad / np.maximum(bad + good, 1)

        return simulate

    near = np.array([value])
    what = (
        "the classifier still tends to the best one"
        if noise == 0.5
        else f"at most {100 * noise:.3g} % of the kept labels are wrong"
    )
    rows = [
        {
            "label error": q,
            "largest chance of keeping a wrong label": min(1.0, phi * largest_leak(q, noise)),
        }
        for q in (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
    ]
    return Answer(
        question="verifier",
        value=value,
        unit="largest chance of keeping a wrong label",
        sentence=f"With {100 * p:.3g} % wrong labels no verifier is needed: {what}."
        if exact >= 1
        else f"Keep a wrong label with a chance below {value:.4g}, where a correct one is kept with a chance of {phi:g}: "
        f"then {what}.",
        status="asymptotic",
        theorem="A linear classifier on verified labels recovers iff p < phi/(phi + psi); the wrong share of kept "
        "labels is p psi/(p psi "
        "+ (1-p) phi). Feng et al. 2024, breakdown point; share derived.",
        assumptions=(
            "labels are wrong independently of the inputs, and the verifier errs independently of them",
            "there are many records (the breakdown point is sharp in the limit)",
        ),
        quantity="wrong share of the kept labels",
        axis="chance of keeping a wrong label",
        points=points,
        lines=(
            Line(f"label error {p:.3g}, correct kept with {phi:.3g}", kept_wrong, "with"),
            Line("without a verifier", np.full(len(points), p), "without"),
        ),
        target=noise,
        table=rows,
        trial=Trial(
            simulate=simulated(near),
            expected=np.array([residual_noise(p, phi, value)]),
            limit=noise,
            less=simulated(np.array([1.15 * value])) if 1.15 * value <= 1 else None,
            margin=f"a chance of {1.15 * value:.3g}",
            tolerance=0.002,
        ),
    )
