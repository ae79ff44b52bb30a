"""scripts/measure.py with the tiny runner in DeepSpeed's place; run as a program by tests that kill it.

Another script may be named first, as after an interpreter. The clock of a node that does not lead is TINY_CLOCK_S
seconds ahead.
"""

import os
import runpy
import sys
import time
from pathlib import Path

TESTS = Path(__file__).parent
sys.path[:0] = [str(TESTS.parent / "scripts"), str(TESTS)]

from dissect.cells.runners import Runner, runners  # noqa: E402

runners()["pretrain", "deepspeed"] = Runner("tiny_runner", protocol=1)

if __name__ == "__main__":
    named = sys.argv[1:2] if sys.argv[1:] and sys.argv[1].endswith(".py") else ["scripts/measure.py"]
    sys.argv[1:2] = [] if sys.argv[1:2] == named else sys.argv[1:2]
    if named == ["scripts/measure_node.py"] and (ahead_s := float(os.environ.get("TINY_CLOCK_S", "0"))):
        right = time.time
        time.time = lambda: right() + ahead_s
    runpy.run_path(str(TESTS.parent / named[0]), run_name="__main__")
