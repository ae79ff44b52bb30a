"""Predicted memory against numbers worked out by hand, and against every shipped measurement."""

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, median
from typing import Any

import pytest

from dissect.base.outcome import Phase, Status
from dissect.base.units import GIB, MIB
from dissect.cells.frameworks import state_bytes
from dissect.cells.spec import TrainingSpec
from dissect.metrics.profile import ProfileMetrics
from dissect.metrics.training import TrainingMetrics
from dissect.predict.allocator import pinned, segment
from dissect.predict.memory import MemoryPrediction, predict_memory
from dissect.predict.outlook import OUTSIDE_BYTES, Outlook, fits, largest_batch, outlook
from dissect.results.cell_runs import read_runs
from factories import (
    LLAMA_13B,
    ddp_spec,
    finetune_spec,
    fsdp_finetune_spec,
    fsdp_spec,
    hardware,
    megatron_spec,
    pretrain_spec,
)

P = 6_738_415_616
WORKSPACES = 2 * 32 * MIB
REFERENCES = Path(__file__).parents[2] / "config/references"


def predicted(spec: TrainingSpec, batch: int | None = None) -> MemoryPrediction:
    prediction = predict_memory(spec, batch)
    assert prediction is not None
    return prediction


def part(prediction: MemoryPrediction, name: str) -> int:
    return sum(part.size for part in prediction.parts if part.name == name)


def test_zero_2_peaks_where_gradients_are_flattened_and_cast() -> None:
    # bf16 weights; on each of two ranks half of fp32 weights, moments and bf16 gradients; then these flat, and in fp32.
    # The boundary of the halves cuts a matrix of 4096 x 4096, all of whose gradient the first rank keeps.
    found = predicted(pretrain_spec(hardware(n_gpus=2), zero_stage=2))
    cut = 2 * 4096**2 - 4096
    assert found.phase is Phase.OPTIMIZER
    assert found.peak_bytes == 2 * P + (12 + 2 + 2 + 4) * P // 2 + cut + WORKSPACES


def test_plain_data_parallel_casts_every_gradient_twice() -> None:
    assert predicted(pretrain_spec()).peak_bytes == (2 + 12 + 2 + 4 + 4) * P + WORKSPACES


def test_ddp_holds_buckets_beside_gradients_unless_they_are_views() -> None:
    copies, views = (predicted(ddp_spec(gradient_bucket_view=views)) for views in (False, True))
    assert copies.phase is Phase.BACKWARD
    assert part(copies, "buckets of gradients") == part(copies, "gradients") == 2 * P
    assert part(views, "gradients") == 0


def test_recomputation_keeps_the_inputs_of_layers_alone() -> None:
    plain, recomputed = (predicted(ddp_spec(batch=8, gradient_bucket_view=True, recompute=r)) for r in (False, True))
    assert part(recomputed, "activations") < part(plain, "activations") / 2


def test_flash_attention_needs_no_scores() -> None:
    def activations(kernel: str, seq_len: int) -> int:
        return part(predicted(fsdp_spec(attention=kernel, seq_len=seq_len)), "activations")

    by_length = {kernel: [activations(kernel, n) for n in (4000, 8000)] for kernel in ("eager", "sdpa_flash")}
    assert by_length["eager"][1] > 2.5 * by_length["eager"][0]
    assert by_length["sdpa_flash"][1] == pytest.approx(2 * by_length["sdpa_flash"][0], rel=0.02)


@pytest.mark.parametrize("framework", [pretrain_spec, megatron_spec, ddp_spec, fsdp_spec])
def test_more_sequences_never_need_less(framework: Any) -> None:
    peaks = [predicted(framework(), batch).peak_bytes for batch in (1, 2, 4, 8, 16, 32)]
    assert peaks == sorted(peaks)
    assert peaks[-1] > peaks[0]


