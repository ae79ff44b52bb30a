"""Matrix products below the roof that a GPU's peak and memory bandwidth make (Williams et al., 2009)."""

import textwrap
from collections.abc import Sequence
from typing import Any

import altair as alt

from dissect.cells.manifest import PlatformFacts
from dissect.present.figures.layers import (
    TELLS,
    Described,
    across,
    colour,
    data_of,
    log_axis,
    panel_of,
    shape,
    side_by_side,
    width,
)
from dissect.present.figures.look import FAINT, OUTLINE
from dissect.present.figures.subject import Row, Subject
from dissect.present.tables.views import VIEWS

_NO_ROOF = "no peak and no memory bandwidth are declared, so there is no roof"
_TOLD = ("tflops", "peak_share", "arithmetic_intensity")
_BEYOND = 1.6
"""How much further than the points the roof reaches, as a factor."""


def roof(intensity: float, peak_flops: float | None, bytes_per_s: float | None) -> float | None:
    """Most FLOP/s at an intensity in FLOP per byte: what the memory feeds, at most the peak; None without either."""
    limits = [limit for limit in (peak_flops, bytes_per_s and bytes_per_s * intensity) if limit]
    return min(limits, default=None)


def roofline(subject: Subject) -> Described:
    """One panel per value of ``layout.panels``: throughput over arithmetic intensity, both on logarithmic scales."""
    panels, labels = subject.panels(subject.panel_axes), subject.labels(subject.layout.series)
    quantities = [VIEWS["gemm"].by_name[name] for name in _TOLD]
    drawn, notes = [], []
    for panel in panels:
        points = [
            subject.mark(
                row, quantities, intensity=row["arithmetic_intensity"], tflops=row["tflops"],
                series=subject.label(row, subject.layout.series),
            )
            for row in panel.rows
        ]  # fmt: skip
        for mark, row in zip(points, panel.rows, strict=True):
            mark["says"]["Product"] = f"{row['product']}, {row['rows']:,} rows"
        roofs, words = _roofs(subject, panel.rows)
        drawn.append((points, [corner for corner in roofs if corner["tflops"]]))
        told = textwrap.wrap(words, width(len(panels)) // 5) if panel.rows else []
        missing = subject.notes(panel.missing, subject.layout.x, width(len(panels)) // 5)
        notes.append([*told, *missing])
    every = [mark for points, corners in drawn for mark in (*points, *corners)]
    intensities, heights = ([mark[name] for mark in every] for name in ("intensity", "tflops"))
    tone, parts = colour(labels, len(panels)), []
    for number, (points, corners) in enumerate(drawn):
        title = "Throughput (TFLOP/s)" if number % across(len(panels)) == 0 else None
        x = log_axis("intensity", "Arithmetic intensity (FLOP/byte)", intensities, alt.X, is_shared=True)
        y = log_axis("tflops", title, heights, is_shared=True)
        layers = [
            alt.Chart(data_of(corners)).mark_line(style=FAINT).encode(x=x, y=y, detail="dtype:N"),
            alt.Chart()
            .mark_point(filled=True, opacity=1, size=40, style=OUTLINE, tooltip=TELLS)
            .encode(x=x, y=y, color=tone, shape=shape(labels)),
        ]
        parts.append(panel_of(layers if corners else layers[1:], points))
    return side_by_side(subject, panels, parts, notes)


def _roofs(subject: Subject, rows: Sequence[Row]) -> tuple[list[dict[str, Any]], str]:
    """Corners of the roofs of the platforms in the panel, at the dtypes of their points; in words what they are."""
    corners, words = [], []
    for platform, dtype in dict.fromkeys((row["platform"], row["dtype"]) for row in rows):
        facts = subject.manifest.platforms[platform]
        peak, bandwidth = facts.peak_flops.get(dtype), facts.memory_bytes_per_s
        intensities = [row["arithmetic_intensity"] for row in rows]
        low, high = min(intensities) / _BEYOND, max(intensities) * _BEYOND
        ridge = [at] if peak and bandwidth and low < (at := peak / bandwidth) < high else []
        for at in (low, *ridge, high):
            if height := roof(at, peak, bandwidth):
                ids = {"platform": platform, "stage": "operators", "model": "*", "framework": "*", "method": "*"}
                corners.append({**ids, "dtype": dtype, "intensity": at, "tflops": height / 1e12})
        words += _words(dtype, facts)
    return corners, f"roof: {'; '.join(words)}" if words else _NO_ROOF


def _words(dtype: str, facts: PlatformFacts) -> list[str]:
    peak, bandwidth = facts.peak_flops.get(dtype), facts.memory_bytes_per_s
    parts = [f"{dtype} peak {peak / 1e12:g} TFLOP/s"] if peak else []
    parts += [f"memory {bandwidth / 1e9:,.0f} GB/s"] if bandwidth else []
    return [", ".join(parts)] if parts else []
