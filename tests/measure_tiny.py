"""scripts/measure.py with the tiny runner in DeepSpeed's place; run as a program by tests that kill it."""

import runpy
import sys
from pathlib import Path

TESTS = Path(__file__).parent
sys.path[:0] = [str(TESTS.parent / "scripts"), str(TESTS)]

from dissect.runners import RUNNERS, Runner  # noqa: E402

RUNNERS["pretrain", "deepspeed"] = Runner("tiny_runner", protocol=1)

if __name__ == "__main__":
    runpy.run_path(str(TESTS.parent / "scripts" / "measure.py"), run_name="__main__")
