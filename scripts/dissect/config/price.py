"""Prices of GPU-hours: that of a platform, with its origin, and one that a command gives."""

import re
from datetime import date
from typing import Annotated

from pydantic import BeforeValidator, Field, PositiveFloat

from dissect.base.model import Model


def _day(value: object) -> object:
    """The text of a day, which YAML reads as a date unless it is quoted."""
    return value.isoformat() if isinstance(value, date) else value


class Price(Model):
    """Price of one GPU; not part of a cell's identity, of a measurement or of a table."""

    per_gpu_hour: PositiveFloat
    """Price of one GPU for one hour, including its share of the node."""
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    """Currency as an ISO 4217 code, such as ``EUR``."""
    source: Annotated[str, Field(min_length=1)]
    """Source of the price."""
    date: Annotated[str, BeforeValidator(_day), Field(pattern=r"^\d{4}-\d{2}(-\d{2})?$")]
    """Date of the price: ``2026-03`` or ``2026-03-31``."""

    def sentence(self, platform: str) -> str:
        """The price of a platform with its origin."""
        return f"Price of {platform}: {self.per_gpu_hour:g} {self.currency} per GPU-hour, {self.source}, {self.date}."


def _priced(value: object) -> object:
    is_price = re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,20})?( [A-Z]{3})?", str(value))
    if not is_price or not price_and_currency(str(value))[0]:
        raise ValueError(
            "expected a number above 0, or one with its currency, such as 2.5 or '2.5 EUR', for all platforms; "
            "that of one platform belongs in its file"
        )
    return value


GivenPrice = Annotated[float | str, BeforeValidator(_priced)]
"""Price of a GPU-hour, with its currency as an ISO 4217 code or without."""


def price_and_currency(given: float | str) -> tuple[float, str]:
    """The number of a given price, and its currency; empty without one."""
    number, _, currency = str(given).partition(" ")
    return float(number), currency


def price_that_counts(given: float | str | None, declared: Price | None) -> tuple[float, str] | None:
    """A given price, else that of a platform, as number and currency; None where neither is known."""
    if given is not None:
        return price_and_currency(given)
    return (declared.per_gpu_hour, declared.currency) if declared else None
