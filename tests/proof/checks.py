"""What is wrong with a configuration: shapes, contradictions, and names that nothing defines."""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from proof import serving, stages
from proof.claims import check_claims
from proof.reading import LETTERED, Refused, Yaml, by_framework, every_method, known, letters_of

PLATFORM = {
    "label": {}, "device": {}, "gpu": {"model": {}, "label": {}, "memory_gib": {}}, "gpus_per_node": {},
    "gpu_counts": {}, "interconnect": {"kind": {}}, "host": {"cpu": {}, "memory_gib": {}},
}  # fmt: skip
SIZES = [
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "max_position_embeddings", "rms_norm_eps", "rope_theta",
]  # fmt: skip
MODEL = {"label": {}, "source": {}, "architecture": {size: {} for size in SIZES}}
MOST_RUNS = 50
MOST_GPUS = 10_000
FIGURES_ALONE = {"draws", "panels", "series", "x", "table_view"}
TABLES_ALONE = {"rows", "columns", "split"}
"""Keys of a layout that the other kind has not."""
EXPERIMENT = {
    "kind": {}, "title": {}, "caption": {}, "stage": {}, "axes": {"framework": {}}, "layout": {"kind": {}},
}  # fmt: skip


def check_shape(config: Yaml) -> None:
    """Required keys, lists without duplicates, and keys that exclude or need each other."""
    for platform in config["platforms"].values():
        check_platform(platform)
    for model in config["models"].values():
        require(model, MODEL)
        check_labels(model)
        sizes = model["architecture"]
        heads = sizes["num_attention_heads"]
        if sizes["hidden_size"] % (2 * heads) or heads % sizes["num_key_value_heads"]:
            raise Refused("heads of a fraction")
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
    by_suite = config["root"]["runs"]
    counts = [*by_suite.values()] if isinstance(by_suite, dict) else [by_suite]
    counts += [config["root"].get("more", 1), *(each.get("runs") for each in config["experiments"].values())]
    if any(count is not None and not 1 <= count <= MOST_RUNS for count in counts):
        raise Refused("too many runs")
    unique(*(names for names in config["root"].values() if isinstance(names, list)))


def check_labels(*labelled: Yaml) -> None:
    if not all(each["label"].strip() for each in labelled):
        raise Refused("a label that nobody sees")


def check_platform(platform: Yaml) -> None:
    require(platform, PLATFORM)
    gpu = platform["gpu"]
    check_labels(platform, gpu)
    if (gpu.get("peak_tflops") or gpu.get("memory_bandwidth_gb_per_s")) and not gpu.get("source"):
        raise Refused("a fact without its source")
    for name, environment in platform.get("environments", {}).items():
        serving.check_environment(name, environment)
    if platform.get("serving", {}).get("aligned", {}).get("memory_share", 1) > 1:
        raise Refused("more than all memory")
    asked = (platform.get("scheduler") or {}).get("memory_gib")
    if asked is not None and asked <= platform["host"]["memory_gib"]:
        raise Refused("the scheduler would kill before the runner")
    budget = platform.get("memory_budget_gib")
    if budget is not None and (platform["device"] == "cpu" or budget > 0.9 * gpu["memory_gib"]):
        raise Refused("no memory to hold")
    check_price(platform.get("price"))
    unique(platform["gpu_counts"], platform.get("workload", {}).get("models") or [])


def check_price(price: Yaml | None) -> None:
    if price is None:
        return
    require(price, {"per_gpu_hour": {}, "currency": {}, "source": {}, "date": {}})
    if not re.fullmatch("[A-Z]{3}", price["currency"]) or not re.fullmatch(r"\d{4}-\d\d(-\d\d)?", price["date"]):
        raise Refused("a price of no currency or day")


def check_experiment(experiment: Yaml) -> None:
    require(experiment, EXPERIMENT)
    axes, layout, stage = experiment["axes"], stages.layout(experiment["layout"]), experiment["stage"]
    check_kind(experiment["kind"], layout["kind"], experiment["layout"])
    if (layout["kind"] == "platforms") != (stage == "inspect"):
        raise Refused("a layout that does not fit the stage")
    if stage in (*LETTERED, "serve") and axes.get("model") == "none":
        raise Refused("training or serving without a model")
    if (experiment.get("workload") or {}).get("batch") and stage in (*LETTERED, "operators"):
        raise Refused("an axis beside the axes")
    every = (axes, *experiment.get("suites", {}).values())
    for each in every:
        unique(*(each[key] for key in ("framework", "batch") if each.get(key)))
        serving.check_arrivals(each.get("arrival"))
    check_frameworks_of_methods(stage, axes["framework"], [each.get("method") for each in every])
    if stage == "serve":
        methods = [axes.get("method", ["Naive"]), *(each.get("method") or [] for each in every[1:])]
        serving.check_policies(methods, axes["framework"])
    if stage == "operators" and any(isinstance(each.get("method"), dict) for each in every):
        raise Refused("names do not combine")
    if stage == "operators":
        family = stages.FAMILY_OF.get(layout["view"])
        if axes["framework"] != [family]:
            raise Refused("a view of another family")
        named = [axes.get("method", ["Naive"]), *(each.get("method") or [] for each in every[1:])]
        known([name for names in named for name in names], stages.OPERATORS[family])
    unique(*(axes[key] for key in ("model", "platform") if isinstance(axes.get(key), list)))
    if layout["kind"] != "platforms":
        check_layout(layout, stage)


