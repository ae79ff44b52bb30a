"""What ``llm-dissect`` runs: a target of Snakemake, and where that is a question, nothing around its answer.

A question exits with 0 and the answer, or with 1 and one sentence; a run has Snakemake's status; 2 is neither. What is
not expected to fail ends with 1 and Snakemake's lines on where it is.
"""

import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from dissect.config.errors import listed, nearest
from dissect.config.root import RootConfig
from dissect.config.targets import FILE_KEYS, OWN_KEYS, QUESTIONS, RUNS

PROJECT = Path(__file__).parents[1]
# Not --quiet all, which also hides errors.
QUIET = ("--workflow-profile", "none", "--cores", "1", "--quiet", "host")
USAGE = """Usage: llm-dissect <question> [key=value ...]

{questions}

       llm-dissect <run> [key=value ...] [options of Snakemake, such as -n or --profile profiles/local]

{runs}

The same through Snakemake: snakemake <question or run> [--config key=value ...] [options]."""


def main() -> None:
    """Become the Snakemake that answers or measures."""
    target, *words = sys.argv[1:] or ["--help"]
    if target in ("-h", "--help", "help"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader that leaves ends it, as it ends any program
        print(USAGE.format(questions=_lines(QUESTIONS), runs=_lines(RUNS)))
        return
    first = next((at for at, word in enumerate(words) if word.startswith("-") and word != "--config"), len(words))
    settings, options = [word for word in words[:first] if word != "--config"], words[first:]
    if problem := _problem(target, settings, options):
        print(f"llm-dissect: {problem}", file=sys.stderr)
        sys.exit(2)
    given = ["--config", *(_from(Path.cwd(), each) for each in settings)] if settings else []
    os.chdir(PROJECT)
    command = [sys.executable, "-m", "snakemake", target, *given, *(QUIET if target in QUESTIONS else options)]
    os.execv(command[0], command)


def _lines(commands: Mapping[str, str]) -> str:
    return "\n".join(f"  {name:<11} {purpose}" for name, purpose in commands.items())


def _problem(target: str, settings: Sequence[str], options: Sequence[str]) -> str | None:
    """What is wrong with the words of a command; None if nothing is."""
    known = [*QUESTIONS, *RUNS]
    if target not in known and not target.startswith("results/"):
        return f"unknown command '{target}'{nearest(target, known)} (known: {listed(known)}, a file in results/)"
    if strange := [each for each in settings if "=" not in each]:
        return f"{strange[0]}: expected key=value"
    if options and target in QUESTIONS:
        return f"{options[0]}: expected key=value; options are for snakemake {target}"
    if any(re.match("--config(=|$)|-C", option) for option in options):
        return f"{settings[0]}: expected all settings in one place, found others behind options" if settings else None
    keys = RootConfig.model_fields.keys() | set().union(*OWN_KEYS.values())
    if behind := [each for each in options if "=" in each and each.partition("=")[0] in keys]:
        return f"{behind[0]}: expected settings before options, found it behind {options[0]}"
    return None


def _from(folder: Path, setting: str) -> str:
    """A setting as it reads in the project's folder: the path of a file is that of the folder of the command."""
    key, _, value = setting.partition("=")
    names_file = key in FILE_KEYS and (key == "file" or (folder / value).is_file())
    return f"{key}={folder / value}" if names_file and folder != PROJECT else setting


if __name__ == "__main__":
    main()
