"""What the reconciler's process shows of the stream side: it looks by itself, whatever the reconciler is busy with."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from prometheus_client.metrics_core import Metric as Family
from sqlalchemy.exc import SQLAlchemyError

from adfeast import metrics
from adfeast.access import KafkaAccess
from adfeast.clock import Clock
from adfeast.contract.definitions import Definitions
from adfeast.errors import AdfeastError
from adfeast.feast_ext.registry import load_definitions, registry_digest
from adfeast.settings import Settings
from streaming.health import fresh_within_s, readers_behind, view_topics, watermarks
from streaming.kafka_admin import counted
from streaming.plan import Plan, make_plan
from streaming.status import AS_PLANNED, StreamStatus, read_status

log = logging.getLogger(__name__)
PERIOD_S = 1.0  # between two looks at the watermarks, which is one question to Redis
WHOLE_MS = 5_000  # between two looks at everything, which asks Flink and Kafka


@dataclass(frozen=True)
class Figures:
    """What was found when it was looked for, swapped as a whole.

    Attributes:
        definitions, plan: what is applied; None before anything is.
        watermarks: of each view in milliseconds since 1970, None where none is known.
        status, totals: of Flink and Kafka; `totals` are the messages that a topic has ever held.
        at_ms: when Flink and Kafka were asked.
    """

    at_ms: int
    definitions: Definitions | None = None
    plan: Plan | None = None
    watermarks: Mapping[str, int | None] = field(default_factory=dict)
    status: StreamStatus | None = None
    totals: Mapping[str, int] = field(default_factory=dict)


class StreamMetrics:
    """The figures of the stream side; `look` takes them, `families` shows them, each in a thread of its own.

    Attributes:
        figures: what the last look found.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._digest, self._problem, self._whole_ms = "", "", -WHOLE_MS
        self.figures = Figures(clock.now_ms())

    def follow(self, stop: threading.Event) -> None:
        """Looks until `stop` is set. What cannot be asked leaves the figures as they were; their ages grow."""
        while not stop.wait(PERIOD_S):
            try:
                self.look()
                problem = ""
            except (AdfeastError, SQLAlchemyError) as error:
                problem = str(error)
            except Exception:
                log.exception("the figures of the stream side were not taken")
                continue
            if problem and problem != self._problem:
                log.warning("the figures of the stream side are old: %s", problem)
            self._problem = problem

    def look(self) -> None:
        """Takes the watermarks, and everything else when it is due.

        Raises:
            DefinitionError: nothing usable is applied. StreamingError: Redis, Flink or Kafka does not answer.
        """
        settings = self._settings
        digest = registry_digest(settings)
        if self.figures.plan is None or digest != self._digest:
            definitions = load_definitions(settings)
            plan = make_plan(definitions, settings)
            self.figures = replace(self.figures, definitions=definitions, plan=plan)
            self._digest, self._whole_ms = digest, -WHOLE_MS
        assert self.figures.plan is not None
        plan = self.figures.plan
        topics = view_topics(plan)
        self.figures = replace(self.figures, watermarks=watermarks(settings, [t.view for t in topics]))
        now = self._clock.now_ms()
        if now - self._whole_ms >= WHOLE_MS:
            self._whole_ms = now
            found = counted(KafkaAccess.of(settings), {name for t in topics for name in t.all}, now)
            totals = {name: c.ever for name, c in found.items()}
            self.figures = replace(self.figures, status=read_status(plan, settings), totals=totals, at_ms=now)

    def families(self) -> Iterator[Family]:
        """See `adfeast.metrics`."""
        now, found, speed = self._clock.now_ms(), self.figures, self._settings.replay_speed
        yield metrics.MEASURED_AGE.family({(): (now - found.at_ms) / 1000})
        if found.definitions is None or found.plan is None:
            return
        topics = view_topics(found.plan)
        yield metrics.WATERMARK_AGE.family(
            {(v,): math.inf if ms is None else (now - ms) / 1000 for v, ms in found.watermarks.items()}
        )
        yield metrics.FRESH_WITHIN.family(
            {(t.view,): fresh_within_s(found.definitions, t.view) * speed for t in topics}
        )
        if found.status is None:
            return
        yield metrics.JOB_RUNNING.family({(job,): s == AS_PLANNED for job, s in found.status.jobs.items()})
        known = [t for t in topics if set(t.all) <= found.totals.keys()]  # not those of a view that was just added
        yield metrics.EVENTS.family({(t.view,): found.totals[t.events] for t in known})
        yield metrics.LATE.family({(t.view,): found.totals[t.late] for t in known})
        yield metrics.DEAD.family({(t.view,): sum(found.totals[name] for name in t.dead) for t in known})
        behind: dict[tuple[str, str], int] = {}
        for t in known:
            job, writer = readers_behind(found.plan, self._settings, t, found.status.behind)
            behind |= {(t.view, "job"): job, (t.view, "writer"): writer}
        yield metrics.BEHIND.family(behind)


def show_streams(settings: Settings, clock: Clock, stop: threading.Event) -> None:
    """Shows the figures until `stop` is set, beside whatever the process does; nothing if `metrics_port` is 0.

    Raises:
        SettingsError: the address cannot be listened on.
    """
    if not settings.metrics_port:
        return
    streams = StreamMetrics(settings, clock)
    metrics.show(settings, streams)
    threading.Thread(target=streams.follow, args=(stop,), name="metrics", daemon=True).start()
