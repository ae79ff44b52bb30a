"""The search for the rate that holds: bisection, arrivals, and what a probe counts."""

import gzip
from contextlib import nullcontext
from dataclasses import replace
from itertools import count, islice, pairwise
from pathlib import Path
from statistics import mean, pstdev
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import factories as make
from dissect.base.outcome import Phase, Status
from dissect.cells.spec import ServeSpec
from dissect.config.arrival import RateSearch
from dissect.machine.clientload import ClientLoad
from dissect.metrics.serving import RateBracket, RateProbe
from dissect.results.agreement import check_samples
from dissect.stages.serving import burst, rate_probes
from dissect.stages.serving.bisection import Bisection
from dissect.stages.serving.burst import Sent
from dissect.stages.serving.engine import ServerReport
from dissect.stages.serving.load import Load, RequestRecord, to_jsonl_gz
from dissect.stages.serving.ready_server import ReadyServer
from dissect.stages.serving.send_times import LEAD_S, poisson_sends
from dissect.stages.serving.watch import Ended

ROOT = Path(__file__).parents[2]
OFFSETS = st.floats(-0.5, 0.5)


def probe(rate: float, kept: int, requests: int = 100) -> RateProbe:
    return RateProbe(
        rate=rate, requests=requests, kept=kept, duration_s=1.0, loads=1, client_cpu=0.1, ttft_s=[0.1], tpot_s=[0.1]
    )


def searched(search: RateSearch, capacity: float, offset: float = 0.0) -> list[RateProbe]:
    """Probes at a server that keeps up to a rate."""
    probes: list[RateProbe] = []
    bisection = Bisection(search, offset)
    while (rate := bisection.next_rate(RateBracket.of(probes, search.share), len(probes))) is not None:
        probes.append(probe(rate, 100 if rate <= capacity else 0))
    return probes


@given(st.floats(1.2, 55.0), OFFSETS)
def test_six_probes_enclose_any_rate_within_ten_percent(capacity: float, offset: float) -> None:
    probes = searched(RateSearch(), capacity, offset)
    held, failed = RateBracket.of(probes, 0.99)
    assert held is not None
    assert failed is not None
    assert held <= capacity < failed <= 1.1 * held
    assert len(probes) <= 6


@given(st.floats(0.01, 1000.0), st.integers(1, 8), OFFSETS)
def test_a_search_tries_a_rate_once_and_stays_between_its_ends(capacity: float, most: int, offset: float) -> None:
    search = RateSearch(lowest=0.5, highest=20.0, probes=most)
    rates = [each.rate for each in searched(search, capacity, offset)]
    low, high = Bisection(search, offset).ends
    assert 1 <= len(rates) <= most
    assert len(set(rates)) == len(rates)
    assert all(low < rate < high for rate in rates)
    assert min(rates) > search.lowest, "by which a stall is told"
    assert (low, high) == pytest.approx((0.5, 20.0), rel=20.0**0.5 if most == 1 else 0.6)


def test_it_says_below_or_at_least_beyond_its_ends() -> None:
    assert RateBracket.of(searched(RateSearch(), 0.5), 0.99) == (None, pytest.approx(1.0, rel=0.1))
    assert RateBracket.of(searched(RateSearch(), 500.0), 0.99) == (pytest.approx(64.0, rel=0.1), None)


def test_a_narrow_search_ends_before_its_probes_are_spent() -> None:
    assert len(searched(RateSearch(lowest=10, highest=12), 11.0)) == 1


def test_the_share_itself_decides() -> None:
    assert probe(1.0, 99).holds(0.99)
    assert not probe(1.0, 98).holds(0.99)
    assert probe(1.0, 990, 1000).holds(0.99)


def test_runs_do_not_share_the_points_between_which_they_cannot_tell() -> None:
    held = {RateBracket.of(searched(RateSearch(), 20.0, offset / 10 - 0.5), 0.99).held for offset in range(10)}
    assert len(held) == 10


