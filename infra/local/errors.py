"""What can go wrong with the local platform."""

from __future__ import annotations

from adfeast.errors import AdfeastError


class PlatformError(AdfeastError):
    """The local platform cannot do what was asked."""


class NotReady(PlatformError):
    """A part does not answer its readiness request yet; the message says what it answered instead."""


class PartFailed(PlatformError):
    """A part ended or never became ready.

    Attributes:
        part: its name.
        log: the last lines of its log.
    """

    def __init__(self, part: str, reason: str, log: str) -> None:
        super().__init__(f"part {part!r} {reason}; the end of its log (`adfeast logs {part}`):\n{log or '(empty)'}")
        self.part, self.log = part, log
