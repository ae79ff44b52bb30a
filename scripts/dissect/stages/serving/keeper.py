"""Runs a server and outlives its owner just long enough to end it: keeper.py <options as JSON> <command>...

Started with a pipe as its standard input. Once the other end closes, for a stop or because its owner was killed, the
server's process group gets SIGTERM, and after a grace period every process that ever came from it gets SIGKILL. Orphans
are adopted by this process, so none is out of reach, whatever session or group it made for itself.
"""

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import psutil

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # prctl(2)
_LOOK_S = 0.2
_SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value)


def _become_server(keeper: int) -> None:
    """Make the kernel kill the server if the keeper is killed; runs in the server's process before it starts.

    What the keeper ignores, a program that it starts would ignore too, and SIGTERM could not end it.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != keeper:  # it was killed before the call
        os._exit(1)
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)


class Keeper:
    """One server and all processes that it starts."""

    def __init__(self, command: Sequence[str]) -> None:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        self.server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, process_group=0, preexec_fn=partial(_become_server, os.getpid())
        ).pid
        self.status: int | None = None

    def reap(self) -> None:
        """Reap ended processes, adopted orphans included."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.server:
                self.status = os.waitstatus_to_exitcode(status)

    def watch(self) -> None:
        """Wait until the server has ended or its owner closes the pipe."""
        while self.status is None:
            readable, _, _ = select.select([0], [], [], _LOOK_S)
            if readable and not os.read(0, 1024):
                return
            self.reap()

    def end(self, grace_s: float) -> None:
        """Send SIGTERM, wait, then kill all processes that are left."""
        deadline = time.monotonic() + grace_s
        self._signal_group(signal.SIGTERM)
        while self._left() and time.monotonic() < deadline:
            time.sleep(_LOOK_S / 4)
        while left := self._left():
            self._signal_group(signal.SIGKILL)
            for process in left:
                try:
                    process.kill()
                except psutil.NoSuchProcess:
                    continue
            time.sleep(_LOOK_S / 4)

    def _left(self) -> list[psutil.Process]:
        self.reap()
        return psutil.Process().children(recursive=True)

    def _signal_group(self, number: int) -> None:
        try:
            os.killpg(self.server, number)
        except ProcessLookupError:
            return


def main() -> int:
    """Run the server; returns its exit code, or 128 plus the signal that ended it."""
    options = json.loads(sys.argv[1])
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    try:
        keeper = Keeper(sys.argv[2:])
        try:
            keeper.watch()
        finally:
            keeper.end(options["grace_s"])
    finally:
        for command in options["farewell"]:
            with suppress(OSError):  # where no Docker is, there is no container
                subprocess.run(command, check=False, stdin=subprocess.DEVNULL)
    code = keeper.status or 0
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