@pytest.mark.parametrize(
    ("highest", "within", "most", "tried"),
    [(64.0, 0.1, 6, 6), (64.0, 0.1, 2, 2), (64.0, 0.5, 6, 4), (2.0, 0.1, 6, 3), (1.2, 0.1, 6, 1)],
)
def test_the_grid_moves_by_up_to_half_of_the_step_that_the_search_ends_with(
    highest: float, within: float, most: int, tried: int
) -> None:
    """Also where it is narrow enough before its probes are spent."""
    search = RateSearch(highest=highest, within=within, probes=most)
    probes = searched(search, 1e-3)
    step = probes[-1].rate / Bisection(search).ends[0]
    lower, upper = (Bisection(search, offset).ends[0] for offset in (-0.5, 0.5))
    assert len(probes) == Bisection(search).depth == tried
    assert upper / lower == pytest.approx(step, rel=1e-3)


def test_a_search_has_something_to_search() -> None:
    with pytest.raises(ValidationError, match="nothing to search"):
        RateSearch(lowest=10.0, highest=10.5)


def test_requests_arrive_at_random_for_as_long_and_as_many_as_asked() -> None:
    sends = [at - LEAD_S for at in poisson_sends(50.0, 1000, 42, 60.0)]
    assert sends[0] == 0
    assert 60 <= sends[-1] < 60.5
    assert len(sends) == pytest.approx(3000, rel=0.1)
    gaps = [later - earlier for earlier, later in pairwise(sends)]
    assert mean(gaps) == pytest.approx(1 / 50, rel=0.05)
    assert pstdev(gaps) == pytest.approx(mean(gaps), rel=0.1), "exponential gaps"
    assert len(set(gaps)) > 0.95 * len(gaps), "none comes twice, as with several processes of guidellm"
    few = [at - LEAD_S for at in poisson_sends(5.0, 1000, 42, 60.0)]
    assert len(few) == 1000
    assert [10 * at for at in sends[:50]] == pytest.approx(few[:50], abs=1e-4)


def share_in_time(overload: float, seconds: float) -> float:
    """Share of requests that wait up to 2 s for a server which answers one after the other, by how much too slowly."""
    arrivals = [number / 30 for number in range(int(30 * seconds))]
    waits = [arrival * overload for arrival in arrivals]
    return mean(wait <= 2.0 for wait in waits)


def test_a_minute_does_not_show_a_rate_that_is_three_percent_too_high() -> None:
    assert [share_in_time(overload, 60) >= 0.99 for overload in (0.03, 0.04)] == [True, False]
    assert share_in_time(0.03, 600) < 0.99
    assert "3 % faster than the server answers takes" in (ROOT / "docs/serving.md").read_text()


def spec_of(**search: Any) -> ServeSpec:
    arrival = {"kind": "poisson", "search": {"ttft_s": 1.0, "tpot_s": 0.1, **search}}
    return make.serve_spec(requests=20, input_tokens=64, output_tokens=16, arrival=arrival)


def record(number: int, ttft_s: float = 0.5, tpot_s: float = 0.05, **changes: Any) -> RequestRecord:
    sent = 0.1 * number
    first = sent + ttft_s
    last = first + 15 * tpot_s
    fields: dict[str, Any] = {
        "request_id": f"r{number}", "status": "ok", "t_send_s": sent, "t_first_token_s": first, "t_last_token_s": last,
        "t_end_s": last, "pieces": 16, "prompt_tokens": 64, "completion_tokens": 16,
    }  # fmt: skip
    return RequestRecord.model_validate(fields | changes)


def sent(records: list[RequestRecord]) -> Sent:
    return Sent(Load(records, 0.0), b"{}", 1, (0.0, 1.0), 0.2, (ServerReport("", ""), ServerReport("", "")))


def judged(records: list[RequestRecord]) -> RateProbe:
    search = spec_of().workload.arrival.search
    assert search
    return rate_probes._judged(spec_of(), search, 5.0, sent(records)).probe


def test_a_request_keeps_the_objective_by_both_of_its_times() -> None:
    late = [record(17, ttft_s=1.01), record(18, tpot_s=0.11), record(19, ttft_s=1.0)]
    records = [record(n) for n in range(17)] + late
    assert (judged(records).kept, judged(records).requests) == (18, 20)


