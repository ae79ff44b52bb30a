"""When warm-up and measured window end. The loop itself runs in tests/e2e/test_training_rank.py."""

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from dissect.cells.spec import Sampling
from dissect.ranks.steps import SPANS, no_garbage_collection, warmup_verdict, window_verdict

SAMPLING = Sampling(
    warmup_min_steps=2,
    warmup_max_steps=8,
    min_steps=4,
    max_steps=12,
    interval_target=0.02,
    window_s=30.0,
    budget_s=100.0,
)
PLENTY = 1e6


@pytest.mark.parametrize(
    ("times", "left", "verdict"),
    [
        ([1.0], PLENTY, None),
        ([1.0] * 4, PLENTY, "settled"),
        ([5.0, 1.0, 1.0, 1.0], PLENTY, None),
        ([2.0**-i for i in range(7)], PLENTY, None),
        ([2.0**-i for i in range(8)], PLENTY, "max_steps"),
        ([9.0, 1.0], 7.1, None),  # five steps and the teardown just fit
        ([9.0, 1.0], 6.9, "budget"),
        ([9.0], 0.0, None),  # never before the least steps
    ],
)
def test_warmup(times: list[float], left: float, verdict: str | None) -> None:
    assert warmup_verdict(times, SAMPLING, left) == verdict


@pytest.mark.parametrize(
    ("times", "verdict"),
    [
        ([9.0, 1.0], None),
        ([9.0, 1.0, 1.05], "settled"),  # two steps that agree
        ([9.0, 1.0, 1.3, 1.0], None),
        ([9.0, 1.0, 1.3, 1.0, 1.3], "settled"),  # two pairs that agree, though steps jump
        ([9.0, 1.0, 0.8, 0.7], None),  # it still gets faster
    ],
)
def test_the_warmup_of_training_ends_early(times: list[float], verdict: str | None) -> None:
    assert warmup_verdict(times, SAMPLING, PLENTY, SPANS) == verdict


@pytest.mark.parametrize(
    ("times", "left", "verdict"),
    [
        ([1.0] * 3, PLENTY, None),
        ([1.0] * 4, PLENTY, None),  # narrow, but four samples make no 95 % interval
        ([1.0] * 6, PLENTY, "interval"),
        ([1.0, 2.0] * 3, PLENTY, None),
        ([1.0, 2.0] * 6, PLENTY, "max_steps"),
        ([7.0, 9.0, 7.0, 7.0], PLENTY, "window"),
        ([10.0, 11.0, 12.0], PLENTY, None),  # never before the least steps
        ([1.0, 2.0] * 2, 6.1, None),
        ([1.0, 2.0] * 2, 5.9, "budget"),
        ([1.0, 2.0, 1.0], 0.0, None),  # the parent's timeout ends what cannot reach the least steps
        ([1.0] * 6, 0.0, "interval"),
    ],
)
def test_window(times: list[float], left: float, verdict: str | None) -> None:
    assert window_verdict(times, SAMPLING, left) == verdict


def test_garbage_collector_is_off_inside_only() -> None:
    with no_garbage_collection():
        assert not gc.isenabled()
        assert gc.get_freeze_count() > 0
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_measuring_code_imports_without_torch() -> None:
    runners = "dissect.stages.training.deepspeed.pretrain, dissect.stages.training.deepspeed.finetune"
    modules = f"dissect.ranks.steps, {runners}, dissect.workloads.llama"
    scripts = Path(__file__).parents[2] / "scripts"
    check = f"import sys; sys.path.insert(0, {str(scripts)!r}); import {modules}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True)
