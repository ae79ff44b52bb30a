"""Terms under which an engine serves: what the spec asks for, what the running engine reports, how they differ."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from dissect.base.units import GIB
from dissect.cells.spec import ServeSpec
from dissect.metrics.serving import EngineTerms
from dissect.workloads.kv_cache import asked_cache_tokens, cache_bytes_of

LOG = "log"
MOST_DEVIATION = 0.05
"""Share by which a reported KV cache may differ from the terms: TGI sizes it itself, from a share of memory."""


@dataclass(frozen=True)
class TermReport:
    """Where a running engine reports one of its terms."""

    source: str
    """Path that it answers, or ``LOG``."""
    words: str
    """Regular expression; its groups hold the value, and ``^`` is the start of a line."""


def asked_cache_bytes_per_gpu(spec: ServeSpec) -> int | None:
    """Capacity of the KV cache that the spec asks for, in bytes per GPU; None leaves it to the engine."""
    tokens = asked_cache_tokens(spec)
    return None if tokens is None else cache_bytes_of(spec, tokens) // spec.hardware.n_gpus


def paths_of(reports: Mapping[str, Sequence[TermReport]]) -> set[str]:
    """Paths that a running engine is asked for its terms."""
    return {report.source for of_term in reports.values() for report in of_term} - {LOG}


def read_terms(
    reports: Mapping[str, Sequence[TermReport]], log: str, answers: Mapping[str, str], n_gpus: int
) -> EngineTerms:
    """What the running engine reports: each term from the first of its reports that is found.

    ``answers`` are those of the server, by path.
    """
    texts = {**answers, LOG: log}
    found: dict[str, Any] = {}
    for term, of_term in reports.items():
        for report in of_term:
            matches = list(re.finditer(report.words, texts.get(report.source, ""), re.MULTILINE))
            if matches:
                found[term] = _READERS[term]([match.groups() for match in matches])
                break
    if "cache_bytes" in found:
        found["cache_bytes"] *= n_gpus
    return EngineTerms.model_validate(found)


def contradiction(spec: ServeSpec, terms: EngineTerms) -> str | None:
    """How the reported terms differ from those that the spec asks for, in one sentence, or None."""
    settings, tokens = spec.settings, asked_cache_tokens(spec)
    running, graphs = terms.most_running, terms.graph_sequences
    if terms.prefix_cache:
        return "the engine reports that its prefix cache is on"
    for asked, reported, what in (
        (settings.max_sequences, terms.max_sequences, "requests at once"),
        (settings.prefill_tokens, terms.prefill_tokens, "tokens of prompts in a step"),
    ):
        if None not in (asked, reported) and asked != reported:
            return f"the engine reports {reported} {what}, the terms are {asked}"
    if settings.max_sequences and running and running > settings.max_sequences:
        return f"the engine reports that {running} requests ran at once, the terms are at most {settings.max_sequences}"
    if settings.graph_sequences and graphs is not None and graphs < settings.graph_sequences:
        return f"the engine reports CUDA graphs up to {graphs} requests, the terms are {settings.graph_sequences}"
    if tokens and terms.cache_tokens and abs(terms.cache_tokens / tokens - 1) > MOST_DEVIATION:
        return f"the engine reports a KV cache of {terms.cache_tokens} tokens, the terms are {tokens}"
    return _other_size(spec, terms)


def _other_size(spec: ServeSpec, terms: EngineTerms) -> str | None:
    """How the reported bytes differ from those of the reported tokens: another data type, or another layout."""
    if terms.cache_bytes is None or terms.cache_tokens is None:
        return None
    expected = cache_bytes_of(spec, terms.cache_tokens)
    if abs(terms.cache_bytes / expected - 1) <= MOST_DEVIATION:
        return None
    sizes = f"{terms.cache_bytes / GIB:.2f} GiB for {terms.cache_tokens} tokens, the model's sizes give"
    return f"the engine reports a KV cache of {sizes} {expected / GIB:.2f} GiB"


Groups = Sequence[tuple[str | None, ...]]


def _numbers(groups: Sequence[str | None]) -> list[float]:
    """All numbers in groups of a match, without separators of thousands."""
    return [float(each.replace(",", "")) for group in groups for each in re.findall(r"\d[\d,]*(?:\.\d+)?", group or "")]


def _product(matches: Groups) -> int:
    """The last match, such as blocks and their size."""
    return int(prod(_numbers(matches[-1])))


def _largest_of_list(matches: Groups) -> int:
    """The largest size of the last list; 0 for an empty one."""
    sizes = re.findall(r"\d+", matches[-1][0] or "")
    return max(map(int, sizes), default=0)


def _gib(matches: Groups) -> int:
    """Bytes of the last match, whose parts are in GiB."""
    return round(sum(_numbers(matches[-1])) * GIB)


_READERS: Mapping[str, Callable[[Groups], int | bool]] = {
    "max_sequences": _product,
    "most_running": lambda matches: max(_product([match]) for match in matches),
    "cache_tokens": _product,
    "cache_bytes": _gib,
    "prefill_tokens": _product,
    "graph_sequences": _largest_of_list,
    # The group holds something where the cache is on.
    "prefix_cache": lambda matches: bool(matches[-1][0]),
}
