"""The project grows and loses nothing: fields are added to its models, and what was measured stays what it was."""

import csv
import importlib
import io
import re
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import ruamel.yaml

from clones import ROOT, Clone, new_clone
from dissect.config.claims import CLAIMS
from dissect.config.kinds import LETTER_STAGES
from dissect.statistics.numbers import Verdict
from goldens import check_golden
from growing import MODELS, add_field
from look_at_everything import csv_tables, keys, look, table_iii

pytestmark = pytest.mark.slow
YAML = ruamel.yaml.YAML()
DATA = ROOT / "tests/data/export_v1"
EXPORT = DATA / "export.tar.gz"


def ask(clone: Clone, question: Callable[[Path], Any] = look) -> Any:
    """What a clone's own sources answer, in a process that has everything but them imported already."""
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        return pool.submit(_ask, clone.folder, question).result()


def _ask(folder: Path, question: Callable[[Path], Any]) -> Any:
    for name in [name for name in sys.modules if name.partition(".")[0] == "dissect"]:
        del sys.modules[name]
    sys.path.insert(0, str(folder / "scripts"))
    answer = vars(importlib.reload(sys.modules[question.__module__]))[question.__name__](folder)
    assert Path(str(sys.modules["dissect.base.model"].__file__)).is_relative_to(folder), "other sources are in the way"
    return answer


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """The project with its reference results and the cells of the export, both published."""
    clone = as_first_measured(tmp_path_factory.mktemp("grown"))
    shutil.copytree(ROOT / "config/references/h200", clone.folder / "config/references/h200")
    clone.snakemake("import", "--config", f"file={EXPORT}", profile=None)
    return clone


def as_first_measured(folder: Path) -> Clone:
    """A clone of today's code that asks for the cells of the export, which has protocol 1 and its windows."""
    clone = new_clone(folder)
    clone.own_scripts()
    for framework in ("deepspeed", "megatron"):
        declaration = clone.folder / f"scripts/dissect/stages/training/{framework}/declaration.py"
        declaration.write_text(re.sub(r"protocol=\d+", "protocol=1", declaration.read_text()))
    clone.edit("config/platforms/cpu.yaml", "  dtype: fp32\n", "")
    clone.edit("scripts/dissect/stages/training/deepspeed/declaration.py", 'or "authors"', 'or "deepspeed"')
    raised = ' + (arrival.kind == "poisson" and arrival.rate is not None)'
    clone.edit("scripts/dissect/cells/serving_cells.py", raised, "")
    for path in sorted((clone.folder / "config/experiments").glob("*.yaml")):
        with_deepspeed_alone(path)
        path.write_text(path.read_text().replace("tgi, sglang,", "tgi,"))
    with_earlier_claims(clone.folder / "config/references/paper.yaml")
    sampling = "{sampling: {warmup_min_steps: 3, window_s: 60}}"
    globs = [f'  "{stage}/cpu/*/*/*/*": {sampling}' for stage in LETTER_STAGES]
    clone.edit("config/config.yaml", "overrides: {}", "\n".join(["overrides:", *globs]))
    return clone


def with_deepspeed_alone(path: Path) -> None:
    """Give a table the methods of the suite ``smoke`` as they were before it had DDP, each with DeepSpeed."""
    data = YAML.load(path)
    axes, smoke = data.get("axes", {}), data.get("suites", {}).get("smoke", {})
    if not {"ddp", "fsdp"} & {*axes.get("framework", [])}:
        return
    axes["framework"] = [name for name in axes["framework"] if name not in ("ddp", "fsdp")]
    by_framework = smoke.get("method", {"deepspeed": ["Naive"]})
    kept = [by_framework.get(name, []) for name in ("ddp", "deepspeed")]
    axes["method"] = smoke["method"] = [method for methods in kept for method in methods if method != "BS"]
    YAML.dump(data, path)


def with_earlier_claims(path: Path) -> None:
    """Give the claims on Tables II and IX, and on servers, the cells that they read before."""
    text = re.sub(r"\n  (H0\d-(?:DeepSpeed|documented)|H16-.+):(\n   .*)+", "", path.read_text())
    text = re.sub(r"framework: deepspeed, (method: \[?L)", r"\1", text)
    text = text.replace("method: [tuned, defaults]", "method: tuned")
    path.write_text(
        text.replace("framework: ddp", "framework: deepspeed").replace("megatron, ddp", "megatron, deepspeed")
    )


