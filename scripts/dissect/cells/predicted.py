"""The manifest of the table of predicted against measured memory: the training cells of other tables."""

from collections.abc import Iterable, Mapping

from dissect.cells.manifest import Manifest, ManifestCell, PlatformFacts
from dissect.config.catalog import PREDICTION

TITLE = "Predicted against measured: peak memory of training cells"
CAPTION = (
    "Predicted peak memory per GPU against every measured training cell, by platform, stage, framework and method. No "
    "measured cell corrects a prediction, so each is as that of a cell that was never run."
)


def prediction_manifest(found: Iterable[ManifestCell], platforms: Mapping[str, PlatformFacts]) -> Manifest:
    """The manifest of the table, with each cell once."""
    cells = {(cell.platform, cell.id, cell.key): cell for cell in found}
    return Manifest(
        name=PREDICTION,
        kind="table",
        title=TITLE,
        caption=CAPTION,
        layout={"kind": PREDICTION},
        platforms=dict(platforms),
        models={},
        methods={},
        cells=list(cells.values()),
    )
