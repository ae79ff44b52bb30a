"""envs/image.def, built by Apptainer where it is installed: the image has exactly what the lock says."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from dissect.cells.software import lock_identity

ROOT = Path(__file__).parents[2]
APPTAINER = shutil.which("apptainer") or shutil.which("singularity")
FOUND = """
import importlib.metadata, json, os, sys
print(json.dumps([sys.version_info[:2], os.path.realpath(sys.prefix), importlib.metadata.version("torch")]))
"""

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(APPTAINER is None, reason="Apptainer is not installed"),
]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["train", "client"])
def test_the_image_of_an_environment(name: str, tmp_path: Path) -> None:
    """Built on a small base without a CUDA compiler; the measuring program starts by the image's Python."""
    assert APPTAINER
    image = tmp_path / f"{name}.sif"
    arguments = ["--build-arg", f"name={name}", "--build-arg", "base=debian:12"]
    subprocess.run([APPTAINER, "build", *arguments, image, "envs/image.def"], cwd=ROOT, check=True)

    inside = [APPTAINER, "exec", "--bind", f"{ROOT}:{ROOT}", "--pwd", ROOT, image, "/opt/environment/bin/python"]
    version, prefix, torch = json.loads(subprocess.check_output([*inside, "-c", FOUND], text=True))
    lock = (ROOT / f"envs/{name}/requirements.txt").read_text()
    identity = lock_identity(lock, ".".join(map(str, version)))
    assert prefix == f"/opt/llm-dissect/.envs/{name}-{identity[:12]}"
    assert f"\ntorch=={torch} " in lock
    subprocess.run([*inside, "scripts/measure.py", "--help"], check=True, stdout=subprocess.DEVNULL)
