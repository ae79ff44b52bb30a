"""The configuration below config/, read, validated and cross-checked. No other module reads configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dissect.config.architecture import ModelFile
from dissect.config.claims import CLAIMS, Claims
from dissect.config.errors import ConfigError, unknown
from dissect.config.experiment import Axes, Experiment, MethodAxis, MethodCross, MethodsOfAxis
from dissect.config.files import M, read_yaml, typed, validate
from dissect.config.kinds import LETTER_STAGES, OPERATORS, Suite
from dissect.config.known_gpus import KnownGpu, read_known_gpus
from dissect.config.methods import NAIVE, Methods
from dissect.config.names import check_name
from dissect.config.platform import Platform
from dissect.config.registered import FRAMEWORK_NAMES
from dissect.config.root import RootConfig

ROOT_FILE = "config/config.yaml"
CLAIMS_FILE = "config/references/paper.yaml"
REPORT = "report"
"""Name of the report page's manifest; no table or figure may have it."""
PREDICTION = "table_prediction"
"""Name of the table of predicted against measured cells, which reads the cells of other tables."""
OF_ONE_GPU = ("gpu", "price")
"""Keys of a platform that one of another ``gpu.model`` does not inherit: the facts of a GPU, and its price."""


@dataclass(frozen=True)
class Catalog:
    """The whole configuration of one project folder."""

    root: RootConfig
    platforms: Mapping[str, Platform]
    models: Mapping[str, ModelFile]
    methods: Methods
    experiments: Mapping[str, Experiment]
    claims: Claims
    known_gpus: Mapping[str, KnownGpu]
    """GPUs of config/gpus.yaml by the name that their driver reports."""
    locks: Mapping[str, str]
    """Lock files: environment name -> text of its requirements.txt."""

    @property
    def wants_claims(self) -> bool:
        """Whether config.yaml asks for the table of verdicts on the paper's claims."""
        return _wanted(CLAIMS, self.root.tables)

    @property
    def wants_prediction(self) -> bool:
        """Whether config.yaml asks for the table of predicted against measured cells."""
        return _wanted(PREDICTION, self.root.tables)

    @property
    def wanted_experiments(self) -> dict[str, Experiment]:
        """Tables and figures that config.yaml asks for, by name."""
        return {
            name: experiment
            for name, experiment in self.experiments.items()
            if _wanted(name, self.root.tables if experiment.kind == "table" else self.root.figures)
            and (self._has_platform(experiment) or not self._asks_for_all(experiment))
        }

    def runs_of(self, experiment: Experiment) -> int:
        """Runs that each cell of the experiment needs; a node is inspected once."""
        if experiment.stage == "inspect":
            return 1
        runs = self.root.runs
        return experiment.runs or (runs if isinstance(runs, int) else getattr(runs, self.root.suite))

    def _asks_for_all(self, experiment: Experiment) -> bool:
        return (self.root.tables if experiment.kind == "table" else self.root.figures) == "all"

    def _has_platform(self, experiment: Experiment) -> bool:
        """Whether the experiment covers one of the configured platforms."""
        return bool(platforms_of(experiment, self.root.platforms)) or not self.root.platforms


def load_catalog(project: Path, command_line: Mapping[str, Any]) -> Catalog:
    """Read and check config/ of a project folder; keys of the command line replace those of config.yaml.

    Raises:
        ConfigError: a file is missing or invalid, or uses a name that no other file defines.
    """
    folder = project / "config"
    shown = f"{ROOT_FILE} with --config" if command_line else ROOT_FILE
    given = {key: typed(value) for key, value in command_line.items()}
    root = validate(RootConfig, {**read_yaml(project / ROOT_FILE, ROOT_FILE), **given}, shown)
    methods = validate(Methods, read_yaml(folder / "methods.yaml", "config/methods.yaml"), "config/methods.yaml")
    catalog = Catalog(
        root=root,
        platforms=_read_folder(folder / "platforms", Platform),
        models=_read_folder(folder / "models", ModelFile),
        methods=methods,
        experiments=_read_folder(folder / "experiments", Experiment),
        claims=validate(Claims, read_yaml(project / CLAIMS_FILE, CLAIMS_FILE), CLAIMS_FILE),
        known_gpus=read_known_gpus(project),
        locks={path.parent.name: path.read_text() for path in sorted(project.glob("envs/*/requirements.txt"))},
    )
    _check_references(catalog)
    return catalog


