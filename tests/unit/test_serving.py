"""The stage serve without servers: records, contract, quantiles, command lines, logs, checkpoint's sizes, prompts."""

import gzip
import json
import math
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import factories as make
from dissect.base.outcome import Phase
from dissect.cells.spec import ServeSpec, Software
from dissect.config.registered import Engine as EngineName
from dissect.machine.clientload import ClientLoad
from dissect.machine.gpus import GpuInfo
from dissect.machine.idle import wait_until_idle
from dissect.stages.serving import contract, engines
from dissect.stages.serving.burst import other_version, pooled_gap, samples_of
from dissect.stages.serving.checkpoint import checkpoint_id, shards_of, tensor_shapes
from dissect.stages.serving.engine import (
    Place,
    ServerReport,
    gap_histogram,
    load_engine,
    memory_phase,
    preemptions,
    total,
)
from dissect.stages.serving.load import RequestRecord, normalise, to_jsonl_gz, workers
from dissect.stages.serving.measure import cannot_fit
from dissect.stages.serving.prompts import make_prompts
from dissect.statistics.quantiles import quantile, quantile_interval
from dissect.statistics.step_times import interval_rank
from yaml_models import architecture

DATA = Path(__file__).parents[1] / "data/serving"
ENGINES: tuple[EngineName, ...] = ("vllm", "lightllm", "tgi", "transformers", "sglang")
ENGINE_FILES = Path(engines.__file__).parent
ENGINE_OF_TGI = load_engine(make.serve_spec(engine="tgi"))
PLACE = Place(Path("/checkpoints/llama"), 8000, (8001, 8002), Path("/own"))


def record(number: int = 0, **changes: Any) -> RequestRecord:
    """An answer of 16 tokens in 15 pieces after 2 s."""
    fields: dict[str, Any] = {
        "request_id": f"r{number}", "status": "ok", "t_send_s": 0.01 * number, "t_first_token_s": 0.5,
        "t_last_token_s": 1.9, "t_end_s": 2.0, "pieces": 15, "prompt_tokens": 64, "completion_tokens": 16,
    }  # fmt: skip
    return RequestRecord.model_validate(fields | changes)


def small(**load: Any) -> ServeSpec:
    return make.serve_spec(**{"requests": 4, "input_tokens": 64, "output_tokens": 16, **load})


def test_what_guidellm_really_wrote_becomes_records() -> None:
    load = normalise((DATA / "guidellm-0.8.1.json").read_bytes())
    assert len(load.records) == 6
    assert {(r.status, r.prompt_tokens, r.completion_tokens, r.pieces) for r in load.records} == {("ok", 64, 8, 8)}
    first = load.records[0]
    assert (first.t_send_s, first.t_first_token_s, first.t_end_s) == (0.0, 0.211535, 0.320855)
    assert load.started_at == 1795354323.7692416
    assert load.end_s == max(r.t_end_s or 0 for r in load.records)
    sends = [r.t_send_s or 0 for r in load.records]
    assert all(before <= after for before, after in pairwise(sends))
    lines = gzip.decompress(to_jsonl_gz(load.records)).splitlines()
    assert [RequestRecord.model_validate_json(line) for line in lines] == load.records


def test_an_errored_request_keeps_its_error() -> None:
    raw = json.loads((DATA / "guidellm-0.8.1.json").read_text())
    lists = raw["benchmarks"][0]["requests"]
    bad = lists["successful"].pop()
    bad["info"] |= {"status": "errored", "error": "429 Too Many Requests"}
    bad["info"]["timings"] |= {"first_token_iteration": None, "last_token_iteration": None, "request_end": None}
    lists["errored"] = [bad]
    load = normalise(json.dumps(raw).encode())
    (failed,) = [r for r in load.records if r.status == "error"]
    assert (failed.error, failed.completion_tokens, failed.t_end_s) == ("429 Too Many Requests", None, None)


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"benchmarks": []}', b'{"benchmarks": [{"requests": {}}]}'])
def test_what_is_no_record_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="is no record of one benchmark of guidellm"):
        normalise(raw)


