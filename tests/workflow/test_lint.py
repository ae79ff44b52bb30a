"""What Snakemake's own linter says of the workflow."""

import re

from clones import Clone

ALLOWED = "Specify a conda environment or container for each rule"
"""Software comes from hash-locked environments, by way of envs/run."""


def test_the_linter_has_nothing_else_to_say(fresh: Clone) -> None:
    run = fresh.snakemake("--lint", profile=None, expect=None)
    assert set(re.findall(r"^    \* (.+?)[.:]*$", run.output, re.MULTILINE)) == {ALLOWED}
