"""Fixtures that every kind of test shares."""

import signal
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer

from clones import copy_configuration
from groups import GroupScheduling

# What a shell starts in the background ignores SIGINT, and so would all that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A loaded machine is slow, not wrong.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests that take longest to the end: what is wrong elsewhere shows first."""
    items.sort(key=lambda item: item.get_closest_marker("slurm") is not None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> GroupScheduling | None:
    """For ``--dist loadgroup``: pytest-xdist 3.8 cannot tell groups under pytest 9.2, all its other ways work."""
    return GroupScheduling(config, log) if config.getvalue("dist") == "loadgroup" else None


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the configuration alone: enough to resolve, to be broken by the test."""
    folder = tmp_path / "project"
    copy_configuration(folder)
    return folder
