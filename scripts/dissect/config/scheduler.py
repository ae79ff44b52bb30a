"""The section ``scheduler`` of a platform: what its jobs ask a batch system for."""

from typing import Annotated, Any

from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from dissect.base.model import Model

GresType = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]+$")]
Option = Annotated[str, Field(pattern=r"^--[a-z][a-z-]+(=.+)?$")]
_TIME = "'margin_s' and the 'budget_s' of a cell"
_LOGS = "the key 'slurm-logdir' of the profile"
_REQUEUE = "the keys 'slurm-requeue' and 'slurm-no-requeue' of the profile"
_MANAGED = {
    **{key: f"'{key}'" for key in ("partition", "account", "qos", "constraint", "exclusive")},
    "clusters": "'cluster'", "nodes": "the key 'nodes' of the platform", "time": _TIME,
    **dict.fromkeys(("mem", "mem-per-cpu", "mem-per-gpu"), "'memory_gib'"),
    **dict.fromkeys(("cpus-per-task", "cpus-per-gpu"), "'cpus'"),
    **dict.fromkeys(("gres", "gpus", "gpus-per-node", "gpus-per-socket", "gpus-per-task"), "'gpus' and 'gpu_model'"),
    **dict.fromkeys(("output", "error"), _LOGS), **dict.fromkeys(("requeue", "no-requeue"), _REQUEUE),
    **dict.fromkeys(("ntasks", "ntasks-per-gpu", "ntasks-per-node", "tasks-per-node", "job-name", "comment", "export",
                     "chdir", "parsable", "wrap", "array", "wait", "test-only", "version", "help", "usage"), ""),
}  # fmt: skip
"""Options of sbatch that the pipeline sets, and by which key; empty where none does."""


class Scheduler(Model):
    """Resources requested from a batch system; not part of a cell's identity."""

    cluster: str | None = None
    """Slurm cluster that jobs are submitted to (``--clusters``); default: that of the submitting host."""
    partition: str | None = None
    """Slurm partition; default: the cluster's."""
    account: str | None = None
    """Slurm account that jobs are charged to."""
    qos: str | None = None
    """Slurm quality of service (QOS) of jobs."""
    constraint: str | None = None
    """Slurm node feature that nodes must have (``--constraint``)."""
    exclusive: bool | None = None
    """Whether a cell gets its nodes exclusively; default: on every device but ``cpu``."""
    cpus: PositiveInt | None = None
    """CPU cores per node; default: the cluster's."""
    memory_gib: PositiveFloat | None = None
    """Host memory per node in GiB, more than ``host.memory_gib``; default: 2 % and 1 GiB more."""
    gpus: bool | None = None
    """Whether jobs request GPUs; default: on every device but ``cpu``."""
    gpu_model: GresType | None = None
    """Type of the GPUs in the cluster's gres.conf, such as ``a800``; default: any."""
    margin_s: PositiveFloat = 600
    """Seconds requested beyond a cell's budget, for imports and compilation before it and for publishing after it."""
    pack_h: PositiveFloat | None = None
    """Hours of an allocation that measures this platform's cells one after the other (the target ``packs``)."""
    options: list[Option] = []
    """Further options of sbatch, such as ``--reservation=lab``; none that another key or the pipeline sets."""
    pod_image: str | None = None
    """Container image of a cell's pod on Kubernetes; default: ``container-image`` of the profile."""
    pod_spec: dict[str, Any] = {}
    """Part of a Kubernetes PodSpec that a cell's pod gets as it is, such as ``nodeSelector`` and ``tolerations``."""

    @field_validator("options")
    @classmethod
    def _options_are_free(cls, options: list[str]) -> list[str]:
        for option in options:
            name = option.partition("=")[0].removeprefix("--")
            # Slurm also takes a beginning that only one option has.
            managed = next((key for key in _MANAGED if key.startswith(name)), None)
            if managed is not None:
                instead = _MANAGED[managed]
                raise ValueError(f"'--{name}' is set by {instead}" if instead else f"'--{name}' is set by the pipeline")
        return options

    @field_validator("pod_spec")
    @classmethod
    def _the_cell_stays(cls, pod_spec: dict[str, Any]) -> dict[str, Any]:
        """Refuse what says which program runs; Kubernetes checks the rest."""
        if taken := {"containers", "volumes", "restartPolicy", "activeDeadlineSeconds"} & pod_spec.keys():
            raise ValueError(f"{', '.join(map(repr, sorted(taken)))} of a cell's pod cannot be set")
        return pod_spec
