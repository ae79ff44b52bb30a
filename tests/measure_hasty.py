"""scripts/measure.py that waits less long for a server which answers no more; run as a program by tests."""

import runpy
import sys
from pathlib import Path

LEAST_S = 15
"""In place of two minutes; guidellm tells its progress every 10 s."""
ROOT = Path(__file__).parents[1]

if __name__ == "__main__":
    sys.path[:0] = [str(ROOT / "scripts")]
    from dissect.stages.serving import stall

    stall.LEAST_S = stall.AFTER_ERROR_S = float(LEAST_S)
    runpy.run_path(str(ROOT / "scripts/measure.py"), run_name="__main__")
