"""Fixtures of the tests that measure."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from measure_bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    (tmp_path / "marks").mkdir()
    yield Bench(tmp_path)
    left = [p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(p.info["cmdline"] or [])]
    assert left == [], "no rank outlives its test"
