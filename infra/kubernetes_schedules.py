"""The same scheduled commands as infra/terraform_schedules.py gives AWS, as CronJobs of Kubernetes.

A command that waits for its input ends with code 3, which Kubernetes shows as a failed Job: nothing is tried again,
the next start does it.
"""

from __future__ import annotations

from typing import Any

from adfeast.contract.definitions import Definitions
from infra.terraform_schedules import schedules

# What a start may last; a later one does the rest, from what the ledger says is done.
LONGEST_S = 6 * 3600
SCRATCH = "/scratch"
RESOURCES = {"requests": {"cpu": "2", "memory": "8Gi"}, "limits": {"memory": "16Gi"}}


def cron_jobs(definitions: Definitions, service: str) -> list[dict[str, Any]]:
    """One CronJob a schedule, in the order of their names; they start at different minutes."""
    wanted = sorted(schedules(definitions, service).items())
    return [_cron_job(name, schedule, number) for number, (name, schedule) in enumerate(wanted)]


def cron(rate_minutes: int, number: int) -> str:
    """Every so many minutes, at one of its minutes that `number` chooses.

    >>> cron(60, 7), cron(15, 20), cron(180, 2), cron(1, 3)
    ('7 * * * *', '5-59/15 * * * *', '2 */3 * * *', '0-59/1 * * * *')
    """
    if rate_minutes < 60:
        return f"{number % rate_minutes}-59/{rate_minutes} * * * *"
    hours = rate_minutes // 60
    return f"{number % 60} {'*' if hours == 1 else f'*/{hours}'} * * *"


def _cron_job(name: str, schedule: dict[str, Any], number: int) -> dict[str, Any]:
    labels = {"app": "schedule", "schedule": _label(name), "stores": "yes"}
    container = {
        "name": "adfeast",
        "image": "adfeast/jobs",
        "command": schedule["command"],
        "envFrom": [{"configMapRef": {"name": "settings"}}],
        "env": [
            {"name": f"ADFEAST_{which}_URL", "valueFrom": {"secretKeyRef": {"name": "registry", "key": "url"}}}
            for which in ("REGISTRY", "LEDGER")
        ],
        "resources": RESOURCES,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "scratch", "mountPath": SCRATCH}],
    }
    pod = {
        "serviceAccountName": schedule["role"],
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            "fsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "100Gi"}}],
    }
    job = {
        "backoffLimit": 0,
        "activeDeadlineSeconds": LONGEST_S,
        "ttlSecondsAfterFinished": 86_400,
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": _label(name)},
        "spec": {
            "schedule": cron(schedule["rate_minutes"], number),
            "timeZone": "Etc/UTC",
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": 60 * schedule["rate_minutes"],
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {"spec": job},
        },
    }


def _label(name: str) -> str:
    """A view's name as Kubernetes takes one; it may have 52 letters."""
    return name.replace("_", "-")[:52].rstrip("-")
