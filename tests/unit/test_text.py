"""Text of others reaches terminals and spreadsheets as text only."""

import pandas as pd
import pytest

from dissect.base.text import controls, no_formula, without_controls
from dissect.present.tables.frames import to_csv
from dissect.ranks.messages import describe


@pytest.mark.parametrize("text", ["\x1b[31m", "a\x07", "\x9b1m", "abc\u202edef", "\x00"])
def test_what_steers_a_terminal_is_found_and_replaced(text: str) -> None:
    assert controls(text)
    assert not controls(without_controls(text))


@pytest.mark.parametrize("text", ["out of memory", "a\nb\tc", "Größe: 3 × 4 µs", "", "注意"])
def test_text_stays(text: str) -> None:
    assert not controls(text)
    assert without_controls(text) == text


def test_an_error_of_a_library_is_described_without_escape_codes() -> None:
    assert describe(RuntimeError("\x1b[1mCUDA error\x1b[0m\nadvice")) == "RuntimeError: ?[1mCUDA error?[0m"


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1+1", "@SUM(A1)", "-2+3"])
def test_no_text_of_a_csv_is_a_formula(text: str) -> None:
    written = to_csv(pd.DataFrame({"reason": [text, "-", None], "number": [-1.5, 2.0, None]}))
    assert written == f"reason,number\n'{text},-1.5\n-,2.0\n,\n"


@pytest.mark.parametrize("value", [-1.5, None, "-", "oom", 3])
def test_other_fields_stay(value: object) -> None:
    assert no_formula(value) == value
