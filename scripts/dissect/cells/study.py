"""The study: all cells, tables and figures of one configuration."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, get_args

from dissect.cells.cell import Cell
from dissect.cells.cell_id import NO_NAME, CellId
from dissect.cells.claimed import claims_manifest, reader_of
from dissect.cells.globs import parse_glob, selection_of
from dissect.cells.manifest import Manifest, ManifestCell, MethodFacts, ModelFacts, PlatformFacts
from dissect.cells.overriding import Override
from dissect.cells.places import check_places
from dissect.cells.platform_facts import platform_facts
from dissect.cells.predicted import CAPTION, TITLE, prediction_manifest
from dissect.cells.references import Reference, read_sets, references_of
from dissect.cells.reported import ReportManifest, report_manifest
from dissect.cells.resolve import expand, expand_named
from dissect.config.catalog import PREDICTION, ROOT_FILE, Catalog, axes_of, load_catalog, methods_of
from dissect.config.claims import CLAIMS
from dissect.config.errors import ConfigError
from dissect.config.kinds import LETTER_STAGES, STAGE_TITLES, Suite


@dataclass(frozen=True)
class Heading:
    """Heading of a table or figure: its title, caption and category."""

    title: str
    caption: str
    category: str
    """Title of its stage."""
    platforms: str
    """Labels of the platforms whose cells it shows."""

    def labels(self, form: str) -> dict[str, str]:
        """Columns of its row in Snakemake's report, without braces, which Snakemake would read as wildcards."""
        texts = {"Title": self.title, "Platforms": self.platforms, "Form": form}
        return {name: text.replace("{", "(").replace("}", ")") for name, text in texts.items()}


