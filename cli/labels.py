"""`adfeast labels ...`: the states of labels, for whoever is on call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from adfeast.clock import to_datetime, to_ms
from adfeast.contract.label_states import Label, LabelRules
from adfeast.settings import load_settings
from cli.answer import Answer, answers
from cli.exit_codes import DONE, FAILED, WAITS
from cli.quiet import be_quiet
from cli.tables import columns
from cli.times import Moment, Span

if TYPE_CHECKING:
    from streaming.label_rows import StreamLabel
    from training.data.label_audit import BatchLabel

BEGINNING, END = datetime(1970, 1, 2, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


@click.group()
def labels() -> None:
    """The states of labels."""
    be_quiet()


@labels.command()
@click.argument("impression_id")
@click.option("--since", type=Moment(), default=BEGINNING, help="Its events are not older: reads less of the archive.")
@click.option("--until", type=Moment(), default=END, help="Its events are older than this.")
@click.option("--label-window", type=Span(), help="Instead of label_window_s; nothing is asked of the stream side.")
@answers
def audit(impression_id: str, since: datetime, until: datetime, label_window: timedelta | None) -> Answer:
    """Show every event of an impression, and what stream and batch say of its label, side by side.

    Done when they agree; exit code 1 when they do not, 3 when they do not yet, because the archive does not hold all
    that can still come.
    """
    from training.data.label_audit import batch_label

    settings = load_settings()
    if label_window is not None:
        settings = settings.model_copy(update={"label_window_s": int(label_window.total_seconds())})
    rules = LabelRules.of(settings)
    batch = batch_label(settings, impression_id, rules, since, until)
    stream = None
    if label_window is None:
        from streaming.label_rows import label_rows

        # Kafka's time, which a sender's clock may be ahead of.
        stream = label_rows(settings, impression_id, max(0, to_ms(since) - rules.click_kept_ms))
    verdict, code = judge(stream, batch, rules)
    said = {
        "impression_id": impression_id,
        "rules": asdict(rules),
        "stream": asdict(stream) if stream else None,
        "batch": asdict(batch),
        "verdict": verdict,
    }
    return Answer(said, [*_events(batch), "", *_states(stream, batch), "", verdict], code)


def judge(stream: StreamLabel | None, batch: BatchLabel, rules: LabelRules) -> tuple[str, int]:
    """What the two sides are to each other, and the exit code of that."""
    if stream is None:
        return "the stream side was not asked", DONE
    last = stream.rows[-1].label if stream.rows else None
    if last is None and batch.label is None:
        return "neither side has this impression", DONE
    if not batch.is_complete(rules):
        until = "nobody knows when" if batch.watermark_ms is None else _time(batch.watermark_ms)
        return f"not final by the archive, which is complete until {until}: ask again later", WAITS
    if last is None or batch.label is None or last.outcome != batch.label.outcome:
        return "STREAM AND BATCH DIFFER: see docs/labels.md, When they differ", FAILED
    beside = "" if last == batch.label else ", but not all events were counted by both"
    return f"stream and batch agree{beside}", DONE


def _events(batch: BatchLabel) -> Iterator[str]:
    return columns([("TIME", "EVENT", "ID"), *((_time(e.ms), e.kind, e.event_id) for e in batch.events)])


def _states(stream: StreamLabel | None, batch: BatchLabel) -> Iterator[str]:
    table: list[tuple[str, ...]] = [
        ("SIDE", "STATE", "LABEL", "WEIGHT", "SINCE", "SHOWN", "CLICKED", "BESIDE", "WRITTEN")
    ]
    for row in stream.rows if stream else ():
        table.append(("stream", *_figures(row.label), _time(row.written_ms)))
    for lost in stream.refused if stream else ():
        table.append(("stream", lost.reason, "", "", _time(lost.at_ms), "", "", lost.event_id, ""))
    if batch.label:
        table.append(("batch", *_figures(batch.label), ""))
    for lost in batch.refused:
        table.append(("batch", lost.reason, "", "", _time(lost.at_ms), "", "", lost.event_id, ""))
    return columns(table)


def _figures(label: Label) -> tuple[str, ...]:
    clicked = "" if label.clicked_ms is None else _time(label.clicked_ms)
    counts = {
        "clicks": label.clicks,
        "before": label.clicks_before,
        "late": label.clicks_late,
        "duplicate clicks": label.duplicate_clicks,
        "duplicate impressions": label.duplicate_impressions,
    }
    beside = ", ".join(f"{n} {what}" for what, n in counts.items() if n)
    times = _time(label.at_ms), _time(label.shown_ms), clicked
    return label.state, str(label.label), f"{label.weight:g}", *times, beside


def _time(ms: int) -> str:
    return to_datetime(ms).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
