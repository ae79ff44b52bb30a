"""The folder of the report: valid HTML, links that lead somewhere, equal bytes, and what its parts say."""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import html5lib
import pandas as pd
import pytest

import factories as make
from dissect.base.outcome import Status
from dissect.cells.manifest_files import write_manifests
from dissect.cells.reported import ReportManifest, report_manifest
from dissect.cells.study import load_study
from dissect.config.errors import ConfigError
from dissect.present.report.cell_page import flattened, tail
from dissect.present.report.grid_table import part_of
from dissect.present.report.page import Page, build_page
from dissect.present.report.verdicts import read_claims
from dissect.present.report.write import write_report
from dissect.results.atomic import write_atomically
from dissect.results.cell_runs import read_runs
from report_cases import NASTY, claims, small_report
from table_cases import CASES

XHTML = "{http://www.w3.org/1999/xhtml}"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_report(tmp_path_factory.mktemp("report"))


def pages(index: Path) -> Iterator[Path]:
    yield index
    yield from (index.parent / "cells").glob("*.html")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_page_is_valid(index: Path) -> None:
    for path in pages(index):
        html5lib.HTMLParser(strict=True).parse(path.read_text())


def test_every_link_leads_somewhere(index: Path) -> None:
    trees = {path: html5lib.parse(path.read_text()) for path in pages(index)}
    ids = {path: [node.get("id") for node in tree.iter() if node.get("id")] for path, tree in trees.items()}
    for path, tree in trees.items():
        assert len(ids[path]) == len(set(ids[path])), path
        for node in tree.iter():
            target = node.get("href") or node.get("src")
            if target and not target.startswith("data:"):
                name, _, anchor = target.partition("#")
                file = (path.parent / unquote(name)).resolve() if name else path
                assert file.is_file(), (path, target)
                assert not anchor or anchor in ids[file], (path, target)


def test_every_number_leads_to_a_cell(index: Path) -> None:
    tree = html5lib.parse(index.read_text())
    numbers = [td for td in tree.iter(f"{XHTML}td") if td.get("data-value")]
    links = [td.find(f"{XHTML}a") for td in numbers]
    assert len(numbers) > 400
    assert all(link is not None and str(link.get("href")).startswith("cells/") for link in links)


def test_every_item_has_its_numbers_as_files(index: Path) -> None:
    names = [path.stem for path in sorted((index.parent / "tables").glob("*.csv"))]
    assert len(names) >= len(CASES) - 1
    for name in names:
        table = pd.read_csv(index.parent / f"tables/{name}.csv", dtype=object)
        rows = json.loads((index.parent / f"tables/{name}.json").read_text())
        assert len(rows) == len(table) > 0
        full = [{column for column, value in row.items() if pd.notna(value)} for row in table.to_dict("records")]
        assert [set(row) for row in rows] == full
    text = index.read_text()
    assert [name for name in names if f'href="tables/{name}.csv"' not in text] == []


def test_equal_inputs_give_equal_bytes_and_old_pages_go(tmp_path: Path) -> None:
    folder = small_report(tmp_path).parent
    before = files(folder)
    kept, edited = sorted((folder / "cells").iterdir())[:2]
    written_ns = kept.stat().st_mtime_ns
    edited.write_text("of an earlier version")
    (folder / "cells/0123456789ab.html").write_text("of a cell that is gone")
    (folder / "figures/fig_99.svg").write_text("of a figure that is gone")
    small_report(tmp_path)
    assert files(folder) == before
    assert kept.stat().st_mtime_ns == written_ns, "an equal page is not written again"


def test_nothing_that_is_shown_becomes_markup(index: Path) -> None:
    for path in pages(index):
        assert NASTY not in path.read_text()
        scripts = html5lib.parse(path.read_text()).iter(f"{XHTML}script")
        assert all(script.get("src") or script.get("type") == "application/json" for script in scripts)


