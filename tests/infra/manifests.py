"""Copies of infra/k8s with the CronJobs of the definitions, rendered by kubectl, and the objects that come out."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from adfeast.feast_ext.repo import declared
from adfeast.settings import ROOT, Settings
from infra.kubernetes_schedules import cron_jobs
from infra.terraform_plan import placeless

SOURCES = ROOT / "infra" / "k8s"
OVERLAYS = ("dev", "prod", "prod-gpu")
BIN = ROOT / ".local" / "env" / "containers" / "bin"
# The version that Terraform asks EKS for; infra/terraform/modules/serving/variables.tf.
KUBERNETES = "1.34"
# The place for commands by hand: nobody asks it anything, and it does nothing by itself.
BY_HAND = "tools"
Object = dict[str, Any]


class Program(NamedTuple):
    """What runs in pods."""

    kind: str
    name: str
    labels: dict[str, str]
    annotations: dict[str, str]
    pod: Object

    @property
    def containers(self) -> list[Object]:
        return [*self.pod.get("initContainers", []), *self.pod["containers"]]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def schedules() -> list[Object]:
    """The CronJobs of feature_repo/."""
    settings = placeless(Settings())
    return cron_jobs(declared(settings), settings.feature_service)


def copied(folder: Path, jobs: list[Object]) -> Path:
    """infra/k8s below `folder`, where every overlay has the CronJobs."""
    tree = folder / "k8s"
    shutil.copytree(SOURCES, tree, ignore=shutil.ignore_patterns("cronjobs.yaml"))
    (tree / "schedules" / "cronjobs.yaml").write_text(yaml.safe_dump_all(jobs))
    for overlay in ("dev", "prod"):
        file = tree / "overlays" / overlay / "kustomization.yaml"
        file.write_text(file.read_text().replace("resources:\n", "resources:\n  - ../../schedules\n", 1))
    return tree


def rendered(tree: Path, overlay: str) -> list[Object]:
    """Its objects.

    Raises:
        ValueError: kustomize refuses it.
    """
    command = [str(BIN / "kubectl"), "kustomize", str(tree / "overlays" / overlay)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(done.stderr)
    return [o for o in yaml.load_all(done.stdout, yaml.CSafeLoader) if o]


VALIDATE = """
import json, sys
import kubernetes_validate
for o in json.load(sys.stdin):
    try:
        kubernetes_validate.validate(o, sys.argv[1], strict=True)
    except Exception as error:
        path = ".".join(map(str, getattr(error, "path", ())))
        print(f"{o['kind']} {o['metadata']['name']}: {path}: {getattr(error, 'message', error)}"[:400])
"""


def unknown_to_kubernetes(objects: list[Object]) -> list[str]:
    """What Kubernetes' own schemas refuse; unknown fields too."""
    command = [str(BIN / "python"), "-W", "ignore", "-c", VALIDATE, KUBERNETES]
    said = subprocess.run(command, input=json.dumps(objects), capture_output=True, text=True, check=True)
    return said.stdout.splitlines()


def of(objects: list[Object], kind: str) -> list[Object]:
    return [o for o in objects if o["kind"] == kind]


def programs(objects: list[Object]) -> Iterator[Program]:
    for o in objects:
        if o["kind"] == "CronJob":
            template = o["spec"]["jobTemplate"]["spec"]["template"]
        elif o["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
            template = o["spec"]["template"]
        else:
            continue
        about = template["metadata"]
        yield Program(o["kind"], o["metadata"]["name"], about["labels"], about.get("annotations", {}), template["spec"])


def program(objects: list[Object], name: str) -> Program:
    return next(p for p in programs(objects) if p.name == name)


def selects(selector: Object, labels: dict[str, str]) -> bool:
    """Whether a label selector, of which only what the manifests use is known, takes an object with these labels."""
    wanted = all(labels.get(k) == v for k, v in selector.get("matchLabels", {}).items())
    for e in selector.get("matchExpressions", []):
        assert e["operator"] == "In"
        wanted = wanted and labels.get(e["key"]) in e["values"]
    return wanted
