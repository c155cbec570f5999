"""Whatever is away, an auction is answered in time, each candidate with the best that can be had."""

from __future__ import annotations

import base64
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from feast.protos.feast.types.Value_pb2 import FloatList, Value

from adfeast.contract.base_rates import BaseRates
from adfeast.contract.definitions import Definitions
from adfeast.contract.rungs import Rung
from adfeast.contract.signature import AD
from adfeast.contract.tensors import Status
from adfeast.feast_ext.online_layout import dynamodb_id, dynamodb_table, redis_key
from adfeast.settings import Settings
from serving.errors import ModelUnavailable
from serving.proto import adfeast_pb2 as pb
from tests.unit.serving.predict.in_memory import NOW, Server, row

RATES = BaseRates.count(["a", "a", "a", "z"], np.array([1, 0, 0, 0]))
GENEROUS_S = 1.0  # what is stalled never answers: any bound tells waiting from not


@pytest.fixture
def server(definitions: Definitions) -> Server:
    made = Server(definitions, {"m1": definitions.signature("service")}, "m1", RATES)
    made.stand_at(NOW, "u_fast", "a_fast")
    made.redis.hashes[redis_key("user_name", "u", "project")] = row("u_fast", u_count=37)
    for ad in ("a", "b", "c"):
        made.redis.hashes[redis_key("ad_name", ad, "project")] = row("a_fast", a_count=5, a_rate=3)
    return made


def timed(server: Server, **asked: Any) -> pb.PredictResponse:
    begin = time.monotonic()
    answer = server.predict(**asked)
    assert time.monotonic() - begin < GENEROUS_S
    return answer


def statuses(server: Server) -> dict[str, set[int]]:
    """View to the statuses of its features in the last snapshot."""
    snapshot, found = server.snapshot(), dict[str, set[int]]()
    for is_ad, rows in ((False, snapshot.shared_status[:, None]), (True, snapshot.ad_status.T)):
        mine = [i for i in server.live.contract.inputs if (i.source == AD) == is_ad]
        for i, column in zip(mine, rows, strict=True):
            found.setdefault(i.view, set()).update(column.tolist())
    return found


def test_an_answer_from_everything_is_fresh(server: Server) -> None:
    answer = server.predict()
    assert (answer.rung, list(answer.deviations), list(answer.away)) == (pb.RUNG_FRESH, [], [])
    assert server.snapshot().rungs.tolist() == [Rung.FRESH, Rung.FRESH]


@pytest.mark.parametrize("fault", ["stalled", "down"])
def test_without_redis_the_model_scores_what_is_left_and_the_log_says_unread(server: Server, fault: str) -> None:
    setattr(server.redis, fault, True)
    answer = timed(server)
    assert (answer.rung, list(answer.away)) == (pb.RUNG_PARTIAL, ["redis"])
    defaults = sum(i.default for i in server.live.answers.model.signature.role("dense"))  # type: ignore[union-attr]
    assert list(answer.scores) == [defaults, defaults]
    assert server.snapshot().rungs.tolist() == [Rung.PARTIAL] * 2
    found = statuses(server)
    assert found["u_fast"] == found["a_fast"] == {Status.UNREAD}
    assert found["u_slow"] == found["a_slow"] == {Status.NOT_FOUND}  # nobody has stored any, and that was read


@pytest.mark.parametrize("fault", ["stalled", "down"])
def test_without_dynamodb_nothing_is_called_unknown_or_missing(server: Server, fault: str) -> None:
    setattr(server.dynamodb, fault, True)
    answer = timed(server)
    assert (answer.rung, list(answer.away)) == (pb.RUNG_PARTIAL, ["dynamodb"])
    assert (answer.unknown_user, list(answer.unknown_ads)) == (False, [])
    found = statuses(server)
    assert found["u_slow"] == found["a_slow"] == found["a_old"] == {Status.UNREAD}
    assert found["u_fast"] == found["a_fast"] == {Status.PRESENT}


def test_ad_rows_that_were_read_once_answer_while_dynamodb_is_away(definitions: Definitions) -> None:
    whole = definitions.signature("service")
    few = replace(whole, inputs=tuple(i for i in whole.inputs if i.view != "u_slow"))
    server = Server(definitions, {"m1": few}, "m1", RATES)
    server.stand_at(NOW, "u_fast", "a_fast")
    server.predict()
    server.dynamodb.stalled = True
    server.clock.advance(300_000)  # the cache would read them again
    server.stand_at(NOW + 300_000, "u_fast", "a_fast")
    answer = timed(server)
    assert (answer.rung, list(answer.away)) == (pb.RUNG_FRESH, ["dynamodb"])
    assert list(timed(server, ad_ids=["a", "new"]).deviations) == [pb.Deviation(rung=pb.RUNG_PARTIAL, ads=[1])]


def test_a_recent_score_is_better_than_one_without_real_time_features(server: Server) -> None:
    fresh = server.predict()
    server.redis.stalled = True
    server.clock.advance(30_000)
    answer = timed(server, ad_ids=["a", "c", "b"])
    assert answer.rung == pb.RUNG_CACHED
    assert list(answer.deviations) == [pb.Deviation(rung=pb.RUNG_PARTIAL, ads=[1])]
    assert [answer.scores[0], answer.scores[2]] == list(fresh.scores)
    assert server.scorer.asked == [2, 1]  # only what nobody knows is asked for
    assert server.snapshot().rungs.tolist() == [Rung.CACHED, Rung.PARTIAL, Rung.CACHED]
    assert timed(server, user_id="another").rung == pb.RUNG_PARTIAL
    server.clock.advance(16_000)  # its time is over
    assert timed(server).rung == pb.RUNG_PARTIAL