def test_what_is_refused_or_lost_did_not_keep_it() -> None:
    refused = record(19, status="error", error="429", t_first_token_s=None, t_last_token_s=None)
    assert judged([*(record(n) for n in range(19)), refused]).kept == 19
    assert judged([record(n) for n in range(18)]).kept == 18
    assert [judged([record(n) for n in range(18)]).requests, judged([record(n) for n in range(18)]).lost] == [20, 2]
    with pytest.raises(Ended, match="no request was answered: no record") as caught:
        judged([])
    assert (caught.value.status, caught.value.by_load) == (Status.INVALID, False), "but the load generator failed"
    with pytest.raises(Ended, match="no request was answered: 429") as caught:
        judged([refused] * 20)
    assert (caught.value.status, caught.value.by_load) == (Status.INVALID, True)


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({"t_first_token_s": None}, Status.INVALID, "request r19 has no time of its tokens"),
        ({"completion_tokens": 7}, Status.INVALID, "1 answers do not have 16 tokens but 7"),
        ({"status": "error", "error": "CUDA out of memory"}, Status.OOM, "the server answered a request that"),
    ],
)
def test_other_work_ends_a_search_at_once(changes: dict[str, Any], status: Status, reason: str) -> None:
    with pytest.raises(Ended, match=reason) as caught:
        judged([*(record(n) for n in range(19)), record(19, **changes)])
    assert caught.value.status is status


def test_an_answer_that_was_cut_off_did_not_keep_it() -> None:
    """guidellm takes it for answered, and it may have no token at all."""
    cut = [record(18, completion_tokens=None), record(19, completion_tokens=None, t_first_token_s=None)]
    told = rate_probes._mark_cut([*(record(n) for n in range(18)), *cut])
    assert [each.status for each in told] == ["ok"] * 18 + ["incomplete"] * 2
    assert (judged(told).kept, judged(told).requests) == (18, 20)
    with pytest.raises(Ended, match="no request was answered: incomplete"):
        judged(told[18:])


def found_by(
    monkeypatch: pytest.MonkeyPatch, folder: Path, ends: list[Any], prompts: int | None = None, **search: Any
) -> rate_probes.Found:
    """A search whose probes end like this: a TTFT, other changes of records, or how the cell ended.

    A list has such changes of the last records alone; ``GONE`` ends the server after a probe that held. The search has
    so many prompts, or without end.
    """
    outcomes, server = iter(ends), SimpleNamespace(exit_code=None)

    def send(ready: ReadyServer, before: ServerReport, _: Any) -> Sent:
        outcome = next(outcomes)
        if isinstance(outcome, Ended):
            raise outcome
        server.exit_code = 3 if outcome == GONE else None
        changes = outcome if isinstance(outcome, dict) else {"ttft_s": outcome}
        requests = ready.spec.workload.requests
        apart = outcome if isinstance(outcome, list) else [changes] * requests
        records = [record(n, **each) for n, each in enumerate([{}] * (requests - len(apart)) + apart)]
        return replace(sent(records), reports=(before, ready.report()))

    moments = count()
    monkeypatch.setattr(burst, "send", send)
    monkeypatch.setattr(ReadyServer, "report", lambda _: ServerReport(f"moment {next(moments)}", ""))
    monkeypatch.setattr(ReadyServer, "configuration", lambda _: {"/version": f"moment {next(moments)}"})
    spec = spec_of(**{"probe_s": 1.0, "lowest": 1.0, "highest": 64.0, **search})
    unseen = islice((f"w{n}" for n in count(1)), prompts)
    nothing: Any = SimpleNamespace(client=ClientLoad(), exit_code=None)
    there: Any = server
    return rate_probes.find_rate(ReadyServer(spec, nothing, folder, there, folder, nothing, 1.0), unseen, 42)


