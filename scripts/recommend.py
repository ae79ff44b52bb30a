"""Entry point of the rule ``recommend``: which measured setting is best under the limits of ``--config``."""

import argparse
import json
import sys
from pathlib import Path

from dissect.config.errors import ConfigError
from dissect.present.recommend.answer import answer
from dissect.present.recommend.answer_text import answer_frame, answer_text
from dissect.present.recommend.ask import gather
from dissect.present.tables.tidy import to_csv


def main() -> None:
    """Print the answer and write it as CSV."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--config", type=json.loads, default={}, help="settings of --config, as JSON")
    parser.add_argument("--csv", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        question, candidates, catalog = gather(Path(), arguments.config)
    except ConfigError as error:
        sys.exit(f"llm-dissect: {error}")
    found = answer(question, candidates)
    arguments.csv.write_text(to_csv(answer_frame(found)), encoding="utf-8")
    print(answer_text(found, catalog), end="")


if __name__ == "__main__":
    main()
