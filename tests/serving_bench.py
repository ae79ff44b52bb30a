"""A folder in which serving cells are measured as real processes."""

import gzip
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

import factories as make
from dissect.cells.site import VARIABLE, ServingSite
from dissect.cells.software import workflow_python
from dissect.cells.spec import ServeSpec, Software, canonical_spec, spec_key
from dissect.results.cell_runs import read_runs
from dissect.results.result import Result
from dissect.stages.serving.load import RequestRecord
from yaml_models import architecture

ROOT = Path(__file__).parents[1]
CLIENT = [str(ROOT / "envs/run"), f"client@{workflow_python()}", "--", "python"]


@dataclass
class Bench:
    """One project folder, and how to measure in it."""

    folder: Path

    def spec(self, engine: str, budget_s: float = 300.0, **load: Any) -> ServeSpec:
        on = make.hardware(n_gpus=1, device="cpu").model_copy(update={"environment": {"OMP_NUM_THREADS": "1"}})
        sizes = {"requests": 10, "input_tokens": 32, "output_tokens": 8, "warmup_requests": 2, **load}
        spec = make.serve_spec(on, engine=engine, aligned=False, model=architecture("llama-tiny"), **sizes)
        sampling = spec.sampling.model_copy(update={"budget_s": budget_s, "ready_s": 200.0})
        cache = ["--cb-num-blocks", "64", "--cb-max-batch-tokens", "512"] if engine == "transformers" else []
        settings = spec.settings.model_copy(update={"arguments": cache})
        return spec.model_copy(
            update={"sampling": sampling, "settings": settings, "software": Software(), "client": Software()}
        )

    def entry(self, spec: ServeSpec) -> Path:
        return self.folder / "store" / spec_key(canonical_spec(spec))

    def start(
        self, spec: ServeSpec, fault: str | None = None, url: str | None = None, python: str | None = None,
        command: str | None = None, script: str = "scripts/measure.py",
    ) -> subprocess.Popen[str]:  # fmt: skip
        how = {"url": url} if url else {"python": python or " ".join(CLIENT)}
        if command:
            how = {"command": command}
        if fault:
            how = {"command": f"{sys.executable} {ROOT}/tests/faulty_server.py --fault {fault}"}
        site = ServingSite.model_validate({"checkpoints": str(self.folder), "keep_checkpoints": True, **how})
        output = self.folder / "cells" / f"{self.entry(spec).name}.json"
        command = [*CLIENT, script, "--spec", canonical_spec(spec), "--publish", str(output)]
        environment = {**os.environ, VARIABLE: site.model_dump_json(), "TOKENIZERS_PARALLELISM": "false"}
        return subprocess.Popen(
            [*command, "--store", str(self.folder / "store")], cwd=ROOT, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def measure(self, spec: ServeSpec, fault: str | None = None, **how: str) -> Result:
        out, err = (process := self.start(spec, fault, **how)).communicate(timeout=500)
        assert process.returncode == 0, out + err
        return read_runs(self.folder / "cells" / f"{self.entry(spec).name}.json").newest

    def records(self, spec: ServeSpec, name: str = "requests.jsonl.gz") -> list[RequestRecord]:
        (path,) = self.entry(spec).rglob(name)
        lines = gzip.decompress(path.read_bytes()).splitlines()
        return [RequestRecord.model_validate_json(line) for line in lines]

    def processes(self) -> list[psutil.Process]:
        """Everything that has to do with this folder: servers, keepers, load generators and their owner."""
        return [p for p in psutil.process_iter(["cmdline"]) if str(self.folder) in " ".join(p.info["cmdline"] or [])]


def searching(bench: Bench, engine: str = "lightllm", **search: Any) -> ServeSpec:
    """A search of a few short probes; one word is one token, also to guidellm's own server."""
    arrival = {"kind": "poisson", "search": {"lowest": 5.0, "highest": 20.0, "probe_s": 0.5, "probes": 1, **search}}
    return bench.spec(engine, requests=6, input_tokens=1, output_tokens=8, arrival=arrival)