def test_a_search_has_prompts_for_as_many_probes_as_its_grid_leads_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whether a bracket is narrow after the first of these is a matter of rounding."""
    monkeypatch.setattr("random.random", lambda: 0.99)
    found = found_by(monkeypatch, tmp_path, [0.5, 0.5], lowest=4.0, highest=9.0, within=0.5)
    assert (len(found.probed), found.ended_by) == (2, "bracket")


def test_too_few_prompts_end_the_search_with_what_it_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = found_by(monkeypatch, tmp_path, [0.5, 0.5], prompts=50, probe_s=0.01)
    assert (len(found.probed), found.ended_by) == (2, "prompts")
    with pytest.raises(Ended, match=r"20 prompts begin with different words, 19 are left; .*'probe_s' or 'highest'"):
        found_by(monkeypatch, tmp_path, [], prompts=19, probe_s=0.01)


def test_a_spent_budget_ends_the_search_with_what_it_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spent = Ended(Status.TIMEOUT, Phase.SERVE, "the budget was spent")
    found = found_by(monkeypatch, tmp_path, [0.5, 3.0, spent])
    assert (len(found.probed), found.ended_by) == (2, "budget")
    assert found.chosen.probe.rate == pytest.approx(8.0, rel=0.05)
    with pytest.raises(Ended):
        found_by(monkeypatch, tmp_path, [spent])


LATE = {"late_s": 0.6}


@pytest.mark.parametrize(("ends", "bound"), [([0.5], [10, None]), ([0.5, 3.0], [10, 20])])
def test_a_load_generator_that_is_too_slow_ends_the_search_where_a_lower_rate_held(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ends: list[float], bound: list[int | None]
) -> None:
    found = found_by(monkeypatch, tmp_path, [*ends, LATE])
    assert (len(found.probed), found.ended_by) == (len(ends), "client")
    bracket = RateBracket.of([each.probe for each in found.probed], 0.99)
    assert [rate and round(rate, -1) for rate in bracket] == bound


@pytest.mark.parametrize("ends", [[LATE], [3.0, LATE], [0.5, {**LATE, "completion_tokens": 7}]])
def test_it_is_invalid_where_no_rate_held_or_where_the_server_did_other_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ends: list[Any]
) -> None:
    with pytest.raises(Ended) as caught:
        found_by(monkeypatch, tmp_path, ends)
    assert caught.value.status is Status.INVALID


KILLED, DIED = (Ended(Status.FAILED, Phase.SERVE, "the server ended", by_load) for by_load in (False, True))
REFUSED = {"status": "error", "error": "503", "completion_tokens": None}
GONE = 0.25


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        (DIED, "the server ended"),
        (REFUSED, "no request was answered: 503"),
        ([REFUSED | {"error": "CUDA out of memory"}], "the server answered a request that it was out of memory"),
    ],
)
def test_a_server_that_fails_by_its_load_does_not_hold_that_rate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, last: Any, reason: str
) -> None:
    """The search ends with it, as there is no server left to search on; no rate that held is lost."""
    found = found_by(monkeypatch, tmp_path, [0.5, last])
    held, failed = found.probed
    assert (found.chosen, found.ended_by) == (held, "server")
    assert found.server_failure == f"at {failed.probe.rate:g}/s: {reason}"
    assert (failed.probe.kept, failed.probe.ttft_s, failed.sent.load.records) == (0, [], [])
    assert RateBracket.of([held.probe, failed.probe], 0.99) == (held.probe.rate, failed.probe.rate)
    assert (found.last.counters, found.configuration) == ("moment 1", {"/version": "moment 2"}), "of the living server"
    for before in ([], [3.0]):
        with pytest.raises(Ended, match=f"at .*/s: {reason}"):
            found_by(monkeypatch, tmp_path, [*before, last])


@pytest.mark.parametrize("before", [[0.5, [REFUSED]], [GONE]])
def test_a_server_that_may_have_failed_at_an_earlier_rate_tells_nothing_of_the_next(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, before: list[Any]
) -> None:
    found = found_by(monkeypatch, tmp_path, [*before, DIED])
    assert (len(found.probed), found.ended_by, found.server_failure is None) == (len(before), "server", False)


def test_a_server_that_others_end_ends_the_cell_but_loses_no_probe_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(Ended, match="the server ended"):
        found_by(monkeypatch, tmp_path, [0.5, 0.5, KILLED])
    lines = gzip.decompress((tmp_path / rate_probes.SO_FAR).read_bytes()).splitlines()
    kept = [RequestRecord.model_validate_json(line) for line in lines]
    assert {each.probe for each in kept} == {1, 2}
    assert len(kept) > 40


def test_the_numbers_are_those_of_the_highest_rate_that_held_or_the_lowest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = found_by(monkeypatch, tmp_path, [0.5, 3.0, 0.5, 3.0], probes=4)
    rates = [each.probe.rate for each in found.probed]
    assert (
        found.chosen.probe.rate == rates[2] == max(r for r, p in zip(rates, found.probed, strict=True) if p.probe.kept)
    )
    counted = [report.counters for report in found.chosen.answered.reports]
    assert counted == ["moment 3", "moment 4"], "what the engine counted, too"
    assert found.ended_by == "probes"
    assert found_by(monkeypatch, tmp_path, [0.5, 3.0, 0.5, 3.0, 0.5, 3.0]).ended_by == "bracket"
    assert found_by(monkeypatch, tmp_path, [3.0, 3.0], probes=2).chosen.probe.rate < rates[0]


def test_samples_of_every_probe_must_agree_with_the_result() -> None:
    spec = spec_of()
    records = [[record(n).model_copy(update={"probe": p}) for n in range(20)] for p in (1, 2)]
    probes = [replace_times(probe(rate, 20, 20), 0.5) for rate in (4.0, 8.0)]
    result = make.ok_result(spec, make.search_metrics(spec, 5.0, probes=probes))
    lost = record(20, status="error", error="429").model_copy(update={"probe": 2})
    check_samples(result, {"requests.jsonl.gz": to_jsonl_gz([*records[0], *records[1], lost])})
    with pytest.raises(ValueError, match="has 0 answers of probe 2, the result has 20"):
        check_samples(result, {"requests.jsonl.gz": to_jsonl_gz(records[0])})
    flattered = make.ok_result(spec, make.search_metrics(spec, 5.0, probes=[probes[0], replace_times(probes[1], 1.1)]))
    late = [record(n, ttft_s=1.1).model_copy(update={"probe": 2}) for n in range(20)]
    with pytest.raises(ValueError, match="0 requests of probe 2 kept the objective, the result has 20"):
        check_samples(flattered, {"requests.jsonl.gz": to_jsonl_gz([*records[0], *late])})
    unequal = make.ok_result(
        spec, make.search_metrics(spec, 5.0, probes=[probes[0].model_copy(update={"tpot_s": [0.05]})])
    )
    with pytest.raises(ValueError, match="the result has 1 times per token of 20 answers of probe 1"):
        check_samples(unequal, {"requests.jsonl.gz": to_jsonl_gz(records[0])})
    at_once = make.serve_spec(requests=20, input_tokens=64, output_tokens=16)
    with pytest.raises(ValueError, match="probes of a search, which its spec does not ask for"):
        check_samples(make.ok_result(at_once, result.metrics), {"requests.jsonl.gz": to_jsonl_gz(records[0])})
    slower = [record(n, ttft_s=0.6).model_copy(update={"probe": 1}) for n in range(20)]
    with pytest.raises(ValueError, match="the times to the first token of probe 1 are not those"):
        check_samples(result, {"requests.jsonl.gz": to_jsonl_gz([*slower, *records[1]])})


def test_requests_that_were_sent_late_need_not_be_among_those_that_kept_the_objective() -> None:
    """Earlier results count them by their times."""
    spec = spec_of()
    late = [record(n, late_s=0.6 if n < 2 else 0.4).model_copy(update={"probe": 1}) for n in range(20)]
    for kept, refused in ((20, False), (18, False), (17, True), (21, True)):
        found = replace_times(probe(4.0, kept, 20), 0.5)
        result = make.ok_result(spec, make.search_metrics(spec, 5.0, probes=[found]))
        with pytest.raises(ValueError, match=f"has {kept}") if refused else nullcontext():
            check_samples(result, {"requests.jsonl.gz": to_jsonl_gz(late)})


def replace_times(found: RateProbe, ttft_s: float) -> RateProbe:
    return found.model_copy(update={"ttft_s": [ttft_s] * found.requests, "tpot_s": [0.05] * found.requests})
