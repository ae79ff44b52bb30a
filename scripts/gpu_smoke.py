"""The first numbers of this machine's own GPU: ``make gpu-smoke``, or where there is no .venv, this with its Python.

    python3 scripts/gpu_smoke.py [platform] [interpreter=<command of the machine's own Python>]

Describes the machine unless the platform has a file, says what is missing, measures the cells below, and shows them.
Each step is a command of the project, which is printed first.
"""

import shlex
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[1]
CELLS = (
    "pretrain/{}/llama2-7b/ddp/Naive/s350-b1-n*",
    "pretrain/{}/llama2-7b/deepspeed/Q/s350-b1-n*",
    "finetune/{}/llama2-7b/deepspeed/L/s350-b1-n*",
    "operators/{}/-/gemm/square/*-b1-n1",
    "serve/{}/llama2-7b/vllm/tuned/r100-*",
)
"""Globs of cells: a step that needs 63 GiB, one that needs 10, LoRA, an operator, a server. Not all fit everywhere."""


def main() -> int:
    """Run the steps; the exit status of the first that fails, which the table of cells follows all the same."""
    given = [word for word in sys.argv[1:] if "=" in word]
    platform = next((word for word in sys.argv[1:] if "=" not in word), "here")
    select = f"select=[{','.join(cell.format(platform) for cell in CELLS)}]"
    settings = (f"platforms=[{platform}]", "models=[llama2-7b]", "suite=full", "runs=1", select)
    described = (PROJECT / f"config/platforms/{platform}.yaml").exists()
    if status := (0 if described else ask("describe", f"name={platform}", *given)) or ask("ready", *settings):
        return status
    measured = run("-m", "snakemake", "--profile", "profiles/local", "cells", "--config", *settings)
    return ask("show", *settings) or measured


def ask(question: str, *settings: str) -> int:
    """Ask the project a question; the exit status."""
    return run(str(PROJECT / "scripts/llm_dissect.py"), question, *settings)


def run(*arguments: str) -> int:
    """Run this Python in the project's folder; the exit status."""
    print("$", shlex.join(["python", *arguments]), flush=True)
    return subprocess.run([sys.executable, *arguments], cwd=PROJECT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
