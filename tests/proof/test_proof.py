"""The invalidation contract over random edits; ``make prove-invalidation`` does the same with many more."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import growing
from dissect.cells import manifest_files, training_cells
from dissect.cells.spec import Sampling
from dissect.config.errors import ConfigError
from proof.project import Edit
from proof.prove import count, prove, report
from proof.real import RealSession
from proof.session import ACCEPTED, MUST, NEED_NOT, NEEDLESS, REFUSED, STALE, Session

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("kind", "edits", "seed"),
    [(Session, 10, 20231107), (Session, 10, 20231108), (RealSession, 3, 20231107)],
    ids=["planned", "planned otherwise", "run"],
)
def test_random_edits_measure_and_draw_what_they_must(
    kind: type[Session], edits: int, seed: int, tmp_path: Path
) -> None:
    tallies, mistakes = prove(kind, edits, seed, tmp_path)
    assert count(tallies) == edits
    assert len(tallies) > edits // 5, "the generator draws the same kinds of edits again and again"
    assert not mistakes, report(mistakes)


# A proof that finds nothing wrong must be able to: each kind of mistake is made in the resolver itself.

KEY_OF = training_cells.spec_and_key
CPU = "config/platforms/cpu.yaml"


def forgetful(spec: object) -> tuple[str, str]:
    return KEY_OF(spec.model_copy(update={"sampling": Sampling()}) if hasattr(spec, "sampling") else spec)


def restless(project: Path) -> list[str]:
    for path in (project / manifest_files.FOLDER).iterdir():
        os.utime(path)
    return []


def refuse(*_: object) -> None:
    raise ConfigError("config/config.yaml: no")


BROKEN: list[tuple[str, str, str, str, Callable[..., object]]] = [
    (MUST, "budget_s: 300", "budget_s: 301", "training_cells.spec_and_key", forgetful),
    (
        NEED_NOT,
        "label: CPU",
        "label: PC",
        "training_cells.spec_and_key",
        lambda s: KEY_OF(s.model_copy(update={"protocol": s.protocol + 1})),
    ),
    (STALE, "label: CPU", "label: PC", "manifest_files.write_manifests", lambda *_: []),
    (
        NEEDLESS,
        "label: CPU",
        "label:  CPU",
        "manifest_files.write_manifests",
        lambda _, home, *__: restless(home),
    ),
    (REFUSED, "label: CPU", "label: PC", "study.load_study", refuse),
    (ACCEPTED, "label: CPU", "label: PC", "training_cells.spec_and_key", KEY_OF),
]
# A cell that is not measured leaves its tables stale; one that is measured draws those that do not show the label, too.
FOLLOWS = {MUST: {STALE}, NEED_NOT: {NEEDLESS}}


@pytest.mark.parametrize(("what", "old", "new", "name", "broken"), BROKEN, ids=[case[0] for case in BROKEN])
def test_every_kind_of_mistake_is_found(
    what: str,
    old: str,
    new: str,
    name: str,
    broken: Callable[..., object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if what is MUST:
        monkeypatch.setattr(f"dissect.cells.{name}", broken)
    session = Session(tmp_path, {}, [])
    monkeypatch.setattr(f"dissect.cells.{name}", broken)
    session.clone.edit(CPU, old, new)
    session.judge(Edit("by hand", new, wrong=what is ACCEPTED))
    assert {mistake.what for mistake in session.mistakes} == {what, *FOLLOWS.get(what, ())}


def test_a_field_that_all_specs_hold_is_found(tmp_path: Path) -> None:
    session = Session(tmp_path, {}, [])
    session.clone.own_scripts()
    growing.add_field(session.clone.folder / "scripts", "Sampling", "growth", default="None")
    session.judge(Edit("by hand", "a field without added()"))
    assert {mistake.what for mistake in session.mistakes} == {NEED_NOT}
