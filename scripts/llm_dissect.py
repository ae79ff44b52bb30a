"""What ``llm-dissect`` runs: a question of Snakemake's targets, with nothing around its answer.

Exits with 0 and the answer, 1 and one sentence, or 2 for a command that is no question.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from dissect.config.errors import listed, nearest
from dissect.config.targets import FILE_KEYS, QUESTIONS

PROJECT = Path(__file__).parents[1]
QUIET = ("--workflow-profile", "none", "--cores", "1", "--quiet", "all")
USAGE = """Usage: llm-dissect <question> [key=value …]

{questions}

The same through Snakemake: snakemake <question> [--config key=value …]. What measures and draws: snakemake all."""


def main() -> None:
    """Become the Snakemake that answers."""
    question, *settings = sys.argv[1:] or ["--help"]
    if question in ("-h", "--help", "help"):
        print(USAGE.format(questions="\n".join(f"  {name:<11} {purpose}" for name, purpose in QUESTIONS.items())))
        return
    if problem := _problem(question, settings):
        print(f"llm-dissect: {problem}", file=sys.stderr)
        sys.exit(2)
    given = [_from(Path.cwd(), each) for each in settings if each != "--config"]
    os.chdir(PROJECT)
    command = [sys.executable, "-m", "snakemake", question, *QUIET, *(["--config", *given] if given else [])]
    os.execv(command[0], command)


def _problem(question: str, settings: Sequence[str]) -> str | None:
    """What is wrong with the words of a command; None if nothing is."""
    if question not in QUESTIONS:
        return f"unknown question '{question}'{nearest(question, QUESTIONS)} (known: {listed(QUESTIONS)})"
    strange = [each for each in settings if "=" not in each and each != "--config"]
    return f"{strange[0]}: expected key=value; options are for snakemake {question}" if strange else None


def _from(folder: Path, setting: str) -> str:
    """A setting as it reads in the project's folder: the path of a file is that of the folder of the command."""
    key, _, value = setting.partition("=")
    names_file = key in FILE_KEYS and (key == "file" or (folder / value).is_file())
    return f"{key}={folder / value}" if names_file and folder != PROJECT else setting


if __name__ == "__main__":
    main()
