"""The prediction server: one process, one event loop."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal

import grpc
import uvloop
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from adfeast.clock import Clock, SystemClock
from adfeast.contract.events import CLICKS, IMPRESSIONS
from adfeast.contract.signature import USER
from adfeast.contract.snapshots import SnapshotCodec
from adfeast.errors import SettingsError
from adfeast.feast_ext.registry import load_definitions
from adfeast.settings import Settings
from serving.clients.http import HttpPool
from serving.clients.kafka import KafkaProducer
from serving.errors import ErrorInterceptor, StoreUnavailable
from serving.features.columns import Rows
from serving.features.plan import compile_plan
from serving.features.reader import FeatureReader
from serving.model.pointer import ModelPointer
from serving.model.scorer import Scorer
from serving.predict.ingest import EventLog
from serving.predict.predictor import Predictor
from serving.predict.publisher import SnapshotPublisher
from serving.predict.request import RequestChecker
from serving.proto import adfeast_pb2 as pb
from serving.proto import adfeast_pb2_grpc as pb_grpc

log = logging.getLogger(__name__)

SERVICE = pb.DESCRIPTOR.services_by_name["Prediction"].full_name
STOP_GRACE_S = 5.0
MESSAGE_BYTES = 16 << 20


class PredictionServer(pb_grpc.PredictionServicer):
    """The service, wired from the applied definitions.

    Raises:
        DefinitionError: nothing usable is applied.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        definitions = load_definitions(settings)
        self._service, self._snapshot_first = settings.feature_service, settings.snapshot_before_answer
        self._plan = compile_plan(definitions, self._service)
        self._signature = self._plan.signature
        self._clock = clock
        self.health = health.aio.HealthServicer()
        self._triton = HttpPool(settings.triton_http)
        self._pointer = ModelPointer(settings, self._signature, self._triton, self._model_changed)
        self._reader = FeatureReader(self._plan, settings, clock)
        checker = RequestChecker(self._plan, settings.max_candidates, clock)
        scorer = Scorer(self._triton, self._signature)
        self._predictor = Predictor(checker, self._reader, scorer, self._pointer, self._service, self._signature.hash)
        # Snapshots have a producer of their own: a flood of them must not fill the buffer that events wait in.
        self._event_producer = KafkaProducer(settings.kafka_bootstrap, linger_ms=1)
        self._snapshot_producer = KafkaProducer(settings.kafka_bootstrap, linger_ms=1 if self._snapshot_first else 20)
        self._snapshots = SnapshotPublisher(self._snapshot_producer, SnapshotCodec(self._signature))
        self._logs = {
            topic: EventLog(topic, definitions.events[topic], definitions.entities[USER], self._event_producer, clock)
            for topic in (IMPRESSIONS, CLICKS)
        }
        self._background: list[asyncio.Task[None]] = []

    async def Predict(self, request: pb.PredictRequest, context: grpc.aio.ServicerContext) -> pb.PredictResponse:  # noqa: N802
        """See adfeast.proto."""
        response, snapshot = await self._predictor.predict(request)
        if self._snapshot_first:
            await self._snapshots.confirm(snapshot)
        else:
            context.add_done_callback(lambda _: self._snapshots.publish(snapshot))
        return response

    async def LogImpression(self, request: pb.LogEventsRequest, _context: object) -> pb.LogEventsResponse:  # noqa: N802
        """See adfeast.proto."""
        return pb.LogEventsResponse(accepted=await self._logs[IMPRESSIONS].accept(request))

    async def LogClick(self, request: pb.LogEventsRequest, _context: object) -> pb.LogEventsResponse:  # noqa: N802
        """See adfeast.proto."""
        return pb.LogEventsResponse(accepted=await self._logs[CLICKS].accept(request))

    async def Status(self, _request: pb.StatusRequest, _context: object) -> pb.StatusResponse:  # noqa: N802
        """See adfeast.proto."""
        return pb.StatusResponse(
            feature_service=self._service,
            signature_hash=self._signature.hash,
            model_version=self._pointer.name,
            refused=self._pointer.refused,
            snapshots_acknowledged=self._snapshots.acknowledged,
            snapshots_lost=self._snapshots.lost,
        )

    async def start(self) -> None:
        """Opens the connections, looks for the model, and starts what runs beside the requests."""
        # "" is healthy from the start: without a model the process takes events, and says what Predict lacks.
        await self.health.set(SERVICE, health_pb2.HealthCheckResponse.NOT_SERVING)
        try:
            await self._reader.read("warm-up", ["warm-up"], Rows(self._plan.request, 1), self._clock.now_ms())
        except StoreUnavailable as error:
            log.warning("serving without a warm store: %s", error)
        await self._pointer.refresh()
        self._background = [asyncio.create_task(self._pointer.follow()), asyncio.create_task(self._reader.keep_fresh())]
        gc.collect()
        gc.freeze()  # what lives as long as the process is no longer searched: a 200 ms pause less

    async def stop(self) -> None:
        """Sends what Kafka has not yet; call when no request is running any more."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        for producer in (self._event_producer, self._snapshot_producer):
            left = await asyncio.to_thread(producer.close)
            if left:
                log.error("%d messages were not sent before the stop", left)
        self._reader.close()
        self._pointer.close()
        self._triton.close()

    async def _model_changed(self, _model: object) -> None:
        await self.health.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)


async def serve(settings: Settings, clock: Clock) -> None:
    """Serves until SIGTERM or SIGINT; requests in flight are answered first.

    Raises:
        SettingsError: the address cannot be listened on.
        DefinitionError: nothing usable is applied.
    """
    stopping = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopping.set)
    options = [("grpc.max_receive_message_length", MESSAGE_BYTES), ("grpc.so_reuseport", 0)]
    server = grpc.aio.server(interceptors=[ErrorInterceptor()], options=options)
    try:
        server.add_insecure_port(settings.grpc_address)
    except RuntimeError as error:
        raise SettingsError(f"cannot listen on grpc_address={settings.grpc_address!r}: {error}") from error
    predictions = PredictionServer(settings, clock)
    pb_grpc.add_PredictionServicer_to_server(predictions, server)  # type: ignore[no-untyped-call]
    health_pb2_grpc.add_HealthServicer_to_server(predictions.health, server)
    reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    await predictions.start()
    await server.start()
    log.info("listening on %s", settings.grpc_address)
    await stopping.wait()
    await server.stop(STOP_GRACE_S)
    await predictions.stop()


def main(settings: Settings) -> None:
    """Runs the server in this process."""
    uvloop.run(serve(settings, SystemClock()))
