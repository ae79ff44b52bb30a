"""What is read of the second load generator: its output and its progress."""

import json
from typing import Any

import pytest

import factories as make
from dissect.base.outcome import Status
from dissect.stages.serving.calibration import calibration_of, ended_so_far
from dissect.stages.serving.watch import Ended

BENCH = {
    "completed": 40, "total_output_tokens": 5120, "request_throughput": 3.2, "output_throughput": 409.6,
    "median_e2el_ms": 6100.0, "median_ttft_ms": 2400.0,
}  # fmt: skip


def written(**changes: Any) -> bytes:
    return json.dumps(BENCH | changes).encode()


def test_the_second_load_generator_must_have_done_the_same_work() -> None:
    found = calibration_of(make.serve_spec(), written())
    assert (found.output_tokens_per_s, found.median_latency_s, found.median_ttft_s) == (409.6, 6.1, 2.4)
    with pytest.raises(Ended, match="counted 39 requests and 5120 tokens, 5120 tokens were requested"):
        calibration_of(make.serve_spec(), written(completed=39))


@pytest.mark.parametrize(
    ("output", "error"),
    [
        (written().replace(b"median_e2el_ms", b"median_e2e_ms"), "KeyError: 'median_e2el_ms'"),
        (written(median_e2el_ms=None), "TypeError: unsupported operand"),
        (written(request_throughput=0.0), "ValidationError: 1 validation error for Calibration requests_per_s"),
        (written()[:40], "JSONDecodeError: "),
        (b"[]", "TypeError: list indices"),
    ],
)
def test_an_output_of_another_vllm_costs_the_calibration_alone(output: bytes, error: str) -> None:
    """The load that was measured before it stands where the calibration ends as ``Ended``."""
    with pytest.raises(Ended, match=f"the output of vllm bench does not have the fields .*: {error}") as caught:
        calibration_of(make.serve_spec(), output)
    assert caught.value.status is Status.INVALID


def test_the_progress_of_the_second_load_generator_is_read_from_its_log() -> None:
    """As vLLM 0.22.0 writes it."""
    log = "Maximum request concurrency: None\n\r  0%|          | 0/40 [00:00<?, ?it/s]"
    later = "\r  2%|\u258e         | 1/40 [00:00<00:04,  7.97it/s]"
    assert [ended_so_far(each) for each in (log[:30], log, log + later)] == [None, 0, 1]
