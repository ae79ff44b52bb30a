"""The answer to ``describe``: the platform file of this machine."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from dissect.cells.study import Study
from dissect.config.errors import ConfigError
from dissect.config.files import read_yaml, validate
from dissect.config.known_gpus import read_known_gpus
from dissect.config.platform import Platform
from dissect.machine.cuda_compiler import runtime_of_lock, why_no_compiler
from dissect.machine.description import Machine, platform_file, steering_variables
from dissect.machine.gpus import GpuInfo, NoGpus
from dissect.machine.vendor import vendors
from dissect.results.atomic import write_atomically
from dissect.results.installed import Installed, installed_in
from dissect.results.provenance import cpu_model, host_memory_bytes
from dissect.workloads.arithmetic import count_parameters
from dissect.workloads.dtypes import BYTES


def answer(study: Study, project: Path, _given: Mapping[str, Any]) -> str:
    """Write the file unless it is there or ``force`` replaces it; what it has, and what could not be known.

    Raises:
        ConfigError: there is no GPU, the interpreter does not start, or another file has the name.
    """
    root = study.catalog.root
    machine = look(root.interpreter, study.catalog.locks["train"])
    weights = {name: BYTES["bf16"] * count_parameters(study.catalog.models[name].architecture) for name in root.models}
    text, unknown = platform_file(machine, read_known_gpus(project), weights, root.name)
    path = project / "config/platforms" / f"{root.name}.yaml"
    validate(Platform, YAML(typ="safe", pure=True).load(text), str(path))
    stays = path.exists() and not root.force
    told = _compare(path, text) if stays else []
    if not stays:
        write_atomically(path, text.encode())
    return "\n".join(
        [
            f"{path}: {'is there already: ' if stays else ''}{machine.summary}",
            *told,
            *(["", "Not known:", *(f"  {sentence}" for sentence in unknown)] if unknown else []),
            "",
            f"Next: make gpu-smoke PLATFORM={root.name}",
        ]
    )


def look(interpreter: str | None, lock: str) -> Machine:
    """What this machine is; with its own Python if an interpreter is given, else with the locked environment.

    Raises:
        ConfigError: there is no GPU, or the interpreter does not start.
    """
    device, gpus = find_device()
    installed = _installed(interpreter) if interpreter else None
    pins = "\n".join(f"{name}=={version}" for name, version in installed.versions.items()) if installed else lock
    return Machine(
        device=device,
        gpus=gpus,
        cpu=cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=host_memory_bytes(),
        no_compiler=why_no_compiler(runtime_of_lock(pins)),
        interpreter=interpreter,
        installed=installed,
        variables=steering_variables(),
    )


def find_device() -> tuple[str, list[GpuInfo]]:
    """The kind of GPUs of this machine, and the GPUs.

    Raises:
        ConfigError: no driver finds any; in one sentence with what each says.
    """
    reasons = []
    for device, vendor in vendors().items():
        if not vendor.driver:
            continue
        try:
            if gpus := vendor.find_gpus():
                return device, gpus
            reasons.append(f"{vendor.driver} finds none that {vendor.visible} leaves")
        except NoGpus as error:
            reasons.append(str(error))
    raise ConfigError(f"this machine has no GPU to describe ({'; '.join(reasons)}); the platform cpu needs no file")


def _installed(interpreter: str) -> Installed:
    try:
        return installed_in(interpreter)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise ConfigError(f"--config interpreter: '{interpreter}' does not start a Python: {error}") from None


def _compare(path: Path, text: str) -> list[str]:
    """What is told of a file that says the same but for its comments and the host memory, which may grow with use.

    Raises:
        ConfigError: it says something else, which nothing replaces unasked.
    """
    there, found = read_yaml(path, str(path)), YAML(typ="safe", pure=True).load(text)
    hosts = [dict(each.get("host") or {}) for each in (there, found)]
    before, now = (host.pop("memory_gib", None) for host in hosts)
    others = there | {"host": hosts[0]}, found | {"host": hosts[1]}
    if differ := [key for key in {**there, **found} if others[0].get(key) != others[1].get(key)]:
        raise ConfigError(
            f"{path}: is there and differs from this machine in {', '.join(differ)}; nothing replaces it: "
            "name=<other> writes another file, force=true writes this one anew"
        )
    if before == now:
        return []
    return [
        f"The host memory is {now} GiB, the file says {before or 'nothing'}: it stays, as do the keys of its cells; "
        "force=true writes it anew"
    ]
