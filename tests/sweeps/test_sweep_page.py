"""From a sweep to its page: the axes, theory's boundary where theory has it, sentences that are true."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.report.phases import Curves, Map
from autophage.sweeps import theory
from autophage.sweeps.drawn import diagrams
from autophage.sweeps.paged import findings, page_of
from autophage.sweeps.sweep import sweep


def test_the_boundary_is_where_the_mean_variance_is_a_tenth(gaussian):
    """Replace: (1 - 1/n)^(G - 1) = 0.1, so n = 1 / (1 - 0.1^(1/(G-1)))."""
    spec = {**gaussian, "replicates": 20, "workflow": "replace"}
    swept = sweep(spec, {"workflow.sample_size": "4:60:15:log", "generations": "5:45:9"})
    (variance,) = [d for d in diagrams(swept) if d.metric == "variance"]
    assert (
        isinstance(variance, Map) and variance.x.title == "sample_size" and variance.y.title == "generations"
    )
    (line,) = [line for line in variance.lines if line.kind == "boundary"]
    for n, generations in line.pieces[0]:
        exact = 1 / (1 - 0.1 ** (1 / (generations - 1)))
        assert n == pytest.approx(exact, rel=0.06)


def test_the_measured_phase_is_theorys(gaussian):
    """Cells that theory puts well inside a phase are measured there."""
    spec = {**gaussian, "replicates": 400, "generations": 15, "workflow": "replace"}
    swept = sweep(spec, {"workflow.sample_size": "3:60:10:log"})
    field, fallen = swept.theory.relative("variance"), swept.phase("generations_to_tenth") < 15
    assert fallen[field < 0.05].all() and not fallen[field > 0.2].any() and fallen.any() and not fallen.all()
    assert "theory says" in findings(swept)[0]


def test_a_threshold_of_theory_is_drawn_where_its_key_is_swept(gaussian):
    swept = sweep(gaussian, {"workflow.synthetic_ratio": "0:2:5", "workflow.initial_size": [10, 20, 40]})
    for drawn in diagrams(swept):
        (line,) = [line for line in drawn.lines if line.kind == "threshold"]
        assert (line.pieces[0][:, 0] == 0.5).all()
    assert any(p.quantity == "threshold" for p in page_of(swept).theories)


def test_one_number_gives_curves_and_words_give_strands(gaussian):
    spec = {**gaussian, "workflow": {"kind": "replace"}}
    swept = sweep(spec, {"workflow.kind": ["replace", "accumulate"], "workflow.sample_size": [40, 10, 20]})
    for drawn in diagrams(swept):
        assert isinstance(drawn, Curves) and drawn.x.values.tolist() == [10, 20, 40]
        assert [s.label for s in drawn.strands] == ["replace", "accumulate"]
    (variance,) = [d for d in diagrams(swept) if d.metric == "variance"]
    assert variance.strands[1].mean.tolist() == swept.phase("variance")[1][[1, 2, 0]].tolist()
    np.testing.assert_allclose(variance.strands[0].theory, [(1 - 1 / n) ** 6 for n in (10, 20, 40)])


def test_a_third_key_gives_facets(gaussian):
    grid = {"workflow.synthetic_ratio": [0, 1], "workflow.initial_size": [10, 20], "learner.ddof": [0, 1]}
    swept = sweep(gaussian, grid)
    maps = [d for d in diagrams(swept) if d.metric == "variance"]
    assert [m.facet for m in maps] == ["ddof 0", "ddof 1"]
    assert maps[1].value.tolist() == swept.phase("variance")[:, :, 1].T.tolist()


def test_theory_is_asked_on_a_lattice_of_a_large_grid(gaussian, monkeypatch):
    monkeypatch.setattr(theory, "MOST", 30)
    spec = {**gaussian, "replicates": 5, "generations": 3}
    swept = sweep(spec, {"workflow.synthetic_ratio": "0:4:60", "workflow.initial_size": "5:44:40"})
    known = np.isfinite(swept.predicted("variance"))
    assert 20 < known.sum() <= 30 and known[0, 0] and known[-1, -1]
    start = np.broadcast_to(1 - 1 / np.arange(5, 45), (60, 40))
    np.testing.assert_allclose(swept.theory.field("variance", generation=0)[known], start[known])


def test_silent_theory_leaves_the_page_without_lines(deep):
    swept = sweep(deep, {"workflow.sample_size": [20, 40], "workflow.initial_size": [20, 30]})
    assert swept.predicted("sample_variance") is None and swept.agreement("sample_variance") is None
    assert all(d.lines == () for d in diagrams(swept)) and findings(swept) == []


def test_a_report_is_written_beside_the_sweep(gaussian, tmp_path):
    swept = sweep(
        gaussian, {"workflow.synthetic_ratio": [0, 1], "workflow.initial_size": [10, 20]}, tmp_path / "s"
    )
    page = swept.report()
    assert page == tmp_path / "s" / "report.html" and (tmp_path / "s" / "phase.png").is_file()
    text = page.read_text()
    assert "2 x 2 = 4 cells of 200 replicates, 6 generations" in text and "one array program" in text
    assert "autophage sweep spec.yaml --grid workflow.synthetic_ratio=0,1" in text
