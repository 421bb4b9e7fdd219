"""A user picks one of K samples, more likely a liked one (Ferbach et al. 2024), honestly or not (Wei & Zhang 2025)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from autophage.curation.rewards import Reward, Score, reward_of, written
from autophage.data.arguments import positive, whole_number
from autophage.errors import FilterStarved, FitFailed, SpecError
from autophage.interventions import Curating, Curation
from autophage.keys import Key
from autophage.parts import Learner, Source
from autophage.samples import Batch, Samples
from autophage.theory.arguments import unit_interval

PATIENCE = 20
"""Choices that failed are repeated until this many times as many took place as were asked for."""


class Picked(NamedTuple):
    """What came of choices, all (R, G)."""

    row: np.ndarray
    """The place of the chosen candidate among the candidates of its round."""
    held: np.ndarray
    """Whether the choice took place: some candidate had a usable reward."""
    rejected: np.ndarray
    """Candidates whose reward was not a number."""
    reward: np.ndarray
    """The honest reward of the chosen candidate."""


@dataclass(frozen=True, kw_only=True)
class Preference(Curation):
    """One of `choices` candidates is kept, with probability proportional to e^(reward / temperature).

    Candidates with a reward of NaN are rejected and counted; one of -inf is never chosen; a single one of +inf wins; a choice
    without a usable candidate, or between several of +inf, is rejected, counted and repeated with new candidates. Further
    candidates come from the model itself: after another curation set `pool: samples`. A share of the users may be malicious and
    choose by another reward. `choices: 1` is the plain loop.

    A temperature near zero (1e-9, say) keeps the best of K (`theory.best_of`).

    Notes for metrics: `kept_reward` and `reward_variance` (mean and variance of the reward of what was kept), `labels` (candidates
    that were judged), `rejected_records`, `rejected_choices`; `effective_size` for `choices: .inf`.
    """

    citation: ClassVar[tuple[str, ...]] = (
        "D. Ferbach, Q. Bertrand, A. J. Bose, G. Gidel (2024), Self-consuming generative models with curated data "
        "provably optimize human preferences. NeurIPS; arXiv 2407.09499",
    )
    knows: ClassVar[str] = "a reward"

    reward: Any
    """What users like: one number per symbol; `{kind: linear | distance | class_probability | table, ...}`; `module:function` or a
    function from records (m, ...) to (m,) numbers."""
    choices: int | float = 2
    """K, the candidates of one choice; `.inf` for the limit of many candidates, by weights e^reward."""
    temperature: float = 1.0
    """Divides the reward."""
    pool: int | Literal["samples"] | None = None
    """Where candidates come from. Default: choices - 1 further samples for each one that is asked for. A number: that many
    candidates in one pool, at least choices times the samples asked for. `samples`: what was asked for is the pool, and one in
    `choices` is kept; a choice that fails is then not repeated."""
    malicious_share: float = 0.0
    """The share of choices that malicious users make."""
    malicious_reward: Any = None
    """The reward that they choose by, or `opposite`."""

    def __post_init__(self) -> None:
        endless = isinstance(self.choices, float) and np.isinf(self.choices) and self.choices > 0
        if isinstance(self.choices, float) and self.choices.is_integer():
            object.__setattr__(self, "choices", int(self.choices))
        if not endless:
            whole_number(self.choices, "curation.choices", least=1)
        positive(self.temperature, "curation.temperature")
        unit_interval(self.malicious_share, "curation.malicious_share")
        if self.malicious_share > 0 and self.malicious_reward is None:
            raise SpecError("curation.malicious_share is set but there is no curation.malicious_reward")
        if self.pool is not None and endless:
            raise SpecError("curation.pool has no meaning with choices: .inf, which weighs every sample")
        if self.pool is not None and self.pool != "samples":
            whole_number(self.pool, "curation.pool", least=1)
            if self.pool < self.choices:
                raise SpecError(
                    f"curation.pool has {self.pool} candidates; a choice of {self.choices} needs at least {self.choices}"
                )
        _ = self._honest, self._malicious
        for name in ("reward", "malicious_reward"):
            object.__setattr__(self, name, written(getattr(self, name)))

    @cached_property
    def _honest(self) -> Reward:
        return reward_of(self.reward, "curation.reward")

    @cached_property
    def _malicious(self) -> Reward | None:
        if self.malicious_reward is None or self._opposed:
            return None
        return reward_of(self.malicious_reward, "curation.malicious_reward")

    @property
    def _opposed(self) -> bool:
        return isinstance(self.malicious_reward, str) and self.malicious_reward == "opposite"

    @property
    def weighs(self) -> bool:  # type: ignore[override]
        return bool(np.isinf(self.choices)) or self.pool == "samples"

    @property
    def idle(self) -> bool:
        return self.choices == 1

    def check(self, learner: Learner, source: Source) -> None:
        self._honest.check(source, "curation.reward")
        if self._malicious is not None:
            self._malicious.check(source, "curation.malicious_reward")

    def apply(self, samples: Any, *, context: Curating) -> Any:
        if self.choices == 1:
            return samples
        honest = self._honest.score(context.source, context.memo)
        other = None if self._malicious is None else self._malicious.score(context.source, context.memo)
        if self._opposed:
            other = _negative(honest)
        if np.isinf(self.choices):
            return self._weighed(samples, honest, other, context)
        if self.pool != "samples" and _weights(samples) is not None:
            raise SpecError(
                "curation preference draws its candidates from the model, past the curation before it; set its pool: "
                "samples, or put it first"
            )
        K, wanted, before = int(self.choices), len(samples), context.proposals
        if self.pool == "samples":
            wanted, pool = len(samples) // K, samples
            if not wanted:
                raise FitFailed(f"a choice of {K} needs {K} samples, and the pool has {len(samples)}")
        else:
            size = K * wanted if self.pool is None else int(self.pool)
            if size < K * wanted:
                raise SpecError(
                    f"curation.pool has {size} candidates, but {wanted} choices of {K} need {K * wanted}"
                )
            pool = _joined([samples, context.draw(size - wanted)] if size > wanted else [samples])
        pools, rounds = [pool], [self._pick(pool, honest, other, context.key / "round" / 0)]
        while self.pool is None and _held(rounds) < wanted:
            if sum(p.held.shape[1] for p in rounds) >= PATIENCE * wanted:
                break
            # The size must not depend on how many choices failed: every replicate reads the same places of its stream.
            pools.append(context.draw(K * (wanted // 4 + 1)))
            rounds.append(self._pick(pools[-1], honest, other, context.key / "round" / len(rounds)))
        return self._kept(pools, rounds, wanted, before, context)

    def _pick(self, pool: Any, honest: Score, other: Score | None, key: Key) -> Picked:
        """One of every K candidates in a row; what is left over at the end is not used."""
        K = int(self.choices)
        groups = len(pool) // K
        rows = _places(pool, groups * K, key / "groups")
        liked = _in_groups(_scored(honest, pool), rows, K)
        values = liked
        if other is not None and self.malicious_share > 0:
            against = (key / "user").generator().random(liked.shape[:2]) < self.malicious_share
            values = np.where(against[..., None], _in_groups(_scored(other, pool), rows, K), liked)
        logits, held = choice_logits(values, self.temperature)
        weight = _weights(pool)
        if weight is not None:  # an earlier curation's: zero drops a record
            with np.errstate(divide="ignore"):
                logits = logits + np.log(_in_groups(weight, rows, K))
            held &= (logits > -np.inf).any(axis=2)
        noise = (key / "choice").generator().standard_exponential(logits.shape)
        best = (logits - np.log(noise)).argmax(axis=2)  # Gumbel's trick
        reward = np.take_along_axis(liked, best[..., None], axis=2)[..., 0]
        place = rows[best + K * np.arange(groups)]
        return Picked(place, held, np.isnan(values).sum(axis=2), reward)

    def _kept(
        self, pools: list[Any], rounds: list[Picked], wanted: int, before: Any, context: Curating
    ) -> Any:
        K, groups = int(self.choices), sum(p.held.shape[1] for p in rounds)
        held = np.concatenate([p.held for p in rounds], axis=1)
        took_place = held.sum(axis=1)
        if took_place.min() < (1 if self.pool == "samples" else wanted):
            raise FilterStarved(
                f"only {took_place.min()} of {wanted} choices had a candidate with a usable reward, after "
                f"{K * groups} candidates"
            )
        starts = np.cumsum([0, *(len(p) for p in pools[:-1])])
        rows = np.concatenate([p.row + at for p, at in zip(rounds, starts, strict=True)], axis=1)
        order = np.argsort(~held, axis=1, kind="stable")[:, :wanted]
        used = order[:, -1:] + 1  # choices made in each replicate until enough had taken place
        if len(pools) > 1:
            context.proposals = before + K * used[:, 0] - wanted
        looked = np.arange(groups) < used
        rejected = np.concatenate([p.rejected for p in rounds], axis=1)
        fine = np.arange(wanted) < took_place[:, None]
        reward = np.take_along_axis(np.concatenate([p.reward for p in rounds], axis=1), order, axis=1)
        context.note("kept_reward", reward.mean(axis=1, where=fine))
        _note_spread(reward, fine.astype(float), context)
        context.note("labels", K * used[:, 0])
        context.note("rejected_records", (rejected * looked).sum(axis=1))
        context.note("rejected_choices", (~held & looked).sum(axis=1))
        kept = _taken(_joined(pools), np.take_along_axis(rows, order, axis=1))
        if fine.all():
            return kept
        return kept.reweighted(fine.astype(float)) if isinstance(kept, Batch) else kept[fine[0]]

    def _weighed(self, samples: Any, honest: Score, other: Score | None, context: Curating) -> Any:
        """K = inf: every sample, with weights n e^r / sum e^r. On n samples the kept law has a bias of the order 1/n."""
        liked = _scored(honest, samples)
        weight = self._shares(liked)
        if other is not None and self.malicious_share > 0:
            against = self._shares(_scored(other, samples))
            weight = (1 - self.malicious_share) * weight + self.malicious_share * against
        weight *= len(samples)
        context.note(
            "kept_reward", np.where(weight > 0, weight * liked, 0.0).sum(axis=1) / weight.sum(axis=1)
        )
        _note_spread(liked, weight, context)
        context.note("effective_size", weight.sum(axis=1) ** 2 / np.square(weight).sum(axis=1))
        context.note("labels", len(samples))
        context.note("rejected_records", np.isnan(liked).sum(axis=1))
        if isinstance(samples, Batch):
            return samples.reweighted(weight)
        return Samples(
            samples.fields, samples.generation, samples.agent, np.asarray(samples.weight) * weight[0]
        )

    def _shares(self, values: np.ndarray) -> np.ndarray:
        logits, held = choice_logits(values, self.temperature)
        if not held.all():
            raise FilterStarved(
                f"no sample has a usable reward: {int((~held).sum())} of {len(held)} replicates cannot choose"
            )
        share = np.exp(logits)
        return share / share.sum(axis=-1, keepdims=True)


def choice_logits(values: np.ndarray, temperature: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a choice among rewards (..., K), their largest subtracted, and (...) whether it can take place: not when all are
    NaN or -inf, nor between several of +inf.

    >>> logits, held = choice_logits(np.array([[1e308, -1e308], [np.inf, 0.0], [np.nan, -np.inf]]))
    >>> logits.tolist(), held.tolist()
    ([[0.0, -inf], [0.0, -inf], [-inf, -inf]], [True, True, False])
    """
    usable = np.where(np.isnan(values), -np.inf, values)
    top = usable.max(axis=-1, keepdims=True)
    sure = usable == np.inf
    held = (top[..., 0] > -np.inf) & (sure.sum(axis=-1) <= 1)
    with np.errstate(invalid="ignore", over="ignore"):
        logits = (usable - top) / temperature
    logits = np.where(sure, 0.0, np.where(np.isnan(logits), -np.inf, logits))
    return logits, held


