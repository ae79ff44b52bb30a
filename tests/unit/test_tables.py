"""From published results to CSV, Markdown, LaTeX and HTML."""

import csv
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

import html5lib
import pytest

import factories as make
from dissect.base.outcome import Flag, Phase, Status
from dissect.cells.places import LayoutError
from dissect.present.tables.columns import IDENTITY, OUTCOME, PROVENANCE
from dissect.present.tables.grid import Footnotes, letter
from dissect.present.tables.platforms import DETECTORS
from dissect.present.tables.render import escape_latex, escape_markdown, subject
from dissect.present.tables.table import build_table
from dissect.present.tables.training_view import TRAINING
from dissect.present.tables.view import View
from dissect.present.tables.views import VIEWS
from dissect.workloads.arithmetic import hardware_flops, model_flops
from goldens import check_golden
from table_cases import CASES, table_i, table_ii, table_iii

ROOT = Path(__file__).parents[2]
NASTY = r"A_1 & 50% #2 $x {y} ~ ^ \z <a|b> 3–4 ×"


@pytest.mark.parametrize("name", CASES)
def test_tables_are_those_that_were_looked_at(name: str, tmp_path: Path) -> None:
    table = build_table(CASES[name](tmp_path), tmp_path)
    check_golden(f"tables/{name}.csv", table.csv)
    check_golden(f"tables/{name}.md", table.markdown)
    check_golden(f"tables/{name}.tex", table.latex)


@pytest.mark.parametrize("name", CASES)
def test_no_place_is_left_bare(name: str, tmp_path: Path) -> None:
    table = build_table(CASES[name](tmp_path), tmp_path)
    lines = [line for line in table.markdown.splitlines() if line.startswith("|") and not line.startswith("|:")]
    places = [place.strip() for line in lines for place in line.strip("|").split("|")]
    assert places
    assert not {"", "-", "–", "nan", "None"} & set(places)


def test_csv_has_the_documented_columns_and_a_row_per_cell(tmp_path: Path) -> None:
    manifest = table_iii(tmp_path)
    rows = list(csv.DictReader(io.StringIO(build_table(manifest, tmp_path).csv)))
    assert list(rows[0]) == TRAINING.column_names()
    assert [row["key"] or None for row in rows] == [cell.key for cell in manifest.cells]
    by_status = {row["status"] for row in rows}
    assert by_status == {"ok", "oom", "skipped_oom", "timeout", "invalid", "unsupported"}
    assert all(bool(row["tokens_per_s"]) == (row["status"] == "ok") for row in rows)
    assert all(bool(row["reason"]) == (row["status"] != "ok") for row in rows)


def test_the_machine_at_hand_declares_budgets_that_nothing_is_held_against(tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(build_table(table_i(tmp_path), tmp_path).csv)))
    assert {row["agrees"] for row in rows if row["platform"] == "cpu"} == {""}
    differing = [(row["platform"], row["fact"]) for row in rows if row["agrees"] == "no"]
    assert differing == [("h200", "CPU")]
    assert {row["source"] for row in rows if row["platform"] == "a800"} == {
        "not measured: no cell inspects this platform"
    }


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_every_column_has_one_meaning(view: View) -> None:
    assert all(column.meaning for column in (*IDENTITY, *OUTCOME, *view.origin, *PROVENANCE))
    assert all(view.axes.values())
    assert all(quantity.meaning and quantity.header for quantity in view.quantities)
    assert len(set(view.column_names())) == len(view.column_names())


def test_derived_numbers(tmp_path: Path) -> None:
    spec = make.pretrain_spec(make.hardware(n_gpus=4), recompute=True)
    # FLOPs that an earlier formula counted: tables count by today's.
    earlier = {"model_flops_per_step": 1, "hardware_flops_per_step": 1}
    metrics = make.training_metrics(spec, 0.5, energy_per_step_j=700.0, peak_memory_bytes=3 * 2**29, **earlier)
    cell = make.published_cell(tmp_path, make.ok_result(spec, metrics), platform="h200", method="R")
    layout = {"kind": "pivot", "rows": ["method"]}
    [row] = csv.DictReader(io.StringIO(build_table(make.manifest("table_III", [cell], layout), tmp_path).csv))
    # What four GPUs could do in half a second is what one does in two.
    assert float(row["mfu"]) == pytest.approx(model_flops(spec, 1) / (2 * 989.5e12))
    assert float(row["hfu"]) == pytest.approx(hardware_flops(spec, 1) / (2 * 989.5e12))
    assert float(row["hfu"]) > float(row["mfu"])
    assert float(row["tokens_per_joule"]) == pytest.approx(1400 / 700)
    assert float(row["peak_memory_gib"]) == 1.5
    assert (row["tokens_per_step"], row["batch"], row["git_dirty"]) == ("1400", "1", "False")


