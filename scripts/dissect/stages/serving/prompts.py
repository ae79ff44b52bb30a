"""Prompts: text of an exact number of tokens, no two with the same beginning, warm-up apart from measured."""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from dissect.cells.spec import ServeSpec
from dissect.results.atomic import write_atomically
from dissect.stages.serving.checkpoint import word

PREFIX_TOKENS = 1
"""Number of tokens within which all prompts differ, so that no cache of any block size can share anything."""


@dataclass(frozen=True)
class Prompts:
    """Prompts of one server; it sees none twice, so that no burst profits from an earlier one."""

    warmup: Sequence[str]
    unseen: Iterator[str]
    """Those of bursts or probes, each made when it is needed; they end with the first words of the vocabulary."""


def prompts_of(spec: ServeSpec, tokenizer_file: Path) -> Prompts:
    """The prompts that a spec asks for; of a search, as many as the vocabulary has first words for.

    Raises:
        ValueError: the tokenizer counts others than the spec asks for.
    """
    load, words = spec.workload, spec.model.vocab_size - 1
    count = words if load.arrival.search else load.requests * load.bursts + load.warmup_requests
    made = make_prompts(count, load.input_tokens, spec.model.vocab_size, load.seed)
    first, warmup = [*islice(made, load.requests)], [*islice(made, load.warmup_requests)]
    # Later ones are made alike, and the server counts them too.
    check_prompts([*first, *warmup], load.input_tokens, tokenizer_file)
    return Prompts(warmup, chain(first, made))


def make_prompts(count: int, tokens: int, vocab_size: int, seed: int) -> Iterator[str]:
    """``count`` texts of ``tokens`` words; their first words all differ, so that no cache can share a block."""
    generator = random.Random(seed)
    for first in generator.sample(range(1, vocab_size), count):
        yield " ".join(map(word, [first, *(generator.randrange(1, vocab_size) for _ in range(tokens - 1))]))


def write_prompts(path: Path, prompts: Sequence[str], sends: Sequence[float] | None = None) -> None:
    """Write one JSON object per line, the form that every load generator reads.

    ``sends`` are the times of sending in seconds, for a load that has them.
    """
    rows: list[dict[str, object]] = [{"prompt": prompt} for prompt in prompts]
    if sends is not None:
        rows = [{**row, "relative_timestamp": at} for row, at in zip(rows, sends, strict=True)]
    _write_rows(path, rows)


def turn_prompts(path: Path) -> None:
    """Rewrite a file of prompts with the words of each in reverse order, and all else as it was.

    A server that has seen them has not seen these, whose beginnings are as random.
    """
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    _write_rows(path, [{**row, "prompt": " ".join(reversed(row["prompt"].split()))} for row in rows])


def _write_rows(path: Path, rows: Sequence[dict[str, object]]) -> None:
    write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows).encode())


def check_prompts(prompts: Sequence[str], tokens: int, tokenizer_file: Path) -> None:
    """Count the tokens of each prompt with the checkpoint's own tokenizer.

    Raises:
        ValueError: a prompt has another length, or begins like another one.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    beginnings = set()
    for number, encoded in enumerate(tokenizer.encode_batch(list(prompts))):
        if len(encoded.ids) != tokens:
            raise ValueError(f"prompt {number} has {len(encoded.ids)} tokens, expected {tokens}")
        beginnings.add(tuple(encoded.ids[:PREFIX_TOKENS]))
    if len(beginnings) != len(prompts):
        raise ValueError(f"{len(prompts) - len(beginnings)} prompts begin like another one")
