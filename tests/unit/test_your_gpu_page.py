"""docs/your-gpu.md: what PyTorch's kernel takes against the package's is what the reference results have."""

import re
from pathlib import Path

from dissect.cells.cell_id import CellId
from dissect.cells.references import sets_of
from dissect.metrics.operators import AttentionMetrics
from dissect.results.reference_sets import read_set

ROOT = Path(__file__).parents[2]
TEXT = " ".join((ROOT / "docs/your-gpu.md").read_text().split())
Points = dict[tuple[str, int, str], float]


def attention_seconds(kernel: str) -> Points:
    """Model, sequence length and direction -> median seconds of a call on one H200."""
    found: Points = {}
    for cell in read_set(sets_of(ROOT)["h200"]).values():
        cell_id = CellId.parse(cell.id)
        metrics = cell.runs.newest.metrics
        if cell_id.method == kernel and isinstance(metrics, AttentionMetrics):
            assert len(cell.runs.runs) == 1
            found |= {
                (cell_id.model, point.sequence, point.direction): point.timing.call_time_s.median
                for point in metrics.points
                if point.timing
            }
    return found


def test_pages_about_platform_files_of_others_call_them_code() -> None:
    for page in ("your-gpu", "results-from-others"):
        text = " ".join((ROOT / f"docs/{page}.md").read_text().split())
        assert "A platform file is code: its `interpreter` is a command" in text, page


def test_the_kernels_differ_by_what_the_page_says() -> None:
    package, own = attention_seconds("flash_attention_2"), attention_seconds("sdpa_flash")
    assert package.keys() == own.keys()
    assert {sequence for _, sequence, _ in own} >= {512, 16_384}
    for direction in ("forward", "backward"):
        ratios = [own[at] / package[at] for at in own if at[2] == direction]
        assert re.search(rf"{direction} pass (took )?{min(ratios):.2f} to {max(ratios):.2f} times", TEXT), ratios
