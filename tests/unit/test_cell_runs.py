"""The runs of a cell together: its outcome, what it lacks, and the published file."""

import json
from dataclasses import replace

import pytest

from dissect.base.outcome import Flag, Phase, Status
from dissect.results.cell_runs import CellRuns, read_runs, run_id
from dissect.results.result import Result, ResultError
from factories import ended_result, ok_result, pretrain_spec

SPEC = pretrain_spec()
RESULT = ok_result(SPEC)

CELL = CellRuns(RESULT.key, SPEC, (RESULT, RESULT, RESULT))


def cell_of(*statuses: Status) -> CellRuns:
    ended = (ended_result(SPEC, status, Phase.BUILD, f"{status} it is") for status in statuses)
    return replace(CELL, runs=tuple(RESULT if result.status is Status.OK else result for result in ended))


@pytest.mark.parametrize(
    ("statuses", "status", "reason"),
    [
        ([Status.OOM], Status.OOM, "oom it is"),
        ([Status.SKIPPED_OOM, Status.OOM, Status.OOM], Status.OOM, "2 of 3 runs: oom it is"),
        ([Status.OOM, Status.TIMEOUT], Status.TIMEOUT, "1 of 2 runs: timeout it is"),
        ([Status.TIMEOUT, Status.INVALID], Status.INVALID, "1 of 2 runs: invalid it is"),
    ],
)
def test_the_gravest_outcome_of_any_run_is_that_of_the_cell(statuses, status, reason):
    cell = cell_of(*statuses)
    assert (cell.status, cell.phase, cell.reason, cell.lacking(5)) == (status, Phase.BUILD, reason, 0)


def test_a_cell_lacks_runs_as_long_as_all_of_them_are_ok():
    assert (CELL.status, CELL.phase, CELL.reason) == (Status.OK, None, None)
    assert [CELL.lacking(asked) for asked in (1, 3, 5)] == [0, 0, 2]


def test_flags_of_all_runs_are_those_of_the_cell():
    flagged = [RESULT.model_copy(update={"flags": [flag]}) for flag in (Flag.THROTTLED, Flag.UNSTABLE, Flag.THROTTLED)]
    assert replace(CELL, runs=tuple(flagged)).flags == [Flag.UNSTABLE, Flag.THROTTLED]


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"runs": []}, "has no runs"),
        ({"runs": [3]}, "is not a JSON object"),
        ({"runs": [RESULT, ok_result(pretrain_spec(batch=2))]}, "holds runs of "),
        ({"runs": [RESULT], "ids": []}, None),
        ({"runs": [RESULT], "ids": ["a", "b"]}, "holds 1 runs, but 2 ids"),
    ],
)
def test_a_broken_published_file_is_one_sentence(tmp_path, document, says):
    path = tmp_path / "cell.json"
    plain = [run.model_dump(mode="json") if isinstance(run, Result) else run for run in document["runs"]]
    path.write_text(json.dumps(document | {"runs": plain}))
    if says is None:
        assert read_runs(path).runs == (RESULT,)
    else:
        with pytest.raises(ResultError, match=says) as error:
            read_runs(path)
        assert str(error.value).startswith(str(path))


def test_a_published_file_of_an_earlier_version_is_one_run(tmp_path):
    path = tmp_path / "cell.json"
    path.write_text(RESULT.model_dump_json())
    assert read_runs(path) == CellRuns(RESULT.key, SPEC, (RESULT,), (run_id(path.read_bytes()),))
