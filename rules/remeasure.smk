# Add runs to finished cells: snakemake remeasure --config select='<glob>' more=2
# With fresh=true the earlier runs are set aside, and as many as a cell needs are measured.


rule remeasure:
    input:
        # Of a single cell a round has nothing in random order.
        rounds_of("more", lambda: STUDY.selected_targets if len(STUDY.selected_targets) > 1 else []),
        remeasured,
    message:
        "All selected cells are measured again"


rule remeasure_cell:
    output:
        temp(touch(REMEASURED)),
    log:
        "results/logs/remeasured/{run}/{runs}/{cell}/{key}.log",
    priority: URGENCY
    threads: THREADS
    resources:
        **requests_of_cells(),
        launcher=launcher_of,
    params:
        spec=spec_of,
        publish=lambda wildcards: cell_of(wildcards).path,
        how=lambda wildcards: f"--fresh {wildcards.run}" if STUDY.catalog.root.fresh else "--again",
    message:
        "Measure again {wildcards.cell}"
    shell:
        MEASURE + " --publish {params.publish:q} --runs {wildcards.runs} {params.how} >{log:q} 2>&1"
