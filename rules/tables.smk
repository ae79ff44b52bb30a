rule write_table:
    input:
        manifest=MANIFEST,
        cells=lambda wildcards: STUDY.paths_of(wildcards.experiment),
        references=lambda wildcards: STUDY.reference_paths(wildcards.experiment),
    output:
        csv=TABLE.replace("{format}", "csv"),
        md=TABLE.replace("{format}", "md"),
        tex=TABLE.replace("{format}", "tex"),
    log:
        "results/logs/tables/{experiment}.log",
    resources:
        launcher=PYTHON,
    message:
        "Write table {wildcards.experiment}"
    shell:
        "{resources.launcher} scripts/write_table.py {input.manifest:q}"
        " --csv {output.csv:q} --md {output.md:q} --tex {output.tex:q} >{log:q} 2>&1"
