"""The manifest of the table of predicted against measured cells: training, serving and operators of other tables."""

from collections.abc import Iterable, Mapping

from dissect.cells.manifest import Manifest, ManifestCell, PlatformFacts
from dissect.config.catalog import PREDICTION

TITLE = "Predicted against measured cells"
CAPTION = (
    "Predictions against every measured cell of training and serving, by platform, stage, framework and method. Each "
    "is predicted as if it had not been measured: nothing measured corrects its memory, only other cells its time."
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
