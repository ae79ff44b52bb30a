"""What a runner measures with, as far as no library is needed to see it: see tests/protocols.py."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

import factories as make
from dissect.base.registry import ENGINES, INSPECTIONS
from dissect.cells.engines import engine_facts
from dissect.cells.runners import runners
from dissect.cells.site import ServingSite
from dissect.cells.spec import ServeSpec
from dissect.config.environment import Container
from dissect.machine.node import look_at_node
from dissect.ranks.runner import load_inspector
from dissect.stages.serving import engines
from dissect.stages.serving.calibration import bench_command
from dissect.stages.serving.checkpoint import checkpoint_id
from dissect.stages.serving.engine import Engine, Place, load_engine
from dissect.stages.serving.load import Target, command
from dissect.stages.serving.prompts import make_prompts
from dissect.stages.serving.server import command_of, own_environment
from dissect.stages.serving.startup import request_body
from dissect.stages.training.deepspeed.configuration import deepspeed_config
from protocols import FOLDER, beyond, check_protocol, command_lines, golden_of, read_protocol, shown

ENGINE_FILES = str(Path(engines.__file__).parent)
PLACE = Place(Path("/checkpoints/llama"), 8000, (8001, 8002), Path("/own"))
OFFLOAD = {"offload_optimizer": True, "optimizer": "deepspeed_cpu_adam"}
METHODS: dict[str, dict[str, Any]] = {
    "Naive": {},
    "Z2": {"zero_stage": 2},
    "Z2+O": {"zero_stage": 2, **OFFLOAD},
    "BS": {"states": "bf16"},
    "Z2+BS": {"zero_stage": 2, "states": "bf16"},
    "Z2, defaults": {"zero_stage": 2, "stage2_settings": "deepspeed"},
    "Z3": {"zero_stage": 3},
    "Z3, authors": {"zero_stage": 3, "stage3_sizes": "authors"},
    "Z3, own": {"zero_stage": 3, "stage3_sizes": {"reduce_bucket": 7, "prefetch": 8, "persistence": 9}},
    "Z3, whole layers": {
        "zero_stage": 3, "stage3_sizes": {"reduce_bucket": 7, "prefetch": 8, "persistence": 9, "whole_layers": True}
    },
    "Z3+O": {"zero_stage": 3, "offload_parameters": True, **OFFLOAD},
}  # fmt: skip


@pytest.mark.parametrize(("stage", "framework"), runners())
def test_every_runner_has_a_file_of_its_protocol(stage: str, framework: str) -> None:
    assert read_protocol(stage, framework).get("protocol") == runners()[stage, framework].protocol, (
        f"{golden_of(stage, framework)}: write it anew with UPDATE_GOLDEN=1, by all tests that write to it"
    )


def test_no_file_is_of_another_runner() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {golden_of(*runner).name for runner in runners()}


@pytest.mark.parametrize("stage", ["pretrain", "finetune", "profile"])
def test_deepspeeds_configuration_for_7b_on_four_gpus(stage: str) -> None:
    factory = {"pretrain": make.pretrain_spec, "finetune": make.finetune_spec, "profile": make.profile_spec}[stage]
    first, *others = [(name, [{"config": deepspeed_config(factory(**knobs))}]) for name, knobs in METHODS.items()]
    more = {f"{name}, beyond {first[0]}": beyond(first[1], config)["calls"] for name, config in others}
    check_protocol(stage, "deepspeed", "configuration on GPUs", {first[0]: shown(first[1])} | more)


def serving_spec(engine: str, **changes: Any) -> ServeSpec:
    spec = make.serve_spec(make.hardware(n_gpus=4), engine=engine, requests=1000, **changes)
    return spec.model_copy(update={"settings": spec.settings.model_copy(update={"arguments": ["--site", "1"]})})


def sites(engine: str) -> dict[str, ServingSite]:
    """Every way in which a platform may have the engine started."""
    here: dict[str, dict[str, Any]] = {
        runtime: {
            "container": Container.model_validate(
                {"runtime": runtime, "image": "/images/engine", "options": ["--site"]}
            )
        }
        for runtime in ("apptainer", "docker")
    } | {"command": {"command": "another 'launcher of the site'"}}
    if engine_facts(engine).python_package:
        here = {"python": {"python": "envs/run engine@3.12 -- python"}} | here
    return {name: ServingSite(checkpoints="c", keep_checkpoints=True, **how) for name, how in here.items()}


@pytest.mark.parametrize("name", ENGINES)
def test_how_a_server_is_started(name: str) -> None:
    tuned, aligned = serving_spec(name, aligned=False), serving_spec(name)
    engine = load_engine(tuned)
    arguments, more = (command_lines(engine.arguments(spec, PLACE)) for spec in (tuned, aligned))
    environment = own_environment(aligned, engine)
    found = {
        "started": {way: start_of(tuned, engine, site) for way, site in sites(name).items()},
        "arguments": {"tuned": arguments, "aligned, beyond tuned": [line for line in more if line not in arguments]},
        "environment": {"tuned": own_environment(tuned, engine), "aligned": environment},
        "files": {path.name: tomllib.loads(path.read_text()) for path in map(Path, engine.files)},
    }
    check_protocol("serve", name, "server", json.loads(json.dumps(found).replace(ENGINE_FILES, "<engines>")))


def start_of(spec: ServeSpec, engine: Engine, site: ServingSite) -> list[Any]:
    """The command without the engine's arguments, which are always its end."""
    parts, arguments = command_of(spec, engine, site, PLACE, "name"), engine.arguments(spec, PLACE)
    assert parts[-len(arguments) :] == arguments
    return command_lines(parts[: -len(arguments)])


@pytest.mark.parametrize("name", ENGINES)
def test_what_a_server_is_asked(name: str) -> None:
    engine, burst = load_engine(serving_spec(name)), serving_spec(name)
    target = Target("http://127.0.0.1:8000", engine.model_name(PLACE.checkpoint), PLACE.checkpoint, dict(engine.body))

    def sent(spec: ServeSpec) -> list[Any]:
        return command_lines(command(spec, target, Path("prompts.jsonl"), Path("guidellm.json"))[1:])

    poisson = sent(serving_spec(name, arrival={"kind": "poisson", "rate": 4.0}))
    searching = sent(serving_spec(name, arrival={"kind": "poisson", "search": {}}))
    first = [*make_prompts(2, 8, burst.model.vocab_size, burst.workload.seed)]
    found: dict[str, Any] = {
        "checkpoint of 7B": checkpoint_id(burst.model, burst.workload.dtype, burst.workload.seed),
        "prompts": first,
        "warm-up": request_body(engine, PLACE.checkpoint, first[0], burst.workload.output_tokens),
        "load": {
            "burst": sent(burst),
            "poisson, beyond burst": [part for part in poisson if part not in sent(burst)],
            "search, beyond burst": [part for part in searching if part not in sent(burst)],
        },
    }
    if engine.calibrates:
        bench = bench_command(burst, engine, sites(name)["python"], PLACE.checkpoint, target.url, Path("/cell"))
        found["second load generator"] = command_lines(bench)
    check_protocol("serve", name, "requests", found)


@pytest.mark.parametrize("name", INSPECTIONS)
def test_what_an_inspection_looks_at(name: str) -> None:
    spec = make.inspect_spec(make.hardware(device="cpu", n_gpus=1))
    found = load_inspector(spec).inspect(look_at_node(spec.hardware)).metrics
    check_protocol("inspect", name, "facts", sorted(found.model_dump()) if found else None)
