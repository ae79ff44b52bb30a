"""Random edits of a clone: everything that users do to configuration, locks and results."""

import random
import re
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

import growing
from clones import Clone
from proof import schema, spelling
from proof.mistakes import broken_yaml, unknown_key, unknown_name, wrong_value
from proof.project import FOLDERS, Draw, Edit, editing, files, load, pick, pick_file, places, put
from proof.reading import by_framework
from proof.serving import ENGINES, POLICIES

GLOB_PARTS = [
    ["pretrain", "*", "p*", "[!o]*", "finetune", "operators", "serve"], ["cpu", "a800", "h200", "*", "rtx*"],
    ["*", "llama-tiny", "llama2-7b", "llama2*", "-"], ["*", "deepspeed", "megatron", "[!d]*", "vllm", "transformers"],
    ["*", "Z*", "F+R", "R+F", "Naive", "*+O", "Q", "-", "L*", "tuned", "a*"],
    ["*", "*-b1-*", "s128*", "r1*", "*-poisson*"],
]  # fmt: skip
"""Parts of globs, most of which can match a name."""
SIDES = ("where", "of", "to", "more", "less")
"""Where claims say which cells they are about."""
KNOBS: list[dict[str, Any]] = [
    {"zero_stage": 1}, {"recompute": False}, {"quantization": "nf4"}, {}, {"adapter": {"kind": "lora", "rank": 8}},
    {"adapter": {"kind": "lora", "dropout": 0, "rank": 64}}, {"adapter": {"kind": "prompt_tuning"}},
    {"zero_stage": 3, "stage3_sizes": "deepspeed"}, {"zero_stage": 2, "stage2_settings": "deepspeed"},
    {"states": "bf16"}, {"states": "fp32_master", "zero_stage": 2},
    {"stage3_sizes": {"reduce_bucket": 7, "prefetch": 8, "persistence": 9}}, {"gradient_bucket_view": True},
    {"cpu_offload": True},
    {"tensor_parallel": 1}, {"tensor_parallel": 1, "sequence_parallel": True}, {"pipeline_parallel": 2},
    {"recompute_attention": True}, {"recompute": True, "recompute_attention": True},
]  # fmt: skip
"""What a new letter turns."""
PRICE = {"per_gpu_hour": 2, "currency": "EUR", "source": "a price list", "date": "2026-03"}
LOCKS = ("train", "train-flash", "client", "vllm", "sglang")
ENVIRONMENTS: list[dict[str, Any]] = [
    {"lock": "vllm"}, {"lock": "client", "python": "3.12"}, {"command": "serve-it"},
    {"command": "serve-it", "versions": {"vllm": "0.22.0"}}, {"interpreter": "python3", "versions": {"vllm": "0.22.0"}},
    {"interpreter": "envs/run site -- python", "image": "sha256:1"}, {"url": "http://127.0.0.1:8000"},
    {"url": "http://127.0.0.1:8000", "versions": {"sglang": "0.5.5"}}, {"lock": "vllm", "command": "serve-it"},
    {"container": {"runtime": "docker", "image": "tgi"}, "image": "sha256:2"},
    {"container": {"runtime": "apptainer", "image": "/images/tgi.sif"}},
]  # fmt: skip
"""What can stand for a software environment; some of it is wrong."""


# Values


def set_value(draw: Draw, project: Path) -> Edit:
    """Any key of any file gets another value that its type allows; it may have been there or not."""
    file, kind = pick_file(draw, project)
    with editing(project, file) as data:
        keys = [key for key in schema.keys(kind, data) if key.path[-1] != "select"]
        # Section by section: one with many keys must not take all edits.
        section = pick(draw, dict.fromkeys(key.path[0] for key in keys))
        key = pick(draw, [key for key in keys if key.path[0] == section])
        new = schema.value(draw, key.schema, text_for(project, key.path))
        put(data, key.path, new)
    return Edit(f"value in {kind}", f"{file}: {'.'.join(key.path)} = {new!r}")