@dataclass(frozen=True)
class Study:
    """All cells of a configuration, by experiment and by ``select``."""

    catalog: Catalog
    experiments: Mapping[str, list[Cell]]
    """Table or figure -> its cells on the configured platforms."""
    selected: list[Cell]
    """Cells of the targets ``cells`` and ``remeasure``."""
    notices: list[str] = field(default_factory=list)
    """Notices for the user about globs of ``overrides`` that match no cell."""
    unmatched: list[str] = field(default_factory=list)
    """Globs of ``select`` that match no cell."""
    references: Mapping[str, list[Reference]] = field(default_factory=dict)
    """Table or figure -> its reference results."""
    sets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Set of reference results -> key -> id of its cells."""

    @cached_property
    def informed(self) -> "Study":
        """This study with the reference results of all models, to predict from."""
        models = {CellId.parse(name).model for cells in self.sets.values() for name in cells.values()}
        if models <= {*self.catalog.root.models, NO_NAME}:
            return self
        every = _with_models(self.catalog, sorted(models & self.catalog.models.keys()))
        return replace(self, references={name: references_of(name, every, self.sets) for name in self.experiments})

    @cached_property
    def by_path(self) -> dict[str, Cell]:
        """Every supported cell, by its published path, with the most runs that a wanted table or figure needs.

        Raises:
            ConfigError: the keys of two specs collide.
        """
        wanted = [cell for name in self.catalog.wanted_experiments for cell in self.experiments[name]] + self.selected
        every = [cell for cells in self.experiments.values() for cell in cells]
        specs: dict[str, str] = {}
        for cell in every + wanted:
            if cell.key and cell.canonical and specs.setdefault(cell.key, cell.canonical) != cell.canonical:
                raise ConfigError(f"cell {cell.id}: its key {cell.key} collides with that of another spec")
        return _with_most_runs(every) | _with_most_runs(wanted)

    @cached_property
    def targets(self) -> list[str]:
        """Published paths of the cells of all tables and figures that config.yaml asks for."""
        wanted = self.catalog.wanted_experiments
        return list(dict.fromkeys(path for name in wanted for path in self.paths_of(name)))

    @cached_property
    def selected_targets(self) -> list[str]:
        """Published paths of the selected cells."""
        return list(dict.fromkeys(_paths(self.selected)))

    def paths_of(self, experiment: str) -> list[str]:
        """Published paths of the cells of a table or figure."""
        if derived := self._derived(experiment):
            return [cell.path for cell in derived.cells if cell.path and not cell.reference]
        return list(dict.fromkeys(_paths(self.experiments[experiment])))

    def wanted(self, kind: str) -> list[str]:
        """Names of the tables or figures that config.yaml asks for."""
        names = [name for name, experiment in self.catalog.wanted_experiments.items() if experiment.kind == kind]
        if kind == "table" and self.catalog.wants_prediction and self.prediction.cells:
            names.append(PREDICTION)
        return [*names, CLAIMS] if kind == "table" and self.catalog.wants_claims else names

    @property
    def drawn(self) -> list[str]:
        """Names of everything that is drawn: the figures that config.yaml asks for, and that of the predictions."""
        return [*self.wanted("figure"), *(name for name in self.wanted("table") if name == PREDICTION)]

    def manifest(self, name: str) -> Manifest:
        """The manifest of a table or figure."""
        if derived := self._derived(name):
            return derived
        experiment = self.catalog.experiments[name]
        cells = [cell for cell, _ in self._shown(name)]
        methods, letters = self.catalog.methods, experiment.stage in LETTER_STAGES
        return Manifest(
            name=name,
            kind=experiment.kind,
            title=experiment.title,
            caption=experiment.caption,
            layout=experiment.layout.model_dump(),
            platforms=self._platforms([name], experiment.layout.kind),
            models={
                model: ModelFacts(label=self.catalog.models[model].label)
                for model in dict.fromkeys(cell.model for cell in cells)
                if model != NO_NAME
            },
            methods={
                method: MethodFacts(label=method, note=methods.note(methods.parse(method, name)) if letters else None)
                for method in self._methods(name, cells)
                if method != NO_NAME
            },
            cells=[_manifest_cell(cell, set_name) for cell, set_name in self._shown(name)],
        )

    def _methods(self, name: str, cells: Iterable[Cell]) -> list[str]:
        """Methods of these cells of a table or figure; with reference results, which have gaps, in the axis' order."""
        experiment, found = self.catalog.experiments[name], dict.fromkeys(cell.method for cell in cells)
        if not self.references.get(name):
            return [*found]
        axis = methods_of(experiment, axes_of(experiment, "full").method, self.catalog.methods, name)
        return [*(method for method in axis if method in found), *(method for method in found if method not in axis)]

    def _derived(self, name: str) -> Manifest | None:
        """The manifest of a table that reads cells of others; None of an experiment."""
        if name == PREDICTION:
            return self.prediction
        return self.claims if name == CLAIMS else None

    def _shown(self, name: str) -> list[tuple[Cell, str | None]]:
        """Cells of a table or figure, each with its set of reference results or None."""
        others = [(reference.cell, reference.set_name) for reference in self.references.get(name, [])]
        return [*((cell, None) for cell in self.experiments[name]), *others]

    @cached_property
    def claims(self) -> Manifest:
        """The manifest of the table of verdicts, over the paper's tables and figures that config.yaml asks for."""
        wanted = self.catalog.wanted_experiments.items()
        names = [name for name, each in wanted if each.layout.kind != "platforms" and not each.beyond_paper]
        reads = reader_of(self.catalog)
        read = [shown for name in names for shown in self._shown(name) if reads(shown[0])]
        return claims_manifest(self.catalog, [_manifest_cell(*shown) for shown in read], self._platforms(names, CLAIMS))

    @cached_property
    def prediction(self) -> Manifest:
        """The manifest of the table of predictions: cells of training and serving on GPUs, and their operators."""
        found = self.prediction_of(self.catalog.wanted_experiments)
        if all(cell.stage == "operators" for cell in found.cells):
            return found.model_copy(update={"cells": [], "platforms": {}})
        return found

    def prediction_of(self, experiments: Iterable[str]) -> Manifest:
        """The manifest of the cells of these tables and figures that predictions are held against, or made from."""
        stages, known = (*LETTER_STAGES, "serve", "operators"), self.catalog.platforms
        names = [name for name in experiments if self.catalog.experiments[name].stage in stages]
        shown = [each for name in names for each in self._shown(name) if known[each[0].platform].device != "cpu"]
        return self._of_predictions(names, [each for each in shown if each[0].framework != "attention"])

    @cached_property
    def measurable(self) -> Manifest:
        """The manifest of the cells whose runs tell how long the selected ones take, which are among them.

        They are those of all tables and figures on the same kinds of device.
        """
        names, known = [*self.catalog.experiments], self.catalog.platforms
        shown = [*(each for name in names for each in self._shown(name)), *((cell, None) for cell in self.selected)]
        devices = {known[cell.platform].device for cell in self.selected}
        return self._of_predictions(names, [each for each in shown if known[each[0].platform].device in devices])

    def _of_predictions(self, names: list[str], shown: list[tuple[Cell, str | None]]) -> Manifest:
        cells = [_manifest_cell(*each) for each in shown if each[0].path]
        facts = self._platforms(names, PREDICTION, {cell.platform for cell in self.selected})
        return prediction_manifest(cells, {cell.platform: facts[cell.platform] for cell in cells})

    def heading(self, name: str) -> Heading:
        """Heading of a table or figure in Snakemake's report."""
        if name == PREDICTION:
            return Heading(TITLE, CAPTION, "Predictions", self._labels(list(self.catalog.wanted_experiments)))
        if name == CLAIMS:
            known, category, names = self.catalog.claims, "Claims of the paper", list(self.catalog.wanted_experiments)
            return Heading(known.title, known.caption, category, self._labels(names))
        experiment = self.catalog.experiments[name]
        return Heading(experiment.title, experiment.caption, STAGE_TITLES[experiment.stage], self._labels([name]))

    def _labels(self, names: list[str]) -> str:
        return ", ".join(dict.fromkeys(facts.label for facts in self._platforms(names, "").values()))

    @cached_property
    def report(self) -> ReportManifest:
        """The manifest of the report page."""
        names = self.catalog.wanted_experiments
        own = {cell.platform for name in names for cell in self.experiments[name]}
        others = {each.cell.platform for name in names for each in self.references.get(name, [])}
        return report_manifest(self.catalog, own | others, PREDICTION in self.wanted("table"))

    def reference_paths(self, name: str) -> list[str]:
        """Paths of the reference results of a table or figure."""
        if derived := self._derived(name):
            return [cell.path for cell in derived.cells if cell.path and cell.reference]
        return list(dict.fromkeys(_paths([reference.cell for reference in self.references.get(name, [])])))

    def _platforms(self, names: list[str], layout: str, more: Iterable[str] = ()) -> dict[str, PlatformFacts]:
        """Facts of the platforms of these tables and of ``more``; reference results have labels of their own."""
        known = self.catalog.platforms
        platforms = dict.fromkeys([*(cell.platform for name in names for cell in self.experiments[name]), *more])
        own = {platform: platform_facts(known[platform], layout) for platform in platforms}
        others = {}
        for reference in (reference for name in names for reference in self.references.get(name, [])):
            platform = reference.cell.platform
            facts = platform_facts(known[platform], layout)
            label = f"{facts.label} (reference {reference.set_name})"
            others[f"{platform}@{reference.set_name}"] = facts.model_copy(update={"label": label})
        return own | others


