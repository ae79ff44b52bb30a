"""Reference results: what the shipped set holds, how a set grows, and what is shown where it has two of one cell."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from dissect.base.outcome import Phase, Status
from dissect.cells.cell_id import EVERY_CELL
from dissect.cells.exported import ExportedCell, ExportManifest
from dissect.cells.globs import CellGlob, Selection
from dissect.cells.references import REFERENCES_DIR, SETS_DIR, cells_of_set, read_sets, references_of, sets_of
from dissect.cells.spec import canonical_spec
from dissect.cells.study import load_study
from dissect.present.reference_list import reference_list
from dissect.present.tables.table import build_table
from dissect.results.cell_runs import published, read_runs, run_id
from dissect.results.exchange import ExchangeError, Shared, export_cells, read_export, read_unpacked
from dissect.results.reference_sets import add_to_set, publish_references, read_set
from dissect.results.result import Result
from dissect.results.store import Store
from factories import cell_of, ended_result, measured_at, ok_result, pretrain_spec, sample_lines_of

ROOT = Path(__file__).parents[2]
EXPORT_V1 = ROOT / "tests/data/export_v1/export.tar.gz"
BURST = "serve/h200-x2/llama2-7b/lightllm/tuned/r1000-i512-o128-burst-n1"
RUNS = [measured_at(ok_result(pretrain_spec()), minute) for minute in (1, 2)]
FULL = ended_result(pretrain_spec(batch=2), Status.OOM, Phase.BACKWARD, "out of memory")
CELL = cell_of(RUNS[0])


def test_the_shipped_set_is_a_whole_export() -> None:
    assert len(read_set(ROOT / SETS_DIR / "h200")) == 89


def test_lightllm_has_the_protocol_under_which_its_server_was_started() -> None:
    # Commit ff8ac75 gave its web server a longer backlog.
    cells = [cell.runs.newest for cell in read_set(ROOT / SETS_DIR / "h200").values() if "/lightllm/" in cell.id]
    found = Counter((str(cell.provenance.git_commit)[:7], cell.spec.protocol) for cell in cells if cell.provenance)
    assert found == {("ff8ac75", 2): 5, ("6c51fab", 1): 1}


def test_results_of_an_earlier_protocol_are_shown_where_there_is_no_other() -> None:
    catalog, sets = load_study(ROOT, {}).catalog, read_sets(ROOT)
    (found,) = [r for r in references_of("table_small_burst", catalog, sets) if r.cell.framework == "lightllm"]
    assert found.cell.key == "4f66b963cb7a"


def test_rows_have_the_order_of_the_axis_where_models_have_different_methods(project: Path) -> None:
    shutil.copytree(ROOT / SETS_DIR / "h100-x2/pretrain/h100-x2", project / SETS_DIR / "h100-x2/pretrain/h100-x2")
    publish_references(project)
    table = build_table(load_study(project, {"platforms": []}).manifest("table_III"), project).markdown
    rows = re.findall(r"^\| DeepSpeed +\| (\S+)", table, re.MULTILINE)
    letters = ["+".join(letter for letter in method.split("+") if letter in "FR") for method in rows]
    assert {"Z2+O", "Z3", "F+Z2"} < {*rows}
    assert letters == sorted(letters, key=["", "F", "R", "F+R"].index)
    assert rows.index("Z2+O") == rows.index("Z2") + 1


@pytest.mark.parametrize("protocols", [(1, 2), (2, 1), (9, 10)])
@pytest.mark.parametrize("unpacked", [True, False])
def test_the_newest_protocol_is_shown(tmp_path: Path, protocols: tuple[int, int], unpacked: bool) -> None:
    folder = tmp_path / SETS_DIR / "lab"
    keys = {f"{protocol:012x}": protocol for protocol in protocols}
    for key, protocol in keys.items():
        path = folder / "cells" / key / "result.json" if unpacked else folder / BURST / f"{key}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        record = {"spec": {"protocol": protocol}}
        path.write_text(json.dumps(record if unpacked else {"runs": [record]}))
    if unpacked:
        manifest = ExportManifest(schema_version=1, cells={key: ExportedCell(id=BURST, files={}) for key in keys})
        (folder / "manifest.json").write_text(manifest.model_dump_json())
    assert read_sets(tmp_path)["lab"] == {f"{max(protocols):012x}": BURST}


def export_of(folder: Path, *results: Result) -> dict[str, Shared]:
    """What a clone exports that has these runs."""
    store = Store(folder / "store")
    for result in results:
        entry = store.entry(result.key)
        with entry.locked():
            entry.claim(canonical_spec(result.spec))
            entry.write_run(result, sample_lines_of(result.metrics))
    export_cells([cell_of(result) for result in results], store, folder / "export.tar.gz")
    return read_export(folder / "export.tar.gz")


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_set_grows_by_runs_and_not_by_files(tmp_path: Path) -> None:
    lab = tmp_path / SETS_DIR / "lab"
    first = export_of(tmp_path / "one", RUNS[0], FULL)
    assert add_to_set(lab, first) == 2
    assert {key: cell.runs for key, cell in read_set(lab).items()} == {key: cell.runs for key, cell in first.items()}
    before = content_of(lab)
    assert sorted(before) == sorted(
        [f"{CELL.id}/{CELL.key}.json", f"{CELL.id}/{CELL.key}.tar.gz", f"{cell_of(FULL).id}/{FULL.key}.json"]
    ), "a cell without samples has a text only"
    second = export_of(tmp_path / "two", *RUNS)
    assert add_to_set(lab, second) == 1
    grown = content_of(lab)
    assert grown.keys() == before.keys()
    old, new = (text[f"{CELL.id}/{CELL.key}.json"].decode().splitlines() for text in (before, grown))
    assert set(old[1:-2]) <= set(new), "only lines are added, the line of the ids and the ends aside"
    assert read_set(lab)[CELL.key] == second[CELL.key]
    assert add_to_set(lab, second) == add_to_set(lab, first) == 0
    assert content_of(lab) == grown


def test_the_order_of_adding_does_not_matter(tmp_path: Path) -> None:
    exports = [export_of(tmp_path / str(number), run) for number, run in enumerate(RUNS)]
    for name, order in (("a", exports), ("b", exports[::-1])):
        for export in order:
            add_to_set(tmp_path / name, export)
    assert content_of(tmp_path / "a") == content_of(tmp_path / "b")


def test_what_was_cut_off_is_healed_by_adding_again(tmp_path: Path) -> None:
    """Killed, or out of disk, between the archive of the samples and the text that makes them count."""
    lab, text = tmp_path / SETS_DIR / "lab", f"{CELL.id}/{CELL.key}.json"
    add_to_set(lab, export_of(tmp_path / "one", RUNS[0]))
    before, second = (lab / text).read_bytes(), export_of(tmp_path / "two", *RUNS)
    add_to_set(lab, second)
    grown = content_of(lab)
    (lab / text).write_bytes(before)
    assert read_set(lab)[CELL.key].runs.runs == (RUNS[0],)
    assert add_to_set(lab, second) == 1
    assert content_of(lab) == grown


def test_an_unpacked_export_is_a_set_and_becomes_one_of_texts_when_it_grows(tmp_path: Path) -> None:
    lab = tmp_path / SETS_DIR / "lab"
    shutil.unpack_archive(EXPORT_V1, lab)
    before = read_set(lab)
    assert before == read_unpacked(lab)
    publish_references(tmp_path)
    copies = content_of(tmp_path / REFERENCES_DIR)
    assert add_to_set(lab, export_of(tmp_path / "two", *RUNS)) == 2
    assert not (lab / "manifest.json").exists()
    assert not (lab / "cells").exists()
    after = read_set(lab)
    assert after.keys() == {*before, CELL.key}
    assert {key: after[key].runs for key in before} == {key: cell.runs for key, cell in before.items()}
    publish_references(tmp_path)
    for name, data in content_of(tmp_path / REFERENCES_DIR).items():
        if CELL.key not in name and "/cells/" in name and data:
            assert copies[name] == data, "runs and samples are the same"


def test_copies_for_tables_change_only_with_the_set(tmp_path: Path) -> None:
    lab, copies = tmp_path / SETS_DIR / "lab", tmp_path / REFERENCES_DIR
    add_to_set(lab, export_of(tmp_path / "one", RUNS[0], FULL))
    publish_references(tmp_path)
    copy = copies / "lab" / CELL.id / f"{CELL.key}.json"
    assert read_runs(copy).runs == (RUNS[0],)
    stored = Store(copies / "lab/cells").entry(CELL.key)
    assert stored.peek() == read_runs(copy)
    assert (stored.run_files()[0].folder / "steps.jsonl").exists()
    times = {path: path.stat().st_mtime_ns for path in copies.rglob("*.json")}
    for path in lab.rglob("*.json"):
        path.touch()
    publish_references(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in copies.rglob("*.json")} == times
    add_to_set(lab, export_of(tmp_path / "two", RUNS[1]))
    (lab / cell_of(FULL).id / f"{FULL.key}.json").unlink()
    publish_references(tmp_path)
    assert read_runs(copy).runs == tuple(RUNS)
    assert Store(copies / "lab/cells").keys() == {CELL.key}
    shutil.rmtree(lab)
    publish_references(tmp_path)
    assert list(copies.iterdir()) == []


def test_commands_at_once_make_the_same_copies(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / SETS_DIR).symlink_to(ROOT / SETS_DIR)
    program = "import sys; from pathlib import Path; from dissect.results.reference_sets import publish_references; "
    command = [sys.executable, "-c", f"{program}publish_references(Path(sys.argv[1]))", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "scripts")}
    assert [process.wait() for process in [subprocess.Popen(command, env=environment) for _ in range(3)]] == [0, 0, 0]
    copies = sorted(path.stem for path in (tmp_path / REFERENCES_DIR).rglob("*.json") if "cells" not in path.parts)
    assert copies == sorted(key for each in sets_of(tmp_path).values() for key in cells_of_set(each))


def changed_text(data: bytes) -> bytes:
    return data.replace(b'"batch": 1', b'"batch": 9', 1)


def test_a_changed_set_is_named(tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    add_to_set(lab, export_of(tmp_path / "one", *RUNS))
    text, archive = (lab / CELL.id / f"{CELL.key}{suffix}" for suffix in (".json", ".tar.gz"))
    whole, samples = text.read_bytes(), archive.read_bytes()
    strangers = published([(run_id(b"{}"), b"{}")])
    for path, data, says in (
        (text, whole.replace(b'"attempts": 1', b'"attempts": 2', 1), "checksum mismatch: the run "),
        (text, changed_text(whole), "its spec hashes to"),
        (text, whole[:500], "is not a JSON object"),
        (text, strangers, "has schema_version None"),
        (text, json.dumps(json.loads(whole)).encode(), "checksum mismatch: it was written anew"),
        (archive, samples[:-9], "tar.gz: is no gzip file, or truncated"),
        (archive, b"", "tar.gz: is no archive, or truncated"),
    ):
        path.write_bytes(data)
        with pytest.raises(ExchangeError, match=says) as error:
            read_set(lab)
        assert str(error.value).startswith(str(text))
        assert "\n" not in str(error.value)
        text.write_bytes(whole)
        archive.write_bytes(samples)
    assert len(read_set(lab)[CELL.key].runs.runs) == 2


def test_a_broken_cell_keeps_no_other_from_being_copied(tmp_path: Path) -> None:
    lab = tmp_path / SETS_DIR / "lab"
    add_to_set(lab, export_of(tmp_path / "one", RUNS[0], FULL))
    (lab / CELL.id / f"{CELL.key}.json").write_text("{")
    publish_references(tmp_path)
    assert (tmp_path / REFERENCES_DIR / "lab" / CELL.id / f"{CELL.key}.json").read_text() == "{"
    assert read_runs(tmp_path / REFERENCES_DIR / "lab" / cell_of(FULL).id / f"{FULL.key}.json").runs == (FULL,)


def test_the_list_names_runs_starts_machine_dates_and_commit(tmp_path: Path) -> None:
    lab = {"lab": export_of(tmp_path / "one", *RUNS, FULL)}
    facts = ("unknown", "Xeon(R) Platinum 8480+", "2026-03-01", "0123456")
    _, _, whole, _, counted = reference_list(lab, Selection(())).splitlines()
    assert all(fact in whole for fact in ("lab", " 2 ", "1 ok, 1 oom", " 3 ", *facts))
    assert counted == "2 cells with 3 runs in 1 sets; select='*/*/*/*/*/*' lists the cells"
    lines = reference_list(lab, Selection((CellGlob("", EVERY_CELL),))).splitlines()
    assert lines[-1] == "2 cells with 3 runs in 1 sets"
    (line,) = [line for line in lines if CELL.key in line]
    assert all(fact in line for fact in (CELL.id, " ok ", " 2 ", *facts))
