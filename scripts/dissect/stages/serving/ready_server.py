"""A server that answers, with all that loads are sent to it with."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dissect.cells.spec import ServeSpec
from dissect.stages.serving.engine import Engine, ServerReport
from dissect.stages.serving.engine_terms import paths_of
from dissect.stages.serving.server import Server, get
from dissect.stages.serving.watch import Watch

_CONFIGURATION_S = 120.0
"""Seconds for an engine to report its configuration: vLLM looks at the whole machine for its answer."""


@dataclass(frozen=True)
class ReadyServer:
    """The server of one cell from its first answer on."""

    spec: ServeSpec
    """The cell's, or one with the number of requests of a probe."""
    engine: Engine
    checkpoint: Path
    server: Server
    folder: Path
    """Folder of the cell in the store."""
    watch: Watch
    ready_s: float
    """Seconds that it took to start."""

    def report(self) -> ServerReport:
        """What it reports of itself by now."""
        return ServerReport(
            get(self.server.url, "/metrics") or "", self.server.said() if self.server.log.exists() else None
        )

    def configuration(self) -> Mapping[str, str]:
        """Path -> its answer, for all paths where the engine reports its version or terms, which no load changes."""
        paths = paths_of(self.engine.terms) | ({self.engine.version[0]} if self.engine.version else set())
        return {path: get(self.server.url, path, _CONFIGURATION_S) or "" for path in sorted(paths)}
