"""The forms of the report page that answer with predictions, in a real browser."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.browser
Open = Callable[..., Page]


def test_predictions_look_predicted_follow_the_form_and_can_be_switched_off(visit: Open, small: Path) -> None:
    page = visit(small)
    needed, form = page.locator("#need-answer"), page.locator("#need")
    needed.get_by_text("GiB per GPU").wait_for()
    first = needed.text_content()
    assert page.locator("#predicted .word").text_content() == "predicted"
    lines = needed.locator("p").all_text_contents()
    assert all(line.startswith("predicted: ") for line in lines)
    assert "repeating-linear-gradient" in needed.evaluate("one => getComputedStyle(one).backgroundImage")
    form.locator("[name=batch]").select_option("16")
    form.locator("[name=memory]").fill("1")
    assert needed.text_content() != first
    expect(needed.locator("p")).to_have_count(1)
    assert "expected to run out of memory in 1 GiB" in (needed.text_content() or ""), "and no speed"
    again = visit(small, "#" + page.url.partition("#")[2])
    expect(again.locator("#need-answer")).to_have_text(needed.text_content() or "")
    again.locator(".switch input").uncheck()
    assert again.locator("#need-answer").is_hidden()
    off = visit(small, "#" + again.url.partition("#")[2])
    assert off.locator("#need-answer").is_hidden()


def test_what_the_host_cannot_hold_is_expected_to_run_out(visit: Open, small: Path, tmp_path: Path) -> None:
    index = Path(shutil.copytree(small.parent, tmp_path / "report")) / small.name
    text, changed = re.subn(r'"host_gib": [\d.]+', '"host_gib": -1', index.read_text())
    assert changed
    index.write_text(text)
    page = visit(index)
    answer = page.locator("#need-answer")
    page.locator("#need [name=memory]").fill("1000")
    expect(answer.locator("p").first).to_contain_text("expected to run out of memory on the host, which needs ")
    expect(answer.locator("p")).to_have_count(2)


def test_servers_are_predicted_by_engine_model_gpus_and_burst(visit: Open, small: Path) -> None:
    page = visit(small)
    answer, form = page.locator("#server-answer"), page.locator("#server")
    form.locator("[name=setting]").select_option("serve/lightllm/tuned")
    form.locator("[name=model]").select_option("llama2-7b")
    form.locator("[name=gpus]").select_option("a800")
    answer.get_by_text("EUR per million tokens").wait_for()
    lines = answer.locator("p").all_text_contents()
    assert all(line.startswith("predicted: ") for line in lines)
    assert "repeating-linear-gradient" in answer.evaluate("one => getComputedStyle(one).backgroundImage")
    for word in (
        "expected to fit: cache ",
        " requests at once",
        "tokens/s over all GPUs",
        "s for the burst",
        "TTFT p99 ",
    ):
        assert word in " ".join(lines)
    assert "kernels: datasheet" in lines[-1]
    form.locator("[name=batch]").select_option("10")
    form.locator("[name=percentile]").select_option("p50")
    assert "TTFT p50 " in (answer.text_content() or "")
    form.locator("[name=price]").fill("3600000")
    assert "in the price's currency per million tokens" in (answer.text_content() or "")
    again = visit(small, "#" + page.url.partition("#")[2])
    assert "server.batch=10" in page.url
    expect(again.locator("#server-answer")).to_have_text(answer.text_content() or "")
    again.locator(".switch input").uncheck()
    assert again.locator("#server-answer").is_hidden()
    assert again.locator("#predicted form:visible").count() == 0


def test_the_form_of_servers_says_what_does_not_fit_and_what_was_measured(
    visit: Open, small: Path, tmp_path: Path
) -> None:
    setting, model, gpu = "serve/vllm/tuned", "llama2-70b", "rtx4090"
    index = Path(shutil.copytree(small.parent, tmp_path / "report")) / small.name
    numbers = index.parent / f"predicted/server-{gpu}.js"
    text, changed = re.subn(rf'("{setting} {model} 1":) .*', r"\1 [100,90,110,256],", numbers.read_text())
    numbers.write_text(text)
    assert changed == 1
    told = f'"measured": {{"{setting} {model} 1 {gpu} 10": "0123456789ab"}}'
    index.write_text(index.read_text().replace('"measured": {}', told))
    page = visit(index, f"#server.setting={setting}&server.model={model}&server.gpus={gpu}")
    expect(page.locator("#server-answer")).to_have_text(
        "predicted: expected to run out of memory: cache 100 [90–110] tokens, too little for a request of 640"
    )
    assert page.locator("#server + .measured").is_hidden()
    page.locator("#server [name=batch]").select_option("10")
    assert (page.locator("#server + .measured a").get_attribute("href") or "").endswith("cells/0123456789ab.html")


def test_waits_below_a_second_are_in_milliseconds(visit: Open, small: Path, tmp_path: Path) -> None:
    """As tables have them."""
    setting, model, gpu = "serve/vllm/tuned", "llama2-7b", "a800"
    index = Path(shutil.copytree(small.parent, tmp_path / "report")) / small.name
    numbers = index.parent / f"predicted/server-{gpu}.js"
    bursts = [[9.0, *[2.0, 0.05] * 20]] * 20
    found = json.dumps([100000, 90000, 110000, 256, 0, *bursts])
    text, changed = re.subn(rf'("{setting} {model} 1":) .*', rf"\1 {found},", numbers.read_text())
    numbers.write_text(text)
    assert changed == 1
    page = visit(index, f"#server.setting={setting}&server.model={model}&server.gpus={gpu}")
    waits = page.locator("#server-answer p").nth(2)
    expect(waits).to_contain_text(re.compile(r" 2 \[[\d.]+–[\d.]+\] s"))
    expect(waits).to_contain_text(re.compile(r" 50 \[[\d.]+–[\d.]+\] ms"))


def test_a_form_says_that_its_answers_are_not_beside_the_page(browser: Browser, small: Path, tmp_path: Path) -> None:
    without = shutil.ignore_patterns("predicted")
    index = Path(shutil.copytree(small.parent, tmp_path / "report", ignore=without)) / small.name
    # The console tells that the file is missing.
    page = browser.new_page()
    page.goto(index.as_uri() + "#server.gpus=rtx4090")
    expect(page.locator("#server-answer")).to_contain_text("predicted/server-rtx4090.js is not beside this page")
