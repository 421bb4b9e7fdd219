"""Filtering a pool in generation 0's latent space: rules, refusals, and what it does to a loop."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pytest

import autophage
from autophage.curation.latent_filter import LatentFilter
from autophage.curation.latent_probe import Codes, Probe, Ruler
from autophage.errors import FitFailed, SpecError
from autophage.keys import Key
from autophage.learners.class_gaussian import ClassGaussian, ClassGaussianModel
from autophage.loop import Loop
from autophage.samples import Samples

KEY = Key(0) / "test_latent_filter"
C = 3


def labelled(n, generation=-1, spread=1.0, name="real"):
    """Three overlapping classes in three dimensions."""
    rng = (KEY / name).generator()
    label = np.arange(n) % C
    x = 2 * np.eye(C)[label] + spread * rng.standard_normal((n, C))
    return Samples.of(x, label=label, generation=generation, agent="" if generation < 0 else "main")


class Source:
    unlimited = False

    def __init__(self, held_out):
        self.held_out = held_out

    def reference(self):
        return self.held_out

    def train(self):
        return labelled(300)


class Context:
    """One generation of a loop, as the filter sees it."""

    generation, agent, block, replicates = 2, "main", 0, 1

    def __init__(self, model=None, real=None, held_out=None):
        self.real = labelled(300) if real is None else real
        self.source = Source(labelled(300, name="held out") if held_out is None else held_out)
        self.model = model or ClassGaussian().fit(self.real, key=KEY)
        self.memo, self.key, self.noted = {}, KEY / "curation", {}

    def first(self):
        return self.model

    def note(self, name, value):
        self.noted[name] = float(np.mean(value))


def pool(context):
    return Samples.join([context.real, labelled(300, 0, 1.5, "first"), labelled(300, 1, 2.0, "second")])


def confidence(context, samples):
    return Ruler(context.model, context.real, context.source.reference(), 0.0).judged(samples)[0]


def chosen(rule, context=None, **settings):
    context = context or Context()
    samples = pool(context)
    taken = LatentFilter(rule=rule, **settings).apply(samples, context=context)
    return context, confidence(context, samples), confidence(context, taken), taken


def test_threshold_takes_any_that_pass():
    context, all_of_them, xi, taken = chosen("threshold")
    held_out = confidence(context, context.source.reference())
    least = np.quantile(held_out, 0.25)
    assert len(taken) == 300 and (xi >= least).all()
    passing = all_of_them[all_of_them >= least]
    # At random among those that pass: the mean of 300 of them, without replacement.
    error = passing.std() * np.sqrt((1 - 300 / len(passing)) / 300)
    assert abs(xi.mean() - passing.mean()) < 4.5 * error
    assert context.noted["selected_confidence"] == pytest.approx(xi.mean())


def test_fewer_than_asked_pass_a_high_threshold():
    context, all_of_them, _, taken = chosen("threshold", quantile=0.95)
    least = np.quantile(confidence(context, context.source.reference()), 0.95)
    assert len(taken) == (all_of_them >= least).sum() < 300 and context.noted["selected"] == len(taken)


def test_top_takes_the_most_confident():
    _, all_of_them, xi, taken = chosen("top", size=100)
    assert sorted(xi) == sorted(np.sort(all_of_them)[-100:]) and len(taken) == 100


def test_per_class_takes_as_many_of_each():
    _, _, _, taken = chosen("per_class", size=101)
    assert sorted(np.bincount(taken.label)) == [33, 34, 34]


def test_match_has_the_real_confidences():
    """Kolmogorov's distance of two samples of 300 stays below 1.95 sqrt(2 / 300) with probability .999; bins of 1/20 add to it."""
    from scipy.stats import ks_2samp

    context, all_of_them, xi, _ = chosen("match")
    real = confidence(context, context.source.reference())
    assert ks_2samp(xi, real).statistic < 0.06
    assert ks_2samp(all_of_them, real).statistic > 0.1


def test_what_is_noted():
    context, all_of_them, _, taken = chosen("threshold")
    noted = context.noted
    assert noted["mean_confidence"] == pytest.approx(all_of_them[600:].mean())
    assert noted["mean_generation"] == pytest.approx(np.mean(taken.generation))
    assert noted["selected_real_share"] == pytest.approx(taken.real_share())
    assert noted["selected_real_share"] > 1 / 3 > np.mean(np.asarray(taken.generation) == 1)
    assert noted["dropped_latents"] == noted["random_selection"] == noted["auxiliary_records"] == 0
    assert 0.6 < noted["probe_accuracy"] < 1 and noted["ole"] > 0 and noted["latent_noise"] == 0


