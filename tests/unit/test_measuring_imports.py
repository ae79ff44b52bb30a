"""What measures a cell runs in the environment of its framework, which has none of the workflow's libraries."""

import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "scripts"
CODE = """
import sys
from importlib import import_module

for name in ("altair", "jinja2", "pandas", "ruamel", "scipy", "snakemake", "tabulate", "torch"):
    sys.modules[name] = None
sys.path.insert(0, sys.argv[1])
import measure, measure_node
from dissect.cells.runners import runners

for runner in runners().values():
    import_module(runner.module)
print(len(runners()))
"""


def test_every_runner_imports_without_the_libraries_of_the_workflow() -> None:
    done = subprocess.run([sys.executable, "-c", CODE, str(SCRIPTS)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10
