"""What a Python has, and how it differs from what a spec declares."""

import shlex
import subprocess
import sys
from importlib import metadata

import pytest

from dissect.cells.spec import Software
from dissect.results.installed import installed, installed_in, software_mismatch


def test_declared_software_is_compared_with_what_is_installed() -> None:
    here = installed()
    pydantic = metadata.version("pydantic")
    assert here.python == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert software_mismatch(Software(), here) is None
    assert software_mismatch(Software(python=here.python, versions={"Pydantic": pydantic}), here) is None
    assert software_mismatch(Software(versions={"pydantic.core": metadata.version("pydantic_core")}), here) is None
    assert software_mismatch(Software(python="2.7"), here) == f"python 2.7 is declared, {here.python} runs"
    assert (
        software_mismatch(Software(versions={"pydantic": "0.1", "no-such-library": "1"}), here)
        == f"no-such-library 1 is declared, none is installed; pydantic 0.1 is declared, {pydantic} is installed"
    )


def test_another_python_is_asked() -> None:
    assert installed_in(shlex.quote(sys.executable)) == installed()
    with pytest.raises(subprocess.CalledProcessError):
        installed_in("false")