def load_study(project: Path, command_line: Mapping[str, Any]) -> Study:
    """Load the configuration of a project folder and resolve it to cells.

    Raises:
        ConfigError: the configuration is invalid.
    """
    catalog = load_catalog(project, command_line)
    overrides, platforms = _overrides(catalog), catalog.root.platforms
    experiments = {name: list(expand(name, catalog, platforms, overrides)) for name in catalog.experiments}
    for name, experiment in catalog.wanted_experiments.items():
        check_places(name, experiment.layout, experiments[name])
    enabled = [cell for name in catalog.wanted_experiments for cell in experiments[name]]
    notices = [
        f"{ROOT_FILE}: overrides: '{override.glob.text}' matches no cell of the configured platforms"
        for override in overrides
        if not any(override.glob.matches(cell.id) for cell in enabled)
    ]
    sets = read_sets(project)
    references = {name: references_of(name, catalog, sets) for name in catalog.experiments} if sets else {}
    if catalog.root.select is None:
        return Study(catalog, experiments, enabled, notices, references=references, sets=sets)
    selection = selection_of(catalog)
    named = _with_models(catalog, (glob.parts.model for glob in selection.globs if glob.parts.model in catalog.models))
    matches = partial(selection.matches_beside, {*named.root.models} - {*catalog.root.models})
    selected = [
        cell
        for name in catalog.wanted_experiments
        for cell in expand(name, named, [*catalog.platforms], overrides, matches)
    ]
    unmatched = [glob.text for glob in selection.globs if not any(glob.matches(cell.id) for cell in selected)]
    return Study(catalog, experiments, selected, notices, unmatched, references, sets)


