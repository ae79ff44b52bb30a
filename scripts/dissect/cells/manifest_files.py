"""The files in results/manifests: written when the workflow is parsed, looked at once more when its run has ended."""

from collections.abc import Iterator
from pathlib import Path

from dissect.cells.references import publish_references
from dissect.cells.study import Study
from dissect.config.catalog import REPORT
from dissect.config.claims import CLAIMS

FOLDER = "results/manifests"
CODE_FILE = f"{FOLDER}/code.txt"
LOCKS = ".snakemake/locks"


def write_manifests(study: Study, project: Path, code: str) -> list[str]:
    """Write each manifest whose content changed: a file's time tells Snakemake to merge again; publish references.

    ``code`` is a digest of what merges and draws; its file is an input like the manifests.

    Beside a run that holds the folder nothing is written, or its tables would be made from another configuration's
    manifests. Returns what is to be said of that.
    """
    publish_references(project)
    differing = dict(_differing(study, project))
    if _differs(project / CODE_FILE, code):
        differing[project / CODE_FILE] = code
    if differing and any((project / LOCKS).glob("*")):
        return ["Another snakemake holds this folder: tables and figures are planned as that one sees them"]
    for path, text in differing.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return []


def rewritten(study: Study, project: Path) -> str | None:
    """What to say where others wrote manifests of another configuration while a run made its tables from them."""
    names = sorted(path.name for path, _ in _differing(study, project))
    if not names:
        return None
    others = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return (
        f"{FOLDER}/{names[0]}{others}: written by another snakemake with another configuration while this one ran, so "
        "tables may show its cells; run this one again, which measures nothing"
    )


def _differing(study: Study, project: Path) -> Iterator[tuple[Path, str]]:
    """Each manifest that is not there, or has another content, with what it should be."""
    texts = {name: study.manifest(name).to_json() for name in (*study.experiments, CLAIMS)}
    for name, text in (texts | {REPORT: study.report.to_json()}).items():
        path = project / FOLDER / f"{name}.json"
        if _differs(path, text):
            yield path, text


def _differs(path: Path, text: str) -> bool:
    return not path.exists() or path.read_text(encoding="utf-8", errors="replace") != text
