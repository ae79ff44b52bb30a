"""Entry point of the rule ``write_report``: the page of all tables, figures and verdicts, and a page per cell."""

import argparse
import gc
import sys
from pathlib import Path

from dissect.cells.places import LayoutError
from dissect.present.report.write import write_report


def main() -> None:
    """Write index.html and the rest of its folder; paths are relative to the project."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--index", type=Path, required=True)
    arguments = parser.parse_args()
    gc.disable()  # What is read stays until the last page is written: searches for garbage were a fifth of the time.
    try:
        write_report(arguments.manifest, arguments.index, Path())
    except LayoutError as error:
        sys.exit(f"llm-dissect: {error}")


if __name__ == "__main__":
    main()
