# Results of several clusters in one clone: snakemake export --config select='<glob>', snakemake import --config file=...
rule export:
    localrule: True
    params:
        config=json.dumps(config),
    message:
        "Export"
    shell:
        "{PYTHON} scripts/export_results.py --config {params.config:q}"


rule import:
    localrule: True
    params:
        config=json.dumps(config),
    message:
        "Import"
    shell:
        "{PYTHON} scripts/import_results.py --config {params.config:q}"
