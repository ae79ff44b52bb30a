"""``make gpu-smoke`` where there is no GPU: one sentence, and nothing is left behind."""

import subprocess
import sys
from pathlib import Path

import pytest

from clones import Clone


@pytest.mark.skipif(bool(list(Path("/dev").glob("nvidia[0-9]*"))), reason="this machine has GPUs")
@pytest.mark.parametrize("words", [[], ["h200"]], ids=["described", "declared"])
def test_without_a_gpu_nothing_is_launched(fresh: Clone, words: list[str]) -> None:
    command = [sys.executable, str(fresh.folder / "scripts/gpu_smoke.py"), *words]
    done = subprocess.run(command, cwd=fresh.folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    (command_shown,) = [line for line in done.stdout.splitlines() if line.startswith("$ ")]
    assert f"llm_dissect.py {'ready' if words else 'describe name=here'}" in command_shown
    sentence = done.stderr.strip()
    assert "\n" not in sentence
    assert "no NVML: " in sentence
    assert not (fresh.folder / "config/platforms/here.yaml").exists()
    assert not (fresh.folder / "results/store").exists()
