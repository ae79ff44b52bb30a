"""GPUs that others leave before a cell starts, and what counts as idle."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from dissect.machine import vendor
from dissect.machine.gpus import GpuInfo
from dissect.machine.idle import in_the_way
from dissect.machine.node import look_at_node, taken
from factories import GIB, hardware

Looks = Callable[..., list[float]]


def gpu(used_gib: float, card_gib: int = 140) -> GpuInfo:
    return GpuInfo(
        index=0, name="NVIDIA H200", uuid="GPU-0", driver="580", memory_bytes=card_gib * GIB, power_limit_w=None,
        links={}, pids=frozenset(), used_bytes=int(used_gib * GIB),
    )  # fmt: skip


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    """Lets every GPU have these GiB in use, look by look, then the last of them; returns when it was looked at."""

    def found(*used_gib: float) -> list[float]:
        times: list[float] = []

        def find_gpus() -> list[GpuInfo]:
            times.append(time.monotonic())
            return [gpu(used_gib[min(len(times), len(used_gib)) - 1])]

        cuda = replace(vendor.vendors()["cuda"], find_gpus=find_gpus)
        monkeypatch.setattr(vendor, "vendors", lambda: {"cuda": cuda})
        return times

    return found


@pytest.mark.parametrize(
    ("card", "budget", "used", "held"),
    [
        (16, 16, 0.95, False),  # what the driver keeps of a small card
        (16, 16, 1.05, True),
        (140, 140, 6.9, False),
        (140, 140, 7.1, True),
        (140, 24, 2.0, True),  # off what a process may use
        (100, 108, 5.1, True),  # a datasheet that rounds
    ],
)
def test_one_rule_says_when_others_have_memory_of_a_gpu(card: int, budget: int, used: float, held: bool) -> None:
    found = gpu(used, card)
    assert bool([*taken([found], budget * GIB)]) is held
    assert bool(in_the_way(found, budget * GIB)) is held


def test_what_others_have_goes_off_the_budget_of_a_held_platform(looks: Looks) -> None:
    looks(2.0)
    whole = hardware(n_gpus=1)
    held = whole.model_copy(update={"device_memory_bytes": 24 * GIB, "card_memory_bytes": 140 * GIB})
    assert [[*look_at_node(on).held] for on in (whole, held)] == [[], ["GPU 0 has 2.0 GiB of its memory in use"]]
