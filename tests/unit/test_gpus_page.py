"""docs/gpus.md shows every training cell of the sets of protocol 2, as it was measured.

With UPDATE_GOLDEN=1 in the environment the tables are written instead, as after new reference results.
"""

import csv
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from dissect.base.outcome import Status
from dissect.base.units import GIB
from dissect.cells.cell_id import CellId
from dissect.cells.references import read_sets
from dissect.cells.study import load_study
from dissect.metrics.serving import ServingMetrics
from dissect.metrics.training import TrainingMetrics
from dissect.present.recommend.answer import answer
from dissect.present.recommend.answer_text import answer_text
from dissect.present.recommend.ask import gather
from dissect.present.tables.rate_views import search_of
from dissect.results.cell_runs import CellRuns, read_runs
from dissect.results.result import Result
from dissect.statistics.quantiles import quantile
from page_tables import GPUS, PREDICTION, block

ROOT = Path(__file__).parents[2]
SETS = ROOT / "config/references"
HEADER = "| framework | method | batch | runs | step (s) | device time (s) | GiB per GPU | cell (s) |"
CELLS = {"h100-x2": 39, "h200-x2": 56, "h200": 27, "h200-x2-te": 2, "h100-x4-24g": 2}
"""Platform -> number of its training cells that were launched."""


def launched(platform: str) -> Iterator[tuple[CellId, CellRuns]]:
    """The training cells of a platform that were launched, over all sets of today's protocol."""
    for name in ("h100-x2", "h200-x2", "h200-x1", "h100-x4"):
        for path in sorted((SETS / name).rglob("*.json")):
            cell, runs = CellId.parse(str(path.parent.relative_to(SETS / name))), read_runs(path)
            if cell.platform == platform and cell.stage != "profile" and runs.newest.status is not Status.SKIPPED_OOM:
                yield cell, runs


def row(cell: CellId, runs: CellRuns) -> list[object]:
    """A row of the page: medians over the runs, and the largest peak."""
    _, batch, gpus = cell.workload.split("-")
    batch = batch.removeprefix("b")
    seconds = f"{median(run.durations.total_s for run in runs.runs):.0f}"
    measured = [run.metrics for run in runs.runs if isinstance(run.metrics, TrainingMetrics)]
    if not measured:
        assert runs.newest.status is Status.OOM
        return [cell.framework, cell.method, batch, len(runs.runs), "out of memory", "", "", seconds]
    if batch == "max":
        batch = f"max: {measured[-1].batch}"
    if gpus == "n1" and cell.platform != "h200":
        batch += ", on one GPU"
    step = median(metrics.step_time_s.median for metrics in measured)
    device = median(metrics.device_time_s or 0 for metrics in measured)
    peak = max(metrics.peak_memory_bytes for metrics in measured) / GIB
    return [cell.framework, cell.method, batch, len(runs.runs), f"{step:.3f}", f"{device:.3f}", f"{peak:.1f}", seconds]


@pytest.mark.parametrize("platform", CELLS)
def test_every_cell_is_on_the_page(platform: str) -> None:
    found = list(launched(platform))
    assert len(found) == CELLS[platform]
    rows, header = [row(cell, runs) for cell, runs in found], HEADER
    if len({cell.model for cell, _ in found}) > 1:
        header = f"| model {HEADER}"
        rows = [[cell.model.removeprefix("llama2-").upper(), *of] for (cell, _), of in zip(found, rows, strict=True)]
    block(GPUS, platform, header, rows)


@pytest.mark.parametrize("folder", [path for path in SETS.iterdir() if path.is_dir()], ids=lambda path: path.name)
def test_cells_and_runs_of_a_set_are_counted(folder: Path) -> None:
    cells = [read_runs(path) for path in folder.rglob("*.json")]
    [line] = [line for line in GPUS.read_text().splitlines() if line.startswith(f"| `{folder.name}` |")]
    assert f"| {len(cells)}, {sum(len(cell.runs) for cell in cells)} |" in line


def test_cells_on_one_h200_stand_beside_plain_loops() -> None:
    """tests/plain_steps.py printed tests/data/plain_steps_h200.csv, which also has the date and the start."""
    cells = {
        (cell.model, cell.framework, cell.method, cell.workload): row(cell, runs) for cell, runs in launched("h200")
    }
    steps, states = [], []
    for plain in csv.DictReader((ROOT / "tests/data/plain_steps_h200.csv").read_text().splitlines()):
        framework, method = ("ddp", "Naive") if plain["trains"] == "all" else ("deepspeed", "L")
        *_, step, _, peak, _ = cells[plain["model"], framework, method, f"s350-b{plain['batch']}-n1"]
        times = f"{step} and {float(plain['step_s']):.3f} s"
        if framework == "ddp":
            steps.append(times)
        else:
            states.append(f"{times}, {peak} and {float(plain['peak_gib']):.1f} GiB")
    assert (len(steps), len(states)) == (2, 2)
    assert f"| {'; '.join(steps)} |" in GPUS.read_text()
    assert f"| {'; '.join(states)} |" in GPUS.read_text()