def test_ids_of_a_table_or_row_stand_on_it_alone(index: Path) -> None:
    tree = html5lib.parse(index.read_text())
    [table] = [table for table in tree.iter(f"{XHTML}table") if table.get("id") == "table-table_III"]
    assert (table.get("data-stage"), table.get("data-framework")) == ("pretrain", "deepspeed")
    rows = [row for row in table.iter(f"{XHTML}tr") if row.find(f"{XHTML}td") is not None]
    assert {row.get("data-method") for row in rows} == {"Naive", "F+R", "Z2+O", "Q", "Z3+Q"}
    places = [td for row in rows for td in row.iter(f"{XHTML}td")]
    assert {(td.get("data-platform"), td.get("data-model")) for td in places} >= {("h200", "llama2-7b")}
    assert all(td.get("data-stage") is None and td.get("data-method") is None for td in places)


def test_claims_that_say_the_same_are_told_apart(index: Path) -> None:
    tables = html5lib.parse(index.read_text()).iter(f"{XHTML}table")
    [summary] = [table for table in tables if table.get("class") == "words summary"]
    said = ["".join(head.itertext()) for head in summary.iter(f"{XHTML}th") if head.get("scope") == "row"]
    assert said == [
        "F is faster. Throughput (tokens/s): F above Naive", "F is faster. Throughput (tokens/s): F+Z2 above Z2",
        "R < F & so on.", "Servers differ.",
    ]  # fmt: skip


def test_claims_stand_beside_what_they_are_about(tmp_path: Path) -> None:
    page = built(tmp_path)
    beside = {item.name: [claim.id for claim in item.claims] for part in page.sections for item in part.items}
    assert beside["table_III"] == ["H1", "H1-Z2", "H2"]
    assert [claim.id for part in page.sections for claim in part.claims] == ["H3"]
    assert page.verdicts == {"holds": 2, "does not hold": 1, "cannot tell": 1, "not measured": 1}
    assert [(claim.id, place) for claim, place in page.decided] == [
        ("H1", "table_III"), ("H1-Z2", "table_III"), ("H2", "table_III"), ("H3", "claims-serve"),
    ]  # fmt: skip


def test_statements_that_say_the_same_are_told_apart(index: Path) -> None:
    tree = html5lib.parse(index.read_text())
    [table] = [each for each in tree.iter(f"{XHTML}table") if each.get("class") == "words summary"]
    about = [td for td in table.iter(f"{XHTML}td") if td.get("class") == "about"]
    names = ["".join(td.itertext()) for td in about]
    assert len(names) > 1
    assert len(set(names)) == len(names)
    assert all(td.find(f"{XHTML}small") is not None for td in about)


def test_every_view_of_memory_names_its_one_definition(index: Path) -> None:
    """Allocator, driver, NVML or resident set: of a column, of a figure and of an answer."""
    manifests, project = index.parents[1] / "manifests", index.parents[2]
    wanted = ReportManifest.model_validate_json((manifests / "report.json").read_bytes())
    page = build_page(wanted, manifests, project)
    defined: dict[str, set[str]] = {}
    for table in (table for part in page.sections for item in part.items for table in item.tables):
        for column in {name.removesuffix(" (GiB)") for name, _ in table.headers[-1] if name.endswith("emory (GiB)")}:
            [meaning] = [remark for remark in table.remarks if remark.startswith(f"{column}: ")]
            defined.setdefault(column, set()).add(meaning)
    assert {"Peak memory", "Paper's memory", "Server's memory"} <= defined.keys()
    assert all(len(meanings) == 1 for meanings in defined.values())
    for text in (*map(min, defined.values()), *(d.caption for d in page.overviews if d.name.startswith("memory"))):
        assert re.search("allocator|driver|NVML|resident", text), text
    sides = [side for found in page.direct_answers for pair in found.pairs for side in (pair.left, pair.right)]
    answers = [number for side in sides for number in side.numbers if "GiB" in number]
    ranked = [text for form in page.forms for each in form.candidates for text in re.findall(r"[\d.]+ by \w+", each)]
    assert answers
    assert ranked
    assert all(text.rpartition(" by ")[2] in ("allocator", "nvml", "rss") for text in (*answers, *ranked))


