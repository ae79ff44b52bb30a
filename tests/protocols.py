"""What a runner does, as a file that a reviewer can read: tests/golden/protocols/<stage>-<framework>.yaml.

Several tests, each in the environment that it needs, write one section each. A section that changes asks for a raised
protocol number, or for a reason in the commit why no number can have changed.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from dissect.cells.runners import runners

FOLDER = Path(__file__).parent / "golden" / "protocols"
_LONGEST_BLOCK = 60
_LONGEST_LINE = 200

Call = Mapping[str, Mapping[str, Any]]
"""Name -> arguments; those without a name have their place."""


def golden_of(stage: str, framework: str) -> Path:
    """The file of one runner."""
    return FOLDER / f"{stage}-{framework}.yaml"


def read_protocol(stage: str, framework: str) -> dict[str, Any]:
    """All sections of a runner's file; none where there is no such file."""
    path = golden_of(stage, framework)
    return yaml.safe_load(path.read_text()) if path.exists() else {}


def check_protocol(stage: str, framework: str, section: str, found: Any) -> None:
    """Compare one section with the runner's file; with UPDATE_GOLDEN=1 in the environment write it instead."""
    known = read_protocol(stage, framework)
    if os.environ.get("UPDATE_GOLDEN") == "1":
        rest = {name: value for name, value in known.items() if name not in ("protocol", section)}
        known = {"protocol": runners()[stage, framework].protocol, **dict(sorted((rest | {section: found}).items()))}
        FOLDER.mkdir(parents=True, exist_ok=True)
        golden_of(stage, framework).write_text(_text(known))
    assert _text(found) == _text(known.get(section)), (
        f"{golden_of(stage, framework)}: {section} differs. Do numbers change? Then raise the runner's protocol. "
        "Write the file anew with UPDATE_GOLDEN=1, and say in the commit why a protocol stays"
    )


def command_lines(command: Sequence[str]) -> list[Any]:
    """A command with an option and its value on one line, or on several where the value is a JSON object."""
    lines: list[Any] = []
    for part in command:
        option = str(lines[-1]) if lines else ""
        if not option.startswith("-") or " " in option or part.startswith("-"):
            lines.append(part)
        elif part.startswith("{"):
            lines[-1] = {option: json.loads(part)}
        else:
            lines[-1] += f" {part}"
    return lines


def shown(calls: Sequence[Call]) -> list[Any]:
    """Calls as lines; a block that repeats at once is written a single time, with how often it comes."""
    lines = [_line(call) for call in calls]
    found: list[Any] = []
    start = 0
    while start < len(lines):
        size, times = max(
            ((size, _times(lines, start, size)) for size in range(1, _LONGEST_BLOCK)),
            key=lambda block: (block[0] * block[1] if block[1] > 1 else 1, -block[0]),
        )
        block = lines[start : start + size]
        found += [{f"{times} times": block}] if times > 1 else block
        start += size * times
    return found


def beyond(first: Sequence[Call], calls: Sequence[Call]) -> dict[str, list[Any]]:
    """What differs from the calls of ``first``: each new call once, with arguments that are new; what is not called."""
    before = {name: [call[name] for call in first if name in call] for call in first for name in call}
    new: list[Call] = []
    for call in calls:
        for name, arguments in call.items():
            if arguments not in before.get(name, []):
                known = before[name][0] if len(before.get(name, [])) == 1 else {}
                new += [part for part in [{name: _changed(known, arguments)}] if part not in new]
    missing = [name for name in before if not any(name in call for call in calls)]
    return {kind: lines for kind, lines in (("calls", shown(new)), ("without", missing)) if lines}


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Entries of ``after`` that ``before`` has not; what is gone is None."""
    found: dict[str, Any] = {name: None for name in before if name not in after}
    for name, value in after.items():
        if name not in before or before[name] != value:
            inner = isinstance(value, dict) and isinstance(before.get(name), dict)
            found[name] = _changed(before[name], value) if inner else value
    return found


def _line(call: Call) -> Any:
    """A call in one line, or its arguments one below the other where that is too long."""
    ((name, arguments),) = call.items()
    parts = [str(value) if key.isdigit() else f"{key}={value}" for key, value in arguments.items()]
    line = f"{name}({', '.join(parts)})" if parts else name
    return line if len(line) <= _LONGEST_LINE and "{" not in line else call


def _times(calls: Sequence[Any], start: int, size: int) -> int:
    """How often the block of ``size`` calls at ``start`` follows itself, the first included."""
    times = 1
    while calls[start : start + size] == calls[start + times * size : start + (times + 1) * size] != []:
        times += 1
    return times


def _text(value: Any) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=250, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """YAML without anchors, whose lists are set in like the rest."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, False)
