"""Run benchmarks by name."""

import argparse
import json
from collections.abc import Callable

import pandas as pd

from bench import duty_cycle, forks, isolation, no_op, planning, repeatability, report
from bench.projects import PROJECT

CELL = "pretrain/cpu/llama-tiny/deepspeed/Z2/s128-b1-n2"
NEIGHBOUR = "pretrain/cpu/llama-tiny/deepspeed/Q/s128-b1-n2"

BENCHMARKS: dict[str, Callable[[argparse.Namespace], pd.DataFrame]] = {
    module.__name__.rpartition(".")[2]: module.measure
    for module in (planning, no_op, duty_cycle, isolation, repeatability, forks, report)
}


def main() -> None:
    """Run the named benchmarks, or all; print and write each table."""
    parser = argparse.ArgumentParser("bench", description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of: {', '.join(BENCHMARKS)}")
    parser.add_argument("--cell", default=CELL, help=f"what duty_cycle and isolation measure anew; default: {CELL}")
    parser.add_argument("--neighbour", default=NEIGHBOUR, help=f"what isolation measures between; default: {NEIGHBOUR}")
    parser.add_argument(
        "--cells", default=f"{CELL},{NEIGHBOUR}", help="what repeatability and forks measure, with commas between"
    )
    parser.add_argument("--runs", default=10, type=int, help="runs, or pairs, that they add to each cell; default: 10")
    parser.add_argument("--set", help="set of reference results that repeatability reads, in place of measuring")
    parser.add_argument("--config", default={}, type=json.loads, help="keys of config.yaml to replace, as JSON")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(BENCHMARKS):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    folder = PROJECT / "results" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or BENCHMARKS:
        measure = BENCHMARKS[name]
        table = measure(arguments)
        table.to_csv(folder / f"{name}.csv", index=False)
        what = (measure.__doc__ or "").splitlines()[0]
        print(f"\n{what}\n{table.to_string(index=False, float_format='%.2f')}", flush=True)


if __name__ == "__main__":
    main()
