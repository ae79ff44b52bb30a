"""Categories of settings in an answer."""

from enum import StrEnum


class Standing(StrEnum):
    """Rank or category of a cell in the answer."""

    BEST = "best"
    AHEAD = "ahead, but not told apart from all others"
    TIED = "no difference to the best"
    BEHIND = "behind the best"
    UNTOLD = "cannot tell"
    OVER = "beyond a limit"
    OUT_OF_MEMORY = "does not fit"
    UNKNOWN = "not known"
    IMPOSSIBLE = "unsupported"
