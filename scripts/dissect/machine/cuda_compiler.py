"""NVIDIA's compiler on this machine, which kernels that come as source need: DeepSpeed's optimizer, flash-attn."""

import os
import re
import shutil
import subprocess
from pathlib import Path

Version = tuple[int, int]

_RELEASE = re.compile(r"release (\d+)\.(\d+)")
_RUNTIME = re.compile(r"^nvidia-cuda-runtime(?:-cu\d+)?==(\d+)\.(\d+)", re.MULTILINE)
_TIMEOUT_S = 60.0


def find_nvcc() -> Path | None:
    """The compiler where PyTorch's extensions look for it: below CUDA_HOME, on PATH, in /usr/local/cuda."""
    homes = [os.environ[name] for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    on_path = shutil.which("nvcc")
    candidates = [*(Path(home, "bin/nvcc") for home in homes[:1]), *([Path(on_path)] if on_path else [])]
    return next((path for path in (*candidates, Path("/usr/local/cuda/bin/nvcc")) if path.is_file()), None)


def release_of(nvcc: Path) -> Version | None:
    """CUDA version that a compiler belongs to, such as (13, 0); None where it does not tell."""
    try:
        done = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True, timeout=_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError):
        return None
    return _version(_RELEASE.search(done.stdout))


def runtime_of_lock(lock: str) -> Version | None:
    """CUDA version of the libraries in a lock file or in a list of ``name==version``; None if it has none."""
    return _version(_RUNTIME.search(lock))


def why_no_compiler(runtime: Version | None) -> str | None:
    """Why nothing can be compiled for libraries of a CUDA version on this machine, in words; None if it can be.

    PyTorch refuses a compiler of another major version.
    """
    nvcc = find_nvcc()
    if nvcc is None:
        return "nvcc is missing"
    release = release_of(nvcc)
    if release is None:
        return f"{nvcc} does not tell its version"
    if runtime and release[0] != runtime[0]:
        return f"{nvcc} is of CUDA {shown(release)}, PyTorch of CUDA {shown(runtime)}"
    return None


def shown(version: Version) -> str:
    """A version as text, such as ``13.0``."""
    return f"{version[0]}.{version[1]}"


def _version(found: re.Match[str] | None) -> Version | None:
    return (int(found[1]), int(found[2])) if found else None