def test_no_mfu_without_a_peak_at_the_dtype(tmp_path: Path) -> None:
    cell = make.published_cell(tmp_path, make.ok_result(make.pretrain_spec()), platform="h200")
    facts = {"h200": make.platform_facts("H200", "H200-141G", peak_flops={"fp32": 67e12})}
    layout = {"kind": "pivot", "rows": ["method"], "values": ["tokens_per_s", "mfu"]}
    table = build_table(make.manifest("table_III", [cell], layout, platforms=facts), tmp_path)
    assert next(csv.DictReader(io.StringIO(table.csv)))["mfu"] == ""
    assert "n/a<sup>a</sup>" in table.markdown
    assert "no dense peak is declared for this platform and dtype" in table.markdown


@pytest.mark.parametrize(
    ("name", "values", "shown"),
    [
        ("tokens_per_s", (123456.7, 123000.2, 124000.9), "123,457 [123,000–124,001]"),
        ("tokens_per_s", (1234.56, 1230.0, 1240.0), "1,235 [1,230–1,240]"),
        ("tokens_per_s", (12.3456, 12.0, 13.0), "12.35 [12.00–13.00]"),
        ("step_time_s", (0.0123456, 0.0122, 0.0125), "12.35 [12.20–12.50]"),
        ("paper_tokens_per_s", (0.05,), "0.05000"),
        ("peak_memory_gib", (61.11497,), "61.11"),
        ("mfu", (0.41234,), "41.2"),
        ("batch_measured", (24,), "24"),
        ("trainable_parameters", (6738415616,), "6,738"),
        ("energy_per_step_j", (0.0,), "0.000"),
    ],
)
def test_numbers_as_shown(name: str, values: tuple[float, ...], shown: str) -> None:
    assert TRAINING.by_name[name].show(*values) == shown


@pytest.mark.parametrize(
    ("status", "phase", "first", "others", "has_note"),
    [
        (Status.OOM, Phase.BACKWARD, "OOM (backward)", "OOM", False),
        (Status.OOM, Phase.HOST, "OOM (host)", "OOM", False),
        (Status.SKIPPED_OOM, None, "OOM (skipped)", "OOM", True),
        (Status.TIMEOUT, Phase.OPTIMIZER, "timeout (optimizer)", "timeout", True),
        (Status.TIMEOUT, None, "timeout", "timeout", True),
        (Status.INVALID, Phase.FORWARD, "invalid (forward)", "invalid", True),
    ],
)
def test_outcomes_stand_where_numbers_would(
    status: Status, phase: Phase | None, first: str, others: str, has_note: bool, tmp_path: Path
) -> None:
    result = make.ended_result(make.pretrain_spec(), status, phase, "it is so")
    cell = make.published_cell(tmp_path, result, platform="h200")
    layout = {"kind": "pivot", "rows": ["method"], "values": ["tokens_per_s", "mfu"]}
    text = build_table(make.manifest("table_III", [cell], layout), tmp_path).markdown
    row = next(line for line in text.splitlines() if line.startswith("| Naive"))
    places = [place.strip() for place in row.strip("|").split("|")]
    assert places == ["Naive", first + ("<sup>a</sup>" if has_note else ""), others]
    assert (f"- <sup>a</sup> {first}: it is so" in text) == has_note


@pytest.mark.parametrize(
    ("platform", "name", "text", "note"),
    [
        ("h200", None, "not planned", "the experiment has no such cell"),
        ("h200@lab", "lab", "not measured", "the reference results have no such cell"),
    ],
)
def test_a_place_without_a_cell_says_whose_it_would_be(
    platform: str, name: str | None, text: str, note: str, tmp_path: Path
) -> None:
    reference = {"reference": name}
    small, large = make.pretrain_spec(batch=1), make.pretrain_spec(batch=2, attention="sdpa_flash")
    cells = [
        make.published_cell(tmp_path, make.ok_result(small), platform=platform, method="Naive").model_copy(
            update=reference
        ),
        make.published_cell(tmp_path, make.ok_result(large), platform=platform, method="F").model_copy(
            update=reference
        ),
    ]
    layout = {"kind": "pivot", "rows": ["method"], "columns": ["batch"], "values": ["tokens_per_s"]}
    table = build_table(make.manifest("table_III", cells, layout), tmp_path).markdown
    assert table.count(f"{text}<sup>a</sup> |") == 2
    assert f"- <sup>a</sup> {text}: {note}" in table


