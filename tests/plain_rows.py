"""What the plain loops beside this project's cells share: a table of settings on the standard output."""

import csv
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch


def write_rows(
    head: Sequence[str], settings: Iterable[Sequence[Any]], measure: Callable[..., Sequence[object]]
) -> None:
    """Measure every setting in bf16, and write each row as soon as it is known."""
    torch.set_default_dtype(torch.bfloat16)
    rows = csv.writer(sys.stdout, lineterminator="\n")
    rows.writerow(head)
    for setting in settings:
        rows.writerow(measure(*setting))
        sys.stdout.flush()
        torch.cuda.empty_cache()
