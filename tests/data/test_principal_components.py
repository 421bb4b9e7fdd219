"""Principal components of a finite set: of the training part alone, with everything else left as it was."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.data.digits import DigitsSource
from autophage.data.principal_components import PrincipalComponentsSource
from autophage.errors import AutophageError, SpecError
from autophage.spec import Spec


def test_components_are_those_of_the_training_part():
    from sklearn.decomposition import PCA

    source, whole = PrincipalComponentsSource(of="digits", components=6), DigitsSource()
    pca = PCA(6, svd_solver="full").fit(whole.train().x)
    unit = np.sqrt(pca.transform(whole.train().x).var(axis=0).mean())
    for part in ("train", "reference"):
        mine, theirs = getattr(source, part)(), getattr(whole, part)()
        np.testing.assert_allclose(
            np.abs(mine.x), np.abs(pca.transform(theirs.x)) / unit, rtol=1e-7, atol=1e-9
        )
        np.testing.assert_array_equal(mine.label, theirs.label)
    assert source.shape == (6,) and source.classes == whole.classes and not source.unlimited
    assert abs(source.train().x.var(axis=0).mean() - 1) < 1e-9
    assert len(source.load().x) == 1797


def test_bytes_and_sizes_of_the_inner_set_are_respected():
    source = PrincipalComponentsSource(of={"kind": "digits", "size": 100}, components=3)
    assert len(source.train()) == 80 and len(source.reference()) == 20
    spec = Spec.of(
        data={"kind": "principal_components", "of": {"kind": "digits", "size": 100}, "components": 3},
        learner="class_gaussian",
        workflow="replace",
        seed=0,
    )
    again = Spec.of(spec.to_dict())
    assert again.digest == spec.digest
    np.testing.assert_array_equal(again.data.train().x, source.train().x)
    assert source.citation == DigitsSource.citation


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"of": "two_moons"}, "only a finite set"),
        ({"of": 3}, "write a kind of data"),
        ({"of": {"kind": "digits", "sice": 3}}, r"data\.of\.sice"),
        ({"size": 50}, r"data\.of\.size"),
        ({"components": 0}, r"data\.components"),
        ({"components": 65}, "64 numbers"),
    ],
)
def test_bad_settings_are_refused(settings, said):
    with pytest.raises(AutophageError, match=said):
        PrincipalComponentsSource(**settings).train()


def test_the_door_says_where():
    with pytest.raises(SpecError, match=r"data\.of"):
        Spec.of(data={"kind": "principal_components", "of": "digit"}, learner="class_gaussian", seed=0)
