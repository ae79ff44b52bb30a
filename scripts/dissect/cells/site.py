"""What a serving cell must know of the site but no key may hold: where checkpoints lie, and what starts the engine."""

import os
import shlex
from typing import Self

from dissect.base.model import Model
from dissect.cells.software import launcher_of
from dissect.config.environment import Container, Environment
from dissect.config.platform import Serving

VARIABLE = "DISSECT_SERVING"


class ServingSite(Model):
    """Passed in the environment of the measuring process, so that a moved folder measures nothing again."""

    checkpoints: str
    keep_checkpoints: bool
    python: str | None = None
    """Command that starts the engine's Python."""
    command: str | None = None
    """Command that starts the engine itself."""
    container: Container | None = None
    url: str | None = None
    """Where the engine runs already."""

    @classmethod
    def of(cls, serving: Serving, engine: Environment) -> Self:
        """From the platform's file."""
        return cls(
            checkpoints=serving.checkpoints,
            keep_checkpoints=serving.keep_checkpoints,
            python=launcher_of(engine) if engine.starts_python else None,
            command=engine.command,
            container=engine.container,
            url=engine.url,
        )

    @classmethod
    def from_environment(cls) -> Self:
        """Of the running process; raises ``KeyError`` where it was not started for a serving cell."""
        return cls.model_validate_json(os.environ[VARIABLE])

    def launcher(self, python: str) -> str:
        """The command that starts the measuring Python with this in its environment."""
        return f"env {VARIABLE}={shlex.quote(self.model_dump_json(exclude_none=True))} {python}"
