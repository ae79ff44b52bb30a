"""One look for all figures: sizes, and what differs between light and dark, as configurations of Vega-Lite.

Descriptions name no colour. Series take the palette in turn, and styles say what else a mark is for.
"""

from collections.abc import Mapping
from typing import Any

FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
"""The first one is part of vl-convert, so files look the same on every machine; browsers have one of the others."""
TITLE, SIZE, SMALL = 12.5, 11, 9.5
"""Of letters, in pixels of 1/96 inch. All have one weight: vl-convert puts several fonts into a PDF in any order."""
SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right", "triangle-left")
DASHES = ((1, 0), (6, 3), (2, 2), (8, 3, 2, 3))
"""By style."""
FAINT, NOTE, OUTLINE, WORDS, INSIDE = "faint", "note", "outline", "words", "inside"
"""Styles: lines to compare with, outcomes in words, the rim of a mark, words beside a mark, words in a bar."""

_LIGHT = {
    "paper": "#ffffff", "ink": "#1b1f24", "muted": "#57606a", "grid": "#e1e4e8", "rest": "#8a9199",
    "palette": ("#0072b2", "#d55e00", "#009e73", "#b0558a", "#5b3a00", "#4b2991", "#882255", "#1b1f24"),
}  # fmt: skip
_DARK = {
    "paper": "#14171b", "ink": "#e4e7eb", "muted": "#a0a8b3", "grid": "#2f353d", "rest": "#6b7480",
    "palette": ("#56b4e9", "#ee8a4a", "#3ccfa3", "#dd9cc3", "#f0e442", "#8f6ee0", "#a6541c", "#f2f4f7"),
}  # fmt: skip


def _mixed(tone: str, other: str) -> str:
    """Of two colours like ``#0072b2`` the one between them."""
    pairs = zip(bytes.fromhex(tone[1:]), bytes.fromhex(other[1:]), strict=True)
    return "#" + bytes((one + two) // 2 for one, two in pairs).hex()


def _lighter(tone: str, paper: str) -> list[str]:
    """A tone, and two more that are each nearer to the paper."""
    light = _mixed(tone, paper)
    return [tone, light, _mixed(light, paper)]


def _config(tones: Mapping[str, Any]) -> dict[str, Any]:
    ink, muted, grid = tones["ink"], tones["muted"], tones["grid"]
    return {
        "font": FONT,
        "background": tones["paper"],
        "padding": 6,
        # Ordinal: of the parts of a bar the first is what is left. Diverging: pairs of a full and a light tone. Ramp:
        # with a lighter one.
        "range": {
            "category": list(tones["palette"]),
            "ordinal": [tones["rest"], *tones["palette"]],
            "diverging": [tone for full in tones["palette"] for tone in _lighter(full, tones["paper"])[:2]],
            "ramp": [tone for full in tones["palette"] for tone in _lighter(full, tones["paper"])],
        },
        "view": {"stroke": None},
        "axis": {
            "labelColor": ink, "titleColor": ink, "labelFontSize": SMALL, "titleFontSize": SIZE, "titleFontWeight": 400,
            "domainColor": muted, "tickColor": muted, "gridColor": grid, "tickSize": 4, "labelLimit": 220,
        },
        "axisX": {"grid": False, "labelFlush": False, "titlePadding": 7},
        "axisY": {"domain": False, "ticks": False, "labelPadding": 5, "titlePadding": 9},
        "legend": {
            "orient": "top", "labelColor": ink, "labelFontSize": SIZE, "symbolStrokeWidth": 2, "symbolSize": 70,
            "symbolOpacity": 1, "symbolBaseFillColor": muted, "symbolBaseStrokeColor": muted, "title": None,
            "labelLimit": 440, "columnPadding": 14, "offset": 10,
        },
        "title": {
            "anchor": "start", "frame": "group", "color": ink, "fontSize": TITLE, "fontWeight": 400, "offset": 3,
            "subtitleColor": muted, "subtitleFontSize": SMALL, "subtitlePadding": 3, "subtitleLineHeight": 12,
        },
        "header": {"labelColor": ink, "labelFontSize": TITLE, "labelFontWeight": 400},
        "mark": {"cursor": "pointer"},
        "style": {
            FAINT: {"color": muted, "strokeDash": [5, 4], "strokeWidth": 1.2},
            NOTE: {"color": muted, "fontSize": SMALL},
            OUTLINE: {"stroke": tones["paper"], "strokeWidth": 0.8},
            WORDS: {"color": ink, "fontSize": SMALL},
            INSIDE: {"color": tones["paper"], "fontSize": SMALL},
        },
    }  # fmt: skip


CONFIGS: Mapping[str, Mapping[str, Any]] = {"light": _config(_LIGHT), "dark": _config(_DARK)}
"""By theme; files are light."""