def _note_spread(reward: np.ndarray, weight: np.ndarray, context: Curating) -> None:
    """The variance of rewards (R, n) by weight; nothing where one that counts is infinite."""
    counts = weight > 0
    if np.isfinite(reward[counts]).all():
        share = weight / weight.sum(axis=1, keepdims=True)
        reward = np.where(counts, reward, 0.0)
        off = reward - (share * reward).sum(axis=1, keepdims=True)
        context.note("reward_variance", (share * off**2).sum(axis=1))


def _scored(score: Score, records: Any) -> np.ndarray:
    """(R, n) rewards."""
    if isinstance(records, Batch):
        x = np.asarray(records.x)
        return score(x.reshape(-1, *x.shape[2:])).reshape(x.shape[:2])
    return score(records.x)[None]


def _negative(score: Score) -> Score:
    return lambda x: -score(x)


def _weights(records: Any) -> np.ndarray | None:
    """(R, n), or None where every record counts once."""
    if isinstance(records, Batch):
        return records.weight
    weight = np.asarray(records.weight)[None]
    return None if (weight == 1).all() else weight


def _places(pool: Any, n: int, key: Key) -> np.ndarray:
    """(n,) which candidates are grouped, K in a row. A stranger's sampler may sort its records (by component, say), and groups
    must be of independent ones; the models of a block draw them in no order."""
    return np.arange(n) if isinstance(pool, Batch) else key.generator().permutation(len(pool))[:n]


def _in_groups(values: np.ndarray, rows: np.ndarray, K: int) -> np.ndarray:
    """(R, n) as (R, groups, K)."""
    return values[:, rows].reshape(len(values), -1, K)


def _held(rounds: list[Picked]) -> int:
    """The fewest choices that took place in any replicate."""
    return int(sum(p.held.sum(axis=1) for p in rounds).min())  # type: ignore[union-attr]


def _joined(parts: list[Any]) -> Any:
    return Batch.join(parts) if isinstance(parts[0], Batch) else Samples.join(parts)


def _taken(pool: Any, rows: np.ndarray) -> Any:
    """Records `rows` (R, m) of each replicate, each of weight one."""
    if isinstance(pool, Samples):
        return pool[rows[0]]
    wide = rows.reshape(*rows.shape, *(1,) * (pool.x.ndim - 2))
    x = np.take_along_axis(pool.x, wide, axis=1)
    if pool.generation.ndim == 2:
        return Batch(x, np.take_along_axis(pool.generation, rows, axis=1), pool.agent)
    alike = (pool.generation == pool.generation[0]).all()
    generation = pool.generation[: rows.shape[1]] if alike else pool.generation[rows]
    return Batch(x, generation, pool.agent)
