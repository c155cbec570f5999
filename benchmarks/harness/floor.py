"""The floor: what no server that reads these features and asks this model can go below in Python.

One redis-py (hiredis) pipeline of an HMGET for the user and one for each ad, answers left undecoded, and one call of
the model by onnxruntime in the same process on inputs made beforehand. No gRPC, no DynamoDB, no assembly, no snapshot.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import redis
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import _mmh3
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from adfeast.contract.definitions import Definitions, View
from adfeast.contract.signature import AD, DTYPES, TENSORS, USER, Signature
from adfeast.settings import Settings
from benchmarks.harness.data import ID_SPACE, Population
from benchmarks.harness.load import Load

VARIANTS = 64  # prepared requests


@dataclass(frozen=True)
class Lookup:
    """One HMGET: the key of an entity in Feast's layout and the hash fields of its Redis views."""

    key: bytes
    fields: list[bytes]


class Floor:
    """Prepared reads and model inputs.

    Args:
        model: ONNX file.
    """

    def __init__(
        self,
        settings: Settings,
        definitions: Definitions,
        signature: Signature,
        model: Path,
        people: Population,
        candidates: int,
        seed: int,
    ) -> None:
        self._address = settings.redis_host, settings.redis_port
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        rng = np.random.default_rng(seed)
        views = [v for v in definitions.service_views(signature.service) if v.tier == "redis"]
        users = [_lookup(settings.project, views, USER, key) for key in people.users]
        ads = [_lookup(settings.project, views, AD, key) for key in people.ads]
        self._reads = [
            [users[rng.integers(len(users))], *(ads[i] for i in rng.choice(len(ads), candidates, replace=False))]
            for _ in range(VARIANTS)
        ]
        names = {i.name for i in self._session.get_inputs()}
        self._inputs = [
            {k: v for k, v in _tensors(signature, candidates, rng).items() if k in names} for _ in range(VARIANTS)
        ]

    def run(self, clients: int, seconds: float) -> Load:
        """`clients` threads, each with a connection, one request after the other."""
        latencies: list[list[float]] = [[] for _ in range(clients)]
        cpu, start = time.process_time(), time.perf_counter()
        threads = [
            threading.Thread(target=self._ask, args=(taken, start + seconds, offset))
            for offset, taken in enumerate(latencies)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wall = time.perf_counter() - start
        every = np.concatenate(latencies) * 1000
        p50, p99 = np.percentile(every, [50, 99])
        return Load(len(every), wall, float(p50), float(p99), time.process_time() - cpu)

    def _ask(self, latencies: list[float], end: float, offset: int) -> None:
        connection = redis.Redis(*self._address)
        turn = offset
        while (start := time.perf_counter()) < end:
            turn = (turn + 1) % VARIANTS
            pipeline = connection.pipeline(transaction=False)
            for lookup in self._reads[turn]:
                pipeline.execute_command("HMGET", lookup.key, *lookup.fields)
            pipeline.execute()
            self._session.run(None, self._inputs[turn])
            latencies.append(time.perf_counter() - start)
        connection.close()


def _lookup(project: str, views: list[View], entity: str, key: str) -> Lookup:
    own = [v for v in views if v.entity == entity]
    entity_key = EntityKey(join_keys=[own[0].join_key], entity_values=[Value(string_val=key)])
    fields = [_mmh3(f"{v.name}:{f.name}") for v in own for f in v.features] + [f"_ts:{v.name}".encode() for v in own]
    return Lookup(serialize_entity_key(entity_key, 3) + project.encode(), fields)


def _tensors(signature: Signature, rows: int, rng: np.random.Generator) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for role, name in TENSORS.items():
        shape = rows, signature.width(role)
        made[name] = rng.random(shape) if DTYPES[role] == "float32" else rng.integers(ID_SPACE, size=shape)
        made[name] = made[name].astype(DTYPES[role])
    return made