@pytest.fixture(scope="module")
def today(project: Clone) -> dict[str, Any]:
    return ask(project)


@pytest.fixture
def grown(project: Clone, tmp_path: Path) -> Clone:
    """A copy of it whose sources may be edited."""
    clone = project.copy(tmp_path / "grown")
    clone.own_scripts()
    return clone


def test_a_field_is_added_to_every_model(grown: Clone, today: dict[str, Any]) -> None:
    assert today["results"] > 120
    assert len(MODELS) > 60
    for name in MODELS:
        add_field(grown.folder / "scripts", name, f"growth_of_{name.lower()}")  # no two can make up for one another
    assert ask(grown) == today


def test_a_metric_that_earlier_results_lack_is_shown_as_not_measured(grown: Clone) -> None:
    add_field(grown.folder / "scripts", "TrainingMetrics", "growth")
    grown.edit(
        "scripts/dissect/config/layout.py", "TrainingQuantity = Literal[", 'TrainingQuantity = Literal["growth",'
    )
    first = "_QUANTITIES: tuple[Quantity, ...] = ("
    quantity = 'Quantity("growth", "Growth", "", "", lambda m: m.metrics.growth, absent="not measured"),'
    grown.edit("scripts/dissect/present/tables/training_view.py", first, first + quantity)
    grown.edit("config/experiments/table_III.yaml", "layout: {", "layout: {values: [growth], ")
    shown = ask(grown, table_iii)
    rows = list(csv.DictReader(shown.csv.splitlines()))
    assert {row["growth"] for row in rows} == {""}
    assert {row["status"] for row in rows} >= {"ok"}
    assert "n/a: not measured" in shown.markdown


def test_the_keys_are_those_of_this_version() -> None:
    # A key that changes here is a cell that everybody measures again: a protocol was raised, or something broke.
    check_golden("keys.txt", "".join(f"{key or '-':12} {cell}\n" for cell, key in sorted(keys(ROOT).items())))


def test_an_export_of_the_first_version_gives_the_numbers_of_the_first_version(tmp_path: Path) -> None:
    # tests/data/export_v1: the smoke suite of commit 2e97148 on a CPU, and the tables that this commit made of it. They
    # stay as they are. Every value is still the same. What was called an interval was one of the steps of a single run:
    # one run has none, so the columns of intervals are empty and no claim about a number is decided. A check is said in
    # more words, and so is a platform that the paper does not name.
    clone = as_first_measured(tmp_path)
    clone.snakemake("import", "--config", f"file={EXPORT}", profile=None)
    tables = ask(clone, csv_tables)
    for path in sorted((DATA / "tables").glob("*.csv")):
        before = list(csv.DictReader(path.open(encoding="utf-8")))
        # Table I did not say the data type then.
        now = [row for row in csv.DictReader(io.StringIO(tables[path.stem])) if row.get("fact") != "Data type"]
        assert len(now) == len(before)
        for old, new in zip(before, now, strict=True):
            assert not [name for name in new if OF_INTERVAL.fullmatch(name) and new[name]]
            if path.stem == CLAIMS and old["id"] in OF_EIGHT_GPUS:
                assert new["verdict"] == Verdict.NOT_MEASURED
                continue
            values = [name for name in old if not OF_INTERVAL.fullmatch(name)]
            if path.stem == CLAIMS:
                is_decided = old["first"] and old["verdict"] != Verdict.NOT_MEASURED
                assert new["verdict"] == (Verdict.UNCLEAR if is_decided else old["verdict"])
                values = [name for name in values if name not in SAID_OTHERWISE]
            if "unsupported" in (old.get("status"), old.get("reason", "")[:11]):
                values.remove("reason")  # what is missing differs: more engines run on CPUs
            assert [_number(new[name]) for name in values] == [pytest.approx(_number(old[name])) for name in values]


OF_EIGHT_GPUS = ("H16", "H17")
"""Claims whose throughputs are those of eight GPUs, which was not asked then."""
SAID_OTHERWISE = ("check", "verdict", "numbers", "result", "stated_for")
OF_INTERVAL = re.compile(r"(?!expected).*_(low|high)")


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
