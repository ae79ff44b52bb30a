"""From experiments to serving cells: policies, tensor parallel, arrivals, what a site offers, what no key holds."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from dissect.cells.any_spec import parse_spec
from dissect.cells.cell import Cell
from dissect.cells.site import VARIABLE, ServingSite
from dissect.cells.spec import ServeSpec
from dissect.cells.study import Study, load_study
from dissect.config.errors import ConfigError

A800 = "config/platforms/a800.yaml"


def study(project: Path, **options: Any) -> Study:
    return load_study(project, {"suite": "full", **options})


def cells(made: Study, experiment: str, **where: str) -> dict[tuple[str, str, str], Cell]:
    found = [c for c in made.experiments[experiment] if all(getattr(c, k) == v for k, v in where.items())]
    return {(c.model, c.framework, c.method): c for c in found}


def spec_of(cell: Cell) -> ServeSpec:
    assert cell.canonical, cell.unsupported
    spec = parse_spec(cell.canonical)
    assert isinstance(spec, ServeSpec)
    return spec


def add(project: Path, file: str, section: str) -> None:
    path = project / file
    path.write_text(path.read_text().replace("environments:\n", f"environments:\n  {section}\n", 1))


def test_the_paper_s_burst(project: Path) -> None:
    spec = spec_of(cells(study(project, platforms=["a800"]), "fig_6")["llama2-7b", "vllm", "tuned"])
    load = spec.workload
    assert (load.requests, load.input_tokens, load.output_tokens, load.arrival.kind) == (1000, 512, 128, "burst")
    assert (load.dtype, load.stream, load.calibrate) == ("bf16", True, False)


def test_tuned_leaves_everything_to_the_engine_and_aligned_nothing(project: Path) -> None:
    found = cells(study(project, platforms=["a800"]), "fig_6")
    tuned, aligned = (spec_of(found["llama2-7b", "vllm", policy]) for policy in ("tuned", "aligned"))
    told = tuned.settings
    assert (told.max_sequences, told.memory_share, told.chunked_prefill) == (None, None, None)
    told = aligned.settings
    assert (told.max_sequences, told.memory_share, told.chunked_prefill) == (256, 0.9, True)
    assert not tuned.settings.prefix_cache
    assert spec_of(found["llama2-7b", "transformers", "aligned"]).settings.max_sequences is None


def test_tuned_is_what_the_platform_cites_for_each_engine(project: Path) -> None:
    found = {
        (platform, policy, engine): spec_of(cell).settings.model_dump(exclude_none=True, exclude={"prefix_cache"})
        for platform in ("h100", "h200")
        for (_, engine, policy), cell in cells(study(project, platforms=[platform]), "fig_6", model="llama2-7b").items()
        if cell.canonical
    }
    assert found["h200", "tuned", "vllm"] == {"prefill_tokens": 16384, "arguments": []}
    told = found["h200", "tuned", "lightllm"]
    assert (told["memory_share"], told["max_sequences"], told["graph_sequences"]) == (0.9, 1000, 512)
    assert "fa3" in told["arguments"], "the platform's own arguments stay"
    assert found["h100", "tuned", "sglang"] == {"memory_share": 0.9, "graph_sequences": 512, "arguments": []}
    terms = {name: value for name, value in found["h200", "aligned", "vllm"].items() if name != "arguments"}
    assert found["h200", "defaults", "vllm"] == {"arguments": []}
    assert terms == {
        "max_sequences": 256, "memory_share": 0.9, "chunked_prefill": True, "cache_reserve_gib": 3.0,
        "prefill_tokens": 8192, "graph_sequences": 256,
    }  # fmt: skip
    assert found["h200", "aligned", "transformers"] == {
        "memory_share": 0.9, "cache_reserve_gib": 3.0, "prefill_tokens": 8192, "arguments": [],
    }  # fmt: skip


def test_graphs_cover_the_batch_whatever_the_platform_admits(project: Path) -> None:
    path = project / "config/platforms/h200.yaml"
    path.write_text(path.read_text().replace("serving:\n", "serving:\n  aligned: {max_sequences: 64}\n", 1))
    told = spec_of(cells(study(project, platforms=["h200"]), "fig_6")["llama2-7b", "vllm", "aligned"]).settings
    assert (told.max_sequences, told.graph_sequences) == (64, 64)


def test_policies_that_come_out_the_same_are_one_measurement(project: Path) -> None:
    found = cells(study(project), "fig_6", framework="transformers")
    assert {method for _, _, method in found} == {"tuned", "aligned", "defaults"}
    assert len({cell.key for cell in found.values()}) == 1


def test_tensor_parallel_is_the_model_s_on_the_platform(project: Path) -> None:
    found = cells(study(project, platforms=["a800"]), "fig_6")
    degrees = {model: cell.n_gpus for (model, engine, _), cell in found.items() if engine == "vllm"}
    assert degrees == {"llama2-7b": 1, "llama2-13b": 1, "llama2-70b": 4}


def test_environment_of_servers_alone(project: Path) -> None:
    made = study(project, platforms=["rtx4090"])
    assert spec_of(cells(made, "fig_6")["llama2-7b", "vllm", "tuned"]).hardware.environment["NCCL_P2P_DISABLE"] == "1"
    training = next(cell for cell in made.experiments["table_III"] if cell.canonical)
    assert "NCCL_P2P_DISABLE" not in (training.canonical or "")


@pytest.mark.parametrize(
    ("platform", "model", "engine", "reason"),
    [
        ("cpu", "llama-tiny", "vllm", "vllm runs on GPUs only"),
        ("a800", "llama2-7b", "lightllm", "the platform declares no environment for lightllm"),
        ("a800", "llama2-70b", "transformers", "transformers serve does not support tensor parallelism"),
    ],
)
def test_what_cannot_be_served_says_why(project: Path, platform: str, model: str, engine: str, reason: str) -> None:
    assert cells(study(project, platforms=[platform]), "fig_6")[model, engine, "tuned"].unsupported == reason


def test_tgi_needs_more_than_a_python(project: Path) -> None:
    add(project, A800, "tgi: {interpreter: python3, versions: {tgi: 3.3.7}}")
    assert "TGI is not a Python package" in str(
        cells(study(project, platforms=["a800"]), "fig_6")["llama2-7b", "tgi", "tuned"].unsupported
    )


def test_tgi_has_neither_chunks_beside_a_limit_nor_fp32(project: Path) -> None:
    add(project, A800, "tgi: {command: tgi, versions: {tgi: 3.3.7}}")
    found = cells(study(project, platforms=["a800"]), "fig_6")
    told = spec_of(found["llama2-7b", "tgi", "aligned"]).settings
    assert (told.max_sequences, told.memory_share, told.chunked_prefill) == (256, 0.9, None)
    path = project / "config/config.yaml"
    text = 'overrides: {"serve/*/*/tgi/*/*": {workload: {dtype: fp32}}}'
    path.write_text(path.read_text().replace("overrides: {}", text))
    found = cells(study(project, platforms=["a800"]), "fig_6")
    assert found["llama2-7b", "tgi", "tuned"].unsupported == "TGI does not support fp32"
    assert found["llama2-7b", "vllm", "tuned"].unsupported is None


def test_three_engines_of_the_paper_by_the_platform_file_alone(project: Path) -> None:
    add(project, A800, "tgi: {container: {runtime: apptainer, image: /images/tgi.sif}, image: 'sha256:ab'}")
    add(project, A800, "lightllm: {interpreter: /opt/lightllm/bin/python, versions: {torch: 2.11.0}}")
    found = cells(study(project, platforms=["a800"]), "fig_6")
    ready = {engine for (_, engine, _), cell in found.items() if cell.canonical}
    assert {"vllm", "lightllm", "tgi"} <= ready
    assert spec_of(found["llama2-7b", "tgi", "tuned"]).software.image == "sha256:ab"


def test_sglang_stands_beside_the_engines_of_the_paper_and_decides_no_claim(project: Path) -> None:
    made = study(project, platforms=["h200"], select="serve/h200/llama2-7b/sglang/*/*")
    shown = ("fig_6", "latency", "table_serving", "table_serving_latency", "table_small_burst", "table_arrival")
    assert all(cells(made, name, framework="sglang") for name in shown)
    assert {cell.framework for cell in made.selected} == {"sglang"}
    here = study(project, platforms=["a800"])
    ready = {cell.framework for cell in cells(here, "fig_6").values() if cell.canonical}
    assert "sglang" in ready
    decided = {cell.framework for cell in here.claims.cells if cell.stage == "serve"}
    assert decided == {"vllm", "lightllm", "tgi"}


def test_where_things_lie_is_no_part_of_a_key(project: Path) -> None:
    before = cells(study(project, platforms=["h200"]), "fig_6")["llama2-7b", "vllm", "aligned"]
    path = project / "config/platforms/h200.yaml"
    path.write_text(path.read_text().replace("/dev/shm/llm-dissect/checkpoints", "/scratch/checkpoints"))
    after = cells(study(project, platforms=["h200"]), "fig_6")["llama2-7b", "vllm", "aligned"]
    assert (before.key, before.path) == (after.key, after.path)
    assert "/scratch/checkpoints" in after.launcher
    variable = shlex.split(after.launcher)[1]
    assert variable.startswith(f"{VARIABLE}=")
    site = ServingSite.model_validate_json(variable.partition("=")[2])
    assert (site.checkpoints, site.python) == ("/scratch/checkpoints", "python3")
    assert shlex.split(after.launcher)[0] == "env"
    elsewhere = cells(study(project, platforms=["a800"]), "fig_6")["llama2-7b", "vllm", "aligned"]
    assert json.loads(elsewhere.canonical or "")["client"]["lock_sha256"]


def test_arrivals_are_an_axis(project: Path) -> None:
    made = study(project, platforms=["a800"], models=["llama2-7b"])
    found = {cell.workload: spec_of(cell) for cell in made.experiments["table_arrival"] if cell.framework == "vllm"}
    assert {name.split("-")[3] for name in found} == {"poisson2", "poisson8", "constant8"}
    assert {spec.workload.arrival.rate for spec in found.values()} == {2.0, 8.0}
    protocols = {spec.workload.arrival.label: spec.protocol for spec in found.values()}
    assert protocols["poisson2"] == protocols["poisson8"] == protocols["constant8"] + 1


def test_a_search_for_a_rate_is_an_arrival(project: Path) -> None:
    full = study(project, platforms=["a800"], models=["llama2-7b"])
    for name in ("table_rate", "fig_rate"):
        spec = spec_of(cells(full, name)["llama2-7b", "vllm", "tuned"])
        search = spec.workload.arrival.search
        assert search
        assert (search.ttft_s, search.tpot_s, search.share, search.within) == (2.0, 0.2, 0.99, 0.1)
        assert (search.probes, search.probe_s, spec.workload.requests) == (6, 60.0, 1000)
    assert {cell.workload for cell in full.experiments["table_rate"]} == {"r1000-i512-o128-holds99-ttft2-tpot0.2-n1"}
    assert {cell.objective_ttft_s for cell in full.manifest("table_rate").cells} == {2.0}, "also of those not measured"
    assert {cell.objective_ttft_s for cell in full.manifest("fig_6").cells} == {None}
    smoke = spec_of(cells(study(project, suite="smoke"), "table_rate")["llama-tiny", "transformers", "tuned"])
    search = smoke.workload.arrival.search
    assert search
    # Ends and seconds are the platform's, the number of tries the suite's.
    assert (search.lowest, search.highest, search.probes, search.probe_s) == (4, 256, 2, 2)
    assert "search" not in (cells(full, "fig_6")["llama2-7b", "vllm", "tuned"].canonical or "")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ("{workload: {stream: false}}", "a search for a rate needs 'stream'"),
        ("{workload: {bursts: 2}}", "with one of 'bursts'"),
        ("{workload: {calibrate: true}}", "without 'calibrate'"),
    ],
)
def test_a_search_needs_streams_of_one_load(project: Path, changes: str, says: str) -> None:
    config = project / "config/config.yaml"
    text = f'"serve/a800/llama2-7b/vllm/*/*-holds*": {changes}'
    config.write_text(config.read_text().replace("overrides: {}", f"overrides: {{{text}}}"))
    with pytest.raises(ConfigError, match=says):
        study(project, platforms=["a800"])


@pytest.mark.parametrize(
    ("changes", "most"),
    [
        ("requests: 31983, bursts: 1", None),
        ("requests: 31984, bursts: 1", 31983),
        ("requests: 31984, bursts: 2", 15991),
    ],
)
def test_every_prompt_has_a_first_word_of_its_own(project: Path, changes: str, most: int | None) -> None:
    config = project / "config/config.yaml"
    text = f'"serve/a800/llama2-7b/vllm/*/*-burst-*": {{workload: {{{changes}}}}}'
    config.write_text(config.read_text().replace("overrides: {}", f"overrides: {{{text}}}"))
    told = cells(study(project, platforms=["a800"]), "fig_6")["llama2-7b", "vllm", "tuned"].unsupported
    words = "prompts begin with different words of the vocabulary, so workload.requests may be at most"
    assert told == (f"{words} {most}" if most else None)


def test_a_figure_of_one_platform_is_left_out_where_that_is_not_configured(project: Path) -> None:
    here = study(project)
    served = [name for name in here.wanted("figure") if here.catalog.experiments[name].stage == "serve"]
    assert served == ["fig_6", "fig_rate", "latency"]
    wanted = study(project, platforms=["a800", "rtx3090"]).wanted("figure")
    assert {"fig_7", "fig_10", "latency"} <= set(wanted)
    assert not {"fig_8", "fig_9"} & set(wanted)
    # Asked for by name it is drawn, and says that it is empty.
    assert study(project, figures=["fig_9"]).wanted("figure") == ["fig_9"]


def test_overrides_reach_servers(project: Path) -> None:
    text = '"serve/a800/llama2-7b/vllm/*/*": {settings: {max_sequences: 64}, workload: {requests: 10}}'
    config = project / "config/config.yaml"
    config.write_text(config.read_text().replace("overrides: {}", f"overrides: {{{text}}}"))
    cell = cells(study(project, platforms=["a800"]), "fig_6")["llama2-7b", "vllm", "tuned"]
    assert (spec_of(cell).settings.max_sequences, spec_of(cell).workload.requests) == (64, 10)
    assert cell.workload.startswith("r10-")


def test_several_bursts_to_each_server_as_the_docs_ask_for_them(project: Path) -> None:
    config = project / "config/config.yaml"
    asked = '"serve/*/*/*/*/*-burst-*": {workload: {bursts: 5}}'
    config.write_text(config.read_text().replace("overrides: {}", f"overrides: {{{asked}}}\nruns: 3"))
    made = study(project, platforms=["h200"], models=["llama2-7b"])
    burst = cells(made, "fig_6")["llama2-7b", "vllm", "aligned"]
    assert (spec_of(burst).workload.bursts, burst.workload, burst.runs) == (5, "r1000-i512-o128-burst-n1", 3)
    (rates,) = {spec_of(c).workload.bursts for c in made.experiments["table_arrival"] if c.framework == "vllm"}
    assert rates == 1
    assert asked in (Path(__file__).parents[2] / "docs/serving.md").read_text()


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("experiments/fig_6", "method: [tuned, aligned, defaults]", "method: [fast]", "no method 'fast' (known:"),
        ("experiments/fig_6", "framework: [vllm,", "framework: [deepspeed,", "has no framework 'deepspeed'"),
        ("experiments/fig_9", "platform: [rtx4090]", "platform: [rtx5090]", "did you mean 'rtx4090'?"),
        ("experiments/table_arrival", "rate: 2.0", "rate: -1.0", "greater than 0"),
        ("experiments/table_arrival", "{kind: poisson, rate: 2.0}", "{kind: poisson}", "'rate' is required"),
        ("experiments/table_rate", "kind: poisson, search", "kind: constant, search", "'search' is for 'poisson'"),
        ("experiments/table_rate", "kind: poisson, search", "kind: poisson, rate: 2.0, search", "without a 'rate'"),
        ("experiments/table_rate", "tpot_s: 0.2}", "tpot_s: 0.2, lowest: 70.0}", "'highest' is not above 'lowest'"),
        ("platforms/a800", "serving: {gpus: {llama2-7b: 1", "serving: {gpus: {llama3: 1", "unknown model 'llama3'"),
        (
            "platforms/a800",
            "environments:",
            "environments:\n  vllm: {url: 'http://x', lock: vllm}",
            "exactly one of 'lock'",
        ),
        ("platforms/a800", "environments:", "environments:\n  sglang: {url: 'http://x'}", "is required without 'lock'"),
        (
            "platforms/a800",
            "environments:",
            "environments:\n  client: {command: x, versions: {a: '1'}}",
            "needs a 'lock'",
        ),
    ],
)
def test_bad_input_is_one_sentence(project: Path, file: str, old: str, new: str, says: str) -> None:
    path = project / f"config/{file}.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        study(project)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
