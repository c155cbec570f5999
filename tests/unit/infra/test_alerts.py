"""Every alert watches what the programs really show, and sends whoever is called to a section that is there."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from adfeast import metrics
from adfeast.clock import ManualClock
from adfeast.contract.definitions import Aggregation
from adfeast.contract.freshness import MOST_REFUSED
from adfeast.settings import ROOT, Settings
from infra.local.loops import MOST_BEHIND
from serving.admission import Admission
from serving.clients.breaker import Breaker
from serving.errors import InvalidRequest
from serving.features.freshness import Watermarks
from serving.features.memory import MemoryRedis
from serving.features.plan import compile_plan
from serving.loops import Loop
from serving.metrics import ServerMetrics
from serving.proto import adfeast_pb2 as pb
from serving.queue_time import QueueTime
from streaming.health import view_topics
from streaming.metrics import Figures, StreamMetrics
from streaming.plan import make_plan
from streaming.status import AS_PLANNED, StreamStatus
from tests.unit.adfeast.feast_ext.small import definitions, feature, view, with_view

FILES = sorted((ROOT / "infra/alerts").glob("*.yaml"))
RULES = [r for file in FILES for g in yaml.safe_load(file.read_text())["groups"] for r in g["rules"]]
DECLARED = {m.name: m for m in vars(metrics).values() if isinstance(m, metrics.Metric)}
NOW = 1_600_000_000_000


@pytest.fixture
def shown(tmp_path: Any) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Metric to its samples, of a reconciler and a prediction server, as a scraper reads them."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    settings, clock = Settings(registry_url=url, ledger_url=url, local=tmp_path, project="p"), ManualClock(NOW)
    activity = view(
        "activity",
        feature("seen_5m", "300s"),
        kind="stream",
        tier="redis",
        topic="seen",
        fresh_within_s=20,
        aggregations=(Aggregation("seen_5m", "count", "event_id", 300, 10),),
    )
    applied = with_view(definitions(), activity)
    plan = make_plan(applied, settings)
    topics = [name for t in view_topics(plan) for name in t.all]
    streams = StreamMetrics(settings, clock)
    status = StreamStatus(dict.fromkeys(plan["jobs"], AS_PLANNED), {}, {})
    totals = {name: n for n, name in enumerate(topics)}
    streams.figures = Figures(NOW, applied, plan, {"activity": NOW - 6_000}, status, totals)

    class Live:
        plan = compile_plan(applied, applied.contract("s"))

    async def fail() -> None:
        raise OSError("nobody answers")

    class Renewed:
        renewed = 1

    loop = Loop("report", fail, 1, clock)
    asyncio.run(loop.once())
    breakers = [Breaker(name) for name in ("redis", "dynamodb", "triton")]
    for _ in range(5):
        breakers[2].failed("timeout")
    producers: Any = {"events": Renewed()}
    server = ServerMetrics(
        lambda: Live,  # type: ignore[arg-type,return-value]
        Watermarks(MemoryRedis(), "p"),
        QueueTime(),
        clock,
        breakers=breakers,
        loops=[loop],
        producers=producers,
        admission=Admission({"Predict": 1}),
    )
    lower = [pb.Deviation(rung=pb.RUNG_CACHED, ads=[0]), pb.Deviation(rung=pb.RUNG_PRIOR, ads=[2, 3])]
    server.answered(
        pb.PredictResponse(stale_views=["activity"], rung=pb.RUNG_FRESH, scores=[0.1] * 9, deviations=lower)
    )
    server.refused("clicks", InvalidRequest("a call without events"))
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    clock.advance(4_000)
    for source in (streams, server):
        for family in text_string_to_metric_families(generate_latest(metrics.registry(source)).decode()):
            for sample in family.samples:
                found.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return found


def test_the_programs_show_what_is_declared_and_nothing_else(shown: Any) -> None:
    assert shown.keys() == DECLARED.keys()
    for name, samples in shown.items():
        assert all(sorted(labels) == sorted(DECLARED[name].labels) for labels, _ in samples), name


def test_ages_grow_while_nobody_looks(shown: Any) -> None:
    activity = {"view": "activity"}
    assert shown["adfeast_view_watermark_age_seconds"] == [(activity, 10.0)]
    assert shown["adfeast_view_fresh_within_seconds"] == [(activity, 20.0)]
    assert shown["adfeast_streams_measured_age_seconds"] == [({}, 4.0)]
    assert shown["adfeast_served_watermark_age_seconds"] == [(activity, float("inf"))]  # it knows of none
    assert shown["adfeast_stale_answers_total"] == [(activity, 1.0)]
    assert shown["adfeast_shed_calls_total"] == [({"call": "Predict"}, 0.0)]
    assert shown["adfeast_loop_age_seconds"] == [({"loop": "report"}, 4.0)]
    assert shown["adfeast_loop_failures_total"] == [({"loop": "report"}, 1.0)]
    assert shown["adfeast_producers_renewed_total"] == [({"producer": "events"}, 1.0)]
    assert {job["job"]: ran for job, ran in shown["adfeast_job_running"]}
    refused = {(labels["topic"], labels["rule"]): n for labels, n in shown["adfeast_refused_events_total"]}
    assert refused == {("impressions", "ahead"): 0, ("clicks", "ahead"): 0, ("clicks", "form"): 1}


def test_answers_and_their_candidates_are_counted_by_rung_and_what_is_away_is_shown(shown: Any) -> None:
    def by(name: str, label: str) -> dict[str, float]:
        return {labels[label]: n for labels, n in shown[name]}

    rungs = {"fresh": 6, "cached": 1, "partial": 0, "ad_ctr": 0, "prior": 2}
    assert by("adfeast_candidates_by_rung_total", "rung") == rungs
    assert by("adfeast_answers_by_rung_total", "rung") == dict.fromkeys(rungs, 0) | {"fresh": 1}
    assert by("adfeast_dependency_away", "dependency") == {"redis": 0, "dynamodb": 0, "triton": 1}
    assert by("adfeast_dependency_lost_total", "dependency") == {"redis": 0, "dynamodb": 0, "triton": 1}


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r["alert"])
def test_an_alert_watches_what_is_shown(rule: dict[str, Any], shown: Any) -> None:
    watched = re.findall(r"(adfeast_\w+)(?:\{([^}]*)\})?", rule["expr"])
    assert watched
    for name, chosen in watched:
        wanted = dict(re.findall(r'(\w+)="([^"]*)"', chosen))
        assert any(wanted.items() <= labels.items() for labels, _ in shown[name]), (name, chosen)


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r["alert"])
def test_an_alert_names_a_section_that_is_there(rule: dict[str, Any]) -> None:
    file, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / file).read_text(), re.MULTILINE)
    assert anchor in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}
    assert rule["annotations"]["summary"]
    assert rule["labels"]["severity"] in ("page", "ticket")


def test_alerts_and_status_call_the_same_things_too_much() -> None:
    exprs = {r["alert"]: r["expr"] for r in RULES}
    assert exprs.keys() >= {"StaleView", "LateEvents", "DeadLetters", "WriterBehind", "JobNotRunning", "ClockAhead"}
    assert exprs["LateEvents"].endswith(f"> {MOST_REFUSED}")
    assert exprs["DeadLetters"].endswith(f"> {MOST_REFUSED}")
    assert exprs["WriterBehind"].endswith(f"> {MOST_BEHIND}")


def test_every_metric_says_what_it_means() -> None:
    for metric in DECLARED.values():
        assert metric.text.endswith("."), metric.name
        assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert len({m.text for m in DECLARED.values()}) == len(DECLARED)
