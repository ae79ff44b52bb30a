"""The configuration as plain data, read without any of the project's code."""

from itertools import product
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

Yaml = dict[str, Any]

LETTERED = ("pretrain", "finetune", "profile")
"""Stages whose methods are letters."""

LOCKS = {"train": "train", "client": "client", "transformers": "client", "vllm": "vllm", "sglang": "sglang"}
"""Environment -> lock, where a platform says nothing."""

ROOT = {
    "platforms": ["cpu"], "models": ["llama2-7b", "llama2-13b", "llama2-70b"], "suite": "smoke", "tables": "all",
    "figures": "all", "overrides": {}, "runs": {},
}  # fmt: skip


LOCKED = {name: {"lock": lock} for name, lock in LOCKS.items()}


class Refused(Exception):
    """The configuration is wrong; nothing may be planned."""


def read_config(project: Path) -> Yaml:
    """Every file, platforms and experiments with what they inherit."""
    folder = project / "config"
    raw = {path.stem: read(path) for path in sorted((folder / "platforms").glob("*.yaml"))}
    experiments = {path.stem: read(path) for path in sorted((folder / "experiments").glob("*.yaml"))}
    return {
        "root": ROOT | read(folder / "config.yaml"),
        "letters": read(folder / "methods.yaml").get("letters") or absent("letters"),
        "platforms": {name: inherited(name, raw, ()) for name in raw},
        "models": {path.stem: read(path) for path in (folder / "models").glob("*.yaml")},
        "experiments": {name: inherited(name, experiments, ()) for name in experiments},
        "claims": read(folder / "references/paper.yaml"),
        "locks": {path.parent.name: path.read_text() for path in project.glob("envs/*/requirements.txt")},
    }


def read(path: Path) -> Yaml:
    return YAML(typ="safe", pure=True).load(path)


def absent(key: str) -> Any:
    raise Refused(f"no {key}")


def inherited(name: str, raw: dict[str, Yaml], seen: tuple[str, ...]) -> Yaml:
    parent = raw[name].get("extends")
    if parent is None:
        return raw[name]
    if parent not in raw or parent in (*seen, name):
        raise Refused(f"{name} extends {parent}")
    base = inherited(parent, raw, (*seen, name))
    if gpu_model(raw[name]) not in (None, gpu_model(base)):
        base = {key: value for key, value in base.items() if key not in ("gpu", "price")}
    return laid_over(base, raw[name])


def gpu_model(platform: Yaml) -> Any:
    gpu = platform.get("gpu")
    return gpu.get("model") if isinstance(gpu, dict) else None


def laid_over(base: Yaml, top: Yaml) -> Yaml:
    deep = {k: laid_over(base[k], v) for k, v in top.items() if isinstance(v, dict) and isinstance(base.get(k), dict)}
    return base | top | deep


def known(names: Any, defined: Any) -> None:
    if unknown := [name for name in names if name not in defined]:
        raise Refused(f"unknown {unknown}")


def environment_of(platform: Yaml, name: str) -> Yaml | None:
    """The platform's own, or the one that comes with the project."""
    return platform.get("environments", {}).get(name) or LOCKED.get(name)


def letters_of(method: str, config: Yaml) -> tuple[str, ...]:
    """In the order of methods.yaml."""
    letters = [] if method == "Naive" else method.split("+")
    known(letters, config["letters"])
    if len(set(letters)) != len(letters):
        raise Refused(f"letter twice in {method}")
    return tuple(letter for letter in config["letters"] if letter in letters)


def normal(method: str, config: Yaml) -> str:
    return "+".join(letters_of(method, config)) or "Naive"


def by_framework(method: Any) -> bool:
    return isinstance(method, dict) and "cross" not in method


def named(axes: Yaml, config: Yaml, letters: bool, framework: str) -> list[str]:
    """The methods of an axis, each once; where they are no letters, names as they stand."""
    method = ["Naive"] if axes.get("method") is None else axes["method"]
    if by_framework(method):
        method = method.get(framework, [])
    if isinstance(method, list):
        return list(dict.fromkeys(normal(name, config) if letters else name for name in method))
    if not letters:
        return []
    rows = [{letter for name in row for letter in letters_of(name, config)} for row in product(*method["cross"])]
    return list(dict.fromkeys("+".join(x for x in config["letters"] if x in row) or "Naive" for row in rows))


def every_method(config: Yaml) -> set[str]:
    """Every name that can stand in a cell's id where its method stands."""
    found = {*config["letters"], "-"}
    for experiment in config["experiments"].values():
        suites = [axes for axes in experiment.get("suites", {}).values() if axes.get("method")]
        for axes in (experiment["axes"], *suites):
            for framework in experiment["axes"]["framework"]:
                found |= {*named(axes, config, experiment["stage"] in LETTERED, framework)}
    return found
