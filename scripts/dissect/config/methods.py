"""config/methods.yaml: letters, the knobs that they set, and how they combine into methods such as ``F+R+Z2+O``."""

import re
from collections.abc import Callable
from functools import cache, cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, create_model

from dissect.base.model import Model
from dissect.base.registry import FRAMEWORKS
from dissect.config.errors import ConfigError, unknown
from dissect.config.knobs import AdapterKnobs
from dissect.config.overrides import given

NAIVE = "Naive"
"""Name of the method without letters."""

_LETTER = re.compile(r"[A-Z]+[0-9]?")


def _check_letter(name: str) -> str:
    if not _LETTER.fullmatch(name):
        raise ValueError("a letter is upper case with at most one digit, such as F or Z2")
    return name


Letter = Annotated[str, AfterValidator(_check_letter)]


def _all_knobs() -> tuple[type[Model], ...]:
    """Models of the knobs of all frameworks, the first one last, as the fields of the last base come first.

    Raises:
        TypeError: two frameworks define a knob of one name with different types.
    """
    fields: dict[str, Any] = {}
    models: list[type[Model]] = []
    for package in FRAMEWORKS.values():
        models.append(import_module(f"{package}.knobs").KNOBS)
        for name, field in models[-1].model_fields.items():
            known = fields.setdefault(name, field)
            if (known.annotation, known.metadata) != (field.annotation, field.metadata):
                raise TypeError(f"{package}.knobs: conflicting types of '{name}' in two frameworks")
    # A framework without knobs of its own has the base of the others' models, which has to come after these.
    own = [model for model in models if not any(model in other.__mro__[1:] for other in models)]
    return tuple(dict.fromkeys(reversed(own)))


if TYPE_CHECKING:
    MethodKnobs = AdapterKnobs
else:
    MethodKnobs = create_model(
        "MethodKnobs",
        __base__=_all_knobs(),
        __doc__="Knobs of all frameworks that letters can set; a knob that no letter sets keeps its default.",
    )


class LetterFile(Model):
    """A letter of the paper's method labels."""

    means: str
    """Meaning of the letter, in one sentence."""
    knobs: MethodKnobs = MethodKnobs()
    """Knobs that the letter sets."""
    knobs_with: dict[Letter, MethodKnobs] = {}
    """Knobs that the letter sets in combination with another letter; it needs at least one of these letters."""
    excludes: dict[Letter, str] = {}
    """Letters that it cannot be combined with, each with the reason."""
    note: str | None = None
    """Note that every table with this letter prints."""


class Methods(Model):
    """All letters, in the order in which a label names them."""

    letters: dict[Letter, LetterFile]
    """Letter -> its meaning. The order of this mapping is the order of letters in every label."""

    def parse(self, method: str, where: str) -> tuple[str, ...]:
        """The letters of a method in the order of this file; none for ``Naive``.

        Raises:
            ConfigError: a letter is unknown or a duplicate, or stands beside ``Naive``.
        """
        if method == NAIVE:
            return ()
        letters = method.split("+")
        if NAIVE in letters:
            raise ConfigError(f"{where}: found '{method}': {NAIVE} stands alone, no letter can be combined with it")
        for letter in letters:
            if letter not in self.letters:
                raise unknown(where, "letter", letter, [*self.letters, NAIVE])
            if letters.count(letter) > 1:
                raise ConfigError(f"{where}: duplicate letter '{letter}' in the method '{method}'")
        return tuple(letter for letter in self.letters if letter in letters)

    def normal(self, method: str, where: str) -> str:
        """The normal spelling of a method: ``O+Z2`` becomes ``Z2+O``.

        Raises:
            ConfigError: a letter is unknown or a duplicate, or stands beside ``Naive``.
        """
        return "+".join(self.parse(method, where)) or NAIVE

    @cached_property
    def knobs(self) -> Callable[[tuple[str, ...]], MethodKnobs]:
        """All knobs that letters set; only for letters without a :meth:`conflict`."""
        return cache(self._knobs)

    def _knobs(self, letters: tuple[str, ...]) -> MethodKnobs:
        turned: dict[str, object] = {}
        for letter in letters:
            turned |= self._turned_by(letter, letters)
        return MethodKnobs.model_validate(turned)

    @cached_property
    def conflict(self) -> Callable[[tuple[str, ...]], str | None]:
        """Reason why letters cannot be combined, or None; it does not depend on the order of keys in the file."""
        return cache(self._conflict)

    def _conflict(self, letters: tuple[str, ...]) -> str | None:
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
        """Reason why a letter cannot be combined with the others, or None."""
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
        """Note that tables print about a method with these letters, or None."""
        return " ".join(note for letter in letters if (note := self.letters[letter].note)) or None

    def _turned_by(self, letter: str, letters: tuple[str, ...]) -> dict[str, object]:
        entry = self.letters[letter]
        turned = given(entry.knobs)
        for other in letters:
            turned |= given(entry.knobs_with.get(other, MethodKnobs()))
        return turned
