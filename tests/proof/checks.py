"""What is wrong with a configuration: shapes, contradictions, and names that nothing defines."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from proof import stages
from proof.claims import check_claims
from proof.reading import LETTERED, Refused, Yaml, environment_of, every_method, known, letters_of

PLATFORM = {
    "label": {}, "device": {}, "gpu": {"model": {}, "label": {}, "memory_gib": {}}, "gpus_per_node": {},
    "gpu_counts": {}, "interconnect": {"kind": {}}, "host": {"cpu": {}, "memory_gib": {}},
}  # fmt: skip
SIZES = [
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "max_position_embeddings", "rms_norm_eps", "rope_theta",
]  # fmt: skip
MODEL = {"label": {}, "source": {}, "architecture": {size: {} for size in SIZES}}
EXPERIMENT = {
    "kind": {}, "title": {}, "caption": {}, "stage": {}, "axes": {"framework": {}}, "layout": {"kind": {}},
}  # fmt: skip


def check_shape(config: Yaml) -> None:
    """Required keys, lists without duplicates, and keys that exclude or need each other."""
    for platform in config["platforms"].values():
        require(platform, PLATFORM)
        gpu, environment = platform["gpu"], environment_of(platform)
        peaks = gpu.get("peak_tflops") or gpu.get("memory_bandwidth_gb_per_s")
        locked, vouched = environment.get("lock"), environment.get("versions") or environment.get("image")
        if (peaks and not gpu.get("source")) or (locked is None) == (environment.get("interpreter") is None):
            raise Refused("a fact without its source, or an environment of no or two kinds")
        if bool(locked) == bool(vouched):
            raise Refused("versions belong to an interpreter")
        asked = (platform.get("scheduler") or {}).get("memory_gib")
        if asked is not None and asked <= platform["host"]["memory_gib"]:
            raise Refused("the scheduler would kill before the runner")
        unique(platform["gpu_counts"], platform.get("workload", {}).get("models") or [])
    for model in config["models"].values():
        require(model, MODEL)
    for letter in config["letters"].values():
        require(letter, {"means": {}})
        for knobs in (letter.get("knobs") or {}, *letter.get("knobs_with", {}).values()):
            adapter = knobs.get("adapter") or {"kind": {}}
            require(adapter, {"kind": {}})
            unique(adapter.get("targets", []))
            if adapter.get("targets") == [] or adapter.get("dropout", 0) >= 1:
                raise Refused("an adapter of nothing")
    for experiment in config["experiments"].values():
        check_experiment(experiment)
    unique(*(names for names in config["root"].values() if isinstance(names, list)))


def check_experiment(experiment: Yaml) -> None:
    require(experiment, EXPERIMENT)
    axes, layout, stage = experiment["axes"], stages.layout(experiment["layout"]), experiment["stage"]
    if (layout["kind"] in stages.FIGURES) != (experiment["kind"] == "figure"):
        raise Refused("a layout of the other kind")
    if (layout["kind"] == "platforms") != (stage == "inspect"):
        raise Refused("a layout that does not fit the stage")
    if stage in LETTERED and axes.get("model") == "none":
        raise Refused("training without a model")
    every = (axes, *experiment.get("suites", {}).values())
    for each in every:
        unique(*(each[key] for key in ("framework", "batch") if each.get(key)))
    if stage == "operators" and any(isinstance(each.get("method"), dict) for each in every):
        raise Refused("names do not combine")
    if stage == "operators":
        family = stages.FAMILY_OF.get(layout["view"])
        if axes["framework"] != [family]:
            raise Refused("a view of another family")
        named = [axes.get("method", ["Naive"]), *(each.get("method") or [] for each in every[1:])]
        known([name for names in named for name in names], stages.OPERATORS[family])
    unique(axes["model"] if isinstance(axes.get("model"), list) else [])
    if layout["kind"] != "platforms":
        check_layout(layout, stage)


def check_layout(layout: Yaml, stage: str) -> None:
    view, figure = stages.view_of(stage, layout["view"]), layout["kind"] in stages.FIGURES
    require(layout, {} if figure else {"rows": {}})
    together = [["panels", "series", "x"]] if figure else [["rows", "columns", "split"]]
    lists = [[axis for key in keys for axis in layout[key]] for keys in together]
    unique(*lists, layout["values"])
    if any(layout.get(key) == [] for key in ("rows", "series", "values")):
        raise Refused("an empty list")
    known([axis for axes in lists for axis in axes], [*stages.CELL_AXES, *view.axes])
    known(layout["values"], view.values)
    if stages.VIEW_OF_FIGURE.get(layout["kind"], layout["view"]) != layout["view"]:
        raise Refused("a figure of another view")
    if layout["kind"] == "curve" and not layout["x"]:
        raise Refused("a curve over nothing")


def require(data: Yaml, keys: Yaml) -> None:
    for key, inner in keys.items():
        if key not in data:
            raise Refused(f"no {key}")
        require(data[key], inner)


def unique(*lists: list[Any]) -> None:
    if any(len({str(item) for item in items}) < len(items) for items in lists):
        raise Refused("a duplicate")


def check_names(config: Yaml) -> None:
    """Names that nothing defines, and platforms that contradict themselves."""
    root, experiments = config["root"], config["experiments"]
    known(root["platforms"], config["platforms"])
    known(root["models"], config["models"])
    for kind, key in (("table", "tables"), ("figure", "figures")):
        names = [name for name, experiment in experiments.items() if experiment["kind"] == kind]
        known([] if root[key] == "all" else root[key], [*names, "claims"] if kind == "table" else names)
    for platform in config["platforms"].values():
        total = platform["gpus_per_node"] * platform.get("nodes", 1)
        if any(count > total for count in platform["gpu_counts"]):
            raise Refused("gpu_counts")
        known(platform.get("workload", {}).get("models") or [], config["models"])
        environment = environment_of(platform)
        known([environment["lock"]] if environment.get("lock") else [], config["locks"])
    for experiment in experiments.values():
        models = experiment["axes"].get("model", "configured")
        known(models if isinstance(models, list) else [], config["models"])
        for method in all_methods(experiment) if experiment["stage"] in LETTERED else ():
            letters_of(method, config)
    for letter in config["letters"].values():
        known([*letter.get("knobs_with", {}), *letter.get("excludes", {})], config["letters"])
    check_claims(config)
    for glob in root["overrides"]:
        check_glob(glob, config)


def all_methods(experiment: Yaml) -> Iterator[str]:
    for axes in (experiment["axes"], *experiment.get("suites", {}).values()):
        method = axes.get("method") or []
        yield from [name for group in method["cross"] for name in group] if isinstance(method, dict) else method


def check_glob(glob: str, config: Yaml) -> None:
    experiments = config["experiments"].values()
    methods = every_method(config)
    names = [
        {e["stage"] for e in experiments}, {*config["platforms"]}, {*config["models"], "-"},
        {f for e in experiments for f in e["axes"]["framework"]}, methods,
    ]  # fmt: skip
    for index, (part, possible) in enumerate(zip(glob.split("/"), names, strict=False)):
        wild = any(character in part for character in "*?[")
        if index == 4 and not wild and part not in possible:
            letters_of(part, config)
        elif not any(fnmatchcase(name, part) for name in possible):
            raise Refused(f"glob {glob}")
