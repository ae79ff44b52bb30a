"""What is recorded of a runner, and how it is written for a reviewer."""

import colorsys
from pathlib import Path
from typing import Any

import pytest

from protocols import beyond, command_lines, shown
from recorder import Recorder, libraries


def called_from(module: str, recorder: Recorder) -> list[Any]:
    """What is recorded of two calls that code of this module makes."""
    exec("import colorsys\ncolorsys.rgb_to_yiq(1, 0.5, b=0.0)\ncolorsys.rgb_to_yiq(0, 0, 0)", {"__name__": module})
    record = recorder.folder / "parent.jsonl"
    calls = recorder.calls("parent") if record.exists() else []
    record.unlink(missing_ok=True)
    return calls


def test_a_helper_that_moves_records_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setattr(colorsys, "rgb_to_yiq", colorsys.rgb_to_yiq)  # restores it in the end
    recorder = Recorder(tmp_path / "calls")
    recorder.watch(libraries("colorsys.rgb_to_yiq"))
    here = called_from("dissect.ranks.steps", recorder)
    assert shown(here) == ["colorsys.rgb_to_yiq(1, 0.5, b=0.0)", "colorsys.rgb_to_yiq(0, 0, 0)"]
    assert called_from("dissect.stages.elsewhere", recorder) == here
    assert called_from("torch.nn", recorder) == []


def test_what_repeats_is_written_once() -> None:
    calls: list[Any] = [{"a": {}}, *[{"b": {"0": 1}}, {"c": {}}] * 3, {"a": {}}]
    assert shown(calls) == ["a", {"3 times": ["b(1)", "c"]}, "a"]


def test_what_differs_is_all_that_is_written() -> None:
    first: list[Any] = [{"init": {"size": 1, "config": {"stage": 0, "clip": 0.3}}}, {"adam": {"lr": 1}}, {"step": {}}]
    other: list[Any] = [{"init": {"size": 1, "config": {"stage": 2, "clip": 0.3}}}, {"step": {}}, {"extra": {}}]
    assert beyond(first, other) == {"calls": [{"init": {"config": {"stage": 2}}}, "extra"], "without": ["adam"]}
    assert beyond(first, first) == {}


def test_an_option_is_one_line() -> None:
    command = ["python", "-m", "server", "--port", "1", "--quiet", "--body", '{"a": 1}']
    assert command_lines(command) == ["python", "-m server", "--port 1", "--quiet", {"--body": {"a": 1}}]
