"""What a server does step by step with a load of requests: admission, prompts, answers, preemption.

It follows the rules of an engine (``Batching``) in seconds per step, so waves come about where the cache or the limit
of admission is smaller than the load.
"""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate

from dissect.cells.engines import Batching
from dissect.cells.spec import ServeWorkload
from dissect.predict.server_step import StepLoad


@dataclass(eq=False)
class ServedRequest:
    """One request on its way; times are seconds after the first send."""

    sent_s: float
    to_compute: int
    """Tokens before its next answer token: its prompt, and after a preemption what it had answered."""
    tokens: int = 0
    """Answered tokens."""
    first_s: float = 0.0
    end_s: float = 0.0


@dataclass
class Served:
    """A load that was answered."""

    answers: list[ServedRequest]
    steps: int = 0
    stepped_s: float = 0.0
    """Seconds of all steps; the rest of the time nothing had arrived."""
    preemptions: int = 0

    @property
    def duration_s(self) -> float:
        """Seconds from the first send to the end of the last answer."""
        return max(answer.end_s for answer in self.answers)


@dataclass
class ServerQueue:
    """A server with its requests; ``cache_tokens`` hold at least one of them."""

    load: ServeWorkload
    rules: Batching
    cache_tokens: int
    seconds: Callable[[StepLoad], float]
    now_s: float = 0.0
    _waiting: deque[ServedRequest] = field(default_factory=deque)
    _split: ServedRequest | None = None
    """Request whose prompt is computed in part."""
    _running: list[ServedRequest] = field(default_factory=list)
    """Requests that are answered, in the order of admission."""
    _used: int = 0
    """Tokens of the cache that are taken."""

    def serve(self) -> Served:
        """All answers; the load arrives at once or, with a rate, as the seed of the load says."""
        sends = send_times(self.load)
        served = Served([ServedRequest(sent, self.load.input_tokens) for sent in sends])
        coming = deque(served.answers)
        while coming or self._waiting or self._running or self._split:
            if not (self._waiting or self._running or self._split):
                self.now_s = max(self.now_s, coming[0].sent_s)
            while coming and coming[0].sent_s <= self.now_s:
                self._waiting.append(coming.popleft())
            self._step(served, coming[0].sent_s if coming else None)
        return served

    def _step(self, served: Served, next_s: float | None) -> None:
        """One step, or as many equal ones as nothing comes between."""
        answers_too = self.rules.mixes or not (self._split or self._admits())
        if answers_too and not self.rules.reserves:
            self._preempt(served)
        answering = self._running if answers_too else []
        prompt, prompted = self._take_prompts(len(answering))
        context = sum(self.load.input_tokens + each.tokens for each in answering)
        one = StepLoad(prompt, len(answering), context)
        number = 1 if prompt else self._equal_steps(next_s, one)
        middle = one._replace(context=context + len(answering) * (number - 1) // 2)
        lasted = number * self.seconds(middle)
        self.now_s += lasted
        served.stepped_s += lasted
        served.steps += number
        for answer in answering:
            answer.tokens += number
        self._used += 0 if self.rules.reserves else number * len(answering)
        for answer in prompted:
            answer.first_s = answer.first_s or self.now_s
            answer.tokens += 1
        self._running = [*self._running, *prompted]
        self._leave()

    def _admits(self) -> bool:
        """Whether the next request may start: a place, and room for its prompt or for all of it.

        Where answers take room as they grow, those that run get theirs first.
        """
        if not self._waiting or len(self._running) >= self.rules.max_sequences:
            return False
        growth = 0 if self.rules.reserves else len(self._running)
        return self._used + growth + self._room(self._waiting[0]) <= self.cache_tokens

    def _room(self, answer: ServedRequest) -> int:
        """Tokens of the cache that a request takes when it starts."""
        whole = self.load.input_tokens + self.load.output_tokens
        return whole if self.rules.reserves else answer.to_compute + 1

    def _take_prompts(self, answering: int) -> tuple[int, list[ServedRequest]]:
        """(Tokens of prompts in this step, requests whose prompts are then through)."""
        left, through = self.rules.prefill_tokens - answering, list[ServedRequest]()
        taken = 0
        while left > 0:
            if self._split is None:
                if len(self._running) + len(through) >= self.rules.max_sequences or not self._admits():
                    break
                self._split = self._waiting.popleft()
                self._used += self._room(self._split)
            part = min(left, self._split.to_compute)
            self._split.to_compute -= part
            taken, left = taken + part, left - part
            if self._split.to_compute == 0:
                through.append(self._split)
                self._split = None
        return taken, through

    def _preempt(self, served: Served) -> None:
        """The latest requests give up their room until the others have room for one more token."""
        while len(self._running) > 1 and self._used + len(self._running) > self.cache_tokens:
            last = self._running.pop()
            self._used -= self.load.input_tokens + last.tokens
            last.to_compute = self.load.input_tokens + last.tokens
            self._waiting.appendleft(last)
            served.preemptions += 1

    def _equal_steps(self, next_s: float | None, one: StepLoad) -> int:
        """Steps until a request ends, the cache is full, or the next request arrives."""
        number = self.load.output_tokens - max(answer.tokens for answer in self._running)
        if not self.rules.reserves:
            number = min(number, (self.cache_tokens - self._used) // len(self._running))
        if next_s is not None:
            number = min(number, int((next_s - self.now_s) / self.seconds(one)) + 1)
        return max(1, number)

    def _leave(self) -> None:
        """Requests whose answers are complete give up their room."""
        for answer in self._running:
            if answer.tokens >= self.load.output_tokens:
                answer.end_s = self.now_s
                self._used -= self.load.input_tokens + self.load.output_tokens
        self._running = [answer for answer in self._running if answer.tokens < self.load.output_tokens]


def send_times(load: ServeWorkload) -> list[float]:
    """When the requests are sent, in seconds after the first: at once, equally spaced, or a Poisson process."""
    if load.arrival.rate is None:
        return [0.0] * load.requests
    draw, mean = random.Random(load.seed), 1 / load.arrival.rate
    gaps = (draw.expovariate(1 / mean) if load.arrival.kind == "poisson" else mean for _ in range(load.requests - 1))
    return list(accumulate(gaps, initial=0.0))
