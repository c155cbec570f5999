"""What a caller catches."""

from __future__ import annotations

import grpc


class CallFailed(Exception):
    """No server answered in time, or one refused the call; the message is the server's.

    Attributes:
        code: the gRPC status of the last attempt.
        attempts: how many there were.
    """

    def __init__(self, code: grpc.StatusCode, message: str, attempts: int) -> None:
        super().__init__(f"{code.name} after {attempts} attempts: {message}")
        self.code, self.message, self.attempts = code, message, attempts
