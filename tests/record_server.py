"""A serving cell, really measured while its steps are written down; run in the environment that measures servers.

Arguments: the cell's spec, and its folder, which gets the record.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent
sys.path[:0] = [str(TESTS.parent / "scripts"), str(TESTS)]

from dissect.cells.any_spec import parse_spec  # noqa: E402
from dissect.cells.site import VARIABLE, ServingSite  # noqa: E402
from dissect.cells.spec import ServeSpec  # noqa: E402
from dissect.machine.node import look_at_node  # noqa: E402
from dissect.stages.serving import keeper  # noqa: E402
from dissect.stages.serving.measure import measure_server  # noqa: E402
from protocols import command_lines  # noqa: E402
from recorder import Recorder  # noqa: E402

STEPS = {
    "make the checkpoint": "dissect.stages.serving.checkpoint.checkpoint",
    "count the tokens of the prompts": "dissect.stages.serving.prompts.check_prompts",
    "write the prompts": "dissect.stages.serving.prompts.write_prompts",
    "stop": "dissect.stages.serving.server.Kept.stop",
}


def record_starts(recorder: Recorder, folder: Path) -> None:
    """Write down every program that is started under a keeper, with the variables that it gets beyond this process."""
    start = subprocess.Popen.__init__

    def started(self: Any, command: list[str], **options: Any) -> None:
        if keeper.__file__ in command:
            own = {n: v for n, v in options["env"].items() if os.environ.get(n) != v}
            program = {"command": command_lines(command[command.index(keeper.__file__) + 2 :]), "environment": own}
            recorder.note("start", json.loads(neutral(json.dumps(program), folder)))
        start(self, command, **options)

    subprocess.Popen.__init__ = started  # type: ignore[method-assign]


def neutral(text: str, folder: Path) -> str:
    """Without what differs from run to run or from machine to machine: folders, ports, cores."""
    for pattern, word in (
        (rf"{re.escape(tempfile.gettempdir())}/llm-dissect-\w+", "<empty folder>"),
        (re.escape(str(folder)), "<cell>"),
        (re.escape(str(TESTS)), "<tests>"),
        (re.escape(sys.executable), "python"),  # below the project
        (re.escape(str(TESTS.parent)), "<project>"),
        (r"(port |127\.0\.0\.1:)\d+", r"\1<port>"),
        (r'(WORKER_PROCESSES": )"\d+"', r'\1"by cores"'),
    ):
        text = re.sub(pattern, word, text)
    return text


def main() -> None:
    """Measure, and print how it ended."""
    spec, folder = parse_spec(sys.argv[1]), Path(sys.argv[2])
    assert isinstance(spec, ServeSpec)
    recorder = Recorder(folder / "calls")
    recorder.watch(STEPS)
    record_starts(recorder, folder)
    record = folder / "calls" / "parent.jsonl"
    command = f"{sys.executable} {TESTS / 'faulty_server.py'} --record {record}"
    site = ServingSite(checkpoints=str(folder / "checkpoints"), keep_checkpoints=True, command=command)
    os.environ[VARIABLE] = site.model_dump_json()
    found = measure_server(spec, look_at_node(spec.hardware), folder)
    print(found.status, found.reason, getattr(found.metrics, "loads", None))


if __name__ == "__main__":
    main()
