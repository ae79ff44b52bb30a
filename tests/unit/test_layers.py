"""docs/design.md lists the same packages, in the same order, as the layers that import-linter checks."""

import ast
import re
import tomllib
from collections import Counter
from pathlib import Path

from dissect.present.code_digest import SUFFIXES, code_digest

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "scripts/dissect"


def layers() -> list[str]:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (packages,) = [contract["layers"] for contract in contracts if contract.get("containers") == ["dissect"]]
    return packages


def test_the_design_page_lists_the_layers_as_the_linter_has_them() -> None:
    page = (ROOT / "docs/design.md").read_text()
    assert re.findall(r"^\| `(\w+)/` \|", page, re.MULTILINE) == layers()


def test_every_module_is_in_a_layer() -> None:
    assert {path.name for path in LIBRARY.iterdir() if path.suffix != ".pyc"} - {"__init__.py", "__pycache__"} == {
        *layers()
    }


def test_a_name_of_a_module_means_one_thing() -> None:
    # Each stage has its measure.py, and its rank.py where it forks ranks; each framework the files of its folder.
    shared = {
        "__init__",
        "declaration",
        "finetune",
        "knobs",
        "measure",
        "memory",
        "model_states",
        "pretrain",
        "rank",
        "roofline",
        "scaling",
        "spec",
        "step_memory",
        "step_work",
    }
    names = Counter(path.stem for path in LIBRARY.rglob("*.py"))
    assert [name for name, times in names.items() if times > 1 and name not in shared] == []


def test_a_name_of_a_class_means_one_thing() -> None:
    trees = [ast.parse(path.read_text()) for path in LIBRARY.rglob("*.py")]
    names = Counter(node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    assert [name for name, times in names.items() if times > 1] == []


def test_only_code_draws_tables_again(tmp_path: Path) -> None:
    files = [path for path in (ROOT / "scripts").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {path.suffix for path in files} == SUFFIXES
    (tmp_path / "table.py").write_text("1")
    before = code_digest(tmp_path)
    (tmp_path / "notes.txt").write_text("stray")
    assert code_digest(tmp_path) == before
    (tmp_path / "table.py").write_text("2")
    assert code_digest(tmp_path) != before
