"""Prompts: text of an exact number of tokens, no two with the same beginning, warm-up apart from measured."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dissect.results.atomic import write_atomically
from dissect.stages.serving.checkpoint import word

PREFIX_TOKENS = 1
"""Number of tokens within which all prompts differ, so that no cache of any block size can share anything."""


@dataclass(frozen=True)
class Prompts:
    """Prompts of one server; it sees none twice, so that no burst profits from an earlier one."""

    warmup: Sequence[str]
    of_burst: Sequence[Sequence[str]]


def make_prompts(count: int, tokens: int, vocab_size: int, seed: int) -> list[str]:
    """``count`` texts of ``tokens`` words; their first words all differ, so that no cache can share a block.

    Raises:
        ValueError: the vocabulary has too few words for that.
    """
    if count >= vocab_size:
        raise ValueError(f"{count} prompts with different beginnings need a larger vocabulary than {vocab_size}")
    generator = random.Random(seed)
    firsts = generator.sample(range(1, vocab_size), count)
    return [
        " ".join(map(word, [first, *(generator.randrange(1, vocab_size) for _ in range(tokens - 1))]))
        for first in firsts
    ]


def shared_out(prompts: Sequence[str], requests: int, warmup: int) -> Prompts:
    """Prompts of a first burst, of the warm-up and of further bursts, in this order."""
    first, later = prompts[:requests], prompts[requests + warmup :]
    further = [later[start : start + requests] for start in range(0, len(later), requests)]
    return Prompts(prompts[requests : requests + warmup], [first, *further])


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