def test_the_probe_is_softmax_regression_and_its_confidences_are_calibrated():
    """On records of its own law, the mean confidence of the right class is that of the squared posterior's sum."""
    context = Context()
    ruler = Ruler(context.model, context.real, context.source.reference(), 0.0)
    fresh = labelled(3000, name="fresh")
    posterior = ruler.probe.posterior(ruler.codes(fresh))
    xi = ruler.probe.confidence(ruler.codes(fresh), fresh.label)
    assert abs(xi.mean() - np.square(posterior).sum(axis=1).mean()) < 0.03
    assert abs(ruler.accuracy - (posterior.argmax(axis=1) == fresh.label).mean()) < 4.5 * np.sqrt(0.2 / 300)


def test_wide_codes_are_fitted_in_their_own_span():
    """The same probe, whether a code's numbers are more than the records or are rotated into fewer."""
    rng = (KEY / "wide").generator()
    x, y = rng.standard_normal((40, 30)), np.arange(40) % 2
    x[:, 0] += 2 * y
    narrow = Probe(Codes(x, "e", 0.0), y)
    padded = np.concatenate([x, np.zeros((40, 50))], axis=1)
    wide = Probe(Codes(padded, "e", 0.0), y)
    assert narrow.axes is None and wide.axes is not None
    np.testing.assert_allclose(
        wide.posterior(Codes(padded, "e", 0.0)), narrow.posterior(Codes(x, "e", 0.0)), atol=2e-3
    )


# Bad input


@dataclass
class Blind(ClassGaussianModel):
    """Codes of a model that goes wrong in one way."""

    how: str = "noise"

    def __init__(self, how):
        fitted = ClassGaussian().fit(labelled(300), key=KEY)
        super().__init__(fitted.shares, fitted.means, fitted.covariances)
        self.how = how

    def latents(self, x, *, noise=0.0, key=None):
        codes = np.array(x)
        if self.how == "noise":
            codes = (KEY / "blind").generator().standard_normal(codes.shape)
        elif self.how == "shape":
            codes = codes[0]
        elif self.how == "raises":
            raise ZeroDivisionError("no encoder today")
        elif self.how == "one":  # a single record of the newest batch
            codes[np.abs(codes - labelled(300, 1, 2.0, "second").x[4]).max(axis=1) == 0] = np.nan
        elif self.how == "many":
            codes[np.abs(codes).max(axis=1) > 3] = np.nan
        return codes


def test_latents_that_are_not_finite_are_dropped_or_refused():
    context = Context(Blind("one"))
    taken = LatentFilter(rule="top", noise=0.0).apply(pool(context), context=context)
    assert context.noted["dropped_latents"] == 1 and len(taken) == 300
    lost = labelled(300, 1, 2.0, "second").x[4]
    assert not (taken.x == lost).all(axis=1).any() and np.isfinite(context.noted["ole"])
    with pytest.raises(FitFailed, match="are not finite, more than 1%"):
        context = Context(Blind("many"))
        LatentFilter(noise=0.0).apply(pool(context), context=context)


class Lost(ClassGaussianModel):
    """An encoder that cannot see some records."""

    def __init__(self, lost):
        fitted = ClassGaussian().fit(labelled(300), key=KEY)
        super().__init__(fitted.shares, fitted.means, fitted.covariances)
        self.lost = {row.tobytes() for row in lost}

    def latents(self, x, *, noise=0.0, key=None):
        codes = np.array(x)
        codes[[row.tobytes() in self.lost for row in np.asarray(x)]] = np.nan
        return codes


@pytest.mark.parametrize(
    ("where", "most", "said"),
    [
        (labelled(300, 1, 2.0, "second"), 9, "10 of the latents of 900 records of the pool are not finite"),
        (labelled(300), 3, "4 of the latents of 300 real records are not finite, more than 1%"),
        (labelled(300, name="held out"), 3, "4 of the latents of 300 held-out real records are not finite"),
    ],
    ids=["pool", "real", "held out"],
)
def test_one_latent_in_a_hundred_may_be_lost_and_no_more(where, most, said):
    context = Context(Lost(where.x[:most]))
    taken = LatentFilter(rule="top", size=800, noise=0.0).apply(pool(context), context=context)
    assert len(taken) == 800 and context.noted["dropped_latents"] == (0 if "held-out" in said else most)
    assert np.isfinite(list(context.noted.values())).all()
    context = Context(Lost(where.x[: most + 1]))
    with pytest.raises(FitFailed, match=said):
        LatentFilter(noise=0.0).apply(pool(context), context=context)


