# The only way to measure a finished cell again: snakemake remeasure --config select='<glob>'
import time

# A new path per run: outputs of an earlier, possibly interrupted, run must not count as done.
RUN = f"{time.time_ns():x}"


rule remeasure:
    input:
        [path.replace("results/cells", f"results/remeasured/{RUN}") for path in STUDY.selected_targets],
    log:
        "results/logs/remeasured/remeasure.log",
    message:
        "All selected cells are measured again"
    shell:
        "rm -rf results/remeasured 2>{log:q}"


rule remeasure_cell:
    output:
        temp(touch(REMEASURED)),
    log:
        "results/logs/remeasured/{run}/{cell}/{key}.log",
    threads: threads_of
    resources:
        **requests(request_of),
        launcher=launcher_of,
    params:
        spec=spec_of,
        publish=lambda wildcards: cell_of(wildcards).path,
    message:
        "Measure again {wildcards.cell}"
    shell:
        MEASURE + " --publish {params.publish:q} --remeasure >{log:q} 2>&1"
