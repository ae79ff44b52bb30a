"""By what settings that are predicted are ordered: the objective of the question, as measured ones are ranked."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from math import inf
from typing import Any

from dissect.config.question import Objective

BEST: dict[Objective, str] = {
    "cost": "the cheapest",
    "energy": "the least energy",
    "time": "the fastest",
    "memory": "the least memory",
    "throughput": "the highest throughput per GPU",
}
"""What the first of an order is."""


LIMITS = "beyond the limits of the question"


class Beyond(Exception):
    """A prediction that is not listed: the message says what is predicted."""


class Unpredicted(Exception):
    """There is no prediction: the message says why."""


class Untimed(Unpredicted):
    """Why the times of a setting are not predicted where kernels lack them."""


class Predicted(ABC):
    """A setting that was not measured, with its predictions."""

    row: Mapping[str, Any]

    @property
    @abstractmethod
    def tokens_per_s(self) -> float:
        """Predicted throughput over all GPUs."""

    @property
    @abstractmethod
    def waited_s(self) -> float:
        """Seconds that the objective ``time`` is about: of a token in training, of a request from a server."""

    @property
    @abstractmethod
    def memory_bytes(self) -> float | None:
        """Predicted peak per GPU; None without a prediction."""

    @property
    @abstractmethod
    def joules_per_token(self) -> float | None:
        """Predicted energy; None where no result has the power limit of the GPU."""

    @property
    @abstractmethod
    def text(self) -> str:
        """The setting, and what is predicted of it."""

    def rank(self, objective: Objective) -> float:
        """The number to order by, the best first; infinite where it is not known."""
        price, n_gpus = self.row["price_per_gpu_hour"], self.row["n_gpus"]
        numbers: dict[Objective, float | None] = {
            "cost": price * n_gpus / self.tokens_per_s if price else None,
            "energy": self.joules_per_token,
            "time": self.waited_s,
            "memory": self.memory_bytes,
            "throughput": -self.tokens_per_s / n_gpus,
        }
        number = numbers[objective]
        return inf if number is None else number
