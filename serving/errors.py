"""What can go wrong in a call, each with its code, and the one interceptor that answers with it over gRPC."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from adfeast.errors import AdfeastError

log = logging.getLogger(__name__)


class ServingError(AdfeastError):
    """Base of the errors a caller sees; `code` is the gRPC status; REST's follows from it.

    Args:
        problem: what is wrong.
        todo: what the caller can do; a kind of error that needs no more than `advice` says it in no message.
        field, value: where it is wrong, and what stands there as a message may show it.
    """

    code = grpc.StatusCode.INTERNAL
    advice = ""

    def __init__(self, problem: str, todo: str = "", *, field: str = "", value: str = "") -> None:
        super().__init__(f"{problem}; {todo}" if todo else problem)
        self.todo, self.field, self.value = todo or self.advice, field, value


class InvalidRequest(ServingError):
    """The caller must change the request; the message names the field and the value."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    advice = "correct the request"


class StoreUnavailable(ServingError):
    """An online store did not answer; the same call may work a moment later."""

    code = grpc.StatusCode.UNAVAILABLE
    advice = "send the call again"


class Moved(StoreUnavailable):
    """A node of a Redis Cluster has not the key: another has."""


class OnItsWay(StoreUnavailable):
    """A slot of a Redis Cluster is being moved, and what was asked for may be where it is moved to.

    Attributes:
        answer: of the node, which names the other one.
    """

    def __init__(self, answer: str) -> None:
        super().__init__(f"Redis refuses: {answer}")
        self.answer = answer


class ModelUnavailable(ServingError):
    """Triton did not score; the same call may work a moment later."""

    code = grpc.StatusCode.UNAVAILABLE
    advice = "send the call again"


class NoModel(ServingError):
    """No usable model is deployed; a retry is useless until somebody deploys one."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    advice = "deploy a model, or wait until the server sees it"


class NoEventSource(ServingError):
    """No such topic is defined; a retry is useless until somebody applies one."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    advice = "declare the topic in feature_repo/ and apply it"


class NotAcknowledged(ServingError):
    """Kafka did not confirm what the call brought; send the call again, everything counts once by its id."""

    code = grpc.StatusCode.UNAVAILABLE
    advice = "send the call again"


class TooLate(ServingError):
    """The deadline that came with the call has passed; gRPC ends such calls by itself."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED
    advice = "give the call more time"


class TableUnusable(AdfeastError):
    """A file holds no table of ads that can be used; the stores answer, and whoever fills tables makes a new one."""


class TopicsLost(AdfeastError):
    """Kafka no longer holds what has still to be read into a table of ads: it must be filled anew."""


class Overloaded(ServingError):
    """Too much is under way; `retry_ms` is when to call again, as gRPC clients with a retry policy do by themselves."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    advice = "send the call again after the pause"

    def __init__(self, message: str, retry_ms: int) -> None:
        super().__init__(message)
        self.retry_ms = retry_ms


PUSHBACK = "grpc-retry-pushback-ms"  # of gRPC's retry design (gRFC A6)
DETAILS_BYTES = 2_000  # of a status; it travels as a header, each byte up to three times as long, of 8 KB for all


def details(text: str) -> str:
    """What a status may say of a problem: gRPC makes RESOURCE_EXHAUSTED of a longer one."""
    data = text.encode(errors="replace")
    return text if len(data) <= DETAILS_BYTES else data[:DETAILS_BYTES].decode(errors="ignore") + "..."


Method = Callable[[Any, grpc.aio.ServicerContext], Awaitable[Any]]


class ErrorInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Turns a `ServingError` into its gRPC status; anything else is logged and answered as INTERNAL."""

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Wraps the unary handlers; streams (health, reflection) pass untouched."""
        handler = await continuation(details)
        if handler is None or handler.unary_unary is None:
            return handler
        return grpc.unary_unary_rpc_method_handler(
            _answering_errors(handler.unary_unary, details.method),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )


def _answering_errors(method: Method, name: str) -> Method:
    async def call(request: Any, context: grpc.aio.ServicerContext) -> Any:
        try:
            return await method(request, context)
        except Overloaded as error:
            await context.abort(error.code, details(str(error)), ((PUSHBACK, str(error.retry_ms)),))
        except ServingError as error:
            await context.abort(error.code, details(str(error)))
        except grpc.aio.AbortError:
            raise
        except Exception:
            log.exception("%s failed", name)
            await context.abort(grpc.StatusCode.INTERNAL, f"{name} failed; the server's log tells why")

    return call
