"""The GPUs of a machine, each lent to one cell at a time, so that cells may be measured side by side."""

import fcntl
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from dissect.cells.spec import Hardware
from dissect.machine.gpus import NoGpus, within
from dissect.machine.vendor import shown_gpus, vendor_of
from dissect.results.lock_file import is_held

FOLDER = Path(tempfile.gettempdir()) / f"llm-dissect-gpus-{os.getuid()}"
"""One lock per GPU, for all clones of this user on this machine; other users are seen by way of the driver."""
_LOOK_S = 0.5
_LOG = logging.getLogger(__name__)


@contextmanager
def own_gpus(hardware: Hardware) -> Iterator[list[str]]:
    """Leave this process, and whatever it starts, only GPUs that no other cell uses; yields the UUIDs of all."""
    try:
        found = vendor_of(hardware).find_gpus()
    except NoGpus:
        found = []
    with leased([gpu.uuid for gpu in found], hardware.n_gpus // hardware.n_nodes) as places:
        if found:
            os.environ.update(shown_gpus(hardware, [found[place].index for place in places]))
        yield [gpu.uuid for gpu in found]


@contextmanager
def own_host(device: str, alone: bool) -> Iterator[None]:
    """Share this host with the other cells of GPUs, or have it ``alone``; waits for those that are in the way.

    A server needs cores as much as GPUs, so none shares them with another cell: all servers have the same. A process
    that may use only some of the cores, as in a job of a batch system, has its share already and waits for nobody.
    """
    if device == "cpu" or len(os.sched_getaffinity(0)) < (os.cpu_count() or 1):
        yield
        return
    with host_lock(FOLDER.with_name(f"{FOLDER.name}-host"), alone):
        yield


@contextmanager
def host_lock(path: Path, alone: bool) -> Iterator[None]:
    """The lock of a host, together with others or ``alone``; the kernel gives it back however its holder ends."""
    with path.open("ab") as file:
        waited = False
        while True:
            try:
                fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waited:
                    _LOG.info("waiting for other cells on this host: a server has it alone")
                waited = True
                time.sleep(_LOOK_S)
        yield


@contextmanager
def leased(names: Sequence[str], count: int, folder: Path = FOLDER) -> Iterator[list[int]]:
    """Places in ``names`` of the first ``count`` that nobody holds, or of all where there are fewer; waits for them.

    The kernel gives each back once this process and every rank that it forked have ended, however they ended.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    wanted, waited = min(count, len(names)), False
    while True:
        with ExitStack() as held:
            places: list[int] = []
            for place, name in enumerate(names):
                if len(places) < wanted and _take(held, folder / name):
                    places.append(place)
            if len(places) == wanted:
                yield places
                return
        # Those that were free are given back meanwhile: two cells that wait for each other's GPUs would deadlock.
        if not waited:
            _LOG.info("waiting for %d of %d GPUs that other cells use", wanted - len(places), wanted)
        waited = True
        time.sleep(_LOOK_S)


class Lent(NamedTuple):
    """How many GPUs other cells had at one moment."""

    at: float
    """CLOCK_MONOTONIC."""
    gpus: int


@dataclass
class Neighbours:
    """A watcher that counts the GPUs which this host lends to other cells meanwhile."""

    own: Sequence[str]
    """Names of the GPUs that this cell has."""
    folder: Path = FOLDER
    seen: list[Lent] = field(default_factory=list)

    def look(self, _: Sequence[int]) -> None:
        """Count them now."""
        others = (path for path in self.folder.glob("*") if path.name not in self.own and path.is_file())
        self.seen.append(Lent(time.monotonic(), sum(map(is_held, others))))

    def close(self) -> None:
        """Do nothing: this watcher holds no resource."""

    def most(self, start: float, end: float) -> int:
        """The most that were lent at any look between two moments, or at the nearest where there was none."""
        return max((lent.gpus for lent in within(self.seen, start, end)), default=0)


def _take(held: ExitStack, path: Path) -> bool:
    """Lock a GPU until the stack is closed; False if another process has it."""
    file = held.enter_context(path.open("wb"))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
