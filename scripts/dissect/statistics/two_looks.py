"""Two looks at one question, such as wall time and where that cannot tell device time, in one error rate."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from dissect.statistics.log_estimate import LEVEL

FIRST_SHARE = 0.8
"""Share of the family's error rate that first looks have; second looks have the rest.

A bound on the sum of both rates needs no assumption on how the two depend (Bonferroni). The first look has the larger
share, as second looks are at numbers that repeat well.
"""

Q = TypeVar("Q")


class Decided(Protocol):
    """A verdict that may come from the second look."""

    @property
    def told(self) -> bool:
        """Whether it is decided."""


V = TypeVar("V", bound=Decided)
Decide = Callable[[Sequence[Q], float, Sequence[bool]], list[V]]
"""Questions of one family, its level, and which of them are open -> verdicts; what is not open is never decided."""


def look_twice(decide: Decide[Q, V], first: Sequence[Q], second: Sequence[Q | None]) -> list[V]:
    """Verdicts of the first looks; where one cannot tell but the second look can, that of the second.

    ``second`` has a question or None for each one in ``first``, or is empty; without any the first looks have the whole
    error rate. Second looks that nobody needs count in their family as tests that found nothing, so needing them more
    rarely makes no verdict more likely.
    """
    asked = {number: question for number, question in enumerate(second) if question is not None}
    once = decide(first, LEVEL * FIRST_SHARE if asked else LEVEL, [True] * len(first))
    again = decide([*asked.values()], LEVEL * (1 - FIRST_SHARE), [not once[number].told for number in asked])
    verdicts = list(once)
    for number, found in zip(asked, again, strict=True):
        if found.told and not once[number].told:
            verdicts[number] = replace(found, before=once[number])  # type: ignore[type-var]
    return verdicts
