rule draw_figure:
    input:
        manifest=MANIFEST,
        code=CODE_FILE,
        table=TABLE.replace("{format}", "csv"),
    output:
        pdf=FIGURE.replace("{format}", "pdf"),
        svg=in_report(FIGURE.replace("{format}", "svg"), "figure"),
        png=FIGURE.replace("{format}", "png"),
    log:
        "results/logs/figures/{experiment}.log",
    resources:
        launcher=PYTHON,
    params:
        title=heading_of("title"),
        caption=heading_of("caption"),
    message:
        "Draw figure {wildcards.experiment}"
    shell:
        "{resources.launcher} scripts/draw_figure.py {input.manifest:q} {input.table:q}"
        " --pdf {output.pdf:q} --svg {output.svg:q} --png {output.png:q} >{log:q} 2>&1"
