"""The plain PyTorch loop that measured cells are held against, on two real ranks with a tiny Llama."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from dissect.stages.training.deepspeed.spec import PretrainSpec
from factories import hardware, ok_result, pretrain_spec
from forked_ranks import TINY

pytestmark = [pytest.mark.e2e, pytest.mark.torch]

SCRIPT = Path(__file__).parents[2] / "scripts" / "plain_loop.py"
TORCHRUN = ["-m", "torch.distributed.run", "--nproc-per-node", "2"]


def run(folder: Path, spec: PretrainSpec, *launcher: str, **variables: str) -> subprocess.CompletedProcess[str]:
    path = folder / "result.json"
    path.write_text(ok_result(spec).model_dump_json())
    command = [sys.executable, *launcher, str(SCRIPT), str(path)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | variables)


def tiny_spec(**method: object) -> PretrainSpec:
    return pretrain_spec(hardware(n_gpus=2, device="cpu"), batch=2, seq_len=32, model=TINY, **method)


@pytest.mark.parametrize("stage", [2, 3])
def test_a_sharded_cell_is_trained_by_torch_alone(tmp_path, stage):
    spec = tiny_spec(zero_stage=stage)
    found = run(tmp_path, spec, *TORCHRUN)
    assert found.returncode == 0, found.stderr
    said = json.loads(found.stdout)
    result = ok_result(spec)
    assert said["cell"] == result.key
    assert said["steps"] == result.metrics.step_time_s.n
    assert said["ratio"] == pytest.approx(said["step_s"] / said["plain_step_s"], rel=0.05)


@pytest.mark.parametrize(
    ("method", "ranks", "sentence"),
    [
        ({"zero_stage": 0}, "2", "must have ZeRO-2 or 3, fp32 master weights, no offloading, no recomputation"),
        ({"zero_stage": 3, "recompute": True}, "2", "no offloading, no recomputation and no 4-bit base"),
        ({"zero_stage": 2, "quantization": "nf4"}, "2", "no recomputation and no 4-bit base"),
        ({"zero_stage": 3, "states": "bf16"}, "2", "must have ZeRO-2 or 3, fp32 master weights"),
        ({"zero_stage": 3}, "1", "ran on 2 GPUs: start this with torchrun --nproc-per-node 2"),
    ],
)
def test_what_has_no_plain_loop_is_said_in_one_sentence(tmp_path, method, ranks, sentence):
    found = run(tmp_path, tiny_spec(**method), WORLD_SIZE=ranks)
    assert found.returncode == 1
    assert sentence in found.stderr
    assert found.stderr.count("\n") == 1


def test_a_file_that_is_no_result_is_named(tmp_path):
    path = tmp_path / "no.json"
    path.write_text("{}")
    found = subprocess.run([sys.executable, str(SCRIPT), str(path)], capture_output=True, text=True)
    assert found.returncode == 1
    assert str(path) in found.stderr
    assert "Traceback" not in found.stderr
