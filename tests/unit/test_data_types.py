"""Platforms and cells that compute in another data type than bf16: specs, reasons, remarks below tables, rankings."""

from pathlib import Path

import factories as make
from dissect.cells.any_spec import parse_spec
from dissect.cells.study import load_study
from dissect.present.recommend.candidates import work_of
from dissect.present.tables.table import build_table
from dissect.present.tables.tidy import read_record


def test_the_stand_in_replaces_the_data_type_of_what_computes(project: Path) -> None:
    """An override comes last."""
    platform = project / "config/platforms/h200.yaml"
    platform.write_text(platform.read_text().replace("\nworkload:\n", "\nworkload:\n  dtype: fp32\n"))
    made = load_study(project, {"platforms": ["h200"], "overrides": {"*/*/*/*/Z2/*": {"workload": {"dtype": "bf16"}}}})
    cells = [c for c in made.by_path.values() if c.canonical and c.stage != "inspect"]
    specs = [parse_spec(c.canonical) for c in cells]
    assert {"pretrain", "finetune", "profile", "operators", "serve"} == {spec.stage for spec in specs}
    assert {spec.workload.dtype for spec in specs} == {"bf16", "fp32"}
    assert {c.method for c, spec in zip(cells, specs, strict=True) if spec.workload.dtype == "bf16"} == {"Z2"}
    assert made.manifest("table_I").platforms["h200"].declared["Data type"] == "fp32"
    reasons = {c.unsupported for c in made.experiments["table_III"] if c.method == "F+R"}
    assert reasons == {"flash_attention_2 has no fp32"}


def test_a_table_says_whose_cells_have_another_data_type(tmp_path: Path) -> None:
    """Methods and captions name bf16."""
    usual = make.pretrain_spec()
    specs = [usual, usual.model_copy(update={"workload": usual.workload.model_copy(update={"dtype": "fp32"})})]
    platforms = {"h200": make.platform_facts("H200", "H200-141G"), "cpu": make.platform_facts("CPU", "process")}
    cells = [
        make.published_cell(tmp_path, make.ok_result(spec), platform=platform)
        for spec, platform in zip(specs, platforms, strict=True)
    ]
    layout = {"kind": "pivot", "rows": ["platform"]}
    table = build_table(make.manifest("table_III", cells, layout, platforms=platforms), tmp_path)
    assert table.markdown.count("wherever bf16 is named") == 1
    assert "- CPU: fp32 wherever bf16 is named." in table.markdown
    one, other = (each.model_copy(update={"platform": "cpu"}) for each in cells)
    mixed = [one, other.model_copy(update={"method": "B"})]
    layout = {"kind": "pivot", "rows": ["method"]}
    table = build_table(make.manifest("table_III", mixed, layout, platforms=platforms), tmp_path)
    assert "- CPU, B: fp32 wherever bf16 is named." in table.markdown


def test_data_types_are_ranked_apart(tmp_path: Path) -> None:
    usual = make.pretrain_spec()
    wide = usual.model_copy(update={"workload": usual.workload.model_copy(update={"dtype": "fp32"})})
    facts = make.platform_facts("H200", "H200-141G")
    works = [
        work_of(read_record(make.published_cell(tmp_path, make.ok_result(spec), platform="h200"), facts, tmp_path))
        for spec in (usual, wide)
    ]
    assert works[1] == f"{works[0]}, in fp32"