def test_a_fulfilled_contract_has_no_violation() -> None:
    records = [record(n) for n in range(4)]
    assert contract.violation(small(), records, 0.5, None) is None
    assert contract.violation(small(), records, 0.9, 0) is None
    one_more = [record(n, prompt_tokens=65) for n in range(4)]
    assert contract.violation(small(), one_more, 0.5, None) is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"status": "error", "error": "HTTP\n 429"}, "1 of 4 requests failed, 1 of them with: HTTP 429"),
        ({"status": "incomplete"}, "1 of 4 requests failed, 1 of them with: incomplete"),
        ({"completion_tokens": 15}, "1 answers do not have 16 tokens but 15"),
        ({"completion_tokens": None}, "1 answers came without the server's count of their tokens"),
        ({"prompt_tokens": 63}, "the server counted 63, 64 tokens in prompts of 64"),
        ({"prompt_tokens": 65}, "the server counted 64, 65 tokens in prompts of 64"),
        ({"cached_tokens": 48}, "48 prompt tokens came from a prefix cache"),
        ({"t_first_token_s": None}, "request r3 has no time of its tokens"),
        ({"t_first_token_s": 1.95}, "the times of request r3 are out of order"),
        ({"t_end_s": 0.0}, "the times of request r3 are out of order"),
    ],
)  # fmt: skip
def test_each_broken_clause_is_named(changes: dict[str, Any], sentence: str) -> None:
    records = [record(n) for n in range(3)] + [record(3, **changes)]
    assert (contract.violation(small(), records, 0.5, None) or "").startswith(sentence)


def test_what_concerns_the_whole_load_is_named_too() -> None:
    records = [record(n) for n in range(4)]
    assert contract.violation(small(requests=5), records, 0.5, None) == "4 requests are recorded, 5 were to be sent"
    assert contract.violation(small(), records, 0.5, 512) == "512 prompt tokens came from a prefix cache"
    assert "kept a core busy for 97%" in (contract.violation(small(), records, 0.97, None) or "")
    whole = [record(n, t_first_token_s=None, t_last_token_s=None) for n in range(4)]
    assert contract.violation(small(stream=False), whole, 0.5, None) is None


