"""What the form of the page answers from: candidates of ``snakemake recommend`` in words, numbers and intervals."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup, escape

from dissect.base.outcome import Status
from dissect.cells.cell_id import CellId
from dissect.config.kinds import STAGE_TITLES
from dissect.config.question import HIGHER_IS_BETTER, AskedStage, Objective, Percentile, Question
from dissect.present.recommend.against import UNTOLD, Verdicts, has_interval
from dissect.present.recommend.answer import (
    NEAREST,
    Row,
    column_of,
    ended_of,
    limits_of,
    why_without,
)
from dissect.present.recommend.answer_text import (
    AIMS,
    MARKS,
    NEAR_LIMIT,
    NO_INTERVAL,
    SHOWN,
    SHOWN_AS,
    number_text,
    numbers_shown,
    own_marks,
    setting_name,
)
from dissect.present.recommend.candidates import LARGEST

Labels = Mapping[str, Mapping[str, str]]
LIMITS = {
    "memory_gb": "Memory per GPU, at most (GiB)",
    "max_ttft_s": "TTFT, at most (s)",
    "max_tpot_s": "TPOT, at most (s)",
    "max_latency_s": "Latency, at most (s)",
    "min_tokens_per_s": "Throughput, at least (tokens/s)",
}
"""Key of a question -> title of its field, in the order of ``limits_of``."""
_NAMING = ("Setting", "Standing")
"""Headers left of the numbers."""
_TITLES = {"model": "Model", "platform": "Platform", "framework": "Framework", "method": "Method", "n_gpus": "GPUs"}
WORDS = {
    "marks": {standing.name: standing.value for standing in MARKS} | {"near": NEAR_LIMIT, "single": NO_INTERVAL},
    "untold": UNTOLD.words,
    "lists": [("OUT_OF_MEMORY", "Out of memory"), ("UNKNOWN", "Not known"), ("IMPOSSIBLE", "Unsupported")],
    "shown": SHOWN,
    "nearest": NEAREST,
}
"""What answers of all stages share."""


@dataclass(frozen=True)
class Form:
    """The fields of one stage, and the candidates that they choose from."""

    stage: AskedStage
    title: str
    choices: Sequence[tuple[str, str, Sequence[tuple[str, str]]]]
    """Name, title, and values with their labels; of the model one must be chosen."""
    limits: Mapping[str, str]
    percentiles: Sequence[Percentile]
    """From the one that a question has if it names none; empty where nothing has percentiles."""
    aims: Mapping[str, str]
    """As on the command line -> in words."""
    data: Mapping[str, Any]
    """Per percentile the columns of aims and limits, and those that are shown; verdicts on pairs of candidates."""
    candidates: Sequence[Markup]
    """Each as JSON, which takes a fifth of the memory of what it says."""


def forms_of(rows: Iterable[Row], labels: Labels) -> list[Form]:
    """One form per stage that has candidates; ``labels`` by axis and id."""
    stages: dict[AskedStage, list[Row]] = {}
    for row in rows:
        stages.setdefault(row["stage"], []).append(row)
    return [_form(stage, rows, labels) for stage, rows in stages.items()]


def _form(stage: AskedStage, rows: Sequence[Row], labels: Labels) -> Form:
    # Models that were measured come before others, stand-ins last.
    by_standing = sorted(rows, key=lambda row: (bool(row["stand_in"]), row["status"] != Status.OK))
    ordered = {axis: by_standing if axis == "model" else rows for axis in _TITLES}
    values = {axis: list(dict.fromkeys(row[axis] for row in ordered[axis])) for axis in _TITLES}
    values["n_gpus"].sort()
    percentiles = get_args(Percentile)[::-1] if stage == "serve" else ()
    limits = {key: title for key, title in LIMITS.items() if stage == "serve" or not key.startswith("max_")}
    first = Question().objective
    objectives: dict[str, Objective] = {_aim(each): each for each in (first, *AIMS)}
    columns = {each: _columns(stage, each, objectives, limits, rows) for each in percentiles or [Question().percentile]}
    needed = {
        column for found in columns.values() for column in (*found["aims"].values(), *dict(found["limits"]).values())
    }
    return Form(
        stage, STAGE_TITLES[stage],
        [(axis, title, [(str(v), labels.get(axis, {}).get(v, str(v))) for v in values[axis]])
         for axis, title in _TITLES.items()],
        limits, percentiles, {name: AIMS[objective] for name, objective in objectives.items()},
        {
            "columns": columns,
            "lacking": {column: [why_without(column), why_without(column, searches=True)] for column in needed},
            "higher": [_aim(objective) for objective in HIGHER_IS_BETTER],
            "against": _against(columns, objectives, rows),
        },
        [htmlsafe_json_dumps(_candidate(row, columns, sorted(needed), labels)) for row in rows],
    )  # fmt: skip


def _aim(objective: Objective) -> str:
    return f"{'maximise' if objective in HIGHER_IS_BETTER else 'minimise'}={objective}"


def _columns(
    stage: AskedStage, percentile: Percentile, aims: Mapping[str, Objective], limits: Iterable[str], rows: Sequence[Row]
) -> dict[str, Any]:
    """Which columns a question of this percentile ranks by, is limited by, and shows; the last with their headers."""
    question = Question(stage=stage, percentile=percentile)
    currency = next((row["currency"] for row in rows if row["currency"]), None)
    shown = numbers_shown(percentile, currency).items()
    known = {header: column for header, column in shown if any(row[column] is not None for row in rows)}
    heads = (*_NAMING, *known)
    ranked = {
        name: column_of(question.model_copy(update={name.partition("=")[0]: objective}))
        for name, objective in aims.items()
    }
    return {
        "aims": ranked,
        "sorted": {name: _sorted(column, aims[name], [*known.values()]) for name, column in ranked.items()},
        "limits": [(key, limits_of(question.model_copy(update={key: 1.0}))[0].column) for key in limits],
        "shown": list(known.values()),
        "heads": [escape(head) for head in heads],
    }


def _sorted(column: str, objective: Objective, shown: Sequence[str]) -> tuple[int, str]:
    """The place among the headers of the number that is ranked by, -1 where nothing has it, and the order of it."""
    number = SHOWN_AS.get(column, column)
    falls = number != column or objective in HIGHER_IS_BETTER
    place = shown.index(number) + len(_NAMING) if number in shown else -1
    return place, "descending" if falls else "ascending"


def _candidate(row: Row, columns: Mapping[Percentile, Any], needed: Sequence[str], labels: Labels) -> dict[str, Any]:
    """A row with its words as HTML, and its numbers with what they are held against others by."""
    ended = ended_of(row)
    name = Markup('<th scope="row"><a href="cells/{}.html">{}</a></th>').format(row["key"], setting_name(row))
    return {
        "choices": {axis: str(row[axis]) for axis in _TITLES},
        "standIn": row["stand_in"], "model": escape(labels.get("model", {}).get(row["model"], row["model"])),
        "work": escape(row["work"]),
        "searches": row["objective_ttft_s"] is not None,
        "number": row["number"], "key": row["key"], "id": escape(str(CellId.of(row))),
        "ended": [ended[0].name, escape(ended[1])] if ended else None,
        "marks": [escape(each.replace("_", " ")) for each in own_marks(row)],
        "numbers": {column: _number(row, column) for column in needed if row[column] is not None},
        "name": name,
        "cells": {} if ended else {each: _places(row, found["shown"]) for each, found in columns.items()},
    }  # fmt: skip


def _against(columns: Mapping[Percentile, Any], objectives: Mapping[str, Objective], rows: Sequence[Row]) -> Any:
    """Column of an aim -> number of the best -> number of another -> what is told of the other."""
    aims = {found["aims"][name]: objective for found in columns.values() for name, objective in objectives.items()}
    told: dict[str, dict[int, dict[int, tuple[str, str]]]] = {}
    for column, objective in aims.items():
        for best, other, found in Verdicts(rows, column, objective).pairs():
            of_best = told.setdefault(column, {}).setdefault(best, {})
            of_best[other] = (found.standing.name, str(escape(found.words)))
    return told


def _places(row: Row, columns: Iterable[str]) -> Markup:
    return Markup("".join(f"<td>{escape(number_text(row, column))}</td>" for column in columns))


def _number(row: Row, column: str) -> list[Any]:
    """Value, as printed, the ends that a limit is held against, and whether verdicts can tell anything of it."""
    ends = ["", ""] if column in LARGEST else ["_low", "_high"]
    return [row[column], f"{row[column]:.4g}", *(row[column + end] for end in ends), has_interval(row, column)]
