"""The session that docs/start.md shows: the README's questions as a terminal shows them."""

import os
import re
import shutil

from clones import ROOT, Clone
from dissect.config.targets import QUESTIONS
from shown import blocks, commands

PAGE = ROOT / "docs/start.md"
NEEDS_A_FILE = ("compare", "export", "import")
NOW = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC")
SCREEN = 40
"""Lines of a terminal."""


def questions() -> list[list[str]]:
    """Words of the README's questions that need no file of others."""
    shown = [command.words for block in blocks("README.md") for command in commands(block)]
    asked = [words[1:] for words in shown if words[0] == "llm-dissect" and words[1] in QUESTIONS]
    return [words for words in asked if words[0] not in NEEDS_A_FILE]


def test_the_session_of_the_docs_is_what_a_terminal_shows(fresh: Clone) -> None:
    """With UPDATE_GOLDEN=1 in the environment the page is written instead."""
    shutil.copytree(ROOT / "config/references", fresh.folder / "config/references", dirs_exist_ok=True)
    answers = {" ".join(words): fresh.ask(*words).output for words in questions()}
    assert list(answers) == ["plan", "progress", "recommend stage=pretrain model=llama2-7b memory_gb=24", "claims"]
    session = "\n".join(f"$ llm-dissect {question}\n{answer}" for question, answer in answers.items())
    [block] = [block for block in blocks("docs/start.md") if block.info == "text session"]
    if os.environ.get("UPDATE_GOLDEN") == "1":
        page = PAGE.read_text()
        PAGE.write_text(page.replace(f"```text session\n{block.text}```", f"```text session\n{session}```"))
    else:
        assert NOW.sub("", session) == NOW.sub("", block.text), "look at it, then run with UPDATE_GOLDEN=1"
    [excerpt] = [block.text.splitlines()[1:] for block in blocks("README.md") if block.info == "text answer"]
    recommended = answers["recommend stage=pretrain model=llama2-7b memory_gb=24"].splitlines()
    assert [line for line in excerpt if not any(each.startswith(line) for each in recommended)] == []
    firsts = [answer.splitlines()[0] for answer in answers.values()]
    for first, expected in zip(
        firsts, (r"\d+ cells, \d+ to run", NOW.pattern, "Pre-train ", r"\d+ verdicts "), strict=True
    ):
        assert re.match(expected, first)
    asked_for_lists = ("claims",)
    assert all(len(answer.splitlines()) <= SCREEN for name, answer in answers.items() if name not in asked_for_lists)