@pytest.mark.parametrize("fault", ["stalled", "down"])
def test_without_triton_an_ad_answers_with_its_own_click_rate_or_that_of_all(server: Server, fault: str) -> None:
    setattr(server.scorer, fault, True)
    answer = timed(server, ad_ids=["a", "b"])
    assert list(answer.away) == ["triton"]
    rungs = server.snapshot().rungs.tolist()
    assert rungs == [Rung.AD_CTR, Rung.PRIOR]
    assert list(answer.scores) == pytest.approx([RATES.of(["a"])[0], RATES.prior])
    assert {Status.UNREAD} not in statuses(server).values()  # what was read can be learnt from


def test_with_everything_stalled_an_auction_is_answered_from_what_the_model_brought(server: Server) -> None:
    server.redis.stalled = server.dynamodb.stalled = server.scorer.stalled = True
    answer = timed(server, ad_ids=["a", "b", "c"])
    assert set(answer.away) == {"redis", "dynamodb", "triton"}
    assert (answer.rung, [(d.rung, list(d.ads)) for d in answer.deviations]) == (
        pb.RUNG_PRIOR,
        [(pb.RUNG_AD_CTR, [0])],
    )
    assert server.snapshot().rungs.tolist() == [Rung.AD_CTR, Rung.PRIOR, Rung.PRIOR]


def test_breakers_open_and_what_is_away_is_not_asked_any_more(server: Server) -> None:
    server.scorer.down = True
    for _ in range(8):
        server.predict()
    assert len(server.scorer.asked) == 5
    assert not server.ladder.breaker.closed
    assert "down" in server.ladder.breaker.reason
    server.scorer.down = False
    server.ladder.breaker.succeeded()
    assert server.predict().rung == pb.RUNG_FRESH


def test_a_candidate_that_the_model_cannot_score_comes_down_alone(server: Server) -> None:
    before = server.predict(ad_ids=["b"])
    server.scorer.refused = [1, 2]
    answer = server.predict(ad_ids=["c", "a", "b"])
    assert (answer.rung, list(answer.away)) == (pb.RUNG_FRESH, [])
    assert server.snapshot().rungs.tolist() == [Rung.FRESH, Rung.AD_CTR, Rung.CACHED]
    assert answer.scores[2] == before.scores[0]
    assert np.isfinite(answer.scores).all()
    server.scorer.refused = []
    server.redis.stalled = True
    assert [d.rung for d in server.predict(ad_ids=["c", "a"]).deviations] == [pb.RUNG_PARTIAL]  # no NaN was kept


def test_a_nan_in_an_ads_embedding_costs_nobody_an_answer(server: Server, definitions: Definitions) -> None:
    vector = Value(float_list_val=FloatList(val=[1, float("nan"), 3, 4])).SerializeToString()
    stamp = {"S": "2019-11-24 12:53:20+00:00"}
    key = dynamodb_id("ad_name", "a")
    stored = {"a_vec": {"B": base64.b64encode(vector).decode()}}
    server.dynamodb.tables[dynamodb_table("project", "a_slow")] = {
        key: {"entity_id": {"S": key}, "event_ts": stamp, "values": {"M": stored}}
    }
    answer = server.predict()
    assert (answer.rung, list(answer.deviations)) == (pb.RUNG_FRESH, [])
    assert np.isfinite(answer.scores).all()
    assert np.isfinite(server.snapshot().tensors.embeddings).all()


def test_a_model_without_click_rates_says_what_to_do(definitions: Definitions) -> None:
    server = Server(definitions, {"m1": definitions.signature("service")}, "m1")
    server.scorer.down = True
    with pytest.raises(ModelUnavailable, match=r"click rate .* deploy one that does"):
        server.predict()


def test_no_deadline_of_a_caller_is_outwaited(definitions: Definitions) -> None:
    patient = Settings(redis_budget_ms=5_000, dynamodb_budget_ms=5_000, triton_budget_ms=5_000)
    server = Server(definitions, {"m1": definitions.signature("service")}, "m1", RATES, patient)
    server.redis.stalled = server.dynamodb.stalled = server.scorer.stalled = True
    assert timed(server, remaining_s=0.1, ad_ids=["b"]).rung == pb.RUNG_PRIOR


def test_the_rungs_of_the_log_are_those_of_the_answer() -> None:
    assert {f"RUNG_{rung.name}": int(rung) for rung in Rung} | {"RUNG_UNSPECIFIED": 0} == dict(pb.Rung.items())


def test_real_time_features_that_a_model_does_not_take_cost_it_nothing(definitions: Definitions) -> None:
    whole = definitions.signature("service")
    few = replace(whole, inputs=tuple(i for i in whole.inputs if i.view not in ("u_fast", "a_fast")))
    server = Server(definitions, {"m1": few}, "m1", RATES)
    server.redis.stalled = True
    answer = timed(server)
    assert (answer.rung, list(answer.away)) == (pb.RUNG_FRESH, ["redis"])
