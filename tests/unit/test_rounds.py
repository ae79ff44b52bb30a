"""Rounds: every cell that lacks a run is measured once per pass, and what fails is left out in the end."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from dissect.base.registry import ENGINES
from dissect.cells.cell import Cell, spec_and_key
from dissect.cells.spec import Spec
from dissect.measure.rounds import ATTEMPTS, measure_in_rounds
from dissect.results.result import Round
from dissect.results.store import Store
from factories import measured_at, ok_result, pretrain_spec, serve_spec, serving_metrics

SPECS = {batch: pretrain_spec(batch=batch) for batch in range(1, 6)}


def cell(batch: int, runs: int, name: str = "Naive") -> Cell:
    bare = Cell("pretrain", "h200", "llama2-7b", "deepspeed", name, f"b{batch}", 4, 350, batch, "python", runs=runs)
    canonical, key = spec_and_key(SPECS[batch])
    return replace(bare, canonical=canonical, key=key)


class Bench:
    """Measures by inventing results, and keeps the order."""

    def __init__(self, store: Store, failing: tuple[int, ...] = ()) -> None:
        self.store, self.failing = store, failing
        self.order: list[tuple[int, int]] = []
        """(Round, batch of the cell)."""

    def measure(self, cell: Cell, of: Round) -> bool:
        batch = next(batch for batch in SPECS if cell.workload == f"b{batch}")
        self.order.append((of.number, batch))
        assert of.position == Counter(number for number, _ in self.order)[of.number]
        if batch in self.failing:
            return False
        spec: Spec = SPECS[batch]
        entry = self.store.entry(cell.key or "")
        entry.folder.mkdir(parents=True, exist_ok=True)
        entry.write_run(measured_at(ok_result(spec), entry.count()), [])
        return True


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def rounds(bench: Bench, cells: list[Cell]) -> list[list[int]]:
    """Batches of the cells measured in each round, sorted."""
    list(measure_in_rounds(cells, bench.store, bench.measure))
    last = max((number for number, _ in bench.order), default=0)
    return [sorted(batch for number, batch in bench.order if number == each) for each in range(1, last + 1)]


def test_each_round_takes_what_lacks_a_run(store: Store) -> None:
    bench = Bench(store)
    assert rounds(bench, [cell(1, 3), cell(2, 1), cell(3, 2)]) == [[1, 2, 3], [1, 3], [1]]
    again = Bench(store)
    assert rounds(again, [cell(1, 3), cell(2, 1), cell(3, 2), cell(4, 2)]) == [[4], [4]], "a cell that is new, alone"


def test_fresh_servers_of_all_engines_take_turns(store: Store) -> None:
    cells = []
    for engine in ENGINES:
        canonical, key = spec_and_key(serve_spec(engine=engine))
        bare = Cell(
            "serve", "h200", "llama2-7b", engine, "aligned", "r40", 1, None, None, f"python of {engine}", runs=3
        )
        cells.append(replace(bare, canonical=canonical, key=key))
    order: list[tuple[int, str]] = []

    def measure(cell: Cell, of: Round) -> bool:
        order.append((of.number, cell.framework))
        spec = serve_spec(engine=cell.framework)
        entry = store.entry(cell.key or "")
        entry.folder.mkdir(parents=True, exist_ok=True)
        entry.write_run(measured_at(ok_result(spec, serving_metrics(spec)), entry.count()), [])
        return True

    list(measure_in_rounds(cells, store, measure))
    assert [number for number, _ in order] == sorted([1, 2, 3] * len(ENGINES))
    assert all({engine for each, engine in order if each == number} == {*ENGINES} for number in (1, 2, 3))


def test_cells_of_one_key_are_measured_once(store: Store) -> None:
    assert rounds(Bench(store), [cell(1, 2, "tuned"), cell(1, 2, "aligned")]) == [[1], [1]]


def test_what_fails_is_tried_again_and_stops_nothing(store: Store) -> None:
    bench = Bench(store, failing=(2,))
    assert rounds(bench, [cell(1, 4), cell(2, 4)]) == [[1, 2]] * ATTEMPTS + [[1]] * (4 - ATTEMPTS)


def test_the_order_is_random(store: Store) -> None:
    bench = Bench(store)
    rounds(bench, [cell(batch, 12) for batch in SPECS])
    firsts = {batch for place, (_, batch) in enumerate(bench.order) if place % len(SPECS) == 0}
    assert len(firsts) > 1  # by chance all twelve rounds begin with the same cell once in 5^11 times
