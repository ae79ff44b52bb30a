"""What a policy of a serving engine was: in every CSV, and below a table where one name stands for several settings."""

from pathlib import Path

import factories as make
from dissect.cells.manifest import Manifest
from dissect.present.tables.lay_out import lay_out
from dissect.present.tables.tidy import read_records

LAYOUT = {
    "kind": "pivot", "view": "serving", "rows": ["framework", "method"], "split": ["platform"],
    "values": ["output_tokens_per_s"],
}  # fmt: skip


def engines(project: Path, reference: str | None = None) -> Manifest:
    """The policies of two engines: ``aligned`` as of today, ``tuned`` with the defaults that it once had."""
    cells = []
    for engine in ("vllm", "sglang"):
        for policy in ("tuned", "aligned"):
            spec = make.serve_spec(engine=engine, aligned=policy == "aligned")
            cell = make.published_cell(project, make.ok_result(spec), platform="h200", method=policy)
            cells.append(cell.model_copy(update={"reference": reference}))
    return make.manifest("table_serving", cells, LAYOUT)


def test_a_csv_has_the_settings_of_each_cell(tmp_path: Path) -> None:
    manifest = engines(tmp_path)
    laid = lay_out(manifest, read_records(manifest, tmp_path))
    told = {(row["framework"], row["method"]): row["settings"] for row in laid.rows}
    assert told["vllm", "tuned"] == "defaults"
    assert told["vllm", "aligned"].startswith(
        "max_sequences 256, memory_share 0.9, chunked_prefill True, cache_reserve"
    )


def test_a_table_says_what_the_policies_of_shipped_results_were(tmp_path: Path) -> None:
    """They may have been measured before a policy changed, and keep its name."""
    manifest = engines(tmp_path, "h200")
    _, _, (grid,) = lay_out(manifest, read_records(manifest, tmp_path))
    (said,) = [each for each in grid.remarks if each.startswith("Policies as they were")]
    assert "measured: tuned of vLLM, SGLang: defaults; aligned of vLLM, SGLang: max_sequences 256, " in said
    own = engines(tmp_path)
    _, _, (grid,) = lay_out(own, read_records(own, tmp_path))
    assert not [each for each in grid.remarks if each.startswith("Policies")]
