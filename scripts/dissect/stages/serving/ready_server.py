"""A server that answers, with all that loads are sent to it with."""

from dataclasses import dataclass
from pathlib import Path

from dissect.cells.spec import ServeSpec
from dissect.stages.serving.engine import Engine, ServerReport
from dissect.stages.serving.server import Server, get
from dissect.stages.serving.watch import Watch


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
