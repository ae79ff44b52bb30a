"""What must be measured and drawn, worked out from the YAML files alone.

Written a second time on purpose: nothing here comes from ``scripts/dissect``. A cell's fingerprint holds everything
that can change its number, a table's everything that can change a byte of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proof import stages
from proof.cells import Cell, Json, cells_of, fingerprint, platforms_of
from proof.checks import check_names, check_places, check_shape
from proof.claims import is_about, spelt
from proof.reading import LETTERED, Yaml, read_config
from proof.stages import numbers

CLAIMS, REPORT = ("write_table", "claims"), ("write_report", "")
PREDICTION = ("write_table", "table_prediction")
PREDICTED = ("draw_figure", "table_prediction")
DERIVED = (CLAIMS, PREDICTION, PREDICTED)
"""Tables that read the cells of others, and the figure of one of them."""
STAGES = ["inspect", "pretrain", "profile", "finetune", "serve", "operators"]
"""As the report page has them."""


@dataclass(frozen=True)
class Expected:
    """What ``all`` must have for a configuration."""

    cells: frozenset[tuple[str, str]]
    """Id and fingerprint of every cell that can be measured."""
    runs: dict[str, int]
    """Fingerprint -> runs that the cell needs."""
    wanted: frozenset[tuple[str, str]]
    """(``write_table`` or ``draw_figure``, name) of everything that is asked for, and the report."""
    drawn: dict[tuple[str, str], str]
    """The same for all tables and figures there are, and the report -> fingerprint of what it shows."""


def expected(project: Path, measured: Mapping[str, int]) -> Expected:
    """Work it out from the configuration, and the runs of each fingerprint that the store has.

    Raises :class:`Refused`.
    """
    config = read_config(project)
    check_shape(config)
    check_names(config)
    every = {name: list(dict.fromkeys(cells_of(config, each))) for name, each in config["experiments"].items()}
    asked = {name: config["experiments"][name] for name in every if is_wanted(name, config)}
    for name, experiment in asked.items():
        check_places(experiment, [cell.id for cell in every[name]])
    cells = {(cell.id, cell.fingerprint) for name in asked for cell in every[name] if cell.fingerprint}
    runs: dict[str, int] = {}
    for name, experiment in asked.items():
        number = runs_of(config, experiment)
        runs |= {c.fingerprint: max(number, runs.get(c.fingerprint, 1)) for c in every[name] if c.fingerprint}

    code = code_of(project)

    def content(shown: Json, read: list[Cell]) -> str:
        """Of a table: what it says, and how many runs it shows of each cell."""
        numbers = {cell.fingerprint: max(measured.get(cell.fingerprint, 0), runs.get(cell.fingerprint, 0))
                   for cell in read if cell.fingerprint}  # fmt: skip
        return fingerprint([code, shown, numbers])

    drawn: dict[tuple[str, str], str] = {}
    for name, experiment in config["experiments"].items():
        jobs = jobs_of(name, experiment)
        drawn |= dict.fromkeys(jobs, content(table_content(config, experiment, every[name]), every[name]))
    of_paper = [name for name, each in asked.items() if each["stage"] != "inspect" and not each.get("beyond_paper")]
    read = list(dict.fromkeys(cell for name in of_paper for cell in every[name]))
    drawn[CLAIMS] = content(claims_content(config, read), claimed(config, read))
    stages_read = {*LETTERED, "serve", "operators"}
    predicted = list(dict.fromkeys(cell for name, each in asked.items() if each["stage"] in stages_read
                                   for cell in every[name] if is_predicted(config, cell)))  # fmt: skip
    trained = any(not cell.id.startswith("operators/") for cell in predicted)
    predicted = predicted if trained else []
    drawn |= dict.fromkeys((PREDICTION, PREDICTED), content(prediction_content(config, predicted), predicted))
    wanted = {job for name, experiment in asked.items() for job in jobs_of(name, experiment)}
    asks = trained and (config["root"]["tables"] == "all" or PREDICTION[1] in config["root"]["tables"])
    if asks:
        wanted |= {PREDICTION, PREDICTED}
    if config["root"]["tables"] == "all" or "claims" in config["root"]["tables"]:
        wanted.add(CLAIMS)
    on_page = {cell.id.split("/")[1] for name in asked for cell in every[name]}
    page = report_content(config, {job: drawn[job] for job in wanted}, on_page)
    drawn[REPORT] = content([page, forms_content(config, asked) if asks else None], [])
    return Expected(frozenset(cells), runs, frozenset({*wanted, REPORT}), drawn)


def jobs_of(name: str, experiment: Yaml) -> list[tuple[str, str]]:
    """What makes a table, or a figure and the table behind it."""
    return [("write_table", name), *([("draw_figure", name)] if experiment["kind"] == "figure" else [])]


def is_wanted(name: str, config: Yaml) -> bool:
    """Whether ``all`` makes a table or figure."""
    experiment = config["experiments"][name]
    asked_for = config["root"]["tables" if experiment["kind"] == "table" else "figures"]
    if asked_for == "all":
        return bool(platforms_of(config, experiment)) or not config["root"]["platforms"]
    return name in asked_for


def runs_of(config: Yaml, experiment: Yaml) -> int:
    """How often each cell of a table or figure must have been measured."""
    runs = config["root"]["runs"]
    if isinstance(runs, dict):
        runs = ({"smoke": 1, "full": 5} | runs)[config["root"]["suite"]]
    return 1 if experiment["stage"] == "inspect" else experiment.get("runs") or runs


def code_of(project: Path) -> str:
    """What a clone with sources of its own draws with; all others draw with those of this project."""
    scripts = project / "scripts"
    if scripts.is_symlink():
        return ""
    return fingerprint([[str(path), path.read_text()] for path in sorted(scripts.rglob("*.py"))])


# Tables


def table_content(config: Yaml, experiment: Yaml, cells: list[Cell]) -> Json:
    """Everything that a table or figure shows."""
    letters = experiment["stage"] in LETTERED
    ids = [cell.id.split("/") for cell in cells]
    platforms = list(dict.fromkeys(parts[1] for parts in ids))
    facts = {"platforms": declared, "roofline": lines}.get(experiment["layout"]["kind"], shown)
    return [
        experiment["title"], experiment["caption"], stages.layout(experiment["layout"]),
        [[cell.id, cell.fingerprint, cell.reason] for cell in cells],
        {name: facts(config["platforms"][name]) for name in platforms},
        {parts[2]: config["models"][parts[2]]["label"] for parts in ids if parts[2] != "-"},
        {letter: config["letters"][letter].get("note") for parts in ids if letters and parts[4] != "Naive"
         for letter in parts[4].split("+")},
    ]  # fmt: skip


def claims_content(config: Yaml, cells: list[Cell]) -> Json:
    """Everything that the table of verdicts shows; it reads cells of the paper's tables that are asked for."""
    claims = config["claims"]["claims"]
    platforms = dict.fromkeys(cell.id.split("/")[1] for cell in cells)
    return [
        config["claims"]["title"], config["claims"]["caption"],
        {name: numbers(spelt(claim, config)) for name, claim in claims.items()},
        {name: [shown(config["platforms"][name]), config["platforms"][name].get("workload", {}).get("models") or []]
         for name in platforms},
        [[cell.id, cell.fingerprint, cell.reason] for cell in claimed(config, cells)],
    ]  # fmt: skip


