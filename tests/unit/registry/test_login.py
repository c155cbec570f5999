"""The registry's clients say who they are."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from adfeast.settings import Settings
from registry.tracking import login
from registry.triton import Triton


class _Ready(BaseHTTPRequestHandler):
    heard: list[str | None]

    def do_GET(self) -> None:
        self.heard.append(self.headers.get("Authorization"))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing on standard error."""


@pytest.fixture
def address() -> Iterator[str]:
    _Ready.heard = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Ready)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()


def test_triton_is_asked_with_the_token(address: str) -> None:
    token: Any = "t"
    for url in (address, f"http://{address}"):
        assert Triton(Settings(triton_http=url, triton_token=token)).ready("ctr-1")
    assert Triton(Settings(triton_http=address)).ready("ctr-1")
    assert _Ready.heard == ["Bearer t", "Bearer t", None]


def test_mlflow_is_told_by_the_variables_it_reads() -> None:
    secret: Any = "hunter2"
    assert login(Settings()) == {}
    assert login(Settings(mlflow_username="us", mlflow_password=secret)) == {
        "MLFLOW_TRACKING_USERNAME": "us",
        "MLFLOW_TRACKING_PASSWORD": "hunter2",
    }
    assert login(Settings(mlflow_token=secret)) == {"MLFLOW_TRACKING_TOKEN": "hunter2"}
