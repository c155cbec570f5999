"""Every Prometheus metric of the platform, and how a program shows its own.

The alert rules in infra/alerts/ are tested against this file. Ages are worked out when they are asked for, so a program
that has lost sight of its source shows them growing and never frozen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from adfeast.errors import SettingsError
from adfeast.settings import Settings

Samples = Mapping[Any, float]
"""A tuple of label values to the value; of a metric without labels, the empty tuple."""


@dataclass(frozen=True)
class Metric:
    """One metric; `name` is the whole one, with unit and, of a counter, `_total`."""

    name: str
    kind: Literal["gauge", "counter"]
    labels: tuple[str, ...]
    text: str

    def family(self, samples: Samples) -> Family:
        """What is shown of it: a value for each combination of labels."""
        made = (GaugeMetricFamily if self.kind == "gauge" else CounterMetricFamily)(
            self.name.removesuffix("_total"), self.text, labels=self.labels
        )
        for labels, value in samples.items():
            made.add_metric(labels, value)
        return made


# Of the reconciler, which looks at the stores and topics themselves.
WATERMARK_AGE = Metric(
    "adfeast_view_watermark_age_seconds",
    "gauge",
    ("view",),
    "How far the watermark in Redis lies behind the clock; infinite while none is known.",
)
FRESH_WITHIN = Metric(
    "adfeast_view_fresh_within_seconds", "gauge", ("view",), "What the view promises; an older watermark is stale."
)
EVENTS = Metric(
    "adfeast_view_events_total", "counter", ("view",), "Messages of the view's event topic, time marks among them."
)
LATE = Metric("adfeast_view_late_events_total", "counter", ("view",), "Events that came behind the view's watermark.")
DEAD = Metric(
    "adfeast_view_dead_letters_total",
    "counter",
    ("view",),
    "Messages of the view's event topic and of its feature topic that could not be read.",
)
BEHIND = Metric(
    "adfeast_view_behind_messages",
    "gauge",
    ("view", "reader"),
    "Messages that the view's job, or the Redis writer, has still to read.",
)
JOB_RUNNING = Metric("adfeast_job_running", "gauge", ("job",), "1 while all tasks of the job run as planned, else 0.")
MEASURED_AGE = Metric(
    "adfeast_streams_measured_age_seconds", "gauge", (), "How long ago the figures of the stream side were all taken."
)
# Of a prediction server.
SERVED_WATERMARK_AGE = Metric(
    "adfeast_served_watermark_age_seconds",
    "gauge",
    ("view",),
    "How far the watermark by which the server judges a view lies behind the clock; infinite while none is known.",
)
ANSWERS = Metric("adfeast_answers_total", "counter", (), "Predicts that were answered.")
QUEUE_SECONDS = Metric(
    "adfeast_queue_seconds_total", "counter", (), "What looks at the server's event loop waited for it, all together."
)
QUEUE_LOOKS = Metric("adfeast_queue_looks_total", "counter", (), "Looks at the server's event loop, 20 a second.")
RUNG_ANSWERS = Metric(
    "adfeast_answers_by_rung_total", "counter", ("rung",), "Answered Predicts by the rung of most of their candidates."
)
RUNG_CANDIDATES = Metric(
    "adfeast_candidates_by_rung_total", "counter", ("rung",), "Scores that were answered, by how each was made."
)
AWAY = Metric(
    "adfeast_dependency_away",
    "gauge",
    ("dependency",),
    "1 while requests do not ask the dependency because it has not answered, else 0.",
)
LOST_TIMES = Metric(
    "adfeast_dependency_lost_total", "counter", ("dependency",), "How often requests have ceased to ask the dependency."
)
STALE_ANSWERS = Metric(
    "adfeast_stale_answers_total",
    "counter",
    ("view",),
    "Predicts that were answered without the values of a stale view.",
)
REFUSED_EVENTS = Metric(
    "adfeast_refused_events_total",
    "counter",
    ("topic", "rule"),
    "Calls of LogImpression and LogClick that were refused, by the rule that an event broke.",
)


SHED = Metric(
    "adfeast_shed_calls_total", "counter", ("call",), "Calls that were refused at once because too many were under way."
)
LOOP_AGE = Metric(
    "adfeast_loop_age_seconds",
    "gauge",
    ("loop",),
    "How long ago something that a server does beside the requests was done last, without a failure.",
)
LOOP_FAILURES = Metric(
    "adfeast_loop_failures_total", "counter", ("loop",), "Failures of what a server does beside the requests."
)
PRODUCERS_RENEWED = Metric(
    "adfeast_producers_renewed_total",
    "counter",
    ("producer",),
    "Kafka producers that were replaced because of an error after which they send nothing any more.",
)


class Source(Protocol):
    """Must give what is known now and must not wait for anybody: whoever asks has a deadline."""

    def families(self) -> Iterable[Family]: ...


class _Asked(Collector):
    def __init__(self, source: Source) -> None:
        self._source = source

    def describe(self) -> Iterable[Family]:
        return ()  # else it would be asked before it knows anything

    def collect(self) -> Iterator[Family]:
        yield from self._source.families()


def registry(source: Source) -> CollectorRegistry:
    """A registry of its own, so that nothing is shown that is not declared here."""
    made = CollectorRegistry()
    made.register(_Asked(source))
    return made


def show(settings: Settings, source: Source) -> None:
    """Shows the metrics at http://metrics_host:metrics_port/metrics until the process ends, unless the port is 0.

    Raises:
        SettingsError: the address cannot be listened on.
    """
    if not settings.metrics_port:
        return
    try:
        start_http_server(settings.metrics_port, settings.metrics_host, registry(source))
    except OSError as error:
        address = f"metrics_host={settings.metrics_host!r}, metrics_port={settings.metrics_port}"
        raise SettingsError(f"cannot listen on {address}: {error}; 0 shows no metrics") from error
