"""The manifest of the table of verdicts: the cells of other tables that decide the paper's claims."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import get_args

from dissect.cells.cell_id import without_set
from dissect.cells.manifest import Manifest, ManifestCell, PlatformFacts
from dissect.config.catalog import Catalog
from dissect.config.claims import CLAIMS, Claim, Where, fits
from dissect.config.kinds import LETTER_STAGES
from dissect.config.layout import CellAxis


def claims_manifest(
    catalog: Catalog, found: Iterable[ManifestCell], platforms: Mapping[str, PlatformFacts]
) -> Manifest:
    """The manifest of the table of verdicts, with the cells that claims read and with all platforms."""
    claims = {name: _normalised(claim, catalog) for name, claim in sorted(catalog.claims.claims.items())}
    stand_ins = {name: catalog.platforms[without_set(name)].workload.models or [] for name in platforms}
    read: dict[str, list[Where]] = defaultdict(list)
    for claim in claims.values():
        read[claim.stage] += claim.selections()
    cells = {
        (cell.platform, cell.id, cell.key): cell
        for cell in found
        if _is_read(cell, read[cell.stage], stand_ins[cell.platform])
    }
    return Manifest(
        name=CLAIMS,
        kind="table",
        title=catalog.claims.title,
        caption=catalog.claims.caption,
        layout={
            "kind": CLAIMS,
            "claims": {name: claim.model_dump() for name, claim in claims.items()},
            "stand_ins": stand_ins,
        },
        platforms=dict(platforms),
        models={},
        methods={},
        cells=list(cells.values()),
    )


def _normalised(claim: Claim, catalog: Catalog) -> Claim:
    letters = claim.stage in LETTER_STAGES
    return claim.normalised(lambda method: catalog.methods.normal(method, CLAIMS) if letters else method)


def _is_read(cell: ManifestCell, selections: Iterable[Where], stand_ins: list[str]) -> bool:
    having = {axis: getattr(cell, axis) for axis in get_args(CellAxis)}
    having |= {"stage": cell.stage, "platform": without_set(cell.platform)}
    return any(fits(having, cell.stage, wanted, stand_ins) for wanted in selections)
