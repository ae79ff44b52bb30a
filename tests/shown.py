"""The commands and files that the docs show."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", *sorted(str(page.relative_to(ROOT)) for page in ROOT.glob("docs/*.md"))]


@dataclass
class Block:
    """A block of code: the words after its fence (none if it is indented), its text, and where it starts."""

    page: str
    line: int
    info: str
    text: str

    def write(self, folder: Path) -> None:
        """Write the file that the fence names: whole, behind what it has (``append``), or line by line (``diff``)."""
        kind, *append, name = self.info.split()
        path = folder / name
        if kind == "diff":
            path.write_text(self._patched(path.read_text()))
            return
        assert bool(append) == path.exists(), f"{name}: 'append' is for files that exist"
        path.parent.mkdir(exist_ok=True)
        path.write_text((path.read_text() if append else "") + self.text)

    def _patched(self, before: str) -> str:
        lines = self.text.splitlines(keepends=True)
        kept, new = ("".join(line[1:] for line in lines if line[0] in marks) for marks in (" ", " +"))
        assert before.count(kept) == 1, f"{self.page}:{self.line}: what stays must stand once in the file"
        return before.replace(kept, new)


@dataclass
class Command:
    """One command line of the docs, with the lines that are shown below it."""

    page: str
    line: int
    words: list[str]
    variables: dict[str, str]
    shown: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return " ".join(self.words)

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.page}:{self.line}: {self}"


def blocks(page: str) -> Iterator[Block]:
    """All blocks of code of a page, those in lists too."""
    for token in MarkdownIt("commonmark").parse((ROOT / page).read_text()):
        if token.type in ("fence", "code_block") and token.map:
            yield Block(page, token.map[0] + 1, token.info.strip(), token.content)


def commands(block: Block) -> list[Command]:
    """The commands of a block: after a prompt (console), or every line. What holds no commands names its language."""
    lines = block.text.splitlines()
    if block.info == "console":
        return _with_output(block, lines)
    if block.info not in ("", "sh", "bash", "shell"):
        return []
    return [command for number, line in enumerate(lines) for command in _parsed(block, number, line)]


def _with_output(block: Block, lines: list[str]) -> list[Command]:
    found: list[Command] = []
    for number, line in enumerate(lines):
        if line.startswith("$ "):
            found += _parsed(block, number, line[2:])
        elif found:
            found[-1].shown.append(line)
    return found


def _parsed(block: Block, number: int, line: str) -> list[Command]:
    """The commands of one line; `&&` and `;` part them, `#` starts a remark."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&")
    lexer.whitespace_split = True
    parts: list[list[str]] = [[]]
    for word in lexer:
        if word in ("&&", ";"):
            parts.append([])
        else:
            parts[-1].append(word)
    return [_command(block, block.line + number, words) for words in parts if words]


def _command(block: Block, line: int, words: list[str]) -> Command:
    variables = {}
    while re.match("[A-Z_]+=", words[0]):
        name, _, value = words.pop(0).partition("=")
        variables[name] = value
    return Command(block.page, line, words, variables)