def built(project: Path) -> Page:
    small_report(project, ["table_III", "table_IV"])
    folder = project / "results/manifests"
    return build_page(ReportManifest.model_validate_json((folder / "report.json").read_bytes()), folder, project)


def test_a_broken_cell_or_its_samples_take_no_page_along(tmp_path: Path) -> None:
    index = small_report(tmp_path, ["table_III"])
    before = set((index.parent / "cells").iterdir())
    published = sorted((tmp_path / "results/cells").rglob("*.json"))
    [broken, doubtful] = [path for path in published if read_runs(path).status is Status.OK][:2]
    broken.write_text("{")
    runs = read_runs(doubtful)
    for run, identity in zip(runs.runs, runs.ids, strict=True):
        folder = tmp_path / "results/store" / runs.key / "runs" / identity
        write_atomically(folder / "result.json", run.model_dump_json().encode())
        write_atomically(folder / "steps.jsonl", b'{"a":1}')
    write_report(tmp_path / "results/manifests/report.json", index, tmp_path)
    assert {path.name for path in before} - {path.name for path in (index.parent / "cells").iterdir()} == {
        f"{broken.stem}.html"
    }
    for path in pages(index):
        html5lib.HTMLParser(strict=True).parse(path.read_text())
    assert f"broken: results/cells/{broken.relative_to(tmp_path / 'results/cells')}" in index.read_text()
    page = (index.parent / "cells" / f"{doubtful.stem}.html").read_text()
    assert "Samples cannot be shown: " in page
    assert "steps.jsonl: line 1: seconds: Field required" in page


def test_what_cannot_be_told_says_what_would_tell_it(index: Path) -> None:
    assert "To tell: <code>snakemake remeasure --config more=5</code>" in index.read_text()


def test_the_page_of_a_cell_has_every_run(index: Path) -> None:
    [key] = {
        cell.key for cell in CASES["table_IV"](index.parents[2]).cells if cell.platform == "cpu" and cell.method == "R"
    }
    text = (index.parent / f"cells/{key}.html").read_text()
    assert [f"Run {number} of 5" in text for number in range(1, 6)] == [True] * 5
    assert "95 % confidence interval over 5 runs on 1 start" in text
    assert '<th scope="col">95 % of further runs lie within</th>' in text
    assert re.search(r"<td>[\d.]+–[\d.]+ on the last start</td>", text)
    assert f"start {make.start().id}, round 3 of the pass" in text
    assert " suite=smoke" in text, "the command that measures it again works whatever the suite of config.yaml"


def test_a_range_of_figures_is_about_each(tmp_path: Path) -> None:
    claims(tmp_path, [CASES["table_III"](tmp_path)])
    found = {claim.id: claim for claim in read_claims(tmp_path / "results/tables/claims.csv", {"h200": "H200"})}
    assert found["H3"].is_about("Figure 8: serving latency, RTX3090")
    assert not found["H3"].is_about("Figure 10: serving latency, A800")
    assert not found["H3"].is_about("Serving latency, CPU")
    assert [ruling.label for ruling in found["H3"].rulings] == ["H200, a800"]
    assert [case.label for ruling in found["H2"].rulings for case in ruling.cases] == ["batch 1", "batch 2"]


def test_cases_that_lack_the_same_are_told_apart(tmp_path: Path) -> None:
    """Their names have commas of their own."""
    shared = {"id": "H21", "platform": "h200", "verdict": "not measured", "reason": "no such cell"}
    told = ("item", "stage", "says", "stated_for", "check", "case", "numbers", "flags", "keys", "remedy")
    shared |= dict.fromkeys(told, "")
    path = tmp_path / "claims.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, shared)
        writer.writeheader()
        writer.writerows({**shared, "case": f"TGI, {policy}"} for policy in ("tuned", "defaults"))
    [claim] = read_claims(path, {})
    assert [case.label for case in claim.rulings[0].cases] == ["TGI, tuned; TGI, defaults"]


def test_platforms_stand_side_by_side_where_they_did_the_same(tmp_path: Path) -> None:
    [training] = built(tmp_path).side_by_side
    [table] = training.tables
    methods = [line.labels[2] for line in table.lines]
    assert methods == ["Naive", "F+R", "Z2+O", "Q"], "each ended somehow on both"
    assert [text for text, _ in table.headers[0]] == ["H200", "RTX4090"]


