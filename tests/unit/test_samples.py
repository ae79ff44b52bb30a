"""Pictures of a cell's samples: well-formed, complete, safe, and drawn without JavaScript."""

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from dissect.base.outcome import Phase, Status
from dissect.present.report import svg
from dissect.present.report.samples import samples_svg
from dissect.results.result import ResultError
from factories import ended_result, ok_result, operator_spec, pretrain_spec, profile_spec, serve_spec, serving_metrics


def write_lines(folder: Path, lines: list[dict[str, Any]]) -> None:
    (folder / "steps.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def steps(warm: int, measured: int) -> list[dict[str, Any]]:
    parts = ["warmup"] * warm + ["measured"] * measured
    return [{"step": n, "part": part, "seconds": [0.2 + 0.001 * n, 0.19]} for n, part in enumerate(parts)]


def parsed(markup: str) -> ET.Element:
    return ET.fromstring(f"<all>{markup}</all>")


def marks(root: ET.Element, hollow: bool) -> int:
    """Warm-up steps are circles, measured ones dots of a round line of no length."""
    return sum(path.attrib["d"].count("a2 2" if hollow else "h0") // (2 if hollow else 1) for path in root.iter("path"))


@pytest.mark.parametrize("spec", [pretrain_spec(), profile_spec()], ids=["pretrain", "profile"])
def test_every_step_is_drawn_with_median_and_interval(tmp_path: Path, spec: Any) -> None:
    write_lines(tmp_path, steps(3, 12))
    root = parsed(samples_svg(ok_result(spec), tmp_path))
    assert (marks(root, hollow=True), marks(root, hollow=False)) == (3, 12)
    [picture] = root
    assert picture.attrib["role"] == "img"
    title = picture.findtext("title") or ""
    assert title.startswith("Times of 3 warm-up and 12 measured steps; median ")
    assert title == picture.attrib["aria-label"]
    assert len(list(root.iter("rect"))) == 1


def test_a_cell_that_ended_shows_the_steps_that_it_made(tmp_path: Path) -> None:
    ended = ended_result(pretrain_spec(), Status.TIMEOUT, Phase.FORWARD, "the budget was spent")
    assert samples_svg(ended, tmp_path) == ""
    write_lines(tmp_path, steps(2, 1))
    root = parsed(samples_svg(ended, tmp_path))
    assert [each.text for each in root.iter("title")] == ["Times of 2 warm-up and 1 measured steps"]
    assert not list(root.iter("rect"))


def test_operators_show_every_size_with_its_own_interval(tmp_path: Path) -> None:
    spec = operator_spec("square")
    lines = [
        {"step": n, "product": "square", "m": m, "n": m, "k": m, "seconds": [1e-3 * m]}
        for m in spec.workload.sizes
        for n in range(5)
    ]
    write_lines(tmp_path, lines)
    root = parsed(samples_svg(ok_result(spec), tmp_path))
    assert marks(root, hollow=False) == 10
    assert len(list(root.iter("rect"))) == 2
    assert {"square 1024", "square 4096"} <= {each.text for each in root.iter("text")}


@pytest.mark.parametrize(("stream", "pictures"), [(True, ["Latency", "TTFT", "TPOT"]), (False, ["Latency"])])
def test_serving_shows_the_distributions_that_it_has(tmp_path: Path, stream: bool, pictures: list[str]) -> None:
    spec = serve_spec(stream=stream)
    root = parsed(samples_svg(ok_result(spec, serving_metrics(spec)), tmp_path))
    assert [(each.text or "").split()[0] for each in root.iter("title")] == pictures


def test_words_are_escaped() -> None:
    root = parsed(svg.svg([svg.text(0, 0, "<script>&")], 10, 'a "<script>"'))
    assert [each.text for each in root.iter("text")] == ["<script>&"]
    assert root[0].attrib["aria-label"] == 'a "<script>"'


@pytest.mark.parametrize(
    ("spec", "line", "says"),
    [
        (pretrain_spec(), '{"step": 0, "sec', "line 1: is not a JSON object"),
        (pretrain_spec(), '{"a": 1}', "line 1: seconds: Field required"),
        (pretrain_spec(), '{"seconds": [Infinity]}', "has the number Infinity"),
        (operator_spec("square"), '{"seconds": [1.0]}', "has no 'product'"),
        (operator_spec("square"), '{"product": "square", "m": 1, "seconds": [0.0]}', "greater than 0"),
    ],
)
def test_broken_samples_name_their_file(tmp_path: Path, spec: Any, line: str, says: str) -> None:
    (tmp_path / "steps.jsonl").write_text(line)
    with pytest.raises(ResultError, match=rf"steps\.jsonl: .*{re.escape(says)}"):
        samples_svg(ok_result(spec), tmp_path)


@pytest.mark.parametrize(
    ("scale", "ticks"),
    [
        (svg.Scale(0, 103, 0, 100), [0, 50, 100]),
        (svg.Scale(0, 0.11, 0, 100), [0, 0.05, 0.1]),
        (svg.Scale(20, 45, 0, 100), [20, 30, 40]),
        (svg.Scale(0.5, 2e4, 0, 100, logarithmic=True), [1, 10, 100, 1000, 10_000]),
        (svg.Scale(20, 50, 0, 100, logarithmic=True), [20, 30, 40, 50]),
    ],
)
def test_ticks_are_round_and_within(scale: svg.Scale, ticks: list[float]) -> None:
    assert scale.ticks() == pytest.approx(ticks)
