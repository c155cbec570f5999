"""One server whose stores, model and Kafka are in memory, called over gRPC and over REST in the same words."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import aiohttp
import grpc
from grpc_health.v1.health import aio

from adfeast import fleet
from adfeast.clock import Clock
from adfeast.contract.base_rates import BaseRates
from adfeast.contract.definitions import Definitions
from adfeast.contract.event_rules import server_rules
from adfeast.contract.events import CLICKS, IMPRESSIONS
from adfeast.contract.signature import USER
from adfeast.settings import Settings
from serving.admission import Admission
from serving.api import SERVICE, Prediction
from serving.clients.kafka import Confirmed, KafkaProducer
from serving.errors import PUSHBACK, NoEventSource
from serving.listening import options
from serving.predict.ingest import EventLog
from serving.predict.refusals import Refusals
from serving.proto import adfeast_pb2 as pb
from serving.rest.call import DEADLINE
from serving.rest.front import RestFront
from serving.rest.openapi import Offered
from tests.unit.serving.called import listening
from tests.unit.serving.predict.in_memory import SERVICE as IN_MEMORY
from tests.unit.serving.predict.in_memory import Server

TIME = {"type": "long", "logicalType": "timestamp-millis"}


def schema(**columns: Any) -> dict[str, Any]:
    fields = [{"name": "event_id", "type": "string"}, {"name": "event_timestamp", "type": TIME}]
    fields += [{"name": n, **(k if isinstance(k, dict) else {"type": k})} for n, k in columns.items()]
    return {"type": "record", "name": "Event", "fields": fields}


SCHEMAS = {
    IMPRESSIONS: schema(user_name="string", position="int", page={"type": "string", "default": ""}),
    CLICKS: schema(user_name="string", price="double"),
}


class Taken:
    def timestamp(self) -> tuple[int, int]:
        return 0, 0


class Idle:
    """librdkafka's producer, which is given nothing here."""

    def poll(self, timeout_s: float) -> int:
        time.sleep(min(timeout_s, 0.01))
        return 0

    def flush(self, _timeout_s: float) -> int:
        return 0


class Kafka(KafkaProducer):
    """Keeps what it is given; refuses all of it while `down`, and confirms nothing while `silent`."""

    def __init__(self) -> None:
        super().__init__("nowhere", linger_ms=1, make=lambda _: Idle())
        self.down = self.silent = False
        self.messages, self._waiting = list[tuple[str, bytes, bytes]](), list[Confirmed]()

    def send(self, topic: str, key: bytes, value: bytes, confirmed: Confirmed) -> None:
        if self.down:
            raise BufferError("nobody is there")
        self.messages.append((topic, key, value))
        self._waiting.append(confirmed)
        if not self.silent:
            self.confirm()

    def confirm(self) -> None:
        """All that was sent."""
        for confirmed in self._waiting:
            confirmed(None, Taken())
        self._waiting.clear()


class Logs:
    """The topics that are defined, as `serving.predict.events.EventLogs` has them."""

    def __init__(self, definitions: Definitions, kafka: Kafka, clock: Clock, settings: Settings) -> None:
        self.refusals, rules, key = Refusals(), server_rules(settings), definitions.entities[USER]
        self._logs = {
            topic: EventLog(topic, s, key, kafka, clock, rules, self.refusals, settings.max_events)
            for topic, s in definitions.events.items()
        }

    def of(self, topic: str) -> EventLog:
        if topic not in self._logs:
            raise NoEventSource(f"no {topic}")
        return self._logs[topic]


@dataclass(unsafe_hash=True)
class Refused(Exception):
    """A call that failed, as either front says it."""

    code: str
    message: str
    retry_ms: int | None = None


class Front(Protocol):
    """Calls with plain values; raises `Refused`."""

    async def predict(self, asked: Mapping[str, Any], within_s: float | None = None) -> dict[str, Any]: ...

    async def log(self, topic: str, events: list[dict[str, Any]], within_s: float | None = None) -> int: ...


def value(plain: Any) -> pb.Value:
    kinds = {bool: "flag", int: "integer", float: "number", str: "text"}
    return pb.Value() if plain is None else pb.Value(**{kinds[type(plain)]: plain})


def values(plain: Mapping[str, Any]) -> dict[str, pb.Value]:
    return {name: value(v) for name, v in plain.items()}


