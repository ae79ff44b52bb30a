"""The order of a serving cell's steps, recorded as it is measured: what is started, and what the server is asked."""

import json
import os
import subprocess
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

import factories as make
from dissect.base.registry import ENGINES
from dissect.cells.software import workflow_python
from dissect.cells.spec import ServeSpec, Software, canonical_spec
from protocols import check_protocol, shown
from yaml_models import architecture

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
RECORD = [str(ROOT / "envs/run"), f"client@{workflow_python()}", "--", "python", str(ROOT / "tests/record_server.py")]


def spec_of(engine: str) -> ServeSpec:
    on = make.hardware(n_gpus=1, device="cpu").model_copy(update={"environment": {"OMP_NUM_THREADS": "1"}})
    sizes = {"requests": 10, "input_tokens": 32, "output_tokens": 8, "warmup_requests": 2}
    spec = make.serve_spec(on, engine=engine, model=architecture("llama-tiny"), **sizes)
    return spec.model_copy(update={"software": Software(), "client": Software()})


def start(spec: ServeSpec, cell: Path) -> "subprocess.Popen[str]":
    cell.mkdir()
    environment = {name: os.environ[name] for name in ("PATH", "HOME")}
    return subprocess.Popen(
        [*RECORD, canonical_spec(spec), str(cell)], cwd=ROOT, env=environment, stdout=PIPE, text=True
    )


def steps(cell: Path) -> list[Any]:
    lines = (cell / "calls/parent.jsonl").read_text().replace(str(cell), "<cell>").splitlines()
    return shown([json.loads(line) for line in lines])


def test_order_of_steps(tmp_path: Path) -> None:
    """All engines at once: a server that answers at once stands in for each, so nothing is waited for but a CPU."""
    cells = {name: tmp_path / name for name in ENGINES}
    running = {name: start(spec_of(name), cell) for name, cell in cells.items()}
    for name, process in running.items():
        said = process.communicate(timeout=300)[0]
        if said.split() == ["ok", "None", "2"]:  # the load generator lost a record, so the load was sent twice
            cells[name] = tmp_path / f"{name} again"
            said = start(spec_of(name), cells[name]).communicate(timeout=300)[0]
        assert said.split() == ["ok", "None", "1"]
        check_protocol("serve", name, "steps", steps(cells[name]))
