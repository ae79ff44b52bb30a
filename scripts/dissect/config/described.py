"""Keys of ``--config`` for ``describe``, which writes the platform file of the machine at hand."""

from dissect.base.model import Model
from dissect.config.names import Name


class Described(Model):
    """The machine at hand as a platform."""

    name: Name = "here"
    """Name of the platform file that ``describe`` writes."""
    interpreter: str | None = None
    """Command of the machine's own Python, which then is the platform's software; default: the locked environments."""
