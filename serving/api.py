"""The gRPC service: each call to the part that answers it; the only place that knows the calls of adfeast.proto."""

from __future__ import annotations

from collections.abc import Callable

from grpc.aio import ServicerContext

from adfeast.contract.events import CLICKS, IMPRESSIONS
from adfeast.fleet import Report
from serving.live import Live
from serving.predict.events import EventLogs
from serving.predict.predictor import Predictor
from serving.predict.refusals import caller_of
from serving.proto import adfeast_pb2 as pb
from serving.proto import adfeast_pb2_grpc as pb_grpc

SERVICE = pb.DESCRIPTOR.services_by_name["Prediction"].full_name


class Prediction(pb_grpc.PredictionServicer):
    """See adfeast.proto."""

    def __init__(
        self, predictor: Predictor, events: EventLogs, report: Callable[[], Report], live: Callable[[], Live]
    ) -> None:
        self._predictor, self._events, self._report, self._live = predictor, events, report, live

    async def Predict(self, request: pb.PredictRequest, context: ServicerContext) -> pb.PredictResponse:  # noqa: N802
        """See adfeast.proto."""
        return await self._predictor.predict(request, context.time_remaining())

    async def LogImpression(self, request: pb.LogEventsRequest, context: ServicerContext) -> pb.LogEventsResponse:  # noqa: N802
        """See adfeast.proto."""
        return await self._log(IMPRESSIONS, request, context)

    async def LogClick(self, request: pb.LogEventsRequest, context: ServicerContext) -> pb.LogEventsResponse:  # noqa: N802
        """See adfeast.proto."""
        return await self._log(CLICKS, request, context)

    async def Status(self, _request: pb.StatusRequest, _context: object) -> pb.StatusResponse:  # noqa: N802
        """See adfeast.proto."""
        said, live = self._report(), self._live()
        return pb.StatusResponse(
            feature_service=live.service,
            contract_hash=said.contract,
            model_version=said.answers,
            refused="; ".join(said.problems),
            snapshots_acknowledged=said.acknowledged,
            snapshots_lost=said.lost,
            models=said.holds,
            server=said.server,
            features=[f"{i.view}:{i.name}" for i in live.contract.inputs],
            state=pb.State.Value(f"STATE_{said.state.upper()}"),
            away=said.away,
            rungs=said.rungs,
        )

    async def _log(self, topic: str, request: pb.LogEventsRequest, context: ServicerContext) -> pb.LogEventsResponse:
        caller = caller_of(context.peer())
        return pb.LogEventsResponse(accepted=await self._events.of(topic).accept(request, caller))
