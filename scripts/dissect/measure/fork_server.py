"""The server side of forked runs: a process that has imported the libraries, and forks one run after the other.

It reads a request per line from its standard input, a JSON list of the run's arguments, and answers each with a line on
what was its standard output. It ends with its standard input, so at the latest with the process that started it. There
is no socket that others could reach. Python's own ``multiprocessing.forkserver`` would have to be started by the
interpreter of the environment, which lacks the libraries of the workflow.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TextIO

from dissect.measure.child import ENDING, in_child
from dissect.measure.preload import code_state, why_unfit

Arguments = Sequence[str]


def serve(prepare: Callable[[Arguments], None], measure: Callable[[Arguments], int]) -> None:
    """Measure each run that is asked for in a forked process; ``prepare`` imports, by the arguments of the first run.

    Stops at a request that it must not serve: the code changed since, or forking is not safe.
    """
    libraries = list(sys.path)  # what is imported may add to it
    known = code_state(libraries)
    requests, replies = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w", buffering=1)
    _detach()
    prepared = False
    for line in requests:
        arguments = json.loads(line)
        if not prepared:
            prepare(arguments)
            prepared = True
        if reason := ("the code or its libraries changed" if code_state(libraries) != known else why_unfit()):
            replies.write(json.dumps({"refused": reason}) + "\n")
            return
        status = in_child(partial(_run, measure, arguments, requests, replies))
        replies.write(json.dumps({"status": status}) + "\n")


def _run(measure: Callable[[Arguments], int], arguments: Arguments, *pipes: TextIO) -> int:
    """One run, in the forked process."""
    for pipe in pipes:
        os.close(pipe.fileno())
    if (drawn := sys.modules.get("numpy.random")) is not None:
        drawn.seed()  # Python's own generator seeds itself anew after a fork, NumPy's does not
    return measure(arguments)


def _detach() -> None:
    """Keep the pipes from what is forked, and end quietly at a signal that comes between two runs."""
    with Path(os.devnull).open() as null:
        os.dup2(null.fileno(), 0)
    os.dup2(2, 1)
    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, signal.SIG_DFL)
