"""Software environments: where a kind of cell finds its Python, or a serving engine its program."""

from functools import cache
from typing import Literal, Self

from pydantic import model_validator

from dissect.base.model import Model
from dissect.config.kinds import PythonMinor
from dissect.config.names import Name
from dissect.config.registered import EnvironmentName


class Container(Model):
    """An image and what runs it."""

    runtime: Literal["apptainer", "docker"]
    """``apptainer`` takes a file or a reference, ``docker`` a reference."""
    image: str
    """Where the image lies; its identity is the ``image`` beside this section."""


class Environment(Model):
    """A locked environment, or one that the site vouches for, by interpreter, command, container or url."""

    lock: Name | None = None
    """Folder below envs/ with a hash-locked requirements.txt; built on demand."""
    python: PythonMinor | None = None
    """Python minor version of the locked environment; default: that of the workflow."""
    interpreter: str | None = None
    """Command that starts the site's own Python, such as ``python3`` or ``apptainer exec stack.sif python``."""
    command: str | None = None
    """Command that starts a serving engine; its arguments follow."""
    container: Container | None = None
    """Container image that a serving engine runs in."""
    url: str | None = None
    """Address of a serving engine that runs already, such as ``http://127.0.0.1:8000``; it is never stopped."""
    versions: dict[str, str] = {}
    """Unless locked: distribution -> version, checked before each cell is measured."""
    image: str | None = None
    """Digest of the container image that it runs in."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        ways = (self.lock, self.interpreter, self.command, self.container, self.url)
        if sum(way is not None for way in ways) != 1:
            raise ValueError("give just one of 'lock', 'interpreter', 'command', 'container' and 'url'")
        if self.lock is None and not (self.versions or self.image):
            raise ValueError("without a 'lock', 'versions' or 'image' must declare what it holds")
        if self.lock and (self.versions or self.image):
            raise ValueError("a 'lock' declares itself, 'versions' and 'image' do not go with it")
        if self.container and not self.image:
            raise ValueError("a 'container' needs its 'image', a digest")
        return self

    @property
    def starts_python(self) -> bool:
        """Whether it can run a script of this project."""
        return bool(self.lock or self.interpreter)


@cache
def default_environments() -> dict[EnvironmentName, Environment]:
    """What a platform has without naming it."""
    return {
        "train": Environment(lock="train"),
        "client": Environment(lock="client"),
        "transformers": Environment(lock="client"),
        "vllm": Environment(lock="vllm"),
    }
