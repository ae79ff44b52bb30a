"""What Snakemake plans in a clone, and what the clone holds once that has run; one process for thousands of plans."""

import contextlib
import io
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from snakemake.api import SnakemakeApi
from snakemake.settings.types import (
    DAGSettings,
    OutputSettings,
    RerunTrigger,
    ResourceSettings,
)

from factories import measured_at, ok_result, pretrain_spec

DRAWING = ("write_table", "draw_figure", "write_report")
"""Rules that read what cells left, each after those before it."""
SOME_RESULT = ok_result(pretrain_spec())
ROUNDS = "measure_rounds"
"""Rule that measures what the cells' own jobs then publish."""


@dataclass(frozen=True)
class Plan:
    """The jobs of ``all``, or the sentence with which the workflow refused its configuration."""

    cells: frozenset[tuple[str, str]] = frozenset()
    """Id and key of every cell that is handed to the measuring program, which measures it unless it has its result."""
    known: frozenset[tuple[str, str]] = frozenset()
    """Id and key of every cell that the target needs, finished or not."""
    drawn: frozenset[tuple[str, str]] = frozenset()
    """(rule, name) of every table and figure, and of the report, which has no name."""
    runs: Mapping[str, int] = field(default_factory=dict)
    """Key of every cell that the target needs -> runs that it needs."""
    refusal: str | None = None


def plan(folder: Path) -> Plan:
    """What ``snakemake all`` would do here."""
    with _dag(folder) as (workflow, refusal):
        return _plan_of(workflow) if workflow else Plan(refusal=refusal)


def run(folder: Path) -> Plan:
    """Do as if the plan had run: every output appears, and Snakemake's own metadata for it."""
    with _dag(folder) as (workflow, refusal):
        if workflow is None:
            return Plan(refusal=refusal)
        found = _plan_of(workflow)
        workflow.iocache.deactivate()
        for job in _in_order(workflow.dag):
            made = b"".join([f"{job.rule.name} {job.wildcards}\n".encode(), *(Path(i).read_bytes() for i in job.input)])
            for output in job.output:
                Path(output).parent.mkdir(parents=True, exist_ok=True)
                Path(output).write_bytes(made)
            if job.rule.name not in DRAWING:
                _measure(job.params.spec, job.resources.runs, Path(job.output[0]))
            workflow.async_run(workflow.persistence.finished(job))
        return found


def _measure(spec: str, runs: int, output: Path) -> None:
    """Store and publish invented runs, by the library of the clone, whose specs may have more fields."""
    from dissect.results.run_files import RESULT, STEPS, write_folder
    from dissect.results.store import STORE_DIR, Store

    entry = Store(STORE_DIR).entry(output.stem)
    with entry.locked():
        entry.claim(spec)
        for number in range(entry.count(), runs):
            result = json.loads(measured_at(SOME_RESULT, number).model_dump_json())
            record = json.dumps(result | {"key": output.stem, "spec": json.loads(spec)})
            write_folder(entry.folder, {STEPS: b"", RESULT: record.encode()})
        entry.publish(output)


@contextmanager
def _dag(folder: Path) -> Iterator[tuple[Any, str | None]]:
    """Snakemake's workflow with its jobs, or why there is none."""
    trigger_names = YAML(typ="safe").load(folder / "profiles/default/config.yaml")["rerun-triggers"]
    triggers = frozenset(RerunTrigger.parse_choice(name) for name in trigger_names)
    dry_run = OutputSettings(dryrun=True)
    with _modules_of(folder), contextlib.redirect_stderr(io.StringIO()), SnakemakeApi(dry_run) as api:
        path = list(sys.path)
        try:
            workflow = api.workflow(ResourceSettings(cores=1), snakefile=folder / "Snakefile", workdir=folder)
            dag = workflow.dag(DAGSettings(targets={"all"}, rerun_triggers=triggers))
            dag.execute_workflow(executor="dryrun")
        except SystemExit as stop:
            yield None, str(stop)
        else:
            yield workflow._workflow, None
        finally:
            sys.path[:] = path


@contextmanager
def _modules_of(folder: Path) -> Iterator[None]:
    """The library as a clone with sources of its own has it; all others share the modules of this process."""
    if (folder / "scripts").is_symlink():
        yield
        return
    shared = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "dissect"}
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "dissect"]:
            del sys.modules[name]
        sys.modules.update(shared)


def _plan_of(workflow: Any) -> Plan:
    jobs = [job for job in workflow.dag.needrun_jobs(exclude_finished=False) if job.output]
    drawing = [job for job in jobs if job.rule.name in DRAWING]
    drawn = frozenset((job.rule.name, job.wildcards.get("experiment", "")) for job in drawing)
    runs = {job.wildcards.key: job.resources.runs for job in _measuring(workflow.dag.jobs)}
    return Plan(_cells(jobs), _cells(workflow.dag.jobs), drawn, runs)


def _measuring(jobs: Iterable[Any]) -> list[Any]:
    return [job for job in jobs if job.wildcards.get("cell")]


def _cells(jobs: Iterable[Any]) -> frozenset[tuple[str, str]]:
    return frozenset((job.wildcards.cell, job.wildcards.key) for job in _measuring(jobs))


def _in_order(dag: Any) -> list[Any]:
    """Jobs that must run, each after those whose outputs it reads."""
    waiting = [job for job in dag.needrun_jobs(exclude_finished=False) if job.output and job.rule.name != ROUNDS]
    return sorted(waiting, key=lambda job: DRAWING.index(job.rule.name) if job.rule.name in DRAWING else -1)
