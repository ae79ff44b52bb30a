"""Software environments of a platform: the Python that measures a cell, or the program of a serving engine."""

from functools import cache
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from dissect.base.model import Model
from dissect.config.kinds import PythonMinor
from dissect.config.names import Name
from dissect.config.registered import EnvironmentName

ModuleName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.+:/-]+$")]


class Container(Model):
    """A container image and its runtime."""

    runtime: Literal["apptainer", "docker", "enroot", "pyxis"]
    """Container runtime: ``docker`` for serving engines only, ``enroot`` and ``pyxis`` for Pythons only."""
    image: str
    """File or reference of the image; the ``image`` key beside this section holds its digest."""
    python: str = "python3"
    """Program in the image that starts the Python of an environment without an engine."""
    options: list[str] = []
    """Further options of the runtime, such as ``--nv``, or ``--userns``."""


class Environment(Model):
    """A locked environment, or one that the site provides, by interpreter, command, container or url."""

    lock: Name | None = None
    """Name of a folder below envs/ with a hash-locked requirements.txt; the environment is built on demand."""
    python: PythonMinor | None = None
    """Minor version of the locked environment's Python; default: the version that runs the workflow."""
    interpreter: str | None = None
    """Command that starts the site's own Python, such as ``python3`` or ``apptainer exec stack.sif python``."""
    command: str | None = None
    """Command that starts a serving engine; the engine's arguments are appended."""
    container: Container | None = None
    """Container image with the environment's Python, or with a serving engine."""
    url: str | None = None
    """URL of a serving engine that is already running, such as ``http://127.0.0.1:8000``; it is never stopped."""
    versions: dict[str, str] = {}
    """Versions of an unlocked environment: distribution -> version, checked before each cell is measured."""
    image: str | None = None
    """Digest of the container image in which the environment runs."""
    modules: list[ModuleName] = []
    """Environment modules to load before the Python starts, such as ``cuda/12.8``; part of a cell's identity."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        ways = (self.lock, self.interpreter, self.command, self.container, self.url)
        if sum(way is not None for way in ways) != 1:
            raise ValueError("expected exactly one of 'lock', 'interpreter', 'command', 'container' and 'url'")
        if self.lock is None and not (self.versions or self.image):
            raise ValueError("'versions' or 'image' is required without 'lock'")
        if self.lock and (self.versions or self.image):
            raise ValueError("'versions' and 'image' are not allowed beside 'lock', which pins all versions")
        if self.container and not self.image:
            raise ValueError("'container' needs 'image', the digest of its image")
        if self.modules and not (self.lock or self.interpreter or self.container):
            raise ValueError("'modules' needs a 'lock', an 'interpreter' or a 'container'")
        return self

    @property
    def starts_python(self) -> bool:
        """Whether the environment has a Python of this machine that can run a script of this project."""
        return bool(self.lock or self.interpreter)

    @property
    def measures(self) -> bool:
        """Whether the environment can run the measuring program, on this machine or in a container."""
        return self.starts_python or (self.container is not None and self.container.runtime != "docker")


@cache
def default_environments() -> dict[EnvironmentName, Environment]:
    """Environments that every platform has unless it declares others, by name."""
    return {
        "train": Environment(lock="train"),
        "client": Environment(lock="client"),
        "transformers": Environment(lock="client"),
        "vllm": Environment(lock="vllm"),
        "sglang": Environment(lock="sglang"),
    }
