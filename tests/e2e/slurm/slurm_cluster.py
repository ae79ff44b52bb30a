"""A real Slurm cluster on this machine: munge, slurmctld and one slurmd per virtual node, all in one folder.

Nothing of the system is used or touched but the programs: configuration, keys, sockets, state, spool and logs lie in
the folder, the GPUs are character devices in it, and every port is free.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from slurm_accounting import register, start_accounting

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "srun")
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
GPUS = 16
# Longest wait for what will come: other tests may take most of the machine. Only a hang is longer.
PATIENCE_S = 180
_CONF = """\
ClusterName={name}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={munge},cred_expire=5
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,batch_sched_delay=0
GresTypes=gpu
ReturnToService=2
SlurmdTimeout=20
MinJobAge=3600
KillWait=3
BatchStartTimeout=10
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
{accounting}JobCompType=jobcomp/none
SlurmdParameters=config_overrides
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmdSpoolDir={folder}/spool.%n
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
"""
_NO_ACCOUNTING = "AccountingStorageType=accounting_storage/none\n"
_ACCOUNTING = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort={port}
AccountingStoragePass={munge}
AccountingStorageEnforce=associations,limits,qos
"""
_NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=32 RealMemory=500000 Gres=gpu:n:{gpus}\n"
)


def why_not() -> str | None:
    """Why no cluster can run here, or None."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    if missing:
        return f"Slurm is not installed: no {', '.join(missing)}"
    return None if os.geteuid() == 0 else "slurmd needs root"


@dataclass
class Cluster:
    """A running cluster whose GPUs are of the type ``n``."""

    folder: Path
    partitions: dict[str, list[str]]
    """Partition -> its nodes."""
    accounts: dict[str, str] = field(default_factory=dict)
    """Partition -> the one account that it is for."""
    qos: dict[str, str] = field(default_factory=dict)
    """Partition -> the one QOS that it is for; a cluster that has any has an accounting database."""
    options: dict[str, str] = field(default_factory=dict)
    """Partition -> more of its line in slurm.conf."""
    name: str = "dissect"
    sister: "Cluster | None" = None
    """An earlier cluster with an accounting database, which this one shares with munge."""
    accounting_port: int = 0
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def munge(self) -> Path:
        """The socket of munge."""
        return (self.sister or self).folder / "munge.socket"

    @property
    def nodes(self) -> list[str]:
        """Every node once."""
        return list(dict.fromkeys(node for nodes in self.partitions.values() for node in nodes))

    @property
    def environment(self) -> dict[str, str]:
        """What Slurm's commands need."""
        own = {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": f"{self.folder}/bin:{PATH}"}
        return {**{k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_"))}, **own}

    def slurm(self, *command: str) -> str:
        """Run one of Slurm's commands; what it printed."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout.strip()

    def states(self) -> dict[str, str]:
        """Node -> state."""
        return dict(line.split() for line in self.slurm("sinfo", "-hN", "-o", "%N %T").splitlines())

    def jobs(self, *, states: str = "PD,R,CG") -> list[str]:
        """Ids of the jobs in these states."""
        return self.slurm("squeue", "-h", "-t", states, "-o", "%i").split()

    def start_daemon(self, name: str) -> None:
        """Start ``slurmctld``, or the slurmd of a node."""
        own = ["slurmctld", "-D"] if name == "slurmctld" else ["slurmd", "-D", "-N", name]
        self.start_program(*own, name=name)

    def start_program(self, *command: str, name: str | None = None) -> None:
        """Start a daemon that stays in the foreground; its output is ``<name>.out``."""
        name = name or command[0]
        with (self.folder / f"{name}.out").open("ab") as output:
            self.daemons[name] = subprocess.Popen(
                command, env=self.environment, stdout=output, stderr=output, stdin=subprocess.DEVNULL
            )

    def answers(self, *command: str) -> bool:
        """Whether one of Slurm's commands succeeds."""
        with suppress(subprocess.SubprocessError):
            self.slurm(*command)
            return True
        return False

    def kill_daemon(self, name: str) -> None:
        """End it at once; steps that it started live on."""
        self.daemons[name].kill()
        self.daemons[name].wait()

    def steps(self, node: str) -> list[psutil.Process]:
        """The step daemons of a node and all that they started."""
        spool = self.folder / f"spool.{node}"
        daemons = [p for p in psutil.process_iter(["name"]) if p.info["name"] == "slurmstepd" and _in(p, spool)]
        return [process for daemon in daemons for process in [daemon, *daemon.children(recursive=True)]]

    def wait_until(self, what: str, reached: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
        """Look four times a second."""
        end = time.monotonic() + seconds
        while not reached():
            assert time.monotonic() < end, f"not within {seconds} s: {what}\n{self._last_words()}"
            time.sleep(0.25)

    def _last_words(self) -> str:
        return "\n".join(f"--- {path.name}\n{path.read_text()[-1500:]}" for path in self.folder.glob("*.log"))

    def leftovers(self) -> list[psutil.Process]:
        """Processes that belong to the cluster: daemons, and whatever jobs left."""
        conf = str(self.folder / "slurm.conf")
        own = [process for process in psutil.process_iter() if _environment(process).get("SLURM_CONF") == conf]
        return [*own, *(process for node in self.nodes for process in self.steps(node))]


def _in(process: psutil.Process, folder: Path) -> bool:
    """A step daemon keeps its socket in the spool folder of its node."""
    with suppress(psutil.Error):
        return any(str(folder) in connection.laddr for connection in process.net_connections("unix"))
    return False


def _environment(process: psutil.Process) -> dict[str, str]:
    with suppress(psutil.Error):
        return process.environ()
    return {}


@contextmanager
def running_cluster(
    folder: Path,
    partitions: dict[str, list[str]],
    accounts: dict[str, str] | None = None,
    qos: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
    name: str = "dissect",
    sister: Cluster | None = None,
) -> Iterator[Cluster]:
    """Bring a cluster up, and take it down with every process that belongs to it."""
    accounting_port, storage_port = (sister.accounting_port, 0) if sister else _free_ports(2)
    cluster = Cluster(folder, partitions, accounts or {}, qos or {}, options or {}, name, sister, accounting_port)
    _configure(cluster)
    with ExitStack() as stack:
        stack.callback(_end, cluster)
        if sister is None:
            _start_munge(cluster)
        if cluster.qos:
            start_accounting(cluster, storage_port)
        if cluster.qos or sister:
            register(cluster)
        for name in ("slurmctld", *cluster.nodes):
            cluster.start_daemon(name)
        cluster.wait_until("slurmctld answers", lambda: _answers(cluster))
        cluster.wait_until("all nodes are idle", lambda: set(cluster.states().values()) == {"idle"})
        yield cluster


def _configure(cluster: Cluster) -> None:
    folder, host = cluster.folder, socket.gethostname().split(".")[0]
    (folder / "state").mkdir(parents=True)
    folder.chmod(0o755)
    _wrap_srun(folder)
    gres = ""
    ports = _free_ports(1 + len(cluster.nodes))
    accounted = cluster.qos or cluster.sister
    accounting = _ACCOUNTING.format(port=cluster.accounting_port, munge=cluster.munge) if accounted else _NO_ACCOUNTING
    conf = _CONF.format(
        folder=folder, host=host, port=ports.pop(), user="root", name=cluster.name, munge=cluster.munge,
        accounting=accounting,
    )  # fmt: skip
    for name in cluster.nodes:
        (folder / f"spool.{name}").mkdir()
        conf += _NODE.format(name=name, host=host, port=ports.pop(), gpus=GPUS)
        gres += f"NodeName={name} Name=gpu Type=n File={folder}/gpu[0-{GPUS - 1}]\n"
    for name, nodes in cluster.partitions.items():
        allowed = f" AllowAccounts={cluster.accounts[name]}" if name in cluster.accounts else ""
        allowed += f" AllowQos={cluster.qos[name]}" if name in cluster.qos else ""
        more = f"{allowed} {cluster.options.get(name, '')}"
        conf += f"PartitionName={name} Nodes={','.join(nodes)} MaxTime=1-00:00:00 State=UP{more}\n"
    for number in range(GPUS):
        os.mknod(folder / f"gpu{number}", 0o20666, os.makedev(1, 3))  # a second /dev/null passes for a GPU
    (folder / "slurm.conf").write_text(conf)
    (folder / "gres.conf").write_text(gres)
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")


def _wrap_srun(folder: Path) -> None:
    """Inside a job, Snakemake's executor takes SLURM_CONF away from srun; on a site it lies where Slurm looks.

    A sister's lies in the folder of its name.
    """
    wrapper = folder / "bin" / "srun"
    wrapper.parent.mkdir()
    wrapper.write_text(
        f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf\nsister="{folder}/$SLURM_CLUSTER_NAME/slurm.conf"\n'
        f'[ -e "$sister" ] && SLURM_CONF=$sister\nexport SLURM_CONF\nexec "{shutil.which("srun", path=PATH)}" "$@"\n'
    )
    wrapper.chmod(0o755)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _start_munge(cluster: Cluster) -> None:
    folder = cluster.folder
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    command = ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", f"--key-file={key}"]
    command += [f"--{kind}-file={folder}/munge.{kind}" for kind in ("pid", "log", "seed")]
    cluster.start_program(*command)
    cluster.wait_until("munge answers", (folder / "munge.socket").exists)


def _answers(cluster: Cluster) -> bool:
    with suppress(subprocess.SubprocessError):
        return "UP" in cluster.slurm("scontrol", "ping")
    return False


def _end(cluster: Cluster) -> None:
    with suppress(subprocess.SubprocessError, OSError):
        cluster.slurm("scancel", "--full", "--signal=KILL", *cluster.jobs())
        cluster.slurm("scancel", *cluster.jobs())
    for daemon in reversed(cluster.daemons.values()):
        daemon.terminate()
    for daemon in cluster.daemons.values():
        with suppress(subprocess.TimeoutExpired):
            daemon.wait(5)
    for process in cluster.leftovers():
        with suppress(psutil.Error):
            process.send_signal(signal.SIGKILL)
    for daemon in cluster.daemons.values():
        daemon.wait()
