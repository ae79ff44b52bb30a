rule measure_inspect:
    output:
        CELL,
    log:
        CELL_LOG,
    wildcard_constraints:
        cell="inspect/.+",
    threads: ALL_CORES
    resources:
        **requests(request_of),
        launcher=launcher_of,
    params:
        spec=spec_of,
    message:
        "Measure {wildcards.cell}"
    shell:
        MEASURE + " --publish {output:q} >{log:q} 2>&1"
