# Rounds: where this machine measures, one job per platform first measures the runs that its cells lack, in passes over all
# of them in random order. The jobs of the cells then publish, or measure what failed. A batch system, and cells that run
# side by side (--resources gpu=4), have no rounds: there each cell's job measures its runs, one after the other.


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
        config=given,
        options=lambda wildcards: remeasuring(wildcards) if wildcards.purpose == "more" else "",
    message:
        "Measure the cells of {wildcards.platform} in rounds"
    shell:
        "{resources.launcher} scripts/measure_rounds.py --config {params.config:q} --platform {wildcards.platform:q}"
        " {params.options} >{log:q} 2>&1"
