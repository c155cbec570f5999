"""One Predict, from the message to the answer; its snapshot is published by whoever answers, whatever the route."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from typing import cast

import numpy as np
from numpy.typing import NDArray

from adfeast.contract.snapshots import Snapshot
from serving.budget import Budget
from serving.errors import NoModel
from serving.live import Live
from serving.predict.ladder import Ladder
from serving.predict.publisher import SnapshotPublisher
from serving.predict.request import new_id
from serving.proto import adfeast_pb2 as pb

_SCORES_TAG = b"\x0a"  # field 1, length-delimited


class Predictor:
    """Scores auctions with whatever is live when each begins.

    Args:
        live: the value to serve with, None before there is one.
        budget: of a usual request.
        snapshot_first: hold each answer until Kafka has its snapshot.
    """

    def __init__(
        self,
        live: Callable[[], Live],
        ladder: Ladder,
        publisher: SnapshotPublisher,
        budget: Budget,
        *,
        snapshot_first: bool = False,
        new_attempt: Callable[[], str] = new_id,
    ) -> None:
        self._live, self._ladder, self._publisher, self._budget = live, ladder, publisher, budget
        self._snapshot_first, self._new_attempt = snapshot_first, new_attempt

    async def predict(self, message: pb.PredictRequest, remaining_s: float | None = None) -> pb.PredictResponse:
        """The answer; its snapshot is published after it, or before if the predictor was told so.

        Args:
            remaining_s: until the caller's deadline, None without one.

        Raises:
            InvalidRequest, ModelUnavailable, NoModel, NotAcknowledged: see `serving.errors`.
        """
        started = time.perf_counter()
        live = self._live()
        auction = live.checker.check(message)
        if live.answers is None:
            raise NoModel(
                "; ".join(live.problems) or "no model is deployed: register one and run `adfeast model deploy`"
            )
        model = live.answers.model
        user_id, ad_ids = auction.user_id, auction.ad_ids
        budget = self._budget.for_call(len(ad_ids), remaining_s)
        features = await live.reader.read(user_id, ad_ids, auction.request, auction.at_ms, budget)
        scored = await self._ladder.score(live.answers, user_id, ad_ids, features, budget.triton_s)
        response = pb.PredictResponse(
            model_version=model.name,
            request_id=auction.request_id,
            attempt_id=self._new_attempt(),
            unknown_user=features.unknown_user,
            unknown_ads=features.unknown_ads,
            stale_views=features.stale_views,
            away=scored.away,
        )
        _tell_rungs(response, scored.rungs)
        response.MergeFromString(_packed(scored.scores))
        snapshot = Snapshot(
            request_id=auction.request_id,
            attempt_id=response.attempt_id,
            event_timestamp=auction.at_ms,
            user_id=user_id,
            model_version=model.name,
            feature_service=live.service,
            contract_hash=live.contract.hash,
            ad_ids=ad_ids,
            scores=scored.scores,
            tensors=features.tensors,
            shared_status=features.shared_status,
            ad_status=features.ad_status,
            shared_times=features.shared_times,
            ad_times=features.ad_times,
            rungs=scored.rungs,
        )
        if self._snapshot_first:
            await self._publisher.confirm(live.codec, snapshot)
        else:
            self._publisher.publish_soon(live.codec, snapshot)
        response.latency_ms = (time.perf_counter() - started) * 1000
        return response


def _tell_rungs(response: pb.PredictResponse, rungs: NDArray[np.uint8]) -> None:
    """The rung of most candidates, and the others by their rung."""
    counts = np.bincount(rungs)
    main = int(counts.argmax())
    response.rung = cast(pb.Rung, main)
    for rung in np.flatnonzero(counts).tolist():
        if rung != main:
            response.deviations.add(rung=rung, ads=np.flatnonzero(rungs == rung).tolist())


def _packed(scores: NDArray[np.float32]) -> bytes:
    """The response's scores as protobuf has them on the wire: no Python float is made a candidate."""
    data = scores.astype("<f4", copy=False).tobytes()
    length, head = len(data), bytearray()
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return _SCORES_TAG + struct.pack(f"{len(head)}s", bytes(head)) + data
