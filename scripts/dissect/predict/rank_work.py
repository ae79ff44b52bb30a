"""What a training step asks of a GPU, its links and its host: products, bytes moved, messages, copies, launches."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, NamedTuple

from dissect.base.outcome import Phase

Collective = Literal["all_reduce", "all_gather", "reduce_scatter"]
Direction = Literal["host_to_device_pinned", "device_to_host_pinned"]


class Product(NamedTuple):
    """``number`` products of (m x k) by (k x n) matrices in one kernel."""

    m: int
    n: int
    k: int
    number: int = 1
    attention: bool = False
    """Whether it is a fused attention kernel, which keeps the scores to itself; ``n`` is that of both its products."""


class Moved(NamedTuple):
    """A kernel without a matrix product, by the bytes that it moves, or that a copy would move in its time."""

    size: int
    strided: bool = False
    """Whether it broadcasts, transposes, reduces or casts."""


class Message(NamedTuple):
    """A collective over ``ranks`` GPUs."""

    collective: Collective
    size: int
    """Bytes of the whole array, as nccl-tests counts them."""
    ranks: int
    hidden: bool
    """Whether other kernels may run meanwhile."""


class HostCopy(NamedTuple):
    """A copy between a GPU and pinned host memory."""

    direction: Direction
    size: int
    """Bytes."""


@dataclass(frozen=True)
class RankWork:
    """Work of one rank in a phase: how often it does what."""

    products: Counter[Product] = field(default_factory=Counter)
    moved: Counter[Moved] = field(default_factory=Counter)
    messages: Counter[Message] = field(default_factory=Counter)
    copies: Counter[HostCopy] = field(default_factory=Counter)
    hooks: Counter[str] = field(default_factory=Counter)
    """Python that runs beside kernels, by what it does: for a tensor that is gathered and released, or a checkpoint."""
    host_bytes: Counter[str] = field(default_factory=Counter)
    """Bytes that the host's processors read and write, by what they do."""

    def move(self, size: int, kernels: int = 1, *, strided: bool = False) -> None:
        """Add ``kernels`` that each read and write ``size`` bytes."""
        self.moved[Moved(size, strided)] += kernels

    @property
    def launches(self) -> int:
        """Kernels and copies that the host launches."""
        return sum(each.total() for each in (self.products, self.moved, self.messages, self.copies))

    def times(self, number: int) -> "RankWork":
        """The same work so many times."""
        return RankWork(*(Counter({what: n * number for what, n in each.items()}) for each in _counters(self)))


def total(works: Iterable[RankWork]) -> RankWork:
    """The sum of the work."""
    return RankWork(*(sum(each, Counter()) for each in zip(*map(_counters, works), strict=True)))


def _counters(work: RankWork) -> tuple[Counter[Any], ...]:
    return tuple(getattr(work, each.name) for each in fields(work))


StepWork = Mapping[Phase, RankWork]
"""Work of a rank in a step by phase."""
