"""What an event may hold: one rule set for the prediction server, the Python codec and the decoder inside Flink.

The limits stand here only; the Java decoder (streaming/java, EventDecoder) is given them with the plan and names a
broken rule as it is named here. tests/parity/event_vectors.py makes messages that both are tried on.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from adfeast.clock import to_datetime
from adfeast.settings import Settings

FRAME = "frame"  # the bytes name no schema
SCHEMA = "schema"  # they name one that is not known
RECORD = "record"  # they are not a whole record of it
COLUMN = "column"  # one is missing, or not of this topic
TYPE = "type"
RANGE = "range"  # a number that its type cannot hold
FINITE = "finite"  # NaN or infinity, which one sum would keep for ever
TEXT = "text"  # not Unicode
ID = "id"  # an id's length, or a zero byte in it
TIME = "time"  # a time that is no time
AHEAD = "ahead"  # an event of the future
AGE = "age"  # an event of a past that nobody waits for

# How far the pipeline lets a time lie ahead of the clock by which it is judged; rows and watermarks made of events too.
AHEAD_MS = 60_000
# The server is this much stricter than the pipeline: two clocks differ, and Kafka takes an event later than the server.
SLACK_MS = AHEAD_MS // 2


@dataclass(frozen=True)
class Rules:
    """The limits of an event.

    Attributes:
        max_id_bytes: of an id, in UTF-8.
        max_time_ms: times lie before it; behind the year 10000 no calendar of a reader goes.
        ahead_ms: how far `event_timestamp` may lie ahead of the time at which the event is taken.
        max_age_ms: how far it may lie behind that; None for no limit, as replays of history need it.
    """

    max_id_bytes: int = 256
    max_time_ms: int = 253_402_300_800_000
    ahead_ms: int = AHEAD_MS
    max_age_ms: int | None = None

    def out_of_time(self, ms: int, at_ms: int, clock: str) -> tuple[str, str] | None:
        """(rule, problem) of an event time when the event is taken at `at_ms`; None for a good one.

        Args:
            clock: whose time `at_ms` is, for the problem.
        """
        if ms - at_ms > self.ahead_ms:
            return AHEAD, (
                f"{_said(ms)} lies {(ms - at_ms) / 1000:g} s ahead of {clock}, {self.ahead_ms / 1000:g} s are allowed; "
                "check the clock of the sender"
            )
        if self.max_age_ms is not None and at_ms - ms > self.max_age_ms:
            return AGE, (
                f"{_said(ms)} lies {(at_ms - ms) / 1000:g} s behind {clock}, {self.max_age_ms / 1000:g} s are allowed "
                "(event_max_age_s); send milliseconds since 1970 and no older events, or deliver them into the lake"
            )
        return None

    def in_plan(self, time_column: str) -> dict[str, Any]:
        """The limits as the plan of the stream jobs carries them."""
        return {"time": time_column, **asdict(self)}


def pipeline_rules(settings: Settings) -> Rules:
    """By Kafka's append time: what the stream jobs and the archive take, and what else is a dead letter."""
    age_s = settings.event_max_age_s
    return Rules(max_age_ms=None if age_s is None else age_s * 1000)


def server_rules(settings: Settings) -> Rules:
    """By the server's clock: nothing is acknowledged that the pipeline would not take."""
    of_pipeline = pipeline_rules(settings)
    age_ms = of_pipeline.max_age_ms
    return replace(
        of_pipeline,
        ahead_ms=of_pipeline.ahead_ms - SLACK_MS,
        max_age_ms=None if age_ms is None else age_ms - SLACK_MS,
    )


def _said(ms: int) -> str:
    return f"{to_datetime(ms).isoformat(timespec='milliseconds')} ({ms})"
