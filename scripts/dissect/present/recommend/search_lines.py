"""What an answer says of searches for the rate that holds, in lines of their own."""

from collections.abc import Iterator

from dissect.present.recommend.answer import Answer
from dissect.present.recommend.candidates import OWN_RATE

BY_THROUGHPUT = (
    "Searches for the rate that holds are not ranked by time, since each has the latency of a rate of its own: "
    "maximise=throughput ranks them."
)


def search_lines(answer: Answer) -> Iterator[str]:
    """Why measured searches are not ranked."""
    searches = [cell.row for cell in answer.unknown if cell.row["objective_ttft_s"] and cell.row["tokens_per_s"]]
    if answer.column in OWN_RATE and searches:
        yield BY_THROUGHPUT
