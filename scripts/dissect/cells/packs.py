"""Packs: the selected cells of a platform, measured in rounds in one allocation."""

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
