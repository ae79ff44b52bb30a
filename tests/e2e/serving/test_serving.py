"""Serving cells as real processes: scripts/measure.py, guidellm, and transformers serve or a server with a fault."""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import venv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dissect.base.outcome import Flag, Phase, Status
from dissect.cells.software import workflow_python
from dissect.cells.spec import ServeSpec
from dissect.metrics.serving import EngineTerms, RateProbe, ServingMetrics
from dissect.results.agreement import check_samples
from dissect.stages.serving.send_times import poisson_sends
from dissect.stages.serving.server import free_ports
from dissect.workloads.kv_cache import asked_cache_tokens, cache_bytes_of
from serving_bench import CLIENT, ROOT, Bench, searching

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_transformers_serve_answers_a_real_burst(bench):
    spec = bench.spec("transformers")
    result = bench.measure(spec)
    assert (result.status, result.reason) == (Status.OK, None)
    metrics = result.metrics
    assert isinstance(metrics, ServingMetrics)
    assert (metrics.requests, metrics.prompt_tokens, metrics.completion_tokens) == (10, 320, 80)
    assert 0 < max(metrics.samples.ttft_s) < max(metrics.samples.latency_s) <= metrics.duration_s
    assert metrics.server_memory_bytes > 10**8
    assert (metrics.server_memory_source, metrics.energy_j) == ("rss", None)
    assert metrics.terms == EngineTerms(cache_tokens=metrics.kv_cache_tokens, prefill_tokens=512)
    assert metrics.kv_cache_tokens % 64 == 0
    assert result.durations.launch_s > 0
    assert result.provenance.versions["guidellm"] == "0.8.1"
    assert len(bench.records(spec)) == 10
    (run,) = (bench.entry(spec) / "runs").iterdir()
    check_samples(result, {"requests.jsonl.gz": (run / "requests.jsonl.gz").read_bytes()})
    raw = json.loads(gzip.decompress((run / "guidellm.json.gz").read_bytes()))
    assert len(raw["benchmarks"][0]["requests"]["successful"]) == 10
    assert gzip.decompress((run / "server.log.gz").read_bytes()) == (bench.entry(spec) / "server.log").read_bytes()
    (folder,) = bench.folder.glob("llama-*")
    assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors"}


def test_two_cells_of_one_engine_are_measured_at_the_same_moment(bench):
    """They share the host, the checkpoint that both need first, and the store."""
    specs = [bench.spec("transformers", requests=count) for count in (6, 7)]
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(bench.measure, specs))
    assert [(each.status, each.metrics.requests) for each in results] == [(Status.OK, 6), (Status.OK, 7)]
    said = "".join((bench.entry(spec) / "server.log").read_text() for spec in specs)
    assert len(set(re.findall(r"http://127.0.0.1:\d+", said))) == 2, "each has a server of its own"


def asked(bench: Bench, *arguments: str) -> ServeSpec:
    """Terms for half of 512 MiB, with arguments of the platform behind them."""
    spec = bench.spec("transformers")
    terms = {"memory_share": 0.5, "cache_reserve_gib": 0.125, "prefill_tokens": 512, "arguments": list(arguments)}
    return spec.model_copy(
        update={
            "hardware": spec.hardware.model_copy(update={"device_memory_bytes": 2**29}),
            "settings": spec.settings.model_copy(update=terms),
        }
    )


def test_a_real_engine_reports_the_terms_that_it_was_asked_for(bench):
    result = bench.measure(spec := asked(bench))
    assert (result.status, result.reason) == (Status.OK, None)
    metrics, tokens = result.metrics, asked_cache_tokens(spec)
    assert tokens > 10_000
    assert metrics.terms == EngineTerms(cache_tokens=tokens, prefill_tokens=512)
    assert (metrics.kv_cache_tokens, metrics.kv_cache_bytes) == (tokens, cache_bytes_of(spec, tokens))


def test_a_real_engine_that_reports_other_terms_is_invalid(bench):
    result = bench.measure(asked(bench, "--cb-max-batch-tokens", "256"))
    assert (result.status, result.phase) == (Status.INVALID, Phase.SERVE)
    assert result.reason == "the engine reports 256 tokens of prompts in a step, the terms are 512"


def test_requests_that_are_stopped_for_lack_of_cache_are_counted_and_flagged(bench):
    result = bench.measure(bench.spec("lightllm"), "pauses")
    assert result.status is Status.OK, result.reason
    assert result.metrics.preemptions == 10
    assert Flag.PREEMPTED in result.flags


