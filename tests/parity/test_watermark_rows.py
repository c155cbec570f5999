"""The window view on Flink itself, without a platform: marks, a late beginning, duplicates on both state backends."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from adfeast.settings import ROOT, Settings
from streaming.jobs.sql import LATE, VALUE, WATERMARK
from streaming.marks import encode_mark
from streaming.names import features_job
from streaming.plan import make_plan, started
from tests.unit.streaming.jobs.test_sql import definitions

BEGIN = 1_574_500_000_000
COLUMNS = "ROW<event_id STRING, shop_id STRING, price DOUBLE>"
Found = list[tuple[str, int, str | None, int, list[float] | None]]


def rows(
    folder: Path, events: list[tuple[str | None, str, int]], emit_ms: int, emit_from_ms: int, **options: str
) -> Found:
    """What the view `shop_bids` gives for events `id, shop, ms`; one without an id is a mark."""
    plan = make_plan(definitions(), Settings(registry_url=f"sqlite:///{folder}/registry.db"), emit_ms=emit_ms)
    plan = started(plan, features_job("shop_bids"), {"lineage": 0, "timestamp_ms": 0, "from_ms": emit_from_ms})
    lines = []
    for identity, shop, ms in events:
        message = encode_mark(ms) if identity is None else b"an event"
        event: dict[str, Any] = {"event_id": identity, "shop_id": identity and shop, "price": 1.5 if identity else None}
        lines.append({"message": base64.b64encode(message).decode(), "event": event, "ms": ms})
    (folder / "events.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    request = folder / "request.json"
    asked = {"plan": plan, "events": str(folder / "events.json"), "columns": COLUMNS}
    request.write_text(json.dumps({**asked, "options": {k.replace("_", "."): v for k, v in options.items()}}))
    python = ROOT / ".local" / "env" / "flink" / "bin" / "python"
    command = [python, "-m", "tests.parity.window_rows", request]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return [tuple(json.loads(line)) for line in ended.stdout.splitlines() if line.startswith("[")]


@pytest.mark.parametrize("emit_ms", [0, 1_000])
def test_every_mark_goes_to_every_key_and_says_how_far_the_values_are(tmp_path: Path, emit_ms: int) -> None:
    events: list[tuple[str | None, str, int]] = [
        ("a", "shop", BEGIN),
        (None, "", BEGIN + 1_000),
        (None, "", BEGIN + 1_100),
        ("b", "shop", BEGIN + 1_500),
        ("b", "shop", BEGIN + 1_500),
        ("c", "\0" + "1", BEGIN + 1_600),
        (None, "", BEGIN + 9_000),
    ]
    found = rows(tmp_path, events, emit_ms, 0)
    keys = {f"\0{n}/8" for n in range(8)}
    marks = [r for r in found if r[1] == WATERMARK]
    assert {r[0] for r in marks} == keys
    for key in keys:
        # The second mark moved it by less than 200 ms. A watermark passes a mark less the delay.
        told = [r[3] for r in marks if r[0] == key]
        assert told == [BEGIN + 1_000 - 5_000 - 1 - emit_ms, BEGIN + 9_000 - 5_000 - 1 - emit_ms]
    assert [r[:4] for r in found if r[1] == LATE] == [("\x001", LATE, "c", BEGIN + 1_600)]
    values = [r for r in found if r[1] == VALUE]
    assert values[0][3:] == (BEGIN, [1.5, 1.0])
    assert max(r[4] for r in values) == [3.0, 2.0]
    assert values[-1][4] == [0.0, 0.0]
    last_before = found.index(next(r for r in marks if r[3] > BEGIN + 1_500))
    assert [3.0, 2.0] in [r[4] for r in found[:last_before]], "both events stand before the watermark that passed them"


def test_nothing_is_written_before_its_time_and_then_every_key_once(tmp_path: Path) -> None:
    start = BEGIN + 12_345
    events: list[tuple[str | None, str, int]] = [
        ("a", "first", BEGIN),
        ("b", "second", BEGIN + 8_000),
        (None, "", BEGIN + 10_000),
        ("c", "second", BEGIN + 9_000),
        (None, "", BEGIN + 30_000),
    ]
    found = rows(tmp_path, events, 0, start)
    assert min(r[3] for r in found) >= start
    begun = {r[0]: r for r in reversed(found) if r[1] == VALUE}
    assert begun["first"][3:] == (start, [1.5, 1.0])
    assert begun["second"][3:] == (start, [3.0, 2.0])
    assert {r[0] for r in found if r[1] == WATERMARK and r[3] >= start} == {f"\0{n}/8" for n in range(8)}


@pytest.mark.parametrize("backend", ["hashmap", "rocksdb"])
def test_more_ids_than_the_state_of_a_key_holds_are_told_apart(tmp_path: Path, backend: str) -> None:
    once: list[tuple[str | None, str, int]] = [(f"bid-{n}", "hot", BEGIN + 200 * n) for n in range(200)]
    again = [once[n // 2] if n % 2 else once[199 - n // 2] for n in range(300)]
    found = rows(tmp_path, once + again, 0, 0, state_backend_type=backend)
    assert max(r[4][1] for r in found if r[4]) == 200  # one visit with all of them
    assert not [r for r in found if r[1] == LATE]
