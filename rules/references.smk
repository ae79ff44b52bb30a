# Reference results of config/references: snakemake references; --config file=<export> into=<set> adds the runs of an export
rule references:
    log:
        "results/logs/references.log",
    localrule: True
    resources:
        launcher=PYTHON,
    params:
        config=given,
    message:
        "References"
    shell:
        "{resources.launcher} scripts/list_references.py --config {params.config:q} 2>&1 | tee {log:q}"