def test_rulers_need_labels_and_classes_that_both_parts_have():
    real, held_out = labelled(300), labelled(300, name="held out")
    model, plain = ClassGaussian().fit(real, key=KEY), Samples.of(real.x)
    two, third = real[real.label < 2], held_out[held_out.label == 2]
    few = Samples.join([real[real.label == 0], real[real.label == 1][:1]])
    for known, unknown, encoder, said in (
        (plain, held_out, model, "needs labelled real records"),
        (real, plain, model, "needs labelled real records"),
        (two, third, model, "no held-out real record is of a class"),
        (few, held_out, Lost(few.x[-1:]), "are of class 0; a probe tells at least two"),
    ):
        with pytest.raises(FitFailed, match=said):
            Ruler(encoder, known, unknown, 0.0)
    # Held-out records of a class that nobody has learned do not count.
    assert Ruler(model, two, held_out, 0.0).accuracy > 0.8


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("shape", r"latents of Blind gave shape \(3,\)"),
        ("raises", "latents of Blind fails: ZeroDivisionError: no encoder today"),
        ("noise", r"too rarely to filter by; set curation\.uninformative: random"),
    ],
)
def test_encoders_that_go_wrong_end_the_generation(how, said):
    context = Context(Blind(how))
    with pytest.raises(FitFailed, match=said):
        LatentFilter(noise=0.0).apply(pool(context), context=context)


def test_an_uninformative_probe_may_choose_at_random():
    context = Context(Blind("noise"))
    samples = pool(context)
    with pytest.warns(UserWarning, match="too rarely to filter by; records are chosen at random"):
        taken = LatentFilter(noise=0.0, uninformative="random").apply(samples, context=context)
    assert len(taken) == 300 and context.noted["random_selection"] == 1
    assert abs(taken.real_share() - 1 / 3) < 4.5 * np.sqrt(2 / 9 / 300)


class Told(ClassGaussianModel):
    """Codes that name the class, the next one for all but the first `right` held-out records."""

    def __init__(self, right):
        fitted = ClassGaussian().fit(labelled(300), key=KEY)
        super().__init__(fitted.shares, fitted.means, fitted.covariances)
        held_out = labelled(300, name="held out")
        said = np.where(np.arange(300) < right, held_out.label, (held_out.label + 1) % C)
        everybody = zip(pool(Context()).x, pool(Context()).label, strict=True)
        self.said = {row.tobytes(): y for row, y in (*everybody, *zip(held_out.x, said, strict=True))}

    def latents(self, x, *, noise=0.0, key=None):
        return np.eye(C)[[self.said[row.tobytes()] for row in np.asarray(x)]]


def test_a_probe_that_is_right_half_again_as_often_as_a_guess_may_filter():
    """Of three classes: on 150 of 300 held-out records, and not on 149."""
    context = Context(Told(150))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LatentFilter(noise=0.0, uninformative="random").apply(pool(context), context=context)
    assert context.noted["probe_accuracy"] == 0.5 and context.noted["random_selection"] == 0
    context = Context(Told(149))
    with pytest.raises(FitFailed, match="right on 50% of held-out real records of 3 classes, too rarely"):
        LatentFilter(noise=0.0).apply(pool(context), context=context)
    with pytest.warns(UserWarning, match="chosen at random"):
        LatentFilter(noise=0.0, uninformative="random").apply(pool(context), context=context)
    assert context.noted["random_selection"] == 1


def test_bad_pools_are_refused():
    context = Context()
    plain = Samples.of(pool(context).x)
    with pytest.raises(FitFailed, match="carry no labels"):
        LatentFilter().apply(plain, context=context)
    with pytest.raises(FitFailed, match="choose 901 records of a pool of 900"):
        LatentFilter(size=901).apply(pool(context), context=context)
    with pytest.raises(FitFailed, match="none of class 2"):
        samples = pool(context)
        LatentFilter(rule="per_class", size=10).apply(samples[samples.label < 2], context=context)
    stranger = Samples.of(np.zeros((5, C)), label=np.full(5, 7), generation=1)
    with pytest.raises(FitFailed, match="class 7, of which there is no real record"):
        LatentFilter().apply(Samples.join([pool(context), stranger]), context=context)
    one = labelled(300)
    with pytest.raises(FitFailed, match="of class 0; a probe tells at least two classes apart"):
        Ruler(context.model, one[one.label == 0], one, 0.0)


