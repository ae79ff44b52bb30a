"""What becomes of serving cells whose server or measuring process ends, hangs or stalls, as real processes."""

import gzip
import json
import signal
import time

import psutil
import pytest

from dissect.base.outcome import Phase, Status
from measure_hasty import LEAST_S
from serving_bench import Bench

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_a_server_that_stays_but_runs_out_of_memory_is_out_of_memory(bench):
    result = bench.measure(bench.spec("lightllm"), "oom_in_answers")
    assert (result.status, result.phase) == (Status.OOM, Phase.SERVE)
    assert "CUDA out of memory" in result.reason


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("worker_dies", "CUDA error: an illegal memory access was encountered"),
        ("worker_dies_at_once", "CUDA error: an illegal memory access was encountered"),
        ("hangs", "last line of"),
        ("loses", "last line of"),
    ],
)
def test_a_server_that_runs_on_but_answers_no_more_is_a_failure(bench, fault, words):
    spec = bench.spec("lightllm")
    out, err = (process := bench.start(spec, fault, script="tests/measure_hasty.py")).communicate(timeout=500)
    assert process.returncode == 1
    told = json.loads((bench.entry(spec) / "failure.json").read_text())
    assert "the server runs, but ended no request for" in told["reason"], out + err
    assert words in told["reason"]
    if fault != "worker_dies_at_once":
        partial = bench.records(spec, "requests.partial.jsonl.gz")
        assert {record.status for record in partial} == {"ok", "error"}, "what was answered before is kept"


def test_a_slow_server_has_not_stalled(bench):
    """Its answers take longer than the shortest silence that is a stall, as those of the warm-up did."""
    spec = bench.spec("lightllm", requests=4, output_tokens=LEAST_S + 5)
    out, err = (process := bench.start(spec, "slow", script="tests/measure_hasty.py")).communicate(timeout=500)
    assert process.returncode == 0, out + err
    assert min(record.t_end_s for record in bench.records(spec)) > LEAST_S


def test_a_server_that_hangs_in_the_load_ends_with_the_budget(bench):
    result = bench.measure(bench.spec("lightllm", budget_s=60.0), "hangs")
    assert (result.status, result.phase) == (Status.TIMEOUT, Phase.SERVE)
    assert "the budget was spent" in result.reason


def test_a_server_that_dies_in_a_later_burst_keeps_the_complete_ones(bench):
    spec = bench.spec("lightllm", requests=6, bursts=3)
    out, err = (process := bench.start(spec, "dies_in_second_load")).communicate(timeout=500)
    assert process.returncode == 1
    assert "the engine is gone" in out + err
    assert [record.status for record in bench.records(spec, "bursts.partial.jsonl.gz")] == ["ok"] * 6


@pytest.mark.parametrize(("fault", "status"), [("dies_in_load", Status.FAILED), ("oom_in_load", Status.OOM)])
def test_a_server_that_dies_in_the_load_keeps_what_there_was(bench, fault, status):
    spec = bench.spec("lightllm")
    out, err = (process := bench.start(spec, fault)).communicate(timeout=500)
    assert process.returncode == (0 if status is Status.OOM else 1)
    said = out + err
    assert ("CUDA out of memory" if status is Status.OOM else "the engine is gone") in said
    partial = bench.records(spec, "requests.partial.jsonl.gz")
    assert {record.status for record in partial} == {"ok", "error"}
    assert not list(bench.entry(spec).rglob("requests.jsonl.gz"))
    logs = [gzip.decompress(path.read_bytes()) for path in bench.entry(spec).rglob("server.log.gz")]
    assert logs == [(bench.entry(spec) / "server.log").read_bytes()] * (status is Status.OOM)
    if status is Status.FAILED:
        assert json.loads((bench.entry(spec) / "failure.json").read_text())["attempt"] == 1
        assert "the engine is gone" in (bench.entry(spec) / "log.txt").read_text()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_when_the_measuring_process_is_ended_in_the_load(bench, number):
    spec = bench.spec("lightllm")
    process = bench.start(spec, "slow")
    deadline = time.monotonic() + 200
    while not any("guidellm" in p.cmdline() for p in _alive(bench)):  # as a word: the spec in the command has it too
        assert time.monotonic() < deadline, "the load was not sent"
        time.sleep(0.2)
    process.send_signal(number)
    process.communicate(timeout=120)
    while left := _alive(bench):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
    assert not list(bench.entry(spec).rglob("result.json"))


def _alive(bench: Bench) -> list[psutil.Process]:
    alive = []
    for process in bench.processes():
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                alive.append(process)
        except psutil.NoSuchProcess:
            continue
    return alive