def test_13b_and_7b_on_one_h200() -> None:
    """Steps of LoRA with 7B, how many times its device time 13B needs, and the tokens/s that this would cost."""
    found = {(cell.model, cell.method): runs for cell, runs in launched("h200")}
    steps = [each.step_time_s.median for each in trained(found["llama2-7b", "L"])]
    small, large = (
        [median(each.device_time_s or 0 for each in trained(found[model, method])) for method in ("L", "QL")]
        for model in ("llama2-7b", "llama2-13b")
    )
    ratios = [of / to for of, to in zip(large, small, strict=True)]
    page = " ".join(GPUS.read_text().split())
    assert f"took {min(steps):.3f} to {max(steps):.3f} s" in page
    assert f"13B needs {ratios[0]:.2f} times 7B's device time with L and {ratios[1]:.2f} times with QL" in page
    less = [100 * (1 - 1 / ratio) for ratio in ratios]
    assert f"show as {less[0]:.0f} and {less[1]:.0f} % fewer tokens/s" in page


def test_70b_on_one_h200() -> None:
    found = {cell.method: trained(runs) for cell, runs in launched("h200") if cell.model == "llama2-70b"}
    [(ql,), (all_of_it,)] = found["QL"], found["QL+F+R"]
    memory = [
        [f"{size / GIB:.1f}" for size in (m.nvml_peak_memory_bytes, m.peak_memory_bytes)] for m in (ql, all_of_it)
    ]
    seconds = [f"{each.step_time_s.median:.3f} s" for each in (ql, all_of_it)]
    (driver, own), (less, own_less) = memory
    told = (
        f"takes {seconds[0]} and {driver} GiB as the driver counts them ({own} GiB of the allocator), "
        f"with F and R {seconds[1]} and {less} GiB ({own_less} GiB), one run each"
    )
    assert told in " ".join(GPUS.read_text().split())


def test_lora_with_zero_2_and_offloading_on_two_h200() -> None:
    """Steps in the rounds that both share, and the tokens/s of all runs without offloading."""
    found = {cell.method: runs for cell, runs in launched("h200-x2") if cell.method in ("L+Z2", "L+Z2+O")}
    by_round = {
        method: {
            (run.round.id, run.round.number): step
            for run, step in zip(runs.runs, steps(runs), strict=True)
            if run.round
        }
        for method, runs in found.items()
    }
    plain, offloaded = by_round["L+Z2"], by_round["L+Z2+O"]
    ratios = [offloaded[which] / plain[which] for which in plain.keys() & offloaded.keys()]
    speeds = [2 * 350 / step for step in steps(found["L+Z2"])]
    page = " ".join(GPUS.read_text().split())
    assert len(ratios) == 5
    assert f"steps were {min(ratios):.2f} to {max(ratios):.2f} times as long" in page
    assert f"LoRA with ZeRO-2 reaches {min(speeds):,.0f} to {max(speeds):,.0f} tokens/s" in page


def steps(runs: CellRuns) -> list[float]:
    return [each.step_time_s.median for each in trained(runs)]


def trained(runs: CellRuns) -> list[TrainingMetrics]:
    return [run.metrics for run in runs.runs if isinstance(run.metrics, TrainingMetrics)]


def test_cells_without_a_run_are_counted() -> None:
    found = [read_runs(path).newest.status for path in (SETS / "h100-x2").rglob("*.json")]
    assert f"{found.count(Status.SKIPPED_OOM)} cells of Tables II, III, IV and IX" in GPUS.read_text()


@pytest.mark.parametrize(("table", "label"), [("table_III", "Table III, 7B"), ("table_IX", "Table IX, 7B")])
def test_rows_that_are_left_are_counted(table: str, label: str) -> None:
    cells = load_study(ROOT, {"platforms": ["h100-x2"], "suite": "full"}).experiments[table]
    ids = {cell.id for cell in cells if cell.model == "llama2-7b"}
    known = ids & {*read_sets(ROOT)["h100-x2"].values()}
    [line] = [line for line in GPUS.read_text().splitlines() if line.startswith(f"| {label} |")]
    assert f"| {len(known)} of {len(ids)} rows" in line
    assert f"| {len(ids - known)} rows" in line


