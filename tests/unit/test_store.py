"""The store: what is valid, what is set aside, and that nothing half-written is ever read."""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from dissect.base.outcome import Phase, Status
from dissect.cells.spec import canonical_spec
from dissect.results.activity import next_attempt
from dissect.results.atomic import write_atomically
from dissect.results.cell_runs import CellRuns, read_runs, run_id
from dissect.results.result import Result, ResultError, Round, Start, parse_result
from dissect.results.store import Entry, Failure, KeyCollision, Store
from dissect.stages.serving import burst, rate_probes
from factories import ended_result, key_of, measured_at, ok_result, pretrain_spec

SPEC = pretrain_spec()
RESULT = ok_result(SPEC)


@pytest.fixture
def entry(tmp_path: Path):
    entry = Store(tmp_path / "store").entry(key_of(SPEC))
    with entry.locked():
        entry.claim(canonical_spec(SPEC))
        yield entry


def later(minutes: int) -> Result:
    return measured_at(RESULT, minutes)


def store_as_before(entry: Entry, result: Result = RESULT) -> str:
    """The layout of earlier versions: one run beside spec and log; returns the run's id."""
    data = result.model_dump_json(indent=1).encode() + b"\n"
    write_atomically(entry.folder / "steps.jsonl", b'{"step": 0}\n')
    write_atomically(entry.folder / "result.json", data)
    return run_id(data)


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_written_is_read_and_published(entry, tmp_path):
    identity = entry.write_run(RESULT, [{"step": 0}, {"step": 1}])
    output = tmp_path / "deep" / "er" / f"{entry.key}.json"
    entry.publish(output)
    assert entry.runs() == [RESULT]
    assert read_runs(output) == entry.peek() == CellRuns(entry.key, SPEC, (RESULT,), (identity,))
    folder = entry.folder / "runs" / identity
    assert run_id((folder / "result.json").read_bytes()) == identity
    assert [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()] == [
        {"step": 0},
        {"step": 1},
    ]
    assert not list(entry.folder.rglob(".*")), "no temporary file stays"


@pytest.mark.parametrize("name", [burst.SO_FAR, rate_probes.SO_FAR])
def test_what_a_load_kept_so_far_goes_once_a_run_has_all_its_requests(entry, name):
    (entry.folder / name).write_bytes(b"some")
    entry.write_run(later(1), [])
    assert (entry.folder / name).read_bytes() == b"some"
    entry.write_run(later(2), [], {"requests.jsonl.gz": b"all"})
    assert not (entry.folder / name).exists()


def test_runs_are_added_and_never_change_another(entry, tmp_path):
    second = entry.write_run(later(2), [], {"trace.json.gz": b"of the second"})
    before = content_of(entry.folder / "runs" / second)
    first = entry.write_run(later(1), [{"step": 0}], {"kernels.csv": b"name\n"})
    assert entry.count() == 2
    assert entry.runs() == [later(1), later(2)], "in the order of measuring, not of writing"
    assert content_of(entry.folder / "runs" / second) == before
    assert (entry.folder / "runs" / first / "kernels.csv").read_bytes() == b"name\n"
    entry.publish(tmp_path / "published.json")
    assert read_runs(tmp_path / "published.json").ids == (first, second)
    assert read_runs(tmp_path / "published.json").newest == later(2)


def test_the_same_run_is_one_run(entry):
    assert entry.write_run(RESULT, []) == entry.write_run(RESULT, []) == store_as_before(entry)
    assert entry.count() == len(entry.runs()) == 1


def test_a_run_of_an_earlier_version_stays_where_it_is(entry):
    identity = store_as_before(entry)
    before = content_of(entry.folder)
    added = entry.write_run(later(1), [])
    assert entry.count() == 2
    peeked = entry.peek()
    assert peeked is not None
    assert peeked.ids == (identity, added)
    assert {name: content_of(entry.folder)[name] for name in before} == before
    assert [run.folder for run in entry.run_files() if run.id == identity] == [entry.folder]


def test_what_an_interrupted_remeasure_of_an_earlier_version_left_is_a_run(entry):
    store_as_before(entry)
    (entry.folder / "result.json").rename(entry.folder / "result.json.previous")
    assert entry.count() == 1
    assert entry.runs() == [RESULT]
    entry.write_run(later(1), [])
    assert entry.runs() == [RESULT, later(1)]


def test_a_union_of_folders_merges_two_stores(entry, tmp_path):
    """``cp -r`` or ``rsync`` of one store over another."""
    other = Store(tmp_path / "other").entry(entry.key)
    entry.write_run(later(1), [])
    for minutes in (1, 2):
        other.write_run(later(minutes), [])
    store_as_before(other)
    shutil.copytree(other.folder, entry.folder, dirs_exist_ok=True)
    assert entry.runs() == [RESULT, later(1), later(2)]


def test_a_half_copied_run_does_not_count_and_is_replaced(entry):
    identity = entry.write_run(RESULT, [{"step": 0}])
    (entry.folder / "runs" / identity / "result.json").unlink()
    assert (entry.count(), entry.runs(), entry.peek()) == (0, [], None)
    entry.write_run(RESULT, [{"step": 0}])
    assert entry.runs() == [RESULT]


