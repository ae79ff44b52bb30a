"""docs/gpus.md shows every profile on H200, as it was measured.

With UPDATE_GOLDEN=1 in the environment the table is written instead, as after new reference results.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from dissect.cells.cell_id import CellId
from dissect.metrics.profile import ProfileMetrics
from dissect.results.cell_runs import read_runs
from dissect.results.result import Result
from page_tables import GPUS, block

ROOT = Path(__file__).parents[2]
SETS = ROOT / "config/references"
PROFILES = (
    "| GPUs | framework | method | batch | runs | step (ms) | profiled step (ms) | compute kernels (ms) | idle (%) "
    "| attention forward (ms) | backward (ms) | cell (s) |"
)


def profiled() -> Iterator[tuple[CellId, list[Result]]]:
    """The profiles on H200, on one GPU and on two."""
    for name in ("h200-x1", "h200-x2"):
        for path in sorted((SETS / name / "profile").rglob("*.json")):
            yield CellId.parse(str(path.parent.relative_to(SETS / name))), read_runs(path).runs


def dissected(runs: list[Result]) -> list[ProfileMetrics]:
    return [run.metrics for run in runs if isinstance(run.metrics, ProfileMetrics)]


def test_every_profile_on_h200_is_on_the_page() -> None:
    """Medians over the runs, in ms on rank 0."""
    rows = []
    for cell, runs in profiled():
        found = dissected(runs)
        phases = [each.dissection.phases for each in found]
        whole = [sum(phase.overall_s for phase in of) for of in phases]
        busy = [sum(phase.busy_s for phase in of) for of in phases]
        rows.append(
            [
                cell.workload[-1],
                cell.framework,
                cell.method,
                cell.workload.split("-")[1].removeprefix("b"),
                len(found),
                f"{1e3 * median(each.training.step_time_s.median for each in found):,.0f}",
                f"{1e3 * median(whole):,.0f}",
                f"{1e3 * median(sum(phase.compute_s for phase in of) for of in phases):,.0f}",
                f"{100 * median(1 - b / w for b, w in zip(busy, whole, strict=True)):.1f}",
                *(f"{1e3 * median(attention_s(each, way) for each in found):.1f}" for way in ("forward", "backward")),
                f"{median(run.durations.total_s for run in runs):.0f}",
            ]
        )
    assert len(rows) == 11
    block(GPUS, "h200-profiles", PROFILES, rows)


def attention_s(metrics: ProfileMetrics, direction: str) -> float:
    """Seconds of the kernels of all attention modules in a step."""
    groups = metrics.dissection.groups
    return sum(each.time_s for each in groups if (each.part, each.direction) == ("attention", direction))


def test_attention_on_one_h200_stands_beside_a_plain_loop() -> None:
    """tests/plain_attention.py printed tests/data/plain_attention_h200.csv, which also has the date and the start."""
    plain = list(csv.DictReader((ROOT / "tests/data/plain_attention_h200.csv").read_text().splitlines()))
    ways = [[float(each[f"{way}_ms"]) for each in plain[:2]] for way in ("forward", "backward")]
    page = " ".join(GPUS.read_text().split())
    shorter = [100 * (1 - flash / eager) for eager, flash in ways]
    assert f"shortens the forward pass by {shorter[0]:.0f} % and the backward pass by {shorter[1]:.0f} %" in page
    assert {
        run.provenance.start.boot_id
        for cell, runs in profiled()
        if cell.workload == "s350-b1-n1"
        for run in runs
        if run.provenance and run.provenance.start
    } == {each["start"] for each in plain}
    found = {cell.method: dissected(runs) for cell, runs in profiled() if cell.workload == "s350-b1-n1"}
    told, kernels = [], []
    for method, *alone in zip(("Naive", "F"), *ways, strict=True):
        own = [1e3 * median(attention_s(each, way) for each in found[method]) for way in ("forward", "backward")]
        told.append(f"{own[0]:.1f} and {own[1]:.1f} ms, {alone[0]:.1f} and {alone[1]:.1f}")
        core = [each for each in found[method][0].dissection.groups if each.part == "attention_core"]
        kernels.append(sum(each.calls for each in core if each.direction == "forward") / 32)
    assert f"| {'; '.join(told)} ms |" in page
    [many] = [dissected(runs) for cell, runs in profiled() if (cell.framework, cell.method) == ("ddp", "R")]
    own = [1e3 * median(attention_s(each, way) for each in many) for way in ("forward", "backward")]
    alone = [float(plain[2][f"{way}_ms"]) for way in ("forward", "backward")]
    assert f"| {own[0]:.1f} and {own[1]:.1f} ms, {alone[0]:.1f} and {alone[1]:.1f} ms |" in page
    assert kernels == [8, 9]


def test_idle_shares_of_steps_of_one_sequence() -> None:
    told = []
    for gpus, method in (("1", "Naive"), ("2", "Naive"), ("2", "Z2")):
        [runs] = [of for cell, of in profiled() if (cell.method, cell.workload) == (method, f"s350-b1-n{gpus}")]
        phases = [each.dissection.phases for each in dissected(runs)]
        idle = [100 * (1 - sum(p.busy_s for p in of) / sum(p.overall_s for p in of)) for of in phases]
        told.append(f"{min(idle):.0f} to {max(idle):.0f} %")
    words = f"for {told[0]} of the step with Naive on one GPU, {told[1]} on two, and {told[2]} with Z2"
    assert words in " ".join(GPUS.read_text().split())


def test_steps_after_the_change_of_the_hosts_pace() -> None:
    """Those of the last two rounds on one GPU, in their order."""
    told = []
    for method in ("F", "Naive"):
        [runs] = [of for cell, of in profiled() if (cell.method, cell.workload) == (method, "s350-b1-n1")]
        rounds = {run.round.number: each for run, each in zip(runs, dissected(runs), strict=True) if run.round}
        last = [f"{1e3 * rounds[number].training.step_time_s.median:.0f}" for number in (4, 5)]
        told.append(f"{' and '.join(last)} ms")
    words = f"In the last two rounds F took {told[0]}, Naive {told[1]}."
    assert words in " ".join(GPUS.read_text().split())
