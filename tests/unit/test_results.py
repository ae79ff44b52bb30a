"""Reading a result: by the spec that it carries, in any schema version, with a remedy that works."""

import json
from pathlib import Path
from typing import Any

import pytest

from dissect.base.model import Model, added
from dissect.cells.cell import Cell
from dissect.cells.cell_id import PARTS
from dissect.cells.spec import canonical_json, canonical_spec, spec_key
from dissect.results import result as results
from dissect.results.atomic import write_atomically
from dissect.results.cell_runs import read_runs
from dissect.results.exchange import export_cells, import_cells, read_export
from dissect.results.result import ResultError, parse_result
from dissect.results.store import Store
from dissect.results.upgrades import upgraded
from dissect.stages.training.deepspeed.spec import DeepSpeedMethod, PretrainSpec
from factories import ok_result, pretrain_spec

SHIPPED = sorted((Path(__file__).parents[2] / "config/references").glob("*/*/*/*/*/*/*/*.json"))


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


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_upgrades_lead_from_the_shipped_version_to_the_newest(path: Path) -> None:
    record = json.loads(path.read_bytes())["runs"][0]
    before = json.loads(path.read_bytes())["runs"][0]
    newest = upgraded(record, {1: renamed, 2: kept_apart})
    assert (newest["schema_version"], newest["tries"]) == (3, before["attempts"])
    assert newest["spec"] == before["spec"]
    assert record == before, "an upgrade is pure"
    assert upgraded(record) == before, "version 1 is the newest that was ever written"


@pytest.fixture
def earlier(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A record of a version before the first, in which a budget was counted in minutes; there is an upgrade for it."""

    def to_first(record: dict[str, Any]) -> dict[str, Any]:
        sampling = dict(record["spec"]["sampling"])
        sampling["budget_s"] = sampling.pop("budget_minutes") * 60
        return record | {"spec": record["spec"] | {"sampling": sampling}, "schema_version": 1}

    record = json.loads(ok_result(pretrain_spec()).model_dump_json())
    record["spec"]["sampling"]["budget_minutes"] = record["spec"]["sampling"].pop("budget_s") / 60
    monkeypatch.setattr(results, "upgraded", to_first)
    return record | {"schema_version": 0, "key": spec_key(canonical_json(record["spec"]))}


def test_an_upgraded_result_keeps_its_key(earlier: dict[str, Any]) -> None:
    result = parse_result(json.dumps(earlier).encode())
    assert result.key == earlier["key"]
    assert result.spec == pretrain_spec()


def test_an_export_of_an_earlier_version_comes_in_as_it_was(earlier: dict[str, Any], tmp_path: Path) -> None:
    theirs, ours, key = Store(tmp_path / "theirs"), Store(tmp_path / "ours"), earlier["key"]
    theirs.entry(key).claim(canonical_json(earlier["spec"]))
    write_atomically(theirs.entry(key).folder / "result.json", json.dumps(earlier).encode())
    cell = Cell(**dict.fromkeys(PARTS, "x"), n_gpus=1, seq_len=1, batch=1, launcher="", key=key)
    assert export_cells([cell], theirs, tmp_path / "export.tar.gz") == (1, 1, 0, [])
    assert import_cells(read_export(tmp_path / "export.tar.gz"), ours, {}).added == 1
    assert ours.entry(key).runs() == [parse_result(json.dumps(earlier).encode())]
    assert ours.entry(key).run_files()[0].data() == json.dumps(earlier).encode()


@pytest.mark.parametrize("stage", [[], {}, None, 3, "unknown"])
def test_a_spec_of_no_stage_is_refused_in_one_sentence(stage: object) -> None:
    record = json.loads(ok_result(pretrain_spec()).model_dump_json())
    record["spec"]["stage"] = stage
    with pytest.raises(ValueError, match=r"^does not fit the schema: spec"):
        parse_result(json.dumps(record).encode())


@pytest.mark.parametrize("version", [0, "1", None, 1.5])
def test_an_unknown_version_is_refused_in_one_sentence(version: object) -> None:
    with pytest.raises(ValueError, match=r"^has schema_version .*, which is none of 1 to 1$"):
        upgraded({"schema_version": version})


def test_a_result_of_a_later_version_is_kept_and_says_what_to_do(tmp_path: Path) -> None:
    result = ok_result(pretrain_spec())
    entry = Store(tmp_path).entry(result.key)
    newer = json.dumps(json.loads(result.model_dump_json()) | {"schema_version": 2, "new": 1})
    path = entry.folder / "result.json"
    write_atomically(path, newer.encode())
    for read in (lambda: read_runs(path), entry.runs):
        with pytest.raises(ResultError) as error:
            read()
        says = "has schema_version 2, this version of the project reads up to 1; update the project"
        assert str(error.value) == f"{path}: {says}"
    assert path.read_text() == newer, "nothing is measured over it"


CELL = "pretrain/cpu/llama-tiny/deepspeed/Z2/s128-b1-n2"
REMEDIES = {
    f"results/cells/{CELL}/0123456789ab.json": "remove it and run 'snakemake all' or 'cells' again",
    f"results/references/h200/{CELL}/0123456789ab.json": "restore config/references/h200",
    f"references/mine/results/cells/{CELL}/0123456789ab.json": "or remove it and run ",
    "cells/mine/results/store/8026d821abbc/result.json": "or remove it and run ",
}


@pytest.mark.parametrize("place", REMEDIES)
def test_the_remedy_fits_the_place(place: str, tmp_path: Path) -> None:
    with pytest.raises(ResultError) as error:
        read_runs(tmp_path / place)
    assert REMEDIES[place] in str(error.value)
