"""The manifest of the table of verdicts: the cells of other tables that decide the paper's claims."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import chain

from dissect.cells.cell import Cell
from dissect.cells.cell_id import without_set
from dissect.cells.manifest import Manifest, ManifestCell, PlatformFacts
from dissect.config.catalog import Catalog
from dissect.config.claims import CLAIMS, Claim, Where, fits
from dissect.config.kinds import LETTER_STAGES


def reader_of(catalog: Catalog) -> Callable[[Cell], bool]:
    """Whether a claim reads a cell, as a function of the cell."""
    read: dict[tuple[str, object], list[Where]] = defaultdict(list)
    for claim in _claims(catalog).values():
        for wanted in claim.selections():
            read[claim.stage, wanted.get("method")].append(wanted)

    def reads(cell: Cell) -> bool:
        # Selections of other methods, which most are, need no look.
        wanted = chain(read[cell.stage, cell.method], read[cell.stage, None])
        return any(fits(vars(cell), cell.stage, where, _stand_ins(catalog, cell.platform)) for where in wanted)

    return reads


def claims_manifest(
    catalog: Catalog, found: Iterable[ManifestCell], platforms: Mapping[str, PlatformFacts]
) -> Manifest:
    """The manifest of the table of verdicts, with the cells that claims read and with all platforms."""
    return Manifest(
        name=CLAIMS,
        kind="table",
        title=catalog.claims.title,
        caption=catalog.claims.caption,
        layout={
            "kind": CLAIMS,
            "suite": catalog.root.suite,
            "claims": {name: claim.model_dump() for name, claim in _claims(catalog).items()},
            "stand_ins": {name: _stand_ins(catalog, without_set(name)) for name in platforms},
        },
        platforms=dict(platforms),
        models={},
        methods={},
        cells=list({(cell.platform, cell.id, cell.key): cell for cell in found}.values()),
    )


def _claims(catalog: Catalog) -> dict[str, Claim]:
    return {name: _normalised(claim, catalog) for name, claim in sorted(catalog.claims.claims.items())}


def _stand_ins(catalog: Catalog, platform: str) -> list[str]:
    return catalog.platforms[platform].workload.models or []


def _normalised(claim: Claim, catalog: Catalog) -> Claim:
    letters = claim.stage in LETTER_STAGES
    return claim.normalised(lambda method: catalog.methods.normal(method, CLAIMS) if letters else method)
