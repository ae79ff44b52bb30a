"""The search for settings of ZeRO-3, on two real ranks with a tiny Llama."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from dissect.cells.spec import canonical_spec
from factories import hardware, pretrain_spec
from forked_ranks import TINY, shortened

pytestmark = [pytest.mark.e2e, pytest.mark.torch]

SCRIPT = Path(__file__).parents[2] / "scripts" / "search_zero3_sizes.py"
LAYERS = '{"reduce_bucket":5000,"prefetch":50000,"persistence":1000,"whole_layers":true}'


def search(*options: str, **method: object) -> subprocess.CompletedProcess[str]:
    spec = pretrain_spec(
        hardware(n_gpus=2, device="cpu"), batch=2, seq_len=32, model=TINY, optimizer="torch_adamw", **method
    )
    command = [sys.executable, str(SCRIPT), canonical_spec(shortened(spec, "fp32")), *options]
    return subprocess.run(command, capture_output=True, text=True)


def test_every_setting_is_measured(tmp_path):
    found = search("--sizes", "authors", "--sizes", LAYERS, "--csv", str(tmp_path / "rows.csv"), zero_stage=3)
    assert found.returncode == 0, found.stderr
    assert (tmp_path / "rows.csv").read_text() == found.stdout
    rows = list(csv.DictReader(found.stdout.splitlines()))
    assert [row["sizes"] for row in rows] == ["authors", LAYERS]
    for row in rows:
        assert row["outcome"] == "ok"
        assert 0 < float(row["step_s"]) < 60
        assert 0 < float(row["peak_gib"]) < 4


def test_other_cells_and_settings_are_refused_in_a_sentence():
    assert "expected a cell of pre-training with Z3" in search(zero_stage=2).stderr
    assert "argument --sizes" in search("--sizes", '{"prefetch": 0}', zero_stage=3).stderr
