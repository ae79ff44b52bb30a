"""What a platform brings to a question beside its cells; it measures nothing and draws no table again."""

from collections.abc import Collection

from dissect.base.model import Model
from dissect.config.catalog import Catalog
from dissect.config.platform import Price


class Terms(Model):
    """Of one platform."""

    price: Price | None = None
    stand_ins: list[str] = []
    """Models that it runs in place of those that are asked for."""


def terms_of(catalog: Catalog, names: Collection[str] | None = None) -> dict[str, Terms]:
    """By platform: of the named ones, or of all that are known."""
    return {
        name: Terms(price=platform.price, stand_ins=platform.workload.models or [])
        for name, platform in catalog.platforms.items()
        if names is None or name in names
    }
