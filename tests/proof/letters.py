"""What letters turn together, or why they cannot stand together."""

from typing import Any

from proof import stages
from proof.reading import Yaml
from proof.stages import numbers


def turned(letter: str, beside: tuple[str, ...], config: Yaml) -> tuple[Yaml, str | None]:
    """What a letter turns in this company, or why it cannot tell."""
    entry = config["letters"][letter]
    extra: Yaml = {}
    for other in beside:
        for knob, value in sorted(set_knobs(entry.get("knobs_with", {}).get(other))):
            if extra.setdefault(knob, value) != value:
                return {}, f"{letter} undecided on {knob}"
    return dict(set_knobs(entry.get("knobs"))) | extra, None


def set_knobs(knobs: Yaml | None) -> list[tuple[str, Any]]:
    given = [(knob, value) for knob, value in (knobs or {}).items() if value is not None]
    return [(knob, numbers(stages.adapter(value)) if knob == "adapter" else value) for knob, value in given]


def knobs_of(letters: tuple[str, ...], config: Yaml) -> tuple[Yaml, str | None]:
    """All knobs, or why these letters cannot stand together."""
    found: Yaml = {}
    by: dict[str, str] = {}
    for letter in letters:
        entry = config["letters"][letter]
        for other in letters:
            if other in entry.get("excludes", {}):
                return {}, entry["excludes"][other]
        needed = entry.get("knobs_with", {})
        if needed and not set(needed) & set(letters):
            return {}, f"{letter} needs one of {sorted(needed, key=list(config['letters']).index)}"
        own, undecided = turned(letter, letters, config)
        if undecided:
            return {}, undecided
        for knob, value in sorted(own.items()):
            if found.setdefault(knob, value) != value:
                return {}, f"{by[knob]} and {letter} on {knob}"
            by.setdefault(knob, letter)
    return found, None