@pytest.fixture(scope="module")
def mock_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of guidellm's own server, somebody else's to whoever measures."""
    (port,) = free_ports(1)
    where = ["--host", "127.0.0.1", "--port", str(port), "--model", "mock"]
    pace = ["--request-latency", "0.05", "--ttft-ms", "30", "--itl-ms", "3"]
    with (tmp_path_factory.mktemp("mock") / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [*CLIENT[:-1], "guidellm", "mock-server", *where, *pace],
            stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        yield f"http://127.0.0.1:{port}"
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


@pytest.mark.parametrize("engine", ["vllm", "lightllm", "tgi", "sglang"])
def test_guidellms_mock_server_understands_the_requests_of_each_engine(bench, mock_server, engine):
    result = bench.measure(spec := bench.spec(engine), url=mock_server)
    records = bench.records(spec)
    assert {(record.status, record.completion_tokens) for record in records} == {("ok", 8)}
    assert len(records) == 10
    assert all(record.t_first_token_s - record.t_send_s > 0.03 for record in records)
    # On a busy machine the client may read several tokens at once, and never before they were sent.
    assert all(record.t_last_token_s - record.t_send_s > 0.03 + 7 * 0.002 for record in records)
    assert max(record.t_last_token_s - record.t_first_token_s for record in records) > 7 * 0.002
    # It takes every blank for a token, and nothing but that is wrong.
    assert (result.status, result.reason) == (Status.INVALID, "the server counted 63 tokens in prompts of 32")


def test_of_a_server_of_somebody_else_neither_memory_nor_preemptions_are_known(bench, mock_server):
    """Its processes and its log are not here; to guidellm's server a prompt of one word is one token."""
    result = bench.measure(bench.spec("lightllm", input_tokens=1), url=mock_server)
    assert (result.status, result.reason) == (Status.OK, None)
    assert (result.metrics.server_memory_bytes, result.metrics.preemptions) == (None, None)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("short", "10 answers do not have 8 tokens but 7"),
        ("miscount", "the server counted 34 tokens in prompts of 32"),
        ("overloaded", "5 of 10 requests failed, 5 of them with: "),
        ("cut", "10 answers came without the server's count of their tokens"),
        ("cached", "160 prompt tokens came from a prefix cache"),
    ],
)
def test_a_server_that_breaks_the_contract_is_invalid(bench, fault, reason):
    result = bench.measure(spec := bench.spec("lightllm"), fault)
    assert (result.status, result.phase) == (Status.INVALID, Phase.SERVE)
    assert result.reason.startswith(reason)
    assert len(bench.records(spec)) == 10


def test_one_that_does_what_it_should_is_ok_at_a_rate_too(bench):
    spec = bench.spec("lightllm", arrival={"kind": "constant", "rate": 10.0}, stream=False)
    result = bench.measure(spec, "none")
    assert result.status is Status.OK, result.reason
    assert result.metrics.samples.ttft_s is None
    assert 0.5 < result.metrics.send_spread_s < 3


def test_requests_arrive_at_the_times_of_a_poisson_process(bench):
    result = bench.measure(bench.spec("lightllm", arrival={"kind": "poisson", "rate": 4.0}), "none")
    assert result.status is Status.OK, result.reason
    asked = poisson_sends(4.0, 10, result.spec.workload.seed)
    assert result.metrics.samples.sent_s == pytest.approx([at - asked[0] for at in asked], abs=0.5)


def test_bursts_to_one_server_count_alike(bench):
    spec = bench.spec("lightllm", bursts=2)
    result = bench.measure(spec, "none")
    metrics = result.metrics
    assert result.status is Status.OK, result.reason
    assert (metrics.requests, metrics.prompt_tokens, metrics.completion_tokens) == (20, 640, 160)
    assert len(metrics.samples.latency_s) == len(bench.records(spec)) == 20
    assert len(metrics.burst_durations_s) == 2
    assert metrics.duration_s == pytest.approx(sum(metrics.burst_durations_s))
    assert 0 < metrics.inter_token_pooled_s <= max(metrics.samples.inter_token_s)
    assert (metrics.preemptions, metrics.inter_token_gaps, metrics.energy_j) == (0, None, None)
    assert Flag.PREEMPTED not in result.flags


@pytest.mark.parametrize(("ttft_s", "tpot_s", "holds"), [(1.0, 0.1, True), (0.02, 0.1, False)])
def test_a_rate_holds_where_the_latency_is_known_to_be_within_the_objective(bench, ttft_s, tpot_s, holds):
    """guidellm's server takes 30 ms to the first token and 3 ms per token after it, whatever the rate."""
    spec = searching(bench, ttft_s=ttft_s, tpot_s=tpot_s)
    result = bench.measure(spec, command=f"{' '.join(CLIENT)} {ROOT}/tests/mock_engine.py")
    assert (result.status, result.reason) == (Status.OK, None)
    (probe,) = result.metrics.probes
    assert 7 < probe.rate < 14.2
    assert (probe.kept, probe.holds(0.99)) == (probe.requests if holds else 0, holds)
    assert min(probe.ttft_s) > 0.03
    assert all(0.002 < tpot < 0.1 for tpot in probe.tpot_s)
    records = bench.records(spec)
    assert {record.probe for record in records} == {1}
    sends = [record.t_send_s for record in records]
    assert len(sends) == probe.requests >= 6
    assert sends[-1] - sends[0] > 0.1, "at random over the time of a probe, not at once"


