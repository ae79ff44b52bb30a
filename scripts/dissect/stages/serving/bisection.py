"""Bisection for the largest rate that holds, on the log scale; pure, without a server."""

from dataclasses import dataclass
from math import ceil, log, log1p, log2

from dissect.config.arrival import RateSearch
from dissect.metrics.serving import RateBracket


@dataclass(frozen=True)
class Bisection:
    """Which rates a search tries.

    All rates that it can ever try lie on one grid between its ends. ``offset`` moves the grid by a share of its step,
    between -0.5 and 0.5. Drawn anew for every run, it makes runs differ by what the grid cannot tell; otherwise two
    engines between the same points of it would look equal.
    """

    search: RateSearch
    offset: float = 0.0

    @property
    def ends(self) -> tuple[float, float]:
        """Lower and upper end in requests per second."""
        search = self.search
        factor = (search.highest / search.lowest) ** (self.offset * 2.0**-self.depth)
        return search.lowest * factor, search.highest * factor

    @property
    def depth(self) -> int:
        """Number of rates that a search tries unless its budget ends it: each halves what is left, on the log scale."""
        search = self.search
        halvings = log2(log(search.highest / search.lowest) / log1p(search.within))
        # Rates are rounded, so a bracket that is hardly too wide may be narrow enough.
        return min(search.probes, max(1, ceil(halvings - 0.01)))

    def next_rate(self, bracket: RateBracket, tried: int) -> float | None:
        """The geometric middle of what is left; None once the search has ended.

        A rate that holds makes all lower ones count as holding, and one that does not all higher ones as not holding.
        """
        low, high = self._left(bracket)
        ended = tried >= self.search.probes or self.is_narrow(bracket)
        return None if ended else float(f"{(low * high) ** 0.5:.5g}")

    def is_narrow(self, bracket: RateBracket) -> bool:
        """Whether the rates that are left differ by no more than is asked for."""
        return RateBracket(*self._left(bracket)).is_narrow(self.search.within)

    def _left(self, bracket: RateBracket) -> tuple[float, float]:
        lowest, highest = self.ends
        return bracket.held or lowest, bracket.failed or highest
