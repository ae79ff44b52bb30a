# Progress of a run, from a second terminal: snakemake progress; with --config every=10 every ten seconds.
#
# The progress is printed while the workflow is parsed, without a job: it writes nothing, and is all that is printed.
if ONLY_LOOKS:
    gc.enable()
    show_progress(STUDY, Store(STORE_DIR))
    sys.exit()


rule progress:
    localrule: True
    message:
        "Progress"
