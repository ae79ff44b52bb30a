"""Real steps of a tiny Llama, with DeepSpeed and PyTorch DDP, under torch.profiler, taken apart."""

import csv
import io
import time
from collections import Counter
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

pytest.importorskip("torch")

from dissect.base.outcome import Phase, Status
from dissect.cells.spec import ModelArchitecture, ProfileWorkload, Sampling, TrainingSpec
from dissect.machine.node import Node
from dissect.metrics.profile import Dissection
from dissect.ranks.attempt import Attempt, run_attempt
from dissect.ranks.trace import read_trace
from dissect.stages.profile import dissection, ranges
from dissect.stages.profile import recording as runner
from dissect.stages.profile.dissection import check_complete, dissect
from dissect.stages.training.ddp.spec import DdpProfileSpec
from dissect.stages.training.deepspeed.spec import ProfileSpec
from factories import ddp_spec, hardware, pretrain_spec

pytestmark = [pytest.mark.e2e, pytest.mark.torch]

WIDE = ModelArchitecture(
    vocab_size=512, hidden_size=256, intermediate_size=688, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=4, max_position_embeddings=256, rms_norm_eps=1e-5, rope_theta=10000.0,
)  # fmt: skip
STEPS = 2
SAMPLING = Sampling(warmup_min_steps=2, warmup_max_steps=3, min_steps=3, max_steps=3, budget_s=120.0)


def profile_spec(batch: int = 8, framework: str = "deepspeed", **method: Any) -> TrainingSpec:
    factory, kind = {"deepspeed": (pretrain_spec, ProfileSpec), "ddp": (ddp_spec, DdpProfileSpec)}[framework]
    on = hardware(n_gpus=2, device="cpu").model_copy(update={"device_memory_bytes": 4 << 30})
    spec = factory(on, batch=batch, seq_len=128, model=WIDE, **({"optimizer": "torch_adamw"} | method))
    workload = ProfileWorkload(**spec.workload.model_dump() | {"dtype": "fp32"}, profiled_steps=STEPS)
    fields = spec.model_dump() | {"stage": "profile", "workload": workload, "sampling": SAMPLING}
    return kind.model_validate(fields)


def run(spec: TrainingSpec) -> Attempt:
    runner.import_libraries(spec)
    runner.prepare(spec)
    with TemporaryDirectory() as folder:
        node = Node("not looked at", None)
        deadline = time.monotonic() + 120
        return run_attempt(spec, partial(runner.run_rank, spec), node, Path(folder) / "ranks", deadline, "")


METHODS: dict[str, dict[str, Any]] = {
    "Naive": {},
    "R": {"recompute": True},
    "F": {"attention": "sdpa_flash"},
    "Z3": {"zero_stage": 3},
    "Z3+ZT": {
        "zero_stage": 3,
        "stage3_sizes": {"reduce_bucket": 5_000, "prefetch": 50_000, "persistence": 1_000, "whole_layers": True},
    },
    "DDP": {"framework": "ddp"},
    "DDP, BV": {"framework": "ddp", "gradient_bucket_view": True},
}


@cache
def profiled(method: str) -> tuple[Dissection, Attempt]:
    attempt = run(profile_spec(**METHODS[method]))
    assert attempt.ending.status is Status.OK, attempt.ending.reason
    return Dissection.model_validate_json(attempt.ending.reports[0].findings["dissection"]), attempt


def kernels(method: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(profiled(method)[1].files["kernels.csv"].decode())))


def products(method: str, direction: str) -> dict[str, int]:
    """Part -> matrix products per step."""
    found = Counter[str]()
    for row in kernels(method):
        if row["name"] in ("aten::mm", "aten::bmm") and row["direction"] == direction:
            found[row["part"]] += int(row["count"]) // STEPS
    return dict(found)


def products_of(passes: int, layers: int = WIDE.num_hidden_layers) -> dict[str, int]:
    """What the architecture asks for: ``passes`` products per weight, and as many per product of the attention."""
    weights = {"qkv": 3, "output_projection": 1, "gate": 1, "up": 1, "down": 1, "scores": 1, "weighted_values": 1}
    return {part: passes * layers * count for part, count in weights.items()} | {"head": passes}