def test_a_log_s_tail_is_plain_text(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    assert tail(path) == ""
    path.write_bytes(b"x" * 20_000 + b"\n\x1b[1;31mbold\x1b[0m\r\n10%\r20%\n\xff\x07 end\n")
    assert tail(path).splitlines()[1:] == ["bold", "20%", "\ufffd\ufffd end"]


def test_a_tree_is_flattened() -> None:
    tree = {"a": {"b": 1, "c": {"d": [1.5, None]}}, "e": "text", "f": {}}
    assert list(flattened(tree)) == [("a.b", "1"), ("a.c.d", "[1.5, null]"), ("e", "text"), ("f", "{}")]


def test_the_manifest_has_the_paper_s_order_and_is_written_only_if_it_differs(project: Path) -> None:
    study = load_study(project, {"platforms": ["cpu", "a800"]})
    write_manifests(study, project, "")
    path = project / "results/manifests/report.json"
    names = [item["name"] for item in json_of(path)["items"]]
    own = ["table_compile", "table_sharding", "table_states"]
    of_pretraining = ["table_I", "table_II", "table_III", "table_IV", "fig_4", *own]
    assert names[:10] == [*of_pretraining, "table_V", "table_VI"]
    assert names.index("fig_6") < names.index("fig_10") < names.index("operators_attention")
    before = path.stat().st_mtime_ns
    write_manifests(load_study(project, {"platforms": ["cpu", "a800"]}), project, "")
    assert path.stat().st_mtime_ns == before


def test_an_order_decides_the_place_on_the_page_and_a_title_does_not(project: Path) -> None:
    file = project / "config/experiments/table_II.yaml"
    file.write_text(file.read_text().replace("Table II:", "Table IX:").replace("order: 2", "order: 9"))
    catalog = load_study(project, {"platforms": ["cpu", "a800"]}).catalog
    names = [item.name for item in report_manifest(catalog, ["cpu", "a800"]).items]
    assert names[:5] == ["table_I", "table_III", "table_IV", "table_II", "fig_4"]
    file.write_text(file.read_text().replace("order: 9\n", ""))
    catalog = load_study(project, {"platforms": ["cpu", "a800"]}).catalog
    names = [item.name for item in report_manifest(catalog, ["cpu", "a800"]).items]
    assert names[:5] == ["table_I", "table_III", "table_IV", "fig_4", "table_II"]


def json_of(path: Path) -> dict[str, list[dict[str, str]]]:

    loaded: dict[str, list[dict[str, str]]] = json.loads(path.read_text())
    return loaded


def test_no_table_may_take_the_page_s_name(project: Path) -> None:
    experiments = project / "config/experiments"
    (experiments / "table_III.yaml").rename(experiments / "report.yaml")
    with pytest.raises(ConfigError, match=r"report\.yaml: the name 'report' is reserved for the report page"):
        load_study(project, {})


def test_many_predicted_cells_are_a_picture_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = small_report(tmp_path, ["table_III"]).read_text()
    assert 'id="chart-table_prediction"' in drawn
    monkeypatch.setattr("dissect.present.report.drawings.MOST_PREDICTED", 1)
    text = small_report(tmp_path, ["table_III"]).read_text()
    assert 'id="chart-table_prediction"' not in text
    assert '<img src="figures/table_prediction.svg"' in text


@pytest.mark.parametrize(
    ("added", "part"),
    [
        (", H200 node of 2 (reference h200), Llama2-7B", "H200 node of 2 (reference h200), Llama2-7B"),
        (", H200 (reference h200-x1)", "H200 (reference h200-x1)"),
        (": by framework", "by framework"),
        (" (between platforms)", "between platforms"),
        ("", ""),
    ],
)
def test_a_part_is_headed_by_what_its_title_adds(added: str, part: str) -> None:
    assert part_of(f"Table II: frameworks{added}", "Table II: frameworks") == part
