"""What FlashAttention saves, over several runs."""

from pathlib import Path

import pytest

import factories as make
from dissect.cells.manifest import ManifestCell
from dissect.present.tables.tidy import read_records, tidy_rows
from dissect.present.tables.views import VIEWS


def profiled(project: Path, method: str, attention: str, forward_s: float) -> ManifestCell:
    spec = make.ddp_profile_spec(attention=attention)
    runs = [make.ok_result(spec, make.profile_metrics(spec, forward_s * factor)) for factor in (0.99, 1.0, 1.01)]
    return make.published_cell(project, *make.in_rounds(runs), platform="h200", method=method)


def test_a_cell_saves_nothing_over_itself(tmp_path: Path) -> None:
    cells = [
        profiled(tmp_path, "F", "flash_attention_2", 0.05),
        profiled(tmp_path, "Naive", "eager", 0.06),
    ]
    rows = tidy_rows(read_records(make.manifest("table_VIII", cells, {"kind": "pivot"}), tmp_path), VIEWS["attention"])
    names = ("improvement", "improvement_low", "improvement_high")
    saved = {row["method"]: [row[name] for name in names] for row in rows if row["module"] == "attention"}
    value, low, high = saved["F"]
    assert low < value < high
    assert value == pytest.approx(1 - 17.5 / 25.8)
    assert saved["Naive"] == [0, None, None]
