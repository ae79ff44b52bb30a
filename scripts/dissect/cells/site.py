"""Facts of the site that a serving cell needs and no key contains: checkpoints, and how the engine is started."""

import os
import shlex
from typing import Self

from dissect.base.model import Model
from dissect.cells.software import launcher_of
from dissect.config.environment import Container, Environment
from dissect.config.platform import Serving

VARIABLE = "DISSECT_SERVING"


class ServingSite(Model):
    """Facts of the site, passed in the environment of the measuring process: they are not part of a key."""

    checkpoints: str
    keep_checkpoints: bool
    python: str | None = None
    """Command that starts the engine's Python, if it is a Python package."""
    command: str | None = None
    """Command that starts the engine, if the platform declares one."""
    container: Container | None = None
    url: str | None = None
    """URL of an engine that is already running."""

    @classmethod
    def of(cls, serving: Serving, engine: Environment) -> Self:
        """The facts of a site from its platform's configuration."""
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
        """The facts of the site from this process's environment.

        Raises:
            KeyError: the process was not started for a serving cell.
        """
        return cls.model_validate_json(os.environ[VARIABLE])

    def launcher(self, python: str) -> str:
        """Command that starts the measuring Python with these facts in its environment."""
        return f"env {VARIABLE}={shlex.quote(self.model_dump_json(exclude_none=True))} {python}"
