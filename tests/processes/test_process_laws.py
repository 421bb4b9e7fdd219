"""The contract suite passes what holds, and catches what a run on disk could not bear."""

from __future__ import annotations

import importlib

import pytest

from autophage import laws
from autophage.inpainting.process import Inpainting

FIELD = {"kind": "gaussian_field", "side": 4}


@pytest.mark.parametrize(
    "process",
    [
        Inpainting(data=FIELD, inpainter="gaussian_field", features="pixels", pictures=6),
        Inpainting(data=FIELD, inpainter={"a": {"kind": "patch", "context": 1}}, features="none", pictures=6),
    ],
)
def test_inpainting_keeps_the_laws(process):
    laws.process(process)


def test_a_walk_keeps_them():
    laws.process(importlib.import_module("wanderers").Walked())


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        ("Unrepeatable", "goes on to the same state"),
        ("InPlace", "as it was"),
        ("Forgetful", "same state"),
        ("Moody", "same rows"),
    ],
)
def test_what_breaks_them(broken, law):
    with pytest.raises(laws.Broken, match=law):
        laws.process(getattr(importlib.import_module("wanderers"), broken)())
