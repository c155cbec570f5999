"""What the closed loop promises: served values, logged snapshots, and one edit that reaches every part."""

from __future__ import annotations

import json
import random
import uuid
from collections import Counter
from datetime import UTC
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
import requests

from adfeast.clock import to_ms
from adfeast.contract.definitions import View
from adfeast.contract.events import EVENT_TIME, REQUEST_ID
from adfeast.contract.model_names import INPUTS_PARAMETER, OUTPUT, SIGNATURE_PARAMETER, triton_model
from adfeast.contract.signature import AD, TENSORS, USER, Contract, Signature
from adfeast.contract.snapshots import TOPIC, Snapshot
from adfeast.contract.tensors import Selection, Status, Tensors
from demo.traffic.replay import request_of
from serving.proto import adfeast_pb2 as pb
from serving.proto import adfeast_pb2_grpc
from streaming import progress
from tests.e2e.conftest import ADDED, DAYS, Loop
from tests.e2e.windows import assert_windows
from training.model.dataset import Part, TrainingSet
from training.model.inputs import tell_missing

PAIRS = 200
SEED = 7


def archived_snapshots(loop: Loop, wanted: set[str]) -> dict[str, Snapshot]:
    """The archived snapshots of these requests, each exactly once."""
    rows = ds.dataset(loop.settings.lake_path("events", TOPIC), partitioning="hive", exclude_invalid_files=True)
    table = rows.to_table(filter=ds.field(REQUEST_ID).isin(sorted(wanted)))
    found = [
        loop.codec.from_record(r | {EVENT_TIME: to_ms(r[EVENT_TIME].replace(tzinfo=UTC))}) for r in table.to_pylist()
    ]
    assert Counter(s.request_id for s in found) == Counter(wanted)
    return {s.request_id: s for s in found}


@pytest.fixture(scope="module")
def answered(loop: Loop) -> dict[str, tuple[pb.PredictRequest, pb.PredictResponse]]:
    """200 Predicts of one random user and one random ad each, most known and some not, at the end of the replay."""
    rng = random.Random(SEED)
    auctions = loop.data.of_days(*DAYS.replayed)
    key = loop.definitions.entities[USER]
    users = sorted({a.impression[key] for a in auctions}) + ["nobody"] * 20
    ads = sorted({ad for a in auctions for ad in a.ad_ids}) + ["nothing"] * 20
    found = {}
    with grpc.insecure_channel(loop.settings.grpc_address) as channel:
        stub = adfeast_pb2_grpc.PredictionStub(channel)
        for _ in range(PAIRS):
            request = request_of(auctions[-1], key)
            request.user_id, request.request_id = rng.choice(users), uuid.UUID(int=rng.getrandbits(128)).hex
            del request.ad_ids[:]
            request.ad_ids.append(rng.choice(ads))
            found[request.request_id] = (request, stub.Predict(request, timeout=5))
    progress.wait_archived(loop.settings, [TOPIC])
    return found


def feast_values(loop: Loop, view: View, pairs: list[tuple[str, str]]) -> dict[str, list[Any]]:
    """What `store.get_online_features` says of one view for (user, ad) pairs."""
    rows = [{loop.definitions.entities[USER]: user, loop.definitions.entities[AD]: ad} for user, ad in pairs]
    rows = [{view.join_key: row[view.join_key]} for row in rows]
    features = [f"{view.name}:{f.name}" for f in view.features]
    answer: dict[str, list[Any]] = loop.store.get_online_features(features=features, entity_rows=rows).to_dict()
    return answer


def test_the_server_reads_what_feast_reads(loop, answered):
    """Every value of every pair; a row beyond its maximum age, at which Feast does not look, gives the default."""
    snapshots = archived_snapshots(loop, set(answered))
    ids = list(answered)
    pairs = [(answered[i][0].user_id, answered[i][0].ad_ids[0]) for i in ids]
    seen = Counter()
    views = loop.definitions.service_views(loop.settings.feature_service)
    for view in views:
        expected = feast_values(loop, view, pairs)
        place = [v.name for v in views if (v.entity == AD) == (view.entity == AD)].index(view.name)
        for feature in view.features:
            for row, request_id in enumerate(ids):
                s, what = snapshots[request_id], f"{feature.name} of {pairs[row]}"
                status, time_ms, given = served(loop.codec.contract, s, feature.name, place)
                value = expected[feature.name][row]
                seen[status] += 1
                if status == Status.PRESENT:
                    padded = np.full(feature.width, -1, given.dtype)
                    known = np.atleast_1d(np.asarray(value, given.dtype))
                    padded[: len(known)] = known
                    assert given.tobytes() == padded.tobytes(), what
                    continue
                if status == Status.OUTSIDE_MAX_AGE:
                    assert s.event_timestamp - time_ms > 1000 * view.max_age_s, what
                else:
                    assert (status, value) == (Status.NOT_FOUND, None), what
                if feature.role == "dense":
                    assert np.isnan(given).all(), what
    assert seen[Status.PRESENT] > sum(seen.values()) / 2