def test_every_flag_is_a_footnote(tmp_path: Path) -> None:
    result = make.ok_result(make.pretrain_spec(), flags=list(Flag))
    cell = make.published_cell(tmp_path, result, platform="h200")
    table = build_table(make.manifest("table_III", [cell], {"kind": "pivot", "rows": ["method"]}), tmp_path)
    marks = [letter(number) for number in range(len(Flag))]
    assert f"<sup>{','.join(marks)}</sup>" in table.markdown
    for mark, flag in zip(marks, Flag, strict=True):
        assert f"- <sup>{mark}</sup> {flag.meaning}" in table.markdown.replace("\\", "")
    assert next(csv.DictReader(io.StringIO(table.csv)))["flags"] == ";".join(Flag)


def test_a_window_that_ended_early_is_told_from_the_interval_over_runs() -> None:
    meaning = Flag.INTERVAL_NOT_REACHED.meaning
    assert "steps or calls of a run" in meaning
    for page, text in (("tutorial", meaning), ("metrics", "the steps or calls of a run vary")):
        assert text in (ROOT / "docs" / f"{page}.md").read_text()


def test_a_table_shows_what_the_gpus_alone_would_allow(tmp_path: Path) -> None:
    result = make.ok_result(make.pretrain_spec())
    times = {"compute_time_s": 0.06, "communication_time_s": 0.02, "collective_wait_s": 0.01}
    metrics = result.metrics.model_copy(update=times)
    cell = make.published_cell(tmp_path, result.model_copy(update={"metrics": metrics}), platform="h200")
    layout = {"kind": "pivot", "rows": ["method"], "values": ["tokens_per_s", "device_tokens_per_s", "device_time_s"]}
    table = build_table(make.manifest("table_III", [cell], layout), tmp_path)
    (row,) = csv.DictReader(io.StringIO(table.csv))
    assert float(row["device_time_s"]) == pytest.approx(0.08)
    assert float(row["device_tokens_per_s"]) == pytest.approx(metrics.tokens_per_step / 0.08)
    assert (row["device_compute_time_s"], row["device_communication_time_s"]) == ("0.06", "0.02")
    assert "80.00" in table.markdown


def test_throughput_of_the_device_stands_beside_the_measured_one_where_a_cell_has_it(tmp_path: Path) -> None:
    plain, fast = make.pretrain_spec(), make.pretrain_spec(zero_stage=2)
    cells = [make.published_cell(tmp_path, *make.training_runs(plain, 0.2), platform="h200")]
    layout = {"kind": "pivot", "rows": ["method"]}

    def header() -> str:
        text = build_table(make.manifest("table_III", cells, layout), tmp_path).markdown
        return next(line for line in text.splitlines() if line.startswith("|"))

    assert "Throughput of the device" not in header()
    runs = make.training_runs(fast, 0.2, device=[0.1] * 5)
    cells.append(make.published_cell(tmp_path, *runs, platform="h200", method="Z2"))
    measured = header().index("Throughput (tokens/s)")
    assert measured < header().index("Throughput of the device (tokens/s)") < header().index("Peak memory")


def test_a_number_that_only_some_runs_have_says_how_many(tmp_path: Path) -> None:
    runs = make.training_runs(make.pretrain_spec(), 0.2, device=[0.1, 0.1, 0.1])
    cell = make.published_cell(tmp_path, *runs, platform="h200")
    layout = {"kind": "pivot", "rows": ["method"], "values": ["tokens_per_s", "device_time_s"]}
    table = build_table(make.manifest("table_III", [cell], layout), tmp_path).markdown
    assert table.count("3 of 5 runs have this number") == 1


def test_a_constant_column_moves_below_the_table(tmp_path: Path) -> None:
    text = build_table(table_ii(tmp_path), tmp_path).markdown
    header = next(line for line in text.splitlines() if line.startswith("|"))
    assert "A800" not in header
    assert "Megatron-LM<br>" in header
    assert "A800 (8 × A800-80G)" in text


