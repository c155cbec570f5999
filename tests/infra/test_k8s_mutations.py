"""The rules would notice: each mistake below, made in a copy of infra/k8s, is named."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.infra.manifest_rules import problems
from tests.infra.manifests import rendered, unknown_to_kubernetes
from tests.infra.whole_rules import autoscalers_ask_for_what_is_shown


class Mistake(NamedTuple):
    """The first `right` of `file` after `after` becomes `wrong`; then the rules say `reason`."""

    file: str
    right: str
    wrong: str
    reason: str
    after: str = ""


URL = """              valueFrom:
                secretKeyRef:
                  name: registry
                  key: url
"""
SERVER, PROXY, TRITON, PROGRAMS = "base/server.yaml", "base/proxy.yaml", "base/triton.yaml", "base/programs.yaml"
NETWORK, PROD = "base/network.yaml", "overlays/prod/kustomization.yaml"
SERVICE = "              service: adfeast.v1.Prediction\n"
READY = f"          readinessProbe:\n            grpc:\n              port: 50051\n{SERVICE}"
BUDGET = "kind: PodDisruptionBudget\nmetadata:\n  name: server\n"
LATEST = "newTag: distroless-v1.39.1\n    digest: "
ENVOY_DIGEST = "sha256:eb2c01c13125d1629637cb4e4cce7207009fb7cc2c8027f9742758549d15b6f4"
MISTAKES = {
    "root": Mistake(SERVER, "runAsUser: 10001", "runAsUser: 0", "server may run as root"),
    "root allowed": Mistake(TRITON, "runAsNonRoot: true", "runAsNonRoot: false", "triton may run as root"),
    "a writable image": Mistake(
        PROXY, "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "proxy may write to its image"
    ),
    "rights to gain": Mistake(
        PROGRAMS, "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "redis-writer may gain rights"
    ),
    "kept capabilities": Mistake(SERVER, "drop: [ALL]", "drop: [NET_RAW]", "server keeps capabilities"),
    "a token": Mistake(
        SERVER, "automountServiceAccountToken: false", "automountServiceAccountToken: true", "token of Kubernetes"
    ),
    "no readiness": Mistake(
        SERVER, READY, "          readinessProbe_:\n            grpc:\n", "server has no readinessProbe"
    ),
    "readiness of the process alone": Mistake(
        SERVER,
        "              service: adfeast.v1.Prediction\n",
        "",
        "ready says not that adfeast.v1.Prediction answers",
    ),
    "no liveness": Mistake(PROXY, "livenessProbe:", "livenessProbe_:", "proxy has no livenessProbe"),
    "a probe of a closed port": Mistake(PROXY, "port: watch", "port: 9903", "proxy is probed where it does not listen"),
    "a probe of another file": Mistake(
        PROGRAMS, "/scratch/state/streaming/heartbeat", "/scratch/heartbeat", "heartbeat: its readinessProbe looks at"
    ),
    "killed early": Mistake(
        SERVER,
        "terminationGracePeriodSeconds: 60",
        "terminationGracePeriodSeconds: 30",
        "killed before it has answered",
    ),
    "no drain": Mistake(
        SERVER,
        "            preStop:\n              sleep:\n                seconds: 15\n",
        "            postStart:\n              sleep:\n                seconds: 1\n",
        "server is stopped while it is still asked",
    ),
    "no limit": Mistake(
        SERVER, "            limits:\n              memory: 2Gi\n", "", "server says not what it needs"
    ),
    "latest": Mistake(
        PROD, LATEST + ENVOY_DIGEST, "newTag: latest", "an image that may change: envoyproxy/envoy:latest"
    ),
    "a tag alone": Mistake(
        PROD, "digest: sha256:" + "0" * 64, "newTag: v1", "an image that may change", "adfeast-prod/server"
    ),
    "a secret in the open": Mistake(
        SERVER, URL, "              value: postgresql://db/feast\n", "a secret stands in the open: Deployment server"
    ),
    "a secret in the settings": Mistake(
        "overlays/prod/settings.env",
        "ADFEAST_PROJECT=adfeast",
        "ADFEAST_PROJECT=adfeast\nADFEAST_AWS_SECRET_ACCESS_KEY=x",
        "a secret stands in the open: settings",
    ),
    "a password in the settings": Mistake(
        "overlays/prod/settings.env",
        "http://flink.example",
        "http://me:word@flink.example",
        "a password stands in the open",
    ),
    "a secret as a manifest": Mistake(
        "base/accounts.yaml",
        "kind: ServiceAccount\nmetadata:\n  name: training\nautomountServiceAccountToken: false",
        "kind: Secret\nmetadata:\n  name: registry\nstringData:\n  url: x",
        "a secret is among the manifests",
    ),
    "an unknown setting": Mistake(
        "overlays/prod/settings.env",
        "ADFEAST_REDIS_HOST",
        "ADFEAST_REDIS_ADDRESS",
        "a setting that nobody reads: ADFEAST_REDIS_ADDRESS",
    ),
    "a bad setting": Mistake(
        "overlays/prod/settings.env",
        "STREAM_STATE_BACKEND=rocksdb",
        "STREAM_STATE_BACKEND=disk",
        "is given a bad setting",
    ),
    "an unknown command": Mistake(PROGRAMS, "[adfeast, stream, write]", "[adfeast, stream, writes]", "no such command"),
    "an unknown option": Mistake(
        PROGRAMS, "[adfeast, stream, heartbeat]", "[adfeast, stream, heartbeat, --every, 1s]", "no such command"
    ),
    "an unknown option by the clock": Mistake("schedules/cronjobs.yaml", "- --lateness", "- --late", "no such command"),
    "a schedule beside itself": Mistake("schedules/cronjobs.yaml", "Forbid", "Allow", "may run beside itself"),
    "no default policy": Mistake(NETWORK, "  - Ingress\n  - Egress\n", "  - Ingress\n", "pods may talk to everybody"),
    "a missing policy": Mistake(NETWORK, "app: triton", "app: somebody", "server may not ask triton at 8000"),
    "a proxy that is shut out": Mistake(
        NETWORK, "app: proxy", "app: proxies", "proxy may not ask server at 50051", "  name: server\n"
    ),
    "a path without need": Mistake(
        PROGRAMS,
        'stores: "yes"',
        'stores: "yes"\n        calls-mlflow: "yes"',
        "redis-writer may ask mlflow at 5000 without need",
    ),
    "no stores": Mistake(NETWORK, "stores: 'yes'", "stores: 'no'", "server may not ask the stores"),
    "no budget": Mistake(
        SERVER, BUDGET, "kind: ConfigMap\nmetadata:\n  name: server\ndata: {}\n", "server has no disruption budget"
    ),
    "one zone": Mistake(
        SERVER,
        "topologyKey: topology.kubernetes.io/zone",
        "topologyKey: kubernetes.io/arch",
        "server may be in one zone",
    ),
    "servers by CPU alone": Mistake(
        SERVER, "name: adfeast_queue_seconds", "name: cpu", "servers are added by ['cpu'] alone"
    ),
    "a fixed number": Mistake(
        SERVER, "spec:\n  strategy", "spec:\n  replicas: 3\n  strategy", "set back to a number of pods"
    ),
    "a Service that leads nowhere": Mistake(
        SERVER,
        "  selector:\n    app: server\n  ports",
        "  selector:\n    app: servers\n  ports",
        "Service server leads nowhere",
    ),
    "an account that is not there": Mistake(
        SERVER, "serviceAccountName: server", "serviceAccountName: serving", "has an account that is not there"
    ),
    "a port that the image has not": Mistake(
        TRITON, "containerPort: 8001", "containerPort: 8801", "triton listens where its image does not"
    ),
}
UNKNOWN = {
    "a misspelled field": Mistake(SERVER, "periodSeconds: 2", "periodSecond: 2", "periodSecond"),
    "a number as text": Mistake(PROXY, "averageUtilization: 50", 'averageUtilization: "50"', "averageUtilization"),
    "a probe of another name": Mistake(SERVER, "readinessProbe:", "readyProbe:", "readyProbe"),
}


def made(tree: Path, folder: Path, mistake: Mistake) -> Path:
    """A copy with the mistake in it."""
    copy = folder / "k8s"
    shutil.copytree(tree, copy)
    file = copy / mistake.file
    before, after, rest = file.read_text().partition(mistake.after) if mistake.after else ("", "", file.read_text())
    assert mistake.right in rest, f"{mistake.right!r} does not stand in {mistake.file}"
    file.write_text(before + after + rest.replace(mistake.right, mistake.wrong, 1))
    return copy


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_noticed(manifest_tree: Path, tmp_path: Path, mistake: Mistake) -> None:
    copy = made(manifest_tree, tmp_path, mistake)
    said = list(problems(rendered(copy, "prod")))
    assert any(mistake.reason in problem for problem in said), said


@pytest.mark.parametrize("mistake", UNKNOWN.values(), ids=UNKNOWN)
def test_what_kubernetes_does_not_know_is_noticed(manifest_tree: Path, tmp_path: Path, mistake: Mistake) -> None:
    objects = rendered(made(manifest_tree, tmp_path, mistake), "prod")
    said = unknown_to_kubernetes([o for o in objects if o["kind"] in ("Deployment", "HorizontalPodAutoscaler")])
    assert any(mistake.reason in problem for problem in said), said


def test_a_metric_that_no_server_shows_is_noticed(manifest_tree: Path, tmp_path: Path) -> None:
    file = tmp_path / "adapter.yaml"
    file.write_text((manifest_tree / "adapter.yaml").read_text().replace("adfeast_queue_looks", "adfeast_looks"))
    assert list(autoscalers_ask_for_what_is_shown(file))
