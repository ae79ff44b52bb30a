"""What the forms of predictions have in common: fields, the GPUs that can be chosen, and rounding."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from dissect.base.units import GIB
from dissect.cells.cell_id import without_set
from dissect.cells.spec import ServeSpec, TrainingSpec
from dissect.cells.terms import Terms
from dissect.predict.outlook import Outlook
from dissect.present.tables.columns import Record

WORDS = [Outlook.FITS, Outlook.CLOSE, Outlook.RUNS_OUT]
_DIGITS = 4
K = TypeVar("K")
Asked = TrainingSpec | ServeSpec


@dataclass(frozen=True)
class PredictedNeeds:
    """The fields of a form, and the answers to every choice."""

    fields: Sequence[tuple[str, str, Sequence[tuple[str, str]]]]
    """Name, title, and values with their labels."""
    data: Mapping[str, Any]
    """``gpus`` by platform, ``needs`` and keys of ``measured`` cells by choice, and words."""


def first_of(pairs: Iterable[tuple[str, K]]) -> dict[str, K]:
    """The first value of each key."""
    found: dict[str, K] = {}
    for key, value in pairs:
        found.setdefault(key, value)
    return found


def place_of(record: Record) -> str:
    """Name of the GPUs of a cell: platform and how many of them."""
    return f"{without_set(record.cell.platform)}/{record.cell.n_gpus}"


def gpus_label(record: Record) -> str:
    """The same in words."""
    return f"{record.platform.label.partition(' (reference')[0]}, {record.cell.n_gpus} in use"


def gpu_facts(record: Record, spec: Asked, terms: Mapping[str, Terms]) -> dict[str, Any]:
    """GPUs in use, memory of each in GiB, and the price of an hour of one."""
    price = terms.get(without_set(record.cell.platform), Terms()).price
    return {
        "gpus": spec.hardware.n_gpus,
        "gib": rounded(spec.hardware.device_memory_bytes / GIB),
        "price": price.per_gpu_hour if price else None,
        "currency": price.currency if price else None,
    }


def is_in(needs: Iterable[str], part: int, name: str) -> bool:
    """Whether a choice has this name at that place."""
    return any(key.split(" ")[part] == name for key in needs)


def rounded(number: float) -> float:
    """Four digits, which is more than any interval allows."""
    return float(f"{number:.{_DIGITS}g}")
