#!/usr/bin/env python
"""Run the ranks of one node of a cell; started by ``dissect.ranks.nodes`` on each node but the first."""

import os
import sys

import dissect.base.needs  # noqa: F401  # ends here where this Python lacks a library

# isort: split
from dissect.ranks.nodes import Order, follow
from measure import keep_byte_code

if __name__ == "__main__":
    keep_byte_code()
    status = follow(Order.model_validate_json(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
