"""The docs as a site: built as `make docs` builds it, whole, and complete without a network."""

import subprocess
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]


class Page(HTMLParser):
    """The ids of a page, where it links to, and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value is not None}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        if "href" in values:
            (self.links if tag == "a" else self.loaded).append(values["href"])
        if "src" in values:
            self.loaded.append(values["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; any warning fails."""
    run = ROOT / "envs/run"
    built = subprocess.run([run, "--build", "docs"], capture_output=True, text=True, check=False)
    if built.returncode:
        pytest.skip(f"the environment 'docs' cannot be built: {built.stderr.strip().splitlines()[-1]}")
    folder = tmp_path_factory.mktemp("site")
    command = [run, "docs", "--", "python", "-m", "sphinx", "-b", "html", "--quiet", "--fail-on-warning"]
    done = subprocess.run([*command, ROOT / "docs", folder], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def test_every_page_of_docs_is_there(pages: dict[Path, Page]) -> None:
    assert {path.stem for path in pages} >= {path.stem for path in (ROOT / "docs").glob("*.md")}


def test_every_link_within_the_site_leads_somewhere(site: Path, pages: dict[Path, Page]) -> None:
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if parts.scheme or (target.exists() and target.suffix != ".html"):
                continue
            if target not in pages or (parts.fragment and unquote(parts.fragment) not in pages[target].ids):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    loaded = {(path, address) for path, page in pages.items() for address in page.loaded}
    assert {address for _, address in loaded if urlsplit(address).netloc} == set()
    sheets = [sheet.read_text() for sheet in site.rglob("*.css")]
    assert [sheet for sheet in sheets if "url(http" in sheet or "@import" in sheet] == []


def test_formulas_need_no_script(site: Path, pages: dict[Path, Page]) -> None:
    assert "<mfrac>" in (site / "metrics.html").read_text()
    assert [address for page in pages.values() for address in page.loaded if "mathjax" in address.lower()] == []


def test_what_is_to_be_cited_is_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"version = {{{version}}}" in (ROOT / "docs/cite.md").read_text()
