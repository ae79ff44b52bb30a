"""The interactive figures and the question of the report page, in a real browser."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from dissect.cells.manifest import read_manifest
from dissect.config.question import Question
from dissect.present.recommend.answer import Standing, answer
from dissect.present.recommend.candidates import candidates
from dissect.present.report.charts.memory import pareto_front
from dissect.present.tables.columns import Record
from dissect.present.tables.tidy import read_records
from report_cases import TERMS

pytestmark = pytest.mark.browser
Open = Callable[..., Page]
STANDINGS = {
    Standing.BEST: "best",
    Standing.TIED: "tied",
    Standing.UNTESTED: "untested",
    Standing.BEHIND: "behind",
    Standing.OVER: "over",
    Standing.OUT_OF_MEMORY: "out of memory",
    Standing.UNKNOWN: "unknown",
    Standing.IMPOSSIBLE: "impossible",
}
IDS = ("stage", "platform", "model", "framework", "method", "workload")
CHARTS = ["memory-pretrain", "scaling", "phases", "modules", "latency-1", "latency-2", "roofline"]


@pytest.fixture
def page(visit: Open, small: Path) -> Page:
    """The page with every kind of chart."""
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
    place.locator(".main-svg").first.wait_for()
    return place


def shown(place: Any) -> list[dict[str, Any]]:
    """The traces that stand there now."""
    text = place.evaluate("plot => JSON.stringify(plot.data)")
    return list(json.loads(text))


def send_filter(page: Page, **wanted: list[str]) -> None:
    page.evaluate("detail => document.dispatchEvent(new CustomEvent('filter', {detail}))", wanted)


@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_draws_when_it_comes_into_sight(page: Page, name: str) -> None:
    place = page.locator(f'figure[data-chart="{name}"] .plot')
    if name != CHARTS[0]:
        assert place.locator(".main-svg").count() == 0
    assert shown(chart(page, name))
    assert place.locator(".xtitle").first.text_content()


def test_all_charts_are_on_the_page(page: Page) -> None:
    found = page.locator("figure.chart").evaluate_all("all => all.map(each => each.dataset.chart)")
    assert sorted(found) == sorted(CHARTS)


def test_a_point_says_what_it_is_and_opens_its_cell(page: Page) -> None:
    place = chart(page, "memory-pretrain")
    key = shown(place)[0]["customdata"][0][0]
    point = place.locator(".scatterlayer .trace").first.locator(".point").first
    point.hover(force=True)
    said = place.locator(".hoverlayer .hovertext").first.text_content()
    assert "Throughput" in said
    assert "GiB" in said
    with page.expect_navigation(url=f"**/cells/{key}.html"):
        point.click(force=True)


def test_a_bar_opens_its_cell(page: Page) -> None:
    place = chart(page, "phases")
    key = shown(place)[0]["customdata"][0][0]
    bar = place.locator(".barlayer .trace").first.locator(".point path").first
    with page.expect_navigation(url=f"**/cells/{key}.html"):
        bar.click(force=True)


def test_the_filter_takes_points_away_and_the_front_is_of_those_left(page: Page) -> None:
    place = chart(page, "memory-pretrain")
    before = shown(place)
    send_filter(page, platform=["h200"], method=["Q", "F+R"], model=[])
    page.wait_for_function("before => document.querySelector('.plot').data.length < before", arg=len(before))
    after = shown(place)
    cells = [cell for trace in after for cell in trace["customdata"]]
    assert {cell[2] for cell in cells} == {"h200"}
    assert {cell[5] for cell in cells} == {"Q", "F+R"}
    for points, front in zip(after[::2], after[1::2], strict=True):
        both = list(zip(points["x"], points["y"], strict=True))
        assert [front["x"], front["y"]] == [[both[at][axis] for at in pareto_front(both)] for axis in (0, 1)]
    send_filter(page, platform=["nowhere"])
    page.locator('figure[data-chart="memory-pretrain"] .plot').wait_for(state="hidden")
    assert page.get_by_text("The filters leave nothing to draw here.").first.is_visible()
    send_filter(page)
    place.wait_for(state="visible")
    assert shown(place) == before


@pytest.mark.parametrize("how", ["button", "system"])
def test_a_change_of_theme_changes_the_colours(page: Page, how: str) -> None:
    place = chart(page, "memory-pretrain")
    page.evaluate("document.documentElement.style.setProperty('--ink', 'rgb(1, 2, 3)')")
    if how == "button":
        page.evaluate("document.documentElement.dataset.theme = 'dark'")
    else:
        page.emulate_media(color_scheme="dark")
    page.wait_for_function("document.querySelector('.plot').layout.font.color === 'rgb(1, 2, 3)'")
    assert place.locator(".xtitle").first.evaluate("title => getComputedStyle(title).fill") == "rgb(1, 2, 3)"


def test_what_is_drawn_can_be_chosen_by_keyboard(page: Page) -> None:
    place = chart(page, "latency-1")
    button = page.locator('figure[data-chart="latency-1"] button', has_text="TPOT")
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("plot => plot.layout.xaxis.title.text.startsWith('TPOT')", arg=place.element_handle())
    assert button.get_attribute("aria-pressed") == "true"
    assert page.locator('figure[data-chart="latency-1"] button[aria-pressed=true]').count() == 1


def test_what_is_not_drawn_is_named(page: Page) -> None:
    figure = page.locator('figure[data-chart="memory-pretrain"]')
    assert "Without a number: " in (figure.locator(".caption").text_content() or "")
    figure.locator("summary").click()
    assert figure.get_by_text("OOM (backward)").is_visible()


def test_a_phone_shows_no_chart_wider_than_itself(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    for name in CHARTS:
        box = chart(page, name).bounding_box()
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
        [ranking.work, ranking.stand_in or "", [[cell.row["key"], STANDINGS[cell.standing]] for cell in cells]]
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
    named = [
        [STANDINGS[cell.standing], "/".join(str(cell.row[name]) for name in IDS)]
        for cell in (*found.out_of_memory, *found.unknown, *found.impossible)
    ]
    assert (
        page.locator("#recommended li").evaluate_all(
            "all => all.map(one => [one.dataset.standing, one.textContent.split(': ')[0]])"
        )
        == named
    )


def ask(page: Page, question: dict[str, Any]) -> None:
    """Fill in the form as a reader does."""
    form = page.locator("#recommend")
    objective = question.get("minimise") or question.get("maximise") or "time"
    given = {name: value for name, value in question.items() if name not in ("minimise", "maximise")}
    for name, value in (given | {"objective": objective}).items():
        field = form.locator(f'[name="{name}"]')
        if field.evaluate("field => field.tagName") == "SELECT":
            field.select_option(str(value))
        else:
            field.fill(str(value))
    command = page.locator("#recommended code").text_content() or ""
    assert command.startswith("snakemake recommend --config ")
    assert all(f"{name}={value}" in command.split() for name, value in question.items())