def text_for(project: Path, path: schema.Path) -> st.SearchStrategy[str]:
    """Strings that make sense for a key: names that exist where names belong."""
    stems = {folder: [p.stem for p in (project / "config" / folder).glob("*.yaml")] for folder in FOLDERS}
    letters = [*load(project, "config/methods.yaml")["letters"]]
    methods = ["Naive", *letters, *map("+".join, pairwise(letters)), *POLICIES]
    kinds = {
        stem: load(project, f"config/experiments/{stem}.yaml").get("kind", "figure") for stem in stems["experiments"]
    }
    pools = {
        "platforms": stems["platforms"], "models": stems["models"],
        "extends": [*stems["platforms"], *stems["experiments"]],
        "model": stems["models"] if {"axes", *SIDES} & {*path} else ["GPU one", "GPU two"], "method": methods,
        "tables": ["claims", "table_prediction", *(name for name, kind in kinds.items() if kind == "table")],
        "platform": stems["platforms"], "framework": ["deepspeed", "megatron", "ddp", "fsdp"], "batch": ["max"],
        "figures": [name for name, kind in kinds.items() if kind == "figure"],
        "currency": ["EUR", "euro"], "date": ["2026-03", "2026-03-31", "March"], "lock": LOCKS,
        "kind": ["NVLink", "PCIe 4.0 x16"],
        "interpreter": ["envs/run site -- python", "envs/run other -- python"],
    }  # fmt: skip
    return st.sampled_from(sorted(pools.get(path[-1], ["text one", "text two", "3"])))


def drop_key(draw: Draw, project: Path) -> Edit:
    """A key goes: the default comes back, or it was required."""
    file, kind = pick_file(draw, project)
    with editing(project, file) as data:
        holder, key, path = pick(draw, [place for place in places(data) if isinstance(place[0], dict)])
        del holder[key]
    return Edit(f"key dropped from {kind}", f"{file}: {'.'.join(path)} dropped")


def change_list(draw: Draw, project: Path) -> Edit:
    """A list loses an item or two change places."""
    file, kind = pick_file(draw, project)
    with editing(project, file) as data:
        lists = [(holder[key], path) for holder, key, path in places(data) if isinstance(holder[key], list)]
        if not lists:
            return Edit("nothing", f"{file} has no list")
        items, path = pick(draw, lists)
        if len(items) > 1 and draw(st.booleans()):
            items.reverse()
        else:
            items[:1] = []
    return Edit(f"list in {kind}", f"{file}: {'.'.join(path)} = {items}")


# Platforms, models, methods, tables, overrides


def add_file(draw: Draw, project: Path) -> Edit:
    """A platform, model, table or figure more, like one that is there; platforms and models are asked for at once."""
    folder = pick(draw, FOLDERS)
    known = sorted((project / "config" / folder).glob("*.yaml"))
    source = pick(draw, known)
    name = f"{source.stem[:12].rstrip('0123456789.')}.{len(known) + 20}"
    shutil.copy(source, source.with_name(f"{name}.yaml"))
    if folder == "platforms":
        with editing(project, f"config/platforms/{name}.yaml") as platform:
            platform["label"] = name
    if folder != "experiments":
        with editing(project, "config/config.yaml") as root:
            root.setdefault(folder, ["cpu"] if folder == "platforms" else ["llama2-7b"]).append(name)
    return Edit(f"{FOLDERS[folder]} added", f"{name}, like {source.stem}")


def extend_platform(draw: Draw, project: Path) -> Edit:
    """A platform that extends another and says what differs."""
    known = sorted(path.stem for path in (project / "config/platforms").glob("*.yaml"))
    parent, name = pick(draw, known), f"variant{len(known)}"
    differs = pick(
        draw,
        [{}, {"environment": {"NCCL_P2P_DISABLE": "1"}}, {"gpu": {"memory_gib": 24}}, {"nodes": 2}, {"price": PRICE}],
    )
    (project / f"config/platforms/{name}.yaml").write_text(
        spelling.plain({"label": name, "extends": parent, **differs})
    )
    with editing(project, "config/config.yaml") as root:
        root.setdefault("platforms", ["cpu"]).append(name)
    return Edit("platform added", f"{name} extends {parent} by {differs}")


def remove_file(draw: Draw, project: Path) -> Edit:
    """A platform, model, table or figure less, in the lists that name it too."""
    file = pick(draw, [file for file, kind in files(project).items() if kind in FOLDERS.values()])
    (project / file).unlink()
    with editing(project, "config/config.yaml") as root:
        for key in ("platforms", "models", "tables", "figures"):
            if isinstance(root.get(key), list) and Path(file).stem in root[key]:
                root[key].remove(Path(file).stem)
    return Edit(f"{FOLDERS[Path(file).parent.name]} removed", file)


def ask_for(draw: Draw, project: Path) -> Edit:
    """A platform or model joins the study, or leaves it."""
    folder = pick(draw, ["platforms", "models"])
    name = pick(draw, sorted(path.stem for path in (project / "config" / folder).glob("*.yaml")))
    with editing(project, "config/config.yaml") as root:
        names = root.setdefault(folder, ["cpu"] if folder == "platforms" else ["llama2-7b", "llama2-13b", "llama2-70b"])
        verb = "left" if name in names else "joined"
        (names.remove if name in names else names.append)(name)
    return Edit(f"{folder.rstrip('s')} {verb}", f"{name} {verb}")


