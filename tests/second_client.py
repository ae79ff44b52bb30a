"""A load generator with the command line, progress and output of ``vllm bench serve``, which needs no vLLM."""

import argparse
import json
import os
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from statistics import median


def ask(url: str, model: str, prompt: str, tokens: int) -> tuple[int, float]:
    """Ask for one streamed answer: its tokens, and the seconds that it took."""
    body = {"model": model, "prompt": prompt, "max_tokens": tokens, "stream": True}
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    start = time.perf_counter()
    with urllib.request.urlopen(request) as answer:
        pieces = [line for line in answer if line.startswith(b"data: {")]
    return len(pieces), time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("base-url", "endpoint", "model", "dataset-path", "result-dir", "result-filename"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("num-prompts", "custom-output-len"):
        parser.add_argument(f"--{name}", type=int, required=True)
    told, _ = parser.parse_known_args()
    if os.environ.get("SECOND_CLIENT") == "fails":
        sys.exit("\x1b[31mModuleNotFoundError: no vllm.benchmarks\x1b[0m")
    prompts = [json.loads(line)["prompt"] for line in Path(told.dataset_path).read_text().splitlines()]
    url, total = told.base_url + told.endpoint, told.num_prompts
    start, answers = time.perf_counter(), []
    print(f"\r  0%|          | 0/{total} [00:00<?, ?it/s]", end="", file=sys.stderr, flush=True)
    with ThreadPoolExecutor(total) as pool:
        asked = [pool.submit(ask, url, told.model, prompt, told.custom_output_len) for prompt in prompts[:total]]
        for number, each in enumerate(as_completed(asked), start=1):
            answers.append(each.result())
            print(f"\r |   | {number}/{total} [00:01<00:01, 1.0it/s]", end="", file=sys.stderr, flush=True)
    seconds, tokens = time.perf_counter() - start, sum(count for count, _ in answers)
    middle_ms = 1e3 * median(taken for _, taken in answers)
    found = {
        "completed": len(answers), "total_output_tokens": tokens, "request_throughput": len(answers) / seconds,
        "output_throughput": tokens / seconds, "median_e2el_ms": middle_ms, "median_ttft_ms": middle_ms,
    }  # fmt: skip
    (Path(told.result_dir) / told.result_filename).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
