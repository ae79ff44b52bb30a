"""The samples of one run as a picture: what its median is made of, and how the run itself varied."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dissect.metrics.operators import OperatorMetrics, OperatorPoint
from dissect.metrics.profile import ProfileMetrics
from dissect.metrics.serving import RequestSamples, ServingMetrics
from dissect.metrics.training import TrainingMetrics
from dissect.present.report import svg
from dissect.present.tables.labels import size_label
from dissect.results.agreement import sample_lines
from dissect.results.result import Result, ResultError
from dissect.statistics.estimate import Estimate
from dissect.statistics.quantiles import quantile, quantile_interval

Line = Mapping[str, Any]
WIDTH, PANEL_WIDTH = 480, 320
_LATENCIES = {"latency_s": ("Latency", "s", 1.0), "ttft_s": ("TTFT", "s", 1.0), "tpot_s": ("TPOT", "ms", 1e3)}
_MOST_STEPS = 300
"""Of a distribution: more steps than that nobody sees."""


def samples_svg(result: Result, folder: Path) -> str:
    """Inline SVG of a run's samples with their median and its 95 % interval; empty where the run has none.

    ``folder`` is the run's in the store, or in a set of references.

    Raises:
        ResultError: ``steps.jsonl`` is there and broken.
    """
    metrics = result.metrics
    if isinstance(metrics, ServingMetrics):
        return "".join(_distributions(metrics.samples))
    path = folder / "steps.jsonl"
    try:
        lines = sample_lines(path.read_bytes()) if path.exists() else []
        if not lines:
            return ""
        if isinstance(metrics, OperatorMetrics):
            return _sizes(lines, metrics)
        training = metrics.training if isinstance(metrics, ProfileMetrics) else metrics
        return _steps(lines, training.step_time_s if isinstance(training, TrainingMetrics) else None)
    except (KeyError, TypeError, ValueError) as error:
        fault = f"has no {error}" if isinstance(error, KeyError) else error
        raise ResultError(f"{path}: {fault}; remove the run and measure the cell again, or import it") from None


def _steps(lines: Sequence[Line], found: Estimate | None) -> str:
    """Training: the time of every step, as long as its slowest rank; the band is the interval of the median."""
    times = [1e3 * max(line["seconds"]) for line in lines]
    x, y = svg.x_scale(0.5, len(times) + 0.5, WIDTH), svg.y_scale(times)
    points = [(x(number), y(time)) for number, time in enumerate(times, start=1)]
    warm = sum(line.get("part") == "warmup" for line in lines)
    parts = [svg.y_axis(y, x.end, "Step time (ms)"), svg.x_axis(x, "Step: warm-up hollow, measured filled")]
    if found:
        window = (x(warm + 0.5), x.end)
        parts.append(svg.box(window, (y(1e3 * found.low), y(1e3 * found.high)), svg.BAND))
        parts.append(svg.line([(end, y(1e3 * found.median)) for end in window], svg.BAND))
    parts += [svg.circles(points[:warm], svg.MARK), svg.dots(points[warm:], svg.MARK)]
    return svg.svg(parts, WIDTH, f"Times of {warm} warm-up and {len(times) - warm} measured steps{_in_words(found)}")


def _in_words(found: Estimate | None) -> str:
    if found is None:
        return ""
    median, low, high = (f"{1e3 * seconds:.4g}" for seconds in (found.median, found.low, found.high))
    return f"; median {median} ms, 95 % interval {low} to {high} ms"


def _sizes(lines: Sequence[Line], metrics: OperatorMetrics) -> str:
    """Operators: the samples of every size side by side, on a logarithmic scale."""
    groups: dict[str, list[float]] = {}
    for line in lines:
        groups.setdefault(_size(line), []).append(1e6 * max(line["seconds"]))
    x = svg.x_scale(0, len(groups), WIDTH)
    y = svg.y_scale((time for times in groups.values() for time in times), logarithmic=True)
    known = {_size(point.model_dump()): point for point in metrics.points}
    parts = [svg.y_axis(y, x.end, "Time of one call (µs)")]
    for place, (label, times) in enumerate(groups.items()):
        parts += _strip(x, y, place, times, known.get(label))
    named = [(place + 0.5, label) for place, label in enumerate(groups)][:: -(-len(groups) // 6)]
    parts.append(svg.x_labels(x, named, "Size"))
    counts = f"{sum(map(len, groups.values()))} samples of {len(groups)} sizes"
    return svg.svg(parts, WIDTH, f"{counts}, each size with its median and 95 % interval")


def _strip(
    x: svg.Scale, y: svg.Scale, place: int, times: Sequence[float], point: OperatorPoint | None
) -> Iterator[str]:
    """The samples of one size from left to right in the order of measuring."""
    yield svg.dots(((x(place + 0.15 + 0.7 * n / len(times)), y(time)) for n, time in enumerate(times)), svg.MARK)
    if point and point.timing:
        found = point.timing.call_time_s
        across = (x(place + 0.05), x(place + 0.95))
        yield svg.box(across, (y(1e6 * found.low), y(1e6 * found.high)), svg.BAND)
        yield svg.line([(end, y(1e6 * found.median)) for end in across], svg.BAND)


def _size(line: Line) -> str:
    """What tells the sizes of one operator apart, of a line as of a point."""
    if "size_bytes" in line:
        return size_label(line["size_bytes"])
    if "sequence" in line:
        return f"{line['sequence']} {line['direction'][:3]}."
    return f"{line['product']} {line['m']}"


def _distributions(samples: RequestSamples) -> Iterator[str]:
    """Serving: which share of the requests was answered within which time, one picture per kind of latency."""
    for name, (header, unit, scale) in _LATENCIES.items():
        values = getattr(samples, name)
        if values:
            yield _distribution(sorted(scale * value for value in values), header, unit)


def _distribution(ordered: Sequence[float], header: str, unit: str) -> str:
    x, y = svg.x_scale(0, 1.04 * ordered[-1] or 1, PANEL_WIDTH), svg.share_scale()
    median, (low, high) = quantile(ordered, 0.5), quantile_interval(ordered, 0.5)
    parts = [svg.y_axis(y, x.end, "Share of requests (%)"), svg.x_axis(x, f"{header} ({unit})")]
    parts.append(svg.box((x(low), x(high)), (y.start, y.end), svg.BAND))
    parts.append(svg.line([(x(median), y.start), (x(median), y.end)], svg.BAND))
    parts.append(svg.line([(x(value), y(share)) for value, share in _stairs(ordered)], svg.MARK))
    found = f"median {median:.4g} {unit}, 95 % interval {low:.4g} to {high:.4g} {unit}"
    return svg.svg(parts, PANEL_WIDTH, f"{header} of {len(ordered)} requests: {found}")


def _stairs(ordered: Sequence[float]) -> Iterator[tuple[float, float]]:
    """Corners of the empirical distribution, in percent."""
    every = -(-len(ordered) // _MOST_STEPS)
    before = 0.0
    for position in sorted({*range(every - 1, len(ordered), every), len(ordered) - 1}):
        yield ordered[position], before
        before = 100 * (position + 1) / len(ordered)
        yield ordered[position], before
