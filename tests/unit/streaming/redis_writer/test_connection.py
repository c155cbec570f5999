"""The writer's connection logs in before it asks anything; the server here is as much of Redis as that takes."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator

import pytest
import redis
from pydantic import SecretStr

from adfeast.access import RedisAccess
from streaming.redis_writer.connection import Connection


class _Redis(socketserver.BaseRequestHandler):
    heard: bytearray
    refuses = False

    def handle(self) -> None:
        while data := self.request.recv(1 << 16):
            self.heard.extend(data)
            if b"AUTH" in data:
                self.request.sendall(b"-WRONGPASS invalid\r\n" if self.refuses else b"+OK\r\n")
            else:
                body = b"run_id:abc\r\nconnected_slaves:0\r\n"
                self.request.sendall(b"$%d\r\n%s\r\n" % (len(body), body))


@pytest.fixture
def port() -> Iterator[int]:
    _Redis.heard, _Redis.refuses = bytearray(), False
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Redis) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_it_logs_in_first(port: int) -> None:
    access = RedisAccess("127.0.0.1", port, "us", SecretStr("hunter2"))
    connection = Connection(access)
    connection.close()
    assert connection.run_id == "abc"
    assert bytes(_Redis.heard).startswith(access.login() + b"*2\r\n$4\r\nINFO")


def test_without_a_password_it_asks_at_once(port: int) -> None:
    Connection(RedisAccess("127.0.0.1", port)).close()
    assert b"AUTH" not in _Redis.heard


def test_a_refused_login_is_named_and_the_password_is_not(port: int) -> None:
    _Redis.refuses = True
    with pytest.raises(redis.ConnectionError, match="redis_username and redis_password: WRONGPASS") as refused:
        Connection(RedisAccess("127.0.0.1", port, "us", SecretStr("hunter2")))
    assert "hunter2" not in str(refused.value)
