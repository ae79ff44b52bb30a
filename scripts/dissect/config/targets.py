"""Keys of ``--config`` that only some targets read; every target reads all other keys."""

from collections.abc import Collection, Iterable

from dissect.config.errors import ConfigError, listed, nearest
from dissect.config.question import Comparison, Question
from dissect.config.root import RootConfig

OWN_KEYS: dict[str, set[str]] = {
    "plan": set(),
    "cells": {"select"},
    "packs": {"select"},
    "remeasure": {"select", "more", "fresh"},
    "progress": {"select", "every"},
    "recommend": {*Question.model_fields},
    "compare": {"select", *Comparison.model_fields},
    "export": {"select", "file", "force"},
    "import": {"file"},
    "references": {"select", "file", "into"},
    "prune": {"select", "older_than", "protocol", "really"},
}
"""Target -> the keys that it reads, of those that not all read; targets without a name here read none of them."""
SELECTING = frozenset(("cells", "packs", "remeasure", "progress", "export"))
"""Targets whose ``select`` must match cells of the configuration; those of others may have other names."""


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
