"""What an answer says of searches for the rate that holds, in lines of their own."""

from collections.abc import Iterator

from dissect.config.kinds import Suite
from dissect.present.recommend.answer import Answer, Row
from dissect.present.recommend.candidates import OWN_RATE

OF_SEARCHES: Suite = "full"
"""Suite whose searches find a rate: those of another have the same ids, but try too few for more than bounds."""
BY_THROUGHPUT = (
    "Searches for the rate that holds are not ranked by time, since each has the latency of a rate of its own: "
    "maximise=throughput ranks them."
)


def is_search(row: Row) -> bool:
    """Whether a cell of servers searches the rate that holds, measured or not."""
    return row["stage"] == "serve" and "-holds" in row["work"]


def search_lines(answer: Answer) -> Iterator[str]:
    """Why measured searches are not ranked."""
    searches = [cell.row for cell in answer.unknown if cell.row["objective_ttft_s"] and cell.row["tokens_per_s"]]
    if answer.column in OWN_RATE and searches:
        yield BY_THROUGHPUT