def test_codes_of_other_encoders_widths_and_levels_are_refused():
    x, y = labelled(60).x, labelled(60).label
    probe = Probe(Codes(x, "generation 0's Model", 0.1), y)
    for codes, said in (
        (Codes(x, "another", 0.1), "generation 0's Model at noise 0.1; these are of another"),
        (Codes(x, "generation 0's Model", 0.2), "these are of generation 0's Model at noise 0.2"),
        (Codes(x[:, :2], "generation 0's Model", 0.1), "codes of 3 numbers; these have 2"),
    ):
        with pytest.raises(FitFailed, match=said):
            probe.posterior(codes)


FIRST = {
    "seed": 3,
    "generations": 4,
    "data": {"kind": "principal_components", "of": {"kind": "digits", "size": 500}, "components": 5},
    "learner": {"kind": "class_gaussian", "blur": 0.3, "leak": 0.1, "ridge": 0.01},
    "workflow": {"kind": "accumulate", "initial_size": 200},
    "curation": [{"kind": "latent_filter", "noise": 0}],
    "metrics": ["noted", "orthogonality", "latent_confidence", "real_share"],
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": "two_moons", "learner": "gaussian"}, "thousand replicates"),
        ({"learner": {"kind": "kde"}}, "thousand replicates|have none"),
        ({"learner": {"kind": "estimator", "object": "sklearn.mixture:GaussianMixture"}}, "class_gaussian"),
        ({"learner": {"kind": "vae"}}, "records of no class"),
        ({"learner": {"kind": "diffusion"}}, r"learner\.labels: use"),
        ({"curation": [{"kind": "latent_filter", "rule": "best"}]}, r"curation"),
        ({"curation": [{"kind": "latent_filter", "noise": 1.0}]}, r"curation\.noise"),
        ({"curation": [{"kind": "latent_filter", "noise": "some"}]}, r"curation\.noise"),
        ({"curation": [{"kind": "latent_filter", "quantile": 1.0}]}, r"curation\.quantile"),
        ({"curation": [{"kind": "latent_filter", "size": 0}]}, r"curation\.size"),
    ],
)
def test_specs_that_cannot_be_are_refused_before_the_run(change, said):
    with pytest.raises(SpecError, match=said):
        Loop(**{**FIRST, **change, "metrics": []})


def test_top_from_scratch_is_warned_of():
    curation = [{"kind": "latent_filter", "rule": "top"}]
    assert any("mode seeking" in w for w in Loop(**{**FIRST, "curation": curation}).warnings)
    assert not any("mode seeking" in w for w in Loop(**FIRST).warnings)


# The loop


def values(table, metric):
    import polars as pl

    return table.filter(pl.col("metric") == metric).sort("generation")["value"].to_numpy()


def test_a_loop_filters_its_training_set_and_resumes_to_the_same_numbers():
    """The budget is generation 0's, what is chosen is surer than what was made, and a run that went on from generation 2 says
    what an uninterrupted one says."""
    table = autophage.run(FIRST).metrics
    assert len(values(table, "selected")) == 3 and (values(table, "selected") == 200).all()
    np.testing.assert_allclose(values(table, "selected_real_share"), values(table, "real_share")[1:])
    assert (values(table, "selected_confidence") > values(table, "mean_confidence") + 0.05).all()
    assert values(table, "auxiliary_records").tolist() == [200, 0, 0]
    loop = Loop(**FIRST)
    block, states, kept, arrays = loop.blocks()[0], [], {}, {}

    def keep(samples, t, name):
        kept[t, name] = samples
        return samples

    state = loop.start(block)
    while state.generation < 4:
        state, done = loop.step(state, keep)
        states.append(done[0].measurements)
        arrays[done[0].number] = done[0].model.arrays()
    fresh = Loop(**FIRST)
    state = fresh.resumed(
        block, 2, lambda t, name: kept[t, name], lambda learner, t, name: learner.restore(arrays[t]), {}
    )
    for t in (2, 3):
        state, done = fresh.step(state)
        mine = {m.metric: m.value[0] for m in done[0].measurements}
        theirs = {m.metric: m.value[0] for m in states[t]}
        assert mine == theirs and mine
