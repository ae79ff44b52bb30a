"""A picture of the report for README.md, taken in Chromium (Debian's package)."""

import argparse
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright


def main() -> None:
    """Take a picture of one part of the page, in the light theme."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--index", type=Path, default=Path("results/report/index.html"))
    parser.add_argument("--part", default="answers", help="id of a table, figure or section")
    arguments = parser.parse_args()
    program = shutil.which("chromium")
    if program is None:
        sys.exit("llm-dissect: no chromium on this machine; install Debian's package of that name")
    if not arguments.index.exists():
        sys.exit(f"llm-dissect: {arguments.index}: does not exist; `snakemake all` writes it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 860}, color_scheme="light")
        page.goto(f"{arguments.index.resolve().as_uri()}#{arguments.part}")
        # What is out of sight has no height yet: the second time the part stands where it stays.
        page.locator(f"#{arguments.part}").scroll_into_view_if_needed()
        page.wait_for_timeout(1000)
        page.evaluate("id => document.getElementById(id).scrollIntoView()", arguments.part)
        page.wait_for_timeout(500)
        page.screenshot(path=arguments.picture)
        browser.close()


if __name__ == "__main__":
    main()