@pytest.mark.parametrize(
    "spec",
    [
        *(pretrain_spec(zero_stage=stage, states=states) for stage in (0, 2, 3) for states in ("fp32_master", "bf16")),
        *(pretrain_spec(zero_stage=stage, offload_optimizer=True, offload_parameters=stage == 3) for stage in (2, 3)),
        *(ddp_spec(states=states) for states in ("fp32_master", "bf16")),
        *(fsdp_spec(states=states, cpu_offload=cpu) for states in ("fp32_master", "bf16") for cpu in (False, True)),
        *(fsdp_finetune_spec(quantization=base) for base in ("none", "nf4")),
        *(finetune_spec(quantization=base, zero_stage=stage) for base in ("none", "nf4") for stage in (0, 3)),
        *(megatron_spec(tensor_parallel=degree, pipeline_parallel=4 // degree) for degree in (1, 2, 4)),
        megatron_spec(distributed_optimizer=True, layer_spec="transformer_engine", attention="flash_attention_2"),
    ],
    ids=lambda spec: f"{spec.framework} {spec.method}",
)
def test_a_prediction_is_above_the_proven_bound(spec: TrainingSpec) -> None:
    found = predicted(spec)
    assert state_bytes(spec) < found.peak_bytes
    assert 0 < found.low_bytes < found.peak_bytes < found.high_bytes


def test_offloading_moves_states_to_pinned_memory_of_the_host() -> None:
    here, there = (predicted(pretrain_spec(zero_stage=2, offload_optimizer=offloads)) for offloads in (False, True))
    assert here.host_bytes == 0
    assert there.peak_bytes < here.peak_bytes - 12 * P // 4
    share = P // 4
    assert there.host_bytes == 4 * (2 * pinned(4 * share) + 8 * share + pinned(2 * share) + pinned(2 * 32000 * 4096))


def test_blocks_of_both_allocators() -> None:
    assert [pinned(size) for size in (0, 1, 2, 3, 1025)] == [0, 1, 2, 4, 2048]
    assert segment(33 * MIB + 768 * 1024) == 34 * MIB  # too little is left to be a block of its own
    assert segment(12 * MIB + 512 * 1024) == 12 * MIB + 512 * 1024
    assert segment(700) == 1024


def test_what_cannot_be_predicted_is_not() -> None:
    assert predict_memory(pretrain_spec(hardware(device="cpu"))) is None
    assert predict_memory(pretrain_spec(batch="max")) is None
    assert predict_memory(ddp_spec(compile_layers=True)) is None
    assert predicted(pretrain_spec(batch="max"), batch=2).batch == 2


def measured() -> Iterator[tuple[TrainingSpec, TrainingMetrics | None]]:
    """Every shipped training cell; no metrics where it ran out of memory."""
    for path in sorted(REFERENCES.rglob("*.json")):
        run = read_runs(path).newest
        metrics = run.metrics.training if isinstance(run.metrics, ProfileMetrics) else run.metrics
        if isinstance(run.spec, TrainingSpec) and (run.status is Status.OOM or isinstance(metrics, TrainingMetrics)):
            yield run.spec, metrics if isinstance(metrics, TrainingMetrics) else None


def test_shipped_measurements() -> None:
    errors, covered, out, too_large = [], [], [], []
    for spec, metrics in measured():
        found = predict_memory(spec, metrics.batch if metrics else None)
        if found is None:
            assert spec.method.compile_layers
            continue
        if metrics is None:
            out.append(not fits(found, spec.hardware))
            continue
        if not fits(found, spec.hardware):
            too_large.append((spec.framework, spec.hardware.gpu_model, metrics.batch))
        errors.append(abs(found.peak_bytes / metrics.peak_memory_bytes - 1))
        covered.append(found.low_bytes <= metrics.peak_memory_bytes <= found.high_bytes)
    assert not too_large
    assert len(errors) >= 90
    assert median(errors) < 0.002
    assert max(errors) < 0.05
    assert 0.9 <= fmean(covered) <= 0.99
    assert len(out) >= 16
    assert all(out)


def test_the_largest_batch_is_the_last_that_fits() -> None:
    spec = pretrain_spec(hardware(n_gpus=8), batch="max", zero_stage=3)
    found = largest_batch(spec)
    assert found is not None
    assert 1 < found.low <= found.expected <= found.high
    fitting = [fits(predicted(spec, found.expected + more), spec.hardware) for more in (0, 1)]
    assert fitting == [True, False]
    said = [outlook(predicted(spec, batch), spec.hardware) for batch in (found.low, found.low + 1)]
    assert said == [Outlook.FITS, Outlook.CLOSE]
    said = [outlook(predicted(spec, batch), spec.hardware) for batch in (found.high, found.high + 1)]
    assert said == [Outlook.CLOSE, Outlook.RUNS_OUT]
    assert largest_batch(pretrain_spec(batch="max", model=LLAMA_13B)) == (0, 0, 0)
    assert largest_batch(pretrain_spec(hardware(device="cpu"), batch="max")) is None


def test_the_outlook_leaves_room_for_what_is_not_known() -> None:
    spec = ddp_spec(batch=1)
    peak = predicted(spec).peak_bytes

    def on(memory: float, **changes: Any) -> Outlook:
        card = spec.hardware.model_copy(update={"device_memory_bytes": int(memory), **changes})
        return outlook(predicted(spec), card)

    assert on(1.2 * peak + OUTSIDE_BYTES) is Outlook.FITS
    assert on(1.05 * peak + OUTSIDE_BYTES) is Outlook.CLOSE
    assert on(1.02 * peak + OUTSIDE_BYTES) is Outlook.RUNS_OUT
    assert on(1.02 * peak + OUTSIDE_BYTES, card_memory_bytes=2 * peak) is Outlook.RUNS_OUT  # as on a smaller card


def test_too_little_memory_of_the_host_shows() -> None:
    spec = pretrain_spec(zero_stage=2, offload_optimizer=True)
    host = predicted(spec).host_bytes
    at = [spec.hardware.model_copy(update={"host_memory_bytes": int(share * host)}) for share in (1.01, 0.99)]
    assert [outlook(predicted(spec), hardware) for hardware in at] == [Outlook.FITS, Outlook.RUNS_OUT]


def test_what_the_docs_say_of_ddp_and_fsdp2() -> None:
    # docs/metrics.md: on an H100 AdamW by foreach takes 9.6 GiB more than the fused one, with views of buckets.
    fused, foreach = (
        predicted(ddp_spec(hardware("NVIDIA H100 80GB HBM3", 1), gradient_bucket_view=True, optimizer=kind)).peak_bytes
        for kind in ("torch_adamw", "torch_adamw_foreach")
    )
    assert (foreach - fused) / GIB == pytest.approx(9.6, abs=0.05)
    # docs/gpus.md: a plain loop over FSDP2, resharded after the forward pass, peaks at 51.4 GiB on two H200.
    assert predicted(fsdp_spec(hardware(n_gpus=2))).peak_bytes / GIB == pytest.approx(51.4, rel=0.005)


def test_equal_parts_of_specs_are_computed_once() -> None:
    from dissect.predict.llama_operators import _footprint

    _footprint.cache_clear()
    for stage in (0, 2, 3):
        predicted(pretrain_spec(model=LLAMA_13B.model_copy(), zero_stage=stage))
    assert _footprint.cache_info().misses == 2  # a layer, and what follows the last