@pytest.mark.parametrize(("table", "label"), [("table_III", "Table III, 7B"), ("table_IX", "Table IX, 7B")])
def test_rows_that_h200_has_are_named(table: str, label: str) -> None:
    """Those of today's protocol, without FSDP2's."""
    cells = load_study(ROOT, {"platforms": ["h200-x2"], "suite": "full"}).experiments[table]
    known = {cell for name in ("h200-x2", "h200-rounds") for cell in read_sets(ROOT)[name].values()}
    methods = {c.method for c in cells if c.model == "llama2-7b" and c.framework != "fsdp" and c.id in known}
    [line] = [line for line in GPUS.read_text().splitlines() if line.startswith(f"| {label} |")]
    assert set(line.split(" | ")[2].partition(";")[0].split(", ")) == methods


def test_runs_of_ddp_on_one_start_differ() -> None:
    """The largest difference of throughput at batch 1."""
    spread = {}
    for name in ("h100-x2", "h200-x2"):
        [path] = (SETS / name / "pretrain" / name / "llama2-7b/ddp/Naive/s350-b1-n2").glob("*.json")
        starts = defaultdict[str, list[float]](list)
        for run in read_runs(path).runs:
            assert isinstance(run.metrics, TrainingMetrics)
            assert run.provenance
            assert run.provenance.start
            starts[run.provenance.start.boot_id].append(run.metrics.step_time_s.median)
        spread[name] = max(100 * (max(steps) / min(steps) - 1) for steps in starts.values())
    told = f"differ by {spread['h100-x2']:.0f} % on H100 and by {spread['h200-x2']:.0f} % on H200"
    assert told in " ".join(GPUS.read_text().split())


def test_error_of_predicted_peaks_is_that_of_their_page() -> None:
    [row] = [line for line in PREDICTION.read_text().splitlines() if line.startswith("| all | 172 |")]
    assert f"{row.split(' | ')[2]} off in the median" in GPUS.read_text()


def test_timed_share_of_cells_with_zero_3() -> None:
    """The four rows of Table III with 7B, by protocol 1."""
    [*found] = (SETS / "h200/pretrain/h200-x2/llama2-7b/deepspeed").glob("*Z3/s350-b1-n2/*.json")
    durations = [read_runs(path).newest.durations for path in found]
    shares, totals = [100 * d.window_s / d.total_s for d in durations], [d.total_s for d in durations]
    told = f"| 7B with Z3 | {min(totals):.0f} to {max(totals):.0f} | {min(shares):.0f} to {max(shares):.0f} % |"
    assert len(found) == 4
    assert told in GPUS.read_text()


SERVERS = (
    "| model | engine | policy | servers | burst (s) | tokens/s | ready (s) | cache (tokens) "
    "| at once | preemptions, all bursts |"
)
RATES = (
    "| engine | held | TTFT p99 (s) | TPOT p99 (ms) | goodput (tokens/s) | growth of latency "
    "| did not | TTFT p99 (s) | kept |"
)


def served() -> Iterator[tuple[CellId, list[Result]]]:
    """The servers on one H200, one run each."""
    for path in sorted((SETS / "h200-servers").rglob("*.json")):
        yield CellId.parse(str(path.parent.relative_to(SETS / "h200-servers"))), read_runs(path).runs


def test_every_server_on_h200_is_on_the_page() -> None:
    """Medians over the servers; a server's burst is the median of its three."""
    rows = []
    for cell, runs in served():
        found = [run.metrics for run in runs if isinstance(run.metrics, ServingMetrics) and not run.metrics.probes]
        if not found:
            continue
        burst_s = median(median(each.burst_durations_s or []) for each in found)
        tokens = found[0].completion_tokens / len(found[0].burst_durations_s or [])
        rows.append(
            [
                cell.model.removeprefix("llama2-").upper(),
                cell.framework,
                cell.method,
                len(found),
                f"{burst_s:.1f}",
                f"{tokens / burst_s:,.0f}",
                f"{median(each.ready_s for each in found):.0f}",
                f"{median(each.kv_cache_tokens or 0 for each in found):,.0f}",
                f"{median(each.most_answering or 0 for each in found):.0f}",
                f"{median(each.preemptions for each in found):.0f}" if found[0].preemptions is not None else "not told",
            ]
        )
    assert sum(int(row[3]) for row in rows) == 45
    block(GPUS, "h200-serving", SERVERS, rows)


