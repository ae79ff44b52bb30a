"""The project grows and loses nothing: fields are added to its models, and what was measured stays what it was."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clones import ROOT, new_clone
from dissect.cells.references import publish_references
from dissect.cells.study import load_study
from dissect.config.claims import CLAIMS
from dissect.present.claims.claims_table import build_claims
from dissect.present.tables.table import build_table
from goldens import check_golden
from growing import MODELS, add_field

pytestmark = pytest.mark.slow
LOOK = Path(__file__).with_name("look_at_everything.py")
DATA = ROOT / "tests/data/export_v1"


def look(scripts: Path, project: Path) -> dict[str, Any]:
    done = subprocess.run([sys.executable, LOOK, scripts, project], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with its reference results published, as every parsing does."""
    clone = new_clone(tmp_path_factory.mktemp("grown"))
    shutil.copytree(ROOT / "config/references/h200", clone.folder / "config/references/h200")
    publish_references(clone.folder)
    return clone.folder


@pytest.fixture(scope="module")
def today(project: Path) -> dict[str, Any]:
    return look(ROOT / "scripts", project)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_field_is_added(name: str, project: Path, today: dict[str, Any], tmp_path: Path) -> None:
    scripts = tmp_path / "scripts"
    shutil.copytree(ROOT / "scripts", scripts, ignore=shutil.ignore_patterns("__pycache__"))
    add_field(scripts, name, "growth")
    grown = look(scripts, project)
    assert today["results"] == len(list(project.glob("results/references/*/cells/*/result.json"))) > 80
    assert grown["keys"] == today["keys"]
    assert grown == today


def test_the_keys_are_those_of_the_first_version(today: dict[str, Any]) -> None:
    # A key that changes here is a cell that everybody measures again: a protocol was raised, or something broke.
    keys = "".join(f"{key or '-':12} {cell}\n" for cell, key in sorted(today["keys"].items()))
    check_golden("keys.txt", keys)


def test_an_export_of_the_first_version_gives_the_tables_of_the_first_version(tmp_path: Path) -> None:
    # tests/data/export_v1: the smoke suite of commit 2e97148 on a CPU, and the tables that this commit made of it. A
    # table that is meant to change, by its words or columns, is written anew with UPDATE_GOLDEN=1.
    clone = new_clone(tmp_path)
    clone.snakemake("import", "--config", f"file={DATA / 'export.tar.gz'}", profile=None)
    study = load_study(clone.folder, {})
    for path in sorted((DATA / "tables").glob("*.csv")):
        manifest = study.manifest(path.stem)
        build = build_claims if path.stem == CLAIMS else build_table
        check_golden(f"../data/export_v1/tables/{path.name}", build(manifest, clone.folder).csv)
