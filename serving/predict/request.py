"""Checks a PredictRequest and makes of it what the reader needs; a refusal names field, value and way out."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from adfeast.clock import Clock
from adfeast.contract.event_rules import Rules
from adfeast.contract.events import HERE, MAX_ID_BYTES
from adfeast.contract.ids import hash_id
from adfeast.errors import shown
from serving.errors import InvalidRequest
from serving.features.columns import Rows
from serving.features.plan import Plan, Slot
from serving.proto import adfeast_pb2 as pb

# What a caller may send for each type of a request feature, as the kinds of the message Value.
KINDS = {"int64": ("integer",), "string": ("text",), "float32": ("number", "integer"), "float64": ("number", "integer")}
FLOAT32_MAX = float(np.finfo(np.float32).max)
MAX_TEXT_BYTES = 1_024  # of a context value
SHOWN = 5  # offending values named in a message


def new_id() -> str:
    """32 random hex digits."""
    return uuid.uuid4().hex


@dataclass(frozen=True)
class Auction:
    """A checked request; `request` is one row of the plan's request block, `at_ms` milliseconds since 1970."""

    request_id: str
    user_id: str
    ad_ids: list[str]
    request: Rows
    at_ms: int


class RequestChecker:
    """Checks the requests of one compiled contract.

    Args:
        rules: those of a server, `event_rules.server_rules`; a snapshot that breaks them would not be archived.
    """

    def __init__(
        self, plan: Plan, max_candidates: int, clock: Clock, rules: Rules, new_id: Callable[[], str] = new_id
    ) -> None:
        self._plan, self._max, self._clock, self._rules, self._new_id = plan, max_candidates, clock, rules, new_id
        self._slots = {slot.feature.name: (k, slot) for k, slot in enumerate(plan.request.slots)}

    def check(self, message: pb.PredictRequest) -> Auction:
        """Raises: InvalidRequest: see the module's first line."""
        ad_ids = list(message.ad_ids)
        self._check_ids(message.user_id, ad_ids)
        if message.request_id:
            _check_id("request_id", message.request_id)
        at_ms = self._clock.now_ms()
        if message.HasField("event_time"):
            at_ms = _milliseconds(message.event_time)
            if not 0 < at_ms < self._rules.max_time_ms:
                raise InvalidRequest(
                    f"event_time is {at_ms} ms since 1970",
                    "send the time of the auction, or leave it out",
                    field="event_time",
                    value=str(at_ms),
                )
            if broken := self._rules.out_of_time(at_ms, self._clock.now_ms(), HERE):
                problem = f"event_time {broken[1]}"
                raise InvalidRequest(problem, "or leave event_time out", field="event_time", value=str(at_ms))
        request_id = message.request_id or self._new_id()
        return Auction(request_id, message.user_id, ad_ids, self._context(message.context), at_ms)

    def _check_ids(self, user_id: str, ad_ids: list[str]) -> None:
        _check_id("user_id", user_id)
        if not ad_ids:
            raise InvalidRequest("ad_ids is empty", "send the candidates of the auction", field="ad_ids")
        if len(ad_ids) > self._max:
            raise InvalidRequest(
                f"ad_ids has {len(ad_ids)} candidates", f"send at most {self._max} (max_candidates)", field="ad_ids"
            )
        distinct = set(ad_ids)
        if "" in distinct:
            empty = f"ad_ids[{ad_ids.index('')}]"
            raise InvalidRequest(f"{empty} is empty", "every candidate needs its ad id", field=empty)
        if len(distinct) != len(ad_ids):
            repeated = [ad for ad, count in Counter(ad_ids).items() if count > 1]
            raise InvalidRequest(
                f"ad_ids names {_some(repeated)} more than once",
                "send each candidate once",
                field="ad_ids",
                value=_some(repeated),
            )
        if max(map(len, ad_ids)) > MAX_ID_BYTES:
            long = [ad for ad in ad_ids if len(ad) > MAX_ID_BYTES]
            raise InvalidRequest(
                f"ad_ids holds {_some(long)} of more than {MAX_ID_BYTES} characters",
                "send shorter ids",
                field="ad_ids",
                value=_some(long),
            )

    def _context(self, context: Any) -> Rows:
        row = Rows(self._plan.request, 1)
        for name, value in context.items():
            if name not in self._slots:
                known = ", ".join(sorted(self._slots)) or "none"
                raise InvalidRequest(
                    f"context has {shown(name)}, which the feature service does not know",
                    f"it knows {known}",
                    field="context",
                    value=shown(name),
                )
            position, slot = self._slots[name]
            row.arrays[slot.feature.role][0, slot.offset] = _stored(name, slot, value)
            row.absent[0, position] = False
        return row


def _milliseconds(moment: Any) -> int:
    """Milliseconds since 1970 of a Timestamp, whatever its fields hold."""
    if not 0 <= moment.nanos < 1_000_000_000:
        raise InvalidRequest(
            f"event_time has seconds {moment.seconds} and nanos {moment.nanos}",
            "nanos are 0 to 999999999: send the time of the auction, or leave it out",
            field="event_time",
            value=f"{moment.seconds}, {moment.nanos}",
        )
    return int(moment.seconds) * 1000 + int(moment.nanos) // 1_000_000


def _check_id(name: str, value: str) -> None:
    size = len(value.encode())
    if not 0 < size <= MAX_ID_BYTES:
        raise InvalidRequest(f"{name} has {size} bytes", f"send 1 to {MAX_ID_BYTES}", field=name, value=shown(value))
    if "\0" in value:
        raise InvalidRequest(
            f"{name} is {shown(value)}", "send an id without a zero byte", field=name, value=shown(value)
        )


def _stored(name: str, slot: Slot, value: pb.Value) -> int | float:
    kind = value.WhichOneof("kind")
    wanted = KINDS[slot.feature.dtype]
    if kind not in wanted:
        got = "nothing" if kind is None else f"{kind} {shown(getattr(value, kind))}"
        send = f"send {' or '.join(wanted)}"
        raise InvalidRequest(
            f"context {name!r} is {slot.feature.dtype}: {send}, got {got}", field=_where(name), value=got
        )
    sent: Any = getattr(value, kind)
    if kind == "text":
        if (size := len(sent.encode())) > MAX_TEXT_BYTES:
            raise InvalidRequest(
                f"context {name!r} is {shown(sent)} of {size} bytes",
                f"send at most {MAX_TEXT_BYTES}, or leave it out",
                field=_where(name),
                value=shown(sent),
            )
        return hash_id(sent)
    if slot.feature.role == "dense" and not abs(sent) <= FLOAT32_MAX:
        raise InvalidRequest(
            f"context {name!r} is {sent!r}",
            "send a finite number of float32's range, or leave it out",
            field=_where(name),
            value=repr(sent),
        )
    return sent  # type: ignore[no-any-return]


def _where(name: str) -> str:
    return f"context.{name}"


def _some(values: list[str]) -> str:
    more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
    return ", ".join(map(shown, values[:SHOWN])) + more
