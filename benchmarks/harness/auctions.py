"""An ad server's auctions at a steady rate, whatever comes back: a process of its own that writes down every answer.

`python -m benchmarks.harness.auctions PLAN` asks until it gets SIGTERM. It is an open loop: nobody waits for an answer
before the next auction is held, and what is measured begins when an auction is due, so that a server that stands still
is charged for everybody who would have waited. It calls as ad servers are told to, with a retry policy, and on several
connections, so that each of the servers behind an address has some.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import grpc
import uvloop

from adfeast_client.client import values
from serving.proto import adfeast_pb2 as pb
from serving.proto import adfeast_pb2_grpc as pb_grpc

CONNECTIONS = 8
RETRY = {
    "methodConfig": [
        {
            "name": [{"service": "adfeast.v1.Prediction"}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.02s",
                "maxBackoff": "0.5s",
                "backoffMultiplier": 3,
                "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
            },
        }
    ]
}
OPTIONS = [
    ("grpc.service_config", json.dumps(RETRY)),
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.enable_http_proxy", 0),
]


@dataclass(frozen=True)
class Plan:
    """What is asked.

    Attributes:
        rate: auctions a second.
        candidates: of each.
        deadline_s: of a call, retries included; what has no answer then is lost.
        out: file that gets a line an auction, see `Asked`.
    """

    address: str
    users: list[str]
    ads: list[str]
    context: dict[str, str | int | float]
    rate: float
    candidates: int
    deadline_s: float
    seed: int
    out: str


@dataclass(frozen=True)
class Asked:
    """One auction.

    Attributes:
        number: counted from 0, in the order in which they are due.
        due_s: monotonic seconds, which are the same in all processes of a machine.
        late_ms: how much later it was sent: the fault of this process.
        ms: from when it was due to its answer, or to its end without one.
        rung: of most candidates, 0 without an answer.
        whole: every candidate is fresh, and everything was read.
        model: that answered.
        lost: why there is no answer; empty if there is one.
    """

    number: int
    due_s: float
    late_ms: float
    ms: float
    rung: int
    whole: bool
    model: str
    lost: str


async def ask(plan: Plan, out: TextIO) -> None:
    """Asks until SIGTERM, and then waits for the answers that are still to come."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    options = [*OPTIONS, ("grpc.use_local_subchannel_pool", 1)]  # else all would share one connection
    channels = [grpc.aio.insecure_channel(plan.address, options=options) for _ in range(CONNECTIONS)]
    stubs = [pb_grpc.PredictionStub(c) for c in channels]  # type: ignore[no-untyped-call]
    dice, context, under_way = random.Random(plan.seed), values(plan.context), set[asyncio.Task[None]]()
    begun, number = time.monotonic(), 0
    while not stop.is_set():
        due_s = begun + number / plan.rate
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        request = pb.PredictRequest(
            user_id=dice.choice(plan.users), ad_ids=dice.sample(plan.ads, plan.candidates), context=context
        )
        task = asyncio.create_task(_auction(stubs[number % CONNECTIONS], request, plan, number, due_s, out))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        number += 1
    await asyncio.gather(*under_way)
    for channel in channels:
        await channel.close()


async def _auction(stub: Any, request: pb.PredictRequest, plan: Plan, number: int, due_s: float, out: TextIO) -> None:
    late_ms, rung, whole, model, lost = 1000 * (time.monotonic() - due_s), 0, False, "", ""
    try:
        answer = await stub.Predict(request, timeout=plan.deadline_s)
        rung, model = int(answer.rung), answer.model_version
        whole = rung == pb.RUNG_FRESH and not answer.deviations and not answer.away
    except grpc.aio.AioRpcError as error:
        lost = f"{error.code().name}: {error.details()}"
    found = Asked(number, due_s, late_ms, 1000 * (time.monotonic() - due_s), rung, whole, model, lost)
    out.write(json.dumps(list(asdict(found).values())) + "\n")


if __name__ == "__main__":
    told = Plan(**json.loads(Path(sys.argv[1]).read_text()))
    with Path(told.out).open("w", buffering=1) as lines:
        uvloop.run(ask(told, lines))
