# One allocation per platform that measures its cells one after the other: snakemake --profile profiles/slurm packs
# Its own Snakemake in there gives each cell its own process, result, retry and outcome; `all` then finds them finished.


rule packs:
    input:
        [f"results/packs/{RUN}/{platform}" for platform in pack_platforms(STUDY)],
    log:
        "results/logs/packs.log",
    message:
        "All packs have ended"
    shell:
        "rm -rf results/packs 2>{log:q}"


rule measure_pack:
    output:
        temp(touch("results/packs/{run}/{platform}")),
    log:
        "results/logs/packs/{run}/{platform}.log",
    wildcard_constraints:
        platform="[^/]+",
    # Its cells have their retries within.
    retries: 0
    threads: ALL_CORES
    resources:
        **requests(lambda wildcards: pack_request(STUDY, wildcards.platform)),
        launcher=PYTHON,
    params:
        config=lambda wildcards: pack_config(config, wildcards.platform),
    message:
        "Measure all cells of {wildcards.platform} in one allocation"
    shell:
        "{resources.launcher} -m snakemake --profile profiles/local --nolock --nocolor cells --config {params.config:q}"
        " >{log:q} 2>&1"
