"""What a user is told of results that cannot be written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
PROGRAM = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from dissect.results.unwritable import remedy
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
try:
    Path("results/store/0123456789ab/lock").open("wb")
except OSError as error:
    print(remedy(error))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize("mode", [0o755, 0o700], ids=["umask 022", "umask 077"])
def test_results_of_another_user_are_one_sentence_that_names_the_folder(mode: int, tmp_path: Path) -> None:
    (tmp_path / "results/store").mkdir(parents=True)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == "root" and folder.name.startswith("pytest"):
            folder.chmod(0o755)
    tmp_path.chmod(0o755)
    (tmp_path / "results").chmod(0o755)
    entry = tmp_path / "results/store/0123456789ab"
    entry.mkdir()
    entry.chmod(mode)
    entry.parent.chmod(mode)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(SCRIPTS)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    barrier = "results/store/0123456789ab" if mode == 0o755 else "results/store"
    assert f"the folder {barrier} belongs to root, group root, with mode {mode:o}" in done.stdout, done.stderr
