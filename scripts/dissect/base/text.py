"""Text that comes from libraries or from others, before it reaches a terminal or a spreadsheet."""

import unicodedata


def controls(text: str) -> bool:
    """Whether it has characters that steer a terminal or turn writing around, other than line ends and tabs."""
    return any(unicodedata.category(each).startswith("C") and each not in "\n\t" for each in text)


def without_controls(text: str) -> str:
    """The text with a question mark for each such character."""
    return "".join("?" if controls(each) else each for each in text)


def no_formula(value: object) -> object:
    """A field of a CSV that no spreadsheet takes for a formula: it gets an apostrophe in front, as users type it."""
    return f"'{value}" if isinstance(value, str) and len(value) > 1 and value[0] in "=+-@" else value
