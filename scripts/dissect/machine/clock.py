"""How the time of a batch of calls is taken."""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

Call = Callable[[], object]


class Clock(Protocol):
    """What times a batch of calls on one device."""

    def seconds(self, calls: Sequence[Call], lead: Call) -> float:
        """Run ``lead`` untimed, then all calls in order; seconds from the first's start to the last's end."""
        ...


class HostClock:
    """Wall time from one idle device to the next: for CPUs, and for copies that the host itself makes."""

    def __init__(self, synchronize: Callable[[], None]) -> None:
        self._synchronize = synchronize

    def seconds(self, calls: Sequence[Call], lead: Call) -> float:
        """See ``Clock``."""
        lead()
        self._synchronize()
        start = time.perf_counter()
        for call in calls:
            call()
        self._synchronize()
        return time.perf_counter() - start
