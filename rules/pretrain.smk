rule measure_pretrain:
    output:
        CELL,
    log:
        CELL_LOG,
    wildcard_constraints:
        cell="pretrain/.+",
    priority: URGENCY
    threads: THREADS
    resources:
        **requests_of_cells(),
        launcher=launcher_of,
        # A resource, because a change of a parameter would run the job again.
        runs=runs_of,
    params:
        spec=spec_of,
    message:
        "Measure {wildcards.cell}"
    shell:
        MEASURE + " --publish {output:q} --runs {resources.runs} >{log:q} 2>&1"
