"""Loops are judged only once somebody has started them, and then by what the real thing says."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from adfeast import watermarks
from adfeast.clock import ManualClock
from adfeast.fleet import Report
from adfeast.ledger import Ledger
from adfeast.settings import Settings
from infra.local import loops
from infra.local.errors import NotReady
from registry.keeper import last_look
from serving.ads.files import sign_file
from streaming.health import ViewHealth
from tests.unit.adfeast.feast_ext.small import definitions

DAY = 86_400_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    url = f"sqlite:///{tmp_path}/registry.db"
    return Settings(registry_url=url, ledger_url=url, local=tmp_path)


def test_nothing_is_judged_before_definitions_are_applied(settings: Settings) -> None:
    [check] = loops.checks(settings, ManualClock(), {"prediction_server"})
    assert (check.name, check.ok) == ("definitions", None)


def test_a_server_is_well_with_a_model_and_without_problems_or_lost_snapshots() -> None:
    reports = [
        Report("well", "", 1, "c", "ctr-000001"),
        Report("empty", "", 1, "c", ""),
        Report("held", "", 1, "c", "ctr-000001", problems=("model 'x' cannot be fed",)),
        Report("losing", "", 1, "c", "ctr-000001", lost=3),
        Report("degraded", "", 1, "c", "ctr-000001", away=("triton is away: timeout",), rungs={"fresh": 3, "prior": 1}),
    ]
    found = list(loops.serving(reports, {"prediction_server"}))
    assert [c.ok for c in found] == [True, False, False, False, False]
    assert "last minute 75.0% fresh, 25.0% prior; triton is away: timeout" in found[-1].text
    assert [c.ok for c in loops.serving([], {"prediction_server_2"})] == [False]
    assert [c.ok for c in loops.serving([], {"valkey"})] == [None]


def test_the_model_keeper_is_judged_by_what_it_found(settings: Settings) -> None:
    def found() -> list[bool | None]:
        return [c.ok for c in loops.keeper(settings, {"model_keeper"})]

    assert [c.ok for c in loops.keeper(settings, set())] == [None]
    assert found() == [False]
    file = last_look(settings.local)
    file.parent.mkdir(parents=True)
    file.write_text("")
    assert found() == [True]
    file.write_text("ctr-000001: does not answer")
    assert found() == [False]


def test_the_table_of_ads_is_judged_by_what_its_keeper_says(settings: Settings, tmp_path: Path) -> None:
    settings = settings.model_copy(update={"ad_table": tmp_path})

    def found() -> list[tuple[bool | None, str]]:
        return [(c.ok, c.text) for c in loops.ad_table(settings, {"ad_table"})]

    assert [c.ok for c in loops.ad_table(settings, set())] == [None]
    assert found() == [(False, "its keeper has not begun")]
    sign = sign_file(tmp_path, settings.project)
    sign.write_text("\n9 ads of 10\n")
    assert found() == [(True, "9 ads of 10")]
    sign.write_text("a table is being filled\n\n")
    assert found() == [(False, "a table is being filled")]
    sign.write_text("\n9 ads of 10\n")
    os.utime(sign, (1, 1))
    assert [ok for ok, _ in found()] == [False]


def test_marks_are_judged_while_the_heartbeat_runs(settings: Settings) -> None:
    assert [c.ok for c in loops.heartbeat(settings, set())] == [None]
    assert [c.ok for c in loops.heartbeat(settings, {"heartbeat"})] == [False]


def test_a_view_is_judged_by_its_promise_while_live_marks_move_it() -> None:
    old = ViewHealth("v", 16.0, True, 15.0, events=1000, late=0, dead=0, job_behind=0, writer_behind=0)
    unknown, fresh = replace(old, age_s=None), replace(old, age_s=6.0, stale=False)
    assert [loops.view(v, {"heartbeat"}).ok for v in (old, unknown, fresh)] == [False, False, True]
    assert loops.view(old, {"reconciler"}).ok  # of a replay the clock says nothing
    assert loops.view(old, {"heartbeat"}).name == "view v"
    assert "watermark 16.0 s old (promised 15 s)" in loops.view(old, {"heartbeat"}).text


def test_a_view_whose_events_are_late_or_dead_too_often_is_wrong_whoever_runs() -> None:
    found = ViewHealth("v", 6.0, False, 15.0, events=1000, late=11, dead=0, job_behind=0, writer_behind=0)
    assert [loops.view(v, set()).ok for v in (found, replace(found, late=0, dead=11))] == [False, False]
    assert loops.view(replace(found, late=10), set()).ok


def test_an_archive_nobody_speaks_for_any_more_is_wrong(settings: Settings) -> None:
    clock, running = ManualClock(DAY), {"reconciler", "heartbeat"}
    assert [c.ok for c in loops.archive(settings, clock, running)] == [None]
    watermarks.publish(settings, {"clicks": DAY - 1000}, DAY)
    assert [c.ok for c in loops.archive(settings, clock, running)] == [True]
    clock.advance(600_000)
    assert [c.ok for c in loops.archive(settings, clock, running)] == [False]


def test_an_old_watermark_is_wrong_only_while_live_marks_move_it(settings: Settings) -> None:
    clock = ManualClock(2 * DAY)
    watermarks.publish(settings, {"clicks": DAY}, clock.now_ms())
    assert [c.ok for c in loops.archive(settings, clock, {"reconciler"})] == [True]
    assert [c.ok for c in loops.archive(settings, clock, {"reconciler", "heartbeat"})] == [False]


def test_a_failed_interval_is_wrong_until_the_view_is_made_otherwise(settings: Settings) -> None:
    clock, found = ManualClock(DAY), definitions()
    end, digest = datetime(2019, 11, 29, tzinfo=UTC), found.views["profile"].digest

    def claim(of: str, problem: bool) -> None:
        with Ledger(settings, clock).claim("batch_view", "profile", of, end, end):
            if problem:
                raise ValueError("no rows")

    assert [c.ok for c in loops.batch(settings, clock, found)] == [None]
    with pytest.raises(ValueError, match="no rows"):
        claim("another digest", True)
    assert [c.ok for c in loops.batch(settings, clock, found)] == [None]
    with pytest.raises(ValueError, match="no rows"):
        claim(digest, True)
    [check] = loops.batch(settings, clock, found)
    assert check.ok is False
    assert "no rows" in check.text
    claim(digest, False)
    assert [c.ok for c in loops.batch(settings, clock, found)] == [True]


class _Triton(BaseHTTPRequestHandler):
    asked: list[Any] = []  # noqa: RUF012 (the handler is made by the server)

    def do_GET(self) -> None:
        inputs = [
            {"name": "dense", "datatype": "FP32", "shape": [-1, 3]},
            {"name": "lists", "datatype": "INT64", "shape": [-1, 0]},
        ]
        good = "/v2/models/good"
        answers = {
            good: {"inputs": inputs},
            f"{good}/config": {"parameters": {"signature_hash": {"string_value": "h"}}},
        }
        self._answer(200 if self.path in answers else 404, answers.get(self.path, {}))

    def do_POST(self) -> None:
        self.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._answer(200, {"outputs": []})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name of the base class)
        return


@pytest.fixture
def triton() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Triton) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_probe_sends_one_row_of_zeros_of_the_model_s_own_shapes(settings: Settings, triton: str) -> None:
    own = settings.model_copy(update={"triton_http": triton})
    loops.probe(own, "good")
    assert _Triton.asked[-1]["inputs"] == [
        {"name": "dense", "datatype": "FP32", "shape": [1, 3], "data": [0, 0, 0]},
        {"name": "lists", "datatype": "INT64", "shape": [1, 0], "data": []},
    ]
    assert _Triton.asked[-1]["parameters"] == {"signature_hash": "h"}
    with pytest.raises(NotReady, match="404"):
        loops.probe(own, "gone")
