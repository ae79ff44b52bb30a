# llm-dissect: platforms x models x methods -> cells -> tables -> figures. docs/design.md explains the flow.
from snakemake.utils import min_version

min_version("9.27")


report: "rules/captions/workflow.rst"


include: "rules/common.smk"
include: "rules/questions.smk"
include: "rules/inspect.smk"
include: "rules/pretrain.smk"
include: "rules/finetune.smk"
include: "rules/profile.smk"
include: "rules/operators.smk"
include: "rules/serve.smk"
include: "rules/rounds.smk"
include: "rules/remeasure.smk"
include: "rules/packs.smk"
include: "rules/tables.smk"
include: "rules/figures.smk"
include: "rules/report.smk"
include: "rules/hooks.smk"


localrules:
    all,
    cells,
    remeasure,
    packs,
    write_table,
    draw_figure,
    write_report,


rule all:
    default_target: True
    input:
        lacking_rounds_of(STUDY.targets),
        lambda _: STUDY.targets,
        expand(TABLE, experiment=STUDY.wanted("table") + STUDY.wanted("figure"), format=TABLE_FORMATS),
        expand(FIGURE, experiment=STUDY.drawn, format=FIGURE_FORMATS),
        REPORT,
    message:
        "All targets are complete"


rule cells:
    input:
        lacking_rounds_of(STUDY.selected_targets),
        lambda _: STUDY.selected_targets,
    message:
        "All selected cells are complete"
