"""The store: what is valid, what is set aside, and that nothing half-written is ever read."""

import json
import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dissect.base.outcome import Phase, Status
from dissect.cells.cell import Cell, spec_and_key
from dissect.cells.spec import canonical_spec
from dissect.results.publish import publish_stored
from dissect.results.result import ResultError, parse_result, read_result
from dissect.results.store import Failure, KeyCollision, Store, write_atomically
from factories import ended_result, key_of, ok_result, pretrain_spec

SPEC = pretrain_spec()
RESULT = ok_result(SPEC)


@pytest.fixture
def entry(tmp_path: Path):
    entry = Store(tmp_path / "store").entry(key_of(SPEC))
    with entry.locked():
        entry.claim(canonical_spec(SPEC))
        yield entry


def test_what_is_written_is_read_and_published(entry, tmp_path):
    entry.write(RESULT, [{"step": 0}, {"step": 1}])
    output = tmp_path / "deep" / "er" / f"{entry.key}.json"
    entry.publish(output)
    assert entry.result() == RESULT == read_result(output)
    assert [json.loads(line) for line in (entry.folder / "steps.jsonl").read_text().splitlines()] == [
        {"step": 0},
        {"step": 1},
    ]
    assert not list(entry.folder.glob(".*")), "no temporary file stays"


def test_other_files_stand_beside_the_result_until_the_next_one(entry):
    entry.write(RESULT, [], {"kernels.csv": b"name\n", "trace.json.gz": b"old"})
    assert (entry.folder / "trace.json.gz").read_bytes() == b"old"
    entry.write(RESULT, [], {"kernels.csv": b"new\n"})
    assert (entry.folder / "kernels.csv").read_bytes() == b"new\n"
    assert not (entry.folder / "trace.json.gz").exists(), "it was of another measurement"


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


@pytest.mark.parametrize("name", broken_results())
def test_broken_results_are_set_aside_and_named(entry, caplog, name):
    caplog.set_level("INFO")
    data = broken_results()[name]
    entry.result_path.write_bytes(data)
    with pytest.raises(ResultError) as error:
        read_result(entry.result_path)
    sentence = str(error.value)
    assert sentence.startswith(str(entry.result_path))
    assert "\n" not in sentence
    assert sentence.endswith("restore the file, or remove it and measure the cell again")
    assert entry.peek() is None
    assert entry.result_path.exists(), "peek changes nothing"
    assert entry.result() is None
    assert (entry.folder / "result.json.invalid-1").read_bytes() == data
    assert "measuring again" in caplog.text
    entry.result_path.write_bytes(data)
    assert entry.result() is None
    assert (entry.folder / "result.json.invalid-2").exists()


def test_every_prefix_of_a_result_is_refused():
    text = RESULT.model_dump_json().encode()
    for end in range(0, len(text), 97):
        with pytest.raises(ValueError, match="JSON object"):
            parse_result(text[:end])


def test_result_of_another_cell_is_refused(entry):
    other = ok_result(pretrain_spec(batch=2))
    entry.result_path.write_text(other.model_dump_json())
    assert entry.result() is None


def test_remedy_names_the_cell(tmp_path):
    path = tmp_path / "results/cells/pretrain/cpu/llama-tiny/deepspeed/Z2+O/seq128-bs1/abc.json"
    with pytest.raises(
        ResultError, match=r"does not exist.*select='pretrain/cpu/llama-tiny/deepspeed/Z2\+O/seq128-bs1'$"
    ):
        read_result(path)


def test_another_spec_under_the_same_key_raises(entry):
    entry.claim(canonical_spec(SPEC))
    with pytest.raises(KeyCollision, match=entry.key):
        entry.claim(canonical_spec(pretrain_spec(batch=2)))


def test_remeasure_keeps_the_previous_result_until_there_is_a_new_one(entry):
    entry.write(RESULT, [])
    entry.forget()
    assert entry.result() is None
    assert parse_result(entry.previous_path.read_bytes()) == RESULT
    entry.forget()  # a second attempt, after a crash
    assert entry.previous_path.exists()
    entry.write(RESULT, [])
    assert entry.result() == RESULT
    assert not entry.previous_path.exists()


def test_attempts_count_failures_since_the_last_result(entry):
    assert entry.next_attempt() == 1
    failure = Failure(attempt=2, phase=Phase.BUILD, reason="r", log="l", failed_at="2026-01-01T00:00:00+00:00")
    entry.write_failure(failure)
    assert entry.next_attempt() == 3
    entry.write(RESULT, [])
    assert entry.next_attempt() == 1


@pytest.mark.parametrize("status", [Status.OOM, Status.SKIPPED_OOM, Status.INVALID, Status.TIMEOUT])
def test_every_final_status_is_kept(entry, status):
    result = ended_result(SPEC, status, Phase.FORWARD, "one sentence")
    entry.write(result, [])
    assert entry.result() == result


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
        entry.write(RESULT, [])
        assert not entry.publish_if_idle(output), "somebody works on it"
    assert not output.exists()
    assert entry.publish_if_idle(output)
    assert read_result(output) == RESULT
    entry.result_path.write_bytes(b"{")
    assert not entry.publish_if_idle(output)


def test_stored_results_are_published_where_they_are_missing(tmp_path):
    store = Store(tmp_path / "store")
    cells = {}
    for batch in (1, 2, 3):
        spec = pretrain_spec(batch=batch)
        canonical, key = spec_and_key(spec)
        cell = Cell("pretrain", "h200", "llama2-7b", "deepspeed", "Naive", f"b{batch}", 4, 350, batch, "python")
        cells[str(tmp_path / f"{key}.json")] = replace(cell, canonical=canonical, key=key)
        if batch < 3:
            store.entry(key).folder.mkdir(parents=True)
            store.entry(key).write(ok_result(spec), [])
    first, second, third = cells
    Path(first).write_text("published before")
    assert publish_stored(cells, store) == [second]
    assert Path(first).read_text() == "published before"
    assert not Path(third).exists()
    assert publish_stored(cells, Store(tmp_path / "none")) == []
