"""Sheds calls early: what could only be answered late is refused at once, with the time at which to try again."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

import grpc

from adfeast.settings import Settings
from serving.errors import Method, Overloaded

PAUSE_MS = (50, 200)  # which of them is chance, or all that were refused would come back together


class Admission(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Lets so many calls of a kind be under way at a time, however they came; in gRPC behind the error interceptor.

    Args:
        most: name of a call to how many; others are not limited.

    Attributes:
        shed: refused calls since the start, by name.
    """

    def __init__(self, most: Mapping[str, int], random_source: random.Random | None = None) -> None:
        self._most, self._random = most, random_source or random.Random()
        self._inside: Counter[str] = Counter()
        self.shed = dict.fromkeys(most, 0)

    @classmethod
    def of(cls, settings: Settings) -> Admission:
        """The limits of a deployment."""
        logs = dict.fromkeys(("LogImpression", "LogClick"), settings.max_logs_under_way)
        return cls({"Predict": settings.max_predicts_under_way, **logs})

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Wraps the calls that are limited."""
        handler = await continuation(details)
        name = details.method.rpartition("/")[2]
        if handler is None or handler.unary_unary is None or name not in self._most:
            return handler
        return grpc.unary_unary_rpc_method_handler(
            self.limited(handler.unary_unary, name),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def limited(self, method: Method, name: str) -> Method:
        """A call that raises `Overloaded` instead of being one too many."""

        async def call(request: Any, context: grpc.aio.ServicerContext) -> Any:
            if self._inside[name] >= self._most[name]:
                self.shed[name] += 1
                pause_ms = self._random.randint(*PAUSE_MS)
                raise Overloaded(
                    f"{self._most[name]} calls of {name} are under way here: try again in {pause_ms} ms, here or at "
                    "another server",
                    pause_ms,
                )
            self._inside[name] += 1
            try:
                return await method(request, context)
            finally:
                self._inside[name] -= 1

        return call
