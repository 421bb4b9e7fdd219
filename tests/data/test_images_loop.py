"""Pictures through the loop: they stay bytes, and nothing that works with numbers trips over them."""

import zipfile

import numpy as np
import pytest

from autophage import Spec, laws
from autophage.commands.opening import raw
from autophage.data.images import ImagesSource
from autophage.data.paths import kind_for_path
from autophage.errors import DataError
from autophage.evaluation import legal
from autophage.keys import Key
from autophage.loop import Loop
from autophage.metrics.records import matched, matrix
from autophage.runs.paged import gallery
from autophage.runs.run import run
from autophage.samples import Samples, reckonable


@pytest.fixture
def place(tmp_path, folder_of):
    """60 pictures of 8 x 8 pixels in two classes, one bright and one dark, whose bytes cross 0 and 255 if they wrap."""
    rng = np.random.Generator(np.random.SFC64(11))
    for name, low in (("bright", 160), ("dark", 0)):
        folder_of(tmp_path / "in" / name, rng.integers(low, low + 96, (30, 8, 8), dtype=np.uint8))
    return tmp_path / "in"


def spec_of(place, learner, **more):
    data = {"kind": "images", "path": str(place)}
    return {
        "seed": 0,
        "generations": 2,
        "data": data,
        "learner": learner,
        "workflow": {"kind": "mix"},
        **more,
    }


MIXTURE = {
    "kind": "estimator",
    "object": "sklearn.mixture:GaussianMixture",
    "arguments": {"n_components": 2, "covariance_type": "diag"},
}
METRICS = [
    "frechet", "kid", "mmd", "precision_recall", "density_coverage", "memorisation", "sample_variance", "wasserstein",
    {"kind": "frechet", "features": "classifier"},
]  # fmt: skip


@pytest.mark.parametrize("learner", [MIXTURE, {"kind": "flow", "steps": 3}], ids=["estimator", "flow"])
def test_a_short_run(place, tmp_path, learner):
    done = run(spec_of(place, learner, metrics=METRICS), tmp_path / "runs" / "pictures")
    assert done.failures == {} and done.warnings == []
    rows = done.metrics
    assert set(rows["generation"]) == {0, 1} and np.isfinite(rows["value"].to_numpy()).all()
    (kept,) = (tmp_path / "runs" / "pictures").glob("replicate_0000/generation_0000/main/**/x.npy")
    x = np.load(kept)
    assert x.dtype == np.uint8 and x.shape == (48, 64)
    assert x.max() > 200 and x.min() < 60  # bright and dark ones
    drawn = gallery(done, "main")
    assert drawn.kind == "images" and np.asarray(drawn.samples).shape[2:] == (8, 8)
    assert np.asarray(drawn.real).shape[1:] == (8, 8)


def test_samples_become_legal_pictures(place):
    source = ImagesSource(path=str(place))
    made = Samples.of(np.array([[-1.0] * 32 + [300.2] * 32]), label=np.array([1]), generation=2)
    found = legal(source, made)
    assert found.x.dtype == np.uint8 and found.x[0].tolist() == [0] * 32 + [255] * 32
    assert found.label.tolist() == [1] and found.generation.tolist() == [2]
    assert legal(source, found) is found


def test_metrics_see_numbers_that_do_not_wrap(place):
    source = ImagesSource(path=str(place))
    x, y = matched(source.train().x, source.reference().x)
    assert x.dtype == y.dtype == np.float64
    assert np.array_equal(matrix(source.train().fields["x"], "real"), source.train().x)
    assert ((x - y[:1]) ** 2).max() > 255