def served(contract: Contract, s: Snapshot, name: str, place: int) -> tuple[int, int, np.ndarray]:
    """Status, row time and value of one feature of the first candidate; `place` numbers its view on its side."""
    of_ad = next(i.source == AD for i in contract.inputs if i.name == name)
    column = [i.name for i in contract.inputs if (i.source == AD) == of_ad].index(name)
    status, times = (s.ad_status[0], s.ad_times[0]) if of_ad else (s.shared_status, s.shared_times)
    role = next(i.role for i in contract.inputs if i.name == name)
    inputs = contract.role(role)
    position = [i.name for i in inputs].index(name)
    start = sum(i.width for i in inputs[:position])
    return int(status[column]), int(times[place]), s.tensors.of(role)[0, start : start + inputs[position].width]


def test_the_replay_is_answered_with_what_the_streams_keep(loop):
    """Hours of event time pass in a second: by the wall clock's promise every value would be stale."""
    steps = json.loads((loop.home / "report" / "report.json").read_text())["steps"]
    replays = [s["facts"] for s in steps if s["title"] == "Replay"]
    assert replays
    assert all(facts["stale answers"] < facts["auctions"] / 100 for facts in replays)


def test_unknown_users_and_ads_are_scored_and_marked(answered):
    for request, answer in answered.values():
        assert answer.unknown_user == (request.user_id == "nobody")
        assert list(answer.unknown_ads) == ([0] if request.ad_ids[0] == "nothing" else [])
        assert 0 < answer.scores[0] < 1


def test_the_archive_holds_what_the_model_was_given(loop, answered):
    """The archived inputs, given to the same model again, bring back every served score to the bit."""
    snapshots = archived_snapshots(loop, set(answered))
    for request_id, (_, answer) in answered.items():
        s = snapshots[request_id]
        assert s.model_version == answer.model_version
        assert s.scores.tobytes() == np.asarray(answer.scores, np.float32).tobytes()
        assert infer(loop, s.model_version, s.tensors).tobytes() == s.scores.tobytes()


def infer(loop: Loop, model: str, logged: Tensors) -> np.ndarray:
    from tritonclient.http import InferenceServerClient, InferInput

    client = InferenceServerClient(loop.settings.triton_http)
    config = client.get_model_config(model)
    signature = Signature.from_json(config["parameters"][INPUTS_PARAMETER]["string_value"])
    tensors = Selection(loop.codec.contract, signature).take(logged)
    inputs = []
    for role, name in TENSORS.items():
        if signature.width(role):
            rows = tensors.of(role)
            inputs.append(InferInput(name, rows.shape, "FP32" if rows.dtype == np.float32 else "INT64"))
            inputs[-1].set_data_from_numpy(rows)
    parameters = {SIGNATURE_PARAMETER: signature.hash}
    return client.infer(model, inputs, parameters=parameters).as_numpy(OUTPUT).reshape(-1)


class TestAnAddedFeature:
    """One line in the copied `stream_views.py` and no other edit."""

    def test_is_in_redis_with_the_value_the_events_give(self, loop):
        """As every other windowed feature of every user and ad."""
        assert ADDED in {a.feature for v in loop.definitions.views.values() for a in v.aggregations}
        assert assert_windows(loop, loop.data.of_days(DAYS.history[0], DAYS.replayed[1])) > 0

    def test_is_in_the_snapshots_and_the_training_set(self, loop):
        folder = Path(loop.settings.lake_path("training_sets", "demo"))
        table = ds.dataset(folder).to_table(columns=[ADDED])
        assert pc.max(table[ADDED]).as_py() > 0  # null where it is missing
        signature = loop.definitions.signature(loop.settings.feature_service)
        assert TrainingSet(folder, signature, (0.6, 0.2, 0.2)).count(Part.TRAIN)[0] > 1000

    def test_is_an_input_of_the_model_that_answers(self, loop, answered):
        names = {answer.model_version for _, answer in answered.values()}
        assert names == {triton_model(2)}
        config = requests.get(
            f"http://{loop.settings.triton_http}/v2/models/{triton_model(2)}/config", timeout=5
        ).json()
        expected = tell_missing(loop.definitions.signature(loop.settings.feature_service)).hash
        assert config["parameters"][SIGNATURE_PARAMETER]["string_value"] == expected
        stored = json.loads((loop.settings.triton_repository / triton_model(2) / "1" / "signature.json").read_text())
        assert ADDED in {i["name"] for i in stored["inputs"]}
