"""A checked question from ``--config``, and the records that can answer it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from dissect.cells.globs import known_names
from dissect.cells.study import Study, load_study
from dissect.cells.terms import terms_of
from dissect.config.catalog import Catalog, load_catalog
from dissect.config.errors import ConfigError, listed, unknown
from dissect.config.kinds import LETTER_STAGES, Policy
from dissect.config.question import AskedStage, Question, names
from dissect.present.recommend.candidates import candidates
from dissect.present.tables.columns import Record
from dissect.present.tables.tidy import read_record
from dissect.results.store import STORE_DIR, Store

WHERE = "--config"
SERVING_LIMITS = ("max_ttft_s", "max_tpot_s", "max_latency_s")


def read_question(catalog: Catalog) -> Question:
    """The question of this configuration, with every name known and methods in their normal spelling.

    Raises:
        ConfigError: it is incomplete, contradicts itself, or names what nothing defines.
    """
    question: Question = catalog.root
    if question.stage is None:
        raise ConfigError(f"{WHERE} stage: found nothing, expected one of {listed(get_args(AskedStage))}")
    if question.model is None:
        raise ConfigError(f"{WHERE} model: found nothing, expected one of {listed(catalog.models)}")
    if question.minimise and question.maximise:
        raise ConfigError(f"{WHERE} maximise: found '{question.maximise}' beside 'minimise', expected one of the two")
    if question.stage != "serve" and (foreign := [key for key in SERVING_LIMITS if getattr(question, key)]):
        raise ConfigError(f"{WHERE} {foreign[0]}: found a limit of servers, but the stage is '{question.stage}'")
    known = {**known_names(catalog), "model": catalog.models}
    for axis, given in {
        "model": question.model,
        "platform": question.platform,
        "framework": question.framework,
    }.items():
        for name in names(given):
            if name not in known[axis]:
                raise unknown(f"{WHERE} {axis}", axis, name, known[axis])
    return Question.model_validate(_own_fields(question) | {"method": _methods(question, catalog, known) or None})


def records_of(study: Study, project: Path, stage: AskedStage | None) -> Iterator[Record]:
    """The cells of one stage in all wanted tables and figures; without runs if there are none yet."""
    read = Store(project / STORE_DIR).runs_at
    for name, experiment in study.catalog.wanted_experiments.items():
        if experiment.stage == stage:
            manifest = study.manifest(name)
            for cell in manifest.cells:
                yield read_record(cell, manifest.platforms[cell.platform], project, read)


def failures_of(records: Iterable[Record], store: Store) -> dict[str, str]:
    """Key -> reason of the last failure, for cells without a result."""
    keys = {record.cell.key for record in records if record.runs is None and record.cell.key}
    found = {key: store.entry(key).failure() for key in keys}
    return {key: failure.reason for key, failure in found.items() if failure}


def gather(project: Path, command_line: Mapping[str, Any]) -> tuple[Question, list[dict[str, Any]], Study]:
    """Question, candidates, and the study that they come from.

    The platforms and the model that the question names count as configured ones.

    Raises:
        ConfigError: the configuration or the question is wrong, or a price is missing.
    """
    catalog = load_catalog(project, command_line)
    question = read_question(catalog)
    platforms = list(dict.fromkeys([*catalog.root.platforms, *names(question.platform)]))
    models = list(dict.fromkeys([*catalog.root.models, *names(question.model)]))
    study = load_study(project, {**command_line, "platforms": platforms, "models": models})
    records = list(records_of(study, project, question.stage))
    failures = failures_of(records, Store(project / STORE_DIR))
    rows = candidates(records, terms_of(catalog), failures, catalog.root.price)
    if question.objective == "cost":
        check_prices(question, rows)
    return question, rows, study


def check_prices(question: Question, rows: Sequence[Mapping[str, Any]]) -> None:
    """Check that the prices that a question about cost needs are given and in one currency.

    Raises:
        ConfigError: a price is missing, or currencies differ.
    """
    chosen = names(question.platform) or list(dict.fromkeys(row["platform"] for row in rows))
    asked = [
        row
        for row in rows
        if row["stage"] == question.stage
        and row["platform"] in chosen
        and (row["model"] == question.model or row["stand_in"])
    ]
    currencies = sorted({row["currency"] for row in asked if row["price_per_gpu_hour"]})
    if not currencies:
        # A platform that runs the model itself, before those that run another in its place.
        first = next((row["platform"] for row in sorted(asked, key=lambda row: bool(row["stand_in"]))), None)
        first = first or next(iter(chosen), "<name>")
        raise ConfigError(
            f"config/platforms/{first}.yaml: price: found nothing, but {WHERE} minimise=cost needs one: "
            "price: {per_gpu_hour: <number>, currency: <ISO code>, source: <whose price>, date: <when>}, "
            "or price=<number> for all platforms"
        )
    if len(currencies) > 1:
        other = next(row["platform"] for row in asked if row["currency"] == currencies[1])
        raise ConfigError(
            f"config/platforms/{other}.yaml: price.currency: found {currencies[1]}, expected {currencies[0]} as on the "
            "other platforms: prices of several currencies do not compare"
        )


def _own_fields(question: Question) -> dict[str, Any]:
    return {name: getattr(question, name) for name in Question.model_fields}


def _methods(question: Question, catalog: Catalog, known: Mapping[str, Iterable[str]]) -> list[str]:
    where = f"{WHERE} method"
    if question.stage in LETTER_STAGES:
        return [catalog.methods.normal(name, where) for name in names(question.method)]
    policies = sorted({*known["method"]} & {*get_args(Policy)})
    for name in names(question.method):
        if name not in policies:
            raise unknown(where, "policy", name, policies)
    return names(question.method)
