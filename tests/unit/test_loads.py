"""What a load generator does wrong: it loses records, or sends too late."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import factories as make
from dissect.cells.spec import ServeSpec
from dissect.machine.clientload import ClientLoad
from dissect.stages.serving import burst, contract
from dissect.stages.serving.engine import ServerReport, load_engine
from dissect.stages.serving.load import RequestRecord, normalise
from dissect.stages.serving.prompts import make_prompts, write_prompts
from dissect.stages.serving.ready_server import ReadyServer

WRITTEN = Path(__file__).parents[1] / "data/serving/guidellm-0.8.1.json"
"""What guidellm wrote of six requests."""
NO_REPORT = ServerReport("", "")
AT_A_RATE = {"kind": "poisson", "rate": 8.0}


def spec_of(requests: int, **load: Any) -> ServeSpec:
    return make.serve_spec(requests=requests, input_tokens=64, output_tokens=8, **load)


def test_records_that_guidellm_lost_are_counted() -> None:
    records = normalise(WRITTEN.read_bytes()).records
    assert contract.lost_records(spec_of(8).workload, records) == 2
    assert contract.lost_records(spec_of(6).workload, records) == 0


def test_a_load_is_sent_again_with_prompts_that_the_server_has_not_seen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Prompts of the load whose records were lost may be in a prefix cache that no switch turns off."""
    seen: list[list[dict[str, Any]]] = []

    def run(*_: Any) -> bytes:
        seen.append([json.loads(line) for line in (tmp_path / burst.PROMPTS).read_text().splitlines()])
        return WRITTEN.read_bytes()

    monkeypatch.setattr(burst, "_run", run)
    monkeypatch.setattr(ReadyServer, "report", lambda _: NO_REPORT)
    write_prompts(tmp_path / burst.PROMPTS, [*make_prompts(8, 64, 32000, 42)], [float(n) for n in range(8)])
    nothing: Any = SimpleNamespace(url="", client=ClientLoad())
    ready = ReadyServer(spec_of(8), load_engine(spec_of(8)), tmp_path, nothing, tmp_path, nothing, 1.0)
    sent = burst.send(ready, NO_REPORT)
    first, second = seen
    assert sent.loads == 2
    assert [row["relative_timestamp"] for row in second] == [row["relative_timestamp"] for row in first]
    assert {len(row["prompt"].split()) for row in second} == {64}
    beginnings = [{" ".join(row["prompt"].split()[:16]) for row in rows} for rows in seen]
    assert len(beginnings[0] | beginnings[1]) == 16


def late(*seconds: float | None) -> list[RequestRecord]:
    """Requests that were sent so much too late, otherwise as guidellm wrote them."""
    written = normalise(WRITTEN.read_bytes()).records
    return [
        written[number % len(written)].model_copy(update={"late_s": each, "t_send_s": 0.0})
        for number, each in enumerate(seconds)
    ]


def test_how_late_a_request_was_sent_is_read_from_guidellms_record() -> None:
    assert [0 <= (record.late_s or 0.0) < 0.1 for record in normalise(WRITTEN.read_bytes()).records] == [True] * 6


def test_requests_that_are_sent_too_late_are_not_the_load_that_was_asked_for() -> None:
    """A load generator that cannot keep up makes any rate hold: times count from when a request was really sent."""
    slow = late(*[0.0] * 18, 0.51, 7.0)
    assert contract.violation(spec_of(20, arrival=AT_A_RATE), slow, 0.5, None) == (
        "2 of 20 requests were sent more than 0.5 s late, so they did not arrive as asked"
    )
    assert contract.violation(spec_of(20), slow, 0.5, None) is None, "a burst is due at once"
    for kept in (late(*[0.5] * 19, 7.0), late(*[None] * 20)):
        assert contract.violation(spec_of(20, arrival=AT_A_RATE), kept, 0.5, None) is None
