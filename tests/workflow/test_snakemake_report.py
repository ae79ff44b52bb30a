"""``snakemake --report`` without a network: every table and figure, with its caption, category and labels."""

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Sequence

import html5lib
import pytest

from clones import Clone

ITEMS = {
    "results/tables/table_III.html": ("Pre-training", "table"),
    "results/tables/table_IV.html": ("Pre-training", "table"),
    "results/tables/fig_4.html": ("Pre-training", "table"),
    "results/tables/claims.html": ("Claims of the paper", "table"),
    "results/figures/fig_4.svg": ("Pre-training", "figure"),
}
NASTY = "Table III: *all* {of} `it`, <b>_1_</b> | \\\\x"
OFFLINE: Sequence[str] = ("unshare", "--map-root-user", "--net")


@pytest.fixture
def offline() -> Sequence[str]:
    """What runs a command without a network, where the kernel lets us."""
    allowed = subprocess.run([*OFFLINE, "true"], capture_output=True, check=False).returncode == 0
    return OFFLINE if allowed else ()


def write_report(clone: Clone, name: str, offline: Sequence[str]) -> None:
    command = [*offline, sys.executable, "-m", "snakemake", "--report", name]
    subprocess.run(command, cwd=clone.folder, check=True, capture_output=True)


def variable(page: str, name: str) -> dict[str, object]:
    """One of the page's embedded JSON documents."""
    (text,) = re.findall(rf"^ *var {name} = ([{{].+[}}]);?$", page, re.MULTILINE)
    found: dict[str, object] = json.loads(text)
    return found


def test_every_table_and_figure_is_in_the_page(clone: Clone, offline: Sequence[str]) -> None:
    clone.edit("config/experiments/table_III.yaml", 'title: "Table III: ', f"title: '{NASTY}' #")
    jobs = clone.snakemake("all").jobs
    assert jobs == ["Write table table_III", "Write report"], "a title draws its own table again, and the page"
    clone.edit("config/config.yaml", "tables: [table_III, table_IV]", "tables: [table_III, table_IV, claims]")
    clone.snakemake("all")
    write_report(clone, "report.html", offline)
    page = (clone.folder / "report.html").read_text()
    results, categories = variable(page, "results"), variable(page, "categories")
    assert set(results) == set(ITEMS)
    listed = {path: name for name, parts in categories.items() for paths in parts.values() for path in paths}
    for path, (category, form) in ITEMS.items():
        item = results[path]
        manifest = json.loads(clone.bytes_of(f"manifests/{item['name'].split('.')[0]}.json").popitem()[1])
        assert listed[path] == category
        title = manifest["title"].replace("{", "(").replace("}", ")")
        assert item["labels"] == {"Title": title, "Platforms": "CPU", "Form": form}
        caption = "".join(html5lib.parseFragment(item["caption"]).itertext()).split()
        assert caption == f"{manifest['title']} {manifest['caption']}".split()
        assert item["data_uri"].startswith("data:"), "the page needs no other file"
    assert clone.measured() == []
    assert clone.snakemake("all").jobs == []


def test_an_archive_has_the_same(clone: Clone, offline: Sequence[str]) -> None:
    write_report(clone, "report.zip", offline)
    with zipfile.ZipFile(clone.folder / "report.zip") as archive:
        names = {name.rsplit("/", 1)[-1] for name in archive.namelist()}
    assert {path.rsplit("/", 1)[-1] for path in ITEMS if "claims" not in path} <= names
