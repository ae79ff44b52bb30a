# Checks before the first job, and a summary after the last.
onstart:
    if not workflow.local_exec:
        refuse_what_cannot_run(job.resources for job in workflow.dag.needrun_jobs() if not job.is_local)


onsuccess:
    summarise(STUDY, alone=not BESIDE_ANOTHER)


onerror:
    summarise(STUDY, alone=not BESIDE_ANOTHER)
