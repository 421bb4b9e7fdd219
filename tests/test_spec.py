"""What a spec may say, and the one sentence with which everything else is refused."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest
import yaml

from autophage.errors import DataError, MissingExtra, SpecError, UserError
from autophage.loop import Loop
from autophage.schema import json_schema
from autophage.spec import SCHEMA, Spec, override

BASE = {
    "seed": 0,
    "generations": 4,
    "data": {"kind": "gaussian"},
    "learner": {"kind": "gaussian"},
    "workflow": {"kind": "replace", "sample_size": 20},
    "metrics": ["variance"],
}


def refusal(given=None, /, kind=UserError, **keys):
    """The sentence with which a spec is refused."""
    with pytest.raises(kind) as caught:
        Loop(Spec.of(given, **keys))
    sentence = str(caught.value)
    assert sentence and "\n" not in sentence and len(sentence) < 600
    return sentence


# Unknown keys, at every level


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"generatons": 3}, "unknown key 'generatons' in the spec; did you mean 'generations'?"),
        ({"learner": {"kind": "gaussian", "dof": 1}}, "unknown key 'learner.dof'; did you mean 'ddof'?"),
        ({"learner": "gausian"}, "no learner called 'gausian'; did you mean 'gaussian'?"),
        ({"data": {"kind": "gaussian", "dims": 2}}, "unknown key 'data.dims'; did you mean 'dim'?"),
        ({"data": "digit"}, "did you mean 'digits'?"),
        (
            {"workflow": {"kind": "replace", "samples_size": 2}},
            "unknown key 'workflow.samples_size'; did you mean 'sample_size'?",
        ),
        ({"workflow": "acumulate"}, "did you mean 'accumulate'?"),
        (
            {"metrics": [{"kind": "wasserstein", "againts": "train"}]},
            "unknown key 'metrics[0].againts'; did you mean 'against'?",
        ),
        (
            {"metrics": ["variance", "frechett"]},
            "metrics[1]: there is no metric called 'frechett'; did you mean",
        ),
        ({"sampling": {"temprature": 1}}, "unknown key 'sampling.temprature'; did you mean 'temperature'?"),
        ({"verdict": {"risks": "variance"}}, "unknown key 'verdict.risks'; did you mean 'risk'?"),
        ({"feeds": [{"form": "main", "to": "main"}]}, "unknown key 'feeds[0].form'; did you mean 'from'?"),
        (
            {"workflow": {"kind": "replace", "sample_size": {"power": {"scale": 1, "exponant": 1}}}},
            "unknown key 'workflow.sample_size.power.exponant'; did you mean 'exponent'?",
        ),
        (
            {"workflow": {"kind": "replace", "sample_size": {"constnt": 3}}},
            "unknown key 'workflow.sample_size.constnt'; did you mean 'constant'?",
        ),
        (
            {"data": {"kind": "categorical", "zipf": {"symbol": 3, "exponent": 1}}, "learner": "categorical"},
            "unknown key 'data.zipf.symbol'; did you mean 'symbols'?",
        ),
        (
            {"learner": {"kind": "strangers:Normal", "pauze": 1}},
            "unknown key 'learner.pauze'; did you mean 'pause'?",
        ),
    ],
)
def test_unknown_keys_get_the_nearest_known_one(change, said):
    assert said in refusal({**BASE, **change}, kind=SpecError)


def test_unknown_keys_of_agents():
    one = {"learner": "gaussian", "workflow": "replace"}
    base = {k: v for k, v in BASE.items() if k not in ("learner", "workflow")}
    both = {**base, "agents": {"a": one, "b": {**one, "curaton": []}}}
    assert "unknown key 'agents.b.curaton'; did you mean 'curation'?" in refusal(both)
    both["agents"]["b"] = {**one, "learner": {"kind": "gaussian", "rigde": 1}}
    assert "unknown key 'agents.b.learner.rigde'; did you mean 'ridge'?" in refusal(both)
    assert "feeds[0] names an agent 'c'; known: a, b" in refusal(
        {**base, "agents": {"a": one, "b": one}, "feeds": [{"from": "c", "to": "a"}]}
    )


# What is wrong, at every level


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": None}, "data is None; write a kind, one of: gaussian"),
        ({"data": 3}, "data is 3; write a kind"),
        ({"data": {"dim": 2}}, "data has no kind; it must be one of: gaussian"),
        ({"data": {"kind": 3}}, "kind must be a name, got 3"),
        ({"learner": {"kind": "gaussian", "ddof": 2}}, "learner.ddof is 2"),
        ({"learner": {"kind": "gaussian", "ridge": "wide"}}, "learner.ridge is 'wide'"),
        ({"learner": {"kind": "gaussian", "ridge": float("nan")}}, "learner.ridge is nan"),
        ({"workflow": {"kind": "replace", "sample_size": "many"}}, "workflow.sample_size is 'many'"),
        ({"workflow": {"kind": "replace", "sample_size": -1}}, "workflow.sample_size is -1 at t = 1"),
        ({"workflow": {"kind": "replace", "sample_size": {"power": {"scale": 1}}}}, "exponent is missing"),
        ({"workflow": {"kind": "window", "size": 0}}, "a window holds at least one batch"),
        ({"workflow": {"kind": "mix", "synthetic_ratio": -1}}, "synthetic_ratio is -1"),
        ({"workflow": {"kind": "mix", "synthetic_ratio": float("inf")}}, "write workflow: replace"),
        ({"generations": 0}, "generations is 0; it must be a whole number of at least 1"),
        ({"generations": 2.5}, "generations is 2.5; it must be a whole number"),
        ({"replicates": True}, "replicates is True"),
        ({"replicates": "ten"}, "replicates is 'ten'"),
        ({"evaluation_size": 1}, "evaluation_size is 1; it must be a whole number of at least 2"),
        ({"seed": -1}, "seed is -1; it must be a whole number"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"schema": 2}, f"reads schema {SCHEMA}"),
        ({"name": 7}, "name is 7"),
        ({"bootstrap": "perhaps"}, "bootstrap is 'perhaps'"),
        ({"agents": {"a": {}}}, "both agents and a top-level 'learner'"),
        ({"metrics": [3]}, "metrics[0] is 3; write a kind"),
        ({"metrics": ["variance", {"kind": "variance"}]}, "metrics[1] measures the same as an earlier entry"),
        ({"sampling": {"bias": 1.5}}, "sampling.bias is 1.5; it must lie in [0, 1]"),
        ({"sampling": {"bias": float("nan")}}, "sampling.bias is nan"),
        ({"sampling": {"temperature": 0}}, "sampling.temperature is 0.0; it must be above zero"),
        ({"sampling": {"temperature": 0.5}}, "sampling.temperature is not understood by learner gaussian"),
        ({"sampling": 3}, "sampling must be a mapping"),
        ({"verdict": 3}, "verdict must be a mapping"),
        ({"feeds": {"from": "main"}}, "it must be a list of {from, to, share}"),
        ({"feeds": [{"from": "main", "to": "main", "share": 0.4}]}, "sum to 0.4; they must sum to 1"),
        ({"feeds": [{"from": "main", "to": "main", "share": 1.4}]}, "a share must lie in [0, 1]"),
        ({"feeds": [{"from": "main"}]}, "feeds[0].to is missing"),
        ({"curation": [{"kind": "strangers:Odd"}]}, "curation[0]: Odd has no method 'apply'"),
        ({"learner": {"kind": "strangers:Missing"}}, "module strangers has no 'Missing'"),
        ({"learner": {"kind": "nosuchmodule:Thing"}}, "no module called 'nosuchmodule'"),
        ({"learner": {"kind": ":Thing"}}, "no module called ''"),
        ({"learner": {"kind": "os:getcwd"}}, "it must name a class"),
        ({"workflow": {"kind": "strangers:Odd"}}, "workflow: Odd has no method 'plan'"),
        ({"workflow": {"kind": "strangers:Odd", "x": 1}}, "unknown key 'workflow.x'"),
        ({"initial_model": {"mean": 1, "variance": 2}}, "initial_model"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(change, said):
    assert said in refusal({**BASE, **change})


def test_agents_are_named_so_that_folders_can_be():
    for name in ("a/b", "..", "", "a b", ".a"):
        assert "names become folders" in refusal(
            {"data": "gaussian", "agents": {name: {"learner": "gaussian"}}}
        )
    for agents in ([], {}, "a"):
        assert "agents must map names" in refusal({"data": "gaussian", "agents": agents})
    assert "agents.a must be a mapping" in refusal({"data": "gaussian", "agents": {"a": "gaussian"}})


@pytest.mark.parametrize("given", [3, [1, 2], ("a",), object()])
def test_what_is_no_spec_at_all(given):
    assert "a spec is a path, a mapping or keywords" in refusal(given)


def test_no_data():
    assert "the spec has no data" in refusal({})


def test_a_module_that_fails_to_import_says_how(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "halfdone.py").write_text("def f(:\n")
    (tmp_path / "raising.py").write_text("raise RuntimeError('no licence\\nmore')")
    (tmp_path / "wanting.py").write_text("import a_package_nobody_has")
    assert "importing halfdone fails with SyntaxError" in refusal({**BASE, "learner": {"kind": "halfdone:A"}})
    assert "importing raising fails with RuntimeError: no licence" in refusal(
        {**BASE, "learner": {"kind": "raising:A"}}
    )
    assert "wanting needs a_package_nobody_has, which is not installed" in refusal(
        {**BASE, "learner": {"kind": "wanting:A"}}, kind=MissingExtra
    )


# Parts that do not fit


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"data": {"kind": "categorical", "zipf": {"symbols": 5, "exponent": 1}}, "metrics": []},
            "learner gaussian fits binary or counts or positive or vectors but data categorical gives symbols; "
            "learners that would do: categorical",
        ),
        (
            {"learner": "strangers:Normal", "metrics": ["held_out_log_likelihood"]},
            "held_out_log_likelihood needs a density, and learner strangers:Normal has none",
        ),
        (
            {"data": "digits", "learner": "strangers:Normal", "metrics": ["squared_mean_error"]},
            "metrics[0]: squared_mean_error needs the true law, and data digits has only records",
        ),
        ({"metrics": ["support"]}, "metrics[0]: support measures symbols, the data are vectors"),
        (
            {"learner": {"kind": "gaussian", "start": "previous"}},
            "but learner gaussian always fits from scratch",
        ),
        (
            {"workflow": {"kind": "replace", "sample_size": 1, "initial_size": 9}},
            "plans 1 records at t = 1 but learner gaussian needs at least 2",
        ),
        (
            {"data": {"kind": "gaussian", "dim": 30}},
            "generation 0 is fitted to 20 real records but learner gaussian needs at least 31 in 30 dimensions",
        ),
        (
            {"workflow": {"kind": "replace", "sample_size": {"values": [20, 1, 20]}}},
            "plans 1 records at t = 2",
        ),
        (
            {"data": "digits", "learner": "strangers:Normal", "workflow": {"kind": "fresh"}, "metrics": []},
            "fresh real records over 4 generations but the data has 0 beyond",
        ),
        ({"learner": "strangers:Normal", "initial_model": {"mean": 0}}, "cannot start from a known law"),
    ],
)
def test_parts_that_do_not_fit(change, said):
    assert said in refusal({**BASE, **change})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"workflow": {"kind": "accumulate_subsample", "sample_size": 9}},
            "workflow accumulate_subsample takes part of a batch",
        ),
        ({"workflow": {"kind": "mix", "real": 5, "initial_size": 9}}, "workflow mix takes part of a batch"),
        ({"workflow": {"kind": "keep_real", "sample_size": 9}}, "workflow keep_real takes part of a batch"),
        ({"curation": [{"kind": "strangers:FirstHalf"}]}, "curation works on records"),
    ],
)
def test_statistics_asked_for_outright_are_refused_where_only_records_will_do(change, reason):
    spec = {**BASE, **change, "learner": {"kind": "gaussian", "path": "statistics"}}
    assert f"learner.path is `statistics` but {reason}" in refusal(spec)
    assert Loop(Spec.of({**spec, "learner": {"kind": "gaussian"}})).paths == {"main": "records"}
    assert Loop(Spec.of({**spec, "workflow": "replace", "curation": []})).paths == {"main": "statistics"}


def test_data_that_cannot_be_used(tmp_path):
    assert "no_such.csv" in refusal(
        {**BASE, "data": {"kind": "table", "path": str(tmp_path / "no_such.csv")}, "metrics": []},
        kind=(SpecError, DataError),
    )


# Reading


def test_a_file_that_is_no_spec(tmp_path):
    cases = {
        "empty.yaml": ("", "holds no spec"),
        "list.yaml": ("- a\n- b\n", "holds no spec"),
        "word.yaml": ("digits\n", "holds no spec"),
        "broken.yaml": ("data: {kind: digits\nlearner: [", "is not valid YAML at line"),
        "tagged.yaml": ("data: !!python/object/apply:os.getcwd []\n", "is not valid YAML"),
        "broken.json": ('{"data": "digits",}', "is not valid JSON at line 1"),
        "list.json": ("[1]", "holds no spec"),
    }
    for name, (text, said) in cases.items():
        (tmp_path / name).write_text(text)
        sentence = refusal(tmp_path / name)
        assert said in sentence and name in sentence
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    assert "cannot be read" in refusal(tmp_path / "latin.yaml")
    assert "there is no spec file at" in refusal(tmp_path / "none.yaml")
    assert "cannot be read" in refusal(tmp_path)


def test_yaml_json_and_python_say_the_same(tmp_path):
    body = {**BASE, "learner": {"kind": "gaussian", "ridge": 0.001}}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(body))
    (tmp_path / "a.json").write_text(json.dumps(body, indent="\t").replace("0.001", "1e-3"))
    (tmp_path / "b.yaml").write_text(yaml.safe_dump(body).replace("0.001", "1e-3"))
    specs = [Spec.of(tmp_path / n) for n in ("a.yaml", "a.json", "b.yaml")] + [Spec.of(body), Spec.of(**body)]
    assert len({s.digest for s in specs}) == 1
    assert specs[0].agents["main"].learner.ridge == 0.001


def test_a_resolved_spec_resolves_to_itself(tmp_path):
    spec = Spec.of(
        {
            **BASE,
            "workflow": {
                "kind": "fresh",
                "sample_size": {"power": {"scale": 20, "exponent": 0.5}},
                "real_share": 0.25,
            },
            "sampling": {"bias": 0.9},
            "data": {"kind": "gaussian", "dim": 2, "cov": [[2, 0.5], [0.5, 1]]},
        }
    )
    (tmp_path / "spec.yaml").write_text(spec.to_yaml())
    again = Spec.of(tmp_path / "spec.yaml")
    assert again.to_dict() == spec.to_dict() and again.digest == spec.digest
    assert spec.to_dict()["schema"] == SCHEMA and spec.repeatable
    assert list(again.agents) == ["main"]


def test_a_seed_that_is_missing_is_drawn_and_recorded():
    body = {k: v for k, v in BASE.items() if k != "seed"}
    one, two = Spec.of(body), Spec.of({**body, "seed": None})
    assert one.seed_drawn and two.seed_drawn and not Spec.of(BASE).seed_drawn
    assert one.seed != two.seed and one.to_dict()["seed"] == one.seed


def test_short_forms():
    spec = Spec.of(data="digits", metrics="wasserstein", learner="strangers:Normal")
    assert [type(m).__name__ for m in spec.metrics] == ["Wasserstein"]
    assert spec.to_dict()["agents"]["main"]["workflow"]["kind"] == "replace"
    assert Spec.of(spec) is spec
    assert Spec.of(spec, generations=9).generations == 9
    assert not Spec.of(BASE, learner=np_learner()).repeatable


def np_learner():
    import strangers

    class Local(strangers.Normal):
        pass

    return Local()


def test_instances_and_classes():
    import strangers

    assert (
        Spec.of(BASE, learner=strangers.Normal(pause=0.5)).to_dict()["agents"]["main"]["learner"]["pause"]
        == 0.5
    )
    assert "learner is a class; give an instance" in refusal({**BASE, "learner": strangers.Normal})
    assert "Odd has no method 'fit', so it cannot be a learner" in refusal(
        {**BASE, "learner": strangers.Odd()}
    )


def test_a_strangers_class_is_an_estimator():
    path = "sklearn.mixture:GaussianMixture"
    spec = Spec.of(BASE, learner={"kind": path, "n_components": 2}, metrics=["sample_variance"])
    assert spec.repeatable
    assert (
        spec.to_dict()["agents"]["main"]["learner"]
        == Spec.of(
            BASE, learner={"kind": "estimator", "object": path, "arguments": {"n_components": 2}}
        ).to_dict()["agents"]["main"]["learner"]
    )


# Settings of the command line


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["workflow.synthetic_ratio=0.5"], {"workflow": {"kind": "mix", "synthetic_ratio": 0.5}}),
        (["learner.ridge=1e-3"], {"learner": {"kind": "gaussian", "ridge": 0.001}}),
        (["metrics=[wasserstein, frechet]"], {"metrics": ["wasserstein", "frechet"]}),
        (["metrics.0.k=5"], {"metrics": [{"kind": "precision_recall", "k": 5}, "frechet"]}),
        (["metrics.1=modes"], {"metrics": ["precision_recall", "modes"]}),
        (["workflow.kind=window", "workflow.size=3"], {"workflow": {"kind": "window", "size": 3}}),
        (["workflow=replace"], {"workflow": "replace"}),
        (["workflow={kind: window, size: 2}"], {"workflow": {"kind": "window", "size": 2}}),
        (["data.size=100"], {"data": {"kind": "digits", "size": 100}}),
        (["verdict.risk=frechet"], {"verdict": {"risk": "frechet"}}),
        (["name=a=b"], {"name": "a=b"}),
        (["seed="], {"seed": None}),
        (["replicates=3", "replicates=4"], {"replicates": 4}),
        (
            ["workflow.sample_size.power.scale=2"],
            {"workflow": {"kind": "mix", "sample_size": {"power": {"scale": 2}}}},
        ),
    ],
)
def test_settings_are_laid_over_the_spec(settings, expected):
    raw = {
        "data": "digits",
        "learner": {"kind": "gaussian"},
        "workflow": {"kind": "mix"},
        "metrics": ["precision_recall", "frechet"],
    }
    before = json.dumps(raw)
    assert override(raw, settings) == {**raw, **expected}
    assert json.dumps(raw) == before


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("workflow", "--set takes key=value"),
        ("=3", "--set takes key=value"),
        ("metrics.7=x", "'7' is not an entry of a list of 1"),
        ("metrics.x.k=1", "'x' is not an entry of a list of 1"),
        ("seed.x=1", "'seed' is a single value"),
        ("name=[1", "'[1' is not a YAML value"),
    ],
)
def test_settings_that_cannot_be(setting, said):
    with pytest.raises(SpecError) as caught:
        override({"seed": 3, "metrics": ["frechet"]}, [setting])
    assert said in str(caught.value)


# The JSON schema


def test_the_schema_knows_every_part_and_key():
    from autophage import registry

    schema = json_schema()
    json.dumps(schema, default=lambda v: v.tolist() if hasattr(v, "tolist") else str(v))
    for slot, place in (("data", "data"), ("learner", "learner"), ("workflow", "workflow")):
        names = schema["properties"][place]["anyOf"][0]["enum"]
        assert names == registry.kinds(slot)
    for key in Spec.of(BASE).to_dict():
        assert key in schema["properties"], key
    assert schema["additionalProperties"] is False
    assert schema["anyOf"] == [{"required": ["data"]}, {"required": ["process"]}]
    for name, body in schema["$defs"].items():
        for key, property_ in body.get("properties", {}).items():
            if "." in name and key not in ("kind",):
                assert "description" in property_ or "$ref" in property_, f"{name}.{key} says nothing"
    references = set(_references(schema))
    assert references <= {f"#/$defs/{n}" for n in schema["$defs"]}


def test_the_schema_admits_resolved_specs_and_short_ones():
    schema = json_schema()
    for body in (
        BASE,
        Spec.of(BASE).to_dict(),
        {"data": "digits"},
        {**BASE, "agents": {"a": {"learner": "kde"}}},
        {
            "process": {
                "kind": "inpainting",
                "features": "none",
                "inpainter": {"mean": {"kind": "patch", "tau": 0}},
            }
        },
    ):
        assert list(_faults(schema, schema, json.loads(json.dumps(body)))) == []
    for body, where in (
        ({**BASE, "generatons": 1}, "generatons"),
        ({**BASE, "workflow": {"kind": "replace", "samples": 1}}, "workflow"),
        ({**BASE, "seed": "x"}, "seed"),
        ({"learner": "kde"}, "data"),
        ({"process": {"kind": "inpainting", "squares": 2}}, "process"),
    ):
        assert any(where in fault for fault in _faults(schema, schema, body)), body


def _references(node):
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "integer": int,
    "number": (int, float),
}


def _faults(schema, node, value, where="spec"):
    """The part of JSON schema that the schema uses, checked directly: no validator is a dependency."""
    if "$ref" in node:
        node = schema["$defs"][node["$ref"].removeprefix("#/$defs/")]
    if "anyOf" in node:
        found = [list(_faults(schema, option, value, where)) for option in node["anyOf"]]
        if all(found):
            yield f"{where}: fits none of {len(found)}: {found}"
        if "properties" not in node:
            return
    if ("const" in node and value != node["const"]) or ("enum" in node and value not in node["enum"]):
        yield f"{where}: not {node.get('const', node.get('enum'))}"
    if "pattern" in node and isinstance(value, str) and not re.search(node["pattern"], value):
        yield f"{where}: does not match {node['pattern']}"
    kind = node.get("type")
    if kind and (
        not isinstance(value, TYPES[kind]) or (kind in ("integer", "number") and isinstance(value, bool))
    ):
        yield f"{where}: no {kind}"
        return
    if isinstance(value, dict) and (kind == "object" or "required" in node):
        for name in node.get("required", []):
            if name not in value:
                yield f"{where}.{name}: missing"
        extra = node.get("additionalProperties", True)
        for name, inner in value.items():
            if name in node.get("properties", {}):
                yield from _faults(schema, node["properties"][name], inner, f"{where}.{name}")
            elif extra is False:
                yield f"{where}.{name}: unknown"
            elif isinstance(extra, dict):
                yield from _faults(schema, extra, inner, f"{where}.{name}")
    if isinstance(value, list) and isinstance(node.get("items"), dict):
        for i, inner in enumerate(value):
            yield from _faults(schema, node["items"], inner, f"{where}[{i}]")


def test_numbers_survive_the_round_trip():
    ratio = 0.1 + 0.2
    spec = Spec.of(BASE, workflow={"kind": "mix", "synthetic_ratio": ratio})
    again = Spec.of(yaml.safe_load(spec.to_yaml()))
    assert again.agents["main"].workflow.synthetic_ratio == ratio
    assert math.isclose(
        np.float64(1e-9),
        Spec.of(yaml.safe_load(Spec.of(BASE, learner={"kind": "gaussian", "ridge": 1e-9}).to_yaml()))
        .agents["main"]
        .learner.ridge,
        rel_tol=0,
    )
