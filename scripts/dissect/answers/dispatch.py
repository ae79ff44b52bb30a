"""The question of a command, and its answer."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from dissect.cells.study import Study
from dissect.config.errors import ConfigError
from dissect.results.exchange import ExchangeError
from dissect.results.result import ResultError
from dissect.results.store import KeyCollision
from dissect.results.unwritable import remedy

MODULES = {
    "describe": "describing",
    "ready": "readying",
    "show": "showing",
    "plan": "planning",
    "recommend": "recommending",
    "compare": "comparing",
    "claims": "claiming",
    "export": "exporting",
    "import": "importing",
    "references": "referring",
    "validate": "validating",
    "prune": "pruning",
}
"""Question -> module of this package that answers it; ``progress`` is answered before anything is written."""


def answer(question: str, study: Study, project: Path, given: Mapping[str, Any]) -> str:
    """The answer in lines; ``given`` are the settings of ``--config``.

    Raises:
        ConfigError, ExchangeError, KeyCollision, ResultError: what is asked is wrong, in one sentence.
        OSError: a file cannot be read or written.
    """
    text: str = import_module(f"{__package__}.{MODULES[question]}").answer(study, project, given)
    return text.rstrip("\n")


@contextmanager
def one_sentence() -> Iterator[None]:
    """End the process with one sentence where the block finds something that users can put right."""
    try:
        yield
    except (ConfigError, ExchangeError, KeyCollision, ResultError) as error:
        sys.exit(f"llm-dissect: {error}")
    except OSError as error:
        sentence = remedy(error) or (error.filename and f"{error.filename}: {error.strerror}")
        if not sentence:
            raise
        sys.exit(f"llm-dissect: {sentence}")
