"""Sphinx configuration of the docs site (``make docs``). Pages are self-contained; nothing is fetched."""

import re
import tomllib
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

ROOT = Path(__file__).parents[1]

project = "llm-dissect"
author = "The llm-dissect developers"
release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
nitpicky = True

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
highlight_language = "none"

html_theme = "furo"
html_title = f"llm-dissect {release}"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False

# Only `make docs-links` requests external addresses, once each.
linkcheck_timeout = 20


def math(translator: HTML5Translator, node: nodes.math | nodes.math_block) -> None:
    """Write formulas as MathML, which browsers render natively."""
    block = isinstance(node, nodes.math_block)
    formula = convert(node.astext(), display="block" if block else "inline")
    translator.body.append(f'<div class="math">{formula}</div>' if block else formula)
    raise nodes.SkipNode


def name_files(app: Sphinx, page: str, source: list[str]) -> None:  # noqa: ARG001
    """Add the file name in a code block's fence as its caption."""
    source[0] = re.sub(
        r"^```(\w+)( append)? (\S+)$",
        lambda found: f"```{{code-block}} {found[1]}\n:caption: {found[3]}{', at its end' if found[2] else ''}",
        source[0],
        flags=re.MULTILINE,
    )


def setup(app: Sphinx) -> None:
    """Register what Sphinx does not bring."""
    app.add_html_math_renderer("mathml", (math, None), (math, None))
    app.connect("source-read", name_files)
