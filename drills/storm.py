"""A connection storm: `python -m drills.storm ADDRESS CLIENTS` connects as often at once, and calls once on each."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from collections import Counter

import grpc
import uvloop

from benchmarks.harness.auctions import OPTIONS
from serving.proto import adfeast_pb2 as pb
from serving.proto import adfeast_pb2_grpc as pb_grpc

DEADLINE_S = 30.0
LEFT = 200  # file descriptors for everything else


async def storm(address: str, clients: int) -> dict[str, int]:
    """How many calls ended how: OK, or the name of a status."""
    options = [*OPTIONS, ("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(clients)]

    async def ask(number: int, channel: grpc.aio.Channel) -> str:
        request = pb.PredictRequest(user_id=f"storm-{number}", ad_ids=[f"ad-{n}" for n in range(10)])
        try:
            await pb_grpc.PredictionStub(channel).Predict(request, timeout=DEADLINE_S)  # type: ignore[no-untyped-call]
        except grpc.aio.AioRpcError as error:
            return str(error.code().name)
        return "OK"

    ended = await asyncio.gather(*(ask(n, c) for n, c in enumerate(channels)))
    for channel in channels:
        await channel.close()
    return dict(Counter(ended))


if __name__ == "__main__":
    asked, most = int(sys.argv[2]), resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, asked + LEFT), most))
    sys.stdout.write(json.dumps(uvloop.run(storm(sys.argv[1], asked))))
