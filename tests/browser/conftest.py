"""A real Chromium, and pages in it that must stay quiet and offline."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from report_cases import large_report, small_report

CHROMIUM = shutil.which("chromium")
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Gone before other tests run: Playwright's event loop and signal handling are those of the whole process."""
    if CHROMIUM is None:
        pytest.skip("needs chromium (Debian's package)")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """index.html with every outcome, mark and verdict."""
    return small_report(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """index.html with 5,000 cells."""
    return large_report(tmp_path_factory.mktemp("large"))


@pytest.fixture
def visit(browser: Browser) -> Iterator[Open]:
    """Open a page; at the end nothing may stand in its console, and nothing may have been asked for elsewhere."""
    said: list[str] = []
    asked: list[tuple[Path, str]] = []
    contexts = []

    def visit(path: Path, anchor: str = "", **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        contexts.append(context)
        page = context.new_page()
        root = path.parent if path.name == "index.html" else path.parent.parent
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.on("request", lambda request: asked.append((root, request.url)))
        page.goto(path.as_uri() + anchor)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert said == []
    for root, url in asked:
        parts = urlsplit(url)
        assert parts.scheme in ("file", "data"), url
        assert parts.scheme == "data" or Path(unquote(parts.path)).is_relative_to(root), url
