rule write_table:
    input:
        manifest=MANIFEST,
        code=CODE_FILE,
        lacking=LACKING,
        cells=lambda wildcards: STUDY.paths_of(known_name(wildcards)),
        references=lambda wildcards: STUDY.reference_paths(known_name(wildcards)),
    output:
        csv=TABLE.replace("{format}", "csv"),
        md=TABLE.replace("{format}", "md"),
        tex=TABLE.replace("{format}", "tex"),
        html=in_report(TABLE.replace("{format}", "html"), "table"),
    log:
        "results/logs/tables/{experiment}.log",
    resources:
        launcher=PYTHON,
    params:
        title=heading_of("title"),
        caption=heading_of("caption"),
    message:
        "Write table {wildcards.experiment}"
    shell:
        "{resources.launcher} scripts/write_table.py {input.manifest:q}"
        " --csv {output.csv:q} --md {output.md:q} --tex {output.tex:q} --html {output.html:q} >{log:q} 2>&1"
