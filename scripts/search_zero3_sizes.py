"""Search settings of ZeRO-3 for a cell: measure it once with each of them, one after another.

    python scripts/search_zero3_sizes.py pretrain/h100-x2/llama2-7b/deepspeed/Z3/s350-b1-n2

Goes on in the cell's environment, and prints a CSV. The libraries are imported once, then each setting gets fresh ranks
and the pipeline's own measurement. Letter ZT of config/methods.yaml is for the settings that win.
"""

import argparse
import csv
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from dissect.base.units import GIB
from dissect.cells.any_spec import parse_spec
from dissect.machine.lease import own_gpus, own_host
from dissect.machine.node import look_at_node
from dissect.measure.preload import set_environment
from dissect.metrics.training import TrainingMetrics
from dissect.ranks.runner import load_runner
from dissect.results.result import Durations
from dissect.stages.training.deepspeed.knobs import Stage3Choice, Stage3Sizes
from dissect.stages.training.deepspeed.spec import DeepSpeedSpec, PretrainSpec
from dissect.stages.training.measure import TrainingCell

_DEFAULTS = Stage3Sizes(reduce_bucket=500_000_000, prefetch=50_000_000, persistence=100_000)
_LAYERS = _DEFAULTS.model_copy(update={"whole_layers": True})
_AHEAD = _LAYERS.model_copy(update={"prefetch": 500_000_000})
GRID: list[Stage3Choice] = [
    "authors",
    "deepspeed",
    _DEFAULTS.model_copy(update={"prefetch": 500_000_000, "persistence": 1_000_000}),
    _LAYERS,
    _AHEAD,
    *(
        _AHEAD.model_copy(update=change)
        for change in (
            {"persistence": 1_000_000},
            {"reduce_bucket": 50_000_000},
            {"reduce_bucket": 1_000_000_000},
            {"max_live": 3_000_000_000, "max_reuse": 3_000_000_000},
            {"overlap_comm": False},
            {"contiguous_gradients": False},
        )
    ),
]
"""The authors' sizes, DeepSpeed's defaults, and what lies one or two changes beside these."""

CHOICE: TypeAdapter[Stage3Choice] = TypeAdapter(Stage3Choice)
FIELDS = ("sizes", "round", "step_s", "device_s", "peak_gib", "outcome")


def main() -> None:
    """Measure a cell with each setting, and print a row of each as soon as it is known."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("cell", help="a cell of pre-training with Z3 and a number as its batch: its id, or its spec")
    parser.add_argument("--sizes", action="append", type=_choice, help="settings as JSON, in place of the grid's")
    parser.add_argument("--rounds", default=1, type=int, help="how often all are measured; default: 1")
    parser.add_argument("--csv", type=Path, help="where the rows are written as well")
    arguments = parser.parse_args()
    if not arguments.cell.startswith("{"):
        go_on_in_its_environment(arguments.cell)
    spec = searched_spec(arguments.cell)
    files = [sys.stdout, *([arguments.csv.open("w", newline="")] if arguments.csv else [])]
    writers = [csv.DictWriter(file, FIELDS, lineterminator="\n") for file in files]
    for writer in writers:
        writer.writeheader()
    set_environment(spec)
    with own_host(spec.hardware.device, False), own_gpus(spec.hardware):
        for row in rows(spec, arguments.sizes or GRID, arguments.rounds):
            for file, writer in zip(files, writers, strict=True):
                writer.writerow(row)
                file.flush()


def _choice(text: str) -> Stage3Choice:
    """Settings as their JSON or name; argparse shows the error."""
    try:
        return CHOICE.validate_json(text) if text.startswith("{") else CHOICE.validate_python(text)
    except ValidationError as error:
        raise argparse.ArgumentTypeError(error.errors()[0]["msg"]) from error


def go_on_in_its_environment(cell_id: str) -> None:
    """Replace this process, in the workflow's environment, by one in the cell's that is given the cell's spec."""
    from dissect.cells.study import load_study
    from dissect.config.errors import ConfigError

    every = {"select": cell_id, "tables": "all", "figures": "all", "suite": "full"}
    try:
        known = [cell for cell in load_study(Path.cwd(), every).selected if cell.canonical]
    except ConfigError as error:
        sys.exit(f"search_zero3_sizes.py: {error}")
    if not known:
        sys.exit(f"search_zero3_sizes.py: {cell_id}: the configuration has no such cell that is supported")
    words = [known[0].canonical if word == cell_id else word for word in sys.argv]
    command = [*known[0].launcher.split(), *map(str, words)]
    os.execvp(command[0], command)


def searched_spec(text: str) -> PretrainSpec:
    """The spec of this JSON; exits with a sentence if it has no sizes of ZeRO-3 to be tried."""
    spec = parse_spec(text)
    if not isinstance(spec, PretrainSpec) or spec.method.zero_stage != 3 or spec.workload.batch == "max":
        sys.exit("search_zero3_sizes.py: expected a cell of pre-training with Z3 and a number as its batch")
    return spec


def rows(spec: DeepSpeedSpec, grid: Sequence[Stage3Choice], rounds: int) -> Iterator[dict[str, object]]:
    """Measure every setting in every round; what does not run has its reason in place of numbers."""
    runner, node = load_runner(spec), look_at_node(spec.hardware)
    runner.import_libraries(spec)
    runner.prepare(spec)
    for number in range(1, rounds + 1):
        for sizes in grid:
            tried = spec.model_copy(update={"method": spec.method.model_copy(update={"stage3_sizes": sizes})})
            with tempfile.TemporaryDirectory() as folder:
                deadline = time.monotonic() + spec.sampling.budget_s
                cell = TrainingCell(tried, runner, Path(folder) / "ranks", deadline, node, sys.executable)
                found = cell.measure(int(spec.workload.batch), Durations())
            row = {"sizes": _name(sizes), "round": number, "outcome": found.reason or found.status}
            yield row | (_numbers(found.metrics) if isinstance(found.metrics, TrainingMetrics) else {})


def _name(sizes: Stage3Choice) -> str:
    return sizes.model_dump_json() if isinstance(sizes, Stage3Sizes) else sizes


def _numbers(metrics: TrainingMetrics) -> dict[str, object]:
    """Median step and device time in seconds, peak memory in GiB."""
    device_s = metrics.device_time_s
    return {
        "step_s": round(metrics.step_time_s.median, 4),
        "device_s": "" if device_s is None else round(device_s, 4),
        "peak_gib": round(metrics.peak_memory_bytes / GIB, 2),
    }


if __name__ == "__main__":
    main()
