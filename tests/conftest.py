"""Fixtures that every kind of test shares."""

import shutil
import signal
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parents[1]


# What a shell starts in the background ignores SIGINT, and so would all that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A loaded machine is slow, not wrong.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests that take longest to the end, and keep those together that must not run side by side.

    In parallel runs (``--dist loadgroup``) one process takes all tests of a group, one after the other.
    """
    items.sort(key=lambda item: item.get_closest_marker("slurm") is not None)
    for item in items:
        for marker in ("e2e", "browser"):
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.xdist_group(marker))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the configuration alone: enough to resolve, to be broken by the test."""
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "config", folder / "config")
    for shipped in (folder / "config/references").glob("*/"):  # tests bring their own reference results
        shutil.rmtree(shipped)
    for lock in ROOT.glob("envs/*/requirements.txt"):
        target = folder / lock.relative_to(ROOT)
        target.parent.mkdir(parents=True)
        shutil.copy(lock, target)
    return folder
