"""Names of platforms, models and experiments: file stems that become parts of paths."""

import re
from typing import Annotated

from pydantic import AfterValidator

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def check_name(name: str) -> str:
    """Refuse what could leave its directory or break a path.

    Raises:
        ValueError: the name is no plain file stem.
    """
    if not _NAME.fullmatch(name):
        raise ValueError("a name has letters, digits, '.', '_' and '-' only and starts with a letter or digit")
    return name


Name = Annotated[str, AfterValidator(check_name)]


def check_unique(names: list[str]) -> list[str]:
    """Refuse a list that says the same twice.

    Raises:
        ValueError: names the first duplicate.
    """
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ValueError(f"'{name}' stands there twice")
    return names


Names = Annotated[list[Name], AfterValidator(check_unique)]
