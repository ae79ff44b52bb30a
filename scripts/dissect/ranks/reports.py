"""What the reports of the ranks of one cell say together. Pure."""

from collections.abc import Sequence

from dissect.ranks.messages import RankReport
from dissect.results.result import Durations


def slowest(per_rank: Sequence[Sequence[float]]) -> list[float]:
    """Per step the time of its slowest rank, in seconds."""
    return [max(times) for times in zip(*per_rank, strict=True)]


def durations(reports: Sequence[RankReport], launched_at: float, before: Durations) -> Durations:
    """Where the time of the measured attempt went, the slowest rank counting, on top of what came before it."""
    ready = max(report.ready_at for report in reports)
    built = max(report.built_at for report in reports)
    start = min(report.window_start for report in reports)
    end = max(report.window_end for report in reports)
    traced = max(report.traced_at for report in reports)
    return before.model_copy(
        update={
            "launch_s": max(0.0, ready - launched_at),
            "build_s": max(0.0, built - ready),
            "compile_s": max(report.compile_s for report in reports),
            "warmup_s": max(0.0, start - built),
            "window_s": end - start,
            "trace_s": max(0.0, traced - end),
        }
    )
