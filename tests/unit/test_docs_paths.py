"""Paths and links of the docs: every named file exists, every relative link and anchor resolves."""

import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from shown import PAGES, ROOT

LIBRARY = ROOT / "scripts/dissect"
FOLDERS = {"config", "docs", "envs", "profiles", "rules", "scripts", "tests"}
PACKAGES = {path.name for path in LIBRARY.iterdir() if path.is_dir()} - {"results"}
"""`results/` is the folder of results in the docs."""


@cache
def inline(page: str) -> list[Token]:
    """The inline tokens of a page, those of headings, lists and tables too."""
    tokens = MarkdownIt("commonmark").enable("table").parse((ROOT / page).read_text())
    return [child for token in tokens for child in token.children or []]


def paths(page: str) -> Iterator[str]:
    """Words in backticks that name a file or folder; a word with a placeholder or glob names none."""
    for token in inline(page):
        if token.type == "code_inline":
            for word in token.content.split():
                if re.fullmatch(r"[\w-]+/[\w./+-]+", word) and word.split("/")[0] in FOLDERS | PACKAGES:
                    yield word


@cache
def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST derive them."""
    tokens = MarkdownIt("commonmark").parse(page.read_text())
    headings = [after.children or [] for token, after in pairwise(tokens) if token.type == "heading_open"]
    texts = ["".join(child.content for child in children) for children in headings]
    return {re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-") for text in texts}


@pytest.mark.parametrize("page", PAGES)
def test_every_named_path_exists(page: str) -> None:
    missing = [path for path in paths(page) if not (ROOT / path).exists() and not (LIBRARY / path).exists()]
    assert missing == []


def test_paths_are_found() -> None:
    assert {"scripts/dissect/config/adapters/", "ranks/nodes.py"} <= {path for page in PAGES for path in paths(page)}


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_resolves(page: str) -> None:
    links = [str(token.attrs.get("href") or token.attrs.get("src") or "") for token in inline(page)]
    broken = []
    for link in links:
        if not link or "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []
