"""What the forms of predictions have in common: fields, the GPUs that can be chosen, and rounding."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from dissect.base.units import GIB
from dissect.cells.any_spec import parse_spec
from dissect.cells.askable import Askable, AskedGpu
from dissect.cells.spec import Hardware, ModelArchitecture, ServeSpec, TrainingSpec
from dissect.predict.outlook import Outlook
from dissect.present.tables.columns import Record

WORDS = [Outlook.FITS, Outlook.CLOSE, Outlook.RUNS_OUT]
_DIGITS = 4
K = TypeVar("K")
S = TypeVar("S", TrainingSpec, ServeSpec)


@dataclass(frozen=True)
class PredictedNeeds:
    """The fields of a form, and the answers to every choice."""

    fields: Sequence[tuple[str, str, Sequence[tuple[str, str]]]]
    """Name, title, and values with their labels."""
    data: Mapping[str, Any]
    """``gpus`` with the ``files`` of each, keys of ``measured`` cells by choice, and words."""
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Answers by choice of setting, model and number of GPUs; a page loads those of the chosen GPU."""


class Choices(Generic[S]):
    """GPUs, models and settings that can be chosen: those of the manifest and of measured cells."""

    def __init__(self, kind: type[S], records: Iterable[Record], asked: Askable) -> None:
        self.measured: list[tuple[Record, S]] = [
            (r, r.spec) for r in records if isinstance(r.spec, kind) and _is_whole(r.spec)
        ]
        """Cells of this kind on GPUs with all of their memory."""
        models = {spec.hardware.gpu_model for _, spec in self.measured}
        self.gpus: Mapping[str, AskedGpu] = dict(
            sorted(asked.gpus.items(), key=lambda item: item[1].hardware.gpu_model not in models)
        )
        """Those with a measured cell first."""
        known = first_of((r.cell.model, s.model) for r, s in self.measured)
        self._labels = {name: model.label for name, model in asked.models.items()}
        self.models: dict[str, ModelArchitecture] = {
            **{name: model.architecture for name, model in asked.models.items()}, **known
        }  # fmt: skip
        specs: list[tuple[str, Any]] = [(name, parse_spec(text)) for name, text in asked.settings.items()]
        found: list[tuple[str, Any]] = [*((setting_of(r), s) for r, s in self.measured), *specs]
        self.settings: dict[str, S] = first_of((name, spec) for name, spec in found if isinstance(spec, kind))

    def gpu_of(self, on: Hardware) -> str | None:
        """Name of the GPU that a cell ran on; one alone has no link."""
        same = [(name, gpu.hardware) for name, gpu in self.gpus.items() if gpu.hardware.gpu_model == on.gpu_model]
        return next((name for name, each in same if on.n_gpus == 1 or each.interconnect == on.interconnect), None)

    def fields(self, labels: Mapping[str, str]) -> list[tuple[str, str, list[tuple[str, str]]]]:
        """The fields ``model`` and ``gpus``."""
        return [
            ("model", "Model", [(name, labels.get(name, self._labels.get(name, name))) for name in self.models]),
            ("gpus", "GPUs", [(name, gpu.facts.label) for name, gpu in self.gpus.items()]),
        ]


def setting_of(record: Record) -> str:
    """Stage, framework and method of a cell."""
    return "/".join((record.cell.stage, record.cell.framework, record.cell.method))


def first_of(pairs: Iterable[tuple[str, K]]) -> dict[str, K]:
    """The first value of each key."""
    found: dict[str, K] = {}
    for key, value in pairs:
        found.setdefault(key, value)
    return found


def on_gpus(gpu: AskedGpu, number: int) -> Hardware:
    """So many GPUs of one node."""
    return gpu.hardware.model_copy(update={"n_gpus": number})


def gpu_facts(gpu: AskedGpu, files: Sequence[str]) -> dict[str, Any]:
    """Memory of one GPU and of its host in GiB, the price of an hour, and the files with its answers."""
    return {
        "gib": rounded(gpu.hardware.device_memory_bytes / GIB),
        "host_gib": rounded(gpu.hardware.host_memory_bytes / GIB),
        "price": gpu.price.per_gpu_hour if gpu.price else None,
        "currency": gpu.price.currency if gpu.price else None,
        "files": files,
    }


def place_in(known: list[K], one: K) -> int:
    """Place of a value in a list, to which it is added if it is new."""
    if one not in known:
        known.append(one)
    return known.index(one)


def rounded(number: float) -> float:
    """Four digits, which is more than any interval allows."""
    return float(f"{number:.{_DIGITS}g}")


def _is_whole(spec: TrainingSpec | ServeSpec) -> bool:
    """Whether it runs on GPUs of one node, with all of their memory."""
    on = spec.hardware
    return on.device != "cpu" and on.n_nodes == 1 and not on.card_memory_bytes
