"""Snakemake's executor for Kubernetes, for pods that share a volume as the nodes of a cluster share a folder.

The plugin that it extends moves every file of a job through object storage, and gives all jobs one image and one node
selector. docs/kubernetes.md lists what differs.
"""

import json
import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from kubernetes.client import ApiException, V1Job
from snakemake_executor_plugin_kubernetes import Executor as StorageExecutor
from snakemake_executor_plugin_kubernetes import ExecutorSettings
from snakemake_executor_plugin_kubernetes import common_settings as storage_settings
from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface
from urllib3.exceptions import HTTPError

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

common_settings = replace(
    storage_settings,
    implies_no_shared_fs=False,
    job_deploy_sources=False,
    auto_deploy_default_storage_provider=False,
    pass_default_storage_provider_args=False,
)

LOGS = Path("results/logs/kubernetes")
"""Folder of what failed pods printed: <job>.log."""
PATIENCE_S = 30
"""Seconds that the API server has for an answer."""
RETRY_S = 10
"""Seconds between two tries to submit a job."""
EXISTS, TOO_MANY, SERVER_ERROR = 409, 429, 500
"""Codes of HTTP, the last of them the first of its class."""


class Executor(StorageExecutor):
    """Submits a Job per cell, and watches all of them with one request per round."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.log_path = LOGS
        self.log_path.mkdir(parents=True, exist_ok=True)

    def run_job(self, job: JobExecutorInterface) -> None:
        """Submit one job; what Kubernetes refuses is an error of that job."""
        # The Snakefile has put the project's library on the path.
        from dissect.cells.pods import job_manifest

        name = f"cell-{uuid4()}"
        volumes = {str(volume.path): volume.name for volume in self.persistent_volumes}
        labels = {"run": self.run_namespace, "rule": job.name, "key": getattr(job.wildcards, "key", "")}
        manifest = job_manifest(
            name, labels, self.format_job_exec(job), str(Path.cwd()), self.container_image, volumes, dict(job.resources)
        )
        info = SubmittedJobInfo(job=job, external_jobid=name)
        if refusal := self._create(manifest):
            self.report_job_error(info, msg=f"Kubernetes refuses the job: {refusal}. ")
        else:
            self.report_job_submission(info)

    def _create(self, manifest: dict[str, Any]) -> str | None:
        """Submit a job, once the API server answers; what it says where it refuses the job."""
        while True:
            try:
                self.batchapi.create_namespaced_job(
                    self.namespace, manifest, field_validation="Strict", _request_timeout=PATIENCE_S
                )
                return None
            except (ApiException, HTTPError) as error:
                code, said = getattr(error, "status", None) or TOO_MANY, _said(error)
            if code == EXISTS:  # an answer was lost on the way
                return None
            if (code < SERVER_ERROR and code != TOO_MANY) or not self.wait:
                return said
            self.logger.warning(f"Kubernetes does not answer, the next try is in {RETRY_S} s: {said}")
            time.sleep(RETRY_S)

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Report the jobs that ended, yield all others. Without an answer nothing is known, so nothing ends."""
        if not active_jobs:
            return
        async with self.status_rate_limiter:
            found = self._jobs()
        for info in active_jobs:
            if found is None:
                yield info
                continue
            job = found.get(info.external_jobid)
            ended = {c.type: c for c in (job and job.status.conditions) or () if c.status == "True"}
            if job is not None and not {"Complete", "Failed"} & ended.keys():
                yield info
            elif "Complete" in ended:
                self.report_job_success(info)
                self._forget(info)
            else:
                message = ended["Failed"].message if ended else "the job was deleted"
                log = self._log(info)
                self.report_job_error(info, msg=f"Kubernetes: {message}. ", aux_logs=[log] if log else [])
                self._forget(info)

    def _jobs(self) -> dict[str, V1Job] | None:
        """This run's jobs by name, None while the API server cannot be reached."""
        try:
            answer = self.batchapi.list_namespaced_job(
                self.namespace, label_selector=f"run={self.run_namespace}", _request_timeout=PATIENCE_S
            )
        except (ApiException, HTTPError) as error:
            self.logger.warning(f"Kubernetes does not answer, its jobs go on: {_said(error)}")
            return None
        return {job.metadata.name: job for job in answer.items}

    def _log(self, info: SubmittedJobInfo) -> str | None:
        """File with how the job's last pod ended and what it printed; None where no pod is left."""
        try:
            selector = f"job-name={info.external_jobid}"
            pods = self.kubeapi.list_namespaced_pod(
                self.namespace, label_selector=selector, _request_timeout=PATIENCE_S
            ).items
            if not pods:
                return None
            last = max(pods, key=lambda pod: pod.metadata.creation_timestamp)
            printed = self.kubeapi.read_namespaced_pod_log(
                last.metadata.name, self.namespace, _request_timeout=PATIENCE_S
            )
        except (ApiException, HTTPError) as error:
            self.logger.warning(f"The log of {info.external_jobid} cannot be read: {_said(error)}")
            return None
        ends = [state.state.terminated for state in last.status.container_statuses or ()]
        how = [
            last.status.phase,
            last.status.reason,
            *(f"{end.reason}, exit code {end.exit_code}" for end in ends if end),
        ]
        file = self.log_path / f"{info.external_jobid}.log"
        file.write_text(f"Pod {last.metadata.name}: {', '.join(filter(None, how))}\n{printed}")
        return str(file)

    def _forget(self, info: SubmittedJobInfo) -> None:
        """Delete a job that ended, unless the user keeps them."""
        if self.workflow.executor_settings.omit_job_cleanup:
            return
        try:
            self.safe_delete_job(info.external_jobid)
        except (ApiException, HTTPError, WorkflowError) as error:
            self.logger.warning(f"Job {info.external_jobid} cannot be deleted: {_said(error)}")


def _said(error: Exception) -> str:
    """What the API server says, on one line."""
    try:
        return str(json.loads(error.body)["message"])
    except (AttributeError, TypeError, ValueError, KeyError):  # an answer of something else on the way, or none
        return " ".join(str(error).split())
