"""The interface of a serving engine; ``dissect.stages.serving.engines`` has one module for each."""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from dissect.base.outcome import Phase
from dissect.base.registry import ENGINES
from dissect.cells.engines import EngineFacts
from dissect.cells.spec import ServeSpec
from dissect.machine.out_of_memory import IN_A_LOG
from dissect.metrics.serving import GapHistogram
from dissect.stages.serving.engine_terms import TermReport

HOST = "127.0.0.1"

UNCAUGHT = re.compile(
    r'^Traceback \(most recent call last\):\n  File "[^"]*runpy[^"]*", line \d+, in _run_module_as_main\n'
    r"(?: .*\n)*(?P<error>\S.*)",
    re.MULTILINE,
)
"""What Python prints of an exception that ends a program started with ``-m``, though its processes may still run."""
PORT_TAKEN = re.compile(r"[Aa]ddress already in use|EADDRINUSE|port \d+ is already (in use|allocated)")


@dataclass(frozen=True)
class Place:
    """Where a server finds its checkpoint, listens and works."""

    checkpoint: Path
    port: int
    spare_ports: tuple[int, ...]
    """Two more ports, for an engine that needs them."""
    folder: Path
    """Its own empty folder, in which it runs: for sockets, and for what it writes beside itself."""


@dataclass(frozen=True)
class ServerReport:
    """What a server reports of itself up to a moment."""

    counters: str
    """Its answer to ``/metrics``; empty where it has none."""
    log: str | None
    """Its log; None for a server of somebody else, whose log is elsewhere."""


Span = tuple[ServerReport, ServerReport]
"""A server's reports before and after a load."""


@dataclass(frozen=True, kw_only=True)
class Engine(EngineFacts):
    """One serving engine: its declaration for planning, and how to start, drive and read it."""

    start: Sequence[str]
    """Arguments of its own Python in front of the others: ``-m module``; empty for no Python program."""
    program: str
    """Program that starts it in a container."""
    arguments: Callable[[ServeSpec, Place], list[str]]
    """Makes its command-line arguments, which set prefix cache, admission limit and share of memory."""
    environment: Callable[[ServeSpec], dict[str, str]]
    body: Mapping[str, Any]
    """Fields of each request on top of prompt, model and length: greedy, and no end before the length."""
    progress: Sequence[tuple[re.Pattern[str], Phase]]
    """Pattern of its log -> the phase that begins after it; the first phase is ``load``."""
    out_of_memory: Sequence[tuple[re.Pattern[str], Phase]] = ()
    """Pattern of its own messages about too little memory -> the phase that they mean."""
    files: Sequence[Path] = ()
    """Files of this project that its arguments name."""
    served_model: str | None = None
    """Name that requests must use; None for the checkpoint's."""
    terms: Mapping[str, Sequence[TermReport]] = field(default_factory=dict)
    """Field of ``EngineTerms`` -> where it reports it, the most exact place first."""
    prefix_hits: re.Pattern[str] | None = None
    """Pattern of ``/metrics`` with the tokens found in a prefix cache."""
    preempted: re.Pattern[str] | None = None
    """Pattern of ``/metrics`` with the number of preemptions."""
    preempted_in_log: re.Pattern[str] | None = None
    """Pattern of its log with the number of requests that it preempts at once, where ``/metrics`` has none.

    Without a group each line is one.
    """
    gaps: re.Pattern[str] | None = None
    """Pattern of ``/metrics`` with an upper bound of gaps between tokens and how many were no longer."""
    version: tuple[str, str] | None = None
    """Path and key of its own report of its version."""
    misreported: Mapping[str, str] = field(default_factory=dict)
    """Version as it is published -> what that version reports instead."""
    distributions: Sequence[str] = field(default_factory=tuple)
    """Names under which a platform may declare that version."""

    def model_name(self, checkpoint: Path) -> str:
        """The model's name in requests."""
        return self.served_model or str(checkpoint)


def load_engine(spec: ServeSpec) -> Engine:
    """The engine that a spec names."""
    return cast(Engine, import_module(ENGINES[spec.framework]).ENGINE)


def phase_of(log: str, engine: Engine) -> Phase:
    """The last phase that the log shows."""
    reached = [(found.start(), phase) for line, phase in engine.progress if (found := line.search(log))]
    return max(reached)[1] if reached else Phase.LOAD


def memory_phase(log: str, engine: Engine) -> Phase | None:
    """The phase in which the server ran out of memory; None if its log does not say so."""
    for words, phase in engine.out_of_memory:
        if words.search(log):
            return phase
    found = IN_A_LOG.search(log)
    return phase_of(log[: found.start()], engine) if found else None


def total(text: str, pattern: re.Pattern[str] | None) -> int | None:
    """Sum of the numbers in all lines that a pattern finds; None where it finds none."""
    found = pattern.findall(text) if pattern else []
    return round(sum(float(number) for number in found)) if found else None


def version_in(answers: Mapping[str, str], engine: Engine) -> str | None:
    """The engine's own report of its version among its answers by path; None where there is none."""
    path, key = engine.version or ("", "")
    try:
        found = json.loads(answers.get(path) or "{}").get(key)
    except (ValueError, AttributeError):
        return None
    return str(found) if found else None


def preemptions(spans: Sequence[Span], engine: Engine) -> int | None:
    """How often the engine preempted a request in all spans; None where it does not say."""
    ended = [_preempted(after, engine) for _, after in spans]
    if None in ended:
        return None
    return sum(filter(None, ended)) - sum(_preempted(before, engine) or 0 for before, _ in spans)


def _preempted(report: ServerReport, engine: Engine) -> int | None:
    words = engine.preempted_in_log
    if words is None or report.log is None:
        return total(report.counters, engine.preempted)
    return (total(report.log, words) or 0) if words.groups else len(words.findall(report.log))


def gap_histogram(spans: Sequence[Span], engine: Engine) -> GapHistogram | None:
    """The gaps between tokens that an engine counted in all spans; None where it does not say."""
    begun = [_cumulative(before.counters, engine) for before, _ in spans]
    ended = [_cumulative(after.counters, engine) for _, after in spans]
    if not all(ended):
        return None
    bounds = sorted(ended[0])
    upto = [round(sum(each[b] for each in ended) - sum(each.get(b, 0.0) for each in begun)) for b in bounds]
    counts = [more - less for more, less in zip(upto, [0, *upto], strict=False)]
    return GapHistogram(upper_s=[bound for bound in bounds if bound < math.inf], counts=counts)


def _cumulative(metrics: str, engine: Engine) -> dict[float, float]:
    """Upper bound -> how many gaps were no longer, over all lines of ``/metrics``."""
    found: dict[float, float] = {}
    for bound, count in engine.gaps.findall(metrics) if engine.gaps else []:
        found[float(bound)] = found.get(float(bound), 0.0) + float(count)
    return found


def switch(name: str, on: bool | None) -> list[str]:
    """``--name``, ``--no-name``, or nothing where the engine decides."""
    return [] if on is None else [f"--{name}" if on else f"--no-{name}"]


def option(name: str, value: float | None) -> list[str]:
    """``--name value``, or nothing where the engine decides."""
    return [] if value is None else [f"--{name}", str(value)]
