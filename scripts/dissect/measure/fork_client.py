"""The client side of forked runs: starts a fork server, and asks it for one run after the other."""

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from dissect.ranks.parent_death import die_with

_GOES_S = 10.0
"""What a server gets to end by itself once nobody asks any more."""


class ServerLost(RuntimeError):
    """A fork server measured nothing, or died while it did; the message says why."""


class ForkServer:
    """A fork server that this process started; it ends with this process, however that ends."""

    def __init__(self, program: Sequence[str]) -> None:
        self.process = subprocess.Popen(
            [*program, "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=partial(die_with, os.getpid()),
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._requests, self._replies = self.process.stdin, self.process.stdout

    def measure(self, arguments: Sequence[str]) -> int:
        """Exit status of one run.

        Raises:
            ServerLost: the server refused, or it has ended.
        """
        with suppress(BrokenPipeError):  # its end shows below
            self._requests.write(json.dumps(list(arguments)).encode() + b"\n")
            self._requests.flush()
        answer = self._replies.readline()
        if not answer.endswith(b"\n"):
            raise ServerLost(f"it ended ({_how(self.process.wait())})")
        reply = json.loads(answer)
        if "refused" in reply:
            raise ServerLost(reply["refused"])
        return int(reply["status"])

    def close(self) -> None:
        """End the server."""
        with suppress(BrokenPipeError):
            self._requests.close()
        try:
            self.process.wait(_GOES_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._replies.close()


def _how(status: int) -> str:
    return f"exit status {status}" if status >= 0 else signal.Signals(-status).name
