"""The framework and the engine of docs/extending.md, added to a copy of the project and measured for real."""

import json
import re
import shutil
from typing import Any

import pytest

from clones import ROOT, Clone
from shown import blocks

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
PAGE = "docs/extending.md"


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    folder = tmp_path_factory.mktemp("extended")
    for name in ("config", "envs", "profiles", "rules", "scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", folder)
    for name in (".venv", ".envs"):
        (folder / name).symlink_to(ROOT / name)
    for block in blocks(PAGE):
        if re.search(r"[/ ]\S+\.\w+$", block.info):
            block.write(folder)
    return Clone(folder)


def measured(clone: Clone, cell: str) -> dict[str, Any]:
    """Measure one cell; its result, as plain JSON: this process does not know what the copy was taught."""
    clone.snakemake("cells", "--config", f"select={cell}")
    (path,) = (clone.folder / "results/cells" / cell).glob("*.json")
    return json.loads(path.read_bytes())


def test_the_framework_of_the_docs_trains(extended: Clone) -> None:
    result = measured(extended, "pretrain/cpu/llama-tiny/plain/Naive/s128-b1-n2")
    assert (result["status"], result["reason"]) == ("ok", None)
    metrics = result["metrics"]
    assert metrics["attention_kernel"] == "eager"
    assert metrics["last_loss"] < metrics["first_loss"]


def test_the_engine_of_the_docs_serves(extended: Clone) -> None:
    result = measured(extended, "serve/cpu/llama-tiny/generate/tuned/r16-i64-o16-burst-n1")
    assert (result["status"], result["reason"]) == ("ok", None)
    assert result["metrics"]["completion_tokens"] == 16 * 16
