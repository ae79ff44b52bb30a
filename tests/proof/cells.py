"""The cells of a configuration, worked out from its plain data; a cell's fingerprint holds all that can change it."""

import math
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product
from typing import Any

from proof import serving, stages
from proof.letters import knobs_of
from proof.reading import LETTERED, Refused, Yaml, environment_of, every_method, letters_of, named, normal
from proof.stages import BUILT, numbers

Json = Any

SAMPLING = {
    "warmup_min_steps": 2, "warmup_max_steps": 10, "min_steps": 10, "max_steps": 50, "interval_target": 0.02,
    "window_s": 4, "budget_s": 900,
}  # fmt: skip
OF_OPERATORS = SAMPLING | {"warmup_min_steps": 3, "window_s": 60}


@dataclass(frozen=True)
class Cell:
    """One cell: its readable id, and its fingerprint or why it cannot exist."""

    id: str
    fingerprint: str | None
    reason: str | None = None


def cells_of(config: Yaml, experiment: Yaml) -> Iterator[Cell]:
    axes = experiment["axes"] | {
        key: value
        for key, value in experiment.get("suites", {}).get(config["root"]["suite"], {}).items()
        if value is not None
    }
    stage = experiment["stage"]
    cell_of = {"operators": operator_cell, "serve": serve_cell}.get(stage, training_cell)
    loads = axes.get("arrival", serving.BURST) if stage == "serve" else axes.get("batch", [1])
    for name in platforms_of(config, experiment):
        platform = config["platforms"][name]
        counts = counts_of(axes, platform)
        if stage == "inspect":
            for framework, count in product(axes["framework"], counts):
                yield inspect_cell(config, name, framework, count)
            continue
        methods = [(each, name) for each in axes["framework"] for name in named(axes, config, stage in LETTERED, each)]
        products = product(models_of(config, axes, platform), methods, loads, counts)
        points: Any = ((model, *method, load, count) for model, method, load, count in products)
        if stage == "operators":
            points = dict.fromkeys((p[0] if p[2] in stages.OF_A_MODEL else "-", *p[1:]) for p in points)
        for point in points:
            yield cell_of(config, experiment, name, *point)


def platforms_of(config: Yaml, experiment: Yaml) -> list[str]:
    only = experiment["axes"].get("platform", "configured")
    return [name for name in config["root"]["platforms"] if only == "configured" or name in only]


def counts_of(axes: Yaml, platform: Yaml) -> list[int]:
    total = platform["gpus_per_node"] * platform.get("nodes", 1)
    return {"all": [total], "sweep": platform["gpu_counts"], "one": [1]}[axes.get("gpus", "all")]


def models_of(config: Yaml, axes: Yaml, platform: Yaml) -> list[str]:
    wanted = axes.get("model", "configured")
    if wanted == "none":
        return ["-"]
    own = [model for model in config["root"]["models"] if wanted == "configured" or model in wanted]
    return (platform.get("workload", {}).get("models") or own) if own else []


def inspect_cell(config: Yaml, name: str, framework: str, count: int) -> Cell:
    cell_id = f"inspect/{name}/-/{framework}/-/n{count}"
    if ("inspect", framework) not in BUILT:
        return Cell(cell_id, None, "not implemented")
    platform = config["platforms"][name]
    own = software(platform, "train", config, set())
    return Cell(cell_id, fingerprint(["inspect", hardware(platform, count, None), own]))


def declared_work(experiment: Yaml, platform: Yaml) -> Yaml:
    """What experiment and platform say of the workload of any stage that computes."""
    dtype = platform.get("workload", {}).get("dtype")
    return given(experiment.get("workload")) | ({"dtype": dtype} if dtype else {})


