"""Kernels of optimizers and of the norms before them, as bytes that a copy would move meanwhile."""

import pytest

from dissect.base.outcome import Phase
from dissect.config.kinds import TorchOptimizer
from dissect.predict.adamw import MULTI_TENSOR, adamw_work, clip_work
from dissect.predict.gpu_architecture import fp32_lanes
from dissect.predict.rank_work import RankWork
from dissect.predict.step_time import work_of
from factories import finetune_spec, hardware


@pytest.mark.parametrize(("width", "share"), [(2, MULTI_TENSOR), (4, 1)])
def test_kernels_over_many_tensors_are_slower_on_two_bytes(width: int, share: float) -> None:
    sizes = [4096] * 8
    each: dict[TorchOptimizer, float] = {
        "torch_adamw": 7 / share,
        "torch_adamw_foreach": 20 / share,
        "torch_adamw_loop": 20,
    }
    for optimizer, passes in each.items():
        assert _moved(adamw_work(optimizer, sizes, width)) == pytest.approx(passes * width * sum(sizes), rel=1e-3)
    assert _moved(clip_work(sizes, width)) == pytest.approx(3 / share * width * sum(sizes), rel=1e-3)


def _moved(work: RankWork) -> int:
    return sum(moved.size * times for moved, times in work.moved.items())


def test_the_norm_of_zero_2_is_that_of_the_tensors_of_a_rank() -> None:
    counted = [
        _launches_backward(ranks, offload_optimizer=False) - _launches_backward(ranks, offload_optimizer=True)
        for ranks in (1, 2)
    ]
    assert counted == [448 * 10, 448 * 5]


def _launches_backward(ranks: int, **method: bool) -> int:
    work = work_of(finetune_spec(hardware(n_gpus=ranks), zero_stage=2, **method), 1)
    assert work
    return work[Phase.BACKWARD].launches


@pytest.mark.parametrize(
    ("gpu", "lanes"),
    [
        ("NVIDIA H200", 128), ("NVIDIA A800-SXM4-80GB", 64), ("NVIDIA RTX A1000", 128), ("Tesla T4", 64),
        ("NVIDIA GeForce RTX 2080 Ti", 64), ("NVIDIA GeForce RTX 4090", 128),
    ],
)  # fmt: skip
def test_lanes_for_fp32_follow_from_the_name_of_the_gpu(gpu: str, lanes: int) -> None:
    assert fp32_lanes(hardware().model_copy(update={"gpu_model": gpu})) == lanes
