"""config/methods.yaml: letters, what they turn, and how they combine into methods such as ``F+R+Z2+O``."""

import re
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, create_model

from dissect.base.model import Model
from dissect.base.registry import FRAMEWORKS
from dissect.config.errors import ConfigError, unknown
from dissect.config.knobs import AdapterKnobs
from dissect.config.overrides import given

NAIVE = "Naive"
"""The method without any letter."""

_LETTER = re.compile(r"[A-Z]+[0-9]?")


def _check_letter(name: str) -> str:
    if not _LETTER.fullmatch(name):
        raise ValueError("a letter is upper case with at most one digit, such as F or Z2")
    return name


Letter = Annotated[str, AfterValidator(_check_letter)]


def _all_knobs() -> dict[str, Any]:
    """Name -> type and field of every framework's knobs; frameworks that share a knob mean the same by it."""
    fields: dict[str, Any] = {}
    for package in FRAMEWORKS.values():
        for name, field in import_module(f"{package}.knobs").KNOBS.model_fields.items():
            known, _ = fields.setdefault(name, (field.annotation, field))
            if known != field.annotation:
                raise TypeError(f"{package}.knobs: '{name}' has another type in another framework")
    return fields


if TYPE_CHECKING:
    MethodKnobs = AdapterKnobs
else:
    MethodKnobs = create_model(
        "MethodKnobs",
        __base__=Model,
        __doc__="What letters can turn, over all frameworks; whatever no letter turns keeps the default.",
        **_all_knobs(),
    )


class LetterFile(Model):
    """One letter of the paper's method labels."""

    means: str
    """One sentence for the reader."""
    knobs: MethodKnobs = MethodKnobs()
    """What the letter turns."""
    knobs_with: dict[Letter, MethodKnobs] = {}
    """What it turns beside another letter; it needs one of these."""
    excludes: dict[Letter, str] = {}
    """Letters that it cannot stand beside, each with the reason."""
    note: str | None = None
    """A sentence that every table with this letter prints."""


class Methods(Model):
    """All letters, in the order in which a label names them."""

    letters: dict[Letter, LetterFile]
    """Letter -> what it means. Their order here is their order in every label."""

    def parse(self, method: str, where: str) -> tuple[str, ...]:
        """The letters of a method in the order of this file; none for ``Naive``.

        Raises:
            ConfigError: a letter is unknown or stands there twice.
        """
        if method == NAIVE:
            return ()
        letters = method.split("+")
        for letter in letters:
            if letter not in self.letters:
                raise unknown(where, "letter", letter, [*self.letters, NAIVE])
            if letters.count(letter) > 1:
                raise ConfigError(f"{where}: found the method '{method}', in which '{letter}' stands twice")
        return tuple(letter for letter in self.letters if letter in letters)

    def normal(self, method: str, where: str) -> str:
        """The one spelling of a method: ``O+Z2`` becomes ``Z2+O``."""
        return "+".join(self.parse(method, where)) or NAIVE

    def knobs(self, letters: tuple[str, ...]) -> MethodKnobs:
        """Everything that the letters turn; only for letters without :meth:`conflict`."""
        turned: dict[str, object] = {}
        for letter in letters:
            turned |= self._turned_by(letter, letters)
        return MethodKnobs.model_validate(turned)

    def conflict(self, letters: tuple[str, ...]) -> str | None:
        """Why these letters cannot stand together, or None; the order of keys in the file does not count."""
        turned: dict[str, tuple[str, object]] = {}
        for letter in letters:
            if reason := self._refusal(letter, letters):
                return reason
            for knob, value in sorted(self._turned_by(letter, letters).items()):
                first, before = turned.setdefault(knob, (letter, value))
                if before != value:
                    return f"{first} and {letter} both set {knob}"
        return None

    def _refusal(self, letter: str, letters: tuple[str, ...]) -> str | None:
        """Why a letter cannot stand in this company."""
        entry = self.letters[letter]
        for other in letters:
            if other in entry.excludes:
                return entry.excludes[other]
        if entry.knobs_with and not entry.knobs_with.keys() & set(letters):
            return f"{letter} needs one of {', '.join(name for name in self.letters if name in entry.knobs_with)}"
        beside: dict[str, tuple[str, object]] = {}
        for other in letters:
            for knob, value in sorted(given(entry.knobs_with.get(other, MethodKnobs())).items()):
                first, before = beside.setdefault(knob, (other, value))
                if before != value:
                    return f"{letter} sets {knob} differently beside {first} and {other}"
        return None

    def note(self, letters: tuple[str, ...]) -> str | None:
        """What tables must say about a method with these letters."""
        return " ".join(note for letter in letters if (note := self.letters[letter].note)) or None

    def _turned_by(self, letter: str, letters: tuple[str, ...]) -> dict[str, object]:
        entry = self.letters[letter]
        turned = given(entry.knobs)
        for other in letters:
            turned |= given(entry.knobs_with.get(other, MethodKnobs()))
        return turned
