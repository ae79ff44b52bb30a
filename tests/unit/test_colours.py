"""Whether readers tell the colours of figures apart, with full colour vision and without one kind of cones."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from dissect.present.figures.look import CONFIGS

VISION = {
    "full": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
"""What is seen of linear RGB (Machado, Oliveira and Fernandes, 2009, severity 1)."""
XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
WHITE = [0.95047, 1.0, 1.08883]
DISTANCE = 8
"""CIE 1976 difference that is seen at a glance; 2 is the least that is seen side by side."""
CONTRAST = 3
"""WCAG 2.2 asks that much of graphics beside what they stand on."""


def linear(colour: str) -> Any:
    """Linear RGB of a colour like ``#0072b2``, [3] from 0 to 1."""
    given = np.array(list(bytes.fromhex(colour[1:]))) / 255
    return np.where(given <= 0.04045, given / 12.92, ((given + 0.055) / 1.055) ** 2.4)


def lab(colour: str, vision: Any) -> Any:
    """What is seen of a colour in CIELAB, [3]."""
    seen = np.clip(vision @ linear(colour), 0, 1)
    ratio = XYZ @ seen / WHITE
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("theme", CONFIGS)
@pytest.mark.parametrize("vision", VISION)
def test_no_two_colours_look_alike(theme: str, vision: str) -> None:
    tones = CONFIGS[theme]["range"]["ordinal"]
    seen = [lab(tone, np.array(VISION[vision])) for tone in tones]
    assert min(np.linalg.norm(one - other) for one, other in combinations(seen, 2)) > DISTANCE


@pytest.mark.parametrize("theme", CONFIGS)
def test_every_colour_stands_out_from_the_paper(theme: str) -> None:
    def luminance(colour: str) -> float:
        return float(np.array(XYZ[1]) @ linear(colour))

    paper = luminance(CONFIGS[theme]["background"])
    for tone in CONFIGS[theme]["range"]["ordinal"]:
        low, high = sorted((paper, luminance(tone)))
        assert (high + 0.05) / (low + 0.05) > CONTRAST
