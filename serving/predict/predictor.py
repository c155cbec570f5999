"""One Predict, from the message to the answer."""

from __future__ import annotations

import struct
import time

import numpy as np
from numpy.typing import NDArray

from adfeast.contract.snapshots import Snapshot
from serving.features.reader import FeatureReader
from serving.model.pointer import ModelPointer
from serving.model.scorer import Scorer
from serving.predict.request import RequestChecker
from serving.proto import adfeast_pb2 as pb

_SCORES_TAG = b"\x0a"  # field 1, length-delimited


class Predictor:
    """Scores auctions with the current model."""

    def __init__(
        self,
        checker: RequestChecker,
        reader: FeatureReader,
        scorer: Scorer,
        pointer: ModelPointer,
        service: str,
        signature_hash: str,
    ) -> None:
        self._checker, self._reader, self._scorer, self._pointer = checker, reader, scorer, pointer
        self._service, self._signature_hash = service, signature_hash

    async def predict(self, message: pb.PredictRequest) -> tuple[pb.PredictResponse, Snapshot]:
        """The answer, and the snapshot to publish once it is sent.

        Raises:
            InvalidRequest, StoreUnavailable, ModelUnavailable, NoModel: see `serving.errors`.
        """
        started = time.perf_counter()
        auction = self._checker.check(message)
        model = self._pointer.current()
        features = await self._reader.read(auction.user_id, auction.ad_ids, auction.request, auction.at_ms)
        scores = await self._scorer.score(model, features.tensors)
        response = pb.PredictResponse(
            model_version=model.name,
            request_id=auction.request_id,
            unknown_user=features.unknown_user,
            unknown_ads=features.unknown_ads,
        )
        response.MergeFromString(_packed(scores))
        snapshot = Snapshot(
            request_id=auction.request_id,
            event_timestamp=auction.at_ms,
            user_id=auction.user_id,
            model_version=model.name,
            feature_service=self._service,
            signature_hash=self._signature_hash,
            ad_ids=auction.ad_ids,
            scores=scores,
            tensors=features.tensors,
            shared_status=features.shared_status,
            ad_status=features.ad_status,
            shared_times=features.shared_times,
            ad_times=features.ad_times,
        )
        response.latency_ms = (time.perf_counter() - started) * 1000
        return response, snapshot


def _packed(scores: NDArray[np.float32]) -> bytes:
    """The response's scores as protobuf has them on the wire: no Python float is made a candidate."""
    data = scores.astype("<f4", copy=False).tobytes()
    length, head = len(data), bytearray()
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return _SCORES_TAG + struct.pack(f"{len(head)}s", bytes(head)) + data
