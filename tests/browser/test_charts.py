"""The interactive figures and the question of the report page, in a real browser."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from dissect.cells.manifest import read_manifest
from dissect.config.question import Question
from dissect.present.figures.look import CONFIGS
from dissect.present.recommend.answer import answer
from dissect.present.recommend.answer_text import number_text, numbers_shown
from dissect.present.recommend.candidates import candidates
from dissect.present.tables.columns import Record
from dissect.present.tables.tidy import read_records
from report_cases import NASTY, TERMS

pytestmark = pytest.mark.browser
Open = Callable[..., Page]
IDS = ("stage", "platform", "model", "framework", "method", "workload")
OVERVIEWS = ["memory-pretrain", "interactivity", "modules"]
FIGURES = ["fig_4", "fig_5", "fig_6", "fig_10", "fig_attention", "fig_roofline"]


@pytest.fixture
def page(visit: Open, small: Path) -> Page:
    """The page with every kind of figure."""
    return visit(small)


@pytest.fixture(scope="module")
def records(small: Path) -> list[Record]:
    """Its cells."""
    project = small.parents[2]
    names = [item["name"] for item in json.loads((project / "results/manifests/report.json").read_text())["items"]]
    manifests = [read_manifest(project / f"results/manifests/{name}.json") for name in names]
    return [record for each in manifests for record in read_records(each, project)]


def chart(page: Page, name: str) -> Any:
    """Its plot, scrolled into sight and drawn."""
    place = page.locator(f'figure[data-chart="{name}"] .plot')
    place.scroll_into_view_if_needed()
    place.locator("svg").first.wait_for()
    return place


def words(place: Any) -> list[str]:
    """All words of the drawing."""
    return [str(text) for text in place.locator("svg text").all_text_contents()]


def send_filter(page: Page, **wanted: list[str]) -> None:
    page.evaluate("detail => document.dispatchEvent(new CustomEvent('filter', {detail}))", wanted)


@pytest.mark.parametrize("name", OVERVIEWS + FIGURES)
def test_every_figure_is_drawn_when_it_comes_into_sight(page: Page, name: str) -> None:
    place = page.locator(f'figure[data-chart="{name}"] .plot')
    assert place.locator("svg").count() == 0
    assert place.locator("img").count() == (name in FIGURES), "until then its file is shown"
    assert words(chart(page, name))
    assert place.locator("img").count() == 0


def test_all_figures_are_on_the_page(page: Page) -> None:
    found = page.locator("figure.chart").evaluate_all("all => all.map(each => each.dataset.chart)")
    assert sorted(found) == sorted([*OVERVIEWS, *FIGURES, "table_prediction"])


def test_a_point_says_what_it_is_and_opens_its_cell(page: Page) -> None:
    place = chart(page, "memory-pretrain")
    keys = place.evaluate(
        """plot => JSON.parse(document.getElementById("chart-memory-pretrain").textContent)[0][1].data.values
        .map(mark => mark.key)"""
    )
    point = place.locator(".mark-symbol.role-mark path").last
    point.hover()
    said = page.locator("#vg-tooltip-element.visible").text_content() or ""
    assert "Throughput" in said
    assert "GiB" in said
    with page.expect_navigation(url="**/cells/*.html"):
        point.click()
    assert page.url.rpartition("/")[2].removesuffix(".html") in keys


def test_a_label_stays_text_where_a_reader_points(page: Page) -> None:
    place = chart(page, "fig_6")
    place.locator(".mark-rect.role-mark path").first.hover(force=True)
    said = page.locator("#vg-tooltip-element.visible")
    assert NASTY in (said.text_content() or "")
    assert said.locator("script").count() == 0


@pytest.mark.parametrize(("name", "kind"), [("fig_5", "rect"), ("fig_6", "rect"), ("fig_10", "line")])
def test_a_bar_or_line_opens_its_cell(page: Page, name: str, kind: str) -> None:
    place = chart(page, name)
    with page.expect_navigation(url="**/cells/*.html"):
        place.locator(f'.mark-{kind}.role-mark path:not([d*="h0v"])').last.click(force=True)


def test_the_filter_takes_marks_away_and_a_panel_with_its_last(page: Page) -> None:
    place = chart(page, "memory-pretrain")
    before = place.locator(".mark-symbol.role-mark path").count()
    send_filter(page, platform=["h200"], method=["Q", "F+R"], model=[])
    page.wait_for_function(
        "before => document.querySelectorAll('.plot .mark-symbol.role-mark path').length < before", arg=before
    )
    assert place.locator(".mark-symbol.role-mark path").count() > 0
    send_filter(page, platform=["nowhere"])
    page.locator('figure[data-chart="memory-pretrain"] .plot').wait_for(state="hidden")
    assert page.get_by_text("No mark matches the filters.").first.is_visible()
    send_filter(page)
    place.wait_for(state="visible")
    assert place.locator(".mark-symbol.role-mark path").count() == before
    roofs = chart(page, "fig_roofline")
    assert "H200" in words(roofs)
    send_filter(page, platform=["cpu"])
    page.wait_for_function(
        "plot => ![...plot.querySelectorAll('text')].some(text => text.textContent === 'H200')",
        arg=roofs.element_handle(),
    )
    assert "CPU" in words(roofs)


@pytest.mark.parametrize("how", ["button", "system"])
def test_a_change_of_theme_changes_the_colours(page: Page, how: str) -> None:
    place = chart(page, "fig_4")
    title = place.locator("text", has_text="Scaling efficiency (%)")
    assert title.get_attribute("fill") == CONFIGS["light"]["axis"]["titleColor"]
    if how == "button":
        page.locator("#theme").click()
    else:
        page.emulate_media(color_scheme="dark")
    place.locator(f'text[fill="{CONFIGS["dark"]["axis"]["titleColor"]}"]', has_text="Scaling efficiency (%)").wait_for()


def test_what_is_drawn_can_be_chosen_by_keyboard(page: Page) -> None:
    place = chart(page, "fig_10")
    button = page.locator('figure[data-chart="fig_10"] button', has_text="TPOT")
    button.focus()
    page.keyboard.press("Enter")
    place.locator("text", has_text="TPOT (ms)").first.wait_for()
    assert button.get_attribute("aria-pressed") == "true"
    assert page.locator('figure[data-chart="fig_10"] button[aria-pressed=true]').count() == 1


def test_what_is_not_drawn_is_named(page: Page) -> None:
    figure = page.locator('figure[data-chart="memory-pretrain"]')
    assert "Without a number: " in (figure.locator(".caption").text_content() or "")
    figure.locator("summary").click()
    assert figure.get_by_text("OOM (backward)").is_visible()


def test_a_phone_shows_no_figure_wider_than_itself(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    for name in OVERVIEWS + FIGURES:
        box = chart(page, name).locator("svg").first.bounding_box()
        assert box
        assert box["x"] + box["width"] <= 390


QUESTIONS: list[dict[str, Any]] = [
    {"stage": "pretrain", "model": "llama2-7b"},
    {"stage": "pretrain", "model": "llama2-13b", "maximise": "throughput"},
    {"stage": "pretrain", "model": "llama2-7b", "minimise": "cost"},
    {"stage": "pretrain", "model": "llama2-7b", "minimise": "energy", "platform": "h200"},
    {"stage": "pretrain", "model": "llama2-7b", "minimise": "memory", "memory_gb": 62},
    {"stage": "pretrain", "model": "llama2-7b", "memory_gb": 1},
    {"stage": "pretrain", "model": "llama2-7b", "min_tokens_per_s": 15_000, "n_gpus": 4},
    {"stage": "pretrain", "model": "llama2-7b", "method": "Q", "framework": "deepspeed"},
    {"stage": "serve", "model": "llama2-7b"},
    {"stage": "serve", "model": "llama2-7b", "max_ttft_s": 8.8, "percentile": "p50"},
    {"stage": "serve", "model": "llama2-7b", "max_latency_s": 25, "max_tpot_s": 0.15, "maximise": "throughput"},
    {"stage": "serve", "model": "llama2-70b", "min_tokens_per_s": 1, "minimise": "memory", "percentile": "p95"},
]


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: "-".join(map(str, question.values())))
def test_the_page_answers_as_the_command_does(page: Page, records: list[Record], question: dict[str, Any]) -> None:
    ask(page, question)
    found = answer(Question.model_validate(question), candidates(records, TERMS))
    expected = [
        [ranking.work, ranking.stand_in or "", [[cell.row["key"], cell.standing.name] for cell in cells]]
        for ranking in found.rankings
        if (cells := [*ranking.found, *ranking.over])
    ]
    assert (
        page.locator("#recommended section").evaluate_all(
            """all => all.map(one => [one.dataset.work, one.dataset.standIn,
             [...one.querySelectorAll('tr[data-key]')].map(row => [row.dataset.key, row.dataset.standing])])"""
        )
        == expected
    )
    shown = page.locator("#recommended tr[data-key] td").all_text_contents()
    numbers = numbers_shown(found.question.percentile, None).values()
    measured = [cell.row for ranking in found.rankings for cell in (*ranking.found, *ranking.over)]
    assert {text for row in measured for each in numbers if (text := number_text(row, each))} <= set(shown)
    named = [
        [cell.standing.name, "/".join(str(cell.row[name]) for name in IDS)]
        for cell in (*found.out_of_memory, *found.unknown, *found.impossible)
    ]
    assert (
        page.locator("#recommended li").evaluate_all(
            "all => all.map(one => [one.dataset.standing, one.textContent.split(': ')[0]])"
        )
        == named
    )


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: "-".join(map(str, question.values())))
def test_the_number_that_settings_are_ranked_by_is_marked(page: Page, question: dict[str, Any]) -> None:
    ask(page, question)
    page.evaluate("document.querySelectorAll('#recommended details').forEach(one => (one.open = true))")
    for section in page.locator("#recommended section").all():
        marked = section.locator("th[aria-sort]")
        within = section.locator("tr[data-standing]:not([data-standing=OVER])").count()
        assert bool(marked.count()) == bool(within)
        for head in marked.all():
            order = head.get_attribute("aria-sort")
            arrow = head.evaluate("head => getComputedStyle(head, '::after').content")
            assert arrow.startswith({"ascending": '" ↑"', "descending": '" ↓"'}[order or ""])
            rows = "[...head.closest('table').tBodies[0].rows]"
            texts = head.evaluate(f"head => {rows}.map(row => row.cells[head.cellIndex].textContent)")
            numbers = [float(text.split()[0].replace(",", "")) for text in texts]
            assert numbers == sorted(numbers, reverse=order == "descending")


def ask(page: Page, question: dict[str, Any]) -> None:
    """Fill in the form as a reader does."""
    page.locator("#recommend select[name=stage]").select_option(question["stage"])
    form = page.locator(f"#recommend form[data-stage={question['stage']}]")
    given = {name: value for name, value in question.items() if name not in ("stage", "minimise", "maximise")}
    aims = [f"{name}={question[name]}" for name in ("minimise", "maximise") if name in question]
    for name, value in (given | {"objective": aims[0] if aims else "minimise=time"}).items():
        field = form.locator(f'[name="{name}"]')
        if field.evaluate("field => field.tagName") == "SELECT":
            field.select_option(str(value))
        else:
            field.fill(str(value))
    command = page.locator("#recommended code").text_content() or ""
    assert command.startswith("snakemake recommend --config ")
    assert all(f"{name}={value}" in command.split() for name, value in question.items())
