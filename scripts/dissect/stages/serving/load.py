"""The load generator guidellm, and its records in this project's own form."""

import gzip
import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt

from dissect.base.model import Model, added
from dissect.cells.spec import ServeSpec

CONNECT_S = 60.0
"""Seconds that a request of a burst may wait for its connection."""
CORES_PER_WORKER = 4
MOST_WORKERS = 10
_PROGRESS = re.compile(r"successful=(\d+) errored=(\d+) incomplete=(\d+)")

Ending = Literal["ok", "error", "incomplete"]
_LISTS: tuple[tuple[Ending, str], ...] = (("ok", "successful"), ("error", "errored"), ("incomplete", "incomplete"))


class RequestRecord(Model):
    """One request, a line of ``requests.jsonl.gz``; times are seconds from the first send, on the client's clock."""

    request_id: str
    status: Ending
    t_send_s: NonNegativeFloat | None
    late_s: NonNegativeFloat | None = added(None)
    """Seconds by which it was sent later than it was due; None where the load generator does not say."""
    t_first_token_s: NonNegativeFloat | None = None
    """Time of the first piece of the answer that has text; None for an answer that is not streamed."""
    t_last_token_s: NonNegativeFloat | None = None
    t_end_s: NonNegativeFloat | None = None
    pieces: NonNegativeInt = 0
    """Number of pieces in which the answer came; they are not tokens."""
    prompt_tokens: NonNegativeInt | None = None
    """Tokens of the prompt, as the server counted them."""
    completion_tokens: NonNegativeInt | None = None
    """Tokens of the answer, as the server counted them."""
    cached_tokens: NonNegativeInt | None = None
    """Tokens of the prompt found in a prefix cache; None where the server does not report them."""
    error: str | None = None
    probe: PositiveInt | None = added(None)
    """Number of the probe of a search, from 1."""


@dataclass(frozen=True)
class Target:
    """The server and model that the requests go to."""

    url: str
    model: str
    checkpoint: Path
    body: dict[str, Any]


@dataclass(frozen=True)
class Load:
    """All records of one sending, in the order of their sends."""

    records: list[RequestRecord]
    started_at: float
    """UNIX time of the first send."""

    @property
    def end_s(self) -> float:
        """Seconds from the first send to the end of the last answer."""
        return max((record.t_end_s for record in self.records if record.t_end_s is not None), default=0.0)


def workers(cores: int) -> int:
    """Number of processes of the load generator."""
    return max(1, min(MOST_WORKERS, cores // CORES_PER_WORKER))


def command(spec: ServeSpec, target: Target, prompts: Path, output: Path) -> list[str]:
    """The command line of guidellm."""
    load = spec.workload
    backend = {
        "kind": "openai_http", "target": target.url, "model": target.model, "request_format": "/v1/completions",
        "stream": load.stream, "max_tokens": load.output_tokens, "validate_backend": False,
        "timeout": spec.sampling.budget_s, "timeout_connect": CONNECT_S, "extras": {"body": target.body},
    }  # fmt: skip
    profile: dict[str, Any] = {"kind": "throughput", "max_concurrency": load.requests}
    if load.arrival.kind == "constant":
        profile = {"kind": "constant", "rate": [load.arrival.rate]}
    if load.arrival.kind == "poisson":
        # Not its Poisson profile, whose processes all draw the same gaps: with several, every gap comes several times.
        profile = {"kind": "replay", "schedule_turn": "timestamp"}
    options = {
        "backend": backend,
        "profile": profile,
        "constraint": {"kind": "max_requests", "count": load.requests},
        "data": {"kind": "json_file", "path": str(prompts)},
        "tokenizer": {"kind": "huggingface_auto", "model": str(target.checkpoint)},
        "metrics": {"kind": "generative", "sample_size": 0},
        "output": {"kind": "json", "path": str(output)},
        "seed": {"kind": "static", "value": load.seed},
    }
    parts = [part for name, value in options.items() for part in (f"--{name}", json.dumps(value))]
    return [sys.executable, "-m", "guidellm", "run", *parts, "--disable-console"]


def ended_so_far(log: str) -> int | None:
    """Number of requests that had ended by the last progress in guidellm's log, which is 10 s old; None before any."""
    told = _PROGRESS.findall(log)
    return sum(map(int, told[-1])) if told else None


def normalise(raw: bytes) -> Load:
    """The records in a JSON file of guidellm.

    Raises:
        ValueError: the content is no such file.
    """
    try:
        (benchmark,) = json.loads(raw)["benchmarks"]
        by_status = benchmark["requests"]
        found: list[tuple[Ending, dict[str, Any]]] = [
            (status, request) for status, theirs in _LISTS for request in by_status[theirs] or []
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"is no record of one benchmark of guidellm: {type(error).__name__}: {error}") from None
    sends = [at for _, request in found if (at := _sent_at(request)) is not None]
    start = min(sends, default=0.0)
    found.sort(key=lambda pair: (_sent_at(pair[1]) is None, _sent_at(pair[1])))
    return Load([_record(status, request, start) for status, request in found], start)


def _sent_at(request: dict[str, Any]) -> float | None:
    at: float | None = request["info"]["timings"]["request_start"]
    return at


def _record(status: Ending, request: dict[str, Any], start: float) -> RequestRecord:
    timings = request["info"]["timings"]

    def after_start(name: str) -> float | None:
        # guidellm writes UNIX times; a microsecond is finer than they are.
        return None if timings[name] is None else round(max(0.0, timings[name] - start), 6)

    answered = status == "ok"
    return RequestRecord(
        request_id=request["request_id"],
        status=status,
        t_send_s=after_start("request_start"),
        late_s=_lateness(timings),
        t_first_token_s=after_start("first_token_iteration"),
        t_last_token_s=after_start("last_token_iteration"),
        t_end_s=after_start("request_end"),
        pieces=timings["token_iterations"] or 0,
        # Not its own `output_tokens`: without the server's record those are the pieces.
        prompt_tokens=request["input_metrics"]["text_tokens"] if answered else None,
        completion_tokens=request["output_metrics"]["text_tokens"] if answered else None,
        cached_tokens=request.get("cached_tokens") if answered else None,
        error=request["info"]["error"],
    )


def _lateness(timings: dict[str, Any]) -> float | None:
    sent, due = timings["request_start"], timings.get("targeted_start")
    return None if None in (sent, due) else round(max(0.0, sent - due), 6)


def to_jsonl_gz(records: Iterable[RequestRecord]) -> bytes:
    """Bytes of the file; equal records give equal bytes."""
    lines = "".join(record.model_dump_json() + "\n" for record in records)
    return gzip.compress(lines.encode(), mtime=0)
