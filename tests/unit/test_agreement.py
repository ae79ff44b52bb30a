"""Samples of a run: what cannot be read, or disagrees with its numbers, is named."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

import factories as make
from dissect.base.outcome import Phase, Status
from dissect.results.agreement import check_samples, sample_lines
from dissect.results.archives import unpacked
from dissect.results.result import Result, parse_result

Lines = list[dict[str, Any]]

OPERATORS = ("square", "device_to_device", "all_reduce", "eager")
TRAINED = make.ok_result(make.pretrain_spec())
KINDS = {
    "training": TRAINED,
    "profile": make.ok_result(make.profile_spec()),
    **{name: make.ok_result(make.operator_spec(name)) for name in OPERATORS},
    "inspect": make.ok_result(make.inspect_spec()),
    "out of memory": make.ended_result(make.pretrain_spec(), Status.OOM, Phase.BUILD, "full"),
}
SERVED = make.ok_result(make.serve_spec())


def text(lines: Lines) -> bytes:
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def requests_of(result: Result) -> Lines:
    metrics: Any = result.metrics
    each = {"prompt_tokens": metrics.prompt_tokens // metrics.requests}
    each |= {"completion_tokens": metrics.completion_tokens // metrics.requests, "status": "ok"}
    return [{"t_send_s": 0.0, "t_end_s": latency, **each} for latency in metrics.samples.latency_s]


@pytest.mark.parametrize("result", KINDS.values(), ids=KINDS)
def test_samples_of_every_kind_agree(result: Result) -> None:
    lines = make.sample_lines_of(result.metrics)
    check_samples(result, {"steps.jsonl": text(lines)})
    assert sample_lines(text(lines)) == lines


def changed(**fields: object) -> Callable[[Lines], Lines]:
    return lambda lines: [*lines[:-1], lines[-1] | fields]


WRONG: dict[str, tuple[str, Callable[[Lines], Any], str]] = {
    "no sample": ("training", lambda _: [{"a": 1}], "line 1: seconds: Field required"),
    "no seconds": ("training", changed(seconds=[]), "seconds: List should have at least 1 item"),
    "infinite": ("training", changed(seconds=[float("inf")]), "has the number Infinity"),
    "too large for a float": ("training", changed(loss="1e999"), "loss: Input should be a finite number"),
    "not a number": ("training", changed(loss=float("nan")), "has the number NaN"),
    "no time": ("training", changed(seconds=[0.0]), "seconds.0: Input should be greater than 0"),
    "negative": ("training", changed(seconds=[-1.0]), "seconds.0: Input should be greater than 0"),
    "text": ("training", changed(seconds="long"), "seconds: Input should be a valid list"),
    "a list": ("training", lambda _: [[]], "the whole: Input should be a valid dictionary"),
    "a step less": ("training", lambda lines: lines[:-1], "has 39 measured steps, the result has 40"),
    "other steps": (
        "training", lambda lines: [line | {"seconds": [0.3]} for line in lines], "steps is 0.3 s, that of the"
    ),
    "other size": ("all_reduce", changed(size_bytes=7), "has 19 samples of"),
    "unknown size": ("all_reduce", lambda lines: [*lines, lines[0] | {"size_bytes": 7}], '"size_bytes": 7}, which'),
    "samples of an operator in a training cell": ("training", lambda _: [{"seconds": [1.0]}], "has 0 measured steps"),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "change", "says"), WRONG.values(), ids=WRONG)
def test_wrong_samples_are_named(kind: str, change: Callable[[Lines], Any], says: str) -> None:
    data = text(change(make.sample_lines_of(KINDS[kind].metrics)))
    with pytest.raises(ValueError, match=r"^steps\.jsonl: ") as error:
        check_samples(KINDS[kind], {"steps.jsonl": data})
    assert says in str(error.value)


@pytest.mark.parametrize("data", [b"{", b"\xff\xfe", b'{"seconds": [1]', b"[" * 100_000], ids=range(4))
def test_what_is_no_json_is_named(data: bytes) -> None:
    with pytest.raises(ValueError, match="line 1: is not a JSON object with finite numbers"):
        sample_lines(data)


def test_a_throughput_that_its_steps_do_not_give_is_named() -> None:
    metrics: Any = TRAINED.metrics
    rate = metrics.tokens_per_s.model_copy(update={"median": 1e9})
    result = TRAINED.model_copy(update={"metrics": metrics.model_copy(update={"tokens_per_s": rate})})
    with pytest.raises(ValueError, match=r"gives 7000 tokens/s, the result has 1e\+09"):
        check_samples(result, {"steps.jsonl": text(make.sample_lines_of(metrics))})


def test_requests_agree() -> None:
    lines = requests_of(SERVED)
    check_samples(SERVED, {"requests.jsonl.gz": gzip.compress(text(lines))})
    ended = make.ended_result(make.serve_spec(), Status.OOM, Phase.SERVE, "full")
    check_samples(ended, {"requests.jsonl.gz": gzip.compress(text([{"t_send_s": None}]))})


WRONG_REQUESTS: dict[str, tuple[Callable[[Lines], Lines], str]] = {
    "a request less": (lambda lines: lines[:-1], "has 39 requests, the result has 40"),
    "other tokens": (changed(completion_tokens=0), "completion tokens, the result has 5120"),
    "infinite": (changed(t_end_s=float("inf")), "has the number Infinity"),
    "no time": (lambda lines: [{"a": 1}, *lines[1:]], "line 1: t_send_s: Field required"),
    "other latencies": (lambda lines: [line | {"t_end_s": 1.0} for line in lines], "the median latency"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "says"), WRONG_REQUESTS.values(), ids=WRONG_REQUESTS)
def test_wrong_requests_are_named(change: Callable[[Lines], Lines], says: str) -> None:
    with pytest.raises(ValueError, match=r"^requests.jsonl.gz: ") as error:
        check_samples(SERVED, {"requests.jsonl.gz": gzip.compress(text(change(requests_of(SERVED))))})
    assert says in str(error.value)


@pytest.mark.parametrize("data", [b"no gzip", gzip.compress(b"x" * 1000)[:-9]], ids=["other", "cut"])
def test_what_is_no_gzip_file_is_named(data: bytes) -> None:
    with pytest.raises(ValueError, match="is no gzip file, or truncated"):
        unpacked(data, 2**20)


def test_what_grows_beyond_the_limit_is_not_unpacked() -> None:
    bomb = gzip.compress(bytes(3 * 2**20))
    assert len(unpacked(bomb, 3 * 2**20)) == 3 * 2**20
    with pytest.raises(ValueError, match="is larger than 2 MiB when unpacked"):
        unpacked(bomb, 2 * 2**20)


KERNELS = {
    "name,part,direction,phase,count,total_us\nk,head,forward,forward,3,1.5\n": None,
    "": None,
    "a,b\n1,2\n": "is no table of kernels",
    "name,count,total_us\nk,many,1\n": "is no table of kernels",
    "name,count,total_us\nk,1\n": "is no table of kernels",
    "name,count,total_us\nk,1,inf\n": "has a number that is not finite",
}


@pytest.mark.parametrize(("table", "says"), KERNELS.items())
def test_kernels_are_a_table(table: str, says: str | None) -> None:
    if says is None:
        check_samples(KINDS["profile"], {"kernels.csv": table.encode()})
    else:
        with pytest.raises(ValueError, match=says):
            check_samples(KINDS["profile"], {"kernels.csv": table.encode()})


@pytest.mark.parametrize("number", ["Infinity", "NaN", "1e999"])
def test_no_number_of_a_result_is_infinite(number: str) -> None:
    record = TRAINED.model_dump_json().replace('"tokens_per_s":{"median":7000.0', f'"tokens_per_s":{{"median":{number}')
    with pytest.raises(ValueError, match=r"metrics.training.tokens_per_s.median: Input should be a finite number"):
        parse_result(record.encode())


@pytest.mark.parametrize("name", ["step_time_s", "tokens_per_s"])
@pytest.mark.parametrize("part", ["median", "low", "high", "mean"])
def test_no_time_and_no_throughput_of_a_result_is_zero(name: str, part: str) -> None:
    """Tables and checks divide by them."""
    record = TRAINED.model_dump(mode="json")
    record["metrics"][name][part] = 0.0
    with pytest.raises(ValueError, match=rf"metrics.training.{name}.{part}: Input should be greater than 0"):
        parse_result(json.dumps(record).encode())
