"""Probes of a search by a load generator that loses records of some requests, or sends some late."""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import factories as make
from dissect.base.outcome import Status
from dissect.machine.clientload import ClientLoad
from dissect.stages.serving import burst, rate_probes
from dissect.stages.serving.engine import ServerReport
from dissect.stages.serving.ready_server import ReadyServer
from dissect.stages.serving.watch import Ended

SEARCH = {"ttft_s": 2.0, "tpot_s": 0.2, "probe_s": 0.01, "lowest": 16.0, "highest": 64.0}


def written(requests: int, kept: int, lost: int = 0, late: int = 0) -> bytes:
    """What guidellm writes where so many requests of a load keep the objective, leave no record, or are sent late."""

    def request(number: int) -> dict[str, Any]:
        send = 1e9 + 0.04 * number
        first = send + (0.1 if number < kept else 3.0)
        times = {"request_start": send, "first_token_iteration": first, "last_token_iteration": first + 0.5}
        timings = times | {
            "request_end": first + 0.5,
            "targeted_start": send - 0.6 * (number < late),
            "token_iterations": 8,
        }
        return {
            "request_id": f"r{number}", "info": {"timings": timings, "error": None},
            "input_metrics": {"text_tokens": 64}, "output_metrics": {"text_tokens": 8},
        }  # fmt: skip

    by_status = {"successful": [*map(request, range(requests - lost))], "errored": [], "incomplete": []}
    return json.dumps({"benchmarks": [{"requests": by_status}]}).encode()


def found_of(monkeypatch: pytest.MonkeyPatch, folder: Path, requests: int, loads: Iterator[bytes]) -> rate_probes.Found:
    """A search with so many requests per probe, whose load generator writes this of each load."""
    monkeypatch.setattr(burst, "_run", lambda _: next(loads))
    moments = count()
    monkeypatch.setattr(ReadyServer, "report", lambda _: ServerReport(str(next(moments)), ""))
    monkeypatch.setattr(ReadyServer, "configuration", lambda _: {"/version": "1.0"})
    arrival = {"kind": "poisson", "search": SEARCH}
    spec = make.serve_spec(requests=requests, input_tokens=64, output_tokens=8, arrival=arrival)
    nothing: Any = SimpleNamespace(client=ClientLoad(), exit_code=None)
    ready = ReadyServer(spec, nothing, folder, nothing, folder, nothing, 1.0)
    return rate_probes.find_rate(ready, (f"w{n}" for n in count(1)), 42)


@pytest.mark.parametrize(
    ("requests", "kept", "lost", "loads", "holds"),
    [
        (1587, 1586, 1, 1, True),
        (2308, 2287, 1, 1, True),
        (2308, 2147, 1, 1, False),
        (1587, 1572, 1, 1, True),
        (1587, 1571, 1, 2, False),
        (1587, 1570, 1, 1, False),
        (1587, 1572, 15, 1, True),
        (1587, 1557, 15, 2, False),
    ],
)
def test_a_probe_is_sent_again_where_lost_records_decide_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, requests: int, kept: int, lost: int, loads: int, holds: bool
) -> None:
    """99 % of 1,587 requests are 1,572. What is lost again did not keep the objective."""
    again = [written(requests, kept, lost)] * loads
    lower = [written(requests, requests)] * 6
    probe = found_of(monkeypatch, tmp_path, requests, iter([*again, *lower])).probed[0].probe
    assert (probe.loads, probe.lost, probe.requests, probe.kept) == (loads, lost, requests, kept)
    assert probe.holds(0.99) is holds


def test_what_the_engine_counts_is_that_of_the_load_that_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its report is read before the first load and after each, so what it did for a discarded one is left out."""
    whole, lossy = written(1587, 1587), written(1587, 1571, 16)
    found = found_of(monkeypatch, tmp_path, 1587, iter([whole, lossy, *[whole] * 6]))
    moments = [tuple(int(report.counters) for report in each.answered.reports) for each in found.probed]
    assert moments[:3] == [(0, 1), (2, 3), (3, 4)]


def test_a_load_generator_that_loses_many_records_is_asked_again_and_decides_no_rate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of 1,587 requests 15 may be lost. That 16 of them did not keep the objective would be too low a rate."""
    whole, lossy = written(1587, 1587), written(1587, 1571, 16)
    with pytest.raises(Ended, match="the load generator has no record of 16 of 1587 requests") as caught:
        found_of(monkeypatch, tmp_path, 1587, iter([lossy, lossy]))
    assert caught.value.status is Status.INVALID
    found = found_of(monkeypatch, tmp_path, 1587, iter([whole, lossy, lossy]))
    assert ([each.probe.lost for each in found.probed], found.ended_by) == ([0], "client")
    found = found_of(monkeypatch, tmp_path, 1587, iter([lossy, *[whole] * 6]))
    assert [each.probe.loads for each in found.probed][:2] == [2, 1]


def test_lost_records_of_other_work_do_not_repeat_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shorter = written(1587, 1586, 1).replace(
        b'"output_metrics": {"text_tokens": 8}', b'"output_metrics": {"text_tokens": 7}'
    )
    with pytest.raises(Ended, match="1586 answers do not have 8 tokens but 7"):
        found_of(monkeypatch, tmp_path, 1587, iter([shorter]))


def test_a_rate_does_not_hold_by_requests_that_were_sent_late(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Their latency counts from when they were really sent. The search goes on below, also where no rate has held."""
    whole, few, many = (written(1000, 1000, late=late) for late in (0, 10, 11))
    for load, kept, holds in ((few, 990, True), (many, 989, False)):
        found = found_of(monkeypatch, tmp_path, 1000, iter([load, *[whole] * 6]))
        first, second = (each.probe for each in found.probed[:2])
        assert (first.kept, first.late) == (kept, 1000 - kept)
        assert (first.holds(0.99), first.rate < second.rate) == (holds, holds)
    found = found_of(monkeypatch, tmp_path, 1000, iter([whole, *[many] * 6]))
    assert found.chosen is found.probed[0]


def test_a_load_generator_that_sends_many_late_decides_no_rate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(Ended, match=r"51 of 1000 requests were sent more than 0\.5 s late, so they did not"):
        found_of(monkeypatch, tmp_path, 1000, iter([written(1000, 1000, late=51)]))
