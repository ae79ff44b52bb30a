"""Slurm's accounting for the clusters of the tests: a MariaDB and a slurmdbd in a folder, on free ports."""

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slurm_cluster import Cluster

PROGRAMS = ("mariadbd", "slurmdbd", "sacctmgr")
_TABLES = Path("/usr/share/mysql/mysql_system_tables.sql")
_SILENT = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
_CONF = """\
DbdHost=localhost
DbdPort={port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={storage}
StorageUser=root
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
"""


def why_no_accounting(path: str) -> str | None:
    """Why no accounting database can run with the programs of a PATH, or None."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    return f"Slurm's accounting is not installed: no {', '.join(missing)}" if missing else None


def start_accounting(cluster: "Cluster", storage: int) -> None:
    """Start both on a cluster that has munge and no slurmctld yet."""
    folder, data = cluster.folder, cluster.folder / "mariadb"
    data.mkdir()
    server = ["mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", "--innodb-flush-log-at-trx-commit=0"]
    # slurmdbd keeps procedures, for which MariaDB has a table of its own.
    tables = f"create database mysql;\nuse mysql;\n{_TABLES.read_text()}"
    subprocess.run([*server, "--bootstrap"], env=cluster.environment, input=tables, text=True, check=True, **_SILENT)
    where = [f"--socket={data}/socket", "--bind-address=127.0.0.1", f"--port={storage}"]
    cluster.start_program(*server, *where, "--skip-grant-tables")
    cluster.wait_until("MariaDB answers", lambda: "ready for connections" in (folder / "mariadbd.out").read_text())
    conf = folder / "slurmdbd.conf"
    conf.write_text(_CONF.format(folder=folder, port=cluster.accounting_port, storage=storage))
    conf.chmod(0o600)
    cluster.start_program("slurmdbd", "-D")
    cluster.wait_until("slurmdbd answers", lambda: cluster.answers("sacctmgr", "-n", "list", "cluster"))


def register(cluster: "Cluster") -> None:
    """Register a cluster, its QOS, and its user in the account ``lab`` with the QOS ``normal`` and ``brief``."""
    cluster.slurm("sacctmgr", "-i", "add", "cluster", cluster.name)
    cluster.slurm("sacctmgr", "-i", "add", "account", "lab", f"cluster={cluster.name}")
    cluster.slurm("sacctmgr", "-i", "add", "user", "root", "account=lab", f"cluster={cluster.name}")
    for name in [] if cluster.sister else sorted({*cluster.qos.values(), "brief"}):
        cluster.slurm("sacctmgr", "-i", "add", "qos", name)
    cluster.slurm("sacctmgr", "-i", "modify", "qos", "brief", "set", "MaxWall=00:00:30")
    cluster.slurm("sacctmgr", "-i", "modify", "user", "root", "set", "qos+=brief")
