"""The penalty for a chain of regressions that label each other's data."""

from __future__ import annotations

from typing import Any

import numpy as np

from autophage.errors import SpecError
from autophage.keys import Key
from autophage.planner.answer import Answer, Line, Trial
from autophage.planner.inversion import ASYMPTOTIC_SLACK, based_on, example, with_workflow, workflow_of
from autophage.studies.label_chain import simulate
from autophage.theory.predict import setting_of
from autophage.theory.regression_chain import Stage, best_ridge, test_error

DEFAULT = {
    "data": {"kind": "regression", "dim": 60, "noise": 0.3, "signal": 1.0},
    "learner": {"kind": "regression", "rows": 120},
    "workflow": {"kind": "replace"},
}
SPAN = 2.0
"""Decades of penalty drawn on each side of the best."""


def ridge(
    *, target: float | str | None = None, horizon: int, spec: Any = None, data: Any = None, **given: Any
) -> Answer:
    """The ridge lambda of generation T that errs least on real data, after T generations labelled by models.

    The generators' rows, penalties and noise are the spec's (regression under `replace`); lambda minimises the
    asymptotic error of the chain, by golden section on its logarithm (Dohmatob, Feng & Kempe 2024).
    """
    if target is not None:
        raise SpecError("plan ridge finds the penalty with the least error; it takes no target")
    keys = based_on(spec, data, DEFAULT, **given)
    own = workflow_of(keys)
    if own["kind"] != "replace":
        raise SpecError(f"plan ridge knows chains of workflow replace, the spec has {own['kind']}")
    setting = setting_of(with_workflow(keys, horizon, own))
    if setting.learner_kind != "regression" or "spectrum" not in setting.data:
        raise SpecError("plan ridge needs data and learner `regression`, or a table with a label column")
    spectrum, signal = setting.data["spectrum"], setting.data["signal"]
    ridges = setting.course_or(setting.data.get("ridges"), setting.ridge)
    noises = setting.course_or(setting.data.get("label_noises"), setting.data["noise"])
    stages = [Stage(n, r, s) for n, r, s in zip(setting.sizes, ridges, noises, strict=True)]
    generators, last = stages[:-1], stages[-1]
    value, error = best_ridge(spectrum, signal, generators, last.rows, last.noise)
    middle = value if 0 < value < np.inf else float(np.max(spectrum)) * (1e-3 if value == 0 else 1e3)
    points = middle * np.logspace(-SPAN, SPAN, 41)

    def errors(chain: list[Stage], at: np.ndarray) -> np.ndarray:
        return np.array([test_error(spectrum, signal, [*chain, Stage(last.rows, r, last.noise)]) for r in at])

    clean, clean_error = best_ridge(spectrum, signal, [], last.rows, last.noise)
    aside = 10 * middle if value == 0 else middle / 4
    rows = [
        {"generations of fake labels": t, "best ridge": found[0], "error there": found[1]}
        for t in sorted({0, 1, horizon // 2, horizon, 2 * horizon})
        for found in (best_ridge(spectrum, signal, (generators * 2)[:t], last.rows, last.noise),)
    ]

    def chain(at: np.ndarray) -> Any:
        def run(replicates: int, key: Key) -> np.ndarray:
            found = simulate(spectrum, signal, stages, replicates=replicates, key=key, ridges=at)
            return np.asarray(found.errors)

        return run

    return Answer(
        question="ridge",
        value=value,
        unit="ridge penalty",
        sentence="Nothing of the signal is left to fit: no ridge beats a model that always answers zero."
        if value == np.inf
        else f"Set the ridge to {value:.4g} after {horizon} generations of fake labels: the error on real data is {error:.4g}. "
        f"On real labels the best would be {clean:.4g} (error {clean_error:.4g}).",
        status="asymptotic",
        theorem="Test error of a chain of label generators with a ridge at its end, minimised over the ridge. "
        "Dohmatob, Feng & Kempe "
        "2024, adaptive regularisation; recursion for any spectrum derived for autophage.",
        assumptions=(
            "inputs are Gaussian, labels linear in them; dimension and rows are large (1-3 % at 40 dimensions)",
            "every generation draws new inputs and trains on its predecessor's labels only",
        ),
        quantity="excess_risk",
        axis="ridge",
        points=points,
        lines=(
            Line(f"after {horizon} generations", errors(generators, points), "with"),
            Line("on real labels", errors([], points), "without"),
        ),
        table=rows,
        change={} if value == np.inf else {"learner": {"kind": "regression", "ridge": float(f"{value:.4g}")}},
        notes=example(spec, data, DEFAULT),
        trial=None
        if value == np.inf
        else Trial(
            simulate=chain(np.array([value])),
            expected=np.array([error]),
            less=chain(np.array([aside])),
            margin=f"a ridge of {aside:.3g}",
            tolerance=ASYMPTOTIC_SLACK,
            replicates=1000,
        ),
    )
