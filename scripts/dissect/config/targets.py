"""Targets that are questions, and the keys of ``--config`` that only some targets read; all read the other keys."""

from collections.abc import Collection, Iterable
from itertools import pairwise

from dissect.config.described import Described
from dissect.config.errors import ConfigError, listed, nearest
from dissect.config.question import Comparison, Question
from dissect.config.root import RootConfig

QUESTIONS = {
    "describe": "the platform file of this machine, written from what its driver reports",
    "ready": "what this machine lacks to measure the selected cells",
    "plan": "what would run, what does not fit, how long it takes",
    "progress": "how far a run is",
    "show": "the selected cells with their numbers, in one table",
    "recommend": "the best measured setting under limits",
    "compare": "two sets of cells side by side",
    "claims": "which of the paper's claims hold",
    "references": "the reference results; adds an export to them",
    "export": "finished cells as one file",
    "import": "the cells of an export, verified; overwrites nothing",
    "validate": "whether an export can be added to the reference results",
    "prune": "stored runs that can be removed; removes them",
}
"""Target that answers from what is there and measures nothing -> what it answers."""
RUNS = {
    "all": "measure what is missing, and draw every table, figure and the report page",
    "cells": "measure the selected cells, and draw nothing",
    "remeasure": "add runs to the selected cells",
    "packs": "measure the selected cells of a platform in one allocation of a batch system",
}
"""Target that measures -> what it does."""
OWN_KEYS: dict[str, set[str]] = {
    "describe": {"force", *Described.model_fields},
    "ready": {"select"},
    "plan": {"select", "times", "rates", "price", "more"},
    "show": {"select"},
    "cells": {"select"},
    "packs": {"select"},
    "remeasure": {"select", "more", "fresh"},
    "progress": {"select", "every"},
    "recommend": {"price", *Question.model_fields},
    "claims": set(),
    "compare": {"select", *Comparison.model_fields},
    "export": {"select", "file", "force"},
    "import": {"file"},
    "references": {"select", "file", "into"},
    "validate": {"file", "into"},
    "prune": {"select", "older_than", "protocol", "really"},
}
"""Target -> the keys that it reads, of those that not all read; targets without a name here read none of them."""
FILE_KEYS = ("file", "left", "right")
"""Keys that can name a file."""
SELECTING = frozenset(("cells", "packs", "remeasure", "progress", "export", "plan", "ready", "show"))
"""Targets whose ``select`` must match cells of the configuration; those of others may have other names."""


def question_of(words: Collection[str]) -> str | None:
    """The question among the words of a command line; None if there is none.

    Raises:
        ConfigError: it stands beside another target.
    """
    asked = [word for word in words if word in QUESTIONS]
    # Options have the value all as well.
    all_targets = [word for before, word in pairwise(("", *words)) if word == "all" and not before.startswith("-")]
    others = [word for word in words if word in OWN_KEYS or word.startswith("results/")] + all_targets
    if asked and len(others) > 1:
        raise ConfigError(f"{asked[0]}: is answered alone, found {', '.join(others)}: give each a command of its own")
    return asked[0] if asked else None


def refuse_unread(given: Iterable[str], words: Collection[str]) -> None:
    """Check that one of the targets among the words of a command line reads each key.

    Raises:
        ConfigError: none reads it.
    """
    targets = OWN_KEYS.keys() & words or {"all"}
    unread = set().union(*OWN_KEYS.values()).difference(*(OWN_KEYS.get(target, ()) for target in targets))
    for key in given:
        if key in unread:
            usable = RootConfig.model_fields.keys() - unread
            readers = [target for target, keys in OWN_KEYS.items() if key in keys]
            raise ConfigError(
                f"--config {key}: not read by {listed(targets)}, only by {listed(readers)}{nearest(key, usable)}"
            )
