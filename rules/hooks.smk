# Checks before the first job, and a summary after the last.
onstart:
    gc.freeze()
    gc.enable()
    if "slurm" in workflow.executor_plugin.name:
        submitted = [job.resources for job in workflow.dag.needrun_jobs() if not job.is_local]
        use_one_cluster(submitted)
        # A retry asks for the whole run time.
        whole = [
            {**request, "runtime": request.get("whole_runtime", request.get("runtime"))} for request in submitted
        ]
        refuse_what_cannot_run(whole)


# Snakemake keeps temporary inputs of a target that runs nothing. Those of other runs are still needed.
FORGET = f"rm -rf results/rounds/{RUN} results/remeasured/{RUN} results/packs/{RUN}"


onsuccess:
    shell(FORGET)
    summarise(STUDY, alone=not BESIDE_ANOTHER)


onerror:
    shell(FORGET)
    summarise(STUDY, alone=not BESIDE_ANOTHER)
