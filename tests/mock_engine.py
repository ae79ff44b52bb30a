"""guidellm's mock server in place of an engine: it takes the engine's port, and answers at a pace of its own."""

import argparse
import os

PACE = ("--request-latency", "0.05", "--ttft-ms", "30", "--itl-ms", "3")
"""30 ms to the first token, 3 ms to each further one, however many requests there are."""

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", required=True)
    port = parser.parse_known_args()[0].port
    command = ["guidellm", "mock-server", "--host", "127.0.0.1", "--port", port, "--model", "mock", *PACE]
    os.execvp(command[0], command)
