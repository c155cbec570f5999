"""The event logs of all topics, each with the newest schema that the running stream jobs can read."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from adfeast.clock import Clock
from adfeast.contract import event_schemas
from adfeast.contract.definitions import Definitions
from adfeast.contract.event_rules import SLACK_MS, server_rules
from adfeast.contract.signature import USER
from adfeast.errors import DefinitionError
from adfeast.settings import Settings
from serving.clients.kafka import KafkaProducer
from serving.errors import NoEventSource
from serving.predict.ingest import EventLog
from serving.predict.refusals import Refusals

log = logging.getLogger(__name__)
POLL_S = 2.0


class EventLogs:
    """Follows which schema each topic is written with: readers come first, so a schema is used once the jobs know it.

    Attributes:
        refusals: counts the events that were refused, by caller and reason.
    """

    def __init__(self, settings: Settings, producer: KafkaProducer, clock: Clock) -> None:
        self._settings, self._producer, self._clock = settings, producer, clock
        self._logs: dict[str, EventLog] = {}
        self._definitions: Definitions | None = None
        self._rules, self.refusals = server_rules(settings), Refusals()
        self._problems: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the newest schema of a topic is not used, other than that the jobs do not know it yet; a wrong clock."""
        lead_ms = max((log.lead_ms for log in self._logs.values()), key=abs, default=0)
        if abs(lead_ms) <= SLACK_MS:
            return self._problems
        side = "ahead of" if lead_ms > 0 else "behind"
        return (
            *self._problems,
            f"this server's clock is {abs(lead_ms) / 1000:.0f} s {side} Kafka's: set it right, or events are "
            "acknowledged here that the pipeline discards",
        )

    @property
    def schemas(self) -> dict[str, dict[str, Any]]:
        """Topic to the schema that its events are written with."""
        return {topic: log.schema for topic, log in self._logs.items()}

    def of(self, topic: str) -> EventLog:
        """Raises: NoEventSource: nothing of this name is defined."""
        if topic not in self._logs:
            raise NoEventSource(f"no event source {topic!r} is applied: declare it in feature_repo/ with event_source")
        return self._logs[topic]

    async def refresh(self, definitions: Definitions) -> None:
        """Brings the logs in line with the definitions and with what the jobs can read."""
        self._definitions = definitions
        try:
            schemas = await asyncio.to_thread(self._schemas, definitions)
        except (DefinitionError, SQLAlchemyError) as error:
            self._problems = (str(error),)
            return
        logs, problems = {}, []
        for topic, schema in schemas.items():
            known = self._logs.get(topic)
            if known is not None and known.schema == schema:
                logs[topic] = known
                continue
            try:
                key = definitions.entities[USER]
                logs[topic] = EventLog(
                    *(topic, schema, key, self._producer, self._clock),
                    *(self._rules, self.refusals, self._settings.max_events),
                )
                log.info("events of %s are written with columns %s", topic, [f["name"] for f in schema["fields"]])
            except (DefinitionError, KeyError) as error:
                problems.append(str(error))
        self._logs, self._problems = logs, tuple(problems)

    async def look(self) -> str:
        """Looks whether the jobs can read a newer schema by now; returns why it cannot be told."""
        if self._definitions is not None:
            await self.refresh(self._definitions)
        return "; ".join(self._problems)

    def _schemas(self, definitions: Definitions) -> dict[str, dict[str, Any]]:
        event_schemas.record(self._settings, definitions)
        return {topic: event_schemas.writing(self._settings, definitions, topic) for topic in definitions.events}
