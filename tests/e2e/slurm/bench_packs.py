"""Seconds per cell with one allocation per cell and with packs, on the test cluster with the profile's own intervals.

PYTHONPATH=scripts:tests:tests/e2e/slurm python tests/e2e/slurm/bench_packs.py
"""

import sys
import tempfile
import time
from pathlib import Path

import slurm_site
from slurm_cluster import running_cluster, why_not
from slurm_site import new_site

METHODS = [f"{first}{then}" for first in ("", "F+", "R+", "F+R+") for then in ("Z2", "Z3")]


def main() -> int:
    """Print one line per way."""
    if reason := why_not():
        print(reason, file=sys.stderr)
        return 1
    slurm_site.POLL = ()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "cluster").mkdir()
        with running_cluster(folder / "cluster", {"main": ["n1"]}) as cluster:
            for exclusive, target in ((False, "cells"), (True, "cells"), (True, "packs")):
                site = new_site(folder / f"{target}-{exclusive}", cluster)
                site.platform("main", pack_h=0.5, exclusive=exclusive)
                site.configure(METHODS, ["main"])
                start = time.monotonic()
                run = site.start(target, "--config", "select=pretrain/main/*/*/*Z*/*")
                if run.end(900):
                    print(run.output, file=sys.stderr)
                    return 1
                seconds = time.monotonic() - start
                nodes = "exclusive nodes" if exclusive else "shared nodes"
                print(f"{target}, {nodes}: {seconds:.0f} s, {seconds / len(METHODS):.1f} s per cell", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