@pytest.mark.parametrize(
    "learner", [{"kind": "gaussian", "covariance": "diagonal"}, {"kind": "kde"}], ids=["gaussian", "kde"]
)
def test_closed_forms_give_what_they_give_for_numbers(place, learner):
    class AsNumbers(ImagesSource):
        dtype = np.float64

    found = []
    for cls in (ImagesSource, AsNumbers):
        spec = Spec.of({**spec_of(place, learner), "data": cls(path=str(place)), "replicates": 2})
        loop = Loop(spec)
        state = loop.start(loop.blocks()[0])
        for _ in range(2):
            state, _done = loop.step(state)
        found.append(state.models["main"].sample(5, key=Key(1)).x)
    assert np.array_equal(*found) and np.abs(found[0]).max() > 100


def test_strangers_functions_get_numbers(place):
    """A corrector and a reward that subtract: with bytes 10 - 20 would be 246."""
    seen = []

    def brighter(x):
        seen.append(x.dtype)
        return x + 200.0

    def darkness(x):
        seen.append(x.dtype)
        return -((x - 20) ** 2).sum(axis=1)

    for curation in (
        {"kind": "correction", "corrector": brighter, "strength": float("inf")},
        {"kind": "preference", "reward": darkness},
    ):
        spec = Spec.of({**spec_of(place, MIXTURE), "curation": [curation]})
        loop = Loop(spec)
        _, (first,) = loop.step(loop.start(loop.blocks()[0]))
        assert first.kept.x.dtype == np.uint8
        if curation["kind"] == "correction":
            assert first.kept.x.min() >= 200 and (first.kept.x == 255).any()
        else:
            assert np.median(first.kept.x.mean(axis=1)) < 100
    assert set(seen) == {np.dtype(np.float64)}
    plain = np.arange(3.0)
    assert reckonable(plain) is plain


# What a path is


def test_paths_of_pictures_are_known(tmp_path, colour, folder_of, encode):
    pl = pytest.importorskip("polars")
    assert kind_for_path(folder_of(tmp_path / "folder", colour)) == "images"
    assert kind_for_path(folder_of(tmp_path / "classes" / "cat", colour).parent) == "images"
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr("0.png", encode(colour[0]))
    np.save(tmp_path / "in.npy", colour)
    np.savez(tmp_path / "in.npz", colour)
    (tmp_path / "strip.PNG").write_bytes(encode(colour.reshape(-1, 5, 3)))
    for name in ("in.zip", "in.npy", "in.npz", "strip.PNG"):
        assert kind_for_path(tmp_path / name) == "images"
    pl.DataFrame({"image": [encode(x) for x in colour]}).write_parquet(tmp_path / "in.parquet")
    assert kind_for_path(tmp_path / "in.parquet") == "images"
    (tmp_path / "hub").mkdir()
    (tmp_path / "in.parquet").rename(tmp_path / "hub" / "train.parquet")
    assert kind_for_path(tmp_path / "hub") == "images"
    pl.DataFrame({"height": [1.0, 2.0]}).write_parquet(tmp_path / "table.parquet")
    assert kind_for_path(tmp_path / "table.parquet") == "table"
    (tmp_path / "tables").mkdir()
    (tmp_path / "table.parquet").rename(tmp_path / "tables" / "table.parquet")
    with pytest.raises(DataError, match="is a folder without idx pictures, image files or archives"):
        kind_for_path(tmp_path / "tables")


def test_a_folder_gets_the_default_loop(place):
    found = raw(str(place))
    assert found["data"] == {"kind": "images", "path": str(place)}
    assert Spec.of(found).data == ImagesSource(path=str(place))


def test_a_spec_goes_through_its_text(place):
    spec = Spec.of(spec_of(place, {"kind": "flow"}))
    assert Spec.of(spec.to_dict()).data == spec.data
    assert (
        Spec.of(
            {**spec.to_dict(), "data": {"kind": "images", "path": "p", "channels": 1, "tile": 4}}
        ).data.tile
        == 4
    )


def test_laws_of_sources_hold(tmp_path):
    x = (Key(0) / "laws").generator().integers(0, 256, (60, 6, 5, 3), dtype=np.uint8)
    np.savez(tmp_path / "set.npz", images=x, labels=np.arange(60) % 3)
    laws.source(ImagesSource(path=str(tmp_path / "set.npz")))
