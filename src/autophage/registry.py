"""The known parts: slot, kind, where the class is, and what it is in one line.

A new part is one small file plus one line here; other packages add theirs through entry points of the group
`autophage.parts`, named `slot.kind`. Nothing is imported before it is asked for.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from functools import cache
from typing import Any

from autophage.errors import MissingExtra, SpecError

PARTS: dict[str, dict[str, tuple[str, str]]] = {
    "data": {
        "gaussian": ("autophage.data.gaussian:GaussianSource", "a Gaussian law, N(0, I) unless given"),
        "categorical": (
            "autophage.data.categorical:CategoricalSource",
            "symbols: given probabilities, Zipf, uniform",
        ),
        "bigram": (
            "autophage.data.bigram:BigramSource",
            "tokens in contexts: given rows, or Zipf's law permuted for each context",
        ),
        "regression": (
            "autophage.data.regression:RegressionSource",
            "Gaussian inputs, labels linear in them up to noise",
        ),
        "regression_table": (
            "autophage.data.regression_table:RegressionTableSource",
            "a csv or parquet file, one numeric column of it the label",
        ),
        "labelled_digits": (
            "autophage.data.labelled_digits:LabelledDigitsSource",
            "handwritten digits with their class as ten zeros and ones",
        ),
        "bernoulli": ("autophage.data.bernoulli:BernoulliSource", "zeros and ones"),
        "poisson": ("autophage.data.poisson:PoissonSource", "counts of a given rate"),
        "exponential": ("autophage.data.exponential:ExponentialSource", "waiting times of a given mean"),
        "eight_gaussians": ("autophage.data.eight_gaussians:EightGaussiansSource", "eight modes on a circle"),
        "two_moons": ("autophage.data.two_moons:TwoMoonsSource", "two half circles"),
        "blobs": ("autophage.data.blobs:BlobsSource", "a Gaussian mixture with fixed centres"),
        "labelled_blobs": (
            "autophage.data.labelled_blobs:LabelledBlobsSource",
            "a finite set of blobs, each record labelled with its cluster",
        ),
        "circles": ("autophage.data.circles:CirclesSource", "two concentric circles"),
        "swiss_roll": ("autophage.data.swiss_roll:SwissRollSource", "a rolled-up sheet"),
        "digits": ("autophage.data.digits:DigitsSource", "1,797 real handwritten digits, 8 x 8 (embedded)"),
        "gaussian_field": (
            "autophage.data.gaussian_field:GaussianFieldSource",
            "pictures of a Gaussian field, correlated by distance",
        ),
        "mnist": ("autophage.data.mnist:MnistSource", "handwritten digits, 28 x 28, from idx files"),
        "principal_components": (
            "autophage.data.principal_components:PrincipalComponentsSource",
            "the leading principal components of another data set, with its labels",
        ),
        "images": (
            "autophage.data.images:ImagesSource",
            "pictures: a folder, zip, parquet, npz, idx files or strips of tiles",
        ),
        "cifar10": (
            "autophage.data.cifar10:Cifar10Source",
            "CIFAR-10: python or binary batches, parquet or strips",
        ),
        "scenes": (
            "autophage.data.scenes:ScenesSource",
            "drawn scenes, 32 x 32, captioned by some of their four attributes; read back exactly",
        ),
        "captioned_images": (
            "autophage.data.captioned_images:CaptionedImagesSource",
            "pictures with captions: a folder or zip and a file of captions, COCO, Flickr, webdataset, parquet",
        ),
        "table": (
            "autophage.data.table:TableSource",
            "a csv or parquet file, numeric and categorical columns",
        ),
    },
    "learner": {
        "gaussian": ("autophage.learners.gaussian:Gaussian", "a Gaussian by moments; exact law of the refit"),
        "categorical": (
            "autophage.learners.categorical:Categorical",
            "frequencies of symbols; exact law of the refit",
        ),
        "bigram": (
            "autophage.learners.bigram:Bigram",
            "frequencies of tokens after each context; exact law of the refit",
        ),
        "bernoulli": ("autophage.learners.bernoulli:Bernoulli", "a frequency; exact law of the refit"),
        "poisson": ("autophage.learners.poisson:Poisson", "a rate; exact law of the refit"),
        "exponential": ("autophage.learners.exponential:Exponential", "a mean; exact law of the refit"),
        "regression": (
            "autophage.learners.regression:Regression",
            "ridge regression that labels its own inputs; exact law of the refit",
        ),
        "kde": ("autophage.learners.kde:KDE", "a Gaussian kernel on every record"),
        "gaussian_mixture": (
            "autophage.learners.gaussian_mixture:GaussianMixture",
            "a Gaussian mixture by EM",
        ),
        "class_gaussian": (
            "autophage.learners.class_gaussian:ClassGaussian",
            "a Gaussian for each class, with off-manifold errors on demand",
        ),
        "diffusion": (
            "autophage.learners.diffusion:Diffusion",
            "denoising diffusion, every process of the field",
        ),
        "vae": (
            "autophage.learners.vae:Vae",
            "a variational autoencoder, sampled by decoder means or with noise",
        ),
        "flow_matching": (
            "autophage.learners.flow_matching:FlowMatching",
            "straight paths from noise to records, paired at random or by optimal transport",
        ),
        "text_to_image": (
            "autophage.learners.text_to_image:TextToImage",
            "pictures painted by captions, by a network of ours or a pretrained pipeline",
        ),
        "flow": ("autophage.learners.flow:Flow", "a normalising flow"),
        "captioner": (
            "autophage.learners.captioner:Captioner",
            "a network that captions the records it is given",
        ),
        "classifier": (
            "autophage.learners.classifier:Classifier",
            "softmax regression that labels the records it is given",
        ),
        "pretrained_captioner": (
            "autophage.learners.pretrained_captioner:PretrainedCaptioner",
            "a captioner of transformers (BLIP, BLIP-2, GIT, ViT-GPT2), trained on as a whole or by LoRA",
        ),
        "estimator": ("autophage.learners.estimator:Estimator", "any object with fit and sample"),
    },
    "workflow": {
        "replace": ("autophage.workflows:Replace", "samples of the newest model only (fully synthetic)"),
        "accumulate": ("autophage.workflows:Accumulate", "the real set and everything ever sampled"),
        "accumulate_subsample": (
            "autophage.workflows:AccumulateSubsample",
            "the pile grows, each fit sees a subsample",
        ),
        "window": ("autophage.workflows:Window", "the newest batches"),
        "mix": (
            "autophage.workflows:Mix",
            "the real set and synthetic_ratio as many samples of the newest model",
        ),
        "fading": (
            "autophage.workflows:Fading",
            "the real set, and of older batches ever smaller parts",
        ),
        "keep_real": ("autophage.workflows:KeepReal", "constant size, a share of original real records"),
        "fresh": ("autophage.workflows:Fresh", "constant size, a share of new real records"),
    },
    "curation": {
        "tilt": ("autophage.curation.tilt:Tilt", "weights that pull the fit towards an anchor linearly"),
        "logistic": ("autophage.curation.logistic:Logistic", "accepts half, the anchor's side more often"),
        "truncation": (
            "autophage.curation.truncation:Truncation",
            "keeps the share that lies farthest on the anchor's side",
        ),
        "interval_verifier": (
            "autophage.curation.interval_verifier:IntervalVerifier",
            "keeps records near a centre it knows",
        ),
        "neural_filter": (
            "autophage.curation.neural_filter:NeuralFilter",
            "a network trained to contract, with a certificate",
        ),
        "trajectory_variance": (
            "autophage.curation.trajectory_variance:TrajectoryVariance",
            "keeps diffusion's samples whose prediction moved least at the end",
        ),
        "preference": (
            "autophage.curation.preference:Preference",
            "a user picks one of several samples, more likely a liked one",
        ),
        "latent_filter": (
            "autophage.curation.latent_filter:LatentFilter",
            "keeps records whose class a probe of generation 0's latents recognises",
        ),
        "verification": (
            "autophage.curation.verification:Verification",
            "keeps samples that a verifier holds right",
        ),
        "discriminator": (
            "autophage.curation.discriminator:Discriminator",
            "keeps the samples that a classifier takes for real",
        ),
        "likelihood_rank": (
            "autophage.curation.likelihood_rank:LikelihoodRank",
            "keeps samples by the rank of their likelihood",
        ),
        "detector_weights": (
            "autophage.curation.detector_weights:DetectorWeights",
            "weighs training sets by how real a detector finds each record",
        ),
        "feature_tilt": (
            "autophage.curation.feature_tilt:FeatureTilt",
            "weights that pull the mean features towards those of the real records",
        ),
        "correction": (
            "autophage.curation.correction:Correction",
            "samples are replaced by corrected ones, or by true ones",
        ),
    },
    "treatment": {
        "gain": ("autophage.treatments.gain:Gain", "part of the way from the last model to the newest fit"),
        "sims": (
            "autophage.treatments.sims:Sims",
            "sampled away from a copy of the network that has learned the model's own samples",
        ),
        "neon": (
            "autophage.treatments.neon:Neon",
            "weights moved away from those after a brief training on the model's own samples",
        ),
    },
    "metric": {
        "variance": ("autophage.metrics.moments:Variance", "mean of the fitted variances"),
        "standard_deviation": (
            "autophage.metrics.moments:StandardDeviation",
            "mean of the fitted standard deviations",
        ),
        "log_variance": ("autophage.metrics.moments:LogVariance", "mean log of the fitted variances"),
        "log_det": ("autophage.metrics.moments:LogDet", "log determinant of the fitted covariance"),
        "squared_mean_error": (
            "autophage.metrics.moments:SquaredMeanError",
            "squared distance of the fitted mean",
        ),
        "squared_error": (
            "autophage.metrics.moments:SquaredError",
            "squared distance of the fitted parameters",
        ),
        "frechet_model": (
            "autophage.metrics.frechet:FrechetModel",
            "squared Gaussian W2 of the fit to the truth",
        ),
        "gini": ("autophage.metrics.diversity:Gini", "1 - sum p^2 of the fitted probabilities"),
        "entropy": ("autophage.metrics.diversity:Entropy", "entropy of the fitted probabilities (nats)"),
        "support": ("autophage.metrics.diversity:Support", "symbols that are still alive"),
        "kl_divergence": (
            "autophage.metrics.divergence:KlDivergence",
            "KL divergence of the fit from the truth (nats)",
        ),
        "total_variation": (
            "autophage.metrics.divergence:TotalVariation",
            "half the summed differences of the fitted probabilities",
        ),
        "reward": ("autophage.metrics.reward:RewardMetric", "how much users like what the model makes"),
        "excess_risk": (
            "autophage.metrics.excess_risk:ExcessRisk",
            "error of a regression on real inputs, without noise",
        ),
        "training": ("autophage.metrics.training:Training", "how a deep learner's training went"),
        "real_share": ("autophage.metrics.real_share:RealShare", "real records in the training set"),
        "proposals": ("autophage.metrics.curation_cost:Proposals", "records drawn, rejected ones included"),
        "acceptance": ("autophage.metrics.curation_cost:Acceptance", "share of the proposals that was kept"),
        "effective_size": (
            "autophage.metrics.curation_cost:EffectiveSize",
            "records that curation hands on, by weight",
        ),
        "rejected_records": (
            "autophage.metrics.curation_cost:RejectedRecords",
            "proposals whose reward was not a number",
        ),
        "rejected_choices": (
            "autophage.metrics.curation_cost:RejectedChoices",
            "choices without a usable candidate",
        ),
        "duplicates": (
            "autophage.metrics.curation_cost:Duplicates",
            "real records that a corrector put into the loop again",
        ),
        "certified_contraction": (
            "autophage.metrics.curation_cost:CertifiedContraction",
            "the contraction that a filter's certificate shows",
        ),
        "noted": (
            "autophage.metrics.curation_cost:Noted",
            "everything that safeguards noted, their costs among it",
        ),
        "held_out_log_likelihood": (
            "autophage.metrics.likelihood:HeldOutLogLikelihood",
            "mean log density of held-out real records (nats)",
        ),
        "wasserstein": (
            "autophage.metrics.wasserstein:Wasserstein",
            "2-Wasserstein distance by exact assignment",
        ),
        "sliced_wasserstein": (
            "autophage.metrics.sliced_wasserstein:SlicedWasserstein",
            "2-Wasserstein distance over random directions",
        ),
        "frechet": ("autophage.metrics.frechet:Frechet", "squared Fréchet distance on named features"),
        "mmd": ("autophage.metrics.mmd:Mmd", "squared maximum mean discrepancy, Gaussian kernel"),
        "kid": ("autophage.metrics.kid:Kid", "kernel distance, cubic kernel, on named features"),
        "precision_recall": (
            "autophage.metrics.precision_recall:PrecisionRecallMetric",
            "k-nearest-neighbour precision and recall",
        ),
        "density_coverage": (
            "autophage.metrics.density_coverage:DensityCoverageMetric",
            "k-nearest-neighbour density and coverage",
        ),
        "classifier_two_sample": (
            "autophage.metrics.two_sample:ClassifierTwoSample",
            "accuracy of telling generated from real",
        ),
        "modes": ("autophage.metrics.modes:Modes", "how many modes live, and how evenly"),
        "class_shares": (
            "autophage.metrics.class_shares:ClassShares",
            "which classes are left, as a classifier of the real labels sees them",
        ),
        "mode_overlap": (
            "autophage.metrics.mode_overlap:ModeOverlap",
            "how far the modes run into each other",
        ),
        "tail_coverage": (
            "autophage.metrics.tail_coverage:TailCoverage",
            "the rarest 5 %, corrected for sample size",
        ),
        "outside_support": (
            "autophage.metrics.outside_support:OutsideSupport",
            "mass where no real data are",
        ),
        "mode_interpolation": (
            "autophage.metrics.mode_interpolation:ModeInterpolation",
            "records beyond the modes of the true mixture",
        ),
        "memorisation": (
            "autophage.metrics.memorisation:MemorisationMetric",
            "distance to the nearest training record",
        ),
        "authenticity": (
            "autophage.metrics.authenticity:AuthenticityMetric",
            "share of generated records that are no copies of training ones",
        ),
        "feature_likelihood": (
            "autophage.metrics.feature_likelihood:FeatureLikelihoodMetric",
            "held-out log density of Gaussians on generated records, and its gap to training",
        ),
        "vendi": ("autophage.metrics.vendi:Vendi", "effective number of different records"),
        "spectrum": (
            "autophage.metrics.spectrum:Spectrum",
            "spatial power spectrum of pictures against real ones",
        ),
        "sample_variance": ("autophage.metrics.spread:SampleVariance", "mean variance of generated records"),
        "sample_log_det": ("autophage.metrics.spread:SampleLogDet", "log determinant of their covariance"),
        "within_class_variance": (
            "autophage.metrics.within_class:WithinClassVariance",
            "how wide the generated records of a class are, against real ones",
        ),
        "within_caption_variance": (
            "autophage.metrics.within_class:WithinCaptionVariance",
            "how wide the records of one caption are, summed over coordinates",
        ),
        "judge_alignment": (
            "autophage.metrics.judge_alignment:JudgeAlignment",
            "whether a judge outside of the loop agrees with its descriptions",
        ),
        "cosine_alignment": (
            "autophage.metrics.cosine_alignment:CosineAlignment",
            "cosine of pictures and captions under frozen encoders",
        ),
        "self_consistency": (
            "autophage.metrics.self_consistency:SelfConsistency",
            "what the loop's own captioner thinks of its captions",
        ),
        "caption_diversity": (
            "autophage.metrics.caption_diversity:CaptionDiversity",
            "vocabulary, entropy and variance of captions",
        ),
        "caption_accuracy": (
            "autophage.metrics.caption_accuracy:CaptionAccuracy",
            "how well a captioner describes held-out real pictures",
        ),
        "attribute_entropy": (
            "autophage.metrics.attribute_entropy:AttributeEntropy",
            "how even the attributes of pictures are, read without error",
        ),
        "pooled": (
            "autophage.metrics.pooled:Pooled",
            "other metrics, on the records of all agents together",
        ),
        "orthogonality": (
            "autophage.metrics.orthogonality:OrthogonalityMetric",
            "how orthogonal the classes are in generation 0's latent space",
        ),
        "latent_confidence": (
            "autophage.metrics.latent_confidence:LatentConfidence",
            "how surely a probe of generation 0's latents recognises the classes",
        ),
        "elbo": ("autophage.metrics.elbo:Elbo", "evidence lower bound, trained and held out, and its gap"),
        "encoder_spread": (
            "autophage.metrics.elbo:EncoderSpread",
            "spread of what generation 0's encoder makes of the samples",
        ),
    },
    "process": {
        "inpainting": (
            "autophage.inpainting.process:Inpainting",
            "one square of a picture after the other is blanked and filled in",
        ),
        "alignment": (
            "autophage.alignment.process:Alignment",
            "a generator learns by policy gradient from its own rewarded samples",
        ),
        "multiview": (
            "autophage.multiview.process:Multiview",
            "encoders of several views are trained to agree, and judged on a schedule",
        ),
    },
    "inpainter": {
        "gaussian_field": (
            "autophage.inpainting.gaussian_field:GaussianField",
            "the exact conditionals of a Gaussian field",
        ),
        "patch": (
            "autophage.inpainting.patch:Patch",
            "a linear regression on what surrounds the square, fitted to real pictures",
        ),
        "masked_diffusion": (
            "autophage.inpainting.masked_diffusion:MaskedDiffusion",
            "an own diffusion model that puts the known pixels back at every step",
        ),
        "pipeline": (
            "autophage.inpainting.pipeline:Pipeline",
            "an inpainting pipeline of diffusers, from a folder or the hub",
        ),
    },
    "multiview": {
        "concatenation": ("autophage.multiview.linear:Concatenation", "the views as they are: a floor"),
        "cca": ("autophage.multiview.linear:CCA", "canonical correlation analysis of two views"),
        "gcca": ("autophage.multiview.linear:GCCA", "the same of two or more (MAXVAR)"),
        "dcca": ("autophage.multiview.deep:DCCA", "deep canonical correlation analysis of two views"),
        "dgcca": ("autophage.multiview.deep:DGCCA", "the same of two or more"),
        "dccae": (
            "autophage.multiview.dccae:DCCAE",
            "deep correlation analysis that also rebuilds its views",
        ),
        "dcca_private": (
            "autophage.multiview.dccae:DCCAPrivate",
            "the same, with a private code for what other views lack",
        ),
        "nr_dcca": (
            "autophage.multiview.nr_dcca:NRDCCA",
            "noise-regularised deep correlation analysis of two views",
        ),
        "nr_dgcca": ("autophage.multiview.nr_dcca:NRDGCCA", "the same of two or more"),
    },
    "views": {
        "common_rate": (
            "autophage.multiview.views:CommonRate",
            "synthetic nonlinear views with a given share of columns in common",
        ),
        "halves": ("autophage.multiview.views:Halves", "the left and the right half of labelled pictures"),
        "rotated": ("autophage.multiview.views:Rotated", "labelled pictures turned, and with noise"),
        "file": ("autophage.multiview.views:ViewFile", "your own arrays, from an npz file"),
    },
    "predictor": {},
}


@cache
def _foreign() -> dict[str, dict[str, str]]:
    from importlib.metadata import entry_points

    found: dict[str, dict[str, str]] = {}
    for entry in entry_points(group="autophage.parts"):
        slot, _, kind = entry.name.partition(".")
        found.setdefault(slot, {})[kind] = entry.value
    return found


def kinds(slot: str) -> list[str]:
    """The kinds known for a slot, other packages' included."""
    return [*PARTS[slot], *(k for k in _foreign().get(slot, {}) if k not in PARTS[slot])]