def test_rows_of_numbers_ascend_and_max_is_last(tmp_path: Path) -> None:
    manifest = table_ii(tmp_path)
    backwards = manifest.model_copy(update={"cells": manifest.cells[::-1]})
    rows = [
        line.split("|")[1].strip() for line in build_table(backwards, tmp_path).markdown.splitlines() if "|" in line
    ]
    assert rows[2:] == ["1", "2", "4", "max"]


def test_two_cells_at_one_place_are_an_error_that_names_the_axis(tmp_path: Path) -> None:
    manifest = table_iii(tmp_path)
    layout = {"kind": "pivot", "rows": ["method"], "columns": ["platform"]}
    with pytest.raises(LayoutError, match=r"table_III: layout: two cells stand at Naive, h200; add one of model"):
        build_table(manifest.model_copy(update={"layout": layout}), tmp_path)


def test_a_broken_cell_is_shown_with_its_reason_and_takes_no_other_along(tmp_path: Path) -> None:
    manifest = table_ii(tmp_path)
    broken, name = manifest.cells[0], str(manifest.cells[0].path)
    path = tmp_path / name
    whole = build_table(manifest, tmp_path)
    others = {line for line in whole.csv.splitlines() if broken.key not in line}
    infinite = re.sub(rb'("tokens_per_s": {\s+"median": )[0-9.]+', rb"\1Infinity", path.read_bytes())
    cases = {
        "holds the cell ": (tmp_path / str(manifest.cells[2].path)).read_bytes(),
        "is not a JSON object (truncated?)": path.read_bytes()[:100],
        "metrics.training.tokens_per_s.median: Input should be a finite number": infinite,
        "reads up to 1; update the project": path.read_bytes().replace(b'"schema_version": 1', b'"schema_version": 9'),
    }
    for says, data in cases.items():
        path.write_bytes(data)
        table = build_table(manifest, tmp_path)
        assert others <= set(table.csv.splitlines())
        [row] = [row for row in csv.DictReader(table.csv.splitlines()) if row["key"] == broken.key]
        assert (row["status"], row["tokens_per_s"]) == ("broken", "")
        assert row["reason"].startswith(f"{name}: "), "relative to the project"
        assert says in row["reason"]
        assert f"broken: {name}" in table.markdown


def test_special_characters_are_escaped() -> None:
    assert escape_latex(NASTY) == (
        r"A\_1 \& 50\% \#2 \$x \{y\} \textasciitilde{} \textasciicircum{} \textbackslash{}z "
        r"\textless{}a\textbar{}b\textgreater{} 3--4 $\times$"
    )
    assert escape_latex("[x]\n y") == "{}[x] y"
    assert escape_markdown(r"a_b *c* <d> x|y \z") == r"a\_b \*c\* \<d\> x\|y \\z"


def test_special_characters_in_labels_break_neither_form(tmp_path: Path) -> None:
    result = make.ended_result(make.pretrain_spec(), Status.INVALID, Phase.FORWARD, NASTY)
    cell = make.published_cell(tmp_path, result, platform="h200")
    facts = {"h200": make.platform_facts(NASTY, NASTY)}
    layout = {"kind": "pivot", "rows": ["platform"], "values": ["tokens_per_s", "mfu"]}
    manifest = make.manifest("table_III", [cell], layout, platforms=facts, title=NASTY, caption=NASTY)
    table = build_table(manifest, tmp_path)
    row = next(line for line in table.markdown.splitlines() if "invalid (forward)<sup>" in line)
    assert len(re.findall(r"(?<!\\)\|", row)) == 4
    title, heading, caption, *_ = html_texts(table.html)
    assert {title, heading, caption} == {"".join(NASTY.split())}
    assert not re.search(r"(?<!\\)[%#]", table.latex.split("\n", 1)[1].replace("{!}{%\n", ""))


def html_texts(page: str) -> list[str]:
    """Headings, sentences and places of a page that a strict parser takes, without white space."""
    tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page)
    leaves = (element for element in tree.iter() if element.tag in ("title", "h1", "p", "li", "th", "td"))
    return ["".join("".join(leaf.itertext()).split()) for leaf in leaves]


@pytest.mark.parametrize("name", CASES)
def test_html_is_valid_and_shows_the_numbers_of_markdown(name: str, tmp_path: Path) -> None:
    table = build_table(CASES[name](tmp_path), tmp_path)
    places = {re.sub(r"</?sup>|\\|\s+", "", place) for place in table.markdown.split("|")}
    assert {place for place in places if place[:1].isdigit()} <= set(html_texts(table.html))


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
@pytest.mark.parametrize("name", CASES)
def test_latex_compiles(name: str, tmp_path: Path) -> None:
    tex = build_table(CASES[name](tmp_path), tmp_path).latex
    document = f"\\documentclass{{article}}\\usepackage{{booktabs,graphicx}}\\begin{{document}}{tex}\\end{{document}}"
    (tmp_path / "t.tex").write_text(document)
    subprocess.run(["pdflatex", "-halt-on-error", "t.tex"], cwd=tmp_path, check=True, capture_output=True)