def check_places(experiment: Yaml, ids: list[str]) -> None:
    """No two cells at one place of the layout; a product is one of a single method."""
    layout = stages.layout(experiment["layout"])
    keys = {"platforms": []}.get(layout["kind"], ["panels", "series", "x", "rows", "columns", "split"])
    axes = {axis for key in keys for axis in layout.get(key, [])}
    if axes:
        shown = [axis for axis in stages.CELL_AXES if axis in axes or (axis == "method" and "product" in axes)]
        unique([tuple(place_in(cell)[axis] for axis in shown) for cell in ids])


def place_in(cell: str) -> Yaml:
    """The values of a cell on its axes; sizes that a stage has not tell nothing apart."""
    stage, platform, model, framework, method, workload = cell.split("/")
    sizes = {part[0]: part for part in workload.split("-") if re.fullmatch(r"[nsb](\d+|max)", part)}
    batch = sizes.get("b") if stage in LETTERED or framework == "attention" else None
    return {
        "platform": platform, "model": model, "framework": framework, "method": method, "workload": workload,
        "n_gpus": sizes.get("n"), "seq_len": sizes.get("s") if stage in LETTERED else None, "batch": batch,
    }  # fmt: skip


def check_kind(kind: str, kind_of_layout: str, written: Yaml) -> None:
    if (kind_of_layout in stages.FIGURES) != (kind == "figure"):
        raise Refused("a layout of the other kind")
    if (FIGURES_ALONE if kind == "table" else TABLES_ALONE) & written.keys():
        raise Refused("keys of a layout of the other kind, which it may inherit")


def check_frameworks_of_methods(stage: str, frameworks: list[str], methods: list[Any]) -> None:
    """Methods by framework are letters, of frameworks of the axis; only a suite may leave some out."""
    for method in filter(by_framework, methods):
        if stage not in LETTERED or set(method) - set(frameworks):
            raise Refused("methods of other frameworks")
    if by_framework(methods[0]) and set(methods[0]) != set(frameworks):
        raise Refused("a framework without methods")


def check_layout(layout: Yaml, stage: str) -> None:
    view, figure = stages.view_of(stage, layout["view"]), layout["kind"] in stages.FIGURES
    require(layout, {} if figure else {"rows": {}})
    together = [["panels", "series", "x"]] if figure else [["rows", "columns", "split"]]
    lists = [[axis for key in keys for axis in layout[key]] for keys in together]
    unique(*lists, layout["values"])
    if any(layout.get(key) == [] for key in ("rows", "series", "values")):
        raise Refused("an empty list")
    behind = stages.view_of(stage, layout.get("table_view", layout["view"]))
    for axes in (view.axes, behind.axes):
        known([axis for names in lists for axis in names], [*stages.CELL_AXES, *axes])
    known(layout["values"], behind.values)
    known([layout["draws"]] if "draws" in layout else [], view.values)
    require(layout.get("slo", {}), {"ttft_s": {}, "tpot_s": {}} if "slo" in layout else {})
    if stages.VIEW_OF_FIGURE.get(layout["kind"], layout["view"]) != layout["view"]:
        raise Refused("a figure of another view")
    if layout["kind"] in ("curve", "throughput") and not layout["x"]:
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
    shown = [config["platforms"][name] for name in root["platforms"]]
    unique([(each["label"], each.get("memory_budget_gib")) for each in shown])
    known(root["models"], config["models"])
    for kind, key in (("table", "tables"), ("figure", "figures")):
        names = [name for name, experiment in experiments.items() if experiment["kind"] == kind]
        names += ["claims", "table_prediction"] if kind == "table" else []
        known([] if root[key] == "all" else root[key], names)
    for platform in config["platforms"].values():
        total = platform["gpus_per_node"] * platform.get("nodes", 1)
        if total > MOST_GPUS or any(count > total for count in platform["gpu_counts"]):
            raise Refused("GPUs")
        known(platform.get("workload", {}).get("models") or [], config["models"])
        known(platform.get("serving", {}).get("gpus", {}), config["models"])
        environments = platform.get("environments", {}).values()
        known([environment["lock"] for environment in environments if environment.get("lock")], config["locks"])
    for experiment in experiments.values():
        models = experiment["axes"].get("model", "configured")
        known(models if isinstance(models, list) else [], config["models"])
        only = experiment["axes"].get("platform", "configured")
        known([] if only == "configured" else only, config["platforms"])
        for method in all_methods(experiment) if experiment["stage"] in LETTERED else ():
            letters_of(method, config)
    for letter in config["letters"].values():
        known([*letter.get("knobs_with", {}), *letter.get("excludes", {})], config["letters"])
    check_claims(config)
    for glob in root["overrides"]:
        check_glob(glob, config)


def all_methods(experiment: Yaml) -> Iterator[str]:
    for axes in (experiment["axes"], *experiment.get("suites", {}).values()):
        method = axes.get("method")
        for own in method.values() if by_framework(method) else [method]:
            if isinstance(own, dict):
                require(own, {"cross": {}})
                yield from (name for group in own["cross"] for name in group)
            else:
                yield from own or []


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