def training_cell(
    config: Yaml, experiment: Yaml, name: str, model: str, framework: str, method: str, batch: Any, count: int
) -> Cell:
    platform, stage = config["platforms"][name], experiment["stage"]
    declared = declared_work(experiment, platform) | {"batch": batch}
    if platform.get("workload", {}).get("seq_len"):
        declared["seq_len"] = platform["workload"]["seq_len"]
    work = stages.workload(stage, framework, declared)
    stem = f"{stage}/{name}/{model}/{framework}/{method}"
    over = overrides_for(config, f"{stem}/s{work['seq_len']}-b{batch}-n{count}", "settings")
    work = stages.workload(stage, framework, declared | over["workload"])
    sampling = sampling_of(experiment, platform, over, SAMPLING, platform.get("workload", {}).get("training"))
    count = over["hardware"].get("n_gpus", count)
    cell_id = f"{stem}/s{work['seq_len']}-b{work['batch']}-n{count}"
    architecture = config["models"][model]["architecture"]
    knobs, conflict = knobs_of(letters_of(method, config), config)
    positions = work["seq_len"] + knobs.get("adapter", {}).get("virtual_tokens", 0)
    reason = why_not(platform, (stage, framework), knobs, conflict, count, positions, architecture, work["dtype"])
    if reason:
        return Cell(cell_id, None, reason)
    nodes = math.ceil(count / platform["gpus_per_node"])
    choices = stages.over(stages.method(framework, knobs, platform, count, nodes), over["method"])
    if choices.get("optimizer") not in stages.OPTIMIZERS.get(framework, (None,)):
        raise Refused("an optimizer of another framework")
    reason = stages.cannot_split(choices, architecture, count, work["seq_len"], platform["device"])
    used = stages.used(framework, choices)
    spec = [
        stage, framework, hardware(platform, count, over["hardware"].get("environment")),
        software(platform, "train", config, used), numbers(architecture), numbers(choices), numbers(work),
        numbers(sampling), platform.get("pinning", "none"),
    ]  # fmt: skip
    return Cell(cell_id, None if reason else fingerprint(spec), reason)


def operator_cell(
    config: Yaml, experiment: Yaml, name: str, model: str, family: str, operator: str, batch: Any, count: int
) -> Cell:
    platform = config["platforms"][name]
    declared = declared_work(experiment, platform) | {"batch": batch}
    stand_in = platform.get("workload", {}).get("sizes", {})
    if family in stand_in:
        declared["sizes"] = stand_in[family]
    work = stages.workload("operators", family, declared)
    stem = f"operators/{name}/{model}/{family}/{operator}"
    over = overrides_for(config, f"{stem}/{work['dtype']}-b{batch}-n{count}", "method", "settings")
    work = stages.workload("operators", family, declared | over["workload"])
    count = over["hardware"].get("n_gpus", count)
    cell_id = f"{stem}/{work['dtype']}-b{work['batch']}-n{count}"
    reason = (
        ("not implemented" if ("operators", family) not in BUILT else None)
        or stages.cannot_run(family, operator, model, platform, count, work["dtype"])
        or too_many(platform, count)
    )
    if reason:
        return Cell(cell_id, None, reason)
    spec = [
        "operators", family, operator, hardware(platform, count, over["hardware"].get("environment")),
        software(platform, "train", config, stages.used(family, {"attention": operator})),
        numbers(config["models"][model]["architecture"]) if model != "-" else None,
        numbers(work), numbers(sampling_of(experiment, platform, over, OF_OPERATORS, None)),
        platform.get("pinning", "none"),
    ]  # fmt: skip
    return Cell(cell_id, fingerprint(spec))


def serve_cell(
    config: Yaml, experiment: Yaml, name: str, model: str, engine: str, policy: str, arrival: Yaml, count: int
) -> Cell:
    platform, architecture = config["platforms"][name], config["models"][model]["architecture"]
    site, stand_in = platform.get("serving", {}), platform.get("workload", {})
    declared = {"output_tokens": platform.get("output_tokens", 128)} | declared_work(experiment, platform)
    declared |= {key: value for key, value in given(stand_in.get("serving")).items() if key != "search"}
    arrival = serving.arrival_of(arrival, platform)
    if experiment["axes"].get("gpus", "all") == "all":
        count = site.get("gpus", {}).get(model, count)
    stem = f"serve/{name}/{model}/{engine}/{policy}"
    asked = serving.load_name(stages.over(serving.LOAD, declared), arrival, count)
    over = overrides_for(config, f"{stem}/{asked}", "method")
    load = stages.over(serving.LOAD, declared | over["workload"])
    serving.check_load(load, arrival)
    count = over["hardware"].get("n_gpus", count)
    budgets = {k: v for k, v in (given(experiment.get("sampling")) | given(stand_in.get("sampling"))).items()
               if k in serving.SAMPLING}  # fmt: skip
    sampling = stages.over(serving.SAMPLING, budgets | over["sampling"])
    cell_id = f"{stem}/{serving.load_name(load, arrival, count)}"
    reason = (
        serving.cannot_serve(engine, platform, environment_of(platform, engine), load, count)
        or too_many(platform, count)
        or serving.cannot_hold(load, architecture, count)
    )
    if reason:
        return Cell(cell_id, None, reason)
    environment = platform.get("environment", {}) | site.get("environment", {})
    spec = [
        "serve", engine, hardware(platform, count, over["hardware"].get("environment", environment)),
        software(platform, engine, config), software(platform, "client", config, set()), numbers(architecture),
        numbers(serving.settings(engine, policy, platform) | over["settings"]), numbers(load), numbers(given(arrival)),
        numbers(sampling),
    ]  # fmt: skip
    return Cell(cell_id, fingerprint(spec))


