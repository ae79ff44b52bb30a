"""What is called different, best or true on the reference results that the project ships."""

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, get_args

import pytest

import factories as make
from dissect.cells.cell_id import CellId, without_set
from dissect.cells.references import SETS_DIR
from dissect.cells.study import Study, load_study
from dissect.cells.terms import terms_of
from dissect.config.question import AskedStage, Objective, Question
from dissect.present.claims.claims_table import findings
from dissect.present.compare.pairs import PairVerdict, compare
from dissect.present.compare.readings import readings_of
from dissect.present.compare.sides import Side, read_side
from dissect.present.recommend.against import Verdicts
from dissect.present.recommend.answer import HIGHER_IS_BETTER, column_of
from dissect.present.recommend.ask import records_of
from dissect.present.recommend.candidates import candidates
from dissect.present.recommend.standing import Standing
from dissect.results.cell_runs import CellRuns, published, run_id
from dissect.results.reference_sets import publish_references, read_set
from dissect.statistics.judge import RatioVerdict, judge
from dissect.statistics.numbers import Verdict
from page_tables import GPUS, block

ROOT = Path(__file__).parents[2]
SET = "h200"
PLATFORMS = {"platforms": []}
"""No cells but those of the references."""
CELL = "h200-x2/llama2-{}/deepspeed/{}/s350-b1-n2"
INTERVAL = re.compile(r"\[([\d,.]+)–([\d,.]+)\]")
DECIDED = (Verdict.HOLDS, Verdict.FAILS)
TOLD = (Standing.BEHIND, Standing.TIED)
ON_THE_PAGE = {"claims": (r"H0[6-9]|H16", r"h100.*"), "claims-h200": (r"H", r"h200.*@h200-(x1|x2|servers)")}
"""Table of docs/gpus.md -> the claims and the platforms that it shows."""


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration with the reference results as they are."""
    folder = tmp_path_factory.mktemp("shipped")
    shutil.copytree(ROOT / "config", folder / "config")
    for lock in ROOT.glob("envs/*/requirements.txt"):
        (folder / lock.relative_to(ROOT)).parent.mkdir(parents=True)
        shutil.copy(lock, folder / lock.relative_to(ROOT))
    publish_references(folder)
    return folder


@pytest.fixture(scope="module")
def repeated(shipped: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, every run three times to the byte of its numbers, in shared rounds: nothing varies at all."""
    folder = tmp_path_factory.mktemp("repeated")
    shutil.copytree(shipped, folder, dirs_exist_ok=True)
    known = read_set(folder / SETS_DIR / SET)
    for path in [*(folder / SETS_DIR / SET).rglob("*.json")]:
        runs = [run.model_dump_json().encode() for run in make.in_rounds(known[path.stem].runs.runs * 3)]
        path.write_bytes(published((run_id(data), data) for data in runs))
        path.with_suffix(".tar.gz").unlink(missing_ok=True)
    publish_references(folder)
    return folder


def cells_of(project: Path) -> Mapping[str, CellRuns]:
    return {shared.id: shared.runs for shared in read_set(project / SETS_DIR / SET).values()}


def study_of(project: Path) -> Study:
    return load_study(project, PLATFORMS)


def decided_claims(project: Path) -> Iterator[tuple[float | None, float | None]]:
    """The ends of the interval of every claim that is decided by a number."""
    for finding in findings(study_of(project).manifest("claims"), project):
        for case in finding.cases:
            if case.evidence and case.verdict in DECIDED:
                yield case.evidence.result.low, case.evidence.result.high


def told_settings(project: Path) -> Iterator[tuple[float, float]]:
    """The ends of the interval of every pair of settings that any question tells apart, or calls equal."""
    study = study_of(project)
    for stage in get_args(AskedStage):
        rows = candidates(records_of(study, project, stage), terms_of(study.catalog))
        for verdicts in all_verdicts(rows, stage):
            yield from (ends_in(told.words) for _, _, told in verdicts.pairs() if told.standing in TOLD)


def all_verdicts(rows: Sequence[Mapping[str, Any]], stage: AskedStage) -> Iterator[Verdicts]:
    """The verdicts for everything that settings can be ranked by."""
    for objective in get_args(Objective):
        higher = objective in HIGHER_IS_BETTER
        question = Question.model_validate({"stage": stage, "maximise" if higher else "minimise": objective})
        yield Verdicts(rows, column_of(question), higher)


def ends_in(words: str) -> tuple[float, float]:
    """The interval that decides is the last one of the words."""
    low, high = INTERVAL.findall(words)[-1]
    return float(low.replace(",", "")), float(high.replace(",", ""))


