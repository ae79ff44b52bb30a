"""Servers that answer badly or never, or do not start: nothing waits for them, and nothing of them stays."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

import pytest

from dissect.stages.serving.server import HOST, get


@contextmanager
def answering(reply: bytes | None) -> Iterator[str]:
    """URL of a server that sends these bytes to every request; none at all if there are none."""
    with socket.socket() as listening:
        listening.bind((HOST, 0))
        listening.listen()
        open_ones: list[socket.socket] = []

        def serve() -> None:
            with suppress(OSError):
                while True:
                    one, _ = listening.accept()
                    one.recv(65536)
                    if reply is None:
                        open_ones.append(one)
                    else:
                        one.sendall(reply)
                        one.close()

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://{HOST}:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
        for one in open_ones:
            one.close()


WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BAD = {
    "cut off": WHOLE[:-1],
    "no HTTP": b"words\r\n\r\n",
    "a refusal": b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
    "nothing": b"",
    "half a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",
}


def test_a_whole_report_is_read() -> None:
    with answering(WHOLE) as url:
        assert get(url, "/metrics") == "ok"


@pytest.mark.parametrize("reply", BAD.values(), ids=BAD)
def test_a_report_that_is_answered_badly_is_none(reply: bytes) -> None:
    """It is asked for once the load is measured, which a failure would lose."""
    with answering(reply) as url:
        assert get(url, "/metrics") is None
