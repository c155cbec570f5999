"""Ends the former job of a view once the one that was built beside it has caught up.

It has when its watermark has passed the time from which it writes, and when watermark and committed offsets are where
those of the former one were when somebody looked before. Both write until then, each with its own event times, so
nothing depends on the very moment of the switch. What the former one left is deleted: state of a view that lies there
is of a job that was still needed, and whoever finds no job running takes it up again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from adfeast.access import KafkaAccess
from adfeast.contract.event_schemas import mark_readable
from adfeast.ledger import Claim
from adfeast.settings import Settings
from streaming.checkpoints import JobState
from streaming.flink_rest import FlinkRest, Job
from streaming.kafka_admin import Offsets, committed_by_group, first_offsets
from streaming.plan import Plan, view_of
from streaming.rebuild import later_ms
from streaming.running import beside, group, running

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """How far a job is: `watermark` is None before the first."""

    watermark: int | None
    committed: Offsets


class Switch:
    """Looks at all views; what was seen of the former jobs counts at the next look."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._rest = FlinkRest(settings.flink_rest)
        self._seen: dict[str, Place] = {}

    def waiting(self, plan: Plan) -> list[str]:
        """The jobs beside which a former one still runs."""
        return sorted({name for name, _, _ in beside(plan, running(plan["project"], self._rest))})

    def step(self, plan: Plan, claim: Claim) -> list[str]:
        """Ends the former jobs that are not needed any more; returns the jobs that have taken over.

        Raises:
            LeaseLost: somebody else has taken over.
            StreamingError: Flink or Kafka does not answer.
        """
        done = []
        for name, new, old in beside(plan, running(plan["project"], self._rest)):
            state, topic = JobState(self._settings, plan["checkpoints"], name), view_of(plan, name)["topic"]
            seen, self._seen[old.id] = self._seen.get(old.id), self._place(old, topic)
            if seen is None or not new.ready:
                continue
            kept = state.kept(new.digest, new.lineage)
            begin_ms = kept["jobs"][name]["start"]["from_ms"] if kept else 0
            if seen.watermark is not None:
                later = later_ms(plan, state.kept(old.digest, old.lineage))
                seen = replace(seen, watermark=seen.watermark - later)
            if not caught_up(self._place(new, topic), seen, begin_ms):
                continue
            claim.check()
            self._rest.cancel(old.id)
            state.forget(old.digest)
            del self._seen[old.id]
            log.info("job %s has caught up and replaces %s", name, old.digest)
            done.append(name)
        if done:
            tell_readable(self._settings, plan, self._rest)
        return done

    def _place(self, job: Job, topic: str) -> Place:
        bootstrap = KafkaAccess.of(self._settings)
        committed = committed_by_group(bootstrap, {group(job): [topic]})[group(job)]
        # What Kafka has thrown away needs nobody to read it: of a partition that is empty nothing is ever committed.
        first = first_offsets(bootstrap, [topic])
        return Place(self._rest.watermark(job.id), {p: max(at, first.get(p, 0)) for p, at in committed.items()})


def caught_up(new: Place, seen: Place, begin_ms: int) -> bool:
    """Whether a job is where another was.

    Args:
        begin_ms: event time from which on it writes values.
    """
    reached = max(begin_ms, seen.watermark or 0)
    behind = any(new.committed.get(place, 0) < offset for place, offset in seen.committed.items())
    return not behind and (new.watermark or 0) >= reached


def tell_readable(settings: Settings, plan: Plan, rest: FlinkRest) -> None:
    """Lets producers write the schemas that every job can decode which runs now."""
    ids = {e["topic"]: set(e["schemas"]) for e in plan["events"]}
    for name, _, old in beside(plan, running(plan["project"], rest)):
        kept = JobState(settings, plan["checkpoints"], name).kept(old.digest, old.lineage)
        for event in kept["events"] if kept else []:
            if event["topic"] == view_of(kept, name)["topic"]:  # type: ignore[arg-type]
                ids[event["topic"]] &= set(event["schemas"])
    mark_readable(settings, ids)
