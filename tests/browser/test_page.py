"""The report page in a real browser: filters, sorting, links, keyboard, themes, print, and without JavaScript."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page

from report_cases import NASTY

pytestmark = pytest.mark.browser

Open = Callable[..., Page]
SIZES = ("small", "large")
PHONE = {"viewport": {"width": 390, "height": 844}}
SHAPES = {"phone": PHONE, "wide": {"viewport": {"width": 1440, "height": 900}}}
SHOWN = "td => !td.closest('[hidden]') && !td.classList.contains('filtered')"
IDS = "td => ({...td.closest('table').dataset, ...td.parentElement.dataset, ...td.dataset})"
COUNT = f"() => [...document.querySelectorAll('td[data-value]')].filter({SHOWN}).length"
WRONG = f"""
([axis, value]) => [...document.querySelectorAll('td[data-value]')].filter((td) => {{
  const own = ({IDS})(td)[axis];
  return ({SHOWN})(td) !== (own === undefined || own === value);
}}).length
"""
"""How many numbers are shown though another value was chosen, or the other way round."""
COLUMN = """
([table, column]) => [...table.tBodies[0].rows].map((row) => {
  const place = row.cells[column];
  return place.tagName === 'TH' ? place.textContent : place.dataset.value ? Number(place.dataset.value) : null;
})
"""


@pytest.fixture(params=SIZES)
def index(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(request.param)
    return path


def count(page: Page) -> int:
    """Numbers that the filters leave."""
    return int(page.evaluate(COUNT))


def choose(box: Locator) -> None:
    """Tick a box whose menu may be closed."""
    box.evaluate("box => box.click()")


def test_every_filter_shows_what_fits_and_nothing_else(visit: Open, index: Path) -> None:
    page = visit(index)
    everything = count(page)
    boxes = page.locator("#filters input").all()
    assert len(boxes) > 10
    for box in boxes:
        axis, value = box.get_attribute("name"), box.get_attribute("value")
        choose(box)
        assert page.evaluate(WRONG, [axis, value]) == 0, (axis, value)
        choose(box)
    assert count(page) == everything


def test_filters_combine_and_survive_in_the_address(visit: Open, small: Path) -> None:
    page = visit(small)
    page.evaluate("document.addEventListener('filter', event => (window.heard = event.detail))")
    for name, value in (("platform", "h200"), ("platform", "a800"), ("method", "F+R")):
        choose(page.locator(f"#filters input[name={name}][value='{value}']"))
    wanted = {"stage": [], "platform": ["h200", "a800"], "model": [], "framework": [], "method": ["F+R"]}
    heard = page.evaluate("window.heard")
    assert {axis: sorted(values) for axis, values in heard.items()} == {a: sorted(v) for a, v in wanted.items()}
    everything = page.locator("td[data-value]").count()
    kept = count(page)
    assert 0 < kept < everything
    again = visit(small, "#" + page.url.partition("#")[2])
    assert count(again) == kept
    assert again.locator("#matches").text_content() == f"{kept} of {everything:,} numbers"
    again.get_by_role("button", name="Show everything").click()
    again.wait_for_function("!location.hash")
    assert count(again) == everything


def test_a_filter_takes_away_columns_items_and_sections_that_are_empty(visit: Open, small: Path) -> None:
    page = visit(small)
    choose(page.locator("#filters input[name=platform][value=h200]"))
    table = page.locator("#table-table_III")
    assert table.locator("thead tr").nth(0).locator("th:visible").all_text_contents()[1:] == ["H200"]
    spans = [int(head.get_attribute("colspan") or 1) for head in table.locator("thead tr").nth(0).locator("th").all()]
    assert spans[1] == table.locator("tbody tr").first.locator("td:visible").count()
    choose(page.locator("#filters input[name=stage][value=serve]"))
    assert page.locator("#pretrain").is_hidden()
    assert page.locator("main > section:visible h2").all_text_contents()[0] == "Answers"
    choose(page.locator("#filters input[name=method][value=Q]"))
    assert page.locator("#matches").text_content() == "No number matches these filters."


def ends_well(values: list[Any], *, down: bool) -> bool:
    """Numbers in order, what is no number below them."""
    found = [value for value in values if isinstance(value, float | int)]
    return found == sorted(found, reverse=down) and all(value is None for value in values[len(found) :])


def test_every_column_sorts_both_ways_and_back(visit: Open, small: Path) -> None:
    page = visit(small)
    page.evaluate("document.querySelectorAll('details').forEach(one => (one.open = true))")
    sorted_columns = 0
    for table in page.locator("table.grid").all():
        handle = table.element_handle()
        first = table.evaluate("table => table.rows[table.tHead.rows.length].querySelectorAll('th').length")
        for column, button in enumerate(table.locator("thead button").all()):
            before = page.evaluate(COLUMN, [handle, column])
            for order in ("ascending", "descending"):
                button.evaluate("button => button.click()")
                assert button.locator("..").get_attribute("aria-sort") == order
                values = page.evaluate(COLUMN, [handle, column])
                assert column < first or ends_well(values, down=order == "descending"), (order, values)
                assert sorted(map(str, values)) == sorted(map(str, before))
            button.evaluate("button => button.click()")
            assert button.locator("..").get_attribute("aria-sort") is None
            assert page.evaluate(COLUMN, [handle, column]) == before
            sorted_columns += 1
    assert sorted_columns > 50


def test_the_page_of_5_000_cells_keeps_its_size(large: Path) -> None:
    assert large.stat().st_size < 11.5e6, "its first paint grows with it: make bench BENCH=report"


def test_a_large_table_sorts(visit: Open, large: Path) -> None:
    page = visit(large)
    table = page.locator("table.grid").first
    table.locator("thead button", has_text="Throughput").first.click()
    values = page.evaluate(COLUMN, [table.element_handle(), 2])
    assert len(values) > 700
    assert None in values
    assert ends_well(values, down=False)


def test_a_number_leads_to_its_cell_and_back(visit: Open, index: Path) -> None:
    page = visit(index)
    link = page.locator("#table-table_III td a, #table-table_VI td a, table.grid td a").first
    number = (link.text_content() or "").split(" [")[0]
    link.click()
    page.locator("table.down", has_text=number).first.wait_for()
    page.locator("main a").first.click()
    page.wait_for_url("**/index.html#*")


def test_labels_and_logs_stay_text(visit: Open, small: Path) -> None:
    page = visit(small)
    assert page.locator("table.grid thead th:visible", has_text=NASTY).count() > 2
    assert page.locator("#filters label", has_text=NASTY).count() == 1
    [cell] = [path for path in (small.parent / "cells").glob("*.html") if "Last failed attempt" in path.read_text()]
    page = visit(cell)
    assert page.get_by_text("no <GPU> found").is_visible()
    log = page.locator(".log").text_content() or ""
    assert log.endswith("red\n100 %\n\ufffd<script>alert(1)</script>")
    assert log.count("\n") == 39


def test_an_outcome_says_why(visit: Open, small: Path) -> None:
    mark = visit(small).locator("#table-table_III td.oom a").first
    assert mark.get_attribute("title") == "parameters and states alone need 192.1 GiB of 140.0 GiB"
    assert mark.text_content() == f"OOM (skipped): {mark.get_attribute('title')}"


def test_a_footnote_says_on_hover_what_it_stands_for(visit: Open, small: Path) -> None:
    page = visit(small)
    mark = page.locator("#table-table_III td sup").first
    mark.hover()
    assert mark.get_attribute("title") == "a GPU throttled during the measured window"


def test_it_works_by_keyboard(visit: Open, small: Path) -> None:
    page = visit(small)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    summary = page.locator("#filters summary", has_text="Platform")
    summary.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.locator("#filters input:checked").count() == 1
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    assert page.locator("#filters details[open]").count() == 0
    button = page.locator("#table-table_III thead button").first
    button.focus()
    page.keyboard.press("Enter")
    assert button.locator("..").get_attribute("aria-sort") == "ascending"
    assert button.evaluate("one => getComputedStyle(one).outlineStyle") == "solid"


def test_the_contents_follow_and_leave_out_what_is_filtered(visit: Open, small: Path) -> None:
    page = visit(small, viewport={"width": 1440, "height": 900})
    contents = page.locator("#contents")
    for name in ("table_IV", "table_III"):
        contents.locator(f"a[href='#{name}']").click()
        page.wait_for_function(
            "name => document.querySelector('#contents li li [aria-current]')?.hash === name", arg=f"#{name}"
        )
    assert page.locator(".bar nav [aria-current]").text_content() == "Pre-training"
    choose(page.locator("#filters input[name=stage][value=serve]"))
    assert not contents.locator("a[href='#table_III']").is_visible()
    assert contents.get_by_text("Serving", exact=True).is_visible()
    assert not visit(small).locator("#contents").is_visible(), "the bar is enough"


def test_a_wide_table_scrolls_within_its_frame(visit: Open, small: Path) -> None:
    page = visit(small)
    frame = page.locator(".scroll:has(> #table-table_III)")
    assert frame.evaluate("one => one.scrollWidth > one.clientWidth")
    assert "local" in frame.evaluate("one => getComputedStyle(one).backgroundAttachment")
    assert frame.evaluate("one => getComputedStyle(one).borderTopWidth") == "1px"


@pytest.mark.parametrize(
    ("what", "theme"),
    [("index", "light"), ("index", "dark"), ("cell", "light"), ("cell", "dark"), ("phone", "light"), ("wide", "dark")],
)
def test_axe_finds_nothing_serious(visit: Open, small: Path, what: str, theme: str) -> None:
    cell = next(path for path in sorted((small.parent / "cells").glob("*.html")) if 'class="log"' in path.read_text())
    page = visit(cell if what == "cell" else small, color_scheme=theme, **SHAPES.get(what, {}))
    page.evaluate("document.querySelectorAll('details:not(.choice)').forEach(one => (one.open = true))")
    found = [
        (each["id"], each["nodes"][0]["html"][:200], each["nodes"][0]["failureSummary"])
        for each in Axe().run(page, options={"preload": False}).response["violations"]
        if each["impact"] in ("serious", "critical")
    ]
    assert found == []


def test_the_theme_is_chosen_once_for_all_pages(visit: Open, small: Path) -> None:
    page = visit(small, color_scheme="light")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.get_by_role("button", name="Dark").click()
    dark = page.evaluate(paper)
    assert dark != light
    with page.expect_navigation():
        page.locator("table.grid td a").first.click()
    assert page.evaluate(paper) == dark
    page.get_by_role("button", name="Light").click()
    assert page.evaluate(paper) == light


@pytest.mark.parametrize("what", ["index", "cell"])
def test_a_phone_scrolls_tables_and_not_the_page(visit: Open, small: Path, what: str) -> None:
    page = visit(small if what == "index" else next((small.parent / "cells").glob("*.html")), **PHONE)
    page.evaluate("document.querySelectorAll('.item').forEach(one => (one.style.contentVisibility = 'visible'))")
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_print_has_every_row_and_no_controls(visit: Open, small: Path) -> None:
    page = visit(small)
    page.emulate_media(media="print")
    assert not page.locator("#filters, .bar").first.is_visible()
    assert page.pdf()[:4] == b"%PDF"
    rows = page.locator("table.grid tbody tr")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert all(row.is_visible() for row in rows.all())


def test_tables_and_verdicts_are_whole_without_javascript(visit: Open, small: Path) -> None:
    plain = visit(small, java_script_enabled=False)
    assert not plain.locator("#filters").is_visible()
    assert plain.locator("button:visible").count() == 0
    table = plain.locator("#table-table_III")
    assert table.locator("tbody tr:visible").count() == 5
    assert plain.get_by_text("F is faster.").first.is_visible()
    figures = plain.locator("figure.chart img")
    assert figures.count() >= 4
    summary = plain.locator("#fig_4 summary").first
    summary.click()
    assert plain.locator("#table-fig_4 td").first.is_visible()


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_asked_most_is_answered_by_one_click(visit: Open, small: Path, shape: str) -> None:
    page = visit(small, **SHAPES[shape])
    answers = page.locator(".direct")
    assert answers.count() == 5
    for answer in answers.all():
        verdict = answer.locator("summary .verdict")
        box = verdict.bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= SHAPES[shape]["viewport"]["width"]
        answer.locator(":scope > summary").click()
        told = answer.locator(".versus").first if answer.locator(".versus").count() else answer.locator("code")
        assert told.is_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_question_of_the_form_survives_in_the_address(visit: Open, small: Path) -> None:
    page = visit(small)
    choose(page.locator("#filters input[name=platform][value='h200']"))
    page.locator("form.question:visible [name=memory_gb]").fill("24")
    page.wait_for_url("**#platform=h200&ask.stage=pretrain&ask.memory_gb=24")
    again = visit(small, "#" + page.url.partition("#")[2])
    assert again.locator("form.question:visible [name=memory_gb]").input_value() == "24"
    assert again.locator("#recommended").inner_html() == page.locator("#recommended").inner_html()


def test_verdict_and_standing_are_within_a_phone_s_width(visit: Open, small: Path) -> None:
    page = visit(small, **PHONE)
    for what in (".summary .short .verdict", "#recommended tbody td:nth-child(2)"):
        boxes = [box for each in page.locator(what).all() if each.is_visible() and (box := each.bounding_box())]
        assert len(boxes) > 1, what
        assert max(box["x"] + box["width"] for box in boxes) <= PHONE["viewport"]["width"], what
