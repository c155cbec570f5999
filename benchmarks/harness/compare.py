"""Whether two servers answer the same: without that a comparison of their costs means nothing."""

from __future__ import annotations

import grpc
import numpy as np

from benchmarks.harness.errors import BenchmarkError
from benchmarks.harness.load import Requests
from serving.proto import adfeast_pb2 as pb
from serving.proto import adfeast_pb2_grpc

TIMEOUT_S = 60.0
REQUESTS = 5


def compare(asked: Requests, one: str, other: str, seed: int) -> None:
    """Sends the same random requests to two addresses; the scores must be equal to the last bit, and not constant.

    Raises:
        BenchmarkError: they are not.
    """
    rng = np.random.default_rng(seed)
    with grpc.insecure_channel(one) as first, grpc.insecure_channel(other) as second:
        stubs = [adfeast_pb2_grpc.PredictionStub(c) for c in (first, second)]  # type: ignore[no-untyped-call]
        for context in asked.contexts[:REQUESTS]:
            request = pb.PredictRequest(
                user_id=str(rng.choice(asked.users)),
                ad_ids=[asked.ads[i] for i in rng.choice(len(asked.ads), asked.candidates, replace=False)],
                context={name: pb.Value(**value) for name, value in context.items()},
            )
            scores = [np.array(stub.Predict(request, timeout=TIMEOUT_S).scores, np.float32) for stub in stubs]
            if len(np.unique(scores[0])) < asked.candidates // 10 or not np.array_equal(scores[0], scores[1]):
                raise BenchmarkError(f"{one} and {other} score the same request differently: {scores}")
