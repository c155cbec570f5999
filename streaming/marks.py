"""Time marks: messages that move event time on when no events do, so that values decay to zero.

The watermark of a partition follows its events; when they stop, it stands still and nothing expires. A mark is a
message in the partitions of the event topics that says: no earlier event follows here. It stands in line behind the
events it follows, so neither a restart nor a slow reader can let it overtake them, and it is replayed with them.

Like an event, a mark moves time no further than the time at which Kafka took it (docs/semantics.md): a host whose clock
is fast makes no event late.

The marks go to every archived topic that programs write: the features follow those of the events they read, the
completeness of the archive follows all of them.

A live deployment sends one a second with the wall clock (`adfeast start heartbeat`). A replay of historic data sends
its own time; the two must not run at once, because live marks make historic events late.
"""

from __future__ import annotations

import logging
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, Message, Producer
from sqlalchemy.exc import SQLAlchemyError

from adfeast.access import KafkaAccess
from adfeast.clock import Clock, SystemClock, to_datetime
from adfeast.contract.event_rules import TIME
from adfeast.contract.events import MAX_TIME_MS
from adfeast.errors import AdfeastError, InvalidEvent
from adfeast.settings import Settings
from adfeast.watermarks import Mark, record_marks
from streaming.errors import StreamingError
from streaming.kafka_admin import partitions, quiet
from streaming.plan import Plan, event_topics

log = logging.getLogger(__name__)
FAST_MS = 1_000  # a lead of this host's clock that is worth a word
# An event begins so only with an empty id, which no event has; the Java decoder knows this form.
_FORM = struct.Struct(">bq")


def encode_mark(ms: int) -> bytes:
    """The mark of a time in milliseconds since 1970."""
    return _FORM.pack(0, ms)


def decode_mark(message: bytes) -> int | None:
    """The time of a mark; None for any other message.

    Raises:
        InvalidEvent: it has a mark's form, but no time.
    """
    if len(message) != _FORM.size or message[0] != 0:
        return None
    ms = int(_FORM.unpack(message)[1])
    if not 0 < ms < MAX_TIME_MS:
        problem = f"a time mark holds {ms}, not milliseconds since 1970 and before the year 10000"
        raise InvalidEvent(problem, rule=TIME)
    return ms


def advance(settings: Settings, plan: Plan, to_ms: int) -> None:
    """Moves event time to `to_ms` in every partition: what expires until then expires, earlier events are late.

    Returns when Kafka has the marks, also those by which the archive knows how far it is
    (streaming/archive_progress.py). Since no mark moves time past Kafka's clock less the watermark delay, a time that
    has just passed is waited for as long.

    Raises:
        StreamingError: Kafka did not take them, or `to_ms` has not passed yet.
    """
    clock, delay_ms = SystemClock(), plan["watermark_delay_ms"]
    if to_ms > clock.now_ms():
        raise StreamingError(f"time cannot be moved to {to_datetime(to_ms).isoformat()}: give a time that has passed")
    while (short_ms := to_ms + delay_ms - _send(settings, plan, to_ms + delay_ms, clock)) > 0:
        if short_ms > delay_ms:
            raise StreamingError(
                f"time cannot be moved to {to_datetime(to_ms).isoformat()}: the clock of Kafka at "
                f"{settings.kafka_bootstrap} is {short_ms - delay_ms} ms before that; set it right or wait"
            )
        time.sleep(short_ms / 1000)


def heartbeat(
    settings: Settings, load: Callable[[], Plan], clock: Clock, period_s: float, stop: threading.Event
) -> None:
    """Marks the time of the clock until `stop` is set; events may come as late as the plan's watermark delay.

    After each mark the file `last_mark(settings.local)` is touched.

    Args:
        load: makes the plan; called before each mark, so that a new topic is marked from then on.
    """
    file, ahead = last_mark(settings.local), False
    file.parent.mkdir(parents=True, exist_ok=True)
    log.info("marking %s every %.1f s", ", ".join(event_topics(load())), period_s)
    while not stop.wait(period_s):
        try:
            now_ms = clock.now_ms()
            lead = now_ms - _send(settings, load(), now_ms, clock)
            if ahead != (ahead := lead > FAST_MS) and ahead:
                log.warning("the clock of this host is %.1f s ahead of Kafka's: set one of them right", lead / 1000)
        except (AdfeastError, SQLAlchemyError) as error:
            log.warning("no time mark was sent, or none is known of: %s", error)
        else:
            file.touch()


def last_mark(local: Path) -> Path:
    """The file that is as old as the heartbeat's last mark; watched by whoever supervises it."""
    return local / "state" / "streaming" / "heartbeat"


def _send(settings: Settings, plan: Plan, ms: int, clock: Clock) -> int:
    """Sends the mark of a time to every partition; returns how far the least of them moves time."""
    producer = Producer({**KafkaAccess.of(settings).librdkafka(), "log_level": 0}, logger=quiet)
    failed: list[str] = []
    sent: list[Mark] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error:
            failed.append(str(error))
        else:
            # What Kafka says of a topic that it stamps: when it took the message.
            kind, appended = message.timestamp()
            by_broker = kind == TIMESTAMP_LOG_APPEND_TIME
            moved = min(ms, appended) if by_broker else ms
            sent.append(Mark(message.topic(), message.partition(), message.offset(), moved))

    for place in partitions(KafkaAccess.of(settings), event_topics(plan)):
        producer.produce(place.topic, value=encode_mark(ms), partition=place.partition, on_delivery=delivered)
    left = producer.flush(10)
    record_marks(settings, sent, clock.now_ms())
    if left or failed:
        raise StreamingError(
            f"Kafka at {settings.kafka_bootstrap} did not take the time marks: {failed or 'no answer'}"
        )
    return min((mark.ms for mark in sent), default=ms)