def change_letters(draw: Draw, project: Path) -> Edit:
    """A letter is added, removed, bound to others, or moved in the order of labels."""
    how = pick(draw, ["added", "removed", "moved", "bound", "kept apart"])
    with editing(project, "config/methods.yaml") as data:
        letters = data["letters"]
        name = pick(draw, letters)
        knobs = pick(draw, KNOBS)
        others = draw(st.lists(st.sampled_from(list(letters)), min_size=1, max_size=2, unique=True))
        if how == "added":
            name = f"X{len(letters) % 10}"
            letters[name] = {"means": "Something new.", "knobs": knobs}
        elif how == "removed":
            del letters[name]
        elif how == "moved":
            letters[name] = letters.pop(name)
        elif how == "bound":
            values = [{"offload_optimizer": draw(st.booleans())} for _ in others]
            letters[name]["knobs_with"] = dict(zip(others, values, strict=True))
        else:
            letters[name]["excludes"] = {other: f"{name} does not go with {other}" for other in others}
    return Edit(f"letter {how}", f"{name} {how}: {knobs} {others}")


def change_methods(draw: Draw, project: Path) -> Edit:
    """A method joins or leaves a table, in whatever order its letters are written."""
    experiments = [file for file, kind in files(project).items() if kind == "experiment"]
    file = pick(draw, [file for file in experiments if "stage" in load(project, file)])
    letters = [*load(project, "config/methods.yaml")["letters"]]
    method = "+".join(draw(st.lists(st.sampled_from(letters), min_size=1, max_size=3, unique=True)))
    with editing(project, file) as data:
        method = pick(draw, POLICIES) if data["stage"] == "serve" else method
        suites = [axes for axes in data.get("suites", {}).values() if isinstance(axes.get("method"), list)]
        methods = (suites[0] if suites else data["axes"]).setdefault("method", ["Naive"])
        if by_framework(methods):
            methods = methods[pick(draw, methods)]
        if isinstance(methods, dict):
            methods = methods["cross"][0]
        verb = "left" if method in methods else "joined"
        (methods.remove if method in methods else methods.append)(method)
    return Edit(f"method {verb}", f"{file}: {method} {verb}")


def change_overrides(draw: Draw, project: Path) -> Edit:
    """An override more or less, or one key of it changed."""
    settings = schema.KINDS["config"]["$defs"]["CellOverride"]["properties"]
    with editing(project, "config/config.yaml") as root:
        overrides = root.setdefault("overrides", {})
        if overrides and draw(st.integers(0, 3)) == 0:
            glob = pick(draw, overrides)
            del overrides[glob]
            return Edit("override removed", glob)
        glob = "/".join(pick(draw, pool) for pool in GLOB_PARTS)
        section = pick(draw, settings)
        kinds = schema.KINDS["config"]["$defs"]
        name = settings[section]["$ref"].rsplit("/", 1)[-1]
        key = pick(draw, kinds[name]["properties"])
        if key == "environment":
            new: Any = {"NCCL_DEBUG": pick(draw, ["INFO", "WARN"])}
        else:
            typed = [choice for choice in kinds[name]["properties"][key]["anyOf"] if choice.get("type") != "null"]
            new = schema.value(draw, pick(draw, typed), st.just("text"))
        overrides[glob] = {section: {key: new}}
    return Edit("override added", f"{glob}: {section}.{key} = {new!r}")


def change_runs(draw: Draw, project: Path) -> Edit:
    """Cells need more runs or fewer: all of them, or those of one table."""
    number = draw(st.integers(1, 4))
    if draw(st.booleans()):
        with editing(project, "config/config.yaml") as root:
            root["runs"] = number if draw(st.booleans()) else {root.get("suite", "smoke"): number}
        return Edit("runs changed", f"{number} for all")
    file = pick(draw, [file for file, kind in files(project).items() if kind == "experiment"])
    with editing(project, file) as data:
        data["runs"] = number
    return Edit("runs changed", f"{file}: {number}")


# Software


def change_environment(draw: Draw, project: Path) -> Edit:
    """An engine, or another part of the software, comes from elsewhere on a platform in use."""
    platform = pick(draw, load(project, "config/config.yaml").get("platforms") or ["cpu"])
    file = f"config/platforms/{platform}.yaml"
    if not (project / file).exists():
        return Edit("nothing", f"{file} is gone")
    name = pick(draw, ["train", "client", *ENGINES])
    new = pick(draw, ENVIRONMENTS)
    with editing(project, file) as data:
        data.setdefault("environments", {})[name] = dict(new)
    return Edit("environment changed", f"{platform}: {name} is {new}")


