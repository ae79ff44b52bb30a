"""The fixture of the tests that measure serving cells."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving_bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    assert made.processes() == [], "no process outlives its test"
