"""Errors of the stream jobs and of the Redis writer."""

from __future__ import annotations

from adfeast.errors import AdfeastError


class StreamingError(AdfeastError):
    """The stream side cannot do what was asked."""


class SubmitFailed(StreamingError):
    """A job did not start; the end of the submitter's log stands in the message."""


class NotCaughtUp(StreamingError):
    """A job or the writer did not reach the end of its topics before the deadline."""

    later = True
