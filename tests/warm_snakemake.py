"""Runs of Snakemake as forks of one process that has imported Snakemake and this library.

Two thirds of a run that has nothing to do are imports, and half of the rest is to parse the configuration. A fork is
a new process like any other: with its own folder, environment, arguments and output, and what it runs is Snakemake's
own entry point.
"""

import json
import os
import re
import signal
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMIT_S = 300


def run(folder: Path, arguments: list[str], environment: dict[str, str], output: Path) -> int:
    """``snakemake <arguments>`` in a folder whose scripts are those of this clone; the exit status.

    SIGALRM ends a run after LIMIT_S seconds.
    """
    process = _server()
    assert process.stdin
    assert process.stdout
    request = {"folder": str(folder), "arguments": arguments, "environment": environment, "output": str(output)}
    process.stdin.write(f"{json.dumps(request)}\n")
    process.stdin.flush()
    return int(process.stdout.readline())


@cache
def _server() -> "subprocess.Popen[str]":
    """The process that forks; it ends when this one does, for then its input is closed."""
    return subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def serve() -> None:
    """Fork a run per line of the input, and answer with its exit status."""
    sys.path.insert(0, str(ROOT / "scripts"))
    main = import_module("snakemake.cli").main
    rules = "".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk")))
    for module in re.findall(r"^from (dissect[\w.]*) import", rules, re.MULTILINE):
        import_module(module)
    import_module("dissect.cells.study").load_study(ROOT, {})  # a clone that edits a file parses it anew
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(**request)
            main()
            sys.exit()
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _become(folder: str, arguments: list[str], environment: dict[str, str], output: str) -> None:
    """Be what a shell would have started."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    streams = [os.open(os.devnull, os.O_RDONLY), os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)]
    for number in range(3):
        os.dup2(streams[number > 0], number)
    for stream in streams:
        os.close(stream)
    sys.argv = ["snakemake", *arguments]
    sys.path[0] = folder
    signal.alarm(LIMIT_S)


if __name__ == "__main__":
    serve()
