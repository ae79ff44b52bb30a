rule plan:
    log:
        "results/logs/plan.log",
    localrule: True
    resources:
        launcher=PYTHON,
    params:
        config=given,
    message:
        "Plan"
    shell:
        "{resources.launcher} scripts/write_plan.py --config {params.config:q} --csv results/plan.csv 2>&1 | tee {log:q}"
