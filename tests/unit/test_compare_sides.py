"""What is read as a side of a comparison: this clone, exports and sets of reference results."""

import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import factories as make
from dissect.answers import comparing
from dissect.base.outcome import Status
from dissect.cells.any_spec import parse_spec
from dissect.cells.spec import TrainingSpec, canonical_spec
from dissect.cells.study import load_study
from dissect.config.catalog import load_catalog
from dissect.config.errors import ConfigError
from dissect.present.compare.pairs import nearest_platforms
from dissect.present.compare.readings import readings_of
from dissect.present.compare.sides import Side, read_side
from dissect.results.exchange import ExchangeError
from dissect.results.result import Result

CELL = "pretrain/h200/llama2-7b/deepspeed/F/s350-b1-n4"


def reference_set(project: Path, result: Result, cell_id: str) -> Path:
    """A set of reference results of one cell."""
    folder = project / "config/references/theirs"
    cell = folder / "cells" / result.key
    cell.mkdir(parents=True)
    steps = [{"step": n, "part": "measured", "seconds": [0.2]} for n in range(40)]
    files = {
        "spec.json": canonical_spec(result.spec).encode(), "result.json": result.model_dump_json().encode(),
        "steps.jsonl": "".join(json.dumps(step) + "\n" for step in steps).encode(),
    }  # fmt: skip
    for name, data in files.items():
        (cell / name).write_bytes(data)
    hashes = {name: sha256(data).hexdigest() for name, data in files.items()}
    manifest = {"schema_version": 1, "cells": {result.key: {"id": cell_id, "files": hashes}}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def read(project: Path, given: Any, **command_line: Any) -> Side:
    return read_side("left", given, load_catalog(project, command_line), project, command_line)


def test_a_set_of_reference_results_is_a_side(project: Path) -> None:
    folder = reference_set(project, make.ok_result(make.pretrain_spec()), CELL)
    found = read(project, "h200@theirs")
    assert list(found.cells) == [CELL]
    assert found.name == "h200@theirs"
    assert found.has_references
    assert readings_of(CELL, found.cells[CELL])["", "tokens_per_s"].number.value > 0
    assert len(read(project, ["theirs", "theirs"]).cells[CELL].runs) == 1, "a run counts once"
    with pytest.raises(ConfigError, match="found no finished cell in 'a800@theirs'"):
        read(project, "a800@theirs")
    with pytest.raises(ConfigError, match=r"found no finished cell in 'theirs' that 'serve/\*/\*/\*/\*/\*' matches"):
        read(project, "theirs", select="serve/*/*/*/*/*")
    next(folder.glob("cells/*/steps.jsonl")).write_text("")
    with pytest.raises(ExchangeError, match="was changed after the export"):
        read(project, "theirs")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (None, "--config left: found nothing, expected 'results', a file"),
        ("nowhere.tar.gz", "--config left: found 'nowhere.tar.gz', expected 'results'"),
        ("h300@results", "unknown platform 'h300'; did you mean 'h200'?"),
        ("results", "found no finished cell in 'results'"),
    ],
)
def test_a_bad_side_is_one_sentence(given: str | None, sentence: str, project: Path) -> None:
    with pytest.raises(ConfigError, match=r"^[^\n]+$") as error:
        read(project, given)
    assert sentence in str(error.value)


def test_a_file_that_is_no_export_is_no_side(project: Path) -> None:
    (project / "README.md").write_text("# Cells\n")
    with pytest.raises(ExchangeError, match=r"^[^\n]*README\.md: is no gzip file, [^\n]*; it is no export, or one to"):
        read(project, "README.md")


@pytest.mark.parametrize(("right", "says"), [(None, "nothing"), ("nowhere.tar.gz", "'nowhere.tar.gz'")])
def test_neither_side_is_read_before_both_are_found(right: str | None, says: str, project: Path) -> None:
    (project / "README.md").write_text("no export, which reading it would say\n")
    given = {"left": "README.md", "right": right}
    with pytest.raises(ConfigError, match=f"^--config right: found {says}, expected 'results'"):
        comparing.answer(load_study(project, given), project, given)


def test_finished_cells_of_this_clone_are_a_side(project: Path) -> None:
    [cell, *_] = [cell for cell in load_study(project, {}).by_path.values() if cell.stage == "pretrain"]
    folder = project / "results/store" / str(cell.key)
    folder.mkdir(parents=True)
    spec = parse_spec(str(cell.canonical))
    assert isinstance(spec, TrainingSpec)
    (folder / "result.json").write_text(make.ended_result(spec, Status.TIMEOUT, None, "late").model_dump_json())
    assert list(read(project, "results").cells) == [cell.id]


def test_sides_of_several_platforms_without_a_common_cell_name_two_that_match(shipped: Path) -> None:
    sides = {"left": "h100-x2", "right": "h200-x2"}
    lines = comparing.answer(load_study(shipped, sides), shipped, sides).splitlines()
    assert lines[0].startswith("h200-x2 against h100-x2: 0 cells are on both sides")
    [words] = [line.rpartition(": ")[2] for line in lines if line.startswith("Their platforms differ")]
    named = dict(word.split("=") for word in words.split())
    assert named == {"left": "h100-x2@h100-x2", "right": "h200-x2@h200-x2"}
    text = comparing.answer(load_study(shipped, named), shipped, named)
    assert "Their platforms differ" not in text
    assert int(re.search(r": (\d+) cells are on both sides", text)[1]) > 10  # type: ignore[index]


def test_only_platforms_that_a_side_can_name_are_named(project: Path) -> None:
    """An export has those of another clone."""
    runs = make.cell_runs(make.ok_result(make.pretrain_spec()))
    cells = {
        platform: [CELL.replace("h200", platform).replace("/F/", f"/{method}/") for method in methods]
        for platform, methods in {"theirbox": "FR", "a800": "F", "h200": "FR"}.items()
    }
    theirs = Side("theirs", dict.fromkeys([*cells["theirbox"], *cells["a800"]], runs))
    ours = Side("ours", dict.fromkeys(cells["h200"], runs))
    known = load_catalog(project, {}).platforms
    assert nearest_platforms(theirs, ours, {*known, "theirbox"}) == ("theirbox", "h200")
    assert nearest_platforms(theirs, ours, known) == ("a800", "h200")
    assert nearest_platforms(ours, theirs, known) == ("h200", "a800")
    assert nearest_platforms(Side("theirs", dict.fromkeys(cells["theirbox"], runs)), ours, known) is None
