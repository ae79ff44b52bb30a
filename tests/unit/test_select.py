"""``select``: which cells its globs take, and what is refused."""

import re
from pathlib import Path

import pytest
from snakemake.cli import parse_config

from dissect.cells.cell import Cell
from dissect.cells.overriding import Override
from dissect.cells.point import AxesPoint
from dissect.cells.resolve import CELL_OF
from dissect.cells.study import load_study, refuse_empty_globs, suite_of
from dissect.config.catalog import Catalog
from dissect.config.errors import ConfigError
from dissect.config.files import typed


@pytest.mark.parametrize(
    ("glob", "methods"),
    [
        ("pretrain/cpu/*/deepspeed/Z2*/*", {"Z2", "Z2+O"}),
        ("pretrain/cpu/*/deepspeed/O+Z2/*", {"Z2+O"}),
        ("*/cpu/llama-*/*/[NQ]*/*-b1-*", {"Naive", "Q", "QL", "QL+F+R", "QL+F+R+CO"}),
    ],
)
def test_select_takes_what_it_matches(project: Path, glob: str, methods: set[str]) -> None:
    assert {c.method for c in load_study(project, {"select": glob}).selected} == methods


@pytest.mark.parametrize(
    ("text", "globs"),
    [
        ("[serve/h200/*/vll?/*/*, serve/cpu]", ["serve/h200/*/vll?/*/*", "serve/cpu"]),
        ("[*/h200/*,'?/cpu', \"a\"]", ["*/h200/*", "?/cpu", "a"]),
        ("[serve/h[12]00]", ["serve/h[12]00"]),
        ("[serve/h[1,2]00, serve/cpu]", ["serve/h[1,2]00", "serve/cpu"]),
        ("[[ps]*/h[1,2,4]00/[!,]*, *[,], s*]", ["[ps]*/h[1,2,4]00/[!,]*", "*[,]", "s*"]),
        ("[*/a,, s*,]", ["*/a", "", "s*", ""]),
        ("[ps]*/cpu/s[0-9]", "[ps]*/cpu/s[0-9]"),
    ],
)
def test_a_list_on_the_command_line_takes_every_wildcard(text: str, globs: str | list[str]) -> None:
    assert typed(parse_config([f"select={text}"])["select"]) == globs


def test_select_reaches_every_known_platform_and_no_manifest(project: Path) -> None:
    plain = load_study(project, {})
    made = load_study(project, {"select": "pretrain/h200/*/deepspeed/Z3+O/*"})
    assert {c.platform for c in made.selected} == {"h200"}
    assert {name: made.manifest(name) for name in made.experiments} == {
        name: plain.manifest(name) for name in plain.experiments
    }
    assert made.targets == plain.targets


@pytest.mark.parametrize(
    ("glob", "suite", "hint"),
    [("pretrain/cpu/*/ddp/R/*", "smoke", "; suite=full has "), ("pretrain/cpu/*/*/*/no-such-workload", "full", None)],
)
def test_select_of_nothing_is_refused(project: Path, glob: str, suite: str, hint: str | None) -> None:
    given = {"select": ["*/*/*/*/*/*", glob], "suite": suite}
    made = load_study(project, given)
    assert made.unmatched == [glob]
    sentence = re.escape(f"--config select: '{glob}' matches no cell of the suite '{suite}'{hint or ''}")
    with pytest.raises(ConfigError, match=sentence if hint else sentence + "$"):
        refuse_empty_globs(made, project, given)
    refuse_empty_globs(load_study(project, {"select": "*/*/*/*/*/*"}), project, {})


SMOKE, FULL = (f"pretrain/cpu/llama-tiny/{method}/s128-b1-n2" for method in ("deepspeed/Z2", "ddp/R"))


@pytest.mark.parametrize(
    ("cells", "suite"),
    [
        ([SMOKE], "smoke"),
        ([SMOKE, FULL], "full"),
        ([FULL, FULL.replace("b1", "b7")], None),
        ([FULL.replace("cpu", "elsewhere")], None),
        ([FULL.replace("cpu/llama-tiny", "h200-x2/llama2-7b").replace("s128", "s350")], "full"),
    ],
)
def test_the_suite_that_has_all_cells(project: Path, cells: list[str], suite: str | None) -> None:
    assert suite_of(cells, load_study(project, {}).catalog) == suite


def test_the_suite_that_has_the_cell_of_an_override(project: Path) -> None:
    study = load_study(project, {"overrides": {"pretrain/cpu/*/ddp/R/*": {"hardware": {"n_gpus": 1}}}})
    cells = FULL, FULL.replace("n2", "n1")
    assert [suite_of([cell], study.catalog) for cell in cells] == [None, "full"]


def test_of_cells_that_are_not_selected_no_spec_is_made(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, cell_of = set(), CELL_OF["pretrain"]

    def noted(point: AxesPoint, catalog: Catalog, overrides: list[Override]) -> Cell:
        made.add((point.platform, point.method))
        return cell_of(point, catalog, overrides)

    monkeypatch.setitem(CELL_OF, "pretrain", noted)
    study = load_study(project, {"select": "pretrain/h200/*/*/Z2/*"})
    assert {(cell.platform, cell.method) for cell in study.selected} == {("h200", "Z2")}
    assert {method for platform, method in made if platform == "h200"} == {"Z2"}
    assert {platform for platform, _ in made} == {"cpu", "h200"}, "those of the configured platform are in the tables"
