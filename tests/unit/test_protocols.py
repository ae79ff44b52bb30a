"""A runner's protocol number is pinned to what it measures with, so that raising it cannot be forgotten."""

import ast
import hashlib
import json
import re
import tomllib
from pathlib import Path

import pytest

from dissect.base.registry import DEVICES
from dissect.cells.runners import Runner, runners
from goldens import check_golden

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"
MEASURING = (
    "dissect.measure",
    "dissect.workloads",
    "dissect.config.adapters",
    "dissect.machine",
    "dissect.ranks",
    "dissect.stages",
)
"""Packages whose code can change a number; configuration and specs are in the key anyway."""
PARENT = "dissect.measure.life"
"""Whatever runs in the parent, for every runner; it finds the devices' modules in the registry."""


def source_of(module: str) -> Path | None:
    path = SCRIPTS / Path(*module.split("."))
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.exists()), None)


def settings_of(module: str) -> list[Path]:
    """What a program is given as a file: ``<module>_<program>.toml`` beside its module."""
    source = source_of(module)
    return sorted(source.parent.glob(f"{source.stem}_*.toml")) if source else []


def imports_of(tree: ast.Module) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name.startswith(MEASURING)}


def closure(module: str) -> dict[str, ast.Module]:
    found: dict[str, ast.Module] = {}
    waiting = [module, PARENT, *DEVICES.values()]
    while waiting:
        name = waiting.pop()
        if name in found or (source := source_of(name)) is None:
            continue
        found[name] = ast.parse(source.read_text())
        waiting += sorted(imports_of(found[name]))
        if source.name == "__init__.py" and found[name].body:  # a package with code imports what it finds in it
            waiting += sorted(f"{name}.{module.stem}" for module in source.parent.glob("[!_]*.py"))
    return found


def without_docstrings(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [s for s in body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    return ast.dump(tree)


def sources_sha256(runner: Runner) -> str:
    modules = closure(runner.module)
    texts = [f"{name} {without_docstrings(tree)}" for name, tree in sorted(modules.items())]
    texts += [json.dumps(tomllib.loads(path.read_text())) for name in sorted(modules) for path in settings_of(name)]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def command_of(stage: str) -> str:
    text = (ROOT / f"rules/{stage}.smk").read_text()
    if inherited := re.match(r"use rule measure_(\w+) as", text):
        return command_of(inherited[1])
    common = re.search(r'^MEASURE = "(.*)"$', (ROOT / "rules/common.smk").read_text(), re.MULTILINE)
    text = (ROOT / f"rules/{stage}.smk").read_text()
    if base := re.search(r"^use rule measure_(\w+) as", text):
        return command_of(base[1])
    rule = re.search(r'MEASURE \+ "(.*)"$', text, re.MULTILINE)
    assert common
    assert rule
    return common[1] + rule[1]


def pinned() -> str:
    facts = {
        f"{stage}/{framework}": {
            "protocol": runner.protocol,
            "sources_sha256": sources_sha256(runner),
            "command": command_of(stage),
        }
        for (stage, framework), runner in runners().items()
    }
    return json.dumps(facts, indent=1, sort_keys=True) + "\n"


def test_what_measures_is_pinned() -> None:
    # It differs? Raise `protocol` in its declaration if a runner now measures something else; then
    # write it anew with UPDATE_GOLDEN=1. A change that leaves the numbers alone keeps its protocol, and all results.
    check_golden("protocols.json", pinned())


@pytest.mark.parametrize("comment", ["# a comment\n", '"""A docstring."""\n', "\n\n"])
def test_comments_change_nothing(comment: str) -> None:
    assert without_docstrings(ast.parse(comment + "x = 1\n")) == without_docstrings(ast.parse("x = 1\n"))


def test_the_closure_reaches_parent_and_ranks() -> None:
    found = closure(runners()["finetune", "deepspeed"].module)
    assert {
        "dissect.stages.training.deepspeed.finetune",
        "dissect.stages.training.deepspeed.trainer",
        "dissect.config.adapters.lora",
    } <= set(found)
    assert {"dissect.ranks.steps", "dissect.ranks.supervise"} <= set(found)
