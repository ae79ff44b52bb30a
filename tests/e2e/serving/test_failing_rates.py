"""Searches for the rate that holds whose server fails at a rate, as real processes."""

import json

import pytest

from dissect.base.outcome import Phase, Status
from dissect.results.agreement import check_samples
from serving_bench import Bench, searching

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def search(bench: Bench):
    """A search whose first rate is 10 requests/s, with six requests, and whose next one is higher."""
    return searching(bench, "vllm", probes=3, probe_s=0.1)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("oom_in_second_load", "the server ran out of memory: torch.OutOfMemoryError: CUDA out of memory"),
        ("dies_in_second_load", "the server ended with exit code 3; last line of"),
        ("hangs_in_second_load", "the server runs, but ended no request for"),
        ("refuses_second_load", "no request was answered: "),
    ],
)
def test_a_rate_that_held_is_not_lost_to_a_server_that_fails_at_a_higher_one(bench, fault, words):
    result = bench.measure(spec := search(bench), fault, script="tests/measure_hasty.py")
    assert (result.status, result.reason, result.attempts) == (Status.OK, None, 1)
    metrics = result.metrics
    held, failed = metrics.probes
    assert held.holds(0.99)
    assert (held.rate < failed.rate, failed.kept, failed.ttft_s) == (True, 0, [])
    assert metrics.search_ended_by == "server"
    assert metrics.server_failure.startswith(f"at {failed.rate:g}/s: {words}")
    assert (metrics.requests, metrics.engine_version) == (6, "1.0"), "asked of it while it ran"
    assert {record.probe for record in bench.records(spec)} == {1}
    (run,) = (bench.entry(spec) / "runs").iterdir()
    check_samples(result, {"requests.jsonl.gz": (run / "requests.jsonl.gz").read_bytes()})


def test_a_server_that_is_killed_at_a_rate_fails_and_the_probes_before_are_kept(bench):
    """Somebody else may have killed it, so the next attempt searches again."""
    process = bench.start(spec := search(bench), "killed_in_second_load")
    out, err = process.communicate(timeout=500)
    assert process.returncode == 1, out + err
    told = json.loads((bench.entry(spec) / "failure.json").read_text())
    assert "the server ended with exit code 137" in told["reason"]
    assert told["attempt"] == 1
    kept = bench.records(spec, "probes.partial.jsonl.gz")
    assert {(record.status, record.probe) for record in kept} == {("ok", 1)}
    assert not list(bench.entry(spec).rglob("requests.jsonl.gz"))


def test_a_server_without_memory_at_the_first_rate_is_out_of_memory(bench):
    result = bench.measure(search(bench), "oom_in_load")
    assert (result.status, result.phase) == (Status.OOM, Phase.LOAD)
    assert "the server ran out of memory" in result.reason
