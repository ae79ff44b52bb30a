# Progress of a run, from a second terminal: snakemake progress; with --config every=10 every ten seconds.
#
# The progress is printed while the workflow is parsed, without a job. A job would start, because it shares no file with
# the active run, but at its end Snakemake would remove all of .snakemake/locks, including the lock of the active run.
if ONLY_LOOKS:
    show_progress(STUDY, Store(STORE_DIR))
    sys.exit()


rule progress:
    localrule: True
    message:
        "Progress"
