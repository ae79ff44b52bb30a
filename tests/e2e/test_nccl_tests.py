"""Our collectives against nccl-tests, where it is installed beside GPUs: another program, the same sizes."""

import shutil
import subprocess
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

pytest.importorskip("torch")

from dissect.base.outcome import Status
from dissect.cells.spec import OperatorWorkload
from dissect.ranks.launch import Launch
from dissect.ranks.supervise import conclude, supervise
from dissect.stages.operators import collectives
from dissect.workloads.operator_arithmetic import bus_factor
from factories import hardware, operator_spec

pytestmark = [pytest.mark.e2e, pytest.mark.torch, pytest.mark.gpu]
SIZES = (64 * 2**20, 1024 * 2**20)
COLUMN = {"all_reduce": 11, "all_gather": 7, "reduce_scatter": 7}
"""Bus bandwidth in a line of nccl-tests: in place as we reduce, out of place as we gather and scatter."""


def n_gpus() -> int:
    """Without touching CUDA, which would not survive the fork of the ranks."""
    if shutil.which("nvidia-smi") is None:
        return 0
    return len(subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True).stdout.splitlines())


def theirs(operator: str, count: int, size: int) -> float:
    command = [f"{operator}_perf", "-b", str(size), "-e", str(size), "-g", str(count), "-d", "float"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    [line] = [line.split() for line in done.stdout.splitlines() if line.split()[:1] == [str(size)]]
    return float(line[COLUMN[operator]])


@pytest.mark.parametrize("operator", COLUMN)
def test_bus_bandwidth_is_that_of_nccl_tests(operator: str) -> None:
    if shutil.which(f"{operator}_perf") is None:
        pytest.skip(f"needs nccl-tests: {operator}_perf is not on PATH")
    if (count := n_gpus()) < 2:
        pytest.skip("needs two GPUs")
    workload = OperatorWorkload(sizes=list(SIZES), dtype="fp32")
    spec = operator_spec(operator, hardware(n_gpus=count), workload=workload)
    collectives.import_libraries(spec)
    with TemporaryDirectory() as folder:
        launch = Launch(partial(collectives.run_rank, spec), count, Path(folder), time.monotonic() + 300)
        ending = conclude([supervise(launch, 1 << 40, [])])
    assert ending.status is Status.OK, ending.reason
    for point in collectives.summarise(spec, ending.reports).points:
        assert point.timing is not None
        ours = point.message_bytes * bus_factor(operator, count) / point.timing.call_time_s.median / 1e9
        # Another NCCL may be linked there.
        assert ours == pytest.approx(theirs(operator, count, point.size_bytes), rel=0.25)
