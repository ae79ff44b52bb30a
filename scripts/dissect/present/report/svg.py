"""Small plots as inline SVG: as fast as text, and in the colours of the page that they stand in."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

Point = tuple[float, float]

FAINT, MARK, BAND = "var(--grid,#ccc)", "var(--series-1,#0072B2)", "var(--series-2,#D55E00)"
"""Grid; samples; median and interval. Text has the page's own colour."""
HEIGHT = 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 10, 20, 36


@dataclass(frozen=True)
class Scale:
    """Values from ``low`` to ``high`` onto pixels from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a value; on a logarithmic scale both must be positive."""
        low, high, at = (math.log10(v) if self.logarithmic else v for v in (self.low, self.high, value))
        return self.start + (self.end - self.start) * (at - low) / (high - low)

    def ticks(self, about: int = 4) -> list[float]:
        """Round numbers within the scale, roughly as many as asked; powers of ten on a logarithmic one."""
        if self.logarithmic and self.high > 10 * self.low:
            powers = range(math.ceil(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)
            return [10.0**power for power in powers][:: max(1, -(-len(powers) // (about + 1)))]
        step = _round_step((self.high - self.low) / about)
        return [step * n for n in range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1)]


def x_scale(low: float, high: float, width: int) -> Scale:
    """Across a plot of this width."""
    return Scale(low, high, _LEFT, width - _RIGHT)


def y_scale(values: Iterable[float], *, logarithmic: bool = False) -> Scale:
    """Up a plot: all values with a little room around them; from zero unless logarithmic."""
    known = list(values)
    low, high = (min(known) / 1.5, max(known) * 1.5) if logarithmic else (0.0, max(known) * 1.08)
    return Scale(low, high if high > low else low + 1, HEIGHT - _BOTTOM, _TOP, logarithmic)


def dots(points: Iterable[Point], colour: str) -> str:
    """A round mark at every point."""
    path = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in points)
    return f'<path d="{path}" fill="none" stroke-width="5" stroke-linecap="round" style="stroke:{colour}"/>'


def circles(points: Iterable[Point], colour: str) -> str:
    """A hollow mark at every point."""
    path = "".join(f"M{x - 2:.1f} {y:.1f}a2 2 0 1 0 4 0a2 2 0 1 0 -4 0" for x, y in points)
    return f'<path d="{path}" fill="none" style="stroke:{colour}"/>'


def line(points: Sequence[Point], colour: str) -> str:
    """Straight pieces from point to point."""
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path d="{path}" fill="none" stroke-width="1.5" style="stroke:{colour}"/>'


def box(x: tuple[float, float], y: tuple[float, float], colour: str) -> str:
    """A filled rectangle between two pixels each way; at least one pixel high, so that none is lost."""
    (left, right), (top, bottom) = sorted(x), sorted(y)
    size = f'width="{max(1, right - left):.1f}" height="{max(1, bottom - top):.1f}"'
    return f'<rect x="{left:.1f}" y="{top:.1f}" {size} fill-opacity="0.3" style="fill:{colour}"/>'


def text(x: float, y: float, words: str, anchor: str = "middle") -> str:
    """Words at a pixel; any text is safe."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="11">{escape(words)}</text>'


def y_axis(scale: Scale, right: float, title: str) -> str:
    """Grid lines with their numbers, and the title above them."""
    parts = [text(4, 9, title, "start")]
    for tick in scale.ticks():
        y = scale(tick)
        parts += [line([(_LEFT, y), (right, y)], FAINT), text(_LEFT - 5, y + 4, f"{tick:,.6g}", "end")]
    return "".join(parts)


def x_axis(scale: Scale, title: str) -> str:
    """Round numbers below the plot, and the title below them."""
    return x_labels(scale, [(tick, f"{tick:,.6g}") for tick in scale.ticks()], title)


def x_labels(scale: Scale, labels: Iterable[tuple[float, str]], title: str) -> str:
    """The same with any words at any place."""
    ticks = "".join(text(scale(place), HEIGHT - _BOTTOM + 15, words) for place, words in labels)
    return ticks + text((scale.start + scale.end) / 2, HEIGHT - 5, title)


def share_scale() -> Scale:
    """From 0 to 100 % up a plot."""
    return Scale(0, 100, HEIGHT - _BOTTOM, _TOP)


def svg(parts: Iterable[str], width: int, title: str) -> str:
    """The picture; the title is what is read aloud."""
    name = escape(title, {'"': "&quot;"})
    return (
        f'<svg class="samples" viewBox="0 0 {width} {HEIGHT}" width="{width}" height="{HEIGHT}" role="img"'
        f' aria-label="{name}" fill="currentColor"><title>{escape(title)}</title>{"".join(parts)}</svg>'
    )


def _round_step(step: float) -> float:
    """1, 2 or 5 times a power of ten, at least ``step``."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(times * power for times in (1, 2, 5, 10) if times * power >= step * (1 - 1e-9))
