"""What an answer says of searches for the rate that holds, in lines of their own."""

from collections.abc import Iterable, Iterator

from dissect.config.arrival import RateSearch
from dissect.config.kinds import Suite
from dissect.config.question import Question
from dissect.metrics.serving import is_enough
from dissect.present.recommend.answer import Answer, Row
from dissect.present.recommend.candidates import OWN_RATE, SEARCHES
from dissect.present.tables.labels import framework_labels
from dissect.present.tables.rate_views import MeasuredProbe, MeasuredSearch

OF_SEARCHES: Suite = "full"
"""Suite whose searches find a rate: those of another have the same ids, but try too few for more than bounds."""
BY_THROUGHPUT = (
    "Searches for the rate that holds are not ranked by time or energy, since each was measured at a rate of its own: "
    "maximise=throughput ranks them."
)


def is_search(row: Row) -> bool:
    """Whether a cell of servers searches the rate that holds, measured or not."""
    return row["objective_ttft_s"] is not None


def search_lines(answer: Answer) -> Iterator[str]:
    """Why measured searches are not ranked, and what they tell of other limits than those they were made for."""
    rows = [cell.row for cell in answer.standings if cell.row[SEARCHES]]
    if answer.column in OWN_RATE and any(row["tokens_per_s"] for row in rows):
        yield BY_THROUGHPUT
    loads: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        loads.setdefault((row["workload"], row["platform_label"]), []).append(row)
    for (workload, platform), same in loads.items():
        objective = same[0][SEARCHES][0].search
        if _differs(answer.question, objective):
            tried = ", ".join(
                f"{framework_labels()[row['framework']]} {row['method']} {_largest(row[SEARCHES], answer.question)}"
                for row in same
            )
            yield (
                f"{workload} on {platform}: its rates were searched for TTFT {objective.ttft_s:g} s and TPOT "
                f"{objective.tpot_s:g} s of {100 * objective.share:g} % of the requests, not for the limits asked for. "
                f"Of the rates tried, the largest within these, in requests/s: {tried}. "
                "A `search` of an experiment measures it for other limits (docs/serving.md)."
            )


def _differs(question: Question, objective: RateSearch) -> bool:
    """Whether a question limits what a search was not made for, or by another number."""
    limits = {"ttft_s": question.max_ttft_s, "tpot_s": question.max_tpot_s}
    asked = {name: limit for name, limit in limits.items() if limit is not None}
    others = {name: getattr(objective, name) for name in asked} != asked
    return bool(question.max_latency_s) or others or (bool(asked) and objective.share != _share(question))


def _share(question: Question) -> float:
    return int(question.percentile[1:]) / 100


def _largest(searches: Iterable[MeasuredSearch], question: Question) -> str:
    """The largest rate tried that keeps the limits of the question, of each run; ``none`` where none does."""
    kept = ([each.probe.rate for each in search.measured if _keeps(each, question)] for search in searches)
    rates = [max(each, default=None) for each in kept]
    return " or ".join(dict.fromkeys(f"{rate:.3g}" if rate else "none" for rate in rates))


def _keeps(tried: MeasuredProbe, question: Question) -> bool:
    """Whether the share of a rate's requests is within each limit; one that failed or was sent late is not."""
    times = (tried.probe.ttft_s, tried.probe.tpot_s, tried.latency_s)
    limits = (question.max_ttft_s, question.max_tpot_s, question.max_latency_s)
    late = tried.probe.late or 0
    return all(
        is_enough(sum(each <= limit for each in of_requests) - late, tried.probe.requests, _share(question))
        for of_requests, limit in zip(times, limits, strict=True)
        if limit is not None
    )
