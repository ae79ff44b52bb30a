"""Packs: the selected cells of a platform, measured one after the other in one allocation."""

import json
from collections.abc import Mapping
from typing import Any

from dissect.cells.cell_id import EVERY_CELL, CellId
from dissect.cells.resources import Request, pack_resources
from dissect.cells.study import Study


def pack_platforms(study: Study) -> list[str]:
    """Platforms that have selected cells and are measured in packs (``scheduler.pack_h``)."""
    platforms = dict.fromkeys(cell.platform for cell in study.selected if cell.path)
    return [name for name in platforms if study.catalog.platforms[name].scheduler.pack_h]


def pack_request(study: Study, platform: str) -> Request:
    """Resources requested for the pack of a platform."""
    cells = [cell for cell in study.selected if cell.platform == platform]
    return pack_resources(cells, study.catalog.platforms[platform])


def pack_config(command_line: Mapping[str, Any], platform: str) -> list[str]:
    """The run's own ``--config`` entries, restricted to the cells of one platform."""
    select = CellId.parse(str(command_line.get("select", EVERY_CELL)))._replace(platform=platform)
    return [f"{key}={json.dumps(value)}" for key, value in ({**command_line, "select": str(select)}).items()]
