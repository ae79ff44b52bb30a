"""Numbers of runs: how often each cell is measured, in fresh processes."""

from typing import Annotated

from pydantic import Field

from dissect.base.model import Model

Runs = Annotated[int, Field(ge=1, le=50)]


class RunsBySuite(Model):
    """Runs of each cell, by suite."""

    smoke: Runs = 1
    """Runs in the suite ``smoke``: one, so that it takes minutes; its tables have no intervals."""
    full: Runs = 5
    """Runs in the suite ``full``."""
