# The resolved configuration and file names; all other logic is in scripts/dissect.
import atexit
import gc
import json
import shlex
import signal
import sys
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

# What planning makes stays, and a search for garbage goes through all of it: searches were a fourth of the time. There are
# none until the first job starts (hooks.smk), nor at exit. A run without hooks has them from its beginning; so does a
# program that is not Snakemake's own and may go on.
if "snakemake.cli" in sys.modules and not (workflow.is_main_process and "--no-hooks" in sys.argv):
    gc.disable()
atexit.register(gc.freeze)

PROJECT = Path(workflow.basedir)
# As a word of a shell: its path may have a space.
PYTHON = shlex.quote(sys.executable)
sys.path.insert(0, str(PROJECT / "scripts"))

from dissect.answers.dispatch import answer, one_sentence
from dissect.cells.packs import pack_platforms, pack_request
from dissect.cells.resources import NAMES, resources_of, share_of_cores, urgency
from dissect.cells.manifest_files import CODE_FILE, date_back, mark_lacking, write_manifests
from dissect.cells.slurm_cluster_choice import use_one_cluster
from dissect.cells.study import load_study, refuse_empty_globs
from dissect.config.catalog import PREDICTION
from dissect.config.claims import CLAIMS
from dissect.config.errors import unknown
from dissect.config.targets import QUESTIONS, SELECTING, question_of, refuse_unread
from dissect.cells.preflight import refuse_what_cannot_run
from dissect.cells.slurm_executor import install, late_option
from dissect.results.folder_lock import keep_locks_of_others, planning
from dissect.results.publish import publish_stored
from dissect.results.reference_sets import publish_references
from dissect.present.code_digest import code_digest
from dissect.results.store import STORE_DIR, Store
from dissect.results.unwritable import as_far_as_writable
from dissect.present.run_summary import say, summarise

CELL = "results/cells/{cell}/{key}.json"
CELL_LOG = "results/logs/{cell}/{key}.log"
REMEASURED = "results/remeasured/{run}/{runs}/{cell}/{key}.json"
ROUNDS = "results/rounds/{run}/{purpose}/{platform}"
MANIFEST = "results/manifests/{experiment}.json"
LACKING = "results/manifests/{experiment}.lacking"
TABLE = "results/tables/{experiment}.{format}"
TABLE_FORMATS = ["csv", "md", "tex", "html"]
FIGURE = "results/figures/{experiment}.{format}"
FIGURE_FORMATS = ["pdf", "svg", "png"]
REPORT = "results/report/index.html"

# Names outputs of this run alone: those of an earlier, possibly interrupted, run must not count as done.
RUN = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")

# Parallel measurements disturb each other, so a cell takes all cores of this machine unless GPUs are a limited resource:
# --resources gpu=4.
ALL_CORES = workflow.cores or 1

# Whether jobs go to a batch system, which needs --jobs, or this is one of them, on its node.
SUBMITS = workflow.nodes is not None or not workflow.is_main_process

MEASURE = "{resources.launcher} scripts/measure.py --launcher {resources.launcher:q} --spec {params.spec:q}"

# Notices if another run is active in this folder; its manifests are then not written.
BESIDE_ANOTHER = []

with one_sentence():
    # The question that this command asks; jobs and dry runs ask none.
    ASKED = question_of(sys.argv) if workflow.is_main_process and not workflow.output_settings.dryrun else None
    if workflow.is_main_process:
        refuse_unread(config, sys.argv)
    STUDY = load_study(PROJECT, config)
    if workflow.is_main_process and not SELECTING.isdisjoint(sys.argv):
        refuse_empty_globs(STUDY, PROJECT, config)
    MEASURE += " --fork" if STUDY.catalog.root.fork else ""
    MEASURE += late_option(sys.argv)
    # Progress writes nothing, because another run may be active in this folder.
    if workflow.is_main_process and ASKED != "progress":
        install()
        keep_locks_of_others()
        is_run = ASKED is None and not workflow.output_settings.dryrun
        # Questions need nothing of this where results of others can only be read.
        with as_far_as_writable("the answer is from what is there") if ASKED else nullcontext():
            publish_references(Path.cwd())
            with planning(Path.cwd(), stays=is_run) as alone:
                BESIDE_ANOTHER = write_manifests(STUDY, Path.cwd(), code_digest(PROJECT / "scripts"), alone)
                published = publish_stored(STUDY.by_path, Store(STORE_DIR), alone)
                mark_lacking(STUDY, Path.cwd(), alone)
                date_back(Path.cwd(), alone)
            # Questions read no manifest.
            say(*([] if ASKED else BESIDE_ANOTHER), *published.notices)
        say(*STUDY.notices)


def given(wildcards):
    """Settings of --config as JSON; a function, because Snakemake would take braces in a text for wildcards."""
    return json.dumps(config)


def cell_of(wildcards):
    path = CELL.format(cell=wildcards.cell, key=wildcards.key)
    if path not in STUDY.by_path:
        sys.exit(f"llm-dissect: {path}: unknown cell; `snakemake plan` lists the cells of this configuration")
    return STUDY.by_path[path]


