"""A server that answers ``/v1/completions`` in one word per token, and misbehaves as it is told."""

import argparse
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

FAULTS = (
    "none", "short", "miscount", "overloaded", "cut", "cached", "deaf", "stubborn", "dies_at_start", "oom_at_start",
    "oom_lingers", "dies_in_load", "oom_in_load", "oom_in_answers", "dies_in_second_load", "slow", "offspring",
    "raises_and_stays", "late", "hangs", "pauses", "workers_stay", "worker_dies", "worker_dies_at_once",
    "loses", "hangs_again", "dies_again", "oom_in_second_load", "killed_in_second_load", "refuses_second_load",
    "hangs_in_second_load",
)  # fmt: skip
LAST_ANSWER = {
    "dies_in_load": 5, "oom_in_load": 5, "dies_in_second_load": 6, "oom_in_second_load": 6, "killed_in_second_load": 6,
    "refuses_second_load": 6,
}  # fmt: skip
"""Fault -> number of prompts that it streams answers to before it dies or refuses; a first load before has six."""
UNANSWERED = {
    "hangs": range(6, 100), "hangs_in_second_load": range(7, 100), "worker_dies": range(6, 100), "loses": (3,),
}  # fmt: skip
"""Fault -> which of the streamed answers begin but never go on."""
TOKEN_S = 0.002
SLOW_TOKEN_S = 1.0
LATE_S = 2.0
"""Seconds that loading a model takes before the port is opened."""


