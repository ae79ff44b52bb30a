"""What an answer of `recommend` says beside its settings."""

from pathlib import Path

from dissect.base.outcome import Flag
from dissect.config.catalog import load_catalog
from dissect.present.recommend.answer_text import MORE_GPUS, TAKES_ALL, answer_text, origins
from recommend_cases import ask, serving, training


def test_a_limit_on_the_memory_of_servers_is_one_on_their_cards(project: Path) -> None:
    records, known = [serving(project, "vllm", 4.0), training(project, "L", 900.0)], load_catalog(project, {})
    asked = {"stage": "serve", "model": "llama2-7b"}
    assert f"\n{TAKES_ALL}\n\n" in answer_text(ask(records, **asked, memory_gb=80), known)
    assert TAKES_ALL not in answer_text(ask(records, **asked), known)
    assert TAKES_ALL not in answer_text(ask(records, memory_gb=80), known)


def test_marks_that_are_not_shown_are_not_explained(project: Path) -> None:
    records, known = [training(project, "L", 900.0, gib=30, flags=[Flag.THROTTLED])], load_catalog(project, {})
    assert f"\n{Flag.THROTTLED}: " in answer_text(ask(records), known)
    assert Flag.THROTTLED not in answer_text(ask(records, memory_gb=20), known)


def test_a_set_of_reference_results_has_one_line() -> None:
    """With every machine, day and commit, also of runs of one cell."""
    one = {"reference": "lab", "machine": "1 x H200", "measured_at": "2026-11-29T08:00:00", "git_commit": "b" * 40}
    two = {"reference": "lab", "machine": "2 x H200", "measured_at": "2026-11-30T08:00:00", "git_commit": "a" * 40}
    several = two | {"measured_at": "2026-11-30T08:00:00;2026-12-01T08:00:00", "git_commit": f"{'a' * 40};{'c' * 40}"}
    other = one | {"reference": "far", "git_commit": None}
    days, commits = "2026-11-29 to 2026-12-01", "bbbbbbb, aaaaaaa, ccccccc"
    assert list(origins([several, one, two, other])) == [
        f"reference lab: measured {days} (UTC) on 1 x H200; 2 x H200; commit {commits}.",
        "reference far: measured 2026-11-29 (UTC) on 1 x H200; commit unknown.",
    ]


def test_settings_with_different_numbers_of_gpus_are_pointed_out(project: Path) -> None:
    one, two = training(project, "L", 900.0, n_gpus=1), training(project, "QL", 1500.0)
    known = load_catalog(project, {})
    assert MORE_GPUS in answer_text(ask([one, two]), known)
    assert MORE_GPUS not in answer_text(ask([one, two], n_gpus=1), known)
    assert MORE_GPUS not in answer_text(ask([one, two], maximise="throughput"), known)
