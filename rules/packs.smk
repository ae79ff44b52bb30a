# Measure the cells of a platform in one allocation, in rounds: snakemake --profile profiles/slurm packs
# Each run has its own processes. `all` then publishes the finished cells.


rule packs:
    input:
        [f"results/packs/{RUN}/{platform}" for platform in pack_platforms(STUDY)],
    message:
        "All packs are complete"


use rule measure_rounds as measure_pack with:
    output:
        temp(touch("results/packs/{run}/{platform}")),
    log:
        "results/logs/packs/{run}/{platform}.log",
    resources:
        **requests(lambda wildcards: pack_request(STUDY, wildcards.platform)),
        launcher=PYTHON,
    params:
        config=given,
        options="--complete",
    message:
        "Measure all cells of {wildcards.platform} in one allocation"
