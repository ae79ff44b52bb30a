# Best measured setting, from finished cells only: snakemake recommend --config model=<model> stage=<stage> ...
rule recommend:
    log:
        "results/logs/recommend.log",
    localrule: True
    resources:
        launcher=PYTHON,
    params:
        config=given,
    message:
        "Recommend"
    shell:
        "{resources.launcher} scripts/recommend.py --config {params.config:q} --csv results/recommend.csv 2>&1 | tee {log:q}"


# Compare two sets of cells: snakemake compare --config left=<file of export> right=results
rule compare:
    log:
        "results/logs/compare.log",
    localrule: True
    resources:
        launcher=PYTHON,
    params:
        config=given,
    message:
        "Compare"
    shell:
        "{resources.launcher} scripts/compare.py --config {params.config:q} --folder results/compare 2>&1 | tee {log:q}"
