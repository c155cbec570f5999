"""The server most teams would write first: the same Predict, from the usual libraries used the usual way.

Feast's SDK fetches the feature service for every (user, ad) row as a dictionary, pandas assembles the model's inputs,
tritonclient asks the same Triton model over HTTP (binary tensors, its default), kafka-python (with its C checksum)
publishes one JSON message a request without waiting for the broker. Nothing is slowed on purpose; where the usual way
offers a choice the cheaper one is taken: clients and the feature service are made once, Feast reads the views of both
tiers in parallel, Triton connections stay open, and the JSON rows leave the embeddings out, which the platform's
snapshots hold.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import click
import grpc
import numpy as np
import pandas as pd
import tritonclient.http as triton
from kafka import KafkaProducer

from adfeast.contract.ids import MISSING_ID, hash_id
from adfeast.contract.model_names import OUTPUT, SIGNATURE_PARAMETER
from adfeast.contract.signature import AD, TENSORS, USER, Input, Signature
from adfeast.feast_ext.registry import load_definitions
from adfeast.feast_ext.store import open_store
from adfeast.settings import Settings, load_settings
from benchmarks.peers import TOPIC
from serving.proto import adfeast_pb2 as pb
from serving.proto import adfeast_pb2_grpc

THREADS = 10


class NaivePrediction(adfeast_pb2_grpc.PredictionServicer):
    """Predict, and nothing else.

    Args:
        model: name of the Triton model.
    """

    def __init__(self, settings: Settings, model: str) -> None:
        definitions = load_definitions(settings)
        self._signature: Signature = definitions.signature(settings.feature_service)
        self._user_key, self._ad_key = (definitions.entities[name] for name in (USER, AD))
        self._store = open_store(settings)
        self._service = self._store.get_feature_service(settings.feature_service)
        self._triton_address, self._model = settings.triton_http, model
        self._local = threading.local()  # tritonclient's HTTP client belongs to one thread
        self._producer = KafkaProducer(
            bootstrap_servers=settings.kafka_bootstrap, value_serializer=lambda value: json.dumps(value).encode()
        )

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 (the protocol's name)
        """Scores of the request's ads."""
        start = time.perf_counter()
        request_id = request.request_id or uuid.uuid4().hex
        frame = self._features(request)
        scores = self._score(frame)
        self._log(request_id, request, frame, scores)
        return pb.PredictResponse(
            scores=scores.tolist(),
            model_version=self._model,
            latency_ms=(time.perf_counter() - start) * 1000,
            request_id=request_id,
        )

    def _features(self, request: Any) -> pd.DataFrame:
        rows = [{self._user_key: request.user_id, self._ad_key: ad} for ad in request.ad_ids]
        answer = self._store.get_online_features(features=self._service, entity_rows=rows).to_dict()
        # Object columns: pandas would make floats of integers with gaps, and 60-bit ids would not survive that.
        frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in answer.items()})
        for name, value in request.context.items():
            given = getattr(value, value.WhichOneof("kind"))
            frame[name] = hash_id(given) if isinstance(given, str) else given
        return frame

    def _score(self, frame: pd.DataFrame) -> np.ndarray[Any, Any]:
        if not hasattr(self._local, "client"):
            self._local.client = triton.InferenceServerClient(self._triton_address)
        inputs = []
        for role, tensor in TENSORS.items():
            columns = [_column(frame, i) for i in self._signature.role(role)]
            if columns:
                values = np.concatenate(columns, axis=1)
                wanted = triton.InferInput(tensor, values.shape, "INT64" if values.dtype == np.int64 else "FP32")
                wanted.set_data_from_numpy(values)
                inputs.append(wanted)
        answer = self._local.client.infer(self._model, inputs, parameters={SIGNATURE_PARAMETER: self._signature.hash})
        return answer.as_numpy(OUTPUT).reshape(-1)  # type: ignore[no-any-return]

    def _log(self, request_id: str, request: Any, frame: pd.DataFrame, scores: np.ndarray[Any, Any]) -> None:
        logged = [i.name for i in self._signature.inputs if i.role != "embedding" and i.name in frame]
        rows = frame[[self._user_key, self._ad_key, *logged]].assign(score=scores).to_dict("records")
        message = {"request_id": request_id, "time": time.time(), "model": self._model, "rows": rows}
        self._producer.send(TOPIC, message, key=request_id.encode())


def _column(frame: pd.DataFrame, i: Input) -> np.ndarray[Any, Any]:
    """One input as [rows, width] of its tensor's type."""
    column: np.ndarray[Any, Any]
    if i.role in ("dense", "sparse"):
        default, kind = (i.default, np.float32) if i.role == "dense" else (MISSING_ID, np.int64)
        if i.name not in frame:
            return np.full((len(frame), 1), default, kind)
        values = frame[i.name]
        column = values.where(values.notna(), default).to_numpy(kind).reshape(-1, 1)
        return column
    if i.role == "list":
        lists = [list(v or [])[: i.width] for v in frame[i.name]]
        return np.array([v + [MISSING_ID] * (i.width - len(v)) for v in lists], np.int64)
    return np.stack([np.zeros(i.width, np.float32) if v is None else np.asarray(v, np.float32) for v in frame[i.name]])


@click.command()
@click.option("--address", required=True, help="host:port to listen on")
@click.option("--model", required=True, help="name of the Triton model")
def main(address: str, model: str) -> None:
    """Serves Predict with the deployment that ADFEAST_SETTINGS names."""
    server = grpc.server(ThreadPoolExecutor(THREADS))
    servicer = NaivePrediction(load_settings(), model)
    adfeast_pb2_grpc.add_PredictionServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    server.add_insecure_port(address)
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
