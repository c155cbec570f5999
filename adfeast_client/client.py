"""The client: one channel a server, and for each call as many attempts as its policy and its deadline allow."""

from __future__ import annotations

import asyncio
import math
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import grpc

from adfeast_client.errors import CallFailed
from adfeast_client.health import Health, Tokens
from adfeast_client.policy import ILL, PUSHBACK, SAFE, Policy
from adfeast_client.ring import HashRing
from serving.proto import adfeast_pb2 as pb
from serving.proto import adfeast_pb2_grpc as pb_grpc

Plain = str | int | float | bool
OPTIONS = (
    ("grpc.enable_retries", 0),  # they are made here
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.enable_http_proxy", 0),
)
USER = "x-user-id"  # by which a proxy in front of the servers keeps a user with one of them


def value(plain: Plain) -> pb.Value:
    """The message of a plain value."""
    if isinstance(plain, bool):
        return pb.Value(flag=plain)
    if isinstance(plain, int):
        return pb.Value(integer=plain)
    return pb.Value(number=plain) if isinstance(plain, float) else pb.Value(text=plain)


def values(plain: Mapping[str, Plain]) -> dict[str, pb.Value]:
    """Those of a context or an event."""
    return {name: value(v) for name, v in plain.items()}


class Client:
    """Calls the servers at some addresses; belongs to the event loop in which it is used first.

    Args:
        addresses: host:port of each server, or of the proxy in front of them.
        credentials: of TLS; None: none.
        now, random_source: for tests.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        policy: Policy | None = None,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        now: Callable[[], float] = time.monotonic,
        random_source: random.Random | None = None,
    ) -> None:
        self._policy, self._now, self._random = policy or Policy(), now, random_source or random.Random()
        self._ring, self._health = HashRing(addresses), Health(addresses, self._policy, now)
        self._tokens, self._credentials = Tokens(self._policy.tokens), credentials
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._stubs: dict[str, Any] = {}

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connections."""
        for channel in self._channels.values():
            await channel.close()

    async def predict(
        self,
        user_id: str,
        ad_ids: Sequence[str],
        context: Mapping[str, Plain] | None = None,
        *,
        request_id: str = "",
        within_s: float | None = None,
    ) -> pb.PredictResponse:
        """The scores of one auction; put the answer's `attempt_id` into the impressions of what is shown.

        Args:
            within_s: instead of the policy's `predict_s`.

        Raises:
            CallFailed: there are none.
        """
        request_id = request_id or uuid.UUID(int=self._random.getrandbits(128)).hex  # all attempts are one request
        request = pb.PredictRequest(
            user_id=user_id, ad_ids=ad_ids, context=values(context or {}), request_id=request_id
        )
        metadata = ((USER, user_id),) if user_id.isascii() and user_id.isprintable() else ()
        policy = self._policy
        answer: pb.PredictResponse = await self._call(
            "Predict", request, user_id, within_s or policy.predict_s, policy.hedge_s, metadata
        )
        return answer

    async def log_impressions(self, events: Sequence[Mapping[str, Plain]]) -> int:
        """Reports what was shown; returns when Kafka has all of it.

        Raises:
            CallFailed: it has not; sending the same events again is harmless.
        """
        return await self._log("LogImpression", events)

    async def log_clicks(self, events: Sequence[Mapping[str, Plain]]) -> int:
        """Reports what was clicked, in the same way."""
        return await self._log("LogClick", events)

    async def _log(self, name: str, events: Sequence[Mapping[str, Plain]]) -> int:
        request = pb.LogEventsRequest(events=[pb.Event(fields=values(e)) for e in events])
        anywhere = str(self._random.getrandbits(64))
        return int((await self._call(name, request, anywhere, self._policy.log_s, None, ())).accepted)

    async def _call(
        self, name: str, request: Any, key: str, within_s: float, hedge_s: float | None, metadata: Any
    ) -> Any:
        """The first good answer of some attempts, of which more than one may be under way."""
        until, order = self._now() + within_s, self._health.order(self._ring.order(key))
        running: dict[asyncio.Future[Any], str] = {}
        made, next_s, failure = 0, -math.inf, _failure(grpc.StatusCode.DEADLINE_EXCEEDED, "no answer in time")
        try:
            while True:
                now = self._now()
                if now >= next_s and made < self._policy.attempts and (made == 0 or self._tokens.take()):
                    address = order[made % len(order)]
                    sent = getattr(self._stub(address), name)(request, timeout=until - now, metadata=metadata)
                    running[asyncio.ensure_future(_answer(sent))] = address
                    made, next_s = made + 1, math.inf if hedge_s is None else now + hedge_s
                elif now >= next_s:
                    next_s = math.inf  # nothing more may be sent
                if not running and (next_s >= until or made >= self._policy.attempts):
                    raise CallFailed(*failure[:2], made)
                for done in await self._first(running, min(next_s, until + 1.0) - self._now()):
                    address, found = running.pop(done), done.result()
                    if not isinstance(found, grpc.aio.AioRpcError):
                        self._answered(address, running)
                        return found
                    failure = _failure(found.code(), found.details() or "", found)
                    if failure[0] in ILL:
                        self._health.failed(address)
                    if failure[0] not in SAFE or failure[2] < 0:
                        raise CallFailed(*failure[:2], made)
                    pause = failure[2] or self._random.random() * self._policy.backoff_s * 2 ** (made - 1)
                    next_s = self._now() + pause
        finally:
            for left in running:
                left.cancel()

    async def _first(self, running: Mapping[asyncio.Future[Any], str], timeout_s: float) -> set[asyncio.Future[Any]]:
        if not running:
            await asyncio.sleep(max(0.0, timeout_s))
            return set()
        done, _ = await asyncio.wait(running, timeout=max(0.0, timeout_s), return_when=asyncio.FIRST_COMPLETED)
        return done

    def _answered(self, address: str, beaten: Mapping[asyncio.Future[Any], str]) -> None:
        self._tokens.answered()
        self._health.answered(address)
        for slower in set(beaten.values()) - {address}:  # one that only hangs is never told by an error
            self._health.failed(slower)

    def _stub(self, address: str) -> Any:
        if address not in self._stubs:
            options = list(OPTIONS)
            self._channels[address] = (
                grpc.aio.secure_channel(address, self._credentials, options=options)
                if self._credentials
                else grpc.aio.insecure_channel(address, options=options)
            )
            self._stubs[address] = pb_grpc.PredictionStub(self._channels[address])  # type: ignore[no-untyped-call]
        return self._stubs[address]


async def _answer(sent: Any) -> Any:
    """What came, be it an error: nobody looks at one that comes too late."""
    try:
        return await sent
    except grpc.aio.AioRpcError as error:
        return error


def _failure(code: grpc.StatusCode, message: str, error: Any = None) -> tuple[grpc.StatusCode, str, float]:
    """(code, message, seconds that the server wants to be left alone; 0: it does not say, negative: for good)."""
    metadata = dict(error.trailing_metadata() or ()) if error is not None else {}
    text = str(metadata.get(PUSHBACK, "0"))
    return code, message, int(text) / 1000 if text.lstrip("-").isdecimal() else -1.0