def test_every_rate_that_holds_on_h200_is_on_the_page() -> None:
    rows = []
    asked, faster = {}, {}
    for cell, runs in served():
        for run, search in ((run, search) for run in runs if (search := search_of(run))):
            asked[cell.framework] = sum(probe.requests for probe in search.probes)
            held, failed = (next(p for p in search.probes if p.rate == rate) for rate in search.bracket)
            assert isinstance(run.metrics, ServingMetrics)
            sent = run.metrics.samples.sent_s
            faster[cell.framework] = 100 * ((len(sent) - 1) / max(sent) / held.rate - 1)
            assert p99(failed.ttft_s) > search.search.ttft_s
            assert p99(failed.tpot_s) < search.search.tpot_s / 2, "the page says that TTFT alone ends them"
            rows.append(
                [
                    cell.framework,
                    f"{held.rate:.1f}",
                    f"{p99(held.ttft_s):.2f}",
                    f"{1e3 * p99(held.tpot_s):.0f}",
                    f"{search.chosen.tokens_per_s(held.kept):,.0f}",
                    f"{search.chosen.growth:.2f} ×",
                    f"{failed.rate:.1f}",
                    f"{p99(failed.ttft_s):.2f}",
                    f"{100 * failed.kept / failed.requests:.1f} %",
                ]
            )
    assert len(rows) == 4
    page, growth = " ".join(GPUS.read_text().split()), {str(row[0]): str(row[5]) for row in rows}
    assert f"a server has answered all {asked['lightllm']:,} requests of its search" in page
    assert f"latency grew to {growth['vllm'].removesuffix(' ×')} times" in page
    assert f"vLLM's requests came {faster['vllm']:.1f} % faster and TGI's {faster['tgi']:.1f} %" in page
    assert f"the others' up to {-min(faster.values()):.1f} % slower" in page
    assert growth["tgi"] < "1" < growth["sglang"] < growth["vllm"] > growth["lightllm"] > "1"
    block(GPUS, "h200-rates", RATES, rows)


def test_a_search_that_the_end_of_the_machine_cut_short() -> None:
    _, held, failed = csv.DictReader((ROOT / "tests/data/cut_short_search.csv").read_text().splitlines())
    low, high = (f"{float(probe['rate_per_s']):.1f}" for probe in (held, failed))
    share = f"{100 * int(held['kept']) / int(held['requests']):.1f} %"
    [before] = [search_of(run) for cell, runs in served() if cell.framework == "vllm" for run in runs if search_of(run)]
    assert before
    page = " ".join(GPUS.read_text().split())
    told = f"vLLM held {low} requests/s, by {share} of the requests, where {before.bracket.failed:.1f} had not held"
    assert told in page
    assert f"ended that search between {low} and {high}" in page


def test_bursts_of_13b_repeat_on_other_starts() -> None:
    [sglang, vllm] = [
        " and ".join(", ".join(f"{median(bursts_of(run)):.1f}" for run in runs).rsplit(", ", 1))
        for cell, runs in served()
        if cell.model == "llama2-13b" and cell.framework in ("sglang", "vllm")
    ]
    told = f"SGLang's bursts took {sglang} s, vLLM's {vllm} s"
    assert told in " ".join(GPUS.read_text().split())


def test_powers_of_servers_whose_counter_was_read_too_rarely() -> None:
    [runs] = [runs for cell, runs in served() if (cell.model, cell.framework) == ("llama2-13b", "lightllm")]
    found = [run.metrics for run in runs if isinstance(run.metrics, ServingMetrics)]
    powers = [f"{each.energy_j / each.duration_s:.0f}" for each in found if each.energy_j]
    assert f"13B show {', '.join(powers[:-1])} and {powers[-1]} W in bursts" in " ".join(GPUS.read_text().split())


def bursts_of(run: Result) -> list[float]:
    assert isinstance(run.metrics, ServingMetrics)
    return run.metrics.burst_durations_s or []


def p99(samples: list[float]) -> float:
    return quantile(sorted(samples), 0.99)


@pytest.mark.parametrize(("model", "policy"), [("llama2-7b", "aligned"), ("llama2-13b", "tuned")])
def test_sglang_is_ahead_of_vllm(shipped: Path, model: str, policy: str) -> None:
    asked = {"stage": "serve", "model": model, "platform": "h200", "method": policy, "maximise": "throughput"}
    question, rows, study = gather(shipped, asked)
    text = answer_text(answer(question, rows), study.catalog)
    [told] = [line for line in text.splitlines() if f"vLLM, {policy}" in line and "× the best's" in line]
    assert told.partition(": ")[2].replace(" throughput (", " (") in " ".join(GPUS.read_text().split())
