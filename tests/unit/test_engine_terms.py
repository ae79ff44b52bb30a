"""Terms of engines: what is asked for, what each engine reports in its own words, what contradicts.

The lines are those that the source writes: vLLM 0.22.0, LightLLM 1.2.0, SGLang 0.5.5 and 0.5.17, TGI 3.3.7.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import factories as make
from dissect.cells.spec import ServeSpec
from dissect.metrics.serving import EngineTerms
from dissect.present.tables.serving_views import MeasuredServing
from dissect.stages.serving.engine import Place, ServerReport, load_engine, preemptions
from dissect.stages.serving.engine_terms import asked_cache_bytes_per_gpu, contradiction, read_terms
from dissect.stages.serving.measure import cannot_fit
from dissect.workloads.kv_cache import asked_cache_tokens, cache_bytes_of

GIB = 2**30
PLACE = Place(Path("/checkpoints/llama"), 8000, (8001, 8002), Path("/tmp/server"))
GRAPHS = ", ".join(map(str, [1, 2, 4, *range(8, 257, 8)]))
VLLM_LOG = f"""\
INFO [scheduler.py:239] Chunked prefill is enabled with max_num_batched_tokens=8192.
(EngineCore pid=7) INFO [core.py:112] Initializing a V1 LLM engine (v0.22.0) with config: model='/m', seed=42, \
enable_prefix_caching=False, enable_chunked_prefill=True, compilation_config={{'cudagraph_capture_sizes': [{GRAPHS}]}}
(EngineCore pid=7) INFO [gpu_worker.py:387] Initial free memory 138.9 GiB, reserved 109.0 GiB memory for KV Cache as \
specified by kv_cache_memory_bytes config and skipped memory profiling.
(EngineCore pid=7) INFO [kv_cache_utils.py:1733] GPU KV cache size: 223,232 tokens
(EngineCore pid=7) INFO [kv_cache_utils.py:1734] Maximum concurrency for 4,096 tokens per request: 54.50x
(APIServer pid=1) INFO [loggers.py:271] Engine 000: Avg generation throughput: 9.0 tokens/s, Running: 256 reqs, \
Waiting: 700 reqs, GPU KV cache usage: 61.1%
(APIServer pid=1) INFO [loggers.py:271] Engine 000: Running: 44 reqs, Waiting: 0 reqs
"""
VLLM_CONFIGURATION = f"""\
{{"vllm_config": {{"scheduler_config": {{"max_num_batched_tokens": 8192, "max_num_seqs": 256}}, \
"compilation_config": {{"cudagraph_capture_sizes": [{GRAPHS}]}}}}}}"""
VLLM_METRICS = """\
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="16",cache_dtype="auto",enable_prefix_caching="False",engine="0",\
hash_block_size="None",mamba_block_size="8",num_gpu_blocks="13952",num_gpu_blocks_override="None"} 1.0
"""
LIGHTLLM_LOG = f"""\
INFO 11-27 10:00:01 [manager.py:190] set shm_max_total_token_num value to 223232
INFO 11-27 10:00:02 [cuda_graph.py:68] cuda graph batch_sizes: [{GRAPHS}]
DEBUG 11-27 10:00:09 [manager.py:240] dp_i 0 current batch size: 256 \r
DEBUG 11-27 10:00:09 [manager.py:240] dp_i 0 paused req num: 0 \r
DEBUG 11-27 10:00:09 [infer_batch.py:332] infer paused req id 77
DEBUG 11-27 10:00:09 [infer_batch.py:356] infer recover paused req id 77
DEBUG 11-27 10:00:12 [infer_batch.py:332] infer paused req id 91
"""
LIGHTLLM_SETTINGS = (
    '{"model_dir":"/m","max_total_token_num":null,"mem_fraction":0.9,"batch_max_tokens":8192,'
    '"running_max_req_size":256,"disable_dynamic_prompt_cache":true,"graph_max_batch_size":256}'
)
SGLANG_LOG = f"""\
[2026-11-27 10:00:01] KV Cache is allocated. #tokens: 223232, K size: 54.50 GB, V size: 54.50 GB
[2026-11-27 10:00:02] Capture cuda graph bs [{GRAPHS}]
[2026-11-27 10:00:09] max_total_num_tokens=223232, chunked_prefill_size=8192, max_prefill_tokens=8192, \
max_running_requests=256, context_len=4096, available_gpu_mem=12.10 GB
[2026-11-27 10:00:20] Prefill batch. #new-seq: 16, #new-token: 8192, #cached-token: 0, #running-req: 240, #queue-req: 9
[2026-11-27 10:00:21] Decode batch, #running-req: 256, #token: 150000, token usage: 0.67, cuda graph: True
"""
SGLANG_LATER = SGLANG_LOG.replace("KV Cache is allocated. ", "KV Cache is allocated. dtype: torch.bfloat16, ").replace(
    f"Capture cuda graph bs [{GRAPHS}]",
    "Capture target prefill CUDA graph begin. backend=tc_piecewise, num_tokens=[4, 8, 8192], avail mem=12.31 GB\n"
    f"[2026-11-27 10:00:03] Capture target decode CUDA graph begin. backend=full, num_tokens_per_req=1, bs=[{GRAPHS}], "
    "avail mem=12.30 GB",
)
SGLANG_SETTINGS = '{"max_running_requests":256,"disable_radix_cache":true,"max_total_num_tokens":223232}'
TGI_LOG = """\
INFO text_generation_launcher: Args {
    max_batch_prefill_tokens: Some(
        8192,
    ),
    max_batch_total_tokens: None,
    max_batch_size: Some(
        256,
    ),
}
INFO text_generation_launcher: Using prefix caching = False
INFO text_generation_launcher: Using prefill chunking = False
INFO text_generation_router_v3: backends/v3/src/lib.rs:125: Warming up model
INFO text_generation_launcher: KV-cache blocks: 226001, size: 1
INFO text_generation_launcher: Cuda Graphs are enabled for sizes [256, 128, 64, 32, 16, 8, 4, 2, 1]
INFO text_generation_router_v3: backends/v3/src/lib.rs:137: Setting max batch total tokens to 226001
"""
TRANSFORMERS_LOG = """\
INFO:ContinuousBatchingLogger:Paged cache initialized: self.max_batch_tokens = 8192, \
self.num_blocks = 872, self.block_size = 256
"""
REPORTS: dict[str, tuple[str, dict[str, str]]] = {
    "vllm": (VLLM_LOG, {"/server_info?config_format=json": VLLM_CONFIGURATION, "/metrics": VLLM_METRICS}),
    "lightllm": (LIGHTLLM_LOG, {"/get_server_info": LIGHTLLM_SETTINGS}),
    "sglang": (SGLANG_LOG, {"/get_server_info": SGLANG_SETTINGS}),
    "tgi": (TGI_LOG, {}),
    "transformers": (TRANSFORMERS_LOG, {}),
}
ALL = {"max_sequences", "most_running", "cache_tokens", "cache_bytes", "prefill_tokens", "graph_sequences",
       "prefix_cache"}  # fmt: skip
SAID: dict[str, set[str]] = {
    "vllm": ALL, "lightllm": ALL - {"cache_bytes"}, "sglang": ALL,
    "tgi": ALL - {"cache_bytes", "most_running"}, "transformers": {"cache_tokens", "prefill_tokens"},
}  # fmt: skip
"""Engine -> terms that it reports."""


def reported(engine: str, log: str | None = None, answers: dict[str, str] | None = None) -> EngineTerms:
    said, answered = REPORTS[engine]
    reports = load_engine(make.serve_spec(engine=engine)).terms
    return read_terms(reports, said if log is None else log, answered if answers is None else answers, 1)


def test_sglang_reports_the_same_in_other_words() -> None:
    assert SGLANG_LATER.count("Capture") == 2
    assert reported("sglang", SGLANG_LATER) == reported("sglang")


def test_all_engines_get_the_same_room_for_keys_and_values() -> None:
    """0.9 of 140 GiB, less the weights and 3 GiB, at half a MiB per token and whole pages."""
    room = 0.9 * 140 * GIB - 2 * 6_738_415_616 - 3 * GIB
    assert asked_cache_tokens(make.serve_spec()) == room // (2**19 * 256) * 256 == 226_048
    assert asked_cache_tokens(make.serve_spec(aligned=False)) is None


def test_two_gpus_share_weights_and_cache() -> None:
    two = make.serve_spec(make.hardware(n_gpus=2), model=make.LLAMA_70B)
    tokens, each = asked_cache_tokens(two), asked_cache_bytes_per_gpu(two)
    assert tokens
    assert each == 2 * 80 * 4 * 128 * 2 * tokens
    weights = 0.9 * 140 * GIB - 3 * GIB - each
    assert weights * 2 == pytest.approx(137_953_296_384, rel=1e-3)  # two bytes for each of 69 billion parameters


def test_a_gpu_that_holds_less_than_a_request_is_not_tried() -> None:
    small = make.hardware(n_gpus=1).model_copy(update={"device_memory_bytes": 17 * GIB})
    assert cannot_fit(make.serve_spec(small)) == "the terms leave a KV cache of 0 tokens, one request takes 640"
    assert cannot_fit(make.serve_spec(small, aligned=False)) is None


FLAGS = {
    "vllm": ["--kv-cache-memory-bytes", "--max-num-batched-tokens", "--max-cudagraph-capture-size", "--max-num-seqs"],
    "lightllm": ["--max_total_token_num", "--batch_max_tokens", "--graph_max_batch_size", "--running_max_req_size"],
    "sglang": ["--max-total-tokens", "--chunked-prefill-size", "--cuda-graph-max-bs", "--max-running-requests"],
    "transformers": ["--cb-num-blocks", "--cb-max-batch-tokens"],
}


@pytest.mark.parametrize("name", FLAGS)
def test_each_engine_is_told_the_same_in_its_own_words(name: str) -> None:
    spec, tokens = make.serve_spec(engine=name), 226_048
    told = load_engine(spec).arguments(spec, PLACE)
    cache = {"vllm": tokens * 2**19, "transformers": tokens // 256}.get(name, tokens)
    assert [told[told.index(flag) + 1] for flag in FLAGS[name]] == [str(n) for n in (cache, 8192, 256, 256)][
        : len(FLAGS[name])
    ]
    unasked = make.serve_spec(engine=name, aligned=False)
    assert not set(FLAGS[name]) & set(load_engine(unasked).arguments(unasked, PLACE))


def test_tgi_captures_graphs_that_cover_the_batch() -> None:
    spec = make.serve_spec(engine="tgi")
    told = load_engine(spec).arguments(spec, PLACE)
    assert told[told.index("--cuda-graphs") + 1] == "1,2,4,8,16,32,64,128,256"
    assert told[told.index("--max-batch-prefill-tokens") + 1] == "8192"


@pytest.mark.parametrize("name", REPORTS)
def test_every_term_that_an_engine_reports_is_read(name: str) -> None:
    terms = reported(name)
    asked = {
        "max_sequences": 256, "most_running": 256, "prefill_tokens": 8192, "graph_sequences": 256,
        "prefix_cache": False, "cache_tokens": 226_001 if name == "tgi" else 223_232, "cache_bytes": 109 * GIB,
    }  # fmt: skip
    assert terms.model_dump(exclude_none=True) == {term: asked[term] for term in SAID[name]}
    assert contradiction(make.serve_spec(engine=name), terms) is None


def test_vllm_without_its_configuration_still_reports_most_in_its_log() -> None:
    terms = reported("vllm", answers={})
    assert (terms.max_sequences, terms.prefill_tokens, terms.graph_sequences, terms.prefix_cache) == (
        None, 8192, 256, False,
    )  # fmt: skip
    assert reported("vllm", log="").cache_tokens == 13_952 * 16


def test_an_engine_that_says_nothing_reports_nothing() -> None:
    assert all(reported(name, "", {}) == EngineTerms() for name in REPORTS)


def test_tgi_that_splits_prompts_has_no_limit_though_it_was_told_one() -> None:
    split = TGI_LOG.replace("chunking = False", "chunking = True")
    assert reported("tgi", split).max_sequences is None


def test_an_engine_without_graphs_says_so() -> None:
    none = re.sub(r"enabled for sizes \[.*\]", "disabled (CUDA_GRAPHS=None).", TGI_LOG)
    terms = reported("tgi", none)
    assert terms.graph_sequences == 0
    assert contradiction(make.serve_spec(engine="tgi"), terms) == (
        "the engine reports CUDA graphs up to 0 requests, the terms are 256"
    )


@pytest.mark.parametrize(
    ("engine", "told", "says", "sentence"),
    [
        ("vllm", '"max_num_seqs": 256', '"max_num_seqs": 1024', "1024 requests at once, the terms are 256"),
        ("vllm", "Running: 256", "Running: 438", "438 requests ran at once, the terms are at most 256"),
        ("vllm", "223,232", "180,000", "a KV cache of 180000 tokens, the terms are 226048"),
        ("vllm", 'caching="False"', 'caching="True"', "that its prefix cache is on"),
        ("vllm", "reserved 109.0", "reserved 54.5", "54.50 GiB for 223232 tokens, the model's sizes give 109.00 GiB"),
        ("lightllm", '"batch_max_tokens":8192', '"batch_max_tokens":16384',
         "16384 tokens of prompts in a step, the terms are 8192"),
        ("lightllm", "prompt_cache\":true", "prompt_cache\":false", "that its prefix cache is on"),
        ("lightllm", ", 256]", "]", "CUDA graphs up to 248 requests, the terms are 256"),
        ("sglang", "max_running_requests=256", "max_running_requests=128", "128 requests at once, the terms are 256"),
        ("sglang", "cache\":true", "cache\":false", "that its prefix cache is on"),
        ("tgi", "prefix caching = False", "prefix caching = True", "that its prefix cache is on"),
        ("tgi", "total tokens to 226001", "total tokens to 190000", "190000 tokens, the terms are 226048"),
        ("transformers", "num_blocks = 872", "num_blocks = 436", "111616 tokens, the terms are 226048"),
    ],
)  # fmt: skip
def test_a_report_that_contradicts_the_terms_is_one_sentence(engine: str, told: str, says: str, sentence: str) -> None:
    log, answers = REPORTS[engine]
    texts = [log, *answers.values()]
    assert any(told in text for text in texts)
    changed = {path: text.replace(told, says) for path, text in answers.items()}
    found = contradiction(make.serve_spec(engine=engine), reported(engine, log.replace(told, says), changed))
    assert found
    assert found.startswith("the engine reports ")
    assert found.endswith(sentence)


def test_what_is_left_to_the_engine_contradicts_nothing() -> None:
    tuned = make.serve_spec(aligned=False)
    terms = EngineTerms(max_sequences=1024, most_running=438, cache_tokens=99, prefill_tokens=1, graph_sequences=0)
    assert contradiction(tuned, terms) is None
    assert contradiction(tuned, EngineTerms(prefix_cache=True)) == "the engine reports that its prefix cache is on"


def test_bytes_of_the_cache() -> None:
    # 2 x 32 layers x 4096 x 2 bytes: half a MiB per token, on one GPU and on four alike.
    assert cache_bytes_of(make.serve_spec(), 1000) == 1000 * 2**19
    assert cache_bytes_of(make.serve_spec(make.hardware(n_gpus=4)), 1000) == 1000 * 2**19
    grouped = make.LLAMA_7B.model_copy(update={"num_key_value_heads": 2})
    assert cache_bytes_of(make.serve_spec(make.hardware(n_gpus=4), model=grouped), 1000) == 1000 * 2**19 // 32 * 4


def test_lightllm_pauses_are_preemptions() -> None:
    engine = load_engine(make.serve_spec(engine="lightllm"))
    silent, elsewhere = ServerReport("", ""), ServerReport("", None)
    assert preemptions([(silent, ServerReport("", LIGHTLLM_LOG))], engine) == 2
    assert preemptions([(silent, silent)], engine) == 0
    assert preemptions([(elsewhere, elsewhere)], engine) is None, "a server of somebody else has no log here"


def spec_told(**settings: Any) -> ServeSpec:
    spec = make.serve_spec(aligned=False)
    return spec.model_copy(update={"settings": spec.settings.model_copy(update=settings)})


@pytest.mark.parametrize("field", ["cache_reserve_gib", "prefill_tokens", "graph_sequences"])
def test_earlier_specs_have_no_such_field(field: str) -> None:
    assert field not in make.serve_spec(aligned=False).model_dump(mode="json")["settings"]
    assert field in spec_told(**{field: 7}).model_dump(mode="json")["settings"]


def words(engine: str) -> Sequence[str]:
    return [
        report.words for reports in load_engine(make.serve_spec(engine=engine)).terms.values() for report in reports
    ]


@pytest.mark.parametrize("name", REPORTS)
def test_only_known_terms_are_named(name: str) -> None:
    assert set(load_engine(make.serve_spec(engine=name)).terms) <= set(EngineTerms.model_fields)
    assert all(re.compile(each).groups for each in words(name))


def test_rates_are_those_of_the_median_burst() -> None:
    spec = make.serve_spec(requests=10)
    one = make.serving_metrics(spec, 12.0)
    several = one.model_copy(
        update={
            "requests": 30, "completion_tokens": 3 * one.completion_tokens, "duration_s": 72.0,
            "burst_durations_s": [10.0, 12.0, 50.0],
        }
    )  # fmt: skip
    single, measured = (MeasuredServing(spec, metrics, None, None) for metrics in (one, several))
    assert single.per_second(one.completion_tokens) == measured.per_second(several.completion_tokens)
    assert measured.burst_s == 12.0
