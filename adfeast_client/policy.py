"""How long to wait, when to ask again and when not to."""

from __future__ import annotations

from dataclasses import dataclass

import grpc

PUSHBACK = "grpc-retry-pushback-ms"  # of gRPC's retry design (gRFC A6); negative: do not retry
# Predict changes nothing, and events count once by their event_id: every call may be repeated. What the caller has to
# change (INVALID_ARGUMENT) or somebody has to deploy (FAILED_PRECONDITION) is not mended by that.
SAFE = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED})
# What says that a server is ill; one that sheds load is not.
ILL = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


@dataclass(frozen=True)
class Policy:
    """Seconds, where nothing else is said.

    Attributes:
        predict_s, log_s: how long a call may take with all its attempts.
        attempts: of one call, hedges among them.
        backoff_s: of the first retry, doubled for each further one; a random part of it is waited, unless the server
            says how long.
        hedge_s: a Predict that has no answer by then is sent to the next server, too, and the first answer counts;
            None: never. The p95 of the answers is a good value.
        tokens: as many retries and hedges in a row; each answer gives a tenth of one back, so that a fleet in trouble
            is asked a tenth more and not several times as much.
        eject_after: failures in a row after which a server is asked last.
        eject_s, eject_most_s: for how long at first, and at most; it doubles each time.
    """

    predict_s: float = 0.05
    log_s: float = 5.0
    attempts: int = 3
    backoff_s: float = 0.01
    hedge_s: float | None = 0.02
    tokens: float = 10.0
    eject_after: int = 3
    eject_s: float = 1.0
    eject_most_s: float = 30.0
