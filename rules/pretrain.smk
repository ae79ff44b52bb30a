rule measure_pretrain:
    output:
        CELL,
    log:
        CELL_LOG,
    wildcard_constraints:
        cell="pretrain/.+",
    threads: threads_of
    resources:
        **requests(request_of),
        launcher=launcher_of,
    params:
        spec=spec_of,
    message:
        "Measure {wildcards.cell}"
    shell:
        MEASURE + " --publish {output:q} >{log:q} 2>&1"
