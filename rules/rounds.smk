# Rounds: where this machine measures, one job per platform first measures the runs that its cells lack, in passes over all
# of them in random order. The jobs of the cells then publish, or measure what failed. A batch system, and cells that run
# side by side (--resources gpu=4), have no rounds: there each cell's job measures its runs, one after the other.
ROUNDS = "results/rounds/{run}/{purpose}/{platform}"


def rounds_of(purpose, paths):
    """Rounds that come before the jobs of these cells, one job per platform."""

    def needed(wildcards):
        if not workflow.local_exec or "gpu" in workflow.global_resources:
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


rule measure_rounds:
    output:
        temp(touch(ROUNDS)),
    log:
        "results/logs/rounds/{run}/{purpose}/{platform}.log",
    wildcard_constraints:
        purpose="lacking|more",
        platform="[^/]+",
    priority: 100
    # The jobs of the cells retry.
    retries: 0
    threads: ALL_CORES
    resources:
        launcher=PYTHON,
    params:
        config=json.dumps(config),
        options=lambda wildcards: remeasuring(wildcards) if wildcards.purpose == "more" else "",
    message:
        "Measure the cells of {wildcards.platform} in rounds"
    shell:
        "{resources.launcher} scripts/measure_rounds.py --config {params.config:q} --platform {wildcards.platform:q}"
        " {params.options} >{log:q} 2>&1"
