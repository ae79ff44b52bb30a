rule write_report:
    input:
        manifest=MANIFEST.replace("{experiment}", "report"),
        code=CODE_FILE,
        tables=expand(TABLE, experiment=STUDY.wanted("table") + STUDY.wanted("figure"), format="csv"),
        figures=expand(FIGURE, experiment=STUDY.drawn, format="svg"),
    output:
        REPORT,
    log:
        "results/logs/report.log",
    resources:
        launcher=PYTHON,
    message:
        "Write report"
    shell:
        "{resources.launcher} scripts/write_report.py {input.manifest:q} --index {output:q} >{log:q} 2>&1"
