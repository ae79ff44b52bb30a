"""Names of platforms, models and experiments: file stems that become parts of paths."""

import re
from typing import Annotated

from pydantic import AfterValidator

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def check_name(name: str) -> str:
    """The name itself, if it is a plain file stem that cannot leave its folder or break a path.

    Raises:
        ValueError: the name is not a plain file stem.
    """
    if not _NAME.fullmatch(name):
        raise ValueError("a name consists of letters, digits, '.', '_' and '-' and starts with a letter or digit")
    return name


Name = Annotated[str, AfterValidator(check_name)]


def check_label(label: str) -> str:
    """The label itself, if it can be seen.

    Raises:
        ValueError: the label is blank.
    """
    if not label.strip():
        raise ValueError("expected a text that is not blank")
    return label


Label = Annotated[str, AfterValidator(check_label)]


def check_unique(names: list[str]) -> list[str]:
    """The list itself, if it has no duplicate.

    Raises:
        ValueError: the list has a duplicate.
    """
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ValueError(f"duplicate '{name}'")
    return names


Names = Annotated[list[Name], AfterValidator(check_unique)]
