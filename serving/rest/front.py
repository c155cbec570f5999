"""Answers over HTTP what gRPC answers, on the same event loop and with the same limits, errors and counters."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from aiohttp import web
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio

from adfeast.errors import SettingsError
from adfeast.settings import Settings
from serving.admission import Admission
from serving.api import SERVICE
from serving.errors import ServingError, TooLate
from serving.proto import adfeast_pb2 as pb
from serving.rest import answers, problems, requests
from serving.rest.call import HttpCall
from serving.rest.openapi import Offered, document
from serving.rest.page import page

log = logging.getLogger(__name__)
JSON = "application/json"
READ_S = 10.0  # for a body: who sends more slowly shall not hold memory
IDLE_S = 75.0  # a connection on which nothing is asked
_SERVING = health_pb2.HealthCheckResponse.SERVING


class Service(Protocol):
    """The calls, as `serving.api.Prediction` answers them."""

    async def Predict(self, request: pb.PredictRequest, context: Any) -> pb.PredictResponse: ...  # noqa: N802
    async def LogImpression(self, request: pb.LogEventsRequest, context: Any) -> pb.LogEventsResponse: ...  # noqa: N802
    async def LogClick(self, request: pb.LogEventsRequest, context: Any) -> pb.LogEventsResponse: ...  # noqa: N802
    async def Status(self, request: pb.StatusRequest, context: Any) -> pb.StatusResponse: ...  # noqa: N802


Answer = Callable[[bytes, HttpCall], Awaitable[str]]


class RestFront:
    """See the module.

    Args:
        offered: what callers may send now.
        grace_s: how long calls may take that are under way when it stops.
    """

    def __init__(
        self,
        service: Service,
        admission: Admission,
        health: aio.HealthServicer,
        offered: Callable[[], Offered],
        settings: Settings,
        *,
        grace_s: float,
    ) -> None:
        self._service, self._health, self._offered, self._settings = service, health, offered, settings
        self._runner = _runner(self._app(admission), grace_s)

    async def start(self) -> None:
        """Listens.

        Raises:
            SettingsError: the address cannot be listened on.
        """
        await self._runner.setup()
        host, _, port = str(self._settings.rest_address).rpartition(":")
        site = web.TCPSite(self._runner, host.strip("[]"), int(port), reuse_port=self._settings.grpc_shared_port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            where = f"rest_address={self._settings.rest_address!r}"
            raise SettingsError(f"cannot listen on {where}: {error}; null is for no REST") from error

    async def stop(self) -> None:
        """Listens no more, and waits for the calls that are under way."""
        await self._runner.cleanup()

    @property
    def port(self) -> int:
        """Where it listens, also where the address left that to the machine."""
        return int(self._runner.addresses[0][1])

    def _app(self, admission: Admission) -> web.Application:
        service = self._service

        async def predict(body: bytes, call: HttpCall) -> str:
            request = requests.predict_request(body, self._offered().aliases)
            return answers.of_prediction(request.ad_ids, await service.Predict(request, call))

        def logging_by(name: str) -> Answer:
            async def log_events(body: bytes, call: HttpCall) -> str:
                request = await requests.log_request(body, self._settings.max_events)
                return answers.of_events(await getattr(service, name)(request, call))

            return log_events

        def posted(answer: Answer, name: str) -> Callable[[web.Request], Awaitable[web.Response]]:
            limited = admission.limited(answer, name)

            async def handle(request: web.Request) -> web.Response:
                return await self._post(request, limited)

            return handle

        app = web.Application(middlewares=[_answering_errors], client_max_size=self._settings.max_request_kb << 10)
        app.router.add_post("/v1/predict/ctr", posted(predict, "Predict"))
        app.router.add_post("/v1/impressions", posted(logging_by("LogImpression"), "LogImpression"))
        app.router.add_post("/v1/clicks", posted(logging_by("LogClick"), "LogClick"))
        app.router.add_get("/v1/status", self._status)
        app.router.add_get("/v1/health", self._ready)
        app.router.add_get("/v1/openapi.json", self._openapi)
        app.router.add_get("/v1/docs", self._docs)
        return app

    async def _post(self, request: web.Request, answer: Answer) -> web.Response:
        if request.content_type != JSON:
            raise web.HTTPUnsupportedMediaType
        loop = asyncio.get_running_loop()
        call = HttpCall.of(request, loop.time())
        try:
            async with asyncio.timeout_at(call.until_s) as within:
                body = await _body(request, self._settings.max_request_kb << 10)
                return web.Response(text=await answer(body, call.at(loop.time())), content_type=JSON)
        except TimeoutError as error:
            if not within.expired():
                raise
            raise TooLate("the deadline of the call has passed") from error

    async def _status(self, _request: web.Request) -> web.Response:
        return web.Response(
            text=answers.of_status(await self._service.Status(pb.StatusRequest(), None)), content_type=JSON
        )

    async def _ready(self, _request: web.Request) -> web.Response:
        said = await self._health.Check(health_pb2.HealthCheckRequest(service=SERVICE), None)
        name = health_pb2.HealthCheckResponse.ServingStatus.Name(said.status)
        return web.json_response({"status": name}, status=200 if said.status == _SERVING else 503)

    async def _openapi(self, _request: web.Request) -> web.Response:
        return web.json_response(document(self._offered(), self._settings))

    async def _docs(self, _request: web.Request) -> web.Response:
        return web.Response(text=page(document(self._offered(), self._settings)), content_type="text/html")


def _runner(app: web.Application, grace_s: float) -> web.AppRunner:
    return web.AppRunner(
        app,
        access_log=None,  # it would hold who asked what
        handler_cancellation=True,  # a caller that goes away leaves its place to another
        keepalive_timeout=IDLE_S,
        shutdown_timeout=grace_s,
    )


async def _body(request: web.Request, most: int) -> bytes:
    if (request.content_length or 0) > most:
        raise web.HTTPRequestEntityTooLarge(max_size=most, actual_size=request.content_length or 0)
    try:
        async with asyncio.timeout(READ_S):
            return await request.read()
    except TimeoutError as error:
        raise TooLate(f"the body did not come within {READ_S:g} s", "send it faster") from error


@web.middleware
async def _answering_errors(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)
    except ServingError as error:
        return problems.of_error(error)
    except web.HTTPException as error:
        return problems.of_http(error)
    except Exception:
        log.exception("%s failed", request.path)
        return problems.of_error(ServingError("the call failed", "the server's log tells why"))
    return response
