"""Run pytest inside the train environment: ``envs/run train -- python tests/in_train.py <pytest's arguments>``.

Tests of the runners must see exactly what cells see, so that environment holds no test tools. They are borrowed from
.venv, which has the same Python minor version and comes last on the path: what both have is taken from train.
"""

import os
import shlex
import sys
from pathlib import Path

# Tests fork ranks out of this process, and a fork waits for ever on a pool of threads that it did not inherit.
os.environ["OMP_NUM_THREADS"] = "1"

version = f"python{sys.version_info.major}.{sys.version_info.minor}"
sys.path.append(str(Path(__file__).parents[1] / ".venv" / "lib" / version / "site-packages"))

import pytest  # noqa: E402

PROCESSES = ["--tx", f"2*popen//python={shlex.join([sys.executable, __file__])}"]
"""With ``--dist``: two, each started as this one is."""

if __name__ == "__main__":
    if sys.argv[1:2] == ["-u"]:
        exec(sys.argv[3])  # one of the two: pytest-xdist takes this for a Python and calls it with -u -c <program>
    else:
        raise SystemExit(pytest.main([*PROCESSES, *sys.argv[1:]]))
