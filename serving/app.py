"""The prediction server: one process, one event loop. It wires the parts, starts them, reports itself and stops."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable

import grpc
import uvloop
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from adfeast import fleet
from adfeast.access import KafkaAccess, RedisAccess, triton_authorization
from adfeast.clock import Clock, SystemClock
from adfeast.contract.definitions import Definitions
from adfeast.errors import SettingsError
from adfeast.metrics import show
from adfeast.settings import Settings
from serving import follower
from serving.admission import Admission
from serving.ads import served
from serving.api import SERVICE, Prediction
from serving.budget import Budget
from serving.clients.http import HttpPool
from serving.clients.kafka import DELIVERY_TIMEOUT_MS, KafkaProducer
from serving.clients.sigv4 import RENEW_S
from serving.errors import ErrorInterceptor, StoreUnavailable
from serving.features import freshness
from serving.features.columns import Rows
from serving.features.dynamodb import DynamoDBTier
from serving.features.reader import Tiers
from serving.features.redis_cluster import redis_tier
from serving.follower import Follower
from serving.health import LOOK_S, Health
from serving.listening import leave, options, take_all_connections
from serving.live import Live
from serving.loops import Loop
from serving.metrics import CountedPrediction, ServerMetrics
from serving.model.pointer import ModelPointer
from serving.model.scorer import Scorer
from serving.predict import events
from serving.predict.events import EventLogs
from serving.predict.ladder import Ladder
from serving.predict.predictor import Predictor
from serving.predict.publisher import SnapshotPublisher
from serving.predict.recent import RecentScores
from serving.proto import adfeast_pb2_grpc as pb_grpc
from serving.queue_time import QueueTime
from serving.rest.front import RestFront
from serving.rest.openapi import Offered

log = logging.getLogger(__name__)

STOP_GRACE_S = 5.0
REPORT_S = 2.0
WARM_UP = Budget(2.0, 2.0, 2.0)
SNAPSHOTS_WAIT_MS = 300_000  # for a Kafka that is away; nobody waits for them, and their buffer is what bounds them
WAIT_FOR_ADS_S = 120.0  # how long a server waits for a table of ads that is being filled
WAIT_FOR_MODEL_S = 30.0  # how long a server that cannot learn which model answers waits before it listens


class PredictionServer:
    """The parts of one process, wired from the applied definitions.

    Raises:
        DefinitionError: nothing usable is applied.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self.name = settings.server_name or f"{socket.gethostname()}:{os.getpid()}"
        self.admission = Admission.of(settings)
        dynamodb = DynamoDBTier(settings)
        self._credentials = dynamodb.credentials
        self._tiers = Tiers(redis_tier(RedisAccess.of(settings)), dynamodb, settings)
        self._triton = HttpPool(
            settings.triton_http, authorization=triton_authorization(settings), tls_ca=settings.tls_ca
        )
        self._pointer = ModelPointer(
            settings, self._triton, lambda: [r.answers for r in fleet.servers(settings, clock.now_ms())]
        )
        self._follower = Follower(settings, self._tiers, self._pointer, clock, self._live_changed)
        # Snapshots have a producer of their own: a flood of them must not fill the buffer that events wait in.
        first = settings.snapshot_before_answer
        self._event_producer = KafkaProducer(KafkaAccess.of(settings), linger_ms=1)
        linger_ms, delivery_ms = (1, DELIVERY_TIMEOUT_MS) if first else (20, SNAPSHOTS_WAIT_MS)
        self._snapshot_producer = KafkaProducer(KafkaAccess.of(settings), linger_ms, delivery_ms=delivery_ms)
        self._publisher = SnapshotPublisher(self._snapshot_producer)
        recent = RecentScores(settings.score_cache_candidates, round(settings.score_cache_ttl_s * 1000))
        ladder, budget = Ladder(Scorer(self._triton), recent, clock), Budget.of(settings)
        predictor = Predictor(lambda: self._follower.live, ladder, self._publisher, budget, snapshot_first=first)
        breakers = [*self._tiers.breakers.values(), ladder.breaker]
        self.health = Health(lambda: self._follower.live, ladder, breakers, budget, clock)
        self._queue = QueueTime()
        self._events = EventLogs(settings, self._event_producer, clock)
        self._loops = (
            Loop("follower", self._follower.look, follower.POLL_S, clock),
            Loop("health", self.health.look, LOOK_S, clock),
            Loop("watermarks", self._tiers.watermarks.look, freshness.POLL_S, clock),
            Loop("ads", self._tiers.ads.look, served.POLL_S, clock),
            Loop("credentials", self._credentials.renew, RENEW_S, clock),
            Loop("event_schemas", self._events.look, events.POLL_S, clock),
            Loop("report", self._report, REPORT_S, clock),
        )
        self._metrics = ServerMetrics(
            lambda: self._follower.live,
            self._tiers.watermarks,
            self._queue,
            clock,
            breakers=breakers,
            loops=self._loops,
            producers={"events": self._event_producer, "snapshots": self._snapshot_producer},
            admission=self.admission,
        )
        self.servicer = CountedPrediction(
            Prediction(predictor, self._events, self.report, lambda: self._follower.live), self._metrics
        )
        self._background: list[asyncio.Task[None]] = []

    def offered(self) -> Offered:
        """What callers may send now."""
        return Offered.of(self._follower.definitions, self._settings.feature_service, self._events.schemas)

    def report(self) -> fleet.Report:
        """What this process says of itself."""
        live, ads = self._follower.live, self._tiers.ads
        return fleet.Report(
            server=self.name,
            address=self._settings.grpc_address,
            pid=os.getpid(),
            contract=live.contract.hash,
            answers=live.answers.model.name if live.answers else "",
            holds=tuple(sorted(live.holds)),
            problems=(*live.problems, *self._events.problems, *([ads.problem] if ads.problem else [])),
            acknowledged=self._publisher.acknowledged,
            lost=self._publisher.lost,
            refused=self._events.refusals.total,
            state=self.health.state,
            away=self.health.away,
            rungs=self._metrics.shares.last_minute(),
        )

    async def start(self) -> None:
        """Opens the connections, looks for the model, and starts what runs beside the requests.

        Returns when a model answers, or when it is known that none is deployed: a process that listens earlier would
        refuse what another one behind the same address can answer.

        Raises:
            SettingsError: the metrics cannot be shown.
        """
        show(self._settings, self._metrics)
        await self.health.tell()
        live = self._follower.live
        await self._wait_for_ads()
        try:
            await self._tiers.watermarks.look()  # else the first answers would call everything stale
        except StoreUnavailable as error:
            log.warning("how far the stream views are is not known: %s", error)
        nobody = Rows(live.plan.request, 1)
        found = await live.reader.read("warm-up", ["warm-up"], nobody, self._clock.now_ms(), WARM_UP)
        if found.away:
            log.warning("serving without a warm store: %s did not answer", ", ".join(found.away))
        await self._events.refresh(self._follower.definitions)
        until = time.monotonic() + WAIT_FOR_MODEL_S
        await self._follower.look()
        while not (self._follower.knows_models or self._follower.live.answers) and time.monotonic() < until:
            await asyncio.sleep(0.2)
            await self._follower.look()
        await self.health.look()
        beside = (*(loop.run() for loop in self._loops), self._queue.follow())
        self._background = [asyncio.create_task(work) for work in beside]
        gc.collect()
        gc.freeze()  # what lives as long as the process is no longer searched: a 200 ms pause less

    async def _wait_for_ads(self) -> None:
        until = time.monotonic() + WAIT_FOR_ADS_S
        await self._tiers.ads.look()
        while self._tiers.ads.waits and time.monotonic() < until:
            await asyncio.sleep(0.2)
            await self._tiers.ads.look()
        if self._tiers.ads.problem:
            log.warning("%s; what it does not hold is read from the stores", self._tiers.ads.problem)

    async def stop(self) -> None:
        """Sends what Kafka has not yet; call when no request is running any more."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        self._publisher.flush()
        for producer in (self._event_producer, self._snapshot_producer):
            left = await asyncio.to_thread(producer.close)
            if left:
                log.error("%d messages were not sent before the stop", left)
        await asyncio.to_thread(fleet.withdraw, self._settings, self.name)
        self._tiers.close()
        self._pointer.close()
        self._triton.close()

    async def _live_changed(self, live: Live, definitions: Definitions) -> None:
        log.info(
            "reading %d features (contract %s), answering with %s, holding %s",
            len(live.contract.inputs),
            live.contract.hash[:12],
            live.answers.model.name if live.answers else "no model",
            ", ".join(sorted(live.holds)) or "none",
        )
        await self._events.refresh(definitions)

    async def _report(self) -> None:
        await asyncio.to_thread(fleet.report, self._settings, self.report(), self._clock.now_ms())


async def serve(settings: Settings, clock: Clock) -> None:
    """Serves until SIGTERM or SIGINT; then says so, goes on for `shutdown_notice_s`, and answers what is under way.

    Raises:
        SettingsError: an address cannot be listened on.
        DefinitionError: nothing usable is applied.
    """
    stopping = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopping.set)
    predictions = PredictionServer(settings, clock)
    server = grpc.aio.server(interceptors=[ErrorInterceptor(), predictions.admission], options=options(settings))
    pb_grpc.add_PredictionServicer_to_server(predictions.servicer, server)  # type: ignore[no-untyped-call]
    health_pb2_grpc.add_HealthServicer_to_server(predictions.health.servicer, server)
    reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    await predictions.start()
    try:  # not before it can answer: binding is what makes connections come
        server.add_insecure_port(settings.grpc_address)
    except RuntimeError as error:
        raise SettingsError(f"cannot listen on grpc_address={settings.grpc_address!r}: {error}") from error
    await server.start()
    stops: list[Callable[[], Awaitable[object]]] = [lambda: server.stop(STOP_GRACE_S)]
    if settings.rest_address:
        rest = RestFront(
            *(predictions.servicer, predictions.admission, predictions.health.servicer, predictions.offered, settings),
            grace_s=STOP_GRACE_S,
        )
        await rest.start()
        stops.append(rest.stop)
    log.info("%s listens on %s, REST %s", predictions.name, settings.grpc_address, settings.rest_address or "off")
    await stopping.wait()
    await leave(stops, predictions.health.servicer, settings.shutdown_notice_s)
    await predictions.stop()


def main(settings: Settings) -> None:
    """Runs the server in this process."""
    take_all_connections()
    uvloop.run(serve(settings, SystemClock()))
