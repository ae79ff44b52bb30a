"""Reading a result: by the spec that it carries, in any schema version, with a remedy that works."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dissect.base.model import Model, added
from dissect.cells.globs import parse_glob
from dissect.cells.spec import canonical_json, canonical_spec, spec_key
from dissect.cells.study import load_study
from dissect.results import result as results
from dissect.results.result import ResultError, parse_result, read_result
from dissect.results.upgrades import upgraded
from dissect.stages.training.deepspeed.spec import DeepSpeedMethod, PretrainSpec
from factories import ok_result, pretrain_spec

SHIPPED = sorted((Path(__file__).parents[2] / "config/references").glob("*/cells/*/result.json"))


class GrownMethod(DeepSpeedMethod):
    """A method that has learnt something new."""

    overlap: int = added(0)


class GrownSpec(PretrainSpec):
    """A cell with it."""

    method: GrownMethod


def grown(overlap: int) -> str:
    fields = pretrain_spec().model_dump()
    return canonical_spec(GrownSpec.model_validate(fields | {"method": fields["method"] | {"overlap": overlap}}))


def test_an_added_field_enters_a_spec_only_where_it_means_something_new() -> None:
    assert grown(0) == canonical_spec(pretrain_spec())
    assert json.loads(grown(2))["method"]["overlap"] == 2


def test_an_added_field_is_read_where_it_is_missing() -> None:
    assert GrownSpec.model_validate_json(canonical_spec(pretrain_spec())).method.overlap == 0
    assert GrownSpec.model_validate_json(grown(2)).method.overlap == 2


def test_an_added_field_may_be_a_section() -> None:
    class Section(Model):
        size: int = 1

    class Grown(Model):
        old: int
        section: Section = added(Section())

    assert Grown(old=1).model_dump() == {"old": 1}
    assert Grown(old=1, section=Section(size=2)).model_dump() == {"old": 1, "section": {"size": 2}}


def test_a_result_is_judged_by_the_spec_as_it_was_stored() -> None:
    record = json.loads(ok_result(pretrain_spec()).model_dump_json())
    del record["spec"]["sampling"]["window_s"]  # stored before the field existed
    record["key"] = spec_key(canonical_json(record["spec"]))
    result = parse_result(json.dumps(record).encode())
    assert result.key == record["key"] != spec_key(canonical_spec(result.spec))


def renamed(record: dict[str, Any]) -> dict[str, Any]:
    """To a version in which the attempts are called tries."""
    return {("tries" if name == "attempts" else name): value for name, value in record.items()}


def kept_apart(record: dict[str, Any]) -> dict[str, Any]:
    """To a version in which the seed of the workload stands at the top."""
    return record | {"seed": record["spec"].get("workload", {}).get("seed")}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_upgrades_lead_from_the_shipped_version_to_the_newest(path: Path) -> None:
    record = json.loads(path.read_bytes())
    before = json.loads(path.read_bytes())
    newest = upgraded(record, {1: renamed, 2: kept_apart})
    assert (newest["schema_version"], newest["tries"]) == (3, before["attempts"])
    assert newest["spec"] == before["spec"]
    assert record == before, "an upgrade is pure"
    assert upgraded(record) == before, "version 1 is the newest that was ever written"


def test_an_upgraded_result_keeps_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def from_zero(record: dict[str, Any]) -> dict[str, Any]:
        seconds = record["spec"]["sampling"].pop("budget_minutes") * 60
        return record | {"spec": record["spec"] | {"sampling": record["spec"]["sampling"] | {"budget_s": seconds}}}

    def all_upgrades(record: dict[str, Any]) -> dict[str, Any]:
        return from_zero(json.loads(json.dumps(record))) | {"schema_version": 1}

    record = json.loads(ok_result(pretrain_spec()).model_dump_json())
    record["spec"]["sampling"]["budget_minutes"] = record["spec"]["sampling"].pop("budget_s") / 60
    record |= {"schema_version": 0, "key": spec_key(canonical_json(record["spec"]))}
    monkeypatch.setattr(results, "upgraded", all_upgrades)
    result = parse_result(json.dumps(record).encode())
    assert result.key == record["key"]
    assert result.spec == pretrain_spec()


@pytest.mark.parametrize("version", [0, 2, "1", None, 1.5])
def test_an_unknown_version_is_refused_in_one_sentence(version: object) -> None:
    with pytest.raises(ValueError, match=r"^has schema_version .*, this version of the project reads up to 1$"):
        upgraded({"schema_version": version})


CELL = "pretrain/cpu/llama-tiny/deepspeed/Z2/s128-b1-n2"
REMEDIES: dict[str, Callable[[str], bool]] = {
    f"results/cells/{CELL}/0123456789ab.json": lambda text: text.endswith(f"remeasure --config select='{CELL}'"),
    "results/references/h200/cells/8026d821abbc/result.json": lambda text: "config/references/h200" in text,
    "results/store/8026d821abbc/result.json": lambda text: "remove it and measure the cell again" in text,
}


@pytest.mark.parametrize("place", REMEDIES)
def test_the_remedy_fits_the_place(place: str, tmp_path: Path, project: Path) -> None:
    with pytest.raises(ResultError) as error:
        read_result(tmp_path / place)
    assert REMEDIES[place](str(error.value))
    if "select=" in str(error.value):  # what is printed is a glob that can be given back
        assert parse_glob(CELL, load_study(project, {}).catalog, "--config select").matches(CELL)