def change_lock(draw: Draw, project: Path) -> Edit:
    """Another version in a lock file, or only other words around the same versions."""
    path = project / f"envs/{pick(draw, LOCKS)}/requirements.txt"
    text = path.read_text()
    name = pick(draw, ["torch", "deepspeed", "transformers", "numpy", "vllm", "guidellm"])
    how = pick(draw, ["version", "comment", "hash", "case", "blocks in another order"])
    rng = random.Random(draw(st.integers(0, 999)))
    if how == "version":
        text = re.sub(rf"^{name}==(\S+)", rf"{name}==\g<1>.{rng.randint(1, 9)}", text, flags=re.MULTILINE)
    elif how == "comment":
        text = f"# {rng.random()} {name}==0.0\n" + text.replace(f"\n{name}==", f"\n    # via {name}\n{name}==")
    elif how == "hash":
        text = re.sub(r"sha256:[0-9a-f]{6}", f"sha256:{rng.randrange(16**6):06x}", text, count=3)
    elif how == "case":
        text = re.sub(rf"^{name}==", f"{name.upper()}==", text, flags=re.MULTILINE)
    else:
        blocks = re.split(r"^(?=\S)", text, flags=re.MULTILINE)
        text = "".join(rng.sample(blocks, len(blocks)))
    path.write_text(text)
    return Edit("lock: version" if how == "version" else "lock: words", f"{path.parent.name}: {how} of {name}")


# What says the same in other words


def respell(draw: Draw, project: Path) -> Edit:
    """Order of keys, comments, notation, quotes and white space of a file."""
    file, _ = pick_file(draw, project)
    data = load(project, file)
    rng = random.Random(draw(st.integers(0, 9999)))
    how = pick(draw, ["order of keys", "notation", "both"])
    if how != "notation":
        data = spelling.shuffled(data, rng, keep=("letters",))
    (project / file).write_text(spelling.plain(data) if how == "order of keys" else spelling.respelt(data, rng))
    return Edit("spelling", f"{file}: {how}")


def respell_number(draw: Draw, project: Path) -> Edit:
    """80 becomes 80.0 where any number may stand."""
    file, kind = pick_file(draw, project)
    with editing(project, file) as data:
        numbers = {key.path for key in schema.keys(kind, data) if key.schema.get("type") == "number"}
        found = [(holder, key) for holder, key, path in places(data) if path in numbers and holder[key] is not None]
        for holder, key in found:
            whole = holder[key] == int(holder[key]) and draw(st.booleans())
            holder[key] = int(holder[key]) if whole else float(holder[key])
    return Edit("spelling", f"{file}: {len(found)} numbers")


def touch(draw: Draw, project: Path) -> Edit:
    """Files get new times, rules and profiles a comment."""
    for path in [*(project / "config").rglob("*.yaml"), *(project / "envs").rglob("*.txt")]:
        path.touch()
    file = pick(draw, ["Snakefile", "rules/common.smk", "rules/tables.smk", "profiles/cpu/config.yaml"])
    with (project / file).open("a") as stream:
        stream.write("\n# A remark.\n")
    return Edit("files touched, remarks in rules", file)


def lose_file(draw: Draw, project: Path) -> Edit:
    """A file of results is gone; the store still has every cell."""
    folder = pick(draw, ["cells", "tables", "figures", "manifests"])
    found = sorted(path for path in (project / "results" / folder).rglob("*") if path.is_file())
    if not found:
        return Edit("nothing", f"no {folder} to lose")
    path = pick(draw, found)
    path.unlink()
    return Edit("result file lost", str(path.relative_to(project)))


# Code that grows


def add_field(draw: Draw, project: Path) -> Edit:
    """A model of specs or results gets one more field, which means as before where nobody sets it."""
    Clone(project).own_scripts()
    name, field = pick(draw, sorted(growing.MODELS)), f"growth_{draw(st.integers(0, 10**9))}"
    growing.add_field(project / "scripts", name, field)
    return Edit("field added to a model", f"{name}.{field}")


EDITS: dict[Callable[[Draw, Path], Edit], int] = {
    set_value: 10, drop_key: 3, change_list: 3, add_file: 2, extend_platform: 1, remove_file: 2, ask_for: 2,
    change_letters: 3, change_methods: 3, change_overrides: 5, change_lock: 3, change_environment: 3, respell: 4,
    respell_number: 1, touch: 1, lose_file: 2, wrong_value: 2, unknown_key: 1, unknown_name: 1, broken_yaml: 1,
    add_field: 1, change_runs: 4,
}  # fmt: skip
"""Each kind of edit and how often it is drawn."""
