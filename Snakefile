# llm-dissect: platforms x models x methods -> cells -> tables -> figures. docs/design.md explains the flow.
from snakemake.utils import min_version

min_version("9.27")


include: "rules/common.smk"
include: "rules/inspect.smk"
include: "rules/pretrain.smk"
include: "rules/finetune.smk"
include: "rules/profile.smk"
include: "rules/operators.smk"
include: "rules/serve.smk"
include: "rules/remeasure.smk"
include: "rules/packs.smk"
include: "rules/tables.smk"
include: "rules/figures.smk"
include: "rules/report.smk"
include: "rules/plan.smk"
include: "rules/exchange.smk"
include: "rules/questions.smk"


localrules:
    all,
    cells,
    remeasure,
    packs,
    plan,
    write_table,
    draw_figure,
    write_report,


rule all:
    default_target: True
    input:
        STUDY.targets,
        expand(TABLE, experiment=STUDY.wanted("table"), format=TABLE_FORMATS),
        expand(FIGURE, experiment=STUDY.wanted("figure"), format=FIGURE_FORMATS),
        REPORT,


rule cells:
    input:
        STUDY.selected_targets,


onstart:
    if not workflow.local_exec:
        refuse_what_cannot_run(job.resources for job in workflow.dag.needrun_jobs() if not job.is_local)


onsuccess:
    summarise(STUDY)


onerror:
    summarise(STUDY)
