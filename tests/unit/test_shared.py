"""Equal parts of results as one object: what is read stays what it was."""

from collections.abc import Iterator
from pathlib import Path

import factories as make
from dissect.base.outcome import Flag, Phase, Status
from dissect.present.report.shared import Pool
from dissect.results.cell_runs import published, read_runs, run_id
from dissect.results.result import Result


def test_runs_stay_equal_and_share_what_they_have_alike(tmp_path: Path) -> None:
    pool, results = Pool(), list(_results())
    for number, result in enumerate(results):
        data = result.model_dump_json().encode()
        (tmp_path / f"{number}.json").write_bytes(published([(run_id(data), data)]))
    read = [read_runs(tmp_path / f"{number}.json") for number in range(len(results))]
    before = [[run.model_dump_json() for run in cell.runs] for cell in read]
    for cell in read:
        for run in cell.runs:
            assert pool.part(run) is run
    for cell, texts in zip(read, before, strict=True):
        assert [run.model_dump_json() for run in cell.runs] == texts
    first, second, third = (cell.newest for cell in read)
    assert first is not second
    assert first.spec is not second.spec
    assert first.spec.hardware is second.spec.hardware is third.spec.hardware
    assert first.provenance is not None
    assert first.provenance.versions is second.provenance.versions  # type: ignore[union-attr]


def test_equal_numbers_of_other_types_stay_apart(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    texts = []
    pool = Pool()
    for facts in ({"a": 1}, {"a": True}, {"a": 1.0}):
        result = make.ok_result(make.pretrain_spec())
        assert result.provenance is not None
        result = result.model_copy(update={"provenance": result.provenance.model_copy(update={"notes": facts})})
        path.write_text(result.model_dump_json())
        texts.append(result.model_dump_json())
        assert pool.part(read_runs(path).newest).model_dump_json() == texts[-1]
    assert len(set(texts)) == 3


def _results() -> Iterator[Result]:
    """Two batches that were measured and one that ran out of memory, on one machine."""
    for batch in (1, 2):
        spec = make.pretrain_spec(batch=batch)
        yield make.ok_result(spec, make.training_metrics(spec, 0.1 * batch), [Flag.OTHER_PROCESSES])
    yield make.ended_result(make.pretrain_spec(batch=4), Status.OOM, Phase.BACKWARD, "out of memory")
