"""A batch of rows reaches Redis in few commands and fewer round trips."""

from __future__ import annotations

from typing import Any

import hiredis
import pytest

from adfeast.contract.rows import Layout
from adfeast.settings import Settings
from streaming.redis_writer import store
from streaming.redis_writer.layout import Progress, RowLayout
from streaming.redis_writer.store import CALLS, TOGETHER, RedisStore
from tests.unit.streaming.jobs.test_sql import definitions

ROWS = 10_000
VIEW = definitions().views["shop_bids"]


class Redis:
    """A connection to a server that takes everything, and keeps what it was sent."""

    run_id, replicas = "one", 0

    def __init__(self, *_address: Any) -> None:
        self.sent: list[list[list[bytes]]] = []
        self._answers: list[Any] = []

    def send(self, data: bytes) -> None:
        reader, commands = hiredis.Reader(), []
        reader.feed(data)
        while (command := reader.gets()) is not False:
            commands.append(command)
            self._answers.append(b"script" if command[0] == b"SCRIPT" else 0)
        self.sent.append(commands)

    def answer(self) -> Any:
        return self._answers.pop(0)

    def close(self) -> None:
        """Does not fail."""


def test_ten_thousand_rows_are_a_call_for_each_64_and_a_wait_for_each_32_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Redis] = []

    def connect(*_address: Any) -> Redis:
        made.append(Redis())
        return made[-1]

    monkeypatch.setattr(store, "Connection", connect)
    layout = Layout.of(VIEW)
    rows = RowLayout(layout, VIEW, "p", 60, Progress())
    table = rows.table([layout.encode(1_574_500_000_000 + n, [n, n]) for n in range(ROWS)])
    found = RedisStore(Settings())
    found.connect()
    before = len(made[0].sent)
    assert found.write([rows.rows(table, [b"key %d" % n for n in range(ROWS)])]) == (0, [])
    waits = made[0].sent[before:]
    calls = [command for commands in waits for command in commands]
    assert len(calls) == -(-ROWS // TOGETHER) == 157
    assert len(waits) == -(-len(calls) // CALLS) == 5
    assert {name for name, *_ in calls} == {b"EVALSHA"}
    keys = [key for call in calls for key in call[3 : 3 + int(call[2])]]
    assert len(keys) == len(set(keys)) == ROWS
