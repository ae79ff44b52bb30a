# Questions about finished cells; nothing is measured: snakemake recommend --config model=<model> stage=<stage> ...
rule recommend:
    log:
        "results/logs/recommend.log",
    localrule: True
    resources:
        launcher=PYTHON,
    params:
        config=json.dumps(config),
    message:
        "Recommend"
    shell:
        "{resources.launcher} scripts/recommend.py --config {params.config:q} --csv results/recommend.csv 2>&1 | tee {log:q}"
