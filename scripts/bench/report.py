"""What the report page costs to write and to open."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from playwright.sync_api import sync_playwright

from bench.projects import PROJECT, RUNS

_MAKE = "import sys, pathlib, report_cases as make; make.large_report(pathlib.Path(sys.argv[1]), int(sys.argv[2]))"


def measure(_: argparse.Namespace) -> pd.DataFrame:
    """The report page of synthetic cells: what writing it takes, and seconds until a browser has painted and loaded it.

    The memory is that of the largest process, or of this one where that is larger, since Linux counts it up to the
    start of another program: so another process makes the cells.

    Raises:
        subprocess.CalledProcessError: making the cells or writing the page failed.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for size in (500, 5_000, 10_000):
            project = Path(folder) / str(size)
            subprocess.run([sys.executable, "-c", _MAKE, str(project), str(size)], check=True)
            # A fresh folder: unchanged pages would be kept, and ext4 makes files slowly where many were removed.
            index = project / "results/again/index.html"
            command = [sys.executable, str(PROJECT / "scripts/write_report.py"), "results/manifests/report.json"]
            start = time.perf_counter()
            process = subprocess.Popen([*command, "--index", str(index)], cwd=project)
            _, status, used = os.wait4(process.pid, 0)
            wall_s = time.perf_counter() - start
            if status:
                raise subprocess.CalledProcessError(os.waitstatus_to_exitcode(status), command)
            cost = {"write_s": wall_s, "cpu_s": used.ru_utime + used.ru_stime, "memory_mb": used.ru_maxrss * 1024 / 1e6}
            painted = pd.DataFrame([painting(index) for _ in range(RUNS)]).median()
            rows.append({"cells": size, **cost, "page_mb": index.stat().st_size / 1e6, **painted})
    return pd.DataFrame(rows)


def painting(index: Path) -> dict[str, float]:
    """Seconds until a fresh Chromium paints, and until all is loaded; empty without Chromium."""
    program = shutil.which("chromium")
    if program is None:
        return {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(index.as_uri(), wait_until="load")
        page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
        first = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        loaded = page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
        browser.close()
    return {"first_paint_s": first / 1e3, "ready_s": loaded / 1e3}