def test_the_rate_that_transformers_serve_holds_is_found_by_probes_on_one_server(bench):
    search = {"lowest": 2.0, "highest": 200.0, "probes": 2, "ttft_s": 1.0, "tpot_s": 0.5}
    spec = searching(bench, "transformers", **search)
    result = bench.measure(spec)
    assert (result.status, result.reason) == (Status.OK, None)
    metrics = result.metrics
    first, second = metrics.probes
    assert first.rate == pytest.approx(20, rel=4.7 / 2)
    assert (second.rate > first.rate) is first.holds(0.99)
    held = [probe for probe in metrics.probes if probe.holds(0.99)]
    told = max(held, key=rate_of) if held else min(metrics.probes, key=rate_of)
    assert (metrics.requests, metrics.completion_tokens) == (len(told.ttft_s), 8 * len(told.ttft_s))
    assert metrics.search_ended_by == "probes"
    records = bench.records(spec)
    assert [sum(r.probe == n for r in records) for n in (1, 2)] == [first.requests, second.requests]
    (run,) = (bench.entry(spec) / "runs").iterdir()
    check_samples(result, {"requests.jsonl.gz": (run / "requests.jsonl.gz").read_bytes()})
    assert (bench.entry(spec) / "server.log").read_text().count("Application startup complete") == 1


def test_a_search_that_has_no_more_prompts_ends_with_the_rates_before(bench):
    spec = searching(bench, probes=3, probe_s=0.1)
    words = 2 + 6 + 6 + 5  # of the warm-up and of two probes, and too few for a third one
    spec = spec.model_copy(update={"model": spec.model.model_copy(update={"vocab_size": words + 1})})
    result = bench.measure(spec, "none")
    assert (result.status, result.reason) == (Status.OK, None)
    assert ([probe.requests for probe in result.metrics.probes], result.metrics.search_ended_by) == ([6, 6], "prompts")


def test_a_rate_that_the_load_generator_cannot_send_ends_the_search_with_the_one_before(bench):
    """It sends ten requests per second, but hardly three thousand."""
    spec = searching(bench, lowest=1e-4, highest=1e6, probes=6, probe_s=1.0, ttft_s=5.0, tpot_s=1.0)
    result = bench.measure(spec, "none")
    assert (result.status, result.reason) == (Status.OK, None)
    (probe,) = result.metrics.probes
    assert probe.holds(0.99)
    assert result.metrics.search_ended_by == "client"


def rate_of(probe: RateProbe) -> float:
    return probe.rate


def test_a_server_that_refuses_under_load_does_not_hold_that_rate(bench):
    result = bench.measure(spec := searching(bench), "overloaded")
    assert (result.status, result.reason) == (Status.OK, None)
    (probe,) = result.metrics.probes
    assert probe.kept == len(probe.ttft_s) == probe.requests // 2
    assert {record.status for record in bench.records(spec)} == {"ok", "error"}


def test_preemptions_of_a_search_are_those_of_the_rate_that_its_numbers_are_of(bench):
    """Beyond the rate that holds an engine may well preempt, which is no reason to doubt what it does at that rate."""
    result = bench.measure(searching(bench, probes=2), "pauses")
    assert result.status is Status.OK, result.reason
    told = max(result.metrics.probes, key=rate_of)
    assert told.holds(0.99), "as all do"
    assert result.metrics.preemptions == told.requests
    assert Flag.PREEMPTED in result.flags


def test_a_server_that_does_other_work_is_invalid_at_any_rate(bench):
    result = bench.measure(spec := searching(bench), "short")
    assert (result.status, result.phase) == (Status.INVALID, Phase.SERVE)
    assert "answers do not have 8 tokens but 7" in result.reason
    assert bench.records(spec, "probes.partial.jsonl.gz")


def test_an_engine_finds_the_programs_of_its_own_environment(bench):
    """LightLLM's main process starts hypercorn by its name."""
    home = bench.folder / "engine"
    venv.create(home)
    (package := home / f"lib/python{workflow_python()}/site-packages/lightllm/server").mkdir(parents=True)
    (package / "api_server.py").write_text("import os, sys\nos.execvp('hypercorn', sys.argv)\n")
    (home / "bin/hypercorn").write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT}/tests/faulty_server.py "$@"\n')
    (home / "bin/hypercorn").chmod(0o755)
    result = bench.measure(bench.spec("lightllm"), python=str(home / "bin/python"))
    assert (result.status, result.reason) == (Status.OK, None)
