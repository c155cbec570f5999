"""LogImpression and LogClick: checks every event of a call, then writes all of them and answers when Kafka has them.

What the stream jobs would discard is refused here, by the same rules (adfeast.contract.event_rules).
"""

from __future__ import annotations

import asyncio
from typing import Any

from adfeast.clock import Clock
from adfeast.contract.event_rules import Rules
from adfeast.contract.events import EVENT_TIME, EventCodec
from adfeast.errors import SHOWN_CHARACTERS, DefinitionError, InvalidEvent, shown
from serving.clients.kafka import KafkaProducer
from serving.errors import InvalidRequest, NotAcknowledged
from serving.predict.refusals import NO_VALUE, SIZE, Refusals
from serving.proto import adfeast_pb2 as pb

MAX_EVENT_BYTES = 65_536  # of one message; a broker takes a megabyte, and refuses more as if it might take it later
SLICE = 200  # events that are checked before others have their turn: 2 ms


class EventLog:
    """Accepts the events of one topic.

    A call is all or nothing as far as checking goes. Sending a call again after a failure writes some events a second
    time; every consumer counts an event once by its id.

    Args:
        schema: Avro schema to write with: the newest that the running stream jobs can read.
        key_column: its value is the Kafka key, so that the events of one user stay in order.
        rules: those of a server, `event_rules.server_rules`.
        refusals: where refused events are counted.
        max_events: of one call.

    Attributes:
        lead_ms: how far this server's clock was ahead of Kafka's when events were written last, give or take what the
            writing took.

    Raises:
        DefinitionError: the schema has no such column.
    """

    def __init__(
        self,
        topic: str,
        schema: dict[str, Any],
        key_column: str,
        producer: KafkaProducer,
        clock: Clock,
        rules: Rules,
        refusals: Refusals,
        max_events: int,
    ) -> None:
        self.schema, self.lead_ms = schema, 0
        self._topic, self._key, self._producer, self._clock = topic, key_column, producer, clock
        self._codec, self.refusals, self._max = EventCodec(topic, schema, rules=rules), refusals, max_events
        if key_column not in self._codec.columns:
            raise DefinitionError(f"the schema of topic {topic!r} has no column {key_column!r} to key its messages by")

    async def accept(self, request: pb.LogEventsRequest, caller: str) -> int:
        """Events written.

        Args:
            caller: who sends them, for the count of what is refused.

        Raises:
            InvalidRequest: an event does not fit the schema; none is written.
            NotAcknowledged: Kafka did not confirm all of them.
        """
        if not request.events:
            raise InvalidRequest("events is empty", "send at least one", field="events")
        if len(request.events) > self._max:
            raise InvalidRequest(
                f"events has {len(request.events)} events",
                f"send at most {self._max} (max_events) a call",
                field="events",
            )
        now_ms, messages = self._clock.now_ms(), []
        for i, event in enumerate(request.events):
            if i and i % SLICE == 0:
                await asyncio.sleep(0)
            messages.append(self._message(i, event, now_ms, caller))
        problems = await self._producer.send_all(self._topic, messages)
        if problems:
            raise NotAcknowledged(
                f"Kafka did not confirm {len(problems)} of {len(messages)} events for {self._topic!r} ({problems[0]}): "
                "send the call again, an event counts once by its event_id"
            )
        if self._producer.appended_ms:
            self.lead_ms = self._clock.now_ms() - self._producer.appended_ms
        return len(messages)

    def _message(self, index: int, event: pb.Event, now_ms: int, caller: str) -> tuple[bytes, bytes]:
        fields: dict[str, Any] = {EVENT_TIME: now_ms}
        for name, value in event.fields.items():
            kind = value.WhichOneof("kind")
            if kind is None:
                self.refusals.count(caller, NO_VALUE)
                raise InvalidRequest(
                    f"events[{index}]: {shown(name)} has no value",
                    "send text, integer, number or flag",
                    field=f"events[{index}].{name[:SHOWN_CHARACTERS]}",
                )
            fields[name] = getattr(value, kind)
        try:
            data = self._codec.encode(fields, now_ms)
        except InvalidEvent as error:
            self.refusals.count(caller, error.rule)
            got = shown(fields[error.field]) if error.field in fields else ""
            raise InvalidRequest(
                f"events[{index}]: {error}", field=f"events[{index}].{error.field}", value=got
            ) from error
        if len(data) > MAX_EVENT_BYTES:
            texts = {name: value for name, value in fields.items() if isinstance(value, str)}
            longest = max(texts, key=lambda name: len(texts[name]))
            self.refusals.count(caller, SIZE)
            raise InvalidRequest(
                f"events[{index}]: {longest} is {shown(texts[longest])} in an event of {len(data)} bytes",
                f"send at most {MAX_EVENT_BYTES} bytes an event",
                field=f"events[{index}].{longest}",
                value=shown(texts[longest]),
            )
        return str(fields.get(self._key, "")).encode(), data
