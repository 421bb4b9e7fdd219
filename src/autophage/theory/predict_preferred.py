"""Predictions for loops whose users prefer some samples to others, and for loops whose samples are corrected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from autophage.parts import Prediction
from autophage.theory import corrected, curated
from autophage.theory.predict_any import EXPONENTIAL_FAMILIES
from autophage.theory.setting import Setting

FERBACH = "Ferbach et al. 2024 (update); recursion over batches derived for autophage"
GILLMAN = "derived for autophage; map of Gillman et al. 2024"


def preferred(setting: Setting) -> list[Prediction]:
    """`reward` and `exp_reward` of frequencies under a preference given as a table, as the samples grow; where real records are
    kept a bound on `kl_divergence_reverse`; and the critical share of malicious users."""
    said = _only(setting, "preference")
    reward = _table(said.get("reward")) if said else None
    p = setting.data.get("probabilities")
    if said is None or reward is None or p is None or setting.learner_kind != "categorical":
        return []
    if said["temperature"] != 1 or setting.smoothing or not setting.plain_sampling:
        return []
    if said["pool"] == "samples" and setting.workflow_kind != "replace":
        return []  # then the kept batch is smaller than the plan knows
    malicious = _table(said["malicious_reward"])
    if said["malicious_reward"] == "opposite":
        malicious = -reward
    if said["malicious_share"] and (malicious is None or (malicious == np.inf).any()):
        return []
    choices = float(said["choices"])
    users = {"malicious_share": said["malicious_share"], "malicious_reward": malicious}
    found = []
    laws = _laws(setting, np.asarray(p, dtype=np.float64), reward, choices, users)
    if laws is not None:
        words = "What users' choices make of it when the samples are many; for a metric of the same reward."
        for metric, values in (("reward", laws @ reward), ("exp_reward", laws @ np.exp(reward))):
            if np.isfinite(values).all():
                found.append(Prediction(metric, values, "asymptotic", words, FERBACH))
    if setting.workflow_kind == "mix" and setting.synthetic_ratio is not None and setting.initial is None:
        bound = curated.divergence_bound(choices, setting.synthetic_ratio)
        if bound.value is not None:
            found.append(_divergence(setting, bound.value))
    if malicious is not None and np.isfinite(malicious).all():
        share = curated.critical_share(p, reward, malicious, choices)
        if share is not None:
            found.append(
                Prediction(
                    "malicious_share",
                    np.array([share]),
                    "exact",
                    "With more malicious users than this the first round lowers E e^r.",
                    "derived for autophage; covariance condition of Wei & Zhang 2025",
                    quantity="threshold",
                    unit="of the choices",
                )
            )
    return found


def _laws(
    setting: Setting, p: np.ndarray, reward: np.ndarray, choices: float, users: Mapping[str, Any]
) -> np.ndarray | None:
    """(G, S) the fitted laws without sampling error: A[t, 0] p + sum_b A[t, b] kept(p_{b-1})."""
    shares = setting.share_matrix
    if shares is None or reward.shape != p.shape or not np.isfinite(reward[p > 0]).any():
        return None
    initial = None if setting.initial is None else setting.initial.get("probabilities")
    if setting.initial is not None and initial is None:
        return None
    found = np.empty((setting.generations, len(p)))
    found[0] = p if initial is None else np.asarray(initial, dtype=np.float64)
    batches = np.empty_like(found)
    batches[0] = p
    for t in range(1, setting.generations):
        kept = curated.kept(found[t - 1], reward, choices, **users)
        batches[t] = kept / kept.sum()
        found[t] = shares[t, : t + 1] @ batches[: t + 1]
        found[t] /= found[t].sum()
    return found


def _divergence(setting: Setting, value: float) -> Prediction:
    return Prediction(
        "kl_divergence_reverse",
        np.full(setting.generations, value),
        "bound",
        "With infinite samples the fit never drifts farther from the real law, whatever users like.",
        "Ferbach et al. 2024, theorem 2.4",
        side="upper",
    )


def corrections(setting: Setting) -> list[Prediction]:
    """`squared_mean_error` of a Gaussian mean whose samples an ideal corrector mixes with the truth, and what is provably stable
    where real records are kept."""
    said = _only(setting, "correction")
    if (
        said is None
        or said["corrector"] != "ideal"
        or setting.workflow_kind != "mix"
        or not setting.plain_sampling
    ):
        return []
    gamma, ratio = float(said["strength"]), setting.synthetic_ratio
    found = [
        Prediction(
            "synthetic_ratio",
            np.array([corrected.threshold(gamma)]),
            "bound",
            "No ratio above this can be proved locally stable: theorem 4.3 asks for lambda (1 + L eps/alpha) below "
            "(1 + gamma)/(2 + gamma).",
            "Gillman et al. 2024, theorem 4.3",
            quantity="threshold",
            side="upper",
            unit="synthetic per real record",
        )
    ]
    if ratio is None:
        return found
    if setting.learner_kind in EXPONENTIAL_FAMILIES and not setting.ridge:
        found.append(
            Prediction(
                "distance_to_optimum",
                np.array([corrected.contraction(ratio, gamma)]),
                "exact",
                "With infinite data the distance to the optimum shrinks by lambda/((1+lambda)(1+gamma)) per generation.",
                GILLMAN,
                quantity="rate",
                unit="per generation",
            )
        )
    cov, sizes = setting.cov, setting.sizes[1:]
    known = setting.learner_kind == "gaussian" and setting.covariance == "known"
    plain = setting.initial is None and not setting.real_fixed and setting.keeps_whole_real
    if not (known and plain and len(sizes) and sizes[0] > 0 and (sizes == sizes[0]).all()):
        return found
    if cov is None or not np.allclose(cov, setting.known_variance * np.eye(setting.dim)):
        return found
    unit = setting.dim * setting.known_variance
    course = corrected.gaussian_mean_error(setting.real_size, sizes[0], gamma, setting.generations)
    limit = corrected.gaussian_mean_limit(setting.real_size, sizes[0], gamma)
    words = "of which a share of the samples is replaced by true records: the corrector puts real information into the loop."
    return [
        Prediction("squared_mean_error", unit * course, "exact", f"A Gaussian mean, {words}", GILLMAN),
        Prediction(
            "squared_mean_error",
            np.array([unit * limit]),
            "exact",
            f"Where it settles; {words}",
            GILLMAN,
            quantity="limit",
        ),
        *found,
    ]


def _only(setting: Setting, kind: str) -> Mapping[str, Any] | None:
    """The only curation of a loop, if it is of this kind."""
    if len(setting.curations) != 1 or setting.curations[0]["kind"] != kind:
        return None
    return setting.curations[0]


def _table(reward: Any) -> np.ndarray | None:
    """(S,) a reward given as one number per symbol, else None."""
    if isinstance(reward, Mapping) and reward.get("kind") == "table":
        reward = reward["values"]
    return np.asarray(reward, dtype=np.float64) if isinstance(reward, list | tuple) else None
