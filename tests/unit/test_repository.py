"""What surrounds the code: workflows and forms of GitHub, hooks, the catalogue, and one version everywhere."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted(GITHUB.glob("workflows/*.yml"))
FORMS = sorted(GITHUB.glob("ISSUE_TEMPLATE/*.yml"))
KINDS = {"markdown", "input", "textarea", "dropdown", "checkboxes"}


def read(path: Path) -> dict[str, Any]:
    return YAML(typ="safe", pure=True).load(path.read_text())


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_there_is_what_a_project_needs() -> None:
    assert [path.stem for path in WORKFLOWS] == ["check", "docs", "results", "tests"]
    assert [path.stem for path in FORMS] == ["bug", "engine", "results"]
    assert (GITHUB / "PULL_REQUEST_TEMPLATE.md").exists()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_run_targets_that_exist_and_may_only_read(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert all(job["timeout-minutes"] <= 180 for job in workflow["jobs"].values())
    run = [step["run"] for step in steps if "run" in step]
    named = [target for command in run for target in re.findall(r"^make ([a-z-]+)", command)]
    assert set(named) <= make_targets()
    scripts = [word for command in run for word in command.split() if word.startswith(".ci/")]
    assert named or scripts
    assert all((ROOT / script).exists() for script in scripts)
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"]) for step in steps if "uses" in step)


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_forms_have_what_github_asks_for(path: Path) -> None:
    form = read(path)
    assert {"name", "description", "body"} <= form.keys()
    ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert len(ids) == len(set(ids))
    assert {field["type"] for field in form["body"]} <= KINDS
    for field in form["body"]:
        assert "value" in field["attributes"] if field["type"] == "markdown" else "label" in field["attributes"]


def test_hooks_use_the_tools_of_the_lock() -> None:
    locked = (ROOT / "envs/workflow/requirements.txt").read_text()
    (repository,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        program, tool = hook["entry"].split()[0].rsplit("/", 1)
        assert program == ".venv/bin"
        assert f"\n{tool}==" in locked


def test_the_catalogue_finds_what_it_asks_for() -> None:
    """Of its page on standardised usage all but the place of the Snakefile, which CONTRIBUTING.md explains."""
    readme = (ROOT / "README.md").read_text().lower()
    assert "snakemake" in readme
    assert "workflow" in readme
    assert (ROOT / "Snakefile").exists()
    assert list(ROOT.glob("rules/*.smk"))
    usage = read(ROOT / ".snakemake-workflow-catalog.yml")["usage"]
    profile = usage["mandatory-flags"]["flags"].removeprefix("--profile ")
    assert (ROOT / profile / "config.yaml").exists()
    page = (ROOT / "config/README.md").read_text()
    listed = {name.split("<")[0].rstrip("/") for name in re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)}
    assert listed == {path.name for path in (ROOT / "config").iterdir()} - {"README.md"}


def test_the_version_is_one() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    citation = read(ROOT / "CITATION.cff")
    released = re.search(r"^## (\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released
    assert (citation["version"], str(citation["date-released"])) == released.groups()
    assert version == citation["version"]
