"""Which distributions a Python has, and how they differ from what a spec declares."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from typing import NamedTuple

from dissect.cells.spec import Software

_ASK = (
    "import json, sys; from importlib import metadata; "
    "print(json.dumps(['%d.%d' % sys.version_info[:2], "
    "[(d.metadata['Name'], d.version) for d in metadata.distributions()]]))"
)
_TIMEOUT_S = 300.0


class Installed(NamedTuple):
    """The software of one Python."""

    python: str
    """Its minor version, such as ``3.12``."""
    versions: dict[str, str]
    """Normalised name of the distribution -> version."""


@cache
def installed() -> Installed:
    """The software of the running Python, read once: of hundreds of distributions it takes half a second."""
    found = ((each["Name"], each["Version"]) for each in (one.metadata for one in metadata.distributions()))
    return Installed(f"{sys.version_info.major}.{sys.version_info.minor}", _by_name(found))


def installed_in(command: str) -> Installed:
    """The software of the Python that a command starts.

    Raises:
        OSError: there is no such command.
        subprocess.SubprocessError: it fails, or does not answer in time.
    """
    done = subprocess.run(
        [*shlex.split(command), "-c", _ASK], capture_output=True, text=True, check=True, timeout=_TIMEOUT_S
    )
    python, found = json.loads(done.stdout.splitlines()[-1])
    return Installed(python, _by_name(found))


def software_mismatch(declared: Software, found: Installed) -> str | None:
    """How software differs from what the spec declares, in one sentence naming both, or None."""
    wrong = []
    if declared.python not in (None, found.python):
        wrong.append(f"python {declared.python} is declared, {found.python} runs")
    for name, version in sorted(declared.versions.items()):
        have = found.versions.get(_normal(name), "none")
        wrong += [f"{name} {version} is declared, {have} is installed"] if have != version else []
    return "; ".join(wrong) or None


def _by_name(found: Iterable[tuple[str | None, str]]) -> dict[str, str]:
    """Of several of one name the first counts, as for an import."""
    versions: dict[str, str] = {}
    for name, version in found:
        versions.setdefault(_normal(name or ""), version)
    return versions


def _normal(name: str) -> str:
    """A name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()