def _wanted(name: str, names: list[str] | str) -> bool:
    return names == "all" or name in names


def _read_folder(folder: Path, model: type[M]) -> dict[str, M]:
    """Every file of a folder by its name; those of a model with ``extends`` inherit keys."""
    raw = {}
    for path in sorted(folder.glob("*.yaml")):
        shown = f"config/{folder.name}/{path.name}"
        raw[_stem(path, shown)] = read_yaml(path, shown)
    if "extends" in model.model_fields:
        merged = {name: _inherit(name, raw, folder.name) for name in raw}
        # An error in a file is reported for that file, and not for one that extends it.
        raw = {name: merged[name] for name in sorted(raw, key=lambda name: _generation(name, raw))}
    return {name: validate(model, data, f"config/{folder.name}/{name}.yaml") for name, data in raw.items()}


def _stem(path: Path, shown: str) -> str:
    try:
        return check_name(path.stem)
    except ValueError as error:
        raise ConfigError(f"{shown}: invalid file name '{path.stem}': {error}") from None


def _generation(name: str, raw: Mapping[str, dict[str, Any]]) -> int:
    """Number of files that this one inherits from, directly or through others."""
    parent = raw[name].get("extends")
    return 0 if parent is None else 1 + _generation(parent, raw)


def _inherit(name: str, raw: Mapping[str, dict[str, Any]], folder: str, chain: tuple[str, ...] = ()) -> dict[str, Any]:
    """Keys of a file merged over those of the file that it extends."""
    parent, what = raw[name].get("extends"), folder.removesuffix("s")
    if parent is None:
        return raw[name]
    where = f"config/{folder}/{name}.yaml: extends"
    if not isinstance(parent, str):
        raise ConfigError(f"{where}: found {parent!r}, expected the name of another {what}")
    if parent not in raw:
        raise unknown(where, what, parent, raw)
    if parent in (*chain, name):
        raise ConfigError(f"{where}: inheritance cycle {' -> '.join((*chain, name, parent))}")
    inherited = _inherit(parent, raw, folder, (*chain, name))
    if _gpu_model(raw[name]) not in (None, _gpu_model(inherited)):
        inherited = {key: value for key, value in inherited.items() if key not in OF_ONE_GPU}
    return _merge(inherited, raw[name])