def known_name(wildcards):
    """The table or figure of a target, which must be known."""
    name, known = wildcards.experiment, [*STUDY.experiments, PREDICTION, CLAIMS]
    return name if name in known else sys.exit(f"llm-dissect: {unknown('results', 'table or figure', name, known)}")


def spec_of(wildcards):
    return cell_of(wildcards).canonical


def launcher_of(wildcards):
    return cell_of(wildcards).launcher


def runs_of(wildcards):
    return cell_of(wildcards).runs


@cache
def predicted_times():
    """What predicts run times, where first tries ask for these; a dry run shows whole limits.

    What a batch system kills for its run time is tried again with the whole limit, so without retries nothing is
    predicted.
    """
    if not (SUBMITS and workflow.is_main_process) or workflow.dryrun or not workflow.execution_settings.retries:
        return None
    from dissect.present.run_times import measured_times

    return measured_times(STUDY, Path.cwd())


@cache
def request_for(cell, times):
    platform = STUDY.catalog.platforms[cell.platform]
    return resources_of(cell, platform, times and times.of(cell).longest_s)


def request_of(wildcards, attempt=2):
    """Resources requested for a cell, by a retry for the whole run time that its limits allow.

    A job of `remeasure` has the runs that it adds.
    """
    cell, root = cell_of(wildcards), STUDY.catalog.root
    if hasattr(wildcards, "runs") and not root.fresh:
        cell = replace(cell, runs=root.more)
    return request_for(cell, predicted_times() if attempt == 1 else None)


def threads_of(wildcards):
    shared = workflow.global_resources["gpu"].value
    return share_of_cores(cell_of(wildcards), request_of(wildcards), ALL_CORES, shared)


def urgency_of(wildcards):
    return urgency(cell_of(wildcards), request_of(wildcards, attempt=1))


THREADS = threads_of if "gpu" in workflow.global_resources else ALL_CORES
# On this machine cells run one after the other.
URGENCY = urgency_of if SUBMITS else 0


def requests(request):
    """Requests to a batch system, entry by entry; on this machine only those that it limits (--resources gpu=4).

    Snakemake calls each function for each job that it prints.
    """
    names = NAMES if SUBMITS else [name for name in NAMES if name in workflow.global_resources]
    return {name: lambda wildcards, name=name: request(wildcards)[name] for name in names}


def requests_of_cells():
    """Requests of the jobs of cells; a first try may ask for less run time than the whole, which a retry asks for."""
    whole = requests(request_of)
    if "runtime" not in whole:
        return whole
    runtime = lambda wildcards, attempt: request_of(wildcards, attempt)["runtime"]
    return whole | {"runtime": runtime, "whole_runtime": whole["runtime"]}


def measures_here():
    """Whether jobs run on this machine; of a dry run, whether those of the real run would."""
    # A dry run has a local executor in the place of the profile's, which only the use of threads still tells.
    of_batch_system = workflow.dryrun and workflow.execution_settings.use_threads
    return workflow.local_exec and not of_batch_system


def rounds_of(purpose, paths):
    """Rounds that come before the jobs of these cells, one job per platform."""

    def needed(wildcards):
        if not measures_here() or "gpu" in workflow.global_resources:
            return []
        platforms = dict.fromkeys(STUDY.by_path[path].platform for path in paths())
        return [ROUNDS.format(run=RUN, purpose=purpose, platform=platform) for platform in platforms]

    return needed


def lacking_rounds_of(paths):
    """Rounds of the cells among these that need several runs and have too few."""
    lacking = lambda: [path for path in paths if STUDY.by_path[path].runs > 1 and not Path(path).exists()]
    return rounds_of("lacking", lacking)


def remeasuring(wildcards):
    """Options of a measuring program that adds runs."""
    root = STUDY.catalog.root
    return f"--fresh {wildcards.run}" if root.fresh else f"--more {root.more}"


def remeasured(wildcards):
    """An output per selected cell, named for the number of runs that the cell will have."""
    if STUDY.catalog.root.select is None:
        sys.exit(
            "llm-dissect: --config select: missing; remeasure adds runs to what it selects, and '*/*/*/*/*/*' is all"
        )
    root, cells = STUDY.catalog.root, [STUDY.by_path[path] for path in STUDY.selected_targets]
    for cell in cells:
        Store(STORE_DIR).entry(cell.key).adopt_published(Path(cell.path), cell.canonical)
    runs = {c.key: c.runs if root.fresh else Store(STORE_DIR).entry(c.key).count() + root.more for c in cells}
    return [REMEASURED.format(run=RUN, runs=runs[cell.key], cell=cell.id, key=cell.key) for cell in cells]


def heading_of(part):
    """Title, caption or category of a table or figure."""
    return lambda wildcards: getattr(STUDY.heading(wildcards.experiment), part)


def in_report(path, form):
    """A file for `snakemake --report`, with title, caption and labels from the experiment's file."""
    labels = lambda wildcards: STUDY.heading(wildcards.experiment).labels(form)
    return report(path, caption="captions/item.rst", category=heading_of("category"), labels=labels)


wildcard_constraints:
    cell=".+",
    key="[0-9a-f]{12}",
    run="[0-9TZ]+",
    runs="[0-9]+",
    experiment="[^/]+",
