"""What must hold between objects: names lead somewhere, what answers stays, traffic flows where it must only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import yaml

from adfeast.metrics import QUEUE_LOOKS, QUEUE_SECONDS
from infra.containers_offline.dockerfile import IMAGES, image
from tests.infra.manifests import BY_HAND, Object, Program, of, program, programs, selects
from tests.infra.pod_rules import SIGNS


def names_lead_somewhere(objects: list[Object]) -> Iterator[str]:
    """Accounts, volumes, claims, maps and ports that are named are there."""
    names = {kind: {o["metadata"]["name"] for o in of(objects, kind)} for kind in {o["kind"] for o in objects}}
    for p in programs(objects):
        if p.pod["serviceAccountName"] not in names["ServiceAccount"]:
            yield f"{p} has an account that is not there"
        volumes = {v["name"]: v for v in p.pod.get("volumes", [])}
        for v in volumes.values():
            claim, config = v.get("persistentVolumeClaim"), v.get("configMap")
            if claim and claim["claimName"] not in names["PersistentVolumeClaim"]:
                yield f"{p} has a claim that is not there"
            if config and config["name"] not in names["ConfigMap"]:
                yield f"{p} has files of a map that is not there"
        for c in p.containers:
            if missing := {m["name"] for m in c.get("volumeMounts", [])} - volumes.keys():
                yield f"{p} mounts what is not there: {missing}"
            maps = {f["configMapRef"]["name"] for f in c.get("envFrom", [])}
            if missing := maps - names["ConfigMap"]:
                yield f"{p} has settings of a map that is not there: {missing}"
            ports = {q["name"]: q["containerPort"] for q in c.get("ports", [])}
            asked = {h.get("port") for k in c if k.endswith("Probe") for h in c[k].values() if isinstance(h, dict)}
            if missing := asked - {None} - ports.keys() - set(ports.values()):
                yield f"{p} is probed where it does not listen: {missing}"
            if (scraped := p.annotations.get("prometheus.io/port")) and int(scraped) not in ports.values():
                yield f"{p} is asked for metrics where it does not listen: {scraped}"
            yield from _unexposed(p, c, set(ports.values()))
    for s in of(objects, "Service"):
        served = [p for p in programs(objects) if selects({"matchLabels": s["spec"]["selector"]}, p.labels)]
        if not served:
            yield f"Service {s['metadata']['name']} leads nowhere"
        for p in served:
            for q in s["spec"]["ports"]:
                if q["targetPort"] not in {r["name"] for c in p.containers for r in c.get("ports", [])}:
                    yield f"Service {s['metadata']['name']} leads to a port that {p} has not"


def _unexposed(p: Program, container: Object, ports: set[int]) -> Iterator[str]:
    name = container["image"].split("@")[0].rsplit("/", 1)[-1]
    if name in IMAGES:
        exposed = {int(n) for s in image(name) for e in s.of("EXPOSE") for n in e.text.split()}
        if not ports <= exposed:
            yield f"{p} listens where its image does not: {ports - exposed}"


def what_answers_stays(objects: list[Object]) -> Iterator[str]:
    """The path of a Predict: disruption is bounded, pods are spread, load adds pods."""
    for name in ("server", "proxy", "triton"):
        p = program(objects, name if name != "triton" else _answering_triton(objects))
        if not any(selects(b["spec"]["selector"], p.labels) for b in of(objects, "PodDisruptionBudget")):
            yield f"{p} has no disruption budget"
        if name == "triton":
            continue
        if "topology.kubernetes.io/zone" not in {t["topologyKey"] for t in p.pod.get("topologySpreadConstraints", [])}:
            yield f"{p} may be in one zone as a whole"
        scaled = [h for h in of(objects, "HorizontalPodAutoscaler") if h["spec"]["scaleTargetRef"]["name"] == name]
        if not scaled or scaled[0]["spec"]["minReplicas"] < 2:
            yield f"{p} does not follow the load, or may be alone"
        if any("replicas" in o["spec"] for o in of(objects, "Deployment") if o["metadata"]["name"] == name):
            yield f"{p} is set back to a number of pods by every apply"
    metrics = {m.get("resource", m.get("pods", {}).get("metric"))["name"] for m in _scaler(objects)["spec"]["metrics"]}
    if metrics != {"cpu", "adfeast_queue_seconds"}:
        yield f"servers are added by {sorted(metrics)} alone"


def _answering_triton(objects: list[Object]) -> str:
    selector = next(s["spec"]["selector"] for s in of(objects, "Service") if s["metadata"]["name"] == "triton")
    return next(p.name for p in programs(objects) if selects({"matchLabels": selector}, p.labels))


def _scaler(objects: list[Object]) -> Object:
    return next(o for o in of(objects, "HorizontalPodAutoscaler") if o["metadata"]["name"] == "server")


def traffic_is_allowed_where_it_must_be(objects: list[Object]) -> Iterator[str]:
    policies = [o["spec"] for o in of(objects, "NetworkPolicy")]
    closed = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    if closed not in policies:
        yield "without a policy pods may talk to everybody"
    pods = {p.name: p.labels for p in programs(objects)}
    triton = _answering_triton(objects)
    needed = {("proxy", "server", 50051), ("server", triton, 8000), ("server", "mlflow", 5000)}
    needed |= {(who, *where) for who in (BY_HAND, "model-keeper") for where in ((triton, 8000), ("mlflow", 5000))}
    for a, labels in pods.items():
        for b, others in pods.items():
            for port in (50051, 8000, 8001, 5000):
                open_ = _allows(policies, "Egress", labels, others, port) and _allows(
                    policies, "Ingress", others, labels, port
                )
                if open_ and (a, b, port) not in needed and not b.startswith("triton"):
                    yield f"{a} may ask {b} at {port} without need"
                if not open_ and (a, b, port) in needed:
                    yield f"{a} may not ask {b} at {port}"
        if not any(selects(s["podSelector"], labels) and _outside(s) for s in policies) and a in {"server", *SIGNS}:
            yield f"{a} may not ask the stores"


def _outside(policy: Object) -> bool:
    return any(
        q.get("port") == 5432 and any("ipBlock" in t for t in e["to"])
        for e in policy.get("egress", [])
        for q in e["ports"]
    )


def _allows(policies: list[Object], way: str, mine: dict[str, str], others: dict[str, str], port: int) -> bool:
    key, side = way.lower(), "to" if way == "Egress" else "from"
    for spec in policies:
        if not selects(spec["podSelector"], mine):
            continue
        for rule in spec.get(key, []):
            if any(q["port"] == port for q in rule["ports"]) and any(
                "namespaceSelector" not in peer and "podSelector" in peer and selects(peer["podSelector"], others)
                for peer in rule[side]
            ):
                return True
    return False


def schedules_are_those_of_the_definitions(objects: list[Object]) -> Iterator[str]:
    for o in of(objects, "CronJob"):
        spec = o["spec"]
        if spec["concurrencyPolicy"] != "Forbid":
            yield f"CronJob {o['metadata']['name']} may run beside itself"
        if timedelta(seconds=spec["jobTemplate"]["spec"].get("activeDeadlineSeconds", 10**9)) > timedelta(days=1):
            yield f"CronJob {o['metadata']['name']} may hang for ever"


def autoscalers_ask_for_what_is_shown(adapter: Path) -> Iterator[str]:
    rule = yaml.safe_load(adapter.read_text())[0]
    if rule["name"]["as"] != "adfeast_queue_seconds":
        yield f"{adapter} makes another metric than is asked for"
    if not rule["seriesQuery"].startswith(QUEUE_LOOKS.name + "{") or QUEUE_SECONDS.name not in rule["metricsQuery"]:
        yield f"{adapter} is made of metrics that no server shows"