@pytest.mark.parametrize("method", METHODS)
def test_a_profile_is_complete(method: str) -> None:
    dissection, attempt = profiled(method)
    check_complete(dissection)
    assert dissection.source == "operators"
    first, second = attempt.ending.reports
    assert len(first.findings["profiled_step_times_s"]) == len(second.findings["profiled_step_times_s"]) == STEPS
    assert len(first.step_times_s) == 3, "measured without the profiler, before it"
    step = sum(first.findings["profiled_step_times_s"]) / STEPS
    # The clock starts just before the range of the step, and stops just behind it.
    assert sum(each.overall_s for each in dissection.phases) == pytest.approx(step, rel=0.05)
    assert "trace.json.gz" not in attempt.files


@pytest.mark.parametrize("method", METHODS)
def test_every_module_has_a_forward_and_a_backward_time(method: str) -> None:
    dissection, _ = profiled(method)
    known = {(part.part, part.direction): part.time_s for part in dissection.parts}
    core = {"attention_kernel"} if method == "F" else {"scores", "softmax", "weighted_values"}
    modules = core | {"embedding", "qkv", "rope", "output_projection", "gate", "up", "silu", "down", "rms_norm", "loss"}
    for direction in ("forward", "backward"):
        assert {part for part, each in known if each == direction} >= modules
    assert all(time > 0 for time in known.values())
    for phase in dissection.phases:
        parts = sum(part.time_s for part in dissection.parts if part.phase is phase.phase)
        assert parts == pytest.approx(phase.compute_s)
        assert phase.busy_s <= phase.overall_s


@pytest.mark.parametrize("method", ["Naive", "R", "Z3", "DDP", "DDP, BV"])
def test_matrix_products_stand_where_the_architecture_has_them(method: str) -> None:
    # The gradient of a product takes two; so they tell whether backward work finds its module.
    assert products(method, "forward") == products_of(1) | {"rope": 1}  # the angles, once
    assert products(method, "backward") == products_of(2)
    # The last product of each layer is not needed again: it is begun, and cut short before it computes.
    recomputed = {part: n for part, n in products_of(1).items() if part != "head"}
    assert products(method, "recomputation") == (recomputed if method == "R" else {})


def test_recomputation_is_a_part_of_the_backward_phase() -> None:
    phases = {phase.phase: phase for phase in profiled("R")[0].phases}
    assert 0 < phases[Phase.BACKWARD].recomputation_s < phases[Phase.BACKWARD].compute_s
    assert phases[Phase.FORWARD].recomputation_s == phases[Phase.OPTIMIZER].recomputation_s == 0
    assert all(phase.recomputation_s == 0 for phase in profiled("Naive")[0].phases)


@pytest.mark.parametrize("method", ["Naive", "DDP"])
def test_communication_is_apart_from_compute(method: str) -> None:
    communicating = {row["name"] for row in kernels(method) if row["part"] == "communication"}
    assert any("all_reduce" in name for name in communicating)
    phases = {phase.phase: phase for phase in profiled(method)[0].phases}
    assert phases[Phase.BACKWARD].communication_exposed_s > 0
    forward = {row["name"] for row in kernels(method) if (row["part"], row["phase"]) == ("communication", "forward")}
    # DDP sends the model's buffers, the frequencies of the rotary embedding, from rank 0 to the others in every step.
    assert all("broadcast" in name for name in forward)
    assert bool(forward) is (method == "DDP") is (phases[Phase.FORWARD].communication_exposed_s > 0)


def test_without_ranges_it_is_invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "_LAYER", {})
    monkeypatch.setattr(ranges, "_MODEL", {})
    ending = run(profile_spec()).ending
    assert ending.status is Status.INVALID
    assert "of the kernel time belongs to a part of the model, at least 95% must" in str(ending.reason)


def test_the_trace_stays_on_request(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(runner.KEEP_TRACE, "1")
    monkeypatch.setattr(dissection, "LEAST_ATTRIBUTED", 0.0)  # how much is attributed depends on the machine's load
    attempt = run(profile_spec())
    path = tmp_path / "trace.json.gz"
    path.write_bytes(attempt.files["trace.json.gz"])
    again, _ = dissect(read_trace(path), "operators")
    assert again == Dissection.model_validate_json(attempt.ending.reports[0].findings["dissection"])
