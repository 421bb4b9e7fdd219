"""Eight safeguards on real digits, at equal network evaluations: within 20 minutes on two cores, and a page to look at."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from autophage.comparisons import compare
from autophage.comparisons.paged import sentence

pytestmark = pytest.mark.long

SPEC: dict[str, Any] = {
    "name": "digits",
    "seed": 0,
    "generations": 5,
    "replicates": 3,
    "data": {"kind": "digits"},
    "learner": {
        "kind": "diffusion",
        "labels": "use",
        "start": "previous",
        "first_records": 80_000,
        "records": 16_000,
        "warmup": 2_000,
        "device": "cpu",
    },
    "sampling": {"sampler": "dpmpp_2m", "steps": 8},
    "workflow": {"kind": "replace"},
    "metrics": ["frechet", {"kind": "precision_recall", "k": 5}, "class_shares"],
}
SAFEGUARDS = (
    "real_kept",
    "latent_filter",
    "sims",
    "neon",
    "trajectory_variance",
    "correction",
    "verification",
    "discriminator",
)


def test_eight_safeguards_on_digits(tmp_path: Path) -> None:
    place = Path(os.environ.get("AUTOPHAGE_LONG", tmp_path)) / "compared"
    begun = time.monotonic()
    found = compare(SPEC, SAFEGUARDS, place, budget="steps", workers=2)
    page = found.report()
    print(f"{time.monotonic() - begun:.0f} s; {sentence(found)}")
    rows = {row["arm"]: row for row in found.table()}
    for name, row in rows.items():
        print(name, {k: v for k, v in row.items() if k not in ("arm", "knows", "failures")})
    assert set(rows) == {"plain", *SAFEGUARDS}
    assert not any(row["failures"] for row in rows.values())
    for name, row in rows.items():
        if not row["over_budget"]:
            assert row["evaluations"] == pytest.approx(rows["plain"]["evaluations"], rel=0.2), name
    assert rows["real_kept"]["gain"] > 0.2
    assert page.is_file() and "What curation kept and dropped" in page.read_text()
