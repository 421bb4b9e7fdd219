"""A Stable Diffusion and a BLIP, tiny and random, that feed each other: stored, interrupted, resumed, published."""

from __future__ import annotations

import pytest
from tests.tiny_checkpoints import tiny_blip, tiny_stable_diffusion

from autophage.runs import blocks
from autophage.runs.run import load, run

pytestmark = pytest.mark.slow


def spec(painter, captioner):
    brief = {"records": 32, "batch_size": 16, "warmup": 0, "device": "cpu", "start": "previous"}
    workflow = {"kind": "replace", "initial_size": 40, "sample_size": 16}
    return {
        "seed": 4,
        "generations": 3,
        "evaluation_size": 8,
        "data": {"kind": "digits", "size": 60, "captions": "classes"},
        "agents": {
            "painter": {
                "learner": {"kind": "text_to_image", "checkpoint": str(painter), **brief},
                "sampling": {"steps": 2},
                "workflow": workflow,
            },
            "captioner": {
                "learner": {"kind": "captioner", "checkpoint": str(captioner), "max_words": 10, **brief},
                "given": "painter",
                "sampling": {"budget": 3},
                "workflow": workflow,
            },
        },
        "metrics": ["frechet", "caption_diversity"],
    }


def test_a_pair_of_checkpoints_runs_resumes_and_publishes(tmp_path, monkeypatch):
    body = spec(tiny_stable_diffusion(tmp_path / "sd"), tiny_blip(tmp_path / "blip"))
    whole = run(body, out=tmp_path / "whole")
    assert whole.status == "completed", whole.failures
    saved = blocks._Deep.save

    def killed(self, course, state, records):
        saved(self, course, state, records)
        if state.generation == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(blocks._Deep, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        run(body, out=tmp_path / "part")
    monkeypatch.setattr(blocks._Deep, "save", saved)
    part = run(body, out=tmp_path / "part", resume=True)
    assert part.metrics.equals(whole.metrics)
    assert [f[:3] for f in part.flows["painter"][2]] == [("captioner", 1, "painter/1")]

    again = load(tmp_path / "part")
    for agent, file in (
        ("painter", "pytorch_lora_weights.safetensors"),
        ("captioner", "adapter_model.safetensors"),
    ):
        place = tmp_path / "part" / "replicate_0000" / "generation_0002" / agent / "model.safetensors"
        from safetensors.numpy import load as opened

        model = again.loop.agents[agent].learner.restore(opened(place.read_bytes()))
        model.publish(tmp_path / agent)
        assert list((tmp_path / agent).rglob(file)), list((tmp_path / agent).rglob("*"))
    assert "<figcaption" in again.report().read_text() or "captioner" in again.report().read_text()
