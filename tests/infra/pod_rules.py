"""What must hold of every pod by itself: rights, image, probes, sizes. Each function says what does not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from registry.keeper import last_look
from serving.api import SERVICE
from serving.app import STOP_GRACE_S
from streaming.marks import last_mark
from streaming.reconcile import last_pass
from streaming.redis_writer.writer import last_turn
from tests.infra.manifests import Object, program, programs

# Two Kafka producers, each of which may send for so long what it holds (serving/clients/kafka.py), and a second more.
FLUSH_S = 2 * (10.0 + 1.0)
# Program to the file that it touches while it works.
SIGNS = {"redis-writer": last_turn, "reconciler": last_pass, "heartbeat": last_mark, "model-keeper": last_look}


def pods_have_no_rights(objects: list[Object]) -> Iterator[str]:
    for p in programs(objects):
        pod = p.pod.get("securityContext", {})
        if not pod.get("runAsNonRoot") or not pod.get("runAsUser"):
            yield f"{p} may run as root"
        if pod.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{p} has no seccomp profile"
        if p.pod.get("automountServiceAccountToken") is not False:
            yield f"{p} is given a token of Kubernetes"
        if any(p.pod.get(shared) for shared in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{p} shares a namespace with its node"
        if any("hostPath" in v for v in p.pod.get("volumes", [])):
            yield f"{p} reads the node's files"
        for c in p.containers:
            rights = c.get("securityContext", {})
            if rights.get("runAsUser") == 0 or rights.get("privileged") or rights.get("runAsNonRoot") is False:
                yield f"{p} may run as root"
            if rights.get("allowPrivilegeEscalation") is not False:
                yield f"{p} may gain rights"
            if not rights.get("readOnlyRootFilesystem"):
                yield f"{p} may write to its image"
            if rights.get("capabilities") != {"drop": ["ALL"]}:
                yield f"{p} keeps capabilities"


def images_are_pinned(objects: list[Object]) -> Iterator[str]:
    for p in programs(objects):
        for c in p.containers:
            if not re.search(r"@sha256:[0-9a-f]{64}$", c["image"]) or ":latest" in c["image"]:
                yield f"{p} has an image that may change: {c['image']}"


def programs_are_probed_and_bounded(objects: list[Object]) -> Iterator[str]:
    for p in programs(objects):
        for c in p.containers:
            sizes = c.get("resources", {})
            if not {"cpu", "memory"} <= sizes.get("requests", {}).keys() or "memory" not in sizes.get("limits", {}):
                yield f"{p} says not what it needs"
            if p.kind != "Deployment":
                continue
            wanted = {"readinessProbe"} | ({"startupProbe", "livenessProbe"} if _listens(c) else set())
            for missing in sorted(wanted - c.keys()):
                yield f"{p} has no {missing}"
            if "sleep" in c.get("lifecycle", {}).get("preStop", {}) or not _listens(c):
                continue
            yield f"{p} is stopped while it is still asked"


def _listens(container: Object) -> bool:
    return any(p["name"] != "metrics" for p in container.get("ports", []))


def a_server_is_ready_once_it_has_scored(objects: list[Object]) -> Iterator[str]:
    server = program(objects, "server")
    container = server.containers[0]
    if container["readinessProbe"].get("grpc", {}).get("service") != SERVICE:
        yield f"{server}: ready says not that {SERVICE} answers"
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    if server.pod["terminationGracePeriodSeconds"] < pause + STOP_GRACE_S + FLUSH_S:
        yield f"{server} is killed before it has answered and sent what it holds"


def programs_that_listen_nowhere_show_a_sign(objects: list[Object]) -> Iterator[str]:
    for name, file in SIGNS.items():
        container = program(objects, name).containers[0]
        for probe in ("readinessProbe", "livenessProbe"):
            if (
                probe in container
                and str(file(Path("/scratch"))) not in container[probe]["exec"]["command"][-1].split()
            ):
                yield f"{name}: its {probe} looks at another file than the program writes"
