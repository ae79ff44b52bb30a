# Remove runs from the store: snakemake prune --config older_than=<days> protocol=<n> select='<glob>'; really=true removes
rule prune:
    log:
        "results/logs/prune.log",
    localrule: True
    resources:
        launcher=PYTHON,
    params:
        config=given,
    message:
        "Prune"
    shell:
        "{resources.launcher} scripts/prune_store.py --config {params.config:q} 2>&1 | tee {log:q}"
