# Exchange results between clones: snakemake export --config select='<glob>', snakemake import --config file=...
rule export:
    log:
        "results/logs/export.log",
    localrule: True
    resources:
        launcher=PYTHON,
    params:
        config=given,
    message:
        "Export"
    shell:
        "{resources.launcher} scripts/export_results.py --config {params.config:q} 2>&1 | tee {log:q}"


rule import:
    log:
        "results/logs/import.log",
    localrule: True
    resources:
        launcher=PYTHON,
    params:
        config=given,
    message:
        "Import"
    shell:
        "{resources.launcher} scripts/import_results.py --config {params.config:q} 2>&1 | tee {log:q}"
