"""Whether results from others can join the reference results."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dissect.answers import validating
from dissect.base.outcome import Flag
from dissect.cells.study import load_study
from dissect.config.errors import ConfigError
from dissect.results.exchange import ExchangeError
from dissect.results.reference_sets import read_set

ROOT = Path(__file__).parents[2]
CELL = "pretrain/h100-x2/llama2-7b/ddp/Naive/s350-b1-n2"
SENT = ROOT / "config/references/h100-x2" / CELL


@pytest.fixture
def sent(project: Path) -> Path:
    """A set of one cell that somebody sent."""
    folder = project / "config/references/theirs"
    shutil.copytree(SENT, folder / CELL)
    return folder


def validate(project: Path, **given: Any) -> list[str]:
    return validating.answer(load_study(project, given), project, given).splitlines()


@pytest.mark.usefixtures("sent")
def test_cells_of_this_configuration_can_be_accepted(project: Path) -> None:
    first, remark = validate(project, into="theirs")
    assert re.fullmatch(r"config/references/theirs: 1 cells with \d+ runs can be accepted", first)
    assert remark.startswith(f"  {CELL}: ")
    assert "interval_not_reached, launch_bound" in remark


def test_an_unknown_platform_must_come_with_its_file(project: Path, sent: Path) -> None:
    (sent / CELL.replace("h100-x2", "lab")).parent.mkdir(parents=True)
    (sent / CELL).rename(sent / CELL.replace("h100-x2", "lab"))
    with pytest.raises(
        ExchangeError, match=r"1 faults keep .*\n  pretrain/lab/.*: unknown platform: config/platforms/lab\.yaml"
    ):
        validate(project, into="theirs")
    path = project / "config/platforms"
    shutil.copy(path / "h100-x2.yaml", path / "lab.yaml")
    assert "1 cells with" in validate(project, into="theirs")[0]
    (path / "lab.yaml").write_text((path / "lab.yaml").read_text().replace("memory_gib: 256", "memory_gib: 255"))
    with pytest.raises(ExchangeError, match="this configuration gives it another key"):
        validate(project, into="theirs")


@pytest.mark.parametrize(
    ("origin", "flags", "fault"),
    [
        ({"git_dirty": True}, [], "measured with files that differ from commit "),
        ({"git_commit": None}, [], "measured outside a git repository"),
        ({}, [Flag.HARDWARE_MISMATCH], r"differs from its platform file \(hardware_mismatch\)"),
    ],
)
def test_what_cannot_be_traced_is_refused(
    project: Path, sent: Path, monkeypatch: pytest.MonkeyPatch, origin: dict[str, Any], flags: list[Flag], fault: str
) -> None:
    ((key, cell),) = read_set(sent).items()
    run = cell.runs.newest
    assert run.provenance
    provenance = run.provenance.model_copy(update=origin)
    changed = run.model_copy(update={"provenance": provenance, "flags": [*run.flags, *flags]})
    monkeypatch.setattr(
        validating, "read_set", lambda _: {key: replace(cell, runs=replace(cell.runs, runs=(changed,)))}
    )
    with pytest.raises(ExchangeError, match=f"{CELL}: .*{fault}"):
        validate(project, into="theirs")


def test_a_changed_number_is_no_result(project: Path, sent: Path) -> None:
    (path,) = sent.rglob("*.json")
    document = json.loads(path.read_text())
    document["runs"][0]["metrics"]["tokens_per_s"]["median"] = 9e9
    path.write_text(json.dumps(document))
    with pytest.raises(ExchangeError, match="theirs"):
        validate(project, into="theirs")


def test_what_is_validated_must_be_named(project: Path) -> None:
    with pytest.raises(ConfigError, match="found neither file nor into"):
        validate(project)
    with pytest.raises(ConfigError, match="unknown set of reference results 'thiers'"):
        validate(project, into="thiers")