def test_more_answers_at_once_than_were_to_be_admitted_break_the_contract() -> None:
    spec = small(requests=24)
    limited = spec.model_copy(update={"settings": spec.settings.model_copy(update={"max_sequences": 4})})
    together = [record(n, t_send_s=0.0, t_first_token_s=0.5 + 0.001 * n) for n in range(24)]
    assert contract.most_answering(together) == 24
    assert contract.violation(limited, together, 0.5, None) == (
        "24 requests were answered at once, the terms are at most 4"
    )
    waves = [
        record(n, t_send_s=0.0, t_first_token_s=3 * (n // 4) + 0.5, t_last_token_s=3 * (n // 4) + 3, t_end_s=50.0)
        for n in range(24)
    ]
    assert contract.most_answering(waves) == 4
    assert contract.violation(limited, waves, 0.5, None) is None
    assert contract.most_answering([record(0, t_first_token_s=None, t_last_token_s=None)]) is None


def test_latencies_are_differences_of_the_recorded_times() -> None:
    samples = samples_of(small(), [record(0), record(10)])
    assert samples.latency_s == [2.0, 1.9]
    assert samples.ttft_s == [0.5, 0.4]
    assert samples.tpot_s == [0.1, 0.1]
    assert samples.inter_token_s == [0.1, 0.1]
    whole = samples_of(small(stream=False), [record(0, t_first_token_s=None)])
    assert (whole.latency_s, whole.ttft_s, whole.tpot_s, whole.inter_token_s) == ([2.0], None, None, None)
    assert samples_of(small(output_tokens=1), [record(0)]).tpot_s is None


def test_a_quantile_is_where_the_drawn_distribution_gets_there() -> None:
    ordered = [float(n) for n in range(1, 1001)]
    assert [quantile(ordered, share) for share in (0.5, 0.9, 0.95, 0.99, 1)] == [500, 900, 950, 990, 1000]
    assert quantile([3.0, 7.0], 0.5) == 3
    assert quantile([3.0, 7.0], 0.51) == 7
    with pytest.raises(ValueError, match="no quantile"):
        quantile([], 0.5)


@pytest.mark.parametrize("n", [6, 17, 40, 100, 1000])
def test_the_interval_of_the_median_is_that_of_step_times(n: int) -> None:
    ordered = [float(i) for i in range(1, n + 1)]
    rank = interval_rank(n)
    assert quantile_interval(ordered, 0.5) == (rank, n + 1 - rank)


@pytest.mark.parametrize(("n", "share"), [(1000, 0.9), (1000, 0.99), (200, 0.95), (500, 0.5)])
def test_intervals_cover_with_95_percent_and_no_narrower_ones_do(n: int, share: float) -> None:
    low, high = quantile_interval([float(i) for i in range(1, n + 1)], share)
    pmf = [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]
    # x_(l) <= quantile < x_(u) exactly when between l and u - 1 samples lie at or below it.
    assert sum(pmf[: int(low)]) <= 0.025 < sum(pmf[: int(low) + 1])
    assert sum(pmf[int(high) :]) <= 0.025 < sum(pmf[int(high) - 1 :])


def test_a_far_quantile_of_few_samples_ends_with_the_largest() -> None:
    assert quantile_interval([1.0, 2.0, 3.0], 0.99) == (2.0, 3.0)


def test_lightllms_web_server_takes_the_papers_whole_burst() -> None:
    assert tomllib.loads((ENGINE_FILES / "lightllm_hypercorn.toml").read_text())["backlog"] >= 1000


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_is_told_where_to_listen_and_what_to_load(name: EngineName) -> None:
    spec = make.serve_spec(engine=name)
    arguments = load_engine(spec).arguments(spec, PLACE)
    assert "127.0.0.1" in arguments
    assert "8000" in arguments
    assert str(PLACE.checkpoint) in arguments


def told(**settings: Any) -> ServeSpec:
    spec = make.serve_spec(engine="tgi")
    return spec.model_copy(update={"settings": spec.settings.model_copy(update=settings)})


@pytest.mark.parametrize(("share", "room", "fraction"), [(0.9, 0.9, 1.0), (0.45, 0.9, 0.5), (0.95, 0.95, 1.0)])
def test_tgi_plans_with_a_part_of_its_memory_fraction(share: float, room: float, fraction: float) -> None:
    spec = told(memory_share=share)
    arguments = ENGINE_OF_TGI.arguments(spec, PLACE)
    assert float(arguments[arguments.index("--cuda-memory-fraction") + 1]) == pytest.approx(fraction)
    assert float(ENGINE_OF_TGI.environment(spec)["TGI_WIGGLE_ROOM"]) == room


def test_tgi_with_a_limit_prefills_whole_prompts() -> None:
    spec = told(max_sequences=64)
    spec = spec.model_copy(update={"workload": spec.workload.model_copy(update={"input_tokens": 9000})})
    arguments = ENGINE_OF_TGI.arguments(spec, PLACE)
    prefill, prompt = (arguments[arguments.index(f"--max-{name}-tokens") + 1] for name in ("batch-prefill", "input"))
    assert prefill == prompt == "9001"
    assert ENGINE_OF_TGI.environment(spec)["PREFILL_CHUNKING"] == "0"
    assert "PREFILL_CHUNKING" not in ENGINE_OF_TGI.environment(told(max_sequences=None))
    assert ENGINE_OF_TGI.environment(told(max_sequences=None, chunked_prefill=True))["PREFILL_CHUNKING"] == "1"
    with pytest.raises(ValueError, match="TGI ignores max_sequences with chunked_prefill"):
        ENGINE_OF_TGI.environment(told(chunked_prefill=True))


@pytest.mark.parametrize(
    ("declared", "reported", "differs"),
    [
        ("3.3.7", "3.3.6-dev0", False),  # as the tag v3.3.7 reports
        ("3.3.7", "3.3.7", False),
        ("v3.3.5", "3.3.5", False),
        ("3.3.5", "3.3.6-dev0", True),
        ("3.3.7", None, False),
    ],
)
def test_a_version_may_report_another_than_its_own(declared: str, reported: str | None, differs: bool) -> None:
    spec = make.serve_spec(engine="tgi").model_copy(update={"software": Software(versions={"tgi": declared})})
    assert (other_version(spec, ENGINE_OF_TGI, reported) is not None) == differs


VLLM_UP = "Loading weights took 2.1 seconds\nGPU KV cache size: 212,336 tokens\nApplication startup complete.\n"


@pytest.mark.parametrize(
    ("engine", "log", "phase"),
    [
        ("vllm", "torch.OutOfMemoryError: CUDA out of memory. Tried", Phase.LOAD),
        ("vllm", "Model loading took 12.6 GiB\ntorch.OutOfMemoryError: CUDA out of memory", Phase.KV_CACHE),
        ("vllm", "Model loading took 12.6 GiB\nValueError: No available memory for the cache blocks.", Phase.KV_CACHE),
        ("vllm", VLLM_UP.splitlines()[1] + "\nRuntimeError: CUDA error: out of memory", Phase.GRAPH_CAPTURE),
        ("vllm", VLLM_UP + "torch.OutOfMemoryError: CUDA out of memory", Phase.SERVE),
        ("vllm", VLLM_UP, None),
        ("vllm", "To serve, 2 GiB KV cache is needed, which is larger than the available", Phase.KV_CACHE),
        ("tgi", "Warming up model\nNot enough memory to handle 4096 prefill tokens", Phase.KV_CACHE),
        ("tgi", "torch.OutOfMemoryError: CUDA out of memory", Phase.LOAD),
        ("tgi", "Warming up model\nError: Backend(NotEnoughMemory(641))", Phase.KV_CACHE),
        ("lightllm", "210000 is the profiled max_total_token_num with\nCUDA out of memory", Phase.GRAPH_CAPTURE),
        ("sglang", "Load weight end.\nNot enough memory. Please try to increase --mem", Phase.KV_CACHE),
        ("sglang", "Capture cuda graph begin.\nCUDA out of memory", Phase.GRAPH_CAPTURE),
        ("transformers", "Application startup complete.\nRuntimeError: [enforce fail] DefaultCPUAllocator: can't "
         "allocate memory: you tried", Phase.KV_CACHE),
        ("transformers", "MemoryError", Phase.LOAD),
    ],
)  # fmt: skip
def test_out_of_memory_is_told_apart_by_phase(engine: str, log: str, phase: Phase | None) -> None:
    assert memory_phase(log, load_engine(make.serve_spec(engine=engine))) == phase


def test_prefix_hits_are_read_from_metrics() -> None:
    engine = load_engine(make.serve_spec())
    text = '# TYPE x\nvllm:prefix_cache_hits_total{engine="0"} 512.0\nvllm:prefix_cache_hits_total{engine="1"} 1e+02\n'
    assert total(text, engine.prefix_hits) == 612
    assert total("# nothing", engine.prefix_hits) is None


def counted(metrics: str) -> ServerReport:
    return ServerReport(metrics, "")


def test_preemptions_are_those_of_the_load() -> None:
    vllm, sglang = (load_engine(make.serve_spec(engine=name)) for name in ("vllm", "sglang"))
    before, after = (f'vllm:num_preemptions_total{{engine="0",model_name="m"}} {n}.0\n' for n in (3, 74))
    assert preemptions([(counted(before), counted(after))], vllm) == 71
    assert preemptions([(counted(""), counted(after))], vllm) == 74
    assert preemptions([(counted(""), counted("# nothing"))], vllm) is None
    spans = [(counted(""), counted(before)), (counted(before), counted(after))]
    assert (preemptions(spans, vllm), preemptions([*spans, (counted(after), counted(""))], vllm)) == (74, None)
    log = "KV cache pool is full. Retract requests. #retracted_reqs: 2, #new_tokens_gained: 646\n"
    assert preemptions([(ServerReport("", log), ServerReport("", 3 * log))], sglang) == 4
    assert preemptions([(ServerReport("", ""), ServerReport("", "The server is fired up"))], sglang) == 0
    assert preemptions([(counted(before), ServerReport(after, log))], ENGINE_OF_TGI) is None


def test_a_stall_shows_among_the_gaps_that_the_engine_counts() -> None:
    engine = load_engine(make.serve_spec())

    def metrics(*upto: int) -> str:
        bounds = ("0.01", "0.5", "+Inf")
        name = "vllm:inter_token_latency_seconds_bucket"
        return "".join(f'{name}{{engine="0",le="{b}"}} {n}.0\n' for b, n in zip(bounds, upto, strict=True))

    found = gap_histogram([(counted(metrics(5, 6, 6)), counted(metrics(95, 106, 107)))], engine)
    assert found is not None
    assert (found.upper_s, found.counts) == ([0.01, 0.5], [90, 10, 1])
    moments = [counted(metrics(n, 2 * n, 2 * n)) for n in range(5)]
    apart = gap_histogram([(moments[0], moments[1]), (moments[2], moments[4])], engine)
    assert apart is not None
    assert apart.counts == [3, 3, 0], "without those of what was sent in between"
    assert gap_histogram([(counted(""), counted("# nothing"))], engine) is None


def test_a_request_counts_by_its_number_of_gaps() -> None:
    quick = record(0, t_first_token_s=0.5, t_last_token_s=1.5, pieces=11)
    slow = record(1, t_first_token_s=0.5, t_last_token_s=1.5, pieces=2)
    means = samples_of(small(), [quick, slow]).inter_token_s
    assert means == [0.1, 1.0]
    assert pooled_gap(small(), [quick, slow]) == pytest.approx(2 / 11)
    assert pooled_gap(small(stream=False), [quick]) is None


@pytest.mark.parametrize(("model", "parameters"), [("llama2-7b", 6_738_415_616), ("llama2-70b", 68_976_648_192)])
def test_the_checkpoint_has_every_parameter(model: str, parameters: int) -> None:
    shapes = tensor_shapes(architecture(model))
    assert sum(math.prod(shape) for shape in shapes.values()) == parameters
    shards = shards_of(shapes, 2, 4 * 2**30)
    assert [name for names in shards for name in names] == list(shapes)
    assert all(sum(2 * math.prod(shapes[name]) for name in names) <= 4 * 2**30 for names in shards)


def test_another_content_has_another_name() -> None:
    models = (make.LLAMA_7B, make.LLAMA_13B)
    names = {checkpoint_id(m, "bf16", s) for m in models for s in (1, 2)} | {checkpoint_id(models[0], "fp32", 1)}
    assert len(names) == 5


def test_weights_beyond_the_memory_are_not_even_tried() -> None:
    large = make.LLAMA_7B.model_copy(update={"num_hidden_layers": 640})
    assert "the weights alone take" in (cannot_fit(make.serve_spec(model=large)) or "")
    assert cannot_fit(make.serve_spec(make.hardware(n_gpus=4), model=large)) is None
    assert cannot_fit(make.serve_spec()) is None


def test_no_two_prompts_begin_alike_and_the_same_seed_makes_the_same() -> None:
    prompts = [*make_prompts(1000, 512, 32000, 42)]
    assert len({prompt.split()[0] for prompt in prompts}) == 1000
    assert {len(prompt.split()) for prompt in prompts} == {512}
    assert prompts == [*make_prompts(1000, 512, 32000, 42)] != [*make_prompts(1000, 512, 32000, 43)]


def test_the_busiest_process_between_two_moments() -> None:
    load = ClientLoad({1: [(10.0, 5.0), (12.0, 6.0), (14.0, 8.0)], 2: [(13.0, 0.0), (14.0, 0.1)]})
    assert load.busiest(12.0, 14.0) == pytest.approx(1.0)
    assert load.busiest(11.0, 13.0) == pytest.approx((7.0 - 5.5) / 2)
    assert ClientLoad().busiest(0.0, 1.0) == 0
    assert load.busiest(12.0, 12.0) == 0


@pytest.mark.parametrize(("cores", "processes"), [(1, 1), (2, 1), (16, 4), (128, 10)])
def test_processes_of_the_load_generator(cores: int, processes: int) -> None:
    assert workers(cores) == processes


def gpu(index: int, used_bytes: int, pids: frozenset[int] = frozenset()) -> GpuInfo:
    return GpuInfo(index, "NVIDIA H200", f"GPU-{index}", "580", 140 * 2**30, 700.0, {}, pids, used_bytes)


def test_a_used_gpu_is_named_with_its_process() -> None:
    free, seen, unseen = found = [gpu(0, 2**28), gpu(1, 2**33, frozenset({99999999})), gpu(2, 2**33)]
    assert wait_until_idle([free], lambda: found, 140 * 2**30, 0.0) is None
    assert (
        wait_until_idle([seen], lambda: found, 140 * 2**30, 0.0) == "GPU 1: process 99999999 (not to be seen from here)"
    )
    assert "GPU 2 has 8.0 GiB of its memory in use by" in (
        wait_until_idle([free, unseen], lambda: found, 140 * 2**30, 0.0) or ""
    )


def test_one_waits_until_it_is_gone() -> None:
    looks = iter([[gpu(0, 2**33)], [gpu(0, 0)]])
    assert wait_until_idle([gpu(0, 0)], lambda: next(looks), 140 * 2**30, 60.0) is None
