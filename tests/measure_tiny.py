"""scripts/measure.py with the tiny runner in DeepSpeed's place; run as a program by tests that kill it.

Another script may be named first, as after an interpreter.
"""

import runpy
import sys
from pathlib import Path

TESTS = Path(__file__).parent
sys.path[:0] = [str(TESTS.parent / "scripts"), str(TESTS)]

from dissect.cells.runners import Runner, runners  # noqa: E402

runners()["pretrain", "deepspeed"] = Runner("tiny_runner", protocol=1)

if __name__ == "__main__":
    named = sys.argv[1:2] if sys.argv[1:] and sys.argv[1].endswith(".py") else ["scripts/measure.py"]
    sys.argv[1:2] = [] if sys.argv[1:2] == named else sys.argv[1:2]
    runpy.run_path(str(TESTS.parent / named[0]), run_name="__main__")