def some(slot: str, most: int = 30) -> str:
    """The kinds known for a slot, as the end of a refusal; the first of them where there are many."""
    known = kinds(slot)
    if len(known) <= most:
        return f"one of: {', '.join(known)}"
    return f"one of {len(known)} that `autophage ls {slot}` lists, such as {', '.join(known[:8])}"


def describe(slot: str, kind: str) -> str:
    """One line about a kind."""
    return PARTS[slot][kind][1] if kind in PARTS[slot] else f"from {_foreign()[slot][kind]}"


def find(slot: str, kind: str, where: str = "") -> Any:
    """The class of a kind, or of a `module:Class` path. Raises `SpecError` naming the nearest known kind."""
    if not isinstance(kind, str):
        raise SpecError(
            f"{where or slot}: kind must be a name, got {kind!r}; known: {', '.join(kinds(slot))}"
        )
    if kind in PARTS[slot]:
        return load(PARTS[slot][kind][0], where or slot)
    if kind in _foreign().get(slot, {}):
        return load(_foreign()[slot][kind], where or slot)
    if ":" in kind:
        return load(kind, where or slot)
    raise SpecError(f"{where or slot}: there is no {slot} called '{kind}'{nearest(kind, kinds(slot))}")


def kind_of(slot: str, part: Any) -> str:
    """The kind under which a part's class is known, else its `module:Class` path."""
    path = f"{type(part).__module__}:{type(part).__qualname__}"
    table = {v[0]: k for k, v in PARTS[slot].items()} | {v: k for k, v in _foreign().get(slot, {}).items()}
    return table.get(path, path)


def load(path: str, where: str) -> Any:
    """The object at `module:object`."""
    module, _, name = path.partition(":")
    try:
        found: Any = importlib.import_module(module)
    except (ImportError, ValueError) as error:
        missing = getattr(error, "name", None)
        if missing and not module.startswith(missing):
            raise MissingExtra(f"{where}: {module} needs {missing}, which is not installed") from error
        raise SpecError(
            f"{where}: no module called '{module}' can be imported; write module:object"
        ) from error
    except Exception as error:
        said = str(error).splitlines() or ["no message"]
        raise SpecError(
            f"{where}: importing {module} fails with {type(error).__name__}: {said[0]}"
        ) from error
    for attribute in name.split("."):
        if not hasattr(found, attribute):
            raise SpecError(f"{where}: module {module} has no '{name}'{nearest(name, dir(found))}")
        found = getattr(found, attribute)
    return found


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a refusal: what was probably meant, or what there is."""
    known = [k for k in known if not k.startswith("_")]
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; known: {', '.join(known)}" if len(known) <= 40 else ""