def test_fresh_sets_all_runs_aside_and_loses_none(entry):
    ids = {entry.write_run(later(1), [{"step": 0}]), store_as_before(entry)}
    aside = entry.set_aside_runs("now")
    assert aside.parent == entry.folder / "set_aside"
    assert (entry.count(), entry.runs()) == (0, [])
    assert {path.name for path in aside.iterdir()} == ids
    for identity in ids:
        assert run_id((aside / identity / "result.json").read_bytes()) == identity
        assert (aside / identity / "steps.jsonl").read_bytes() == b'{"step": 0}\n'
    entry.write_run(later(2), [])
    assert entry.set_aside_runs("now") == aside, "one name sets aside once, however often a job starts"
    assert entry.count() == 1
    assert {path.name for path in aside.iterdir()} == ids


class Crash(BaseException):
    """The process is gone: neither handlers nor clean-up change anything any more."""


@contextmanager
def crash_at(operation: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let nothing happen to the file system from the operation with this number on."""
    done = count(1)

    def counted(real: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if next(done) >= operation:
            raise Crash
        return real(*args, **kwargs)

    with monkeypatch.context() as patched:
        for name in ("mkdir", "rename", "replace", "unlink", "rmdir", "fsync"):
            patched.setattr(os, name, partial(counted, getattr(os, name)))
        yield


def adopt(entry: Entry) -> object:
    data = later(3).model_dump_json().encode()
    return entry.adopt({run_id(data): {"result.json": data, "steps.jsonl": b"{}"}})


ACTIONS: dict[str, Callable[[Entry], object]] = {
    "a run is written": lambda entry: entry.write_run(later(3), [{"step": 0}], {"kernels.csv": b"name\n"}),
    "a run is imported": adopt,
    "runs are set aside": lambda entry: entry.set_aside_runs("now"),
    "broken runs are renamed": lambda entry: entry.runs(),
    "runs are published": lambda entry: entry.publish(entry.folder.parent / "published.json"),
}


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
def test_a_crash_at_any_moment_loses_no_run(tmp_path, monkeypatch, action):
    for operation in count(1):
        entry = Store(tmp_path / str(operation)).entry(RESULT.key)
        ids = {store_as_before(entry), entry.write_run(later(1), [{"step": 0}])}
        write_atomically(entry.folder / "runs/0123456789ab/result.json", b"{")
        entry.publish(entry.folder.parent / "published.json")
        try:
            with crash_at(operation, monkeypatch):
                action(entry)
            ended = True
        except Crash:
            ended = False
        stored = {run.id: run for run in entry.run_files()}
        aside = {path.name: path for path in entry.folder.glob("set_aside/*/*")}
        assert ids <= stored.keys() | aside.keys()
        for identity in ids:
            folder = stored[identity].folder if identity in stored else aside[identity]
            assert run_id((folder / "result.json").read_bytes()) == identity
            assert (folder / "steps.jsonl").read_bytes() == b'{"step": 0}\n'
        assert len(read_runs(entry.folder.parent / "published.json").runs) >= 2
        action(entry)  # the next attempt
        assert not list(entry.folder.rglob(".*"))
        if ended:
            assert operation > 1, "something happened"
            break


def test_start_and_round_are_recorded_and_absent_in_what_was_measured_before(entry):
    start = Start(boot_id="b", gpus=["u"], allocation=None)
    placed = RESULT.model_copy(update={"round": Round(id="r", number=2, position=1)})
    assert placed.provenance is not None
    provenance = placed.provenance.model_copy(update={"start": start})
    entry.write_run(placed.model_copy(update={"provenance": provenance}), [])
    (found,) = entry.runs()
    assert (found.round.number, found.provenance.start.id) == (2, start.id)
    assert start.id != start.model_copy(update={"allocation": "7"}).id
    assert start.id == start.model_copy(update={"gpus": ["another GPU of the same host"]}).id
    assert "round" not in RESULT.model_dump_json()
    assert "start" not in json.loads(RESULT.model_dump_json())["provenance"]


def broken_results() -> dict[str, bytes]:
    good = json.loads(RESULT.model_dump_json())
    changed_spec = good | {"spec": good["spec"] | {"protocol": 2}}
    missing = {name: value for name, value in good.items() if name != "status"}
    documents = {
        "old schema": good | {"schema_version": 0},
        "no schema": {"key": good["key"]},
        "other spec": changed_spec,
        "other key": good | {"key": "0" * 12},
        "no status": missing,
        "unknown field": good | {"colour": "red"},
        "list": [],
    }
    text = RESULT.model_dump_json(indent=1).encode()
    return {name: json.dumps(document).encode() for name, document in documents.items()} | {
        "truncated": text[: len(text) // 2],
        "empty": b"",
        "not text": b"\xff\xfe\x00",
    }


@pytest.mark.parametrize("folder", [True, False], ids=["run", "earlier layout"])
@pytest.mark.parametrize("name", broken_results())
def test_broken_runs_are_set_aside_and_named(entry, caplog, name, folder):
    caplog.set_level("INFO")
    data = broken_results()[name]
    whole = entry.folder / "runs" / run_id(data) if folder else entry.folder / "result.json"
    path = whole / "result.json" if folder else whole
    for times in (1, 2):
        write_atomically(path, data)
        with pytest.raises(ResultError) as error:
            read_runs(path)
        sentence = str(error.value)
        assert sentence.startswith(str(path))
        assert "\n" not in sentence
        assert "; restore the file, or remove it and run " in sentence
        assert (entry.peek(), entry.count()) == (None, 1)
        assert path.exists(), "peek changes nothing"
        assert (entry.runs(), entry.count()) == ([], 0)
        aside = whole.with_name(f"{whole.name}.invalid-{times}")
        assert (aside / "result.json" if folder else aside).read_bytes() == data
        assert f"kept as {aside.name}" in caplog.text


def test_a_run_that_was_changed_is_broken_and_the_others_count(entry):
    identity = entry.write_run(RESULT, [])
    entry.write_run(later(1), [])
    path = entry.folder / "runs" / identity / "result.json"
    path.write_bytes(path.read_bytes().replace(b'"batch": 1', b'"batch": 1 ', 1))
    assert entry.runs() == [later(1)]
    assert (entry.folder / "runs" / f"{identity}.invalid-1").is_dir()


def test_every_prefix_of_a_result_is_refused():
    text = RESULT.model_dump_json().encode()
    for end in range(0, len(text), 97):
        with pytest.raises(ValueError, match="JSON object"):
            parse_result(text[:end])


def test_result_of_another_cell_is_refused(entry):
    other = ok_result(pretrain_spec(batch=2))
    entry.write_run(other, [])
    assert entry.runs() == []


def test_another_spec_under_the_same_key_raises(entry):
    entry.claim(canonical_spec(SPEC))
    with pytest.raises(KeyCollision, match=entry.key):
        entry.claim(canonical_spec(pretrain_spec(batch=2)))


def test_attempts_count_failures_since_the_last_result(entry):
    assert next_attempt(entry) == 1
    failure = Failure(attempt=2, phase=Phase.BUILD, reason="r", log="l", failed_at="2026-01-01T00:00:00+00:00")
    entry.write_failure(failure)
    assert next_attempt(entry) == 3
    entry.write_run(RESULT, [])
    assert next_attempt(entry) == 1


@pytest.mark.parametrize("status", [Status.OOM, Status.SKIPPED_OOM, Status.INVALID, Status.TIMEOUT])
def test_every_final_status_is_kept(entry, status):
    result = ended_result(SPEC, status, Phase.FORWARD, "one sentence")
    entry.write_run(result, [])
    assert entry.runs() == [result]


def test_full_disk_leaves_the_old_file_and_no_trace(tmp_path):
    target = tmp_path / "result.json"
    write_atomically(target, b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match=r"result\.json"):
            write_atomically(target, b"n" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["result.json"]  # noqa: PTH208


def test_a_full_disk_loses_no_run_and_leaves_nothing_half_written(entry, tmp_path):
    output = tmp_path / "published.json"
    entry.write_run(later(1), [{"step": 0}])
    entry.publish(output)
    before = content_of(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for largest in (0, 100, 10_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, limits[1]))
        try:
            with pytest.raises(OSError, match="File too large"):
                entry.write_run(later(2), [{"step": 0}], {"trace.json.gz": b"t" * 50_000})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert content_of(tmp_path) == before
    entry.write_run(later(2), [])
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            entry.publish(output)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (entry.count(), entry.differs_from(output)) == (2, True), "the next parse publishes it"


def test_lock_of_a_killed_process_is_free(tmp_path):
    entry = Store(tmp_path).entry("abc")
    script = (
        "import sys, time; from pathlib import Path; from dissect.results.store import Store\n"
        "with Store(Path(sys.argv[1])).entry('abc').locked():\n"
        "    print('held', flush=True); time.sleep(60)\n"
    )
    scripts = str(Path(__file__).parents[2] / "scripts")
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": scripts}
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    holder.kill()
    holder.wait()
    with entry.locked():
        pass


def test_readers_and_store_need_no_heavy_library():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import dissect.results.store, dissect.results.result, dissect.measure.life\n"
        "print([name for name in ('torch', 'psutil', 'numpy', 'deepspeed') if name in sys.modules])"
    )
    scripts = str(Path(__file__).parents[2] / "scripts")
    found = subprocess.run([sys.executable, "-c", code, scripts], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_only_a_valid_result_that_nobody_works_on_is_published(tmp_path):
    entry = Store(tmp_path / "store").entry(key_of(SPEC))
    output = tmp_path / f"{entry.key}.json"
    assert not entry.publish_if_idle(output), "there is none"
    assert not entry.folder.exists()
    with entry.locked():
        identity = entry.write_run(RESULT, [])
        assert not entry.publish_if_idle(output), "somebody works on it"
    assert not output.exists()
    assert entry.publish_if_idle(output)
    assert read_runs(output).runs == (RESULT,)
    (entry.folder / "runs" / identity / "result.json").write_bytes(b"{")
    assert not entry.publish_if_idle(output)
