"""A load that is sent again by a second load generator, with servers that get into trouble only then."""

import sys

import pytest

from dissect.base.outcome import Status
from dissect.metrics.serving import ServingMetrics
from serving_bench import ROOT, Bench

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def engine(bench: Bench, fault: str) -> str:
    """A Python with vLLM's programs: a server with this fault, and a second load generator."""
    for name, program in (
        ("openai/api_server", ["tests/faulty_server.py", "--fault", fault]),
        ("cli/main", ["tests/second_client.py"]),
    ):
        path = bench.folder / f"engine/vllm/entrypoints/{name}.py"
        path.parent.mkdir(parents=True)
        command = [sys.executable, str(ROOT / program[0]), *program[1:]]
        path.write_text(f"import os, sys\nos.execv({sys.executable!r}, {command!r} + sys.argv[1:])\n")
    return f"env PYTHONPATH={bench.folder / 'engine'} {sys.executable}"


def measured(bench: Bench, fault: str, wrapper: str = "") -> ServingMetrics:
    """Numbers of a calibrated cell, which ends ``ok`` with those of its load."""
    spec = bench.spec("vllm", calibrate=True)
    python = f"{wrapper} {engine(bench, fault)}".strip()
    result = bench.measure(spec, python=python, script="tests/measure_hasty.py")
    assert (result.status, result.reason) == (Status.OK, None)
    assert isinstance(result.metrics, ServingMetrics)
    assert (result.metrics.requests, result.metrics.completion_tokens) == (10, 80)
    return result.metrics


def test_the_second_load_generator_sends_the_same_load_to_the_same_server(bench):
    metrics = measured(bench, "none")
    assert metrics.no_calibration is None
    assert metrics.calibration.output_tokens_per_s > 0
    assert 8 * 0.002 < metrics.calibration.median_latency_s < metrics.duration_s + 10


@pytest.mark.parametrize(
    ("fault", "wrapper", "reason"),
    [
        ("hangs_again", "", "the server runs, but ended no request for"),
        ("dies_again", "", "the server ended with exit code 3; last line of"),
        ("none", "env SECOND_CLIENT=fails", "vllm bench ended with exit code 1 and no record; the end of"),
    ],
)
def test_the_load_stands_where_the_calibration_fails(bench, fault, wrapper, reason):
    """A server that stalls then is told by the progress of the second load generator, long before the budget ends."""
    metrics = measured(bench, fault, wrapper)
    assert metrics.calibration is None
    assert metrics.no_calibration.startswith(reason)
    assert "\x1b" not in metrics.no_calibration
