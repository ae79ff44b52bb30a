"""A report in a folder of its own, from manifests and the results that were published for them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from dissect.cells.manifest import Manifest
from dissect.cells.reported import ReportItem, ReportManifest
from dissect.cells.terms import Terms
from dissect.figures.draw import read_tidy, save
from dissect.report.write import write_report
from dissect.tables.table import build_table


def write_pages(project: Path, manifests: Sequence[Manifest], terms: Mapping[str, Terms]) -> Path:
    """Write manifests, drawn figures and the report below ``project``; the path of its index.html."""
    for folder in ("manifests", "tables", "figures", "report"):
        (project / "results" / folder).mkdir(parents=True, exist_ok=True)
    for each in manifests:
        (project / f"results/manifests/{each.name}.json").write_text(each.to_json())
        if each.kind == "figure":
            table = project / f"results/tables/{each.name}.csv"
            table.write_text(build_table(each, project).csv)
            save(each, read_tidy(table), [project / f"results/figures/{each.name}.svg"])
    items = [ReportItem(name=each.name, kind=each.kind, stage=_stage(each)) for each in manifests]
    wanted = project / "results/manifests/report.json"
    wanted.write_text(ReportManifest(items=items, claims=False, terms=dict(terms)).to_json())
    index = project / "results/report/index.html"
    write_report(wanted, index, project)
    return index


def _stage(each: Manifest) -> str:
    return each.cells[0].stage
