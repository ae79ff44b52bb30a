# Where a run is, from a second terminal: snakemake progress, or with --config every=10 again every ten seconds.
#
# The answer comes while the workflow is parsed, without a job. Snakemake would let one in, since it shares no file with
# the run beside it; but when it ends Snakemake removes all of .snakemake/locks, the run's own lock included.
if ONLY_LOOKS:
    show_progress(STUDY, Store(STORE_DIR))
    sys.exit()


rule progress:
    localrule: True
    message:
        "Progress"
