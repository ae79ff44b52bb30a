"""What a question about servers says of searches for the rate that holds."""

from pathlib import Path

from dissect.config.catalog import load_catalog
from dissect.present.recommend.answer import why_without
from dissect.present.recommend.answer_text import answer_text
from dissect.present.recommend.search_lines import BY_THROUGHPUT
from recommend_cases import ask, searched, serving

SERVE = {"stage": "serve", "max_ttft_s": 2}


def test_searches_are_ranked_by_throughput_alone(tmp_path: Path, project: Path) -> None:
    searches = [searched(tmp_path, "vllm", 10.0, 0.8), searched(tmp_path, "lightllm", 20.0, 1.9)]
    burst, catalog = serving(tmp_path, "vllm", 2.0), load_catalog(project, {})
    found = ask([*searches, burst], **SERVE)
    assert [ranking.work for ranking in found.rankings] == [burst.cell.workload.removesuffix("-n1")]
    [reason] = {cell.reason for cell in found.unknown}
    assert reason == why_without("latency_p99_s")
    assert "maximise=throughput" in reason
    assert answer_text(found, catalog).splitlines()[1] == BY_THROUGHPUT
    fastest = ask(searches, **SERVE, maximise="throughput")
    assert [cell.row["framework"] for cell in fastest.rankings[0].found] == ["lightllm", "vllm"]
    for other in (fastest, ask([burst], **SERVE)):
        assert BY_THROUGHPUT not in answer_text(other, catalog)