@pytest.mark.parametrize("name", CASES)
def test_latex_rows_have_as_many_places_as_the_header_says(name: str, tmp_path: Path) -> None:
    tex = build_table(CASES[name](tmp_path), tmp_path).latex
    tabulars = re.findall(r"\\begin\{tabular\}\{(\w+)\}\n(.*?)\\end\{tabular\}", tex, re.DOTALL)
    assert tabulars
    for alignment, body in tabulars:
        for line in (line for line in body.splitlines() if line.endswith(r"\\")):
            spans = [int(width) for width in re.findall(r"\\multicolumn\{(\d+)\}", line)]
            places = len(re.findall(r"(?<!\\)&", line)) + 1
            assert places + sum(spans) - len(spans) == len(alignment), line


def test_subject_of_a_title() -> None:
    assert subject("Table III: pre-training: batch 1") == "Pre-training: batch 1"
    assert subject("Pre-training") == "Pre-training"


def test_footnotes_share_letters() -> None:
    footnotes = Footnotes()
    assert footnotes.letters(("x", "y")) == "a,b"
    assert footnotes.letters(("y",)) == "b"
    assert footnotes.letters(()) == ""
    assert footnotes.texts == ["x", "y"]
    names = [letter(index) for index in range(60)]
    assert (names[0], names[25], names[26], names[52]) == ("a", "z", "aa", "ba")
    assert len(set(names)) == 60


@pytest.mark.parametrize(
    ("fact", "declared", "agrees"),
    [
        ("GPU", "NVIDIA H200", True),
        ("GPU", "NVIDIA A800-SXM4-80GB", False),
        ("GPUs", "4", True),
        ("GPUs", "8", False),
        ("GPU memory", "140.4 GiB", True),
        ("GPU memory", "80 GiB", False),
        ("Host memory", "plenty", None),
        ("Interconnect", "NVLink, 900 GB/s", True),
        ("Interconnect", "PCIe 4.0 x16", False),
        ("CPU", "2 x Intel Xeon Platinum 8480", True),
        ("CPU", "2 x AMD EPYC 7402", False),
        ("CPU", "64 cores of a virtual machine", None),
        ("Host memory", "512 GiB", True),
        ("Host memory", "1024 GiB", False),
    ],
)
def test_declared_against_detected(fact: str, declared: str, agrees: bool | None) -> None:
    assert DETECTORS[fact].agree(declared, make.inspect_metrics()) is agrees


def test_entry_point_writes_all_forms_and_fails_in_one_sentence(tmp_path: Path) -> None:
    manifest = table_iii(tmp_path)
    (tmp_path / "manifest.json").write_text(manifest.to_json())
    command = [sys.executable, str(ROOT / "scripts/write_table.py"), "manifest.json"]
    forms = ("csv", "md", "tex", "html")
    options = [option for form in forms for option in (f"--{form}", f"t.{form}")]
    subprocess.run([*command, *options], cwd=tmp_path, check=True)
    table = build_table(manifest, tmp_path)
    written = [(tmp_path / f"t.{form}").read_text() for form in forms]
    assert written == [table.csv, table.markdown, table.latex, table.html]
    wrong = manifest.model_copy(update={"layout": {"kind": "pivot", "rows": ["method"], "columns": ["platform"]}})
    (tmp_path / "manifest.json").write_text(wrong.to_json())
    failed = subprocess.run([*command, "--csv", "t.csv"], cwd=tmp_path, capture_output=True, text=True)
    assert failed.returncode == 1
    assert re.fullmatch(r"llm-dissect: table_III: layout: [^\n]+\n", failed.stderr)


@pytest.mark.parametrize("layout", [{"kind": "platforms"}, {"kind": "pivot", "rows": ["method"]}, {"kind": "scaling"}])
def test_a_table_without_cells_has_its_header_alone(layout: dict[str, object], tmp_path: Path) -> None:
    table = build_table(make.manifest("table_X", [], layout), tmp_path)
    assert len(table.csv.splitlines()) == 1
    assert table.markdown == ""
