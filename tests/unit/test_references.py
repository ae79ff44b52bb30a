"""Reference results: what the shipped set holds, and which result is shown where a set has two of one cell."""

import json
from collections import Counter
from pathlib import Path

import pytest

from dissect.cells.exported import ExportedCell, ExportManifest
from dissect.cells.references import SETS_DIR, read_sets, references_of
from dissect.cells.study import load_study
from dissect.results.exchange import read_unpacked

ROOT = Path(__file__).parents[2]
BURST = "serve/h200/llama2-7b/lightllm/tuned/r1000-i512-o128-burst-n1"


def test_the_shipped_set_is_a_whole_export() -> None:
    assert len(read_unpacked(ROOT / SETS_DIR / "h200")) == 89


def test_lightllm_has_the_protocol_under_which_its_server_was_started() -> None:
    # Commit ff8ac75 gave its web server a longer backlog.
    cells = [cell.runs.newest for cell in read_unpacked(ROOT / SETS_DIR / "h200").values() if "/lightllm/" in cell.id]
    found = Counter((str(cell.provenance.git_commit)[:7], cell.spec.protocol) for cell in cells if cell.provenance)
    assert found == {("ff8ac75", 2): 5, ("6c51fab", 1): 1}


def test_results_of_an_earlier_protocol_are_shown_where_there_is_no_other() -> None:
    catalog, sets = load_study(ROOT, {}).catalog, read_sets(ROOT)
    (found,) = [r for r in references_of("table_small_burst", catalog, sets) if r.cell.framework == "lightllm"]
    assert found.cell.key == "4f66b963cb7a"


@pytest.mark.parametrize("protocols", [(1, 2), (2, 1), (9, 10)])
def test_the_newest_protocol_is_shown(tmp_path: Path, protocols: tuple[int, int]) -> None:
    folder = tmp_path / SETS_DIR / "lab"
    keys = {f"{protocol:012x}": protocol for protocol in protocols}
    for key, protocol in keys.items():
        (folder / "cells" / key).mkdir(parents=True)
        (folder / "cells" / key / "spec.json").write_text(json.dumps({"protocol": protocol}))
    manifest = ExportManifest(cells={key: ExportedCell(id=BURST, files={}) for key in keys})
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    assert list(read_sets(tmp_path)["lab"].cells) == [f"{max(protocols):012x}"]