def _with_models(catalog: Catalog, models: Iterable[str]) -> Catalog:
    """The catalogue with these models beside the configured ones."""
    together = list(dict.fromkeys([*catalog.root.models, *models]))
    return replace(catalog, root=catalog.root.model_copy(update={"models": together}))


def _overrides(catalog: Catalog) -> list[Override]:
    where = f"{ROOT_FILE}: overrides"
    return [Override(parse_glob(text, catalog, where), changes) for text, changes in catalog.root.overrides.items()]


def refuse_empty_globs(study: Study, project: Path, command_line: Mapping[str, Any]) -> None:
    """Check that each glob of ``select`` matches a cell.

    Raises:
        ConfigError: one matches none; the error tells whether the other suite has such a cell.
    """
    if study.unmatched:
        text, suite = study.unmatched[0], study.catalog.root.suite
        (other,) = set(get_args(Suite)) - {suite}
        there = load_study(project, {**command_line, "select": text, "suite": other})
        hint = "" if there.unmatched else f"; suite={other} has {len(there.selected)}"
        raise ConfigError(f"--config select: '{text}' matches no cell of the suite '{suite}'{hint}")


def suite_of(cell_ids: Iterable[str], catalog: Catalog) -> Suite | None:
    """The suite that has all these cells, on any platform, the configured one first; None if neither has.

    Raises:
        ConfigError: the overrides do not fit the other suite.
    """
    ids, overrides = set(cell_ids), _overrides(catalog)
    suites: list[Suite] = sorted(get_args(Suite), key=lambda each: each != catalog.root.suite)
    for suite in suites:
        other = replace(catalog, root=catalog.root.model_copy(update={"suite": suite}))
        found = (cell.id for name in other.wanted_experiments for cell in expand_named(name, other, ids, overrides))
        if ids <= set(found):
            return suite
    return None


def published_paths(project: Path, command_line: Mapping[str, Any]) -> dict[str, list[str]]:
    """Published paths by key, of all cells that the configuration describes, on any platform and in either suite.

    Raises:
        ConfigError: the configuration is invalid.
    """
    catalog = load_catalog(project, {**command_line, "tables": "all", "figures": "all"})
    overrides = _overrides(catalog)
    paths: dict[str, list[str]] = {}
    for suite in get_args(Suite):
        of_suite = replace(catalog, root=catalog.root.model_copy(update={"suite": suite}))
        for name in of_suite.wanted_experiments:
            for cell in expand(name, of_suite, [*catalog.platforms], overrides):
                if cell.path:
                    paths.setdefault(cell.key or "", []).append(cell.path)
    return {key: list(dict.fromkeys(found)) for key, found in paths.items()}


def _with_most_runs(cells: Iterable[Cell]) -> dict[str, Cell]:
    """Supported cells by path; of equal cells the one that needs most runs."""
    found: dict[str, Cell] = {}
    for cell in cells:
        if cell.path:
            found[cell.path] = max(cell, found.get(cell.path, cell), key=lambda each: each.runs)
    return found


def _paths(cells: list[Cell]) -> list[str]:
    return [cell.path for cell in cells if cell.path]


def _manifest_cell(cell: Cell, reference: str | None) -> ManifestCell:
    platform = f"{cell.platform}@{reference}" if reference else cell.platform
    return ManifestCell.model_construct(
        stage=cell.stage, platform=platform, model=cell.model, framework=cell.framework, method=cell.method,
        workload=cell.workload, n_gpus=cell.n_gpus, seq_len=cell.seq_len, batch=cell.batch,
        objective_ttft_s=cell.objective_ttft_s, key=cell.key, path=cell.path, unsupported=cell.unsupported,
        reference=reference,
    )  # fmt: skip
