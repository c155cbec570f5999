"""Definitions and models change while requests run: the server follows without a restart, and no Predict fails."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import grpc
import numpy as np
import pytest

from adfeast.contract import snapshots
from adfeast.contract.history import CONTRACT, History
from adfeast.contract.signature import Contract
from adfeast.contract.snapshots import SnapshotCodec
from adfeast.contract.tensors import Selection
from adfeast.feast_ext.online_layout import dynamodb_table
from adfeast.feast_ext.registry import load_definitions
from adfeast.feast_ext.store import apply
from adfeast.settings import Settings
from serving.proto import adfeast_pb2 as pb
from tests.integration.echo_model import Registry, scores
from tests.integration.serving.calls import ADS, Topic, auction, wait_for

Edit = Callable[[Path], None]


def replaced(file: str, old: str, new: str) -> Edit:
    def edit(repo: Path) -> None:
        text = (repo / file).read_text()
        assert old in text
        (repo / file).write_text(text.replace(old, new, 1))

    return edit


A_WINDOW = replaced(
    "stream_views.py",
    "    features=[\n",
    '    features=[\n        windowed("reloaded_15m", "count", "event_id", minutes(15), seconds(30)),\n',
)
A_COLUMN = replaced("batch_views.py", "SELECT user_id, hash_id", "SELECT user_id, 1L AS reloaded_key, hash_id")
ITS_FEATURE = replaced(
    "batch_views.py",
    "    features=[\n",
    '    features=[\n        feature("reloaded_key", Int64, "sparse", hash_size=16, description="one"),\n',
)
A_REQUEST_FEATURE = replaced(
    "request_features.py",
    "    features=[\n",
    '    features=[\n        feature("reloaded_asked", Int64, "sparse", hash_size=16, description="asked"),\n',
)


@pytest.fixture
def repo(tmp_path: Path, settings: Settings, stub: Any, model: str) -> Iterator[Settings]:
    """Settings with a copy of the repository that may be edited; afterwards the definitions are what they were."""
    shutil.copytree(settings.feature_repo, tmp_path / "repo", ignore=shutil.ignore_patterns("__pycache__"))
    before = stub.Status(pb.StatusRequest()).contract_hash
    yield settings.model_copy(update={"feature_repo": tmp_path / "repo"})
    apply(settings)
    wait_for(lambda: stub.Status(pb.StatusRequest()).contract_hash == before)


@contextmanager
def asking(stub: Any) -> Iterator[list[str]]:
    """Predicts one after the other beside the block; what failed is in the list."""
    failed: list[str] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                assert len(stub.Predict(auction(ad_ids=ADS[:20])).scores) == 20
            except grpc.RpcError as error:
                failed.append(f"{error.code()}: {error.details()}")
            time.sleep(0.01)

    asks = threading.Thread(target=ask)
    asks.start()
    try:
        yield failed
    finally:
        stop.set()
        asks.join()


def seed_of(model: str) -> int:
    """The echo models of this package are published with their number as seed."""
    return int(model.split("-")[1])


def features(stub: Any) -> set[str]:
    return {name.split(":")[1] for name in stub.Status(pb.StatusRequest()).features}


def test_a_new_feature_is_logged_within_seconds_and_the_model_keeps_its_inputs(
    repo: Settings, stub: Any, model: str, registry: Registry
) -> None:
    """Finding: after an added feature every Predict failed, and no model for it could ever be trained."""
    old, model = load_definitions(repo).signature(repo.feature_service), stub.Predict(auction()).model_version
    topic = Topic(repo, snapshots.TOPIC)
    for edit in (A_WINDOW, A_COLUMN, ITS_FEATURE, A_REQUEST_FEATURE):
        edit(repo.feature_repo)
    with asking(stub) as failed:
        apply(repo)
        wait_for(lambda: {"reloaded_15m", "reloaded_key", "reloaded_asked"} <= features(stub))
        answer = stub.Predict(auction(request_id="after", context={"reloaded_asked": pb.Value(integer=5)}))
        new = load_definitions(repo).signature(repo.feature_service)
        newer = registry.publish(new, seed=5)
        wait_for(lambda: stub.Predict(auction()).model_version == newer)
        stub.Predict(auction(request_id="newer"))
        registry.point(model)  # back across the change
        wait_for(lambda: stub.Predict(auction()).model_version == model)
    assert failed == []
    assert answer.model_version == model
    known = {e.id: Contract.from_json(e.body) for e in History(repo).entries(CONTRACT)}
    found: dict[str, snapshots.Snapshot] = {}
    while not {"after", "newer"} <= found.keys():
        for message in topic.read(1):
            record = snapshots.read_record(message.value())
            found[record["request_id"]] = SnapshotCodec(known[record["contract_hash"]]).from_record(record)
    for request_id, signature, seed in (("after", old, seed_of(model)), ("newer", new, 5)):
        snapshot = found[request_id]
        taken = Selection(known[snapshot.contract_hash], signature).take(snapshot.tensors)
        np.testing.assert_array_equal(scores(taken, seed), snapshot.scores)
        assert "reloaded_asked" in {i.name for i in known[snapshot.contract_hash].inputs}


def test_definitions_that_cannot_be_read_leave_what_runs(repo: Settings, stub: Any, model: str) -> None:
    before = stub.Status(pb.StatusRequest())
    replaced(
        "request_features.py",
        'feature("placement", String, "sparse", hash_size=64',
        'feature("placement", Array(Int64), "list", hash_size=64, max_len=2',
    )(repo.feature_repo)
    replaced("request_features.py", "import Int64, String", "import Array, Int64, String")(repo.feature_repo)
    with asking(stub) as failed:
        apply(repo)
        wait_for(lambda: "placement" in stub.Status(pb.StatusRequest()).refused)  # models of other tests may be too
    assert failed == []
    assert stub.Status(pb.StatusRequest()).contract_hash == before.contract_hash


def test_a_table_that_is_gone_is_a_table_without_rows(settings: Settings, stub: Any, model: str) -> None:
    """Finding: a removed table made every Predict fail at once."""
    definitions = load_definitions(settings)
    view = next(v for v in definitions.service_views(settings.feature_service) if v.tier == "dynamodb")
    client: Any = boto3.client(
        "dynamodb",
        endpoint_url=settings.dynamodb_endpoint,
        region_name=settings.aws_region,
        aws_access_key_id=settings.aws_access_key_id,
        aws_secret_access_key=settings.aws_secret_access_key,
    )
    table = dynamodb_table(settings.project, view.name)
    rows = client.scan(TableName=table)["Items"]
    shape = client.describe_table(TableName=table)["Table"]
    client.delete_table(TableName=table)
    try:
        for n in range(3):
            answer = stub.Predict(auction(ad_ids=[*ADS[:5], f"never-seen-{n}"]))
            assert len(answer.scores) == 6
    finally:
        client.create_table(
            TableName=table,
            KeySchema=shape["KeySchema"],
            AttributeDefinitions=shape["AttributeDefinitions"],
            BillingMode="PAY_PER_REQUEST",
        )
        for row in rows:
            client.put_item(TableName=table, Item=row)
