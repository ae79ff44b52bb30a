"""Keys of ``--config`` for ``prune`` and ``references``, which tend what was measured."""

from pydantic import NonNegativeFloat, PositiveInt

from dissect.base.model import Model
from dissect.config.names import Name


class Upkeep(Model):
    """What to remove from the store, and where an export goes."""

    older_than: NonNegativeFloat | None = None
    """Age in days: ``prune`` names runs measured longer ago; default: of any age."""
    protocol: PositiveInt | None = None
    """Protocol number: ``prune`` names runs of cells with this or a lower one; default: of any."""
    really: bool = False
    """``prune`` removes the runs that it names; without it nothing is removed."""
    into: Name | None = None
    """Set of reference results, a folder in config/references/, to which ``references`` adds the runs of ``file``."""
