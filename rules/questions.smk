# Questions: targets that answer from what is there, and measure nothing: snakemake recommend --config stage=<stage> ...
#
# They are answered while the workflow is parsed, without a job: the answer is all that is printed, and neither Snakemake's
# lock nor another run is in its way.
if ASKED:
    gc.enable()
    # A terminal may lack a character; the rest of the answer is worth having.
    sys.stdout.reconfigure(errors="replace")
if ASKED == "progress":
    from dissect.present.progress import show_progress

    show_progress(STUDY, Store(STORE_DIR))
    sys.exit()
elif ASKED:
    # Nothing more is to be done, so a reader that leaves, or Ctrl-C, ends it as it ends any program.
    for number in (signal.SIGPIPE, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    with one_sentence():
        print(answer(ASKED, STUDY, Path(), config), flush=True)
    sys.exit()


for question, purpose in QUESTIONS.items():

    rule:
        name:
            question
        localrule: True
        message:
            purpose
