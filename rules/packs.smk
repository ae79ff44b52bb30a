# Measure all cells of a platform in one allocation, one after the other: snakemake --profile profiles/slurm packs
# A separate Snakemake in the allocation gives each cell its own process, result, retry and outcome. `all` then publishes
# the finished cells.


rule packs:
    input:
        [f"results/packs/{RUN}/{platform}" for platform in pack_platforms(STUDY)],
    log:
        "results/logs/packs.log",
    message:
        "All packs are complete"
    shell:
        "rm -rf results/packs 2>{log:q}"


rule measure_pack:
    output:
        temp(touch("results/packs/{run}/{platform}")),
    log:
        "results/logs/packs/{run}/{platform}.log",
    wildcard_constraints:
        platform="[^/]+",
    # The Snakemake in the allocation retries its cells.
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
