"""Identity of a software environment, declared by its lock file or by the site."""

import hashlib
import re
import shlex
import sys
from collections.abc import Mapping
from functools import lru_cache

from dissect.cells.spec import Software
from dissect.config.environment import Environment

_PINNED = re.compile(r"[A-Za-z0-9._-]+==[^ ;\\]+")


def workflow_python() -> str:
    """Minor version of the Python that runs the workflow, such as ``3.12``."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


@lru_cache
def lock_identity(lock: str, python: str) -> str:
    """SHA-256 over the sorted ``name==version`` lines of a lock file and the Python minor version.

    Comments, hashes, markers and order are ignored. ``envs/run`` computes the same.
    """
    pins = {match.group().lower() for line in lock.splitlines() if (match := _PINNED.match(line))}
    return hashlib.sha256("".join(f"{pin}\n" for pin in [*sorted(pins), f"python=={python}"]).encode()).hexdigest()


def software_of(environment: Environment, locks: Mapping[str, str]) -> Software:
    """Identity of an environment, as a spec contains it."""
    if environment.lock is None:
        return Software(
            python=environment.python,
            image=environment.image,
            versions=environment.versions,
            modules=environment.modules,
        )
    python = environment.python or workflow_python()
    return Software(
        python=python, lock_sha256=lock_identity(locks[environment.lock], python), modules=environment.modules
    )


def launcher_of(environment: Environment) -> str:
    """Command that starts the environment's Python; its path is not part of a cell's identity."""
    modules = f"envs/with-modules {shlex.join(environment.modules)} -- " if environment.modules else ""
    return modules + _python_of(environment)


def _python_of(environment: Environment) -> str:
    container = environment.container
    if container is not None:
        inside = [container.runtime, container.image, *container.options, "--", *shlex.split(container.python)]
        return f"envs/in-container {shlex.join(inside)}"
    if environment.interpreter is not None:
        return environment.interpreter
    return f"envs/run {environment.lock}@{environment.python or workflow_python()} -- python"
