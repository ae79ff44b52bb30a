# The resolved configuration and the names of files; everything else is in scripts/dissect.
import json
import sys
from functools import cache
from pathlib import Path

PROJECT = Path(workflow.basedir)
PYTHON = sys.executable
sys.path.insert(0, str(PROJECT / "scripts"))

from dissect.cells.packs import pack_config, pack_platforms, pack_request
from dissect.cells.resources import NAMES, resources_of
from dissect.cells.study import load_study, write_manifests
from dissect.config.errors import ConfigError
from dissect.preflight import refuse_what_cannot_run
from dissect.publish import publish_stored
from dissect.store import Store
from dissect.summary import STORE_DIR, summarise

CELL = "results/cells/{cell}/{key}.json"
CELL_LOG = "results/logs/{cell}/{key}.log"
REMEASURED = "results/remeasured/{run}/{cell}/{key}.json"
MANIFEST = "results/manifests/{experiment}.json"
TABLE = "results/tables/{experiment}.{format}"
TABLE_FORMATS = ["csv", "md", "tex"]
FIGURE = "results/figures/{experiment}.{format}"
FIGURE_FORMATS = ["pdf", "svg", "png"]
REPORT = "results/report/index.html"

# Two measurements side by side would disturb each other: a cell takes all cores of the machine at hand.
ALL_CORES = workflow.cores or 1

MEASURE = "{resources.launcher} scripts/measure.py --launcher {resources.launcher:q} --spec {params.spec:q}"

try:
    STUDY = load_study(PROJECT, config)
    if workflow.is_main_process:
        write_manifests(STUDY, Path.cwd())
        publish_stored(STUDY.by_path, Store(STORE_DIR))
        print(*STUDY.notices, sep="\n", end="\n" * bool(STUDY.notices), file=sys.stderr)
except ConfigError as error:
    sys.exit(f"llm-dissect: {error}")


def cell_of(wildcards):
    path = CELL.format(cell=wildcards.cell, key=wildcards.key)
    if path not in STUDY.by_path:
        sys.exit(f"llm-dissect: {path}: no cell of this configuration has this name; `snakemake plan` lists them")
    return STUDY.by_path[path]


def spec_of(wildcards):
    return cell_of(wildcards).canonical


def launcher_of(wildcards):
    return cell_of(wildcards).launcher


@cache
def request_for(cell):
    return resources_of(cell, STUDY.catalog.platforms[cell.platform])


def request_of(wildcards):
    return request_for(cell_of(wildcards))


def requests(request):
    """What a batch system is asked for, entry by entry; a local run takes no notice of them."""
    return {name: lambda wildcards, name=name: request(wildcards)[name] for name in NAMES}


wildcard_constraints:
    cell=".+",
    key="[0-9a-f]{12}",
    run="[0-9a-f]+",
    experiment="[^/]+",
