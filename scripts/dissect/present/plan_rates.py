"""The rate that holds of the searches in a plan: what is predicted, and what the same cell measured."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from dissect.cells.cell_id import PARTS, CellId, without_set
from dissect.cells.platform_facts import prediction_facts
from dissect.cells.spec import ServeSpec, ServeWorkload
from dissect.config.platform import Platform
from dissect.predict.server_rate import predict_rate
from dissect.present.tables.columns import Record
from dissect.present.tables.rate_views import BOUND, RATES
from dissect.present.tables.server_pace import ServerPace
from dissect.present.tables.tidy import rows_once
from dissect.statistics.numbers import Number

PREDICTED = ["predicted_rate_per_s", "rate_low_per_s", "rate_high_per_s", "rate_from"]
MEASURED = ["measured_rate_per_s", "measured_low_per_s", "measured_high_per_s", BOUND, "measured_in"]
COLUMNS = [*PREDICTED, *MEASURED]
"""Requests/s with intervals; origin of the predicted ones, bounds where no rate was found, and whose runs measured."""
MeasuredRates = dict[tuple[str, ServeWorkload], Mapping[str, object]]
"""By cell id and workload: searches of both suites share ids, but not the rates that they try."""
OWN = "results"
"""Where runs of this clone are measured; others are of a set of reference results."""


def measured_rates(records: Iterable[Record]) -> MeasuredRates:
    """``MEASURED`` of each search: of this clone's runs, else of the references with most runs."""
    found = [(record, *search) for record in records if (search := _searched(record))]
    rates: MeasuredRates = {}
    for record, workload, row in sorted(found, key=lambda each: (bool(each[0].cell.reference), -len(each[0].results))):
        cell = CellId.of(vars(record.cell))
        name = str(cell._replace(platform=without_set(cell.platform)))
        held = (row[f"held_rate_per_s{end}"] for end in ("", "_low", "_high"))
        values = (*held, row[BOUND], record.cell.reference or OWN)
        rates.setdefault((name, workload), dict(zip(MEASURED, values, strict=True)))
    return rates


def predicted_rate(spec: ServeSpec, platform: Platform, servers: ServerPace) -> dict[str, object]:
    """``PREDICTED`` of a search; empty where its rate is not predicted."""
    found = predict_rate(spec, lambda each: servers.predict(each, prediction_facts(platform)))
    return dict(zip(PREDICTED, (found.rate, found.low, found.high, found.sources), strict=True)) if found else {}


def rate_lines(plan: pd.DataFrame) -> Iterator[str]:
    """A line for each search of which a rate is predicted or measured, where rates were asked for."""
    if COLUMNS[0] not in plan:
        return
    for row in plan.astype(object).where(plan.notna(), None).to_dict("records"):
        predicted, measured = (_rate(*(row[name] for name in names[:3])) for names in (PREDICTED, MEASURED))
        told = [f"{predicted} (predicted)"] if predicted else []
        if measured or row[BOUND]:
            of_set = "" if row["measured_in"] == OWN else f", reference {row['measured_in']}"
            told.append(f"{measured or f'{row[BOUND]} requests/s'} (measured{of_set})")
        if told:
            yield f"{CellId(*(row[part] for part in PARTS))}: {', '.join(told)}"


def _searched(record: Record) -> tuple[ServeWorkload, Mapping[str, Any]] | None:
    """Workload and row of a search with a result."""
    if not isinstance(record.spec, ServeSpec) or record.spec.workload.arrival.search is None:
        return None
    [row] = rows_once(record, RATES)
    is_found = row["held_rate_per_s"] is not None or row[BOUND] is not None
    return (record.spec.workload, row) if is_found else None


def _rate(rate: float | None, low: float | None, high: float | None) -> str:
    return "" if rate is None else Number(rate, low, high).show("requests/s")