def decided_pairs(project: Path) -> Iterator[tuple[float | None, float | None]]:
    """The ends of the interval of every number that ``compare`` decides between any two platforms of the set."""
    platforms = {CellId.parse(cell_id).platform for cell_id in cells_of(project)}
    catalog = study_of(project).catalog
    for names in combinations(sorted(platforms), 2):
        left, right = (read_side("left", f"{name}@{SET}", catalog, project, {}) for name in names)
        for line in compare(left, right, margin=0.05).lines:
            if line.judgement and line.verdict is not PairVerdict.UNCLEAR:
                yield line.judgement.low, line.judgement.high


@pytest.mark.parametrize("decided", [decided_claims, told_settings, decided_pairs])
def test_no_decided_number_has_an_interval_of_no_width(shipped: Path, repeated: Path, decided: Any) -> None:
    """Runs that are equal to the byte are believed no further than runs can repeat."""
    found = list(decided(repeated))
    assert len(found) > 3
    for low, high in [*decided(shipped), *found]:
        assert low is not None
        assert high is not None
        assert low < high


@pytest.mark.parametrize("table", ON_THE_PAGE)
def test_the_page_of_gpus_shows_what_they_say_of_claims(shipped: Path, table: str) -> None:
    claims, platforms = ON_THE_PAGE[table]
    rows = [
        (finding.claim_id, case.label, without_set(finding.platform), case.verdict, case.text)
        for finding in findings(study_of(shipped).manifest("claims"), shipped)
        if re.match(claims, finding.claim_id) and re.fullmatch(platforms, finding.platform)
        for case in finding.cases
        if case.verdict is not Verdict.NOT_MEASURED
    ]
    assert rows
    block(GPUS, table, "| claim | case | on | verdict | numbers |", rows)


def test_commands_that_measure_references_again_select_their_cells(shipped: Path) -> None:
    found = findings(study_of(shipped).manifest("claims"), shipped)
    commands = {case.remedy for finding in found for case in finding.cases if case.remedy}
    selected = [
        re.fullmatch(r"snakemake remeasure --config select='\[?(.*?)\]?' suite=full more=5", each) for each in commands
    ]
    globs = {glob for match in selected if match for glob in match[1].split(",")}
    assert all(selected)
    assert len(globs) > 20
    assert not load_study(shipped, {"select": sorted(globs), "suite": "full"}).unmatched


def test_13b_and_7b_with_adapters_were_measured_on_other_starts(shipped: Path) -> None:
    found = findings(study_of(shipped).manifest("claims"), shipped)
    cases = [case for finding in found if finding.claim_id == "H15" for case in finding.cases]
    verdicts = {case.verdict for case in cases}
    assert Verdict.UNCLEAR in verdicts
    assert not verdicts & {*DECIDED}


@pytest.mark.parametrize("model", ["7b", "13b"])
def test_flash_attention_with_z3_is_not_called_different_from_z3(shipped: Path, model: str) -> None:
    """Of both numbers that tell speed, by themselves and in the family of all settings, whatever is asked for."""
    known = cells_of(shipped)
    ids = [f"pretrain/{CELL.format(model, method)}" for method in ("Z3+ZD", "F+Z3+ZD")]
    sides = [Side(cell_id, {ids[0]: known[cell_id]}) for cell_id in ids]
    assert {line.verdict for line in compare(*sides, margin=0.05).lines} == {PairVerdict.UNCLEAR}
    study = study_of(shipped)
    rows = candidates(records_of(study, shipped, "pretrain"), terms_of(study.catalog))
    numbers = {row["number"] for row in rows if row["key"] in {known[cell_id].key for cell_id in ids}}
    assert len(numbers) == 2
    for verdicts in all_verdicts(rows, "pretrain"):
        assert not [told for *pair, told in verdicts.pairs() if {*pair} == numbers and told.standing in TOLD]


@pytest.mark.parametrize("method", ["Z2", "Z3+ZD", "F+Z2", "F+Z3+ZD"])
def test_a_profile_s_unprofiled_steps_are_not_called_different_from_its_twin(shipped: Path, method: str) -> None:
    known = cells_of(shipped)
    twin, profile = (f"{stage}/{CELL.format('7b', method)}" for stage in ("pretrain", "profile"))
    rate = readings_of(twin, known[twin])["", "tokens_per_s"]
    step = readings_of(profile, known[profile])["step_phase=step", "unprofiled_time_s"]
    of_twin = [replace(run, value=2 * 350 / run.value) for run in rate.runs]
    assert judge(step.runs, of_twin).verdict is RatioVerdict.UNCLEAR
