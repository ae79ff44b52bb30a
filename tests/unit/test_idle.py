"""GPUs that others leave before a cell starts, and what counts as idle."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dissect.base.outcome import Flag, Status
from dissect.cells.site import VARIABLE, ServingSite
from dissect.cells.spec import Software
from dissect.machine import lease, vendor
from dissect.machine.gpus import GpuInfo
from dissect.machine.idle import LEAVING_S, WAIT_S, in_the_way, look_once_free
from dissect.machine.node import Node, look_at_node, taken
from dissect.measure import life, preload
from dissect.ranks.measurement import Measurement
from dissect.results.store import Store
from dissect.stages.serving.measure import ServingCell, measure_server
from factories import GIB, hardware, operator_spec, serve_spec

HELD = "GPU 0 has 130.0 GiB of its memory in use"
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


def test_idle_gpus_are_looked_at_once(looks: Looks) -> None:
    times = looks(0.5)
    assert look_once_free(hardware(n_gpus=1)).held == []
    assert len(times) == 1


def test_a_cell_starts_in_the_end_with_what_others_have(looks: Looks) -> None:
    looks(130.0)
    assert look_once_free(hardware(n_gpus=1), limit_s=0.1).held == [HELD]


def test_a_cell_waits_while_the_one_before_it_leaves(
    looks: Looks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = looks(130.0, 130.0, 0.5)  # for the lease, before the launch, a second later
    monkeypatch.setattr(lease, "FOLDER", tmp_path / "gpus")
    monkeypatch.setattr(lease, "shown_gpus", lambda *_: {})
    monkeypatch.setattr(preload, "set_environment", lambda _: None)
    nodes: list[Node] = []

    def note(*given: Any) -> Measurement:
        nodes.append(given[3])
        return Measurement(Status.OK)

    monkeypatch.setattr(life, "_run", note)
    spec, store = operator_spec("square").model_copy(update={"software": Software()}), Store(tmp_path)
    life._decide_or_run(spec, store, store.entry("0" * 12), "python")
    assert [[*node.held] for node in nodes] == [[]]
    assert len(times) == 3


def test_a_server_that_waited_for_idle_gpus_has_them_alone(
    looks: Looks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks(130.0, 0.5)
    site = ServingSite(checkpoints="checkpoints", keep_checkpoints=True, command="server")
    monkeypatch.setenv(VARIABLE, site.model_dump_json())
    monkeypatch.setattr(ServingCell, "measure", lambda cell: cell._seen([(cell.watch.start, time.monotonic())]))
    spec = serve_spec(hardware(n_gpus=1))
    before = look_at_node(spec.hardware)
    assert before.held == [HELD]
    seen = measure_server(spec, before, tmp_path)
    assert Flag.OTHER_PROCESSES not in seen.flags
    assert "before the launch" not in seen.other_processes


def test_the_documentation_says_how_long_cells_wait() -> None:
    page = (Path(__file__).parents[2] / "docs/metrics.md").read_text()
    assert f"waits up to {LEAVING_S:g} s for those that are leaving, a server up to {WAIT_S:g} s" in page
