"""Two machines add runs to one cell of a store that they share, where neither sees the other's locks."""

import os
import subprocess
import sys
from pathlib import Path

from dissect.cells.spec import canonical_spec
from dissect.results.cell_runs import read_runs
from dissect.results.store import Store
from factories import key_of, pretrain_spec

ROOT = Path(__file__).parents[2]
SPEC = pretrain_spec()
RUNS = 40
HOST = """
import fcntl, platform, sys
from pathlib import Path
fcntl.flock = lambda *_: None  # local to each host, as on some shared file systems
platform.node = lambda: sys.argv[2]
from dissect.results.store import Store
from factories import key_of, measured_at, ok_result, pretrain_spec
entry = Store(Path(sys.argv[1]) / "store").entry(key_of(pretrain_spec()))
for number in range(int(sys.argv[3]), int(sys.argv[4])):
    with entry.locked():
        entry.write_run(measured_at(ok_result(pretrain_spec()), number), [{"step": 0}] * 50, {"kernels.csv": b"x" * 99})
        entry.publish(Path(sys.argv[1]) / "published.json")
"""


def test_no_run_is_lost_or_hidden(tmp_path: Path) -> None:
    entry = Store(tmp_path / "store").entry(key_of(SPEC))
    with entry.locked():
        entry.claim(canonical_spec(SPEC))
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'scripts'}:{ROOT / 'tests'}"}
    hosts = [
        subprocess.Popen(
            [sys.executable, "-c", HOST, str(tmp_path), f"host{i}", str(i * RUNS), str((i + 1) * RUNS)], env=environment
        )
        for i in range(2)
    ]
    assert [host.wait() for host in hosts] == [0, 0]
    known = entry.peek()
    assert known is not None
    assert len(known.runs) == entry.count() == 2 * RUNS
    assert read_runs(tmp_path / "published.json") == known
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]