class Grpc:
    def __init__(self, stub: Any) -> None:
        self._stub = stub

    async def predict(self, asked: Mapping[str, Any], within_s: float | None = None) -> dict[str, Any]:
        sent = pb.PredictRequest(**{**asked, "context": values(asked.get("context", {}))})
        answer = await self._call("Predict", sent, within_s)
        scores = dict(zip(asked["ad_ids"], answer.scores, strict=True))
        return {"scores": scores, "model_version": answer.model_version, "unknown_user": answer.unknown_user}

    async def log(self, topic: str, events: list[dict[str, Any]], within_s: float | None = None) -> int:
        sent = pb.LogEventsRequest(events=[pb.Event(fields=values(e)) for e in events])
        name = {IMPRESSIONS: "LogImpression", CLICKS: "LogClick"}[topic]
        return int((await self._call(name, sent, within_s)).accepted)

    async def _call(self, name: str, sent: Any, within_s: float | None) -> Any:
        try:
            return await getattr(self._stub, name)(sent, timeout=within_s)
        except grpc.aio.AioRpcError as error:
            pause = dict(error.trailing_metadata()).get(PUSHBACK)
            raise Refused(error.code().name, error.details() or "", int(pause) if pause else None) from error


class Rest:
    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session, self.url = session, url

    async def predict(self, asked: Mapping[str, Any], within_s: float | None = None) -> dict[str, Any]:
        found = await self.post("/v1/predict/ctr", asked, within_s)
        scores = {score["ad_id"]: score["predicted_ctr"] for score in found["scores"]}
        return {"scores": scores, "model_version": found["model_version"], "unknown_user": found["unknown_user"]}

    async def log(self, topic: str, events: list[dict[str, Any]], within_s: float | None = None) -> int:
        found = await self.post(f"/v1/{topic}", {"events": events}, within_s)
        assert found["status"] == "ok"
        return int(found["accepted"])

    async def raw(
        self, path: str, data: Any = None, method: str = "POST", **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """(status, JSON) of an answer, whatever it is."""
        headers = {"Content-Type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
        body = data if isinstance(data, bytes) or data is None else json.dumps(data).encode()
        async with self.session.request(method, self.url + path, data=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def post(self, path: str, sent: Any, within_s: float | None = None) -> Any:
        headers = {DEADLINE: str(round(within_s * 1000))} if within_s else {}
        status, found = await self.raw(path, sent, **headers)
        if status != 200:
            problem = found["error"]
            raise Refused(problem["code"], problem["message"], problem.get("retry_ms"))
        return found


@dataclass(frozen=True)
class Both:
    """One process with both fronts."""

    server: Server
    kafka: Kafka
    logs: Logs
    admission: Admission
    health: aio.HealthServicer
    fronts: Mapping[str, Front]
    rest: Rest
    front: RestFront
    address: str


@asynccontextmanager
async def both(definitions: Definitions, settings: Settings | None = None, **limits: int) -> AsyncIterator[Both]:
    """A server of the feature service `service`; without events of its own it takes those of `SCHEMAS`.

    `limits` are calls under way, by name.
    """
    definitions = definitions if definitions.events else replace(definitions, events=SCHEMAS)
    settings = settings or Settings(rest_address="127.0.0.1:0")
    rates = BaseRates(0.02)
    server = Server(definitions, {"m1": definitions.signature(IN_MEMORY)}, "m1", rates, settings)
    kafka, health = Kafka(), aio.HealthServicer()
    logs = Logs(definitions, kafka, server.clock, settings)
    most = dict.fromkeys(("Predict", "LogImpression", "LogClick"), 100) | limits
    admission = Admission(most)
    report = lambda: fleet.Report("server", "", 0, "", "m1", ("m1",), (), 0, 0, 0, "ready")  # noqa: E731
    service = Prediction(server.predictor, logs, report, lambda: server.live)  # type: ignore[arg-type]
    offered = Offered.of(definitions, IN_MEMORY, definitions.events)
    rest = RestFront(service, admission, health, lambda: offered, settings, grace_s=1.0)
    await rest.start()
    await health.set(SERVICE, 1)
    try:
        async with (
            listening(service, behind=[admission], options=options(settings)) as (stub, address),
            aiohttp.ClientSession() as session,
        ):
            over = Rest(session, f"http://127.0.0.1:{rest.port}")
            yield Both(
                *(server, kafka, logs, admission, health, {"grpc": Grpc(stub), "rest": over}, over, rest, address)
            )
    finally:
        await rest.stop()
        kafka.close(0.1)


def during(definitions: Definitions, work: Callable[[Both], Awaitable[Any]], **more: Any) -> Any:
    """What `work` gives, done while such a server runs."""

    async def run() -> Any:
        async with both(definitions, **more) as opened:
            return await work(opened)

    return asyncio.run(asyncio.wait_for(run(), 20))