def _gpu_model(data: dict[str, Any]) -> object:
    gpu = data.get("gpu")
    return gpu.get("model") if isinstance(gpu, dict) else None


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """``base`` updated with ``over``, recursively for nested mappings."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _check_references(catalog: Catalog) -> None:
    """Check that every name which a file uses is defined."""
    root = catalog.root
    _check_known(ROOT_FILE, "platforms", "platform", root.platforms, catalog.platforms)
    _check_known(ROOT_FILE, "models", "model", root.models, catalog.models)
    _check_labels({name: catalog.platforms[name] for name in root.platforms})
    for kind, key, names in (("table", "tables", root.tables), ("figure", "figures", root.figures)):
        known = [name for name, experiment in catalog.experiments.items() if experiment.kind == kind]
        known += [CLAIMS, PREDICTION] if kind == "table" else []
        _check_known(ROOT_FILE, key, kind, [] if names == "all" else names, known)
    for name, platform in catalog.platforms.items():
        file = f"config/platforms/{name}.yaml"
        _check_known(file, "workload.models", "model", platform.workload.models or [], catalog.models)
        _check_known(file, "serving.gpus", "model", platform.serving.gpus, catalog.models)
        locks = [environment.lock for environment in platform.environments.values() if environment.lock]
        _check_known(file, "environments", "environment", locks, catalog.locks)
    for name, experiment in catalog.experiments.items():
        file = f"config/experiments/{name}.yaml"
        platforms = experiment.axes.platform
        _check_known(
            file, "axes.platform", "platform", platforms if isinstance(platforms, list) else [], catalog.platforms
        )
        models = experiment.axes.model
        _check_known(file, "axes.model", "model", models if isinstance(models, list) else [], catalog.models)
        for path, method in _methods_of(experiment):
            methods_of(experiment, method, catalog.methods, f"{file}: {path}")
    owners = {
        CLAIMS: f"the table of {CLAIMS_FILE}",
        PREDICTION: "the table of predictions",
        REPORT: "the report page",
    }
    for name, owner in owners.items():
        if name in catalog.experiments:
            raise ConfigError(f"config/experiments/{name}.yaml: the name '{name}' is reserved for {owner}")
    _check_claims(catalog)
    for letter, entry in catalog.methods.letters.items():
        for key in ("knobs_with", "excludes"):
            where = f"letters.{letter}.{key}"
            _check_known("config/methods.yaml", where, "letter", getattr(entry, key), catalog.methods.letters)


def _check_labels(platforms: Mapping[str, Platform]) -> None:
    """Check that readers can tell platforms apart that are shown together."""
    names: dict[str, str] = {}
    for name, platform in platforms.items():
        first = names.setdefault(platform.shown_label, name)
        if first != name:
            raise ConfigError(
                f"config/platforms/{name}.yaml: label: found {platform.label!r}, "
                f"which config/platforms/{first}.yaml has as well; expected another"
            )


def _check_claims(catalog: Catalog) -> None:
    """Check that every name which a claim uses is defined."""
    known = {"platform": catalog.platforms, "model": catalog.models, "framework": FRAMEWORK_NAMES}
    for name, claim in catalog.claims.claims.items():
        for axis, value in (pair for where in claim.selections() for pair in where.items()):
            if axis in known:
                _check_known(CLAIMS_FILE, f"claims.{name}", axis, [value], known[axis])
            if axis == "method" and claim.stage in LETTER_STAGES:
                catalog.methods.parse(str(value), f"{CLAIMS_FILE}: claims.{name}")


def _methods_of(experiment: Experiment) -> list[tuple[str, MethodsOfAxis]]:
    suites = [(f"suites.{suite}.method", axes.method) for suite, axes in experiment.suites.items()]
    return [("axes.method", experiment.axes.method), *((path, method) for path, method in suites if method)]


def methods_of(experiment: Experiment, method: MethodsOfAxis, methods: Methods, where: str) -> list[str]:
    """Methods of an axis, of all its frameworks, in their normal spelling; names of operators are left unchanged.

    There are no duplicates.

    Raises:
        ConfigError: a letter or operator is unknown, or a method has a duplicate letter.
    """
    if isinstance(method, dict):
        every = [methods_of(experiment, own, methods, f"{where}.{name}") for name, own in method.items()]
        return list(dict.fromkeys(name for own in every for name in own))
    if experiment.stage == "operators":
        return _operators_of(experiment, method, where)
    if experiment.stage not in LETTER_STAGES:
        return list(method) if isinstance(method, list) else []
    if not isinstance(method, MethodCross):
        return list(dict.fromkeys(methods.normal(name, where) for name in method))
    combined: list[tuple[str, ...]] = [()]
    for group in method.cross:
        parsed = [methods.parse(name, where) for name in group]
        combined = [(*letters, *more) for letters in combined for more in parsed]
    return list(dict.fromkeys(methods.normal("+".join(dict.fromkeys(c)) or NAIVE, where) for c in combined))


def _operators_of(experiment: Experiment, method: MethodAxis, where: str) -> list[str]:
    """Names of operators without duplicates, each known to its family."""
    if isinstance(method, MethodCross):
        raise ConfigError(f"{where}: found 'cross', but operators do not combine; expected a list of names")
    for family, known in OPERATORS.items():
        for name in method:
            if family in experiment.axes.framework and name not in known:
                raise unknown(where, f"{family} operator", name, known)
    return list(dict.fromkeys(method))


def axes_of(experiment: Experiment, suite: Suite) -> Axes:
    """Axes of the experiment, with those that the suite replaces."""
    shorter = experiment.suites.get(suite)
    if shorter is None:
        return experiment.axes
    return experiment.axes.model_copy(update={k: v for k, v in shorter if v is not None})


def platforms_of(experiment: Experiment, platforms: list[str]) -> list[str]:
    """The given platforms that the experiment covers."""
    only = experiment.axes.platform
    return [name for name in platforms if only == "configured" or name in only]


def _check_known(file: str, key: str, what: str, names: Any, known: Any) -> None:
    for name in names:
        if name not in known:
            raise unknown(f"{file}: {key}", what, name, known)
