"""How long a server under load may be silent before it has stalled."""

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import factories as make
from dissect.base.outcome import Status
from dissect.cells.spec import ServeSpec
from dissect.machine.node import Node
from dissect.metrics.serving import ServingMetrics
from dissect.results.cell_runs import read_runs
from dissect.results.result import Result
from dissect.stages.serving import stall
from dissect.stages.serving.engine import load_engine
from dissect.stages.serving.send_times import poisson_sends
from dissect.stages.serving.server import RunningServer
from dissect.stages.serving.stall import LEAST_S, Silence, longest_silence_s
from dissect.stages.serving.watch import Watch, death, device_error

ROOT = Path(__file__).parents[2]


def silences(result: Result) -> Iterator[tuple[float, float]]:
    """(Longest time in which no request ended, bound of a stall) of each load of a result, in seconds."""
    assert isinstance(result.metrics, ServingMetrics)
    assert isinstance(result.spec, ServeSpec)
    samples, load = result.metrics.samples, result.spec.workload
    ends = [sent + latency for sent, latency in zip(samples.sent_s, samples.latency_s, strict=True)]
    size = len(ends) if result.metrics.probes else load.requests
    for start in range(0, len(ends), size):
        times = [0.0, *sorted(ends[start : start + size])]
        longest = max(after - before for before, after in pairwise(times))
        yield longest, longest_silence_s(load, result.durations.warmup_s)


def test_no_shipped_server_was_silent_for_nearly_as_long_as_one_that_stalls() -> None:
    files = (ROOT / "config/references").glob("*/serve/**/*.json")
    results = [result for path in files for result in read_runs(path).runs if result.status is Status.OK]
    found = [pair for result in results for pair in silences(result)]
    assert len(found) > len(results) > 20
    assert 22 < max(silence for silence, _ in found) < 23
    assert all(silence < bound / 5 for silence, bound in found)


def test_a_server_may_be_silent_for_as_long_as_its_warm_up_says() -> None:
    load = make.serve_spec(requests=1000, warmup_requests=16).workload
    assert longest_silence_s(load, 1.0) == LEAST_S
    assert longest_silence_s(load, 4.2) == pytest.approx(262.5)


def test_a_server_may_be_silent_for_as_long_as_one_answer_takes() -> None:
    load = make.serve_spec(requests=1, warmup_requests=16).workload
    assert longest_silence_s(load, 500.0) == 500.0


def test_a_server_may_be_silent_while_no_request_arrives() -> None:
    load = make.serve_spec(requests=100, arrival={"kind": "poisson", "rate": 0.01}).workload
    gaps = [after - before for seed in range(50) for before, after in pairwise(poisson_sends(0.01, 100, seed))]
    assert LEAST_S < max(gaps) < longest_silence_s(load, 1.0)


def test_a_server_that_ended_all_requests_is_not_silent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(stall, "AFTER_ERROR_S", 0.0)
    spec = make.serve_spec()
    engine, server = load_engine(spec), RunningServer((), {}, tmp_path / "server.log")
    silence = Silence(Watch(spec, Node("none", None)), longest_s=0.0, requests=3)
    found = []
    for ended in (2, 2, 3, 3):
        found.append(silence.stalled(engine, server, ended) is not None)
        time.sleep(0.01)
    assert found == [False, True, False, False]


def test_an_error_before_the_requests_shortens_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(stall, "AFTER_ERROR_S", 0.0)
    spec = make.serve_spec()
    log = tmp_path / "server.log"
    log.write_text("CUDA error: an illegal memory access was encountered\n")
    engine, server = load_engine(spec), RunningServer((), {}, log)
    for earlier, expected in ((device_error(log.read_text()), [False, False]), (None, [False, True])):
        silence, found = Silence(Watch(spec, Node("none", None)), earlier=earlier), []
        for _ in range(2):
            found.append(silence.stalled(engine, server, 1) is not None)
            time.sleep(0.01)
        assert found == expected


def test_the_log_of_a_cell_has_what_led_to_an_error_after_which_the_server_wrote_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "server.log"
    error = "torch.AcceleratorError: CUDA error: an illegal memory access was encountered"
    where = '  File "impl.py", line 64, in infer_loop'
    after = "DEBUG current batch size: 113"
    log.write_text("\n".join([where, error, *[after] * 60]))
    with caplog.at_level("INFO"):
        ended = death(load_engine(make.serve_spec()), RunningServer((), {}, log), "runs, but ended no request for 60 s")
    assert ended.reason.endswith(f"last error of {log}: {error}")
    assert [message.splitlines()[1:3] for message in caplog.messages] == [[where, error], [after] * 2]


def test_the_log_of_a_cell_has_the_end_alone_if_the_error_is_in_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (log := tmp_path / "server.log").write_text("ready\nCUDA error: unspecified launch failure\nbye\n")
    with caplog.at_level("INFO"):
        death(load_engine(make.serve_spec()), RunningServer((), {}, log), "stalls")
    assert caplog.messages == [f"the end of {log}:\nready\nCUDA error: unspecified launch failure\nbye"]


def test_the_last_error_of_a_device_is_a_whole_line() -> None:
    assert device_error("a CUDA error: one\nb CUDA error: two x\r\nc") == "b CUDA error: two x\r"
    assert device_error("CUDA error: at the end") == "CUDA error: at the end"
    assert device_error("fine\n") is None
