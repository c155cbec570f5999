"""From where on the feature topics are read into a table; kept in a file beside it."""

from __future__ import annotations

import json
from pathlib import Path

from adfeast.whole_file import replace_text
from serving.ads.files import offsets_file
from serving.ads.kafka import Bounds, Offsets
from serving.errors import TableUnusable


def start_offsets(bounds: Bounds, written: Offsets, at: Offsets) -> Offsets:
    """Where a reader begins whose ads come in as they are in Redis.

    Args:
        written: everything below is in Redis.
        at: everything below is in the table; empty for a new one.
    """
    found: Offsets = {}
    for place, (first, end) in bounds.items():
        known = written.get(place, first)
        found[place] = min(max(first, min(known, at.get(place, known))), end)
    return found


def save(table: Path, at: Offsets) -> None:
    """Writes down that everything below is in a table."""
    text = json.dumps({f"{topic}/{partition}": offset for (topic, partition), offset in at.items()})
    replace_text(offsets_file(table), text)


def saved_offsets(table: Path, bounds: Bounds) -> Offsets:
    """What was saved last.

    Raises:
        TableUnusable: Kafka does not hold all that came since, or has another log.
    """
    found: Offsets = {}
    try:
        for name, at in json.loads(offsets_file(table).read_text()).items():
            topic, _, partition = name.rpartition("/")
            found[topic, int(partition)] = at
    except (OSError, ValueError) as error:
        raise TableUnusable(f"{table.name} does not say how far it is: {error}") from error
    for place, (first, end) in bounds.items():
        at = found.get(place, 0)
        if not first <= at <= end:
            raise TableUnusable(f"it has read {at} of {place[0]}/{place[1]}, of which Kafka has {first} to {end}")
    return found
