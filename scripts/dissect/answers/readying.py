"""The answer to ``ready``: what this machine lacks to measure the selected cells."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from dissect.cells.cell import Cell
from dissect.cells.cell_id import PARTS
from dissect.cells.study import Study
from dissect.config.errors import ConfigError
from dissect.config.platform import Platform
from dissect.machine.gpus import GpuInfo, NoGpus
from dissect.machine.readiness import compiler_lacks, disk_lacks, driver_lacks, gpu_lacks, software_lacks
from dissect.machine.vendor import vendors
from dissect.predict.outlook import Outlook
from dissect.present.plan import TO_RUN, plan_table
from dissect.results.store import STORE_DIR, Store


def answer(study: Study, project: Path, _given: Mapping[str, Any]) -> str:
    """What is missing for the cells of each platform.

    Raises:
        ConfigError: no selected cell is for GPUs, or the GPUs or their driver cannot measure any.
    """
    platforms = study.catalog.platforms
    cells = {cell.id: cell for cell in study.selected if platforms[cell.platform].device != "cpu"}
    if not cells:
        raise ConfigError(
            "--config platforms: no selected cell is for GPUs; `llm-dissect describe` writes such a platform"
        )
    chosen = {name: [cell for cell in each if cell.id in cells] for name, each in study.experiments.items()}
    plan = plan_table(replace(study, experiments=chosen), Store(project / STORE_DIR))
    parts = []
    for name in dict.fromkeys(cell.platform for cell in cells.values()):
        found = _gpus_for(name, platforms[name])
        if lack := driver_lacks(platforms[name], found[0], study.catalog):
            raise ConfigError(f"platform {name}: {lack}")
        of_platform = [cell for cell in cells.values() if cell.platform == name]
        lines = [*_machine_lines(of_platform, found, study, project), *_plan_lines(plan[plan["platform"] == name])]
        parts.append("\n".join([_head(name, of_platform, found), *(f"  {line}" for line in lines)]))
    return "\n\n".join(parts)


def _gpus_for(name: str, platform: Platform) -> list[GpuInfo]:
    """The GPUs of this machine.

    Raises:
        ConfigError: there are fewer than the platform declares.
    """
    try:
        found = find_here(platform.device)
    except NoGpus as error:
        raise ConfigError(f"platform {name}: needs GPUs, but there is {error}") from None
    if len(found) < platform.gpus_per_node:
        raise ConfigError(f"platform {name}: declares {platform.gpus_per_node} GPUs, found {len(found)} here")
    return found


def find_here(device: str) -> list[GpuInfo]:
    """The GPUs of this machine that a device means; raises ``NoGpus``."""
    return vendors()[device].find_gpus()


def _head(name: str, cells: Sequence[Cell], found: Sequence[GpuInfo]) -> str:
    return f"{name}: {len(cells)} cells selected; {len(found)} x {found[0].name}, driver {found[0].driver}"


def _machine_lines(cells: Sequence[Cell], found: Sequence[GpuInfo], study: Study, project: Path) -> Iterator[str]:
    platform, catalog = study.catalog.platforms[cells[0].platform], study.catalog
    lacks = [
        *gpu_lacks(platform, found),
        *compiler_lacks(cells, platform, catalog),
        *software_lacks(cells, platform, catalog, project),
        *disk_lacks(cells, platform, catalog, project),
    ]
    yield from (f"missing: {lack}" for lack in lacks)
    if not lacks:
        yield "nothing is missing"


def _plan_lines(plan: pd.DataFrame) -> Iterator[str]:
    """Cells that are done, that have not enough memory, or that are unsupported."""
    ids = plan[list(PARTS)].agg("/".join, axis=1)
    for status, cells in plan.groupby("status", sort=True):
        if status != TO_RUN:
            for cell_id, reason in zip(ids[cells.index], cells["reason"], strict=True):
                yield f"{status}: {cell_id}{f': {reason}' if reason else ''}"
    doubtful = plan[(plan["status"] == TO_RUN) & plan["outlook"].isin([Outlook.RUNS_OUT, Outlook.CLOSE])]
    for cell_id, row in zip(ids[doubtful.index], doubtful.to_dict("records"), strict=True):
        yield f"{row['outlook']} (predicted): {cell_id}, {row['memory_gib']:.0f} GiB per GPU"
