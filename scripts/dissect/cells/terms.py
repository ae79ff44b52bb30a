"""Terms of platforms for ``recommend``, such as prices; changing them neither measures nor draws anything again."""

from collections.abc import Collection

from dissect.base.model import Model
from dissect.config.catalog import Catalog
from dissect.config.price import Price


class Terms(Model):
    """Terms of one platform."""

    price: Price | None = None
    stand_ins: list[str] = []
    """Models that the platform runs in place of the requested ones."""


def terms_of(catalog: Catalog, names: Collection[str] | None = None) -> dict[str, Terms]:
    """Terms by platform, of the named platforms or of all."""
    return {
        name: Terms(price=platform.price, stand_ins=platform.workload.models or [])
        for name, platform in catalog.platforms.items()
        if names is None or name in names
    }