def sampling_of(experiment: Yaml, platform: Yaml, over: dict[str, Yaml], defaults: Yaml, training: Yaml | None) -> Yaml:
    stand_in = given(platform.get("workload", {}).get("sampling"))
    stand_in.pop("ready_s", None)
    declared = given(experiment.get("sampling")) | stand_in | given(training) | over["sampling"]
    sampling = stages.over(defaults, declared)
    if sampling["warmup_min_steps"] > sampling["warmup_max_steps"] or sampling["min_steps"] > sampling["max_steps"]:
        raise Refused("sampling bounds")
    return sampling


def given(section: Yaml | None) -> Yaml:
    return {key: value for key, value in (section or {}).items() if value is not None}


def overrides_for(config: Yaml, cell_id: str, *foreign: str) -> dict[str, Yaml]:
    found: dict[str, Yaml] = {"hardware": {}, "method": {}, "settings": {}, "workload": {}, "sampling": {}}
    for glob, sections in config["root"]["overrides"].items():
        parts = glob.split("/")
        if not any(character in parts[4] for character in "*?[") and parts[4] not in every_method(config):
            parts[4] = normal(parts[4], config)
        if not all(fnmatchcase(own, part) for own, part in zip(cell_id.split("/"), parts, strict=True)):
            continue
        for section, values in sections.items():
            if section in foreign and given(values):
                raise Refused(f"no {section} here")
            for key, value in given(values).items():
                if found[section].setdefault(key, value) != value:
                    raise Refused(f"two overrides disagree about {key}")
    return found


def why_not(
    platform: Yaml, kind: tuple[str, str], knobs: Yaml, conflict: str | None, count: int, positions: int,
    architecture: Yaml, dtype: str,
) -> str | None:  # fmt: skip
    most = architecture["max_position_embeddings"]
    reasons = {
        "not implemented": kind not in BUILT,
        str(conflict): conflict is not None,
        str(foreign := stages.turns_what_is_not_there(*kind, knobs)): foreign is not None,
        str(excess := too_many(platform, count)): excess is not None,
        "no kernel": bool(knobs.get("flash_attention")) and not platform.get("kernels", {}).get("flash_attention"),
        "no kernel for fp32": bool(knobs.get("flash_attention")) and (dtype, platform["device"]) == ("fp32", "cuda"),
        f"{positions} of {most} positions": positions > most,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def too_many(platform: Yaml, count: int) -> str | None:
    total = platform["gpus_per_node"] * platform.get("nodes", 1)
    if count > total:
        return f"{count} of {total} GPUs"
    return f"{count} GPUs unevenly" if count % math.ceil(count / platform["gpus_per_node"]) else None


def hardware(platform: Yaml, count: int, environment: Yaml | None) -> Json:
    return [
        platform["device"], platform["gpu"]["model"], count, math.ceil(count / platform["gpus_per_node"]),
        platform["interconnect"]["kind"], platform.get("environment", {}) if environment is None else environment,
        math.floor((platform.get("memory_budget_gib") or platform["gpu"]["memory_gib"]) * 2**30),
        math.floor(platform["host"]["memory_gib"] * 2**30),
        math.floor(platform["gpu"]["memory_gib"] * 2**30) if platform.get("memory_budget_gib") else None,
    ]  # fmt: skip


def software(platform: Yaml, name: str, config: Yaml, used: set[str] | None = None) -> Json:
    environment = environment_of(platform, name) or {}
    if name == "train" and "flash-attn" in (used or ()):
        of_train = environment | {"lock": "train-flash"} if environment.get("lock") == "train" else environment
        environment = platform.get("environments", {}).get("train-flash") or of_train
    if not environment.get("lock"):
        unused = set() if used is None else stages.USED_BY_SOME - used
        versions = sorted((k, v) for k, v in environment.get("versions", {}).items() if k not in unused)
        return [environment.get("python"), versions, environment.get("image")]
    heads = [re.split(r"[\s;\\]", line, maxsplit=1)[0] for line in config["locks"][environment["lock"]].splitlines()]
    pins = {head.lower() for head in heads if "==" in head and not head.startswith("#")}
    python = environment.get("python") or f"{sys.version_info.major}.{sys.version_info.minor}"
    return [python, sorted(pins)]


def fingerprint(value: Json) -> str:
    """Equal for equal content, whatever the order of mappings."""
    if isinstance(value, dict):
        return "{" + ",".join(sorted(f"{key}:{fingerprint(inner)}" for key, inner in value.items())) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(fingerprint(inner) for inner in value) + "]"
    return repr(value + 0.0) if isinstance(value, float) else repr(value)
