"""Equal specs have equal keys whatever their spelling; any change of any field changes the key; labels never do."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dissect.cells.any_spec import parse_spec
from dissect.cells.spec import canonical_json, canonical_spec, spec_key
from dissect.cells.study import load_study
from dissect.stages.training.deepspeed.spec import PretrainSpec
from factories import inspect_spec, pretrain_spec

SPECS = [pretrain_spec(), pretrain_spec(batch="max", zero_stage=3, recompute=True), inspect_spec()]


def shuffled(value: Any, rng: random.Random) -> Any:
    if not isinstance(value, dict):
        return value
    items = [(key, shuffled(inner, rng)) for key, inner in value.items()]
    rng.shuffle(items)
    return dict(items)


def leaves(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if isinstance(value, dict) and value:
        return [leaf for key, inner in value.items() for leaf in leaves(inner, (*path, key))]
    return [path]


def changed(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value + "x"
        case dict():
            return {"NEW": "1"}
        case None:
            return "now set"
    raise AssertionError(f"no change is known for {value!r}")


@given(st.sampled_from(SPECS), st.randoms(use_true_random=False))
def test_order_of_keys_does_not_count(spec: Any, rng: random.Random) -> None:
    respelt = shuffled(spec.model_dump(mode="json"), rng)
    assert canonical_spec(parse_spec(json.dumps(respelt))) == canonical_spec(spec)


@given(st.sampled_from(SPECS), st.data())
def test_every_field_counts(spec: Any, data: st.DataObject) -> None:
    dump = spec.model_dump(mode="json")
    path = data.draw(st.sampled_from(leaves(dump)))
    section = dump
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = changed(section[path[-1]])
    assert spec_key(canonical_json(dump)) != spec_key(canonical_spec(spec))


@settings(max_examples=200)
@given(batch=st.integers(1, 10**6), seq_len=st.integers(1, 10**6), other=st.integers(1, 10**6))
def test_equal_keys_mean_equal_specs(batch: int, seq_len: int, other: int) -> None:
    one, two = pretrain_spec(batch=batch, seq_len=seq_len), pretrain_spec(batch=batch, seq_len=other)
    assert (spec_key(canonical_spec(one)) == spec_key(canonical_spec(two))) == (seq_len == other)


def test_a_spec_survives_its_canonical_form() -> None:
    for spec in SPECS:
        assert parse_spec(canonical_spec(spec)) == spec


def test_the_key_is_pinned() -> None:
    # A change of the canonical form would silently orphan every result that anyone ever measured.
    assert spec_key('{"a":1,"b":[true,null,"x"]}') == "eca8cfb31ab7"


def keys(project: Path) -> dict[str, str | None]:
    study = load_study(project, {"platforms": ["cpu", "a800", "h200-x4"], "suite": "full"})
    return {cell.id: cell.key for cells in study.experiments.values() for cell in cells}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("config/platforms/cpu.yaml", "label: CPU", "label: This machine"),
        ("config/platforms/cpu.yaml", "label: process", "label: rank"),
        ("config/models/llama-tiny.yaml", "label: Llama-tiny", "label: Tiny"),
        ("config/models/llama-tiny.yaml", "1.0e-5", "0.00001"),
        ("config/models/llama-tiny.yaml", "1.0e-5", "1E-05"),
        ("config/models/llama-tiny.yaml", "10000.0", "1e4"),
        ("config/models/llama-tiny.yaml", "hidden_size: 256", "hidden_size: 0x100"),
        ("config/platforms/a800.yaml", "bf16: 312", "bf16: 999"),
        ("config/platforms/a800.yaml", "partition: a800", "partition: other"),
        ("config/experiments/table_III.yaml", "rows: [framework, method]", "rows: [framework, method, batch]"),
        ("config/experiments/table_III.yaml", 'title: "Table III', 'title: "Table 3'),
        ("config/experiments/table_III.yaml", "Naive, F, R, F+R]", "Naive, R, F, R+F]"),
        ("config/methods.yaml", "means: Flash", "means: The Flash"),
        ("envs/train/requirements.txt", "torch==", "# a comment\ntorch=="),
    ],
    ids=lambda value: value if len(value) < 30 else value[-30:],
)
def test_labels_notation_and_resources_never_change_a_key(project: Path, file: str, old: str, new: str) -> None:
    before = keys(project)
    text = (project / file).read_text()
    assert old in text
    (project / file).write_text(text.replace(old, new))
    assert keys(project) == before


def test_a_lock_changes_the_cells_of_its_environment_only(project: Path) -> None:
    before = keys(project)
    lock = project / "envs/train/requirements.txt"
    lock.write_text(lock.read_text().replace("torch==2.11.0", "torch==2.11.1"))
    after = keys(project)
    moved = {cell for cell in before if before[cell] != after[cell]}
    assert {cell.split("/")[1] for cell in moved} == {"cpu", "a800"}
    of_a800 = {cell.split("/")[4] for cell in moved if "/a800/" in cell}
    assert "Z3" in of_a800
    assert not {method for method in of_a800 if "F" in method.split("+")}, "these run in train-flash"


def test_a_knob_changes_only_the_cells_with_its_letter(project: Path) -> None:
    before = keys(project)
    methods = project / "config/methods.yaml"
    methods.write_text(methods.read_text().replace("knobs: {zero_stage: 2}", "knobs: {zero_stage: 1}"))
    after = keys(project)
    moved = {cell for cell in before if before[cell] != after[cell]}
    assert moved == {cell for cell in before if "Z2" in cell.split("/")[4].split("+") and before[cell]}


def test_no_field_is_named_after_a_label() -> None:
    assert not [path for path in leaves(PretrainSpec.model_json_schema()) if "label" in path]