def claimed(config: Yaml, cells: list[Cell]) -> list[Cell]:
    """The cells that any claim is about."""
    claims = config["claims"]["claims"].values()
    return [cell for cell in cells if any(is_about(claim, cell.id, config) for claim in claims)]


def is_predicted(config: Yaml, cell: Cell) -> bool:
    """Whether the table of predictions reads a cell: one that can be measured, on a GPU; attention is not used."""
    _, platform, _, framework, *_ = cell.id.split("/")
    return bool(cell.fingerprint) and config["platforms"][platform]["device"] != "cpu" and framework != "attention"


def prediction_content(config: Yaml, cells: list[Cell]) -> Json:
    """Everything that the table of predictions shows."""
    platforms = {cell.id.split("/")[1]: config["platforms"][cell.id.split("/")[1]] for cell in cells}
    return [
        {
            name: [each["label"], held(each), *lines(each)[-2:], numbers(each["interconnect"].get("gb_per_s"))]
            for name, each in platforms.items()
        },
        [[cell.id, cell.fingerprint] for cell in cells],
    ]


def report_content(config: Yaml, drawn: dict[tuple[str, str], Json], platforms: set[str]) -> Json:
    """Everything that the report shows: all tables and figures in their order, and what its form answers from."""
    experiments = {job: config["experiments"][job[1]] for job in drawn if job not in DERIVED}
    in_order = sorted(experiments, key=lambda job: place(job, config))
    return [
        *map(drawn.get, DERIVED), [[job, experiments[job]["stage"], drawn[job]] for job in in_order],
        {name: [config["platforms"][name].get("price"), config["platforms"][name].get("workload", {}).get("models")]
         for name in platforms},
    ]  # fmt: skip


