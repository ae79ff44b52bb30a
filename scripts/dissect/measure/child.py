"""A process per run: what one run imported or left behind reaches no other."""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Never

from dissect.ranks.parent_death import die_with

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that ask a process to end."""


def in_child(measure: Callable[[], int]) -> int:
    """Exit status of a call in a forked process, which ends with this one; signals that ask to end go on to it."""
    sys.stdout.flush()  # what is left in the buffers would be written by both
    sys.stderr.flush()
    parent, child = os.getpid(), os.fork()
    if child == 0:
        die_with(parent)
        end(measure())

    def hand_on(number: int, _: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, number)

    before = {number: signal.getsignal(number) for number in ENDING}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:  # as under nohup
            signal.signal(number, hand_on)
    try:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return status if status >= 0 else 128 - status


def end(status: int) -> Never:
    """End this process at once: the libraries' exit handlers take seconds and have nothing to say."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
