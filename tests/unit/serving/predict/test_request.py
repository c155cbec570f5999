from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from adfeast.clock import ManualClock
from adfeast.contract.event_rules import server_rules
from adfeast.contract.ids import hash_id
from adfeast.settings import Settings
from serving.errors import InvalidRequest
from serving.features.plan import Plan
from serving.predict.request import RequestChecker
from serving.proto import adfeast_pb2 as pb

NOW = 1_574_600_000_000


@pytest.fixture
def checker(plan: Plan) -> RequestChecker:
    rules = server_rules(Settings())
    return RequestChecker(plan, max_candidates=4, clock=ManualClock(NOW), rules=rules, new_id=lambda: "made")


def message(user_id: str = "u", ad_ids: Any = ("a", "b"), **context: pb.Value) -> pb.PredictRequest:
    return pb.PredictRequest(user_id=user_id, ad_ids=ad_ids, context=context)


def at(ms: int) -> pb.PredictRequest:
    when = Timestamp()
    when.FromMilliseconds(ms)
    return pb.PredictRequest(user_id="u", ad_ids=["a"], event_time=when)


def at_fields(seconds: int, nanos: int) -> pb.PredictRequest:
    return pb.PredictRequest(user_id="u", ad_ids=["a"], event_time=Timestamp(seconds=seconds, nanos=nanos))


@pytest.mark.parametrize(
    ("request_", "part"),
    [
        (message(user_id=""), "user_id has 0 bytes"),
        (message(user_id="u" * 257), "user_id has 257 bytes; send 1 to 256"),
        (message(user_id="é" * 129), "user_id has 258 bytes; send 1 to 256"),
        (message(user_id="u\0"), "send an id without a zero byte"),
        (pb.PredictRequest(user_id="u", ad_ids=["a"], request_id="r" * 257), "request_id has 257 bytes"),
        (at(NOW + 30_001), "lies 30.001 s ahead of this server's clock"),
        (at(NOW - 8 * 86_400_000), "send milliseconds since 1970 and no older events"),
        (at_fields(NOW // 1000, -1), "event_time has seconds 1574600000 and nanos -1"),
        (at_fields(NOW // 1000, 1_000_000_000), "nanos are 0 to 999999999"),
        (at_fields(1 << 62, 0), "event_time is 4611686018427387904000 ms since 1970"),
        (at_fields(-(1 << 62), 0), "event_time is -4611686018427387904000 ms since 1970"),
        (message(ad_ids=[]), "ad_ids is empty"),
        (message(ad_ids=list("abcde")), "ad_ids has 5 candidates; send at most 4 (max_candidates)"),
        (message(ad_ids=["a", ""]), "ad_ids[1] is empty"),
        (message(ad_ids=["a", "b", "a", "b"]), "ad_ids names 'a', 'b' more than once"),
        (message(ad_ids=["a" * 257]), "more than 256 characters"),
        (
            message(colour=pb.Value(text="red")),
            "context has 'colour', which the feature service does not know; it knows bid",
        ),
        (message(slot=pb.Value(integer=1)), "context 'slot' is string: send text, got integer 1"),
        (message(hour=pb.Value(number=1.5)), "context 'hour' is int64: send integer, got number 1.5"),
        (message(hour=pb.Value(flag=True)), "got flag True"),
        (message(hour=pb.Value()), "got nothing"),
        (message(slot=pb.Value(text="é" * 513)), "of 1026 bytes; send at most 1024, or leave it out"),
        (message(bid=pb.Value(text="2")), "send number or integer, got text '2'"),
        (message(bid=pb.Value(number=float("nan"))), "send a finite number"),
        (message(bid=pb.Value(number=1e300)), "send a finite number"),
    ],
)
def test_refusals_name_field_value_and_way_out(checker: RequestChecker, request_: pb.PredictRequest, part: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        checker.check(request_)
    assert part in str(caught.value)


HUGE = "x" * 500_000


@pytest.mark.parametrize(
    "request_",
    [
        message(ad_ids=[HUGE, "a"]),
        message(ad_ids=["a\0" * 100, "a\0" * 100]),
        message(hour=pb.Value(text=HUGE)),
        message(slot=pb.Value(text=HUGE)),
        message(**{HUGE: pb.Value(text="x")}),
    ],
)
def test_a_refusal_shows_the_beginning_of_a_long_value_only(
    checker: RequestChecker, request_: pb.PredictRequest
) -> None:
    with pytest.raises(InvalidRequest, match=r"\.\.\. \(\d+ long\)") as caught:
        checker.check(request_)
    assert len(str(caught.value)) < 1_000


def test_context_becomes_one_row(checker: RequestChecker, plan: Plan) -> None:
    auction = checker.check(message(slot=pb.Value(text="top"), bid=pb.Value(integer=3)))
    names = [slot.feature.name for slot in plan.request.slots]
    absent = dict(zip(names, auction.request.absent[0].tolist(), strict=True))
    assert absent == {"slot": False, "hour": True, "bid": False}
    assert auction.request.arrays["sparse"][0, 0] == hash_id("top")
    assert auction.request.arrays["dense"][0, 0] == 3


def test_time_and_id_are_the_callers_or_ours(checker: RequestChecker) -> None:
    auction = checker.check(message())
    assert (auction.at_ms, auction.request_id) == (NOW, "made")
    mine = message()
    mine.request_id = "mine"
    mine.event_time.FromMilliseconds(NOW - 5)
    auction = checker.check(mine)
    assert (auction.at_ms, auction.request_id) == (NOW - 5, "mine")
    for impossible in (0, -5, 253_402_300_800_000 - 1):  # the last is also all that the message can say
        mine.event_time.FromMilliseconds(impossible)
        with pytest.raises(InvalidRequest, match="event_time"):
            checker.check(mine)