def forms_content(config: Yaml, asked: dict[str, Yaml]) -> Json:
    """What the forms of predictions choose from: GPUs, models, and one cell of each setting on one platform."""
    platforms = {name: each for name, each in config["platforms"].items() if each["device"] != "cpu"}
    nodes = [name for name, each in platforms.items() if each.get("nodes", 1) == 1]
    settings: dict[str, str] = {}
    if nodes:
        base = max(nodes, key=lambda name: (
            platforms[name]["gpus_per_node"], len(platforms[name].get("environments") or {}), name
        ))  # fmt: skip
        there = config | {"root": config["root"] | {"platforms": [base], "overrides": {}}}
        for experiment in asked.values():
            if experiment["stage"] in {*LETTERED, "serve"} - {"profile"}:
                for cell in cells_of(there, experiment):
                    stage, _, _, framework, method, _ = cell.id.split("/")
                    if cell.fingerprint:
                        settings.setdefault(f"{stage}/{framework}/{method}", cell.fingerprint)
    models = [(name, config["models"][name]) for name in config["root"]["models"]]
    return [
        gpus_asked(platforms), [*settings.items()],
        [[name, each["label"], numbers(each["architecture"])] for name, each in models],
    ]  # fmt: skip


def gpus_asked(platforms: dict[str, Yaml]) -> list[Json]:
    """Each GPU with each of its links as its largest platform declares it; the others are known by datasheets."""
    found: dict[tuple[str, str], Json] = {}
    for name in sorted(platforms, key=lambda name: -platforms[name]["gpus_per_node"]):
        platform = platforms[name]
        gpu, link = platform["gpu"], platform["interconnect"]
        alone = platform["gpus_per_node"] == 1 and gpu["model"] in {model for model, _ in found}
        if not platform.get("memory_budget_gib") and not alone:
            facts = [*lines(platform)[1:], link.get("gb_per_s"), gpu["memory_gib"], platform["host"]["memory_gib"]]
            found.setdefault((gpu["model"], link["kind"]), [name, *facts, platform.get("price")])
    return [[*kind, *facts] for kind, facts in found.items()]


def place(job: tuple[str, str], config: Yaml) -> tuple[Any, ...]:
    """Where the report has a table or figure: by stage, then what has an order, tables before figures."""
    experiment = config["experiments"][job[1]]
    order = experiment.get("order")
    return STAGES.index(experiment["stage"]), order is None, experiment["kind"] == "figure", order or 0, *job[::-1]


def shown(platform: Yaml) -> Json:
    """What tables of numbers say of a platform; the peaks are the denominator of MFU."""
    gpu = platform["gpu"]
    peaks = {dtype: float(peak) for dtype, peak in gpu.get("peak_tflops", {}).items()}
    return [platform["label"], gpu["label"], held(platform), peaks]


def held(platform: Yaml) -> str | None:
    """Part of its labels."""
    budget = platform.get("memory_budget_gib")
    return budget and f"{budget:g}"


def lines(platform: Yaml) -> Json:
    """A roofline has a slope as well."""
    bandwidth = platform["gpu"].get("memory_bandwidth_gb_per_s")
    return [*shown(platform), bandwidth and float(bandwidth)]


def declared(platform: Yaml) -> Json:
    """What Table I says of a platform."""
    gpu, link, host = platform["gpu"], platform["interconnect"], platform["host"]
    numbers = [
        platform["gpus_per_node"] * platform.get("nodes", 1), gpu["memory_gib"], gpu.get("memory_bandwidth_gb_per_s"),
        link.get("gb_per_s"), host["memory_gib"],
    ]  # fmt: skip
    return [
        platform["label"], held(platform), gpu["model"], link["kind"], host["cpu"], gpu.get("source"),
        platform.get("workload", {}).get("dtype") or "bf16",
        [None if number is None else f"{number:g}" for number in numbers],
        {dtype: f"{peak:g}" for dtype, peak in gpu.get("peak_tflops", {}).items()},
    ]  # fmt: skip
