"""The measuring process during an attempt: its output goes to the log, and signals end it in order."""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from types import FrameType

from dissect.measure.child import ENDING


class Interrupted(BaseException):
    """A signal asked the parent to end; the ranks end with it."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.number = number


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """Turn the first signal that asks to end into :class:`Interrupted`, and ignore the next ones meanwhile.

    Once the call that it yields was made, a signal takes effect only at the end of the block. Signals that the caller
    had ignored (``nohup``) stay so.
    """
    numbers = [n for n in ENDING if signal.getsignal(n) != signal.SIG_IGN]
    finishing, late = False, 0

    def finish() -> None:
        nonlocal finishing
        finishing = True

    def interrupt(number: int, _: FrameType | None) -> None:
        nonlocal late
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        late = number
        if not finishing:
            raise Interrupted(number)

    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield finish
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if late:
        raise Interrupted(late)


@contextmanager
def output_to(log: Path, attempt: int) -> Iterator[None]:
    """Send what this process and its children print to the log, where earlier attempts are kept."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with log.open("ab") as file:
        file.write(f"=== attempt {attempt}, {datetime.now(UTC).isoformat(timespec='seconds')}\n".encode())
        file.flush()
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a killed rank must not take its last lines with it
    try:
        yield
    except Exception:
        with suppress(OSError):  # the log's disk may be full
            traceback.print_exc()
        raise
    finally:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        for number, descriptor in zip((1, 2), saved, strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)