class Handler(BaseHTTPRequestHandler):
    """One request; whole answers are readiness and warm-up, streamed ones are the load."""

    protocol_version = "HTTP/1.1"
    fault = "none"
    record: str | None = None
    shard: "Shard | None" = None
    streamed = 0
    prompts: ClassVar[set[str]] = set()
    answered = 0

    def log_message(self, *_: object) -> None:
        """Nothing: the log is for the faults."""

    def note(self, body: dict) -> None:
        """Add the request to the record, if one is kept: of the prompt only its length, which says whose it is."""
        if self.record:
            shown = body | ({"prompt": f"{len(body['prompt'].split())} words"} if body else {})
            with Path(self.record).open("a") as file:
                file.write(json.dumps({f"{self.command} {self.path}": shown}) + "\n")

    def do_GET(self) -> None:
        self.note({})
        self.reply(404 if self.path != "/version" else 200, json.dumps({"version": "1.0"}).encode())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.note(body)
        if self.fault == "deaf":
            return self.reply(503, b"not yet")
        if self.shard and not self.shard.found():
            return self.reply(500, b"transport error")
        if body.get("stream"):
            return self.stream(body)
        if self.fault == "slow":
            time.sleep(SLOW_TOKEN_S * body["max_tokens"])
        if self.fault == "worker_dies_at_once" and len(body["prompt"].split()) > 3:  # after the request of readiness
            self.hang()
        return self.reply(200, json.dumps(self.answer(body, " ".join(["w1"] * body["max_tokens"]))).encode())

    def answer(self, body: dict, text: str, usage: bool = True) -> dict:
        tokens = body["max_tokens"] - (self.fault == "short")
        counts = {"prompt_tokens": len(body["prompt"].split()), "completion_tokens": tokens}
        if self.fault == "miscount":
            counts["prompt_tokens"] += 2
        if self.fault == "cached":
            counts["prompt_tokens_details"] = {"cached_tokens": 16}
        counts["total_tokens"] = sum(value for value in counts.values() if isinstance(value, int))
        return {"choices": [{"index": 0, "text": text}], "usage": counts if usage else None}

    def stream(self, body: dict) -> None:
        Handler.streamed += 1
        number = Handler.streamed
        self.see(body["prompt"])
        if self.fault == "overloaded" and Handler.streamed % 2:
            return self.reply(429, b'{"error": "Model is overloaded"}')
        if len(Handler.prompts) > LAST_ANSWER.get(self.fault, len(Handler.prompts)):
            return self.answer_no_more()
        if self.fault == "pauses":
            print(f"DEBUG [infer_batch.py:332] infer paused req id {Handler.streamed}", flush=True)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        tokens = body["max_tokens"] - (self.fault == "short")
        for token in range(tokens):
            time.sleep(SLOW_TOKEN_S if self.fault == "slow" else TOKEN_S)
            if self.fault == "oom_in_answers" and Handler.streamed > 3:
                self.event({"error": "CUDA out of memory. Tried to allocate 1.31 GiB."})
                break
            if number in UNANSWERED.get(self.fault, ()):
                self.hang()
            if self.fault == "cut" and token == tokens // 2:
                self.close_connection = True
                return None
            self.event(self.answer(body, "w1 ", usage=token == tokens - 1))
        self.wfile.write(b"data: [DONE]\n\n")
        self.wfile.flush()
        Handler.answered += 1
        self.close_connection = True
        return None

    def answer_no_more(self) -> None:
        """Refuse a request, or die."""
        if self.fault.startswith("refuses"):
            return self.reply(503, b'{"error": "Model is overloaded"}')
        while not Handler.answered:  # so that there is something to keep
            time.sleep(TOKEN_S)
        time.sleep(0.1)  # for the client to read it
        if self.fault.startswith("oom"):
            print("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", flush=True)
        print("the engine is gone", flush=True)
        if self.fault.startswith("killed"):
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(3)

    def see(self, prompt: str) -> None:
        """Remember a prompt: a load whose records are lost has others when it is sent again, a calibration the same."""
        again = prompt in Handler.prompts
        Handler.prompts.add(prompt)
        if again and self.fault == "hangs_again":
            self.hang()
        if again and self.fault == "dies_again":
            os._exit(3)

    def hang(self) -> None:
        """Never answer this request; where a worker died, with what LightLLM wrote on a GPU before."""
        if self.fault.startswith("worker_dies"):
            print("ERROR [impl.py:100] CUDA error: an illegal memory access was encountered", flush=True)
            print("ERROR [impl.py:100] For debugging consider passing CUDA_LAUNCH_BLOCKING=1", flush=True)
        threading.Event().wait()

    def event(self, content: dict) -> None:
        self.wfile.write(b"data: " + json.dumps(content).encode() + b"\n\n")
        self.wfile.flush()

    def reply(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Shard:
    """What TGI has beside its web server: a socket at a given path, and a tokenizer in its working folder."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)  # as TGI does, whose ever it is
        self.path, self.socket = path, socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.inode = path.stat().st_ino
        (out := Path("out")).mkdir()
        (out / "tokenizer.json").write_text("{}")

    def found(self) -> bool:
        """Whether the path still leads to this socket."""
        return self.path.exists() and self.path.stat().st_ino == self.inode


class Server(ThreadingHTTPServer):
    """Takes a port for itself alone, as engines do."""

    allow_reuse_address = False
    request_queue_size = 1024
    daemon_threads = True


def misbehave(fault: str) -> None:
    """What goes wrong before the port is opened."""
    if fault == "dies_at_start":
        print("ValueError: no such model", flush=True)
        sys.exit(2)
    if fault.startswith("oom_") and not fault.startswith("oom_in_"):
        print("Model loading took 12 GiB\ntorch.OutOfMemoryError: CUDA out of memory. Tried to allocate", flush=True)
        if fault == "oom_lingers":
            threading.Event().wait()
        sys.exit(1)
    if fault in ("raises_and_stays", "workers_stay"):
        multiprocessing.Process(target=time.sleep, args=(600,)).start()
    if fault == "raises_and_stays":
        raise FileNotFoundError("no program hypercorn")
    if fault == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if fault == "offspring":
        # Out of its group and session, and deaf to SIGTERM.
        code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(3600)"
        subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    if fault == "late":
        time.sleep(LATE_S)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fault", choices=FAULTS, default="none")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--prometheus-port", type=int, help="a second port that it takes")
    parser.add_argument("--shard-uds-path", type=Path, help="a socket that it takes")
    parser.add_argument("--record", help="file to which every request is added")
    arguments, _ = parser.parse_known_args()
    Handler.fault, Handler.record = arguments.fault, arguments.record
    misbehave(arguments.fault)
    try:
        server = Server(("127.0.0.1", arguments.port), Handler)
        metrics = arguments.prometheus_port and Server(("127.0.0.1", arguments.prometheus_port), Handler)
    except OSError as error:
        if arguments.fault == "workers_stay":
            raise
        sys.exit(str(error))
    print("listening on", arguments.port, metrics and arguments.prometheus_port, flush=True)
    if arguments.shard_uds_path:
        Handler.shard = Shard(arguments.shard_uds_path)
    server.serve_forever()


if __name__ == "__main__":
    main()
